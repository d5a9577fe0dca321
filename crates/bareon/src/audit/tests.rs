//! An installed system that would boot, to be broken by the tests of the checks.

use bareon_host::blkid::Tagged;
use tempfile::TempDir;

use super::{
    Scope, Seen,
    devices::{Device, Devices},
    running::Running,
};
use crate::steps::bootloader::{
    Boot, BootDisk, BootOrder, Esp, EspFiles, Firmware, InFstab, Mount, Storage, inroot::Root,
    legacy::Kernels,
};

/// The UUID of the root file system, on `/dev/vda2`.
pub const ROOT: &str = "ab-cd";

/// The installed system and its machine.
pub struct Bench {
    _dir: TempDir,
    /// The installed system.
    pub root: Root,
    /// What was installed.
    pub boot: Boot,
    /// What lies where.
    pub devices: Devices,
    /// The layout.
    pub scope: Scope,
    /// The EFI system partitions.
    pub esps: Vec<EspFiles>,
    /// The running system.
    pub running: Running,
}

/// A device: node, type, UUID, label, PARTUUID, whether it is ours.
pub fn device((node, kind, uuid, label, partuuid, ours): (&str, &str, &str, &str, &str, bool)) -> Device {
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Device {
        tagged: Tagged {
            device: node.into(),
            fs_type: some(kind),
            uuid: some(uuid),
            label: some(label),
            partuuid: some(partuuid),
            partlabel: None,
        },
        ours,
    }
}

impl Bench {
    /// A root file system, one for data, an EFI system partition; a disk that nobody named.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for file in ["/boot/vmlinuz-6", "/boot/initrd.img-6", "/boot/grub/i386-pc/normal.mod", "/srv/x"] {
            root.write(file, "").unwrap();
        }
        let mount = |device: &str, mount: &str| Mount {
            device: device.into(),
            mount: mount.into(),
            fs_type: "ext4".into(),
            image: false,
            fstab: InFstab::Usual,
        };
        let boot = Boot {
            mounts: vec![mount("/dev/vda2", "/"), mount("/dev/vda3", "/srv")],
            disks: vec![BootDisk {
                disk: "/dev/vda".into(),
                esp: Some(Esp { device: "/dev/vda1".into(), number: 1 }),
            }],
            firmware: Firmware::Bios,
            efi_boot_order: BootOrder::Keep,
            ..blank()
        };
        let devices = Devices::of(
            [
                ("/dev/vda1", "vfat", "AB12-CD34", "", "p1", true),
                ("/dev/vda2", "ext4", ROOT, "root", "p2", true),
                ("/dev/vda3", "xfs", "5afe", "srv", "p3", true),
                ("/dev/vdz1", "ext4", "f0-e1", "other", "pz", false),
            ]
            .map(device),
        );
        let (scope, running) = (Scope::default(), Running::default());
        Self { _dir: dir, root, boot, devices, scope, esps: Vec::new(), running }
    }

    /// Writes a file of the installed system.
    pub fn write(&self, file: &str, text: &str) {
        self.root.write(file, text).unwrap();
    }

    /// Adds devices.
    pub fn add(&mut self, more: &[(&str, &str, &str, &str, &str, bool)]) {
        let all = self.devices.iter().cloned().chain(more.iter().map(|one| device(*one)));
        self.devices = Devices::of(all.collect::<Vec<_>>());
    }

    /// What the checks see.
    pub fn seen(&self) -> Seen<'_> {
        Seen {
            boot: &self.boot,
            scope: &self.scope,
            root: &self.root,
            esps: &self.esps,
            devices: &self.devices,
            running: &self.running,
        }
    }
}

fn blank() -> Boot {
    Boot {
        target: "/nowhere".into(),
        mounts: Vec::new(),
        swaps: Vec::new(),
        storage: Storage::default(),
        disks: Vec::new(),
        firmware: Firmware::Bios,
        efi_boot_order: BootOrder::Keep,
        efivars: false,
        kernel_params: String::new(),
        grub_version: 2,
        kernels: Kernels::default(),
        grub_timeout: 5,
        fix_udev_net_rules: false,
        udev_rules: Vec::new(),
        udev_rules_dir: "/etc/udev/rules.d".into(),
    }
}
