//! A disk's partition table.

use bareon_host::kpartx;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::objects::Mib;

/// The GPT type of an EFI system partition (UEFI specification, chapter 5.3.3).
pub const ESP_GUID: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";

/// The GPT type of the partition that GRUB's core image lies in where a machine boots by BIOS.
pub const BIOS_BOOT_GUID: &str = "21686148-6449-6E6F-744E-656564454649";

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

/// Whether a disk is the device mapper's: one with several paths (dm-multipath), whose partitions kpartx(8) makes.
pub fn is_mapped(disk: &str) -> bool {
    disk.starts_with("/dev/mapper/")
}

/// The name of partition `number` of `disk` by the kernel's rule (`disk_name()` in
/// `block/partitions/core.c`): a `p` stands between them when the disk's name ends with a digit. Of a disk with several
/// paths it is the one that kpartx(8) is told to give.
pub fn partition_name(disk: &str, number: u32) -> String {
    if is_mapped(disk) {
        return format!("{disk}{}{number}", kpartx::DELIMITER);
    }
    let separator = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{separator}{number}")
}

impl Partition {
    /// Its size; 0 where it ends before it begins.
    pub const fn size(&self) -> Mib {
        Mib(self.end.0.saturating_sub(self.begin.0))
    }

    /// Whether it is an EFI system partition in a table of the kind `label`: by its type GUID where it
    /// has one, else by its flags or by what it was laid out as. On a GPT, parted's `boot` is another
    /// name of `esp`; in a master boot record it marks the partition that is booted.
    pub fn is_esp(&self, label: Label) -> bool {
        match self.type_guid(label) {
            Some(guid) => guid.eq_ignore_ascii_case(ESP_GUID),
            None => self.esp || self.has_flag("esp") || (label == Label::Gpt && self.has_flag("boot")),
        }
    }

    /// Whether GRUB's core image for a BIOS lies in it; only a GPT has such partitions.
    pub fn is_bios_boot(&self, label: Label) -> bool {
        match self.type_guid(label) {
            Some(guid) => guid.eq_ignore_ascii_case(BIOS_BOOT_GUID),
            None => label == Label::Gpt && self.has_flag("bios_grub"),
        }
    }

    /// The flag that says another type than the GUID does; nothing where the two agree.
    pub fn contradiction(&self, label: Label) -> Option<&str> {
        let guid = self.type_guid(label)?;
        let says = |flag: &str| match flag {
            "bios_grub" => Some(BIOS_BOOT_GUID),
            "esp" | "boot" => Some(ESP_GUID),
            _ => None,
        };
        let other = |flag: &&str| says(flag).is_some_and(|says| !guid.eq_ignore_ascii_case(says));
        self.flags.iter().map(String::as_str).find(other)
    }

    fn has_flag(&self, name: &str) -> bool {
        self.flags.iter().any(|flag| flag == name)
    }

    /// The type GUID that was given; only a GPT has room for one.
    fn type_guid(&self, label: Label) -> Option<&str> {
        self.guid.as_deref().filter(|guid| label == Label::Gpt && !guid.is_empty())
    }
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

    fn partition(flags: &[&str], guid: Option<&str>) -> Partition {
        Partition {
            name: "/dev/sda1".into(),
            count: 1,
            device: "/dev/sda".into(),
            begin: Mib(1),
            end: Mib(25),
            partition_type: PartitionType::Primary,
            flags: flags.iter().map(ToString::to_string).collect(),
            guid: guid.map(str::to_owned),
            configdrive: false,
            keep_data: false,
            esp: false,
        }
    }

    #[test]
    fn flag_and_guid_say_the_type_and_the_guid_wins() {
        const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
        let esp = ESP_GUID.to_lowercase();
        for (flags, guid, is_esp, is_bios_boot, contradiction) in [
            (&[][..], None, false, false, None),
            (&["esp"], None, true, false, None),
            (&["raid", "boot"], None, true, false, None),
            (&["bios_grub"], None, false, true, None),
            (&[], Some(&*esp), true, false, None),
            (&["esp"], Some(&*esp), true, false, None),
            (&[], Some(BIOS_BOOT_GUID), false, true, None),
            (&["bios_grub"], Some(""), false, true, None),
            (&["bios_grub"], Some(LINUX), false, false, Some("bios_grub")),
            (&["raid", "esp"], Some(LINUX), false, false, Some("esp")),
            (&["bios_grub"], Some(&*esp), true, false, Some("bios_grub")),
            (&["raid"], Some(LINUX), false, false, None),
        ] {
            let found = partition(flags, guid);
            let row = format!("{flags:?} {guid:?}");
            assert_eq!(found.is_esp(Label::Gpt), is_esp, "{row}");
            assert_eq!(found.is_bios_boot(Label::Gpt), is_bios_boot, "{row}");
            assert_eq!(found.contradiction(Label::Gpt), contradiction, "{row}");
        }
        assert!(!partition(&["boot"], None).is_esp(Label::Msdos));
        assert!(partition(&["esp"], None).is_esp(Label::Msdos));
        assert!(!partition(&["bios_grub"], None).is_bios_boot(Label::Msdos));
    }

    #[test]
    fn a_partition_that_ends_before_it_begins_has_no_size() {
        let mut partition = partition(&[], None);
        assert_eq!(partition.size(), Mib(24));
        partition.begin = Mib(30);
        assert_eq!(partition.size(), Mib(0));
    }

    #[test]
    fn a_p_stands_after_a_digit_only() {
        for (disk, name) in [
            ("/dev/sda", "/dev/sda3"),
            ("/dev/sdmd", "/dev/sdmd3"),
            ("/dev/nvme0n1", "/dev/nvme0n1p3"),
            ("/dev/mmcblk0", "/dev/mmcblk0p3"),
            ("/dev/cciss/c0d0", "/dev/cciss/c0d0p3"),
            ("/dev/mapper/mpatha", "/dev/mapper/mpatha-part3"),
        ] {
            assert_eq!(partition_name(disk, 3), name);
        }
    }
}
