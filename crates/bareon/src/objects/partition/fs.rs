//! A file system, or swap space.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file system on a partition, an array or a logical volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSystem {
    /// The device that it lies on, such as `/dev/sda3`.
    pub device: String,
    /// Where the installed system mounts it; `swap` for swap space; nothing: it is made, not mounted.
    pub mount: Option<String>,
    /// `ext2`, `ext3`, `ext4`, `xfs`, `btrfs`, `vfat` or `swap`.
    #[serde(default = "xfs")]
    pub fs_type: String,
    /// Further arguments of mkfs, separated by blanks.
    #[serde(default)]
    pub fs_options: String,
    /// The label; none when empty.
    #[serde(default)]
    pub fs_label: String,
    /// What lies on it stays.
    #[serde(default)]
    pub keep_data: bool,
    /// The options in fstab; the usual ones where nothing is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fstab_options: Option<String>,
    /// Whether it is not entered in fstab, so that the installed system does not mount it by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_in_fstab: bool,
}

fn xfs() -> String {
    "xfs".into()
}

impl FileSystem {
    /// How deep in the tree it is mounted: `/` and `swap` are 0, `/var/lib` is 2.
    pub fn depth(&self) -> usize {
        self.mount.as_deref().map_or(0, |mount| mount.split('/').filter(|part| !part.is_empty()).count())
            - usize::from(self.is_swap())
    }

    /// Whether this is swap space.
    pub fn is_swap(&self) -> bool {
        self.mount.as_deref() == Some("swap")
    }
}
