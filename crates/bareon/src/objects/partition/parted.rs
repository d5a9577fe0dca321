//! A disk's partition table.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::objects::Mib;

/// The kind of a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// GUID partition table.
    Gpt,
    /// The table in the master boot record.
    Msdos,
}

/// The kind of a partition; a GPT knows primary ones only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PartitionType {
    /// In the table itself.
    Primary,
    /// The one that holds the logical ones.
    Extended,
    /// Within the extended one.
    Logical,
}

/// A disk and its partition table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parted {
    /// The disk's device node, such as `/dev/sda`.
    pub name: String,
    /// The kind of table.
    pub label: Label,
    /// The partitions in the order of their numbers.
    #[serde(default)]
    pub partitions: Vec<Partition>,
    /// Whether the boot loader goes onto this disk.
    #[serde(default)]
    pub install_bootloader: bool,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Its device node, such as `/dev/nvme0n1p3`.
    pub name: String,
    /// Its number.
    pub count: u32,
    /// The disk's device node.
    pub device: String,
    /// Where it begins, in MiB from the disk's beginning.
    pub begin: Mib,
    /// Where it ends: the first MiB that is no longer part of it.
    pub end: Mib,
    /// Its kind.
    pub partition_type: PartitionType,
    /// Flags by parted's names: `bios_grub`, `boot`, `esp`, `raid`, `lvm`, …
    #[serde(default, deserialize_with = "list")]
    #[schemars(with = "Vec<String>")]
    pub flags: Vec<String>,
    /// The GPT type GUID; by flags and use where not given.
    #[serde(default)]
    pub guid: Option<String>,
    /// The config drive is written here.
    #[serde(default)]
    pub configdrive: bool,
    /// What lies on it stays.
    #[serde(default)]
    pub keep_data: bool,
    /// The EFI system partition, where the machine boots by UEFI; an ordinary one where it does not.
    #[serde(default)]
    pub esp: bool,
}

/// `null` is an empty list.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A text, or a number that is taken for its digits.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(u64),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Text(text) => text,
        Either::Number(number) => number.to_string(),
    })
}

/// The name of partition `number` of `disk` by the kernel's rule (`disk_name()` in
/// `block/partitions/core.c`): a `p` stands between them when the disk's name ends with a digit.
pub fn partition_name(disk: &str, number: u32) -> String {
    let separator = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{separator}{number}")
}

impl Parted {
    /// The device node of this disk's partition `number`.
    pub fn partition_name(&self, number: u32) -> String {
        partition_name(&self.name, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_p_stands_after_a_digit_only() {
        for (disk, name) in [
            ("/dev/sda", "/dev/sda3"),
            ("/dev/sdmd", "/dev/sdmd3"),
            ("/dev/nvme0n1", "/dev/nvme0n1p3"),
            ("/dev/mmcblk0", "/dev/mmcblk0p3"),
            ("/dev/cciss/c0d0", "/dev/cciss/c0d0p3"),
        ] {
            assert_eq!(partition_name(disk, 3), name);
        }
    }
}
