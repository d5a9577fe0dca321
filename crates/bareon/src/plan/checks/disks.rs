//! Disks and their tables: is the disk there, free and large enough, and can its table be written?

use std::collections::{BTreeMap, BTreeSet};

use super::{Checks, Stage, layout};
use crate::objects::{
    Bytes,
    partition::{Label, Parted, Partition, PartitionType},
};
use crate::plan::teardown;

/// The mirror of the table at a disk's end: 32 sectors of entries and its header.
const BACKUP_GPT_SECTORS: u64 = 33;

/// A master boot record counts sectors in 32 bits.
const DOS_SECTORS: u64 = u32::MAX as u64;

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
            self.refuse(&Stage::WRITING, path, name, "this machine has no such disk", &remedy);
            return;
        };
        if device.read_only() {
            self.refuse(
                &Stage::WRITING,
                path,
                name,
                "the disk can only be read",
                "take its write protection away",
            );
        }
        for used in self.machine.uses(name).iter().filter(|used| teardown::blocks(used, self.machine)) {
            let problem = format!("{} is in use: {}", used.device, used.by);
            self.refuse(&Stage::WRITING, path, name, &problem, &used.remedy);
        }
        let sector = device.sector_size().0;
        let Some(size) = device.size() else { return };
        let usable = match parted.label {
            Label::Gpt => Bytes(size.0.saturating_sub(BACKUP_GPT_SECTORS * sector)),
            Label::Msdos => Bytes(size.0.min(DOS_SECTORS * sector)),
        };
        // One is enough: those that follow lie beyond the end, too.
        let beyond = parted
            .partitions
            .iter()
            .enumerate()
            .find(|(_, partition)| !self.kept.device(&partition.name) && partition.end.bytes() > usable);
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
                let remedy = "let partitions follow one another";
                let value = partition.begin.0.to_string();
                self.refuse(&[Stage::Partition], &format!("{path}/begin"), &value, &problem, remedy);
            }
            // Logical partitions lie within the extended one.
            end = Some(match partition.partition_type {
                PartitionType::Extended if parted.label == Label::Msdos => partition.begin,
                _ => partition.end,
            });
        }
        if parted.label == Label::Msdos {
            self.master_boot_record(path, parted);
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
            self.refuse(&Stage::WRITING, &format!("{path}/name"), &partition.name, problem, &remedy);
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
        let gpt = parted.label == Label::Gpt;
        let count = partition.count.to_string();
        if gpt && !(1..=128).contains(&partition.count) {
            refuse("count", &count, "a GPT numbers its partitions from 1 to 128", "number them so");
        }
        if gpt && partition.partition_type != PartitionType::Primary {
            let kind = "extended or logical";
            refuse("partition_type", kind, "a GPT has primary partitions only", "use primary");
        }
        if let Some(guid) = partition.guid.as_ref().filter(|guid| !is_guid(guid)) {
            let remedy = "write it as 0FC63DAF-8483-4772-8E79-3D69D8477DE4, or leave it out";
            refuse("guid", guid, "this is no GUID", remedy);
        }
        let known =
            |flag: &str| if gpt { layout::flag(flag).is_some() } else { layout::dos_flag(flag).is_some() };
        for flag in partition.flags.iter().filter(|flag| !known(flag)) {
            let (problem, remedy) = if gpt {
                let all = "use bios_grub, esp, boot, raid, lvm, swap, msftdata, msftres, prep, legacy_boot or hidden";
                ("a GPT has no such flag", all)
            } else {
                ("a master boot record has no such flag", "use boot, esp, raid, lvm, swap, prep or lba")
            };
            refuse("flags", flag, problem, remedy);
        }
        if !gpt && partition.guid.as_ref().is_some_and(|guid| !guid.is_empty()) {
            let guid = partition.guid.as_deref().unwrap_or_default();
            let remedy = "leave it out, or use the label gpt";
            refuse("guid", guid, "a master boot record has no type GUIDs", remedy);
        }
    }

    /// What holds for a master boot record alone: four primary partitions, one of which may be extended; in that the
    /// logical ones, numbered from 5, each with a sector of its own table before it.
    fn master_boot_record(&mut self, path: &str, parted: &Parted) {
        let extended = parted.partitions.iter().find(|part| part.partition_type == PartitionType::Extended);
        let mut next = 5;
        let mut before = extended.map(|extended| extended.begin);
        let mut seen = 0;
        for (j, partition) in parted.partitions.iter().enumerate() {
            let path = format!("{path}/partitions/{j}");
            let mut refuse = |key: &str, value: u64, problem: &str, remedy: &str| {
                self.refuse(
                    &[Stage::Partition],
                    &format!("{path}/{key}"),
                    &value.to_string(),
                    problem,
                    remedy,
                );
            };
            if partition.partition_type != PartitionType::Logical {
                seen += u32::from(partition.partition_type == PartitionType::Extended);
                if seen > 1 {
                    let remedy = "put all logical partitions into one";
                    refuse("count", partition.count.into(), "there is an extended partition already", remedy);
                }
                if !(1..=4).contains(&partition.count) {
                    let remedy = "make the others logical ones, within an extended one";
                    refuse(
                        "count",
                        partition.count.into(),
                        "a master boot record has the numbers 1 to 4",
                        remedy,
                    );
                }
                continue;
            }
            if partition.count != next {
                let remedy = "number them from 5 on, without gaps";
                refuse(
                    "count",
                    partition.count.into(),
                    &format!("this logical partition gets number {next}"),
                    remedy,
                );
            }
            next += 1;
            let within =
                |extended: &Partition| partition.begin >= extended.begin && partition.end <= extended.end;
            if !extended.is_some_and(within) {
                let remedy = "let an extended partition reach over all logical ones";
                refuse("begin", partition.begin.0, "this logical partition lies in no extended one", remedy);
            }
            if before == Some(partition.begin) {
                let remedy = format!("begin at {} or later", partition.begin.0 + 1);
                let problem = "each logical partition has a table of its own in the MiB before it";
                refuse("begin", partition.begin.0, problem, &remedy);
            }
            before = Some(partition.end);
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
