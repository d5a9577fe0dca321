//! What lies on the block devices of the machine, by one look of blkid(8), and whose disks they are on.

use std::{collections::BTreeSet, fs};

use bareon_host::blkid::Tagged;

use crate::hardware::usage::Kernel;

/// Stacked devices are a few deep; a loop in sysfs would be the kernel's fault, not ours to follow.
const DEPTH: u32 = 16;

/// A block device and what lies on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// What blkid says.
    pub tagged: Tagged,
    /// Whether all of it lies on disks that the input names.
    pub ours: bool,
}

/// All block devices.
#[derive(Debug, Clone, Default)]
pub struct Devices(Vec<Device>);

/// How a device is named in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spec<'a> {
    /// By its file system's UUID.
    Uuid(&'a str),
    /// By its file system's label.
    Label(&'a str),
    /// By its partition's GUID.
    PartUuid(&'a str),
    /// By its partition's name.
    PartLabel(&'a str),
    /// By a name of the device mapper or of md, which is its own on every machine.
    Own(&'a str),
    /// By the kernel's name, which another machine, or another boot, gives to another device.
    Kernel(&'a str),
}

impl<'a> Spec<'a> {
    /// Reads the name of a device; nothing where it names none, as for `tmpfs` or a server's share.
    pub fn read(text: &'a str) -> Option<Self> {
        let value = |tag: &str, dir: &str| {
            let value = text.strip_prefix(tag).or_else(|| text.strip_prefix("/dev/disk/")?.strip_prefix(dir));
            value.map(|value| value.trim_matches('"'))
        };
        let by_tag = value("UUID=", "by-uuid/")
            .map(Self::Uuid)
            .or_else(|| value("LABEL=", "by-label/").map(Self::Label))
            .or_else(|| value("PARTUUID=", "by-partuuid/").map(Self::PartUuid))
            .or_else(|| value("PARTLABEL=", "by-partlabel/").map(Self::PartLabel));
        if by_tag.is_some() {
            return by_tag;
        }
        let name = text.strip_prefix("/dev/")?;
        let own = name.contains('/') || name.starts_with("md");
        Some(if own { Self::Own(text) } else { Self::Kernel(text) })
    }
}

impl Device {
    /// What it is called by.
    pub fn node(&self) -> &str {
        &self.tagged.device
    }

    /// The type of what lies on it.
    pub fn kind(&self) -> &str {
        self.tagged.fs_type.as_deref().unwrap_or_default()
    }

    /// The UUID of what lies on it.
    pub fn uuid(&self) -> &str {
        self.tagged.uuid.as_deref().unwrap_or_default()
    }
}

impl Devices {
    /// Says of each device whether it lies on `disks` alone.
    pub fn new(tagged: Vec<Tagged>, disks: &BTreeSet<String>, kernel: &Kernel) -> Self {
        let named: BTreeSet<_> = disks.iter().map(|disk| kernel.name(disk)).collect();
        let devices = tagged.into_iter().filter_map(|tagged| {
            let name = kernel.name(&tagged.device);
            // A disk with several paths is there once.
            let path = kernel.path_to(&name).is_some();
            (!path).then(|| Device { tagged, ours: covered(&name, &named, kernel, 0) })
        });
        Self(devices.collect())
    }

    /// These.
    #[cfg(test)]
    pub fn of(devices: impl IntoIterator<Item = Device>) -> Self {
        Self(devices.into_iter().collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.0.iter()
    }

    /// Those on disks of ours.
    pub fn ours(&self) -> impl Iterator<Item = &Device> {
        self.0.iter().filter(|device| device.ours)
    }

    /// The device with that node.
    pub fn at(&self, node: &str) -> Option<&Device> {
        let same = |device: &&Device| device.node() == node || same_node(device.node(), node);
        self.0.iter().find(|device| device.node() == node).or_else(|| self.0.iter().find(same))
    }

    /// The devices of ours that are called that.
    pub fn find(&self, spec: Spec<'_>) -> Vec<&Device> {
        // FAT's UUIDs are written in capitals, all others small; both are found by either.
        let is = |value: &Option<String>, wanted: &str| {
            value.as_deref().is_some_and(|value| value.eq_ignore_ascii_case(wanted))
        };
        let matches = |device: &&Device| {
            let Tagged { uuid, label, partuuid, partlabel, .. } = &device.tagged;
            match spec {
                // The UUID of an array, a group's volume or a pool is not one of a file system.
                Spec::Uuid(wanted) => is(uuid, wanted) && !device.kind().ends_with("_member"),
                Spec::Label(wanted) => {
                    label.as_deref() == Some(wanted) && !device.kind().ends_with("_member")
                }
                Spec::PartUuid(wanted) => is(partuuid, wanted),
                Spec::PartLabel(wanted) => partlabel.as_deref() == Some(wanted),
                Spec::Own(node) | Spec::Kernel(node) => {
                    device.node() == node || same_node(device.node(), node)
                }
            }
        };
        self.ours().filter(matches).collect()
    }
}

/// Whether two nodes are names of one device, by the links between them.
fn same_node(a: &str, b: &str) -> bool {
    let real = |node: &str| fs::canonicalize(node).ok();
    real(a).is_some_and(|path| real(b) == Some(path))
}

/// Whether the device with that kernel name is one of the `named` disks, or lies on them alone.
fn covered(name: &str, named: &BTreeSet<String>, kernel: &Kernel, depth: u32) -> bool {
    if named.contains(name) {
        return true;
    }
    if depth > DEPTH {
        return false;
    }
    let below = kernel.below(name);
    !below.is_empty() && below.iter().all(|name| covered(name, named, kernel, depth + 1))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_of_devices_are_told_apart() {
        for (text, spec) in [
            ("UUID=\"ab-cd\"", Some(Spec::Uuid("ab-cd"))),
            ("/dev/disk/by-uuid/ab-cd", Some(Spec::Uuid("ab-cd"))),
            ("LABEL=root", Some(Spec::Label("root"))),
            ("PARTUUID=ab-01", Some(Spec::PartUuid("ab-01"))),
            ("/dev/disk/by-partlabel/x", Some(Spec::PartLabel("x"))),
            ("/dev/mapper/os-root", Some(Spec::Own("/dev/mapper/os-root"))),
            ("/dev/os/root", Some(Spec::Own("/dev/os/root"))),
            ("/dev/md0", Some(Spec::Own("/dev/md0"))),
            ("/dev/sda1", Some(Spec::Kernel("/dev/sda1"))),
            ("tmpfs", None),
            ("server:/srv", None),
        ] {
            assert_eq!(Spec::read(text), spec, "{text}");
        }
    }

    fn tagged(device: &str, kind: &str, uuid: &str) -> Tagged {
        let (fs_type, uuid) = (Some(kind.to_owned()), Some(uuid.to_owned()));
        Tagged { device: device.into(), fs_type, uuid, ..Tagged::default() }
    }

    #[test]
    fn what_lies_on_a_foreign_disk_too_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Kernel { proc: dir.path().into(), sys: dir.path().into() };
        let class = dir.path().join("class/block");
        fs::create_dir_all(&class).unwrap();
        for disk in ["sda", "sdb", "sdc"] {
            let part = dir.path().join(format!("devices/{disk}/{disk}1"));
            fs::create_dir_all(&part).unwrap();
            fs::write(part.join("partition"), "1\n").unwrap();
            symlink(part.parent().unwrap(), class.join(disk)).unwrap();
            symlink(&part, class.join(format!("{disk}1"))).unwrap();
        }
        for (name, below) in [("md0", ["sda1", "sdb1"]), ("dm-0", ["md0", "md0"]), ("dm-1", ["md0", "sdc1"])]
        {
            let slaves = class.join(name).join("slaves");
            fs::create_dir_all(&slaves).unwrap();
            for below in below {
                fs::write(slaves.join(below), "").unwrap();
            }
        }
        fs::create_dir_all(class.join("dm-0/dm")).unwrap();
        fs::write(class.join("dm-0/dm/name"), "os-root\n").unwrap();
        let found = ["/dev/sda1", "/dev/sdc1", "/dev/md0", "/dev/mapper/os-root", "/dev/dm-1"];
        let disks = BTreeSet::from(["/dev/sda".to_owned(), "/dev/sdb".to_owned()]);
        let found = found.into_iter().map(|device| tagged(device, "ext4", "ab-cd")).collect();
        let devices = Devices::new(found, &disks, &kernel);
        let ours: Vec<_> = devices.ours().map(Device::node).collect();
        assert_eq!(ours, ["/dev/sda1", "/dev/md0", "/dev/mapper/os-root"]);
    }

    #[test]
    fn an_array_is_not_found_by_the_uuid_of_its_file_system_nor_the_other_way_round() {
        let device = |tagged| Device { tagged, ours: true };
        let devices = Devices::of([
            device(tagged("/dev/sda1", "linux_raid_member", "ab-cd")),
            device(tagged("/dev/md0", "vfat", "AB-CD")),
        ]);
        let found = devices.find(Spec::Uuid("ab-cd"));
        assert_eq!(found.iter().map(|device| device.node()).collect::<Vec<_>>(), ["/dev/md0"]);
    }
}
