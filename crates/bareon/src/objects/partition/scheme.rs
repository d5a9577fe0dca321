//! All that lies on the disks, and questions about it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    FileSystem, Kept, LogicalVolume, MultipleDevice, Parted, Partition, PhysicalVolume, VolumeGroup,
};

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
            || self.pvs.iter().any(|pv| pv.keep_data)
            || self.mds.iter().any(|md| md.keep_data)
            || self.partitions().any(|partition| partition.keep_data)
    }

    /// The devices whose content stays: what is to be kept itself, what lies on it, and all of the layout that it lies
    /// on, down to the partitions. Nothing may be written to them, and nothing that lies on them be stopped for good.
    pub fn kept_devices(&self) -> BTreeSet<String> {
        Kept::of(self, false).devices().clone()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_is_to_be_kept_is_not_laid_out_anew() {
        for (list, element) in [
            ("fss", json!({"device": "/dev/sda1", "mount": "/"})),
            ("lvs", json!({"name": "a", "vgname": "b", "size": 1})),
            ("vgs", json!({"name": "b"})),
            ("pvs", json!({"name": "/dev/sda1"})),
            ("mds", json!({"name": "/dev/md0", "level": "1"})),
        ] {
            let skips = |keep: bool| {
                let mut element = element.clone();
                element["keep_data"] = json!(keep);
                let scheme: PartitionScheme = serde_json::from_value(json!({list: [element]})).unwrap();
                scheme.skip_partitioning()
            };
            assert!(skips(true) && !skips(false), "{list}");
        }
    }
}
