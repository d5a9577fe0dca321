//! What lies on the disks: their tables, partitions, file systems and labels, also those on arrays and volumes.
//!
//! It is read to be shown before it is destroyed, by the names that people know it by. udev has
//! probed every device already; one that it does not know (no udev runs, as in a chroot) is probed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bareon_host::{
    CommandError, Runner,
    blkid::{self, Probed},
    udevadm::Device,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BlockDevice, SECTOR, Stack,
    kernel::{Kernel, bytes_in, size_in},
};
use crate::objects::Bytes;

/// Something that lies on a disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Content {
    /// The disk.
    pub disk: String,
    /// The disk itself, a partition of it, or what it carries a part of where this is `stacked`.
    pub device: String,
    /// Whether the device is an array, a partition of one, or a logical volume: of each disk below it there is such an
    /// entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stacked: bool,
    /// What it is: `gpt`, `dos`, `ext4`, `LVM2_member`, …; nothing where nothing is known to lie there.
    pub kind: Option<String>,
    /// The label of the file system.
    pub label: Option<String>,
    /// The name of the partition.
    pub name: Option<String>,
    /// The size of the device in bytes.
    pub size: Bytes,
    /// The UUID of the file system, the array that this is a member of, the physical volume or the partition table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The partition's own UUID; of a master boot record, the disk's and the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partuuid: Option<String>,
    /// The partition's type: a GUID in a GPT, `0x83` in a master boot record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_type: Option<String>,
    /// The partition's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// How far from the disk's beginning the partition lies, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Bytes>,
}

impl Content {
    /// Whether this is a partition of the disk.
    pub fn is_partition(&self) -> bool {
        !self.stacked && self.device != self.disk
    }

    /// Without the disk's own table, which udev tells of each partition, too. Of an extended partition it is true.
    fn without_table(self, table: &(Option<String>, Option<String>)) -> Self {
        /// The types of extended partitions: CHS, LBA, Linux.
        const EXTENDED: [&str; 3] = ["0x5", "0xf", "0x85"];
        let extended = self.part_type.as_deref().is_some_and(|kind| EXTENDED.contains(&kind));
        if extended || (&self.kind, &self.uuid) != (&table.0, &table.1) {
            return self;
        }
        Self { kind: None, uuid: None, ..self }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.device, self.size)?;
        match &self.kind {
            Some(kind) => write!(f, ": {kind}")?,
            None => f.write_str(": nothing known")?,
        }
        if let Some(label) = &self.label {
            write!(f, ", label {label:?}")?;
        }
        if let Some(name) = &self.name {
            write!(f, ", partition {name:?}")?;
        }
        Ok(())
    }
}

/// Looks what lies on devices.
pub(super) struct Looker<'a> {
    pub(super) host: &'a dyn Runner,
    pub(super) kernel: &'a Kernel,
    /// What udev knows, by kernel name.
    pub(super) known: &'a BTreeMap<String, Device>,
}

impl Looker<'_> {
    /// What lies on `disks`, disk by disk. An empty disk without partitions has no entry, nor has a path to a disk
    /// that has several.
    pub(super) fn disks(&self, disks: &[BlockDevice]) -> Result<Vec<Content>, CommandError> {
        let mut found = Vec::new();
        for disk in disks.iter().filter(|disk| disk.path_to.is_none()) {
            let name = self.kernel.name(&disk.device);
            let partitions = self.kernel.partitions(&name);
            let whole = self.device(&name, &disk.device)?;
            let table = (whole.kind.clone(), whole.uuid.clone());
            if whole.kind.is_some() || !partitions.is_empty() {
                found.push(whole);
            }
            for (number, partition) in partitions {
                let content = self.device(&partition, &disk.device)?;
                found.push(Content { number: Some(number), ..content }.without_table(&table));
            }
        }
        Ok(found)
    }

    /// What lies on arrays and active volumes, for each disk that `below` tells of them. What lies on arrays is among
    /// `contents` already, as on disks.
    pub(super) fn stacked(
        &self,
        stack: &Stack,
        contents: &[Content],
        below: impl Fn(&str) -> BTreeSet<String>,
    ) -> Result<Vec<Content>, CommandError> {
        let mut above = Vec::new();
        for array in stack.arrays.iter().filter_map(|array| array.device.as_ref()) {
            above.extend(contents.iter().filter(|content| &content.disk == array).cloned());
        }
        for lv in stack.groups.iter().flat_map(|group| &group.lvs).filter(|lv| lv.active) {
            let content = self.device(&self.kernel.name(&lv.device), "")?;
            above.push(Content { device: lv.device.clone(), size: lv.size, ..content });
        }
        let spread = |content: Content| {
            let disks = below(&content.device);
            disks.into_iter().map(move |disk| Content { disk, stacked: true, ..content.clone() })
        };
        Ok(above.into_iter().flat_map(spread).collect())
    }

    /// What lies on the device with that kernel name.
    fn device(&self, name: &str, disk: &str) -> Result<Content, CommandError> {
        let device = self.kernel.node(name);
        let dir = self.kernel.class(name);
        let (disk, size) = (disk.to_owned(), size_in(&dir).unwrap_or_default());
        let base = Content { disk, device, size, start: bytes_in(&dir, "start"), ..Content::default() };
        match self.known.get(name).filter(|udev| probed_by_udev(udev)) {
            Some(udev) => Ok(by_udev(udev, base)),
            None => Ok(by_probe(probe(self.host, &base.device)?, base)),
        }
    }
}

fn by_udev(udev: &Device, base: Content) -> Content {
    let property = |key: &str| udev.properties.get(key).cloned();
    let sectors = property("ID_PART_ENTRY_OFFSET").and_then(|sectors| sectors.parse().ok());
    Content {
        kind: property("ID_FS_TYPE").or_else(|| property("ID_PART_TABLE_TYPE")),
        label: property("ID_FS_LABEL_ENC").map(|label| decoded(&label)),
        name: property("ID_PART_ENTRY_NAME").map(|name| decoded(&name)),
        uuid: property("ID_FS_UUID").or_else(|| property("ID_PART_TABLE_UUID")),
        partuuid: property("ID_PART_ENTRY_UUID"),
        part_type: property("ID_PART_ENTRY_TYPE"),
        start: base.start.or_else(|| from_sectors(sectors)),
        ..base
    }
}

fn by_probe(probed: Probed, base: Content) -> Content {
    let unknown = probed.ambivalent.then(|| "unknown".to_owned());
    Content {
        kind: probed.fs_type.or(probed.table).or(unknown),
        label: probed.label,
        name: probed.part_name,
        uuid: probed.uuid.or(probed.table_uuid),
        partuuid: probed.partuuid,
        part_type: probed.part_type,
        start: base.start.or_else(|| from_sectors(probed.part_offset)),
        ..base
    }
}

fn from_sectors(sectors: Option<u64>) -> Option<Bytes> {
    sectors.map(|sectors| Bytes(sectors.saturating_mul(SECTOR)))
}

/// Reads what lies on `device`. It is only told, so a device that cannot be read (it may be the one
/// that is to be replaced) is unknown, and no failure.
fn probe(host: &dyn Runner, device: &str) -> Result<Probed, CommandError> {
    match host.run(&blkid::probe(device)) {
        Ok(answer) => Ok(blkid::probed(&answer)),
        Err(error @ CommandError::Cancelled { .. }) => Err(error),
        Err(error) => {
            tracing::warn!("what lies on {device} stays unknown: {error}");
            Ok(Probed { ambivalent: true, ..Probed::default() })
        }
    }
}

/// Whether udev has worked on the device: it says since when.
fn probed_by_udev(udev: &Device) -> bool {
    udev.properties.contains_key("USEC_INITIALIZED")
}

/// Undoes udev's `\x20` for a blank, and the like.
fn decoded(text: &str) -> String {
    let mut parts = text.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[2..]);
            }
            None => bytes.extend_from_slice(format!("\\x{part}").as_bytes()),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;

    #[test]
    fn what_cannot_be_told_is_unknown() {
        let line = "blkid -p -o export /dev/vdx";
        for (status, kind) in [(2, None), (8, Some("unknown")), (4, Some("unknown"))] {
            let host = Script::default().fails(line, status, "blkid: ambivalent result");
            let kernel = Kernel { proc: "/nonexistent".into(), sys: "/nonexistent".into() };
            let looker = Looker { host: &host, kernel: &kernel, known: &BTreeMap::new() };
            let content = looker.device("vdx", "/dev/vdx").unwrap();
            assert_eq!(content.kind.as_deref(), kind, "{status}");
        }
    }

    #[test]
    fn udev_escapes_are_undone() {
        assert_eq!(decoded("my\\x20data\\xc3\\xa9"), "my dataé");
        assert_eq!(decoded("a\\xzz"), "a\\xzz");
    }

    #[test]
    fn the_table_of_the_disk_is_not_that_of_its_partitions() {
        let table = (Some("dos".to_owned()), Some("ab".to_owned()));
        let partition = |kind: &str, uuid: &str, part_type: &str| {
            let (kind, uuid, part_type) = (Some(kind.into()), Some(uuid.into()), Some(part_type.into()));
            Content { kind, uuid, part_type, ..Content::default() }.without_table(&table).kind
        };
        assert_eq!(partition("dos", "ab", "0x83"), None);
        assert_eq!(partition("dos", "ab", "0x5").as_deref(), Some("dos"));
        assert_eq!(partition("dos", "cd", "0x83").as_deref(), Some("dos"));
        assert_eq!(partition("ext4", "cd", "0x83").as_deref(), Some("ext4"));
    }
}
