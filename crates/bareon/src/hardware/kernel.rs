//! The kernel's view of block devices in sysfs: their names, and what they are built on.
//!
//! A device mapper's device is called `dm-3` by the kernel and `/dev/mapper/NAME` by everybody else; here every node
//! is written as the latter, so that names from sysfs, LVM and mdadm are equal when they mean the same device.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::SECTOR;
use crate::objects::Bytes;

/// Where the kernel's views are; elsewhere in tests.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
}

impl Default for Kernel {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into() }
    }
}

impl Kernel {
    /// Whether udev has events to work on. It says so by a file in `/run`, which lies beside `/proc`, as long as it has;
    /// where no udev runs there is none.
    pub fn udev_has_work(&self) -> bool {
        self.proc.with_file_name("run").join("udev/queue").exists()
    }

    /// The directory of the device with that kernel name.
    pub fn class(&self, name: &str) -> PathBuf {
        self.sys.join("class/block").join(name)
    }

    /// A file of a device's directory, without blanks at its ends; nothing where it is empty or cannot be read.
    pub fn text(&self, name: &str, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.class(name).join(file)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The kernel's name of a device, by its node or a link to it; `dm-3` for `/dev/mapper/NAME`.
    pub fn name(&self, device: &str) -> String {
        let mapped = device.strip_prefix("/dev/mapper/").and_then(|mapped| {
            let mut names = names_in(&self.sys.join("class/block")).into_iter();
            names.find(|name| self.text(name, "dm/name").is_some_and(|dm| dm == mapped))
        });
        let name = mapped.unwrap_or_else(|| kernel_name(device));
        if self.class(&name).exists() {
            return name;
        }
        let real = fs::canonicalize(device).ok();
        real.and_then(|real| Some(kernel_name(real.to_str()?))).unwrap_or(name)
    }

    /// The node of the device with that kernel name.
    pub fn node(&self, name: &str) -> String {
        match self.text(name, "dm/name") {
            Some(mapped) => format!("/dev/mapper/{mapped}"),
            None => node(name),
        }
    }

    /// The node that `device`, a node or a link, leads to; itself where there is no such device.
    pub fn known_node(&self, device: &str) -> String {
        let name = self.name(device);
        if self.class(&name).exists() { self.node(&name) } else { device.to_owned() }
    }

    /// The partitions of the disk with that kernel name: their numbers and kernel names, in order. Those of a device
    /// mapper's device are devices of their own, which kpartx(8) made.
    pub fn partitions(&self, disk: &str) -> Vec<(u32, String)> {
        let dir = self.class(disk);
        let own = names_in(&dir).into_iter().filter_map(|name| {
            let number = fs::read_to_string(dir.join(&name).join("partition")).ok()?.trim().parse().ok()?;
            Some((number, name))
        });
        let mapped = self.holders(disk).into_iter().filter_map(|name| {
            let uuid = self.text(&name, "dm/uuid")?;
            let (number, _) = uuid.strip_prefix("part")?.split_once('-')?;
            Some((number.parse().ok()?, name))
        });
        let mut found: Vec<_> = own.chain(mapped).collect();
        found.sort();
        found
    }

    /// The kernel names of the devices that are built on a device.
    pub fn holders(&self, name: &str) -> Vec<String> {
        names_in(&self.class(name).join("holders"))
    }

    /// The kernel names of the devices that a device lies on directly: the disk of a partition, the members of an
    /// array, what a mapped device is made of. None for a disk.
    pub fn below(&self, name: &str) -> Vec<String> {
        let slaves = names_in(&self.class(name).join("slaves"));
        if !slaves.is_empty() {
            return slaves;
        }
        let classes = self.sys.join("class/block");
        let holds = |disk: &String| classes.join(disk).join(name).join("partition").exists();
        names_in(&classes).into_iter().filter(holds).collect()
    }

    /// Whether it is an md array, be it inactive.
    pub fn is_array(&self, name: &str) -> bool {
        self.class(name).join("md").is_dir()
    }

    /// Whether it is a disk with several paths (dm-multipath).
    pub fn is_multipath(&self, name: &str) -> bool {
        self.text(name, "dm/uuid").is_some_and(|uuid| uuid.starts_with("mpath-"))
    }

    /// The multipath device that this is a path to.
    pub fn path_to(&self, name: &str) -> Option<String> {
        self.holders(name).into_iter().find(|holder| self.is_multipath(holder)).map(|whole| self.node(&whole))
    }
}

/// The kernel's name of a device node: `cciss!c0d0` for `/dev/cciss/c0d0`.
pub fn kernel_name(device: &str) -> String {
    device.strip_prefix("/dev/").unwrap_or(device).replace('/', "!")
}

/// The device node of a kernel name.
pub fn node(name: &str) -> String {
    format!("/dev/{}", name.replace('!', "/"))
}

/// The size of the block device whose folder in sysfs is `dir`.
pub(super) fn size_in(dir: &Path) -> Option<Bytes> {
    bytes_in(dir, "size")
}

/// A length in bytes by a `file` of a device's directory in sysfs, which counts sectors of 512 bytes whatever
/// sectors the device has.
pub(crate) fn bytes_in(dir: &Path, file: &str) -> Option<Bytes> {
    let sectors: u64 = fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()?;
    Some(Bytes(sectors.saturating_mul(SECTOR)))
}

/// The names in a directory, sorted; none where it cannot be read.
pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_devices_go_by_their_own_names() {
        let root = tempfile::tempdir().unwrap();
        let kernel = Kernel { proc: root.path().into(), sys: root.path().into() };
        for (file, text) in [
            ("sda/holders/dm-0/x", ""),
            ("sda/sda1/partition", "1"),
            ("sda1/x", ""),
            ("dm-0/dm/name", "mpatha"),
            ("dm-0/dm/uuid", "mpath-3600"),
            ("dm-0/slaves/sda/x", ""),
            ("dm-0/holders/dm-1/x", ""),
            ("dm-0/holders/dm-2/x", ""),
            ("dm-1/dm/name", "mpatha-part12"),
            ("dm-1/dm/uuid", "part12-mpath-3600"),
            ("dm-1/slaves/dm-0/x", ""),
            ("dm-2/dm/name", "mpatha-part2"),
            ("dm-2/dm/uuid", "part2-mpath-3600"),
        ] {
            let path = kernel.class("").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        assert_eq!(kernel.name("/dev/mapper/mpatha-part12"), "dm-1");
        assert_eq!(kernel.known_node("/dev/dm-0"), "/dev/mapper/mpatha");
        assert_eq!(kernel.known_node("/dev/none"), "/dev/none");
        assert_eq!(kernel.partitions("dm-0"), [(2, "dm-2".into()), (12, "dm-1".into())]);
        assert_eq!(kernel.partitions("sda"), [(1, "sda1".into())]);
        assert_eq!((kernel.below("dm-1"), kernel.below("sda1")), (vec!["dm-0".into()], vec!["sda".into()]));
        assert_eq!(kernel.path_to("sda").as_deref(), Some("/dev/mapper/mpatha"));
        assert!(kernel.is_multipath("dm-0") && !kernel.is_multipath("dm-1"));
    }
}
