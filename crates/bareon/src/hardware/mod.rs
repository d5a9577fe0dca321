//! The block devices of a machine, as udev, the kernel and sysfs describe them.
//!
//! What `bareon-provision hardware --json` prints on one machine can be planned with on another
//! (`plan --hardware FILE`), so these values carry all that a plan needs to know.

mod arrays;
pub mod content;
pub mod criterion;
pub mod explain;
mod groups;
pub mod identity;
mod kernel;
pub mod machine;
pub mod matching;
mod scan;
pub mod stack;
pub mod usage;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::objects::Bytes;

use content::Content;
use usage::Use;

pub use criterion::{Comparison, Criterion};
pub use identity::Identity;
pub use machine::{Machine, MachineError};
pub use matching::{Asked, DiskMatch, Found, MatchedBy, NoMatch, Wanted, find_disk};
pub use stack::Stack;

/// The size of a sector where nothing says another, and in which the kernel counts everywhere.
const SECTOR: u64 = 512;

/// A block device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BlockDevice {
    /// The device node, such as `/dev/sda`.
    pub device: String,
    /// udev's properties: `DEVNAME`, `DEVTYPE`, `DEVLINKS` (a list), `ID_SERIAL`, …
    #[serde(default)]
    pub uspec: Map<String, Value>,
    /// What the kernel says of its sizes, as texts: `size64` (bytes), `ss` (logical sector), `pbsz`, `ro`, …
    #[serde(default)]
    pub bspec: Map<String, Value>,
    /// What sysfs says: `removable`, `state`, `timeout`, …
    #[serde(default)]
    pub espec: Map<String, Value>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What lies on it, where that was recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contents: Vec<Content>,
    /// Who used it when it was recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<Use>,
    /// Who it is, by the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// The arrays and groups that lie on it, where that was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Stack>,
    /// The disk that this is one path to, where it has several (dm-multipath): that one is used, and never this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_to: Option<String>,
    /// By what its machine was booted, where that was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware: Option<BootedBy>,
}

/// The firmware that a machine was booted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BootedBy {
    /// A BIOS, or what behaves as one.
    Bios,
    /// UEFI.
    Uefi,
}

impl BlockDevice {
    /// The device node without `/dev/`, such as `sda` or `cciss/c0d0`.
    pub fn name(&self) -> &str {
        self.device.strip_prefix("/dev/").unwrap_or(&self.device)
    }

    /// The links that udev made to it, such as `/dev/disk/by-id/…`.
    pub fn devlinks(&self) -> Vec<&str> {
        match self.uspec.get("DEVLINKS") {
            Some(Value::Array(links)) => links.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(links)) => links.split_whitespace().collect(),
            _ => Vec::new(),
        }
    }

    /// One of udev's properties, such as `ID_SERIAL`.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.uspec.get(name).and_then(Value::as_str)
    }

    /// Its size, where it is known.
    pub fn size(&self) -> Option<Bytes> {
        let sectors = || number(self.bspec.get("sz")).and_then(|sectors| sectors.checked_mul(SECTOR));
        self.size.or_else(|| number(self.bspec.get("size64"))).or_else(sectors).map(Bytes)
    }

    /// The size of its logical sectors; 512 bytes where it is not known.
    pub fn sector_size(&self) -> Bytes {
        Bytes(number(self.bspec.get("ss")).filter(|size| *size > 0).unwrap_or(SECTOR))
    }

    /// Whether it can only be read.
    pub fn read_only(&self) -> bool {
        number(self.bspec.get("ro")).is_some_and(|ro| ro != 0)
    }
}

impl fmt::Display for BlockDevice {
    /// The node, size and identity, then the names by which an input may call it, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.size().unwrap_or_default();
        write!(f, "{}  {size}, sectors of {} bytes", self.device, self.sector_size().0)?;
        for (name, what) in [("ID_MODEL", "model"), ("ID_SERIAL_SHORT", "serial"), ("ID_WWN", "wwn")] {
            if let Some(value) = self.property(name) {
                write!(f, ", {what} {value}")?;
            }
        }
        if self.read_only() {
            f.write_str(", read-only")?;
        }
        if let Some(whole) = &self.path_to {
            write!(f, ", a path to {whole}")?;
        }
        for link in self.devlinks() {
            write!(f, "\n  {link}")?;
        }
        Ok(())
    }
}

/// A number that may be written as a text.
fn number(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_recorded_device_is_read() {
        let device: BlockDevice = serde_json::from_value(json!({
            "device": "/dev/sda", "startsec": "0",
            "uspec": {"DEVLINKS": ["/dev/disk/by-id/a", 7], "ID_SERIAL": "x"},
            "bspec": {"size64": "500107862016", "ss": "4096", "ro": "1"},
            "espec": {"removable": "0"},
        }))
        .unwrap();
        assert_eq!(device.name(), "sda");
        assert_eq!(device.devlinks(), ["/dev/disk/by-id/a"]);
        assert_eq!(device.property("ID_SERIAL"), Some("x"));
        assert_eq!(device.size(), Some(Bytes(500_107_862_016)));
        assert_eq!(device.sector_size(), Bytes(4096));
        assert!(device.read_only());
    }

    #[test]
    fn what_is_not_recorded_is_not_guessed() {
        let device: BlockDevice = serde_json::from_value(json!({"device": "/dev/vda"})).unwrap();
        assert_eq!(device.size(), None);
        assert_eq!(device.sector_size(), Bytes(512));
        assert!(device.devlinks().is_empty() && !device.read_only());
        let sectors =
            json!({"device": "/dev/vda", "bspec": {"sz": "8"}, "uspec": {"DEVLINKS": "/dev/a /dev/b"}});
        let device: BlockDevice = serde_json::from_value(sectors).unwrap();
        assert_eq!(device.size(), Some(Bytes(4096)));
        assert_eq!(device.devlinks(), ["/dev/a", "/dev/b"]);
    }
}
