//! Who a disk is, whatever its name: serial number, WWN, size.
//!
//! Kernel names move. A plan remembers the identity of each disk that it writes, and a step reads it again from the
//! kernel just before it writes: a disk that was swapped meanwhile is not written.

use std::{fmt, fs};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, size_in};
use crate::objects::Bytes;

/// What tells a disk from all others, as far as the kernel knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The serial number.
    pub serial: Option<String>,
    /// The world wide name, or what the bus has in its place (NVMe's `nguid` or `eui`).
    pub wwn: Option<String>,
    /// The size in bytes.
    pub size: Bytes,
}

/// A disk that is another than the one that was planned for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{device} is not the disk that this was planned for: then it was {planned}, now it is {found}; nothing was written \
     to it; run `bareon-provision plan` again, and name the disk by its serial number or WWN"
)]
pub struct Changed {
    /// The disk's node.
    pub device: String,
    /// Who it was.
    pub planned: Box<Identity>,
    /// Who it is.
    pub found: Box<Identity>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.size.0)?;
        for (what, value) in [("serial", &self.serial), ("wwn", &self.wwn)] {
            if let Some(value) = value {
                write!(f, ", {what} {value}")?;
            }
        }
        Ok(())
    }
}

impl Identity {
    /// Who the disk `device` is now, by the kernel.
    pub fn of(device: &str, kernel: &Kernel) -> Self {
        let name = kernel.name(device);
        let text = |name: &str, files: &[&str]| {
            files.iter().find_map(|file| {
                let bytes = fs::read(kernel.class(name).join(file)).ok()?;
                // A page of vital product data begins with its type, its number and its length in two bytes.
                let value = if file.ends_with("vpd_pg80") { bytes.get(4..)? } else { &bytes };
                let text: String =
                    String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).collect();
                Some(text.trim().to_owned()).filter(|text| says_something(text))
            })
        };
        // virtio has it at the disk, NVMe and eMMC at the controller, SCSI in page 0x80 of its vital product data; a
        // disk with several paths at each of them.
        let serials = ["serial", "device/serial", "device/vpd_pg80"];
        let by_path = || kernel.below(&name).iter().find_map(|path| text(path, &serials));
        Self {
            serial: text(&name, &serials).or_else(|| kernel.is_multipath(&name).then(by_path)?),
            wwn: text(&name, &["wwid", "device/wwid", "dm/uuid", "md/uuid"]),
            size: size_in(&kernel.class(&name)).unwrap_or_default(),
        }
    }

    /// Looks whether `device` is still this disk.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, device: &str, kernel: &Kernel) -> Result<(), Changed> {
        let found = Self::of(device, kernel);
        if &found == self {
            return Ok(());
        }
        Err(Changed { device: device.into(), planned: Box::new(self.clone()), found: Box::new(found) })
    }
}

/// Whether a serial number or WWN tells anything: some firmware writes blanks or zeros.
fn says_something(text: &str) -> bool {
    let value =
        ["naa.", "eui.", "uuid.", "0x"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    value.chars().any(|c| c.is_alphanumeric() && c != '0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_in_the_place_of_another_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let kernel = Kernel { proc: root.path().into(), sys: root.path().into() };
        let dir = root.path().join("class/block/sda");
        fs::create_dir_all(dir.join("device")).unwrap();
        fs::write(dir.join("size"), "2048\n").unwrap();
        fs::write(dir.join("device/vpd_pg80"), b"\0\x80\0\x08  S1234\n").unwrap();
        fs::write(dir.join("device/wwid"), "naa.5000\n").unwrap();
        let identity = Identity::of("/dev/sda", &kernel);
        assert_eq!(identity.to_string(), "1048576 bytes, serial S1234, wwn naa.5000");
        assert_eq!(identity.check("/dev/sda", &kernel), Ok(()));
        fs::write(dir.join("device/wwid"), "naa.5001\n").unwrap();
        let changed = identity.check("/dev/sda", &kernel).unwrap_err().to_string();
        assert!(changed.contains("wwn naa.5000, now it is") && changed.contains("wwn naa.5001"), "{changed}");
    }

    #[test]
    fn blanks_and_zeros_are_no_identity() {
        let root = tempfile::tempdir().unwrap();
        let kernel = Kernel { proc: root.path().into(), sys: root.path().into() };
        for (file, text) in [
            ("vda/serial", ""),
            ("nvme0n1/wwid", "eui.0000000000000000"),
            ("nvme0n1/device/serial", "S4EWNX0"),
            ("sdb/device/vpd_pg80", "\0P\0A    "),
            ("sdb/device/wwid", "naa.0000000000000000"),
            ("md126/md/uuid", "00000000-0000-0000-0000-000000000000"),
            ("dm-0/dm/name", "mpatha"),
            ("dm-0/dm/uuid", "mpath-3600"),
        ] {
            let path = kernel.class("").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        for (device, serial, wwn) in [
            ("/dev/vda", None, None),
            ("/dev/nvme0n1", Some("S4EWNX0"), None),
            ("/dev/sdb", None, None),
            ("/dev/md126", None, None),
            ("/dev/mapper/mpatha", None, Some("mpath-3600")),
        ] {
            let identity = Identity::of(device, &kernel);
            assert_eq!((identity.serial.as_deref(), identity.wwn.as_deref()), (serial, wwn), "{device}");
        }
    }
}
