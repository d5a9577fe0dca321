//! Disks and their tables: is the disk there, free and large enough, and can its table be written?

use std::collections::{BTreeMap, BTreeSet};

use super::{Checks, Stage, WRITING, layout};
use crate::objects::{
    Bytes,
    partition::{Label, Parted, Partition, PartitionType},
};

/// The mirror of the table at a disk's end: 32 sectors of entries and its header.
const BACKUP_GPT_SECTORS: u64 = 33;

impl Checks<'_> {
    pub(super) fn disks(&mut self) {
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
}

fn is_guid(text: &str) -> bool {
    let lengths: Vec<_> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "it has none".into() } else { names.join(", ") }
}
