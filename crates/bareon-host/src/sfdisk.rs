//! Partition tables: every call of `sfdisk(8)` is in this file.
//!
//! sfdisk, because one call writes a whole table with type GUIDs, names and attributes, and removes
//! the signatures that older users of the same place left; parted 3.5 knows no type GUIDs, sgdisk
//! leaves the signatures. The kernel is told by [`partx`](crate::partx): sfdisk's way, to have it
//! read the whole table again, fails while anything looks at the disk.

use std::fmt::Write as _;

use crate::{Cmd, Tool};

/// A GUID partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpt {
    /// The disk's device node.
    pub disk: String,
    /// The first logical sector that partitions may use.
    pub first_lba: u64,
    /// Its partitions.
    pub partitions: Vec<GptPartition>,
}

/// A partition of a [`Gpt`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GptPartition {
    /// Its number, from 1.
    pub number: u32,
    /// Where it begins, in logical sectors of the disk.
    pub start: u64,
    /// How long it is, in logical sectors of the disk.
    pub size: u64,
    /// Its type GUID.
    pub type_guid: String,
    /// Its name; a GPT has room for 36 UTF-16 units.
    pub name: String,
    /// Attributes by sfdisk's names, such as `LegacyBIOSBootable`.
    pub attributes: Vec<&'static str>,
}

/// Writes a new GPT over whatever table the disk has, and removes the signatures at the beginning
/// of each new partition. The kernel still has the old table afterwards.
pub fn write_gpt(gpt: &Gpt) -> Cmd {
    Tool::Sfdisk
        .cmd()
        .args([
            "--quiet",
            "--no-reread",
            "--no-tell-kernel",
            "--wipe",
            "always",
            "--wipe-partitions",
            "always",
        ])
        .arg(&gpt.disk)
        .stdin(script(gpt))
}

/// The table in sfdisk's own format.
fn script(gpt: &Gpt) -> String {
    let mut script = String::from("label: gpt\nunit: sectors\n");
    // Else libfdisk takes the first one from the disk's optimal I/O size, which may be beyond our first partition.
    // Writing to a `String` cannot fail.
    let _ = writeln!(script, "first-lba: {}\n", gpt.first_lba);
    for partition in &gpt.partitions {
        let _ = write!(
            script,
            "{}: start={}, size={}, type={}, name=\"{}\"",
            partition.number,
            partition.start,
            partition.size,
            partition.type_guid,
            escaped(&partition.name)
        );
        if !partition.attributes.is_empty() {
            let _ = write!(script, ", attrs=\"{}\"", partition.attributes.join(","));
        }
        script.push('\n');
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

    #[test]
    fn one_call_writes_the_whole_table() {
        let partition = |number, start, size, name: &str, attributes| GptPartition {
            number,
            start,
            size,
            type_guid: "0FC63DAF-8483-4772-8E79-3D69D8477DE4".into(),
            name: name.into(),
            attributes,
        };
        let gpt = Gpt {
            disk: "/dev/sda".into(),
            first_lba: 2048,
            partitions: vec![
                partition(1, 2048, 49152, "/", vec![]),
                partition(2, 51200, 2048, "a \"b\"", vec!["LegacyBIOSBootable"]),
            ],
        };
        assert_eq!(
            write_gpt(&gpt).to_string(),
            "sfdisk --quiet --no-reread --no-tell-kernel --wipe always --wipe-partitions always /dev/sda <<'END'\n\
             label: gpt\nunit: sectors\nfirst-lba: 2048\n\n\
             1: start=2048, size=49152, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=\"/\"\n\
             2: start=51200, size=2048, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=\"a _b_\", attrs=\"LegacyBIOSBootable\"\n\
             END"
        );
    }
}
