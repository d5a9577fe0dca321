//! All that lies on the disks, and questions about it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FileSystem, LogicalVolume, MultipleDevice, Parted, Partition, PhysicalVolume, VolumeGroup};

/// The layout of all disks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PartitionScheme {
    /// Disks with their partition tables.
    pub parteds: Vec<Parted>,
    /// md arrays.
    pub mds: Vec<MultipleDevice>,
    /// LVM physical volumes.
    pub pvs: Vec<PhysicalVolume>,
    /// LVM volume groups.
    pub vgs: Vec<VolumeGroup>,
    /// LVM logical volumes.
    pub lvs: Vec<LogicalVolume>,
    /// File systems and swap spaces.
    pub fss: Vec<FileSystem>,
}

impl PartitionScheme {
    /// All partitions, disk by disk.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.parteds.iter().flat_map(|parted| &parted.partitions)
    }

    /// The first file system that is mounted at `mount`.
    pub fn fs_by_mount(&self, mount: &str) -> Option<&FileSystem> {
        self.fss.iter().find(|fs| fs.mount.as_deref() == Some(mount))
    }

    /// The root file system.
    pub fn root(&self) -> Option<&FileSystem> {
        self.fs_by_mount("/")
    }

    /// The file systems in an order in which they can be mounted; the order of the scheme within a depth.
    pub fn fs_by_depth(&self) -> Vec<&FileSystem> {
        let mut fss: Vec<_> = self.fss.iter().filter(|fs| fs.mount.is_some()).collect();
        fss.sort_by_key(|fs| fs.depth());
        fss
    }

    /// The partition that the config drive is written to.
    pub fn configdrive_device(&self) -> Option<&str> {
        self.partitions().find(|partition| partition.configdrive).map(|partition| partition.name.as_str())
    }

    /// Whether something is to be kept, so that no disk is partitioned anew.
    pub fn skip_partitioning(&self) -> bool {
        self.fss.iter().any(|fs| fs.keep_data)
            || self.lvs.iter().any(|lv| lv.keep_data)
            || self.vgs.iter().any(|vg| vg.keep_data)
            || self.partitions().any(|partition| partition.keep_data)
    }
}
