//! Where a partition lies, and whether a device is the one that the layout means.
//!
//! A layout names partitions, arrays and volumes by device nodes. On a machine that was never partitioned, or
//! otherwise, the same name is another place: what runs without having partitioned looks first. An array or a volume is
//! followed down to the partitions that it consists of; each must be one of the layout, and lie where the layout has it.

use std::collections::BTreeMap;

use crate::{
    hardware::usage::{Kernel, bytes_in},
    objects::{Bytes, PartitionScheme, partition::Partition},
};

/// How many devices may be stacked on one another; more than this is a loop in what sysfs says.
const DEPTH: usize = 16;

/// Where a partition lies on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// How far from the disk's beginning.
    pub begin: Bytes,
    /// How large it is.
    pub size: Bytes,
}

/// What a device of the layout lies on: itself, where it is a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// The device: a partition, an array or a volume.
    pub device: String,
    /// The partitions and disks that it may consist of, with their places; a disk as a whole has none.
    pub on: BTreeMap<String, Option<Place>>,
}

/// A device that is another than the layout's, or none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Elsewhere {
    /// A partition that does not lie where the layout has it.
    #[error(
        "{device} is not the partition of the layout, which begins at {} and has {}: {}; nothing was written to it; \
         run `partition` first", .layout.begin, .layout.size, lies(*.found)
    )]
    Partition {
        /// The device.
        device: String,
        /// Where the layout has it.
        layout: Place,
        /// Where the kernel has it.
        found: Option<Place>,
    },
    /// An array or a volume that lies on something else.
    #[error(
        "{device} is not the one of the layout, which lies on {}: it lies on {found}; nothing was written to it; \
         `lsblk --inverse {device}` shows what it consists of; stop it if it is another's, and run `partition` if \
         ours was never made", .layout.join(", ")
    )]
    Stacked {
        /// The device.
        device: String,
        /// What it lies on by the layout.
        layout: Vec<String>,
        /// What it lies on by the kernel, and is not of the layout.
        found: String,
    },
    /// An array or a volume that is not there.
    #[error(
        "this machine has no {device} now, which the layout has on {}; nothing was written to it; run `partition` if \
         it was never made; else `cat /proc/mdstat` and `lvm fullreport` show what there is", .layout.join(", ")
    )]
    Missing {
        /// The device.
        device: String,
        /// What it lies on by the layout.
        layout: Vec<String>,
    },
}

fn lies(found: Option<Place>) -> String {
    match found {
        Some(Place { begin, size }) => format!("it begins at {begin} and has {size}"),
        None => "this machine knows no such partition".into(),
    }
}

impl Place {
    /// Where the layout has a partition.
    pub fn of(partition: &Partition) -> Self {
        Self { begin: partition.begin.bytes(), size: partition.size().bytes() }
    }

    /// Looks whether the partition `device` lies here.
    ///
    /// # Errors
    /// When it lies elsewhere, or the kernel knows none of that name.
    pub fn check(self, device: &str, kernel: &Kernel) -> Result<(), Elsewhere> {
        match self.found(device, kernel) {
            Some(found) if found == self => Ok(()),
            found => Err(Elsewhere::Partition { device: device.into(), layout: self, found }),
        }
    }

    /// Where the kernel has the partition `device`; nothing where it knows none of that name.
    fn found(self, device: &str, kernel: &Kernel) -> Option<Self> {
        let dir = kernel.class(&kernel.name(device));
        // Of a partition of a disk with several paths, which is a mapped device, it tells the size alone.
        let begin = if dir.join("dm").is_dir() { self.begin } else { bytes_in(&dir, "start")? };
        Some(Self { begin, size: bytes_in(&dir, "size")? })
    }
}

impl Ground {
    /// What `device` lies on by `scheme`, with partitions at the places that `place` gives; nothing where the scheme
    /// has no such device.
    pub fn of(device: &str, scheme: &PartitionScheme, place: &dyn Fn(&Partition) -> Place) -> Option<Self> {
        let mut on = BTreeMap::new();
        let mut left = vec![(device.to_owned(), 0)];
        while let Some((name, depth)) = left.pop() {
            let mut below: Vec<&String> = Vec::new();
            if let Some(md) = scheme.mds.iter().find(|md| md.name == name) {
                below.extend(md.devices.iter().chain(&md.spares));
            }
            for lv in scheme.lvs.iter().filter(|lv| lv.device() == name) {
                let groups = scheme.vgs.iter().filter(|vg| vg.name == lv.vgname);
                below.extend(groups.flat_map(|vg| &vg.pvnames));
            }
            let partition = scheme.partitions().find(|partition| partition.name == name);
            match partition {
                Some(partition) => drop(on.insert(name, Some(place(partition)))),
                None if below.is_empty() && depth > 0 => drop(on.insert(name, None)),
                None if depth < DEPTH => {
                    left.extend(below.into_iter().map(|name| (name.clone(), depth + 1)));
                }
                None => {}
            }
        }
        (!on.is_empty()).then(|| Self { device: device.into(), on })
    }

    /// Whether this is an array or a volume, so that it may have to be brought up.
    pub fn is_stacked(&self) -> bool {
        !self.on.contains_key(&self.device)
    }

    /// Looks whether the device lies there. An array may lack members.
    ///
    /// # Errors
    /// When it lies elsewhere, or is not there.
    pub fn check(&self, kernel: &Kernel) -> Result<(), Elsewhere> {
        if let Some(place) = self.on.get(&self.device) {
            return place.map_or(Ok(()), |place| place.check(&self.device, kernel));
        }
        let layout = || self.on.keys().cloned().collect();
        let mut found = Vec::new();
        let name = kernel.name(&self.device);
        // One that is there and does not run is of no size.
        if bytes_in(&kernel.class(&name), "size").is_some_and(|size| size.0 > 0) {
            self.below(&name, kernel, 0, &mut found);
        }
        if found.is_empty() {
            return Err(Elsewhere::Missing { device: self.device.clone(), layout: layout() });
        }
        for leaf in found {
            let Some(place) = self.on.get(&leaf) else {
                let device = self.device.clone();
                return Err(Elsewhere::Stacked { device, layout: layout(), found: leaf });
            };
            place.map_or(Ok(()), |place| place.check(&leaf, kernel))?;
        }
        Ok(())
    }

    /// The devices below `name` that are the layout's, or lie on nothing.
    fn below(&self, name: &str, kernel: &Kernel, depth: usize, found: &mut Vec<String>) {
        for below in kernel.below(name) {
            let node = kernel.node(&below);
            let before = found.len();
            let is_partition = kernel.class(&below).join("partition").exists();
            if !self.on.contains_key(&node) && !is_partition && depth < DEPTH {
                self.below(&below, kernel, depth + 1, found);
            }
            if found.len() == before {
                found.push(node);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use serde_json::json;

    use super::*;

    /// A machine's sysfs: each file with its text, a folder where there is none.
    fn kernel(root: &Path, files: &[(&str, &str)]) -> Kernel {
        for (file, text) in files {
            let path = root.join("class/block").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if text.is_empty() {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::write(path, format!("{text}\n")).unwrap();
            }
        }
        Kernel { proc: root.into(), sys: root.into() }
    }

    #[test]
    fn a_partition_that_lies_elsewhere_is_told_with_both_places() {
        let root = tempfile::tempdir().unwrap();
        let kernel = kernel(root.path(), &[("sda1/start", "2048"), ("sda1/size", "4096")]);
        let place = Place { begin: Bytes(1 << 20), size: Bytes(2 << 20) };
        assert_eq!(place.check("/dev/sda1", &kernel), Ok(()));
        let other = Place { begin: Bytes(2 << 20), ..place };
        let error = other.check("/dev/sda1", &kernel).unwrap_err().to_string();
        assert!(error.contains("begins at 2 MiB and has 2 MiB: it begins at 1 MiB"), "{error}");
        let error = place.check("/dev/sda2", &kernel).unwrap_err().to_string();
        assert!(error.contains("knows no such partition"), "{error}");
    }

    fn scheme() -> PartitionScheme {
        let partition = |name: &str| {
            json!({
                "name": name, "count": 1, "device": "x", "begin": 1, "end": 3, "partition_type": "primary",
            })
        };
        serde_json::from_value(json!({
            "parteds": [{"name": "x", "label": "gpt", "partitions": [partition("/dev/sda1"), partition("/dev/sdb1")]}],
            "mds": [{"name": "/dev/md0", "level": "1", "devices": ["/dev/sda1", "/dev/sdb1"]}],
            "pvs": [{"name": "/dev/md0"}, {"name": "/dev/sdc"}],
            "vgs": [{"name": "my-os", "pvnames": ["/dev/md0", "/dev/sdc"]}],
            "lvs": [{"name": "root", "vgname": "my-os", "size": 1}],
        }))
        .unwrap()
    }

    #[test]
    fn an_array_and_a_volume_are_followed_down_to_the_partitions_of_the_layout() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            ("sda1/start", "2048"),
            ("sda1/size", "4096"),
            ("sdb1/start", "4096"),
            ("sdb1/size", "4096"),
            ("sdz/size", "4096"),
            ("md0/slaves/sda1", ""),
            ("md1/slaves/sdb1", ""),
            ("md0/size", "4096"),
            ("md2/size", "0"),
            ("md2/slaves/sda1", ""),
            ("dm-0/slaves/md0", ""),
            ("dm-0/size", "2048"),
            ("dm-0/dm/name", "my--os-root"),
        ];
        let kernel = kernel(root.path(), &files);
        let ground = |device: &str| Ground::of(device, &scheme(), &Place::of);
        let volume = ground("/dev/mapper/my--os-root").unwrap();
        assert_eq!(volume.on.keys().collect::<Vec<_>>(), ["/dev/sda1", "/dev/sdb1", "/dev/sdc"]);
        assert!(volume.is_stacked() && !ground("/dev/sda1").unwrap().is_stacked());
        assert_eq!(ground("/dev/sdz"), None);
        // One member is missing, which an array may do without.
        assert_eq!(volume.check(&kernel), Ok(()));
        let array = ground("/dev/md0").unwrap();
        assert_eq!(array.check(&kernel), Ok(()));
        // The other lies elsewhere.
        fs::create_dir_all(root.path().join("class/block/md0/slaves/sdb1")).unwrap();
        let error = volume.check(&kernel).unwrap_err();
        assert!(matches!(&error, Elsewhere::Partition { device, .. } if device == "/dev/sdb1"), "{error}");
        // A foreign disk is part of it.
        fs::remove_dir_all(root.path().join("class/block/md0/slaves/sdb1")).unwrap();
        fs::create_dir_all(root.path().join("class/block/md0/slaves/sdz")).unwrap();
        let error = array.check(&kernel).unwrap_err().to_string();
        assert!(error.contains("lies on /dev/sda1, /dev/sdb1: it lies on /dev/sdz"), "{error}");
        for missing in ["/dev/md7", "/dev/md2"] {
            let missing = Ground { device: missing.into(), ..array.clone() };
            assert!(matches!(missing.check(&kernel), Err(Elsewhere::Missing { .. })));
        }
    }
}
