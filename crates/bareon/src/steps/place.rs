//! Where a partition lies, and whether it lies there.
//!
//! A layout names partitions by device nodes. On a machine that was never partitioned, or otherwise, the same
//! name is another place: what runs without having partitioned looks first.

use std::path::Path;

use crate::{
    hardware::usage::{Kernel, bytes_in, kernel_name},
    objects::{Bytes, partition::Partition},
};

/// Where a partition lies on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// How far from the disk's beginning.
    pub begin: Bytes,
    /// How large it is.
    pub size: Bytes,
}

/// A device that is another partition than the layout's, or none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{device} is not the partition of the layout, which begins at {} and has {}: {}; nothing was written to it; \
     run `partition` first", .layout.begin, .layout.size, lies(*.found)
)]
pub struct Elsewhere {
    /// The device.
    pub device: String,
    /// Where the layout has it.
    pub layout: Place,
    /// Where the kernel has it.
    pub found: Option<Place>,
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
        match Self::found(device, &kernel.sys) {
            Some(found) if found == self => Ok(()),
            found => Err(Elsewhere { device: device.into(), layout: self, found }),
        }
    }

    /// Where the kernel has the partition `device`; nothing where it knows none of that name.
    fn found(device: &str, sys: &Path) -> Option<Self> {
        let dir = sys.join("class/block").join(kernel_name(device));
        Some(Self { begin: bytes_in(&dir, "start")?, size: bytes_in(&dir, "size")? })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_partition_that_lies_elsewhere_is_told_with_both_places() {
        let root = tempfile::tempdir().unwrap();
        let kernel = Kernel { proc: root.path().into(), sys: root.path().into() };
        let dir = root.path().join("class/block/sda1");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("start"), "2048\n").unwrap();
        fs::write(dir.join("size"), "4096\n").unwrap();
        let place = Place { begin: Bytes(1 << 20), size: Bytes(2 << 20) };
        assert_eq!(place.check("/dev/sda1", &kernel), Ok(()));
        let other = Place { begin: Bytes(2 << 20), ..place };
        let error = other.check("/dev/sda1", &kernel).unwrap_err();
        assert_eq!(error.found, Some(place));
        assert!(error.to_string().contains("begins at 2 MiB and has 2 MiB: it begins at 1 MiB"), "{error}");
        assert_eq!(place.check("/dev/sda2", &kernel).unwrap_err().found, None);
    }
}
