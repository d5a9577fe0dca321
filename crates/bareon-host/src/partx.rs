//! What the kernel knows of partitions: every call of `partx(8)` is in this file.
//!
//! partx tells the kernel of one partition after the other, where `BLKRRPART` (sfdisk's own way)
//! has it read the whole table again and fails while anybody looks at any partition. `--update`
//! is not used: where a new partition lies over an old one that comes later, it adds neither
//! and still succeeds (util-linux 2.38).

use crate::{Cmd, Tool, cmd::SHORT};

/// Makes the kernel forget the partitions of `disk`. Fails, and leaves those that are left, where
/// one is in use; fails, too, where there are none.
pub fn delete(disk: &str) -> Cmd {
    Tool::Partx.cmd().time_limit(SHORT).args(["--delete", disk])
}

/// Tells the kernel of the partitions in the table on `disk`; it must know none of them yet.
pub fn add(disk: &str) -> Cmd {
    Tool::Partx.cmd().time_limit(SHORT).args(["--add", disk])
}

/// Makes the kernel forget the partitions of `disk` from number `first` to `last`. Fails where one is in use, or is not
/// known.
pub fn delete_range(disk: &str, first: u32, last: u32) -> Cmd {
    ranged("--delete", disk, first, last)
}

/// Tells the kernel of the partitions from number `first` to `last` in the table on `disk`; others stay as they are.
pub fn add_range(disk: &str, first: u32, last: u32) -> Cmd {
    ranged("--add", disk, first, last)
}

fn ranged(deed: &str, disk: &str, first: u32, last: u32) -> Cmd {
    Tool::Partx.cmd().time_limit(SHORT).args([deed, "--nr"]).arg(format!("{first}:{last}")).arg(disk)
}
