//! The block devices of this machine, as the matcher sees them.
//!
//! Names, links and identity come from udev's database, sizes and geometry from sysfs. No list of
//! major numbers says what a disk is: a disk is a whole block device that has media of some size and is
//! no memory in disguise (zram, ram), no CD or floppy drive, no part of another disk's firmware (the boot
//! areas of an eMMC), and no single path to a disk that has several where the kernel gives it no node (`nvme0c1n1`).
//! Of the device mapper's devices only dm-multipath's are disks; the paths to one are listed as such.

use std::{collections::BTreeMap, fs, path::Path};

use bareon_host::udevadm::Device;
use serde_json::{Map, Value, json};

use super::{
    BlockDevice, Identity, SECTOR,
    kernel::{Kernel, names_in, size_in},
};

/// The disks of this machine, sorted by name, of which udev knows what `known` says.
pub(super) fn disks(kernel: &Kernel, known: &BTreeMap<String, Device>) -> Vec<BlockDevice> {
    let none = Device::default();
    let mut disks: Vec<_> = names_in(&kernel.sys.join("block"))
        .iter()
        .filter_map(|name| {
            let dir = kernel.sys.join("block").join(name);
            let udev = known.get(name).unwrap_or(&none);
            let disk = is_disk(name, &dir, udev).then(|| describe(&kernel.node(name), &dir, udev))??;
            let identity = Some(Identity::of(&disk.device, kernel));
            Some(BlockDevice { identity, path_to: kernel.path_to(name), ..disk })
        })
        .collect();
    let paths: Vec<_> = disks.iter().filter(|disk| disk.path_to.is_some()).cloned().collect();
    for disk in &mut disks {
        if let Some(path) = paths.iter().find(|path| path.path_to.as_ref() == Some(&disk.device)) {
            learn_from_path(disk, path);
        }
    }
    disks
}

/// Adds what tells a disk with several paths from others, which udev only says of the paths.
fn learn_from_path(disk: &mut BlockDevice, path: &BlockDevice) {
    let names = [
        "ID_SERIAL",
        "ID_SERIAL_SHORT",
        "ID_SCSI_SERIAL",
        "ID_WWN",
        "ID_WWN_WITH_EXTENSION",
        "ID_MODEL",
        "ID_VENDOR",
    ];
    for name in names {
        if let Some(value) = path.uspec.get(name) {
            disk.uspec.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// A number in a file of sysfs.
fn number(dir: &Path, file: &str) -> Option<u64> {
    text(dir, file)?.parse().ok()
}

fn text(dir: &Path, file: &str) -> Option<String> {
    Some(fs::read_to_string(dir.join(file)).ok()?.trim().to_owned())
}

fn is_disk(name: &str, dir: &Path, udev: &Device) -> bool {
    /// SCSI's number for CD drives (`TYPE_ROM`).
    const SCSI_ROM: &str = "5";
    let memory = name.starts_with("zram") || name.starts_with("ram");
    let optical = udev.properties.get("ID_CDROM").is_some_and(|is| is == "1")
        || (dir.join("device/scsi_level").exists() && text(dir, "device/type").as_deref() == Some(SCSI_ROM));
    let floppy = name.starts_with("fd") && dir.join("device/cmos").exists();
    let boot_area = name.contains("boot") && dir.join("force_ro").exists();
    let mapped = text(dir, "dm/uuid").is_some_and(|uuid| !uuid.starts_with("mpath-"));
    let hidden = number(dir, "hidden").is_some_and(|hidden| hidden != 0);
    size_in(dir).is_some_and(|size| size.0 > 0)
        && !(hidden || memory || optical || floppy || boot_area || mapped)
}

fn describe(node: &str, dir: &Path, udev: &Device) -> Option<BlockDevice> {
    let size = size_in(dir)?.0;
    let mut uspec = Map::new();
    for (key, value) in &udev.properties {
        if key != "DEVLINKS" {
            uspec.insert(key.clone(), Value::from(value.clone()));
        }
    }
    uspec.insert("DEVLINKS".into(), Value::from(udev.links.clone()));
    uspec.entry("DEVNAME").or_insert_with(|| node.into());
    let queue = |file: &str| number(dir, &format!("queue/{file}")).unwrap_or(0).to_string();
    let described = json!({
        "device": node,
        "size": size,
        "uspec": uspec,
        "bspec": {
            "sz": (size / SECTOR).to_string(),
            "size64": size.to_string(),
            "ss": queue("logical_block_size"),
            "pbsz": queue("physical_block_size"),
            "iomin": queue("minimum_io_size"),
            "ioopt": queue("optimal_io_size"),
            "maxsect": (number(dir, "queue/max_sectors_kb").unwrap_or(0) * 2).to_string(),
            "ra": (number(dir, "queue/read_ahead_kb").unwrap_or(0) * 2).to_string(),
            "alignoff": text(dir, "alignment_offset").unwrap_or_else(|| "0".into()),
            "ro": text(dir, "ro").unwrap_or_else(|| "0".into()),
        },
        "espec": {
            "removable": text(dir, "removable"),
            "state": text(dir, "device/state"),
            "timeout": text(dir, "device/timeout"),
            "rotational": text(dir, "queue/rotational"),
            "scsi": scsi_address(dir),
        },
    });
    serde_json::from_value(described).ok()
}

/// `host:channel:target:lun` of a SCSI disk: the name of the device that the disk belongs to.
fn scsi_address(dir: &Path) -> Option<String> {
    let device = fs::read_link(dir.join("device")).ok()?;
    let name = device.file_name()?.to_str()?.to_owned();
    let numbers = name.split(':').filter(|part| part.parse::<u64>().is_ok()).count();
    (numbers == 4 && name.split(':').count() == 4).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_several_paths_is_one_disk() {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("sda/size", "2048"),
            ("sda/device/vpd_pg80", "\0\u{1}\0\u{2}S1"),
            ("sda/holders/dm-0/x", ""),
            ("sdb/size", "2048"),
            ("sdb/holders/dm-0/x", ""),
            ("dm-0/size", "2048"),
            ("dm-0/slaves/sda/x", ""),
            ("dm-0/dm/name", "mpatha"),
            ("dm-0/dm/uuid", "mpath-3600"),
            ("dm-1/size", "1024"),
            ("dm-1/dm/name", "mpatha-part1"),
            ("dm-1/dm/uuid", "part1-mpath-3600"),
            ("nbd0/size", "0"),
        ] {
            for tree in ["block", "class/block"] {
                let path = root.path().join(tree).join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{text}\n")).unwrap();
            }
        }
        let kernel = Kernel { proc: root.path().join("proc"), sys: root.path().into() };
        let disks = disks(&kernel, &BTreeMap::new());
        let found: Vec<_> =
            disks.iter().map(|disk| (disk.device.as_str(), disk.path_to.as_deref())).collect();
        let whole = Some("/dev/mapper/mpatha");
        assert_eq!(found, [("/dev/mapper/mpatha", None), ("/dev/sda", whole), ("/dev/sdb", whole)]);
        let identity = disks[0].identity.clone().unwrap_or_default();
        assert_eq!((identity.serial.as_deref(), identity.wwn.as_deref()), (Some("S1"), Some("mpath-3600")));
    }

    #[test]
    fn disks_are_devices_with_a_node_and_media() {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("nvme0n1/size", "2048"),
            ("nvme0n1/hidden", "0"),
            ("nvme0c0n1/size", "2048"),
            ("nvme0c0n1/hidden", "1"),
            ("sda/size", "0"),
            ("zram0/size", "2048"),
            ("mmcblk0boot0/size", "2048"),
            ("mmcblk0boot0/force_ro", "1"),
        ] {
            let path = root.path().join("block").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        let kernel = Kernel { proc: root.path().join("proc"), sys: root.path().into() };
        let disks = disks(&kernel, &BTreeMap::new());
        let found: Vec<_> =
            disks.iter().map(|disk| (disk.name(), disk.size().unwrap_or_default().0)).collect();
        assert_eq!(found, [("nvme0n1", 1 << 20)]);
    }
}
