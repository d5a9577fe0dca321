//! udev's database and queue: every call of `udevadm(8)` is in this file.

use std::collections::BTreeMap;

use crate::{Cmd, Tool, cmd::SHORT};

/// How long the queue of events may take to become empty, in seconds.
const SETTLE_SECONDS: u32 = 120;

/// Waits until udev has worked through all events so far.
pub fn settle() -> Cmd {
    Tool::Udevadm.cmd().time_limit(SHORT).args(["settle", &format!("--timeout={SETTLE_SECONDS}")])
}

/// Has udev read its rules again.
pub fn reload() -> Cmd {
    Tool::Udevadm.cmd().time_limit(SHORT).args(["control", "--reload"])
}

/// Prints all that udev knows.
pub fn export_db() -> Cmd {
    Tool::Udevadm.cmd().time_limit(SHORT).args(["info", "--export-db"])
}

/// A device of udev's database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// The names that point to its node, such as `/dev/disk/by-id/ata-…`.
    pub links: Vec<String>,
    /// Its properties, such as `DEVNAME`, `DEVTYPE`, `ID_SERIAL`.
    pub properties: BTreeMap<String, String>,
}

/// Reads what [`export_db`] printed: the block devices, by kernel name.
pub fn parse_export_db(text: &str) -> BTreeMap<String, Device> {
    let mut devices = BTreeMap::new();
    for record in text.split("\n\n") {
        let mut device = Device::default();
        for line in record.lines() {
            match line.split_once(": ") {
                Some(("S", link)) => device.links.push(format!("/dev/{link}")),
                Some(("E", property)) => {
                    if let Some((name, value)) = property.split_once('=') {
                        device.properties.insert(name.into(), value.into());
                    }
                }
                _ => {}
            }
        }
        if device.properties.get("SUBSYSTEM").is_some_and(|subsystem| subsystem == "block")
            && let Some(name) = device.properties.get("DEVPATH").and_then(|path| path.rsplit('/').next())
        {
            devices.insert(name.to_owned(), device);
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_devices_are_read_by_kernel_name() {
        let recorded = "P: /devices/pci0000:00/0000:00:04.0/virtio1/block/vda\nM: vda\nU: block\nT: disk\nD: b 254:0\n\
                        N: vda\nL: 0\nS: disk/by-id/virtio-ROOT\nS: disk/by-path/pci-0000:00:04.0\n\
                        E: DEVPATH=/devices/pci0000:00/0000:00:04.0/virtio1/block/vda\nE: DEVNAME=/dev/vda\n\
                        E: DEVTYPE=disk\nE: SUBSYSTEM=block\nE: ID_SERIAL=ROOT=1\n\n\
                        P: /devices/virtual/net/lo\nE: DEVPATH=/devices/virtual/net/lo\nE: SUBSYSTEM=net\n\n\
                        P: /devices/x/block/cciss!c0d0\nE: DEVPATH=/devices/x/block/cciss!c0d0\nE: SUBSYSTEM=block\n";
        let devices = parse_export_db(recorded);
        assert_eq!(devices.keys().collect::<Vec<_>>(), ["cciss!c0d0", "vda"]);
        let vda = &devices["vda"];
        assert_eq!(vda.links, ["/dev/disk/by-id/virtio-ROOT", "/dev/disk/by-path/pci-0000:00:04.0"]);
        assert_eq!(vda.properties["ID_SERIAL"], "ROOT=1");
    }
}
