//! What each part of a layout allows, and the whole does not: uses of one place that exclude each other.
//!
//! Beside `checks`, which looks at each part by itself. What is found here would be seen otherwise when the
//! disks are written already: by mount(8), by the boot loader, or by nobody.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Options, Refusal, Stage, checks::file_systems::normal};
use crate::{
    drivers::{Deployment, Mistake},
    objects::partition::{FileSystem, Label, Partition},
    steps::bootloader::{self, Firmware},
};

/// Directories that the kernel's own file systems are mounted on.
const KERNELS: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

/// Where the installed system has its EFI system partition.
const ESP: &str = "/boot/efi";

/// All refusals of this kind.
pub(super) fn refusals(deployment: &Deployment, options: &Options, firmware: Firmware) -> Vec<Refusal> {
    let mut found = Found { deployment, refusals: Vec::new() };
    for (i, fs) in deployment.partition_scheme.fss.iter().enumerate() {
        let path = format!("/partition_scheme/fss/{i}");
        found.swap(&path, fs);
        found.mount_point(&path, fs, firmware);
    }
    found.devices();
    found.image_targets();
    found.interfaces(options);
    found.refusals
}

struct Found<'a> {
    deployment: &'a Deployment,
    refusals: Vec<Refusal>,
}

impl Found<'_> {
    fn refuse(&mut self, path: &str, value: &str, problem: &str, remedy: &str) {
        let value = Value::from(value);
        let mistake = Mistake::new(self.deployment.origins.of(path), Some(&value), problem, remedy);
        self.refusals.extend(Stage::ALL.map(|stage| Refusal { stage, mistake: mistake.clone() }));
    }

    /// Swap space by its mount point is swap space by its type, and the other way round.
    fn swap(&mut self, path: &str, fs: &FileSystem) {
        let by_type = fs.fs_type == "swap";
        if fs.is_swap() != by_type && (by_type || fs.is_swap()) && fs.mount.is_some() {
            let mount = fs.mount.as_deref().unwrap_or_default();
            let problem = format!("a file system of type {} cannot be mounted as {mount}", fs.fs_type);
            self.refuse(
                &format!("{path}/fs_type"),
                &fs.fs_type,
                &problem,
                "swap space has type and mount `swap`",
            );
        }
    }

    fn mount_point(&mut self, path: &str, fs: &FileSystem, firmware: Firmware) {
        let Some(mount) = fs.mount.as_deref().filter(|mount| mount.starts_with('/')) else { return };
        let parts: Vec<_> = mount.split('/').filter(|part| !part.is_empty()).collect();
        let whole = normal(mount);
        let path = format!("{path}/mount");
        if parts.contains(&"..") || parts.contains(&".") || mount.contains(char::is_control) {
            let remedy = "write it without `.`, `..` and control characters";
            self.refuse(&path, mount, "this is no plain path", remedy);
        }
        if let Some(kernel) =
            KERNELS.iter().find(|dir| whole == **dir || whole.starts_with(&format!("{dir}/")))
        {
            let problem = format!("the kernel's own file system is mounted on {kernel}");
            self.refuse(&path, mount, &problem, "mount it elsewhere");
        }
        let is_esp = self.partition(&fs.device).is_some_and(|partition| partition.esp);
        if whole == ESP && firmware.uefi() && !is_esp {
            let problem = "the EFI system partition is mounted there";
            self.refuse(&path, mount, problem, "mount it elsewhere, or give its partition the flag esp");
        }
    }

    /// Disks that only look like ones, and partitions that belong to the boot loader.
    fn devices(&mut self) {
        for (i, parted) in self.deployment.partition_scheme.parteds.iter().enumerate() {
            let name = &parted.name;
            if name.starts_with("/dev/dm-") {
                let problem = "the numbers of mapped devices change";
                let remedy = "name a disk with several paths as /dev/mapper/NAME, and a volume not at all";
                self.refuse(&format!("/partition_scheme/parteds/{i}"), name, problem, remedy);
            }
        }
        for (i, fs) in self.deployment.partition_scheme.fss.iter().enumerate() {
            let taken =
                self.partition(&fs.device).is_some_and(|partition| partition.is_bios_boot(Label::Gpt));
            if taken {
                let problem = "GRUB's BIOS image lies on this partition";
                let remedy = "give the file system a partition of its own";
                self.refuse(&format!("/partition_scheme/fss/{i}/device"), &fs.device, problem, remedy);
            }
        }
    }

    fn image_targets(&mut self) {
        let mut targets: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, image) in self.deployment.image_scheme.iter().enumerate() {
            let (path, target) = (format!("/image_scheme/{i}/target_device"), &image.target_device);
            if let Some(first) = targets.insert(target, i) {
                let first = self.deployment.origins.of(&format!("/image_scheme/{first}"));
                let problem = format!("the image of {first} is written to {target}, too");
                self.refuse(&path, target, &problem, "give each image its own device");
            }
            let Some(partition) = self.partition(target) else { continue };
            let what = if partition.configdrive {
                "the config drive"
            } else if partition.esp {
                "the boot loader's files for UEFI"
            } else if partition.is_bios_boot(Label::Gpt) {
                "GRUB's BIOS image"
            } else {
                continue;
            };
            let problem = format!("{target} is for {what}");
            self.refuse(&path, target, &problem, "write the image to the partition of a file system");
        }
    }

    fn interfaces(&mut self, options: &Options) {
        let pairs: Vec<_> =
            self.deployment.host.nics.iter().map(|nic| (nic.mac.clone(), nic.name.clone())).collect();
        if let Err(error) = bootloader::check_interfaces(&pairs)
            && options.fix_udev_net_rules
        {
            let remedy = "correct it, or set fix_udev_net_rules=false";
            self.refuse("/host/nics", "", &error.to_string(), remedy);
        }
    }

    fn partition(&self, device: &str) -> Option<&Partition> {
        self.deployment.partition_scheme.partitions().find(|partition| partition.name == device)
    }
}
