//! Signatures that are removed: every call of `wipefs(8)` is in this file.

use crate::{Cmd, Tool, cmd::SHORT};

/// Removes all signatures from `devices` (file systems, LVM, md at either end, tables with their backups, bcache,
/// zfs, ceph, …), those of used ones included. The kernel is not told.
pub fn all(devices: &[String]) -> Cmd {
    Tool::Wipefs.cmd().time_limit(SHORT).args(["--all", "--force", "--quiet"]).args(devices)
}
