//! The machine as a planner sees it: its disks, what lies on them, who uses them, its firmware.

use std::{collections::BTreeSet, io, path::Path};

use bareon_host::{
    CommandError, Runner, Tool,
    lock::{self, LockError},
    lvm, mdadm, udevadm,
};

use super::{
    BlockDevice, BootedBy, Stack, arrays,
    content::{Content, Looker},
    groups, scan,
    usage::{Kernel, Usage, Use},
};

/// A machine, this one or one that was recorded.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Its disks.
    pub devices: Vec<BlockDevice>,
    /// What lies on them; of a recorded machine, what was recorded.
    pub contents: Vec<Content>,
    /// The arrays and groups on them.
    pub stack: Stack,
    /// Whether it was booted by UEFI.
    pub uefi: bool,
    usage: Option<Usage>,
}

/// A machine that cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A command failed.
    #[error("looking at the block devices of this machine")]
    Command(#[from] CommandError),
    /// What LVM tells cannot be read.
    #[error(transparent)]
    Groups(#[from] lvm::ReportError),
    /// The kernel's views cannot be read.
    #[error("reading what is mounted on this machine; is /proc there?")]
    Mounts(#[source] io::Error),
}

impl Machine {
    /// A machine of which only that is known which its disks carry along.
    pub fn recorded(devices: Vec<BlockDevice>) -> Self {
        let contents = devices.iter().flat_map(|device| device.contents.iter().cloned()).collect();
        let uefi = devices.iter().any(|device| device.firmware == Some(BootedBy::Uefi));
        let mut stack = Stack::default();
        devices.iter().filter_map(|device| device.stack.clone()).for_each(|part| stack.join(part));
        Self { devices, contents, stack, uefi, usage: None }
    }

    /// The disks with all that is known of the machine, to be kept for [`recorded`](Self::recorded).
    pub fn record(&self) -> Vec<BlockDevice> {
        let firmware = if self.uefi { BootedBy::Uefi } else { BootedBy::Bios };
        let record = |device: &BlockDevice| {
            let node = &device.device;
            BlockDevice {
                contents: self.contents.iter().filter(|content| &content.disk == node).cloned().collect(),
                uses: self.uses(node),
                stack: Some(self.stack.on(node, |device| self.disks_below(device)))
                    .filter(|part| !part.is_empty()),
                firmware: if self.is_this() { Some(firmware) } else { device.firmware },
                ..device.clone()
            }
        };
        self.devices.iter().map(record).collect()
    }

    /// This machine.
    ///
    /// # Errors
    /// When udev's database or `/proc` cannot be read.
    pub fn look(host: &dyn Runner, kernel: &Kernel) -> Result<Self, MachineError> {
        // A ramdisk that has just booted may still be making the links that disks are found by.
        if kernel.udev_has_work()
            && let Err(error) = host.run(&udevadm::settle())
        {
            tracing::warn!("going on while udev still has work; links to disks may be missing: {error}");
        }
        let known = udevadm::parse_export_db(&host.run(&udevadm::export_db())?.stdout);
        let devices = scan::disks(kernel, &known);
        let looker = Looker { host, kernel, known: &known };
        let contents = looker.disks(&devices)?;
        let stack = read_stack(host, kernel, &contents)?;
        let usage = Usage::read(kernel).map_err(MachineError::Mounts)?;
        let uefi = kernel.sys.join("firmware/efi").is_dir();
        let mut machine = Self { devices, contents, stack, uefi, usage: Some(usage) };
        let stacked =
            looker.stacked(&machine.stack, &machine.contents, |device| machine.disks_below(device))?;
        machine.contents.extend(stacked);
        Ok(machine)
    }

    /// Whether this is the machine that the program runs on, not one that was recorded.
    pub fn is_this(&self) -> bool {
        self.usage.is_some()
    }

    /// Looks again at who uses the disks: time has passed.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn look_again(&mut self, kernel: &Kernel) -> Result<(), MachineError> {
        if self.is_this() {
            self.usage = Some(Usage::read(kernel).map_err(MachineError::Mounts)?);
        }
        Ok(())
    }

    /// The disk with that device node.
    pub fn device(&self, node: &str) -> Option<&BlockDevice> {
        self.devices.iter().find(|device| device.device == node)
    }

    /// Whether the kernel knows partitions of the disk.
    pub fn has_partitions(&self, disk: &str) -> bool {
        self.contents.iter().any(|content| content.disk == disk && content.is_partition())
    }

    /// The whole disks that `device` reaches, be it a partition, an array, a volume or a disk. An array is looked
    /// behind, though it may be laid out as a disk.
    pub fn disks_below(&self, device: &str) -> BTreeSet<String> {
        let (mut disks, mut seen, mut left) = (BTreeSet::new(), BTreeSet::new(), vec![device.to_owned()]);
        while let Some(device) = left.pop() {
            if !seen.insert(device.clone()) {
                continue;
            }
            let below = self.stack.below(&device);
            let on_stack = !below.contains(&device);
            left.extend(below);
            if on_stack {
                continue;
            }
            let disk = self.device(&device);
            if let Some(whole) = disk.and_then(|disk| disk.path_to.clone()) {
                left.push(whole);
                continue;
            }
            let partition =
                self.contents.iter().find(|content| content.device == device && content.is_partition());
            match (partition, &self.usage) {
                (_, _) if disk.is_some() => {
                    disks.insert(device);
                }
                (Some(content), _) => left.push(content.disk.clone()),
                (None, Some(usage)) => match usage.below(&device) {
                    below if below.is_empty() => {
                        disks.insert(device);
                    }
                    below => left.extend(below),
                },
                // A recorded machine whose disk was left out of the record.
                (None, None) => {
                    disks.insert(device);
                }
            }
        }
        disks
    }

    /// Who uses the disk, so that it cannot be written over; of a recorded machine, who did then. Arrays and groups
    /// that are part of the stack are no use of it by themselves, but a mounted volume of theirs is.
    pub fn uses(&self, disk: &str) -> Vec<Use> {
        let Some(usage) = &self.usage else {
            return self.device(disk).map(|device| device.uses.clone()).unwrap_or_default();
        };
        let is_known = |used: &Use| used.holder.as_ref().is_some_and(|holder| self.stack.knows(holder));
        let uses: Vec<_> = usage.of(disk).into_iter().filter(|used| !is_known(used)).collect();
        if !uses.is_empty() {
            return uses;
        }
        usage.tops(disk).iter().filter_map(|top| claimed(top)).collect()
    }
}

/// The use of `device` by somebody who has it for himself, and whom the kernel does not name.
fn claimed(device: &str) -> Option<Use> {
    let Err(LockError::Claimed { .. }) = lock::free(Path::new(device)) else { return None };
    Some(Use {
        device: device.into(),
        by: "somebody has it, or a partition of it, for himself, and the kernel does not name him".into(),
        remedy: format!("`lsblk {device}`, `fuser -v {device}` may show who; end that use"),
        holder: None,
    })
}

/// Reads which arrays and groups there are; the tools are only asked where something of theirs lies on a disk.
fn read_stack(host: &dyn Runner, kernel: &Kernel, contents: &[Content]) -> Result<Stack, MachineError> {
    /// What libblkid calls the members of arrays, of firmware RAID too.
    const RAID: [&str; 3] = ["linux_raid_member", "isw_raid_member", "ddf_raid_member"];
    /// What it calls physical volumes.
    const PV: &str = "LVM2_member";
    let lies = |kinds: &[&str]| {
        contents.iter().any(|content| content.kind.as_deref().is_some_and(|kind| kinds.contains(&kind)))
    };
    let asks = |kinds: &[&str], tool: Tool, what: &str| {
        let there = host.has(tool);
        if lies(kinds) && !there {
            let program = tool.origin().program;
            tracing::warn!("{what} lie on the disks, and there is no {program} to tell of what");
        }
        lies(kinds) && there
    };
    let with_arrays = asks(&RAID, Tool::Mdadm, "parts of arrays");
    let with_groups = asks(&[PV], Tool::Lvm, "physical volumes of LVM");
    look_at_stack(host, kernel, with_arrays, with_groups)
}

/// Reads which arrays and groups there are now, asking mdadm `with_arrays` and LVM `with_groups`.
///
/// # Errors
/// When one of them fails, or LVM answers what cannot be read.
pub fn look_at_stack(
    host: &dyn Runner,
    kernel: &Kernel,
    with_arrays: bool,
    with_groups: bool,
) -> Result<Stack, MachineError> {
    let mut stack = Stack::default();
    let mut examined = Vec::new();
    if with_arrays {
        examined = mdadm::parse_examine_scan(&host.run(&mdadm::examine_scan())?.stdout);
    }
    stack.arrays = arrays::arrays(kernel, &examined);
    if with_groups {
        let report = lvm::parse_fullreport(&host.run(&lvm::fullreport())?.stdout)?;
        stack.groups = groups::groups(kernel, report);
    }
    Ok(stack)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bareon_host::Script;
    use serde_json::json;

    use super::*;
    use crate::{
        audit::OnError,
        drivers::{self, Facts},
        plan,
        steps::bootloader::BootOrder,
    };

    const DB: &str = "P: /devices/x/block/bareon0\nS: disk/by-id/b\nE: DEVPATH=/devices/x/block/bareon0\n\
                      E: SUBSYSTEM=block\nE: USEC_INITIALIZED=1\nE: ID_PART_TABLE_TYPE=gpt\n\n\
                      P: /devices/x/block/bareon0/bareon0p1\nE: DEVPATH=/devices/x/block/bareon0/bareon0p1\n\
                      E: SUBSYSTEM=block\nE: USEC_INITIALIZED=1\nE: ID_FS_TYPE=ext4\nE: ID_FS_LABEL_ENC=data\n";

    /// A machine with one disk of 20 GiB that has a mounted partition.
    fn machine(root: &Path) -> Machine {
        let kernel = Kernel { proc: root.join("proc"), sys: root.join("sys") };
        for (file, text) in [
            ("proc/self/mountinfo", "30 22 253:1 / /srv rw shared:1 - ext4 /dev/bareon0p1 rw"),
            ("sys/block/bareon0/size", "41943040"),
            ("sys/block/bareon0/queue/logical_block_size", "512"),
            ("sys/class/block/bareon0/dev", "253:0"),
            ("sys/class/block/bareon0/bareon0p1/partition", "1"),
            ("sys/class/block/bareon0p1/dev", "253:1"),
            ("sys/class/block/bareon0p1/size", "4096"),
            ("sys/firmware/efi/systab", ""),
            ("run/udev/queue", ""),
        ] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), format!("{text}\n")).unwrap();
        }
        let host = Script::default()
            .fails("udevadm settle --timeout=120", 1, "Timed out")
            .ok("udevadm info --export-db", DB);
        Machine::look(&host, &kernel).unwrap()
    }

    fn plan_of(machine: &Machine) -> String {
        let volume = json!({"type": "partition", "size": 1000, "mount": "/", "file_system": "ext4"});
        let disk = json!({
            "type": "disk", "id": "x", "name": "x", "size": 20480, "extra": ["disk/by-id/b"], "free_space": 0,
            "volumes": [volume],
        });
        let image = json!({"uri": "http://h/i.img.gz", "format": "ext4", "container": "gzip"});
        let document = json!({"profile": "", "ks_meta": {
            "image_data": {"/": image}, "pm_data": {"kernel_params": "", "ks_spaces": [disk]},
        }});
        let facts = Facts {
            devices: &machine.devices,
            image_metadata: &|_| None,
            prepare_configdrive: false,
            configdrive_exists: false,
        };
        let host = Script::default();
        let driver = drivers::find("ironic", Path::new("/nonexistent"), &host).unwrap();
        let options = plan::Options {
            firmware: None,
            efi_boot_order: BootOrder::Keep,
            prepare_configdrive: false,
            config_drive_path: "/nonexistent/drive".into(),
            nc_template_path: "/nonexistent".into(),
            tmp_path: "/tmp".into(),
            grub_timeout: 1,
            audit_boot: OnError::Fail,
            fix_udev_net_rules: false,
            udev_rules_dir: "/etc/udev/rules.d".into(),
            backup_dir: None,
            skip_md_containers: true,
            allow_unverified: true,
            download_dir: None,
            memory_limit: crate::objects::Bytes(256 << 20),
        };
        plan::plan(driver.read(&document, &facts).unwrap(), machine, &options, &host).to_string()
    }

    #[test]
    fn a_recorded_machine_gets_the_plan_that_it_would_make_itself() {
        let root = tempfile::tempdir().unwrap();
        let machine = machine(root.path());
        let text = json!(machine.record()).to_string();
        let recorded = Machine::recorded(serde_json::from_str(&text).unwrap());
        assert!(recorded.uefi && recorded.has_partitions("/dev/bareon0") && !recorded.is_this());
        assert_eq!(recorded.uses("/dev/bareon0"), machine.uses("/dev/bareon0"));
        assert_eq!(json!(recorded.record()).to_string(), text);
        let plan = plan_of(&machine);
        assert_eq!(plan_of(&recorded), plan);
        for part in ["label \"data\"", "umount /srv"] {
            assert!(plan.contains(part), "{part}: {plan}");
        }
    }

    #[test]
    fn a_list_of_disks_alone_will_do() {
        let device: BlockDevice = serde_json::from_value(json!({"device": "/dev/sda"})).unwrap();
        let machine = Machine::recorded(vec![device.clone()]);
        assert!(!machine.uefi && machine.contents.is_empty() && machine.uses("/dev/sda").is_empty());
        assert_eq!(machine.record(), [device]);
    }
}
