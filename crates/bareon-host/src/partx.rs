//! What the kernel knows of partitions: every call of `partx(8)` is in this file.
//!
//! partx compares the table on the disk with the kernel's and tells it the difference, partition by
//! partition; partitions of other disks, and users of this one that only read, do not matter to it.

use crate::{Cmd, Tool};

/// Makes the kernel's partitions of `disk` those of the table on it.
pub fn update(disk: &str) -> Cmd {
    Tool::Partx.cmd().args(["--update", disk])
}
