//! Partition tables: every call of `sfdisk(8)` is in this file.
//!
//! sfdisk, because one call writes a whole table with type GUIDs, names and attributes, and removes
//! the signatures that older users of the same place left; parted 3.5 knows no type GUIDs, sgdisk
//! leaves the signatures. The kernel is told by [`partx`](crate::partx): sfdisk's way, to have it
//! read the whole table again, fails while anything looks at the disk.
//!
//! A table of which partitions are kept is changed, not written anew: the others are deleted from it, and new ones
//! appended.

use std::fmt::Write as _;

use crate::{Cmd, Tool};

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's device node.
    pub disk: String,
    /// Its kind.
    pub label: Label,
    /// Its partitions; an extended one stands before its logical ones.
    pub partitions: Vec<TablePartition>,
}

/// The kind of a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// GUID partition table.
    Gpt {
        /// The first logical sector that partitions may use.
        first_lba: u64,
    },
    /// The table in the master boot record.
    Dos,
}

/// A partition of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePartition {
    /// Its number, from 1.
    pub number: u32,
    /// Where it begins, in logical sectors of the disk.
    pub start: u64,
    /// How long it is, in logical sectors of the disk.
    pub size: u64,
    /// Its type: a GUID, or the hexadecimal number of a master boot record.
    pub kind: String,
    /// Its name; a GPT has room for 36 UTF-16 units, a master boot record has none.
    pub name: String,
    /// Attributes by sfdisk's names, such as `LegacyBIOSBootable`.
    pub attributes: Vec<&'static str>,
    /// Whether a BIOS starts from it; only a master boot record says so.
    pub bootable: bool,
}

/// The ids of a GPT, which else are random.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// The disk's GUID.
    pub disk: String,
    /// Those of its partitions, in their order.
    pub partitions: Vec<String>,
}

const CAREFULLY: [&str; 3] = ["--quiet", "--no-reread", "--no-tell-kernel"];

/// Writes a new table over whatever table the disk has, and removes the signatures in each new partition. The kernel
/// still has the old table afterwards.
pub fn write(table: &Table) -> Cmd {
    Tool::Sfdisk
        .cmd()
        .args(CAREFULLY)
        .args(["--wipe", "always", "--wipe-partitions", "always"])
        .arg(&table.disk)
        .stdin(header(table) + &lines(table, &[]))
}

/// The same for a file that is to be a disk, such that the same table gives the same bytes.
pub fn write_with_ids(table: &Table, ids: &Ids) -> Cmd {
    let script = format!("label-id: {}\n{}{}", ids.disk, header(table), lines(table, &ids.partitions));
    Tool::Sfdisk.cmd().args(CAREFULLY).args(["--wipe", "always", &table.disk]).stdin(script)
}

/// Deletes partitions from the table of `disk`. The kernel still has the old table afterwards.
pub fn delete(disk: &str, numbers: &[u32]) -> Cmd {
    Tool::Sfdisk.cmd().args(CAREFULLY).args(["--delete", disk]).args(numbers.iter().map(u32::to_string))
}

/// Adds the partitions of `table` to those that the disk's table has, and removes the signatures in them. The kernel
/// still has the old table afterwards.
pub fn append(table: &Table) -> Cmd {
    Tool::Sfdisk
        .cmd()
        .args(CAREFULLY)
        .args(["--wipe", "never", "--wipe-partitions", "always", "--append", &table.disk])
        .stdin(lines(table, &[]))
}

/// Lets the partition `number` of `disk` reach up to what follows it. The kernel still has the old table afterwards.
pub fn grow(disk: &str, number: u32) -> Cmd {
    Tool::Sfdisk
        .cmd()
        .args(CAREFULLY)
        .args(["--wipe", "never", "--wipe-partitions", "never", "-N"])
        .arg(number.to_string())
        .arg(disk)
        .stdin(", +\n")
}

/// A partition as [`dump`] tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dumped {
    /// Its number.
    pub number: u32,
    /// Where it begins, in logical sectors.
    pub start: u64,
    /// Its type.
    pub kind: String,
}

/// Reads what [`dump`] printed of `disk`.
pub fn parse_dump(disk: &str, text: &str) -> Vec<Dumped> {
    let read = |line: &str| {
        let (node, fields) = line.split_once(" : ")?;
        let digits = node.trim().strip_prefix(disk)?.trim_start_matches(|c: char| !c.is_ascii_digit());
        let field = |name: &str| {
            fields.split(',').find_map(|field| Some(field.trim().strip_prefix(name)?.trim().to_owned()))
        };
        Some(Dumped {
            number: digits.parse().ok()?,
            start: field("start=")?.parse().ok()?,
            kind: field("type=")?,
        })
    };
    text.lines().filter_map(read).collect()
}

/// Prints the table of `disk` in the format that [`write`] takes.
pub fn dump(disk: &str) -> Cmd {
    Tool::Sfdisk.cmd().args(["--dump", disk])
}

fn header(table: &Table) -> String {
    match table.label {
        // Else libfdisk takes the first one from the disk's optimal I/O size, which may be beyond our first partition.
        Label::Gpt { first_lba } => format!("label: gpt\nunit: sectors\nfirst-lba: {first_lba}\n\n"),
        Label::Dos => "label: dos\nunit: sectors\n\n".to_owned(),
    }
}

/// The partitions in sfdisk's own format, the first ones with ids.
fn lines(table: &Table, ids: &[String]) -> String {
    let mut script = String::new();
    for (place, partition) in table.partitions.iter().enumerate() {
        let TablePartition { number, start, size, kind, name, attributes, bootable } = partition;
        // Writing to a `String` cannot fail.
        let _ = write!(script, "{number}: start={start}, size={size}, type={kind}");
        if matches!(table.label, Label::Gpt { .. }) {
            let _ = write!(script, ", name=\"{}\"", escaped(name));
        }
        if let Some(id) = ids.get(place) {
            let _ = write!(script, ", uuid={id}");
        }
        if !attributes.is_empty() {
            let _ = write!(script, ", attrs=\"{}\"", attributes.join(","));
        }
        script.push_str(if *bootable { ", bootable\n" } else { "\n" });
    }
    script
}

/// sfdisk reads a name up to the next quotation mark and knows no way to write one within.
fn escaped(name: &str) -> String {
    name.chars().map(|c| if c == '"' || c.is_control() { '_' } else { c }).take(36).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: u32, start: u64, size: u64, name: &str) -> TablePartition {
        TablePartition {
            number,
            start,
            size,
            kind: "0FC63DAF-8483-4772-8E79-3D69D8477DE4".into(),
            name: name.into(),
            attributes: vec![],
            bootable: false,
        }
    }

    #[test]
    fn one_call_writes_the_whole_table() {
        let named = partition(2, 51200, 2048, "a \"b\"");
        let named = TablePartition { attributes: vec!["LegacyBIOSBootable"], ..named };
        let table = Table {
            disk: "/dev/sda".into(),
            label: Label::Gpt { first_lba: 2048 },
            partitions: vec![partition(1, 2048, 49152, "/"), named],
        };
        assert_eq!(
            write(&table).to_string(),
            "sfdisk --quiet --no-reread --no-tell-kernel --wipe always --wipe-partitions always /dev/sda <<'END'\n\
             label: gpt\nunit: sectors\nfirst-lba: 2048\n\n\
             1: start=2048, size=49152, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=\"/\"\n\
             2: start=51200, size=2048, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=\"a _b_\", attrs=\"LegacyBIOSBootable\"\n\
             END"
        );
    }

    #[test]
    fn a_file_gets_the_ids_that_it_is_to_have() {
        let table = Table {
            disk: "/w/raw".into(),
            label: Label::Gpt { first_lba: 2048 },
            partitions: vec![partition(1, 2048, 49152, "root")],
        };
        let ids = Ids { disk: "d".into(), partitions: vec!["p".into()] };
        assert_eq!(
            write_with_ids(&table, &ids).to_string(),
            "sfdisk --quiet --no-reread --no-tell-kernel --wipe always /w/raw <<'END'\n\
             label-id: d\nlabel: gpt\nunit: sectors\nfirst-lba: 2048\n\n\
             1: start=2048, size=49152, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=\"root\", uuid=p\n\
             END"
        );
    }

    #[test]
    fn a_master_boot_record_has_a_bootable_partition_and_no_names() {
        let boot = TablePartition { kind: "83".into(), bootable: true, ..partition(1, 2048, 4096, "/") };
        let table = Table { disk: "/dev/sda".into(), label: Label::Dos, partitions: vec![boot] };
        let line = write(&table).to_string();
        assert!(
            line.ends_with("label: dos\nunit: sectors\n\n1: start=2048, size=4096, type=83, bootable\nEND"),
            "{line}"
        );
    }

    #[test]
    fn the_last_partition_grows_by_its_number() {
        assert_eq!(
            grow("/dev/sda", 2).to_string(),
            "sfdisk --quiet --no-reread --no-tell-kernel --wipe never --wipe-partitions never -N 2 /dev/sda <<'END'\n\
             , +\nEND"
        );
        // util-linux 2.38.
        let recorded = "label: gpt\nlabel-id: 2B\ndevice: /dev/nvme0n1\nunit: sectors\nlast-lba: 204766\n\n\
                        /dev/nvme0n1p15 : start=        2048, size=       20480, type=0FC6, uuid=A1, name=\"a, b : c\"\n\
                        /dev/nvme0n1p1 : start=       22528, size=      182239, type=83, bootable\n";
        assert_eq!(
            parse_dump("/dev/nvme0n1", recorded),
            [
                Dumped { number: 15, start: 2048, kind: "0FC6".into() },
                Dumped { number: 1, start: 22528, kind: "83".into() },
            ]
        );
    }

    #[test]
    fn a_table_is_changed_without_its_other_partitions() {
        assert_eq!(
            delete("/dev/sda", &[3, 4]).to_string(),
            "sfdisk --quiet --no-reread --no-tell-kernel --delete /dev/sda 3 4"
        );
        let label = Label::Gpt { first_lba: 2048 };
        let table = Table { disk: "/dev/sda".into(), label, partitions: vec![partition(3, 8, 9, "x")] };
        assert_eq!(
            append(&table).to_string(),
            "sfdisk --quiet --no-reread --no-tell-kernel --wipe never --wipe-partitions always --append /dev/sda <<'END'\n\
             3: start=8, size=9, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=\"x\"\nEND"
        );
    }
}
