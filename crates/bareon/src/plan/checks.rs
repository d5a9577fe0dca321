//! What is refused before the first byte is written.
//!
//! Each check adds its refusals; none stops the others, so that all are told at once. A refusal names
//! the place in the input, or in the objects as `plan --json` shows them where the driver noted none.

use std::collections::{BTreeMap, BTreeSet};

use bareon_host::mkfs::FsType;
use serde_json::Value;

use super::{Refusal, Stage, layout};
use crate::{
    drivers::{Deployment, Mistake},
    hardware::Machine,
    objects::{
        Bytes,
        partition::{FileSystem, Label, Parted, Partition, PartitionType},
    },
    steps::bootloader::Firmware,
};

/// The mirror of the table at a disk's end: 32 sectors of entries and its header.
const BACKUP_GPT_SECTORS: u64 = 33;

/// The stages that write to disks.
const WRITING: [Stage; 3] = [Stage::Partition, Stage::CopyImage, Stage::Bootloader];

/// All refusals.
pub(super) fn refusals(deployment: &Deployment, machine: &Machine, firmware: Firmware) -> Vec<Refusal> {
    let mut checks = Checks { deployment, machine, firmware, refusals: Vec::new() };
    checks.deferred();
    checks.unsupported();
    checks.kept();
    checks.disks();
    checks.file_systems();
    checks.images();
    checks.boot_loader();
    checks.refusals
}

struct Checks<'a> {
    deployment: &'a Deployment,
    machine: &'a Machine,
    firmware: Firmware,
    refusals: Vec<Refusal>,
}

impl Checks<'_> {
    /// Where in the input an object stands.
    fn place(&self, path: &str) -> String {
        self.deployment.origins.of(path)
    }

    fn refuse(&mut self, stages: &[Stage], path: &str, value: &str, problem: &str, remedy: &str) {
        let value = Some(Value::from(value)).filter(|_| !value.is_empty());
        let mistake = Mistake::new(self.place(path), value.as_ref(), problem, remedy);
        self.refusals.extend(stages.iter().map(|stage| Refusal { stage: *stage, mistake: mistake.clone() }));
    }

    /// What the driver found and left to the run to refuse.
    fn deferred(&mut self) {
        for mistake in &self.deployment.deferred {
            let refusal = |stage: &Stage| Refusal { stage: *stage, mistake: mistake.clone() };
            self.refusals.extend(Stage::ALL.iter().map(refusal));
        }
    }

    /// What this version shows, but does not make.
    fn unsupported(&mut self) {
        let scheme = &self.deployment.partition_scheme;
        let later = "this version plans it, but does not make it yet; lay the disks out with partitions only";
        let lists = [
            ("mds", scheme.mds.first().map(|md| &md.name)),
            ("pvs", scheme.pvs.first().map(|pv| &pv.name)),
            ("vgs", scheme.vgs.first().map(|vg| &vg.name)),
            ("lvs", scheme.lvs.first().map(|lv| &lv.name)),
        ];
        for (list, first) in lists {
            if let Some(name) = first {
                let path = format!("/partition_scheme/{list}/0");
                self.refuse(&Stage::ALL, &path, name, "software RAID and LVM are not made yet", later);
            }
        }
        for (i, parted) in scheme.parteds.iter().enumerate() {
            if parted.label != Label::Gpt {
                let path = format!("/partition_scheme/parteds/{i}/label");
                self.refuse(
                    &[Stage::Partition],
                    &path,
                    "msdos",
                    "tables other than GPT are not written yet",
                    "use gpt",
                );
            }
        }
    }

    /// Data that is to be kept. It is never compared with what is there yet, so nothing is risked.
    fn kept(&mut self) {
        if self.deployment.skip_partitioning {
            self.refuse(
                &[Stage::Partition, Stage::CopyImage],
                "/partition_scheme",
                "keep_data",
                "keeping data is not supported yet",
                "set keep_data to false everywhere to lay the disks out anew (their data is lost)",
            );
        }
    }

    fn disks(&mut self) {
        let deployment = self.deployment;
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, parted) in deployment.partition_scheme.parteds.iter().enumerate() {
            let path = format!("/partition_scheme/parteds/{i}");
            if let Some(first) = seen.insert(&parted.name, i) {
                let problem = format!(
                    "the same disk is laid out by {} already",
                    self.place(&format!("/partition_scheme/parteds/{first}"))
                );
                self.refuse(&[Stage::Partition], &path, &parted.name, &problem, "name each disk once");
            }
            self.disk(&path, parted);
            self.partitions(&path, parted);
        }
    }

    fn disk(&mut self, path: &str, parted: &Parted) {
        let name = &parted.name;
        let Some(device) = self.machine.device(name) else {
            let known: Vec<_> = self.machine.devices.iter().map(|device| device.device.as_str()).collect();
            let remedy = format!("name one of its disks: {}", list(&known));
            self.refuse(&WRITING, path, name, "this machine has no such disk", &remedy);
            return;
        };
        if device.read_only() {
            self.refuse(&WRITING, path, name, "the disk can only be read", "take its write protection away");
        }
        for used in self.machine.uses(name) {
            let problem = format!("{} is in use: {}", used.device, used.by);
            self.refuse(&WRITING, path, name, &problem, &used.remedy);
        }
        let sector = device.sector_size().0;
        let Some(size) = device.size() else { return };
        let usable = Bytes(size.0.saturating_sub(BACKUP_GPT_SECTORS * sector));
        // One is enough: those that follow lie beyond the end, too.
        let beyond =
            parted.partitions.iter().enumerate().find(|(_, partition)| partition.end.bytes() > usable);
        if let Some((j, partition)) = beyond {
            let problem = format!(
                "{} ends at {}, the disk has room for partitions up to {} MiB ({size} in all)",
                partition.name,
                partition.end,
                usable.0 >> 20
            );
            let path = format!("{path}/partitions/{j}/end");
            self.refuse(&[Stage::Partition], &path, "", &problem, "make the volumes of this disk smaller");
        }
    }

    fn partitions(&mut self, path: &str, parted: &Parted) {
        let mut end = None;
        for (j, partition) in parted.partitions.iter().enumerate() {
            let path = format!("{path}/partitions/{j}");
            self.partition(&path, parted, partition);
            if let Some(end) = end.filter(|end| partition.begin < *end) {
                let problem = format!("{} begins before the one before it ends, at {end}", partition.name);
                let value = partition.begin.0.to_string();
                self.refuse(
                    &[Stage::Partition],
                    &format!("{path}/begin"),
                    &value,
                    &problem,
                    "let partitions follow one another",
                );
            }
            end = Some(partition.end);
        }
        let mut numbers = BTreeSet::new();
        for partition in &parted.partitions {
            if !numbers.insert(partition.count) {
                let value = partition.count.to_string();
                self.refuse(
                    &[Stage::Partition],
                    path,
                    &value,
                    "two partitions have the same number",
                    "number them from 1",
                );
            }
        }
    }

    fn partition(&mut self, path: &str, parted: &Parted, partition: &Partition) {
        let expected = parted.partition_name(partition.count);
        if partition.name != expected {
            // Images and file systems go by this name: with another disk's they would land there.
            let remedy = format!("the kernel calls partition {} of it {expected}", partition.count);
            let problem = "no partition of this disk has that name";
            self.refuse(&WRITING, &format!("{path}/name"), &partition.name, problem, &remedy);
        }
        let mut refuse = |key: &str, value: &str, problem: &str, remedy: &str| {
            self.refuse(&[Stage::Partition], &format!("{path}/{key}"), value, problem, remedy);
        };
        if partition.begin.0 < 1 {
            refuse("begin", "0", "the first MiB belongs to the partition table", "begin at 1 or later");
        }
        if partition.end <= partition.begin {
            let problem = format!("{} is of no size: it begins at {}", partition.name, partition.begin);
            refuse("end", &partition.end.0.to_string(), &problem, "give it a size, or leave it out");
        }
        if partition.count == 0 || partition.count > 128 {
            let value = partition.count.to_string();
            refuse("count", &value, "a GPT numbers its partitions from 1 to 128", "number them so");
        }
        if parted.label == Label::Gpt && partition.partition_type != PartitionType::Primary {
            refuse(
                "partition_type",
                "extended or logical",
                "a GPT has primary partitions only",
                "use primary",
            );
        }
        if let Some(guid) = partition.guid.as_ref().filter(|guid| !is_guid(guid)) {
            let remedy = "write it as 0FC63DAF-8483-4772-8E79-3D69D8477DE4, or leave it out";
            refuse("guid", guid, "this is no GUID", remedy);
        }
        for flag in partition.flags.iter().filter(|flag| layout::flag(flag).is_none()) {
            let remedy =
                "use bios_grub, esp, boot, raid, lvm, swap, msftdata, msftres, prep, legacy_boot or hidden";
            refuse("flags", flag, "a GPT has no such flag", remedy);
        }
    }

    fn file_systems(&mut self) {
        let scheme = &self.deployment.partition_scheme;
        let mut mounts: BTreeMap<String, usize> = BTreeMap::new();
        let mut devices: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, fs) in scheme.fss.iter().enumerate() {
            let path = format!("/partition_scheme/fss/{i}");
            self.file_system(&path, fs);
            if let Some(mount) = fs.mount.as_deref().filter(|mount| *mount != "swap") {
                if let Some(first) = mounts.insert(normal(mount), i) {
                    let problem = format!(
                        "{} is mounted there already",
                        self.place(&format!("/partition_scheme/fss/{first}"))
                    );
                    self.refuse(
                        &Stage::ALL,
                        &format!("{path}/mount"),
                        mount,
                        &problem,
                        "give each file system its own mount point",
                    );
                }
                if !mount.starts_with('/') {
                    let remedy = "write it from / on, or swap";
                    self.refuse(
                        &Stage::ALL,
                        &format!("{path}/mount"),
                        mount,
                        "this is no mount point",
                        remedy,
                    );
                }
            }
            if let Some(first) = devices.insert(&fs.device, i) {
                let problem =
                    format!("{} lies there already", self.place(&format!("/partition_scheme/fss/{first}")));
                self.refuse(
                    &Stage::ALL,
                    &format!("{path}/device"),
                    &fs.device,
                    &problem,
                    "give each file system its own device",
                );
            }
        }
    }

    fn file_system(&mut self, path: &str, fs: &FileSystem) {
        let scheme = &self.deployment.partition_scheme;
        let known = scheme.partitions().any(|partition| partition.name == fs.device)
            || scheme.mds.iter().any(|md| md.name == fs.device)
            || scheme.lvs.iter().any(|lv| lv.device() == fs.device);
        if !known {
            self.refuse(
                &Stage::ALL,
                &format!("{path}/device"),
                &fs.device,
                "the layout makes no such device",
                "name a partition of a disk in parteds; other disks are never written",
            );
        }
        if let Some(word) = fs.fs_options.split_whitespace().find(|word| is_path(word)) {
            self.refuse(
                &[Stage::Partition],
                &format!("{path}/fs_options"),
                word,
                "this names a file or a device, and mkfs would take it for the one to write",
                "leave it out; only the file system's own device is written",
            );
        }
        self.special(path, fs);
        match fs.fs_type.parse::<FsType>() {
            Err(unknown) => {
                let remedy = "use one of them";
                self.refuse(
                    &[Stage::Partition, Stage::Bootloader],
                    &format!("{path}/fs_type"),
                    &fs.fs_type,
                    &unknown.to_string(),
                    remedy,
                );
            }
            Ok(kind) if fs.fs_label.len() > kind.label_limit() => {
                let problem = format!(
                    "the label has {} bytes, {kind} takes {} at most",
                    fs.fs_label.len(),
                    kind.label_limit()
                );
                self.refuse(
                    &[Stage::Partition],
                    &format!("{path}/fs_label"),
                    &fs.fs_label,
                    &problem,
                    "shorten it",
                );
            }
            Ok(_) => {}
        }
    }

    /// A file system on a partition that something else is for.
    fn special(&mut self, path: &str, fs: &FileSystem) {
        let partitions = || self.deployment.partition_scheme.partitions();
        let Some(partition) = partitions().find(|partition| partition.name == fs.device) else { return };
        let (drive, esp) = (partition.configdrive, partition.esp && self.firmware.uefi());
        if drive {
            let remedy = "give the file system a partition of its own";
            let problem = "the config drive is written there";
            self.refuse(&WRITING, &format!("{path}/device"), &fs.device, problem, remedy);
        }
        if esp && fs.fs_type.parse() != Ok(FsType::Vfat) {
            let problem = "UEFI reads nothing but vfat from an EFI system partition";
            let remedy = "use vfat; on a GPT the flag boot makes an EFI system partition, as esp does";
            self.refuse(
                &[Stage::Partition, Stage::Bootloader],
                &format!("{path}/fs_type"),
                &fs.fs_type,
                problem,
                remedy,
            );
        }
    }

    fn images(&mut self) {
        let scheme = &self.deployment.partition_scheme;
        for (i, image) in self.deployment.image_scheme.iter().enumerate() {
            let path = format!("/image_scheme/{i}");
            let target = &image.target_device;
            let partition = scheme.partitions().find(|partition| &partition.name == target);
            if let Err(error) = image.container.parse::<bareon_image::Container>() {
                self.refuse(
                    &[Stage::CopyImage],
                    &format!("{path}/container"),
                    &image.container,
                    &error.to_string(),
                    "repack the image",
                );
            }
            if let Err(error) = bareon_image::check_uri(&image.uri) {
                self.refuse(
                    &[Stage::CopyImage],
                    &format!("{path}/uri"),
                    &image.uri,
                    &error.to_string(),
                    "serve the image so",
                );
            }
            let made = partition.is_some()
                || scheme.mds.iter().any(|md| &md.name == target)
                || scheme.lvs.iter().any(|lv| &lv.device() == target);
            if !made {
                self.refuse(
                    &Stage::ALL,
                    &format!("{path}/target_device"),
                    target,
                    "the layout makes no such device",
                    "write the image to a partition of a disk in parteds; other disks are never written",
                );
            }
            let room = partition.map(|partition| partition.size().bytes());
            if let (Some(size), Some(room)) = (image.size.map(Bytes), room)
                && size > room
            {
                let problem = format!("the image has {size}, {target} has room for {room}");
                let value = size.0.to_string();
                self.refuse(
                    &[Stage::Partition, Stage::CopyImage],
                    &format!("{path}/size"),
                    &value,
                    &problem,
                    "make the volume larger",
                );
            }
        }
    }

    fn boot_loader(&mut self) {
        let deployment = self.deployment;
        let scheme = &deployment.partition_scheme;
        if deployment.grub.version == Some(1) && !deployment.grub_guessed {
            self.refuse(
                &[Stage::Bootloader],
                "/grub/version",
                "1",
                "GRUB legacy is not installed yet",
                "use an image that brings GRUB 2",
            );
        }
        if scheme.root().is_none() {
            let remedy = "add a file system with mount \"/\"";
            self.refuse(
                &[Stage::Bootloader],
                "/partition_scheme/fss",
                "",
                "there is no root file system",
                remedy,
            );
        }
        let disks: Vec<_> = scheme.parteds.iter().enumerate().filter(|(_, p)| p.install_bootloader).collect();
        if disks.is_empty() {
            let remedy = "set install_bootloader of the disks that the machine boots from";
            self.refuse(
                &[Stage::Bootloader],
                "/partition_scheme/parteds",
                "",
                "no disk gets the boot loader",
                remedy,
            );
        }
        for (i, parted) in disks {
            let path = format!("/partition_scheme/parteds/{i}");
            let bios_boot = parted.partitions.iter().any(|partition| partition.is_bios_boot(parted.label));
            if self.firmware.bios() && parted.label == Label::Gpt && !bios_boot {
                let problem = "a GPT has no place for GRUB's BIOS image without a bios_grub partition";
                let remedy = "add one of 1 MiB or more with the flag bios_grub";
                self.refuse(&[Stage::Partition, Stage::Bootloader], &path, &parted.name, problem, remedy);
            }
            if self.firmware.uefi() && !parted.partitions.iter().any(|partition| partition.esp) {
                let problem = "UEFI needs an EFI system partition on a disk that it boots from";
                let remedy = "add one of 100 MiB or more with the flag esp";
                self.refuse(&[Stage::Partition, Stage::Bootloader], &path, &parted.name, problem, remedy);
            }
        }
    }
}

/// A mount point without trailing and doubled slashes.
fn normal(mount: &str) -> String {
    let parts: Vec<_> = mount.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

/// Whether a word of mkfs's options is, or holds, the name of a file or device.
fn is_path(word: &str) -> bool {
    word.starts_with(['/', '.']) || word.contains("/dev/")
}

fn is_guid(text: &str) -> bool {
    let lengths: Vec<_> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "it has none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
