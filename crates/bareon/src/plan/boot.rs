//! Where the boot loader goes, and what the installed system mounts.

use super::{InstallBoot, Options, boot_storage, keep, layout};
use crate::{
    audit::Scope,
    drivers::Deployment,
    hardware::Machine,
    objects::partition::{FileSystem, Partition},
    steps::{
        bootloader::{Boot, BootDisk, Esp, Family, Firmware, InFstab, Mount, Swap, legacy::Kernels},
        keep::BringUp,
        place::Ground,
    },
};

/// The boot loader's step; nothing where no file system is the root (which is refused).
pub(super) fn install(
    deployment: &Deployment,
    machine: &Machine,
    options: &Options,
    firmware: Firmware,
) -> Option<InstallBoot> {
    let scheme = &deployment.partition_scheme;
    scheme.root()?;
    let imaged = |device: &str| deployment.image_scheme.iter().any(|image| image.target_device == device);
    let is_esp =
        |device: &str| scheme.partitions().any(|partition| partition.name == device && partition.esp);
    let mounts = scheme
        .fs_by_depth()
        .into_iter()
        // The boot loader mounts the EFI system partition itself, disk by disk.
        .filter(|fs| !(fs.is_swap() || firmware.uefi() && is_esp(&fs.device)))
        .filter_map(|fs| {
            Some(Mount {
                device: fs.device.clone(),
                mount: fs.mount.clone()?,
                fs_type: fs.fs_type.clone(),
                image: imaged(&fs.device),
                fstab: in_fstab(fs),
            })
        })
        .collect();
    let disks = scheme
        .parteds
        .iter()
        .filter(|parted| parted.install_bootloader)
        .map(|parted| BootDisk {
            disk: parted.name.clone(),
            esp: layout::esps(parted, firmware)
                .next()
                .map(|esp| Esp { device: esp.name.clone(), number: esp.count }),
        })
        .collect();
    let boot = Boot {
        target: options.tmp_path.join("target"),
        mounts,
        swaps: scheme
            .fss
            .iter()
            .filter(|fs| fs.is_swap())
            .map(|fs| Swap { device: fs.device.clone(), fstab: in_fstab(fs) })
            .collect(),
        storage: boot_storage::storage(scheme, machine),
        disks,
        firmware,
        efi_boot_order: options.efi_boot_order,
        efivars: machine.uefi,
        kernel_params: deployment.grub.kernel_params.split_whitespace().collect::<Vec<_>>().join(" "),
        // A version that the profile's name alone speaks for is not the image's word.
        grub_version: deployment.grub.version.filter(|_| !deployment.grub_guessed).unwrap_or(2),
        kernels: Kernels {
            kernel_regexp: deployment.grub.kernel_regexp.clone(),
            initrd_regexp: deployment.grub.initrd_regexp.clone(),
            kernel: deployment.grub.kernel_name.clone(),
            initrd: deployment.grub.initrd_name.clone(),
        },
        grub_timeout: options.grub_timeout,
        fix_udev_net_rules: options.fix_udev_net_rules,
        udev_rules: deployment.host.nics.iter().map(|nic| (nic.mac.clone(), nic.name.clone())).collect(),
        udev_rules_dir: options.udev_rules_dir.clone(),
    };
    let esps = boot.disks.iter().filter_map(|disk| disk.esp.as_ref()).map(|esp| &esp.device);
    let kept = keep::kept(deployment);
    let place = |partition: &Partition| keep::place(partition, &kept, machine);
    let devices: Vec<_> =
        boot.mounts.iter().map(|mount| &mount.device).chain(esps).map(String::as_str).collect();
    let grounds = devices.iter().filter_map(|device| Ground::of(device, scheme, &place)).collect();
    let up = BringUp::of_devices(scheme, &devices, &place);
    let disks = scheme.parteds.iter().map(|parted| parted.name.clone()).collect();
    let (family, audit) = (family(deployment), options.audit_boot);
    Some(InstallBoot { boot, family, grounds, up, scope: Scope { disks }, audit })
}

/// How the file system stands in fstab.
fn in_fstab(fs: &FileSystem) -> InFstab {
    match &fs.fstab_options {
        _ if fs.not_in_fstab => InFstab::Absent,
        Some(options) if !options.trim().is_empty() => InFstab::Options(options.trim().to_owned()),
        _ => InFstab::Usual,
    }
}

/// The family that the operating system's name, or the profile's, speaks of.
fn family(deployment: &Deployment) -> Family {
    const RPM: [&str; 6] = ["centos", "fedora", "red hat", "rhel", "rocky", "alma"];
    let profile = deployment.configdrive.as_ref().map(|drive| drive.profile.as_str()).unwrap_or_default();
    let os = deployment.image_os.as_deref().unwrap_or(&deployment.operating_system.name);
    let names = format!("{os} {profile}").to_lowercase();
    if RPM.iter().any(|name| names.contains(name)) { Family::Rpm } else { Family::Debian }
}

/// What that step does, for people.
pub(super) fn what(boot: &Boot) -> String {
    let disks: Vec<_> = boot.disks.iter().map(|disk| disk.disk.as_str()).collect();
    let firmware = match boot.firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
        Firmware::Both => "BIOS and UEFI",
    };
    format!(
        "configure the installed system and install its boot loader for {firmware} onto {}",
        disks.join(", ")
    )
}
