//! What lies on the disks: their tables, partitions, file systems and labels.
//!
//! It is read to be shown before it is destroyed, by the names that people know it by. udev has
//! probed every device already; one that it does not know (no udev runs, as in a chroot) is probed.

use std::{collections::BTreeMap, fmt};

use bareon_host::{
    CommandError, Runner,
    blkid::{self, Probed},
    udevadm::Device,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BlockDevice,
    usage::{self, Kernel},
};
use crate::objects::Bytes;

/// Something that lies on a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Content {
    /// The disk.
    pub disk: String,
    /// The disk itself, or a partition of it.
    pub device: String,
    /// What it is: `gpt`, `dos`, `ext4`, `LVM2_member`, …; nothing where nothing is known to lie there.
    pub kind: Option<String>,
    /// The label of the file system.
    pub label: Option<String>,
    /// The name of the partition.
    pub name: Option<String>,
    /// The size of the device in bytes.
    pub size: Bytes,
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

/// What lies on `disks`, disk by disk. An empty disk without partitions has no entry.
pub(super) fn contents(
    host: &dyn Runner,
    kernel: &Kernel,
    known: &BTreeMap<String, Device>,
    disks: &[BlockDevice],
) -> Result<Vec<Content>, CommandError> {
    let mut found = Vec::new();
    for disk in disks {
        let name = usage::kernel_name(&disk.device);
        let partitions = usage::partitions(&kernel.sys, &name);
        let whole = content(host, known, &name, &disk.device, disk.size().unwrap_or_default())?;
        if whole.kind.is_some() || !partitions.is_empty() {
            found.push(whole);
        }
        for partition in partitions {
            let size = usage::size_in(&kernel.sys.join("class/block").join(&partition)).unwrap_or_default();
            found.push(content(host, known, &partition, &disk.device, size)?);
        }
    }
    Ok(found)
}

fn content(
    host: &dyn Runner,
    known: &BTreeMap<String, Device>,
    name: &str,
    disk: &str,
    size: Bytes,
) -> Result<Content, CommandError> {
    let device = usage::node(name);
    let (kind, label, partition) = if let Some(udev) = known.get(name).filter(|udev| probed_by_udev(udev)) {
        let property = |key: &str| udev.properties.get(key).cloned();
        (
            property("ID_FS_TYPE").or_else(|| property("ID_PART_TABLE_TYPE")),
            property("ID_FS_LABEL_ENC").map(|label| decoded(&label)),
            property("ID_PART_ENTRY_NAME").map(|name| decoded(&name)),
        )
    } else {
        let probed = probe(host, &device)?;
        let unknown = probed.ambivalent.then(|| "unknown".to_owned());
        (probed.fs_type.or(probed.table).or(unknown), probed.label, None)
    };
    Ok(Content { disk: disk.into(), device, kind, label, name: partition, size })
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
            let content = content(&host, &BTreeMap::new(), "vdx", "/dev/vdx", Bytes(1)).unwrap();
            assert_eq!(content.kind.as_deref(), kind, "{status}");
        }
    }

    #[test]
    fn udev_escapes_are_undone() {
        assert_eq!(decoded("my\\x20data\\xc3\\xa9"), "my dataé");
        assert_eq!(decoded("a\\xzz"), "a\\xzz");
    }
}
