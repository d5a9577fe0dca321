//! File systems and swap space: every call of `mkfs.*(8)` and `mkswap(8)` is in this file.
//!
//! Each is told to go ahead over whatever lies there: that this may be overwritten was decided before.

use std::{fmt, str::FromStr};

use crate::{Cmd, Tool};

/// A file system that can be made, or swap space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsType {
    /// btrfs.
    Btrfs,
    /// The second extended file system.
    Ext2,
    /// The third.
    Ext3,
    /// The fourth.
    Ext4,
    /// Swap space.
    Swap,
    /// FAT, 32 or as large as it must be.
    Vfat,
    /// XFS.
    Xfs,
}

/// A name that is no file system that can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is none of ext2, ext3, ext4, xfs, btrfs, vfat, swap")]
pub struct UnknownFsType(String);

impl FromStr for FsType {
    type Err = UnknownFsType;

    fn from_str(name: &str) -> Result<Self, UnknownFsType> {
        Ok(match name {
            "btrfs" => Self::Btrfs,
            "ext2" => Self::Ext2,
            "ext3" => Self::Ext3,
            "ext4" => Self::Ext4,
            "swap" => Self::Swap,
            "vfat" => Self::Vfat,
            "xfs" => Self::Xfs,
            other => return Err(UnknownFsType(other.into())),
        })
    }
}

impl fmt::Display for FsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Btrfs => "btrfs",
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::Swap => "swap",
            Self::Vfat => "vfat",
            Self::Xfs => "xfs",
        })
    }
}

impl FsType {
    /// How many bytes a label may have: mke2fs(8), mkfs.xfs(8), `BTRFS_LABEL_SIZE` less its end,
    /// mkfs.fat(8), mkswap(8) (16 less its end).
    pub const fn label_limit(self) -> usize {
        match self {
            Self::Btrfs => 255,
            Self::Ext2 | Self::Ext3 | Self::Ext4 => 16,
            Self::Swap => 15,
            Self::Vfat => 11,
            Self::Xfs => 12,
        }
    }

    /// Whether this is ext2, ext3 or ext4.
    pub const fn is_ext(self) -> bool {
        matches!(self, Self::Ext2 | Self::Ext3 | Self::Ext4)
    }

    fn tool(self) -> Tool {
        match self {
            Self::Btrfs => Tool::MkfsBtrfs,
            Self::Ext2 => Tool::MkfsExt2,
            Self::Ext3 => Tool::MkfsExt3,
            Self::Ext4 => Tool::MkfsExt4,
            Self::Swap => Tool::Mkswap,
            Self::Vfat => Tool::MkfsVfat,
            Self::Xfs => Tool::MkfsXfs,
        }
    }
}

/// Makes a file system of type `fs` on `device`, whatever lies there.
///
/// `label` is not set where it is empty. `options` go before the device as they are.
pub fn mkfs(fs: FsType, device: &str, label: &str, options: &[&str]) -> Cmd {
    let mut cmd = fs.tool().cmd();
    cmd = match fs {
        FsType::Btrfs | FsType::Swap => cmd.arg("-f"),
        FsType::Xfs => cmd.args(["-q", "-f"]),
        FsType::Ext2 | FsType::Ext3 | FsType::Ext4 => cmd.args(["-q", "-F"]),
        FsType::Vfat => cmd,
    };
    if !label.is_empty() {
        cmd = cmd.arg(if fs == FsType::Vfat { "-n" } else { "-L" }).arg(label);
    }
    cmd.args(options).arg(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_its_own_flags() {
        for (name, line) in [
            ("ext4", "mkfs.ext4 -q -F -L 'my data' -O ^64bit /dev/sda3"),
            ("xfs", "mkfs.xfs -q -f -L 'my data' -O ^64bit /dev/sda3"),
            ("btrfs", "mkfs.btrfs -f -L 'my data' -O ^64bit /dev/sda3"),
            ("vfat", "mkfs.vfat -n 'my data' -O ^64bit /dev/sda3"),
            ("swap", "mkswap -f -L 'my data' -O ^64bit /dev/sda3"),
        ] {
            let fs: FsType = name.parse().unwrap();
            assert_eq!(mkfs(fs, "/dev/sda3", "my data", &["-O", "^64bit"]).to_string(), line);
            assert_eq!(fs.to_string(), name);
        }
        assert_eq!(mkfs(FsType::Ext2, "/dev/sda3", "", &[]).to_string(), "mkfs.ext2 -q -F /dev/sda3");
    }
}
