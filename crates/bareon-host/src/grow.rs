//! Growing file systems to their device: `e2fsck(8)`, `resize2fs(8)`, `xfs_growfs(8)`, `btrfs(8)`.
//!
//! The one file for several programs, as each is one call of the same deed.

use crate::{Cmd, Tool};

/// Checks an ext2, ext3 or ext4 that is not mounted; resize2fs asks for that. Status 1 of
/// e2fsck says that it mended something.
pub fn e2fsck(device: &str) -> Cmd {
    Tool::E2fsck.cmd().args(["-f", "-p", device]).also_ok(1)
}

/// Grows an ext2, ext3 or ext4 that is not mounted to its device.
pub fn resize2fs(device: &str) -> Cmd {
    Tool::Resize2fs.cmd().arg(device)
}

/// Grows an XFS, which must be mounted at `mount_point`, to its device.
pub fn xfs_growfs(mount_point: &str) -> Cmd {
    Tool::XfsGrowfs.cmd().args(["-d", mount_point])
}

/// Grows a btrfs, which must be mounted at `mount_point`, to its device.
pub fn btrfs_resize(mount_point: &str) -> Cmd {
    Tool::Btrfs.cmd().args(["filesystem", "resize", "max", mount_point])
}
