//! Partitions of a disk with several paths: every call of `kpartx(8)` is in this file.
//!
//! The kernel makes no partitions of a device mapper's device; kpartx makes each a mapped device of its own. It is
//! called as the udev rules of multipath-tools call it, so that both mean the same devices.

use crate::{Cmd, Tool, cmd::SHORT};

/// What stands between the disk's name and the partition's number.
pub const DELIMITER: &str = "-part";

/// Takes away the partitions of `disk`. Fails where one is in use; succeeds where there are none.
pub fn delete(disk: &str) -> Cmd {
    kpartx("-d", disk)
}

/// Makes the partitions those of the table on `disk`: new ones are added, others changed or taken away.
pub fn update(disk: &str) -> Cmd {
    kpartx("-u", disk)
}

/// `-s`: the nodes are there when it ends.
fn kpartx(deed: &str, disk: &str) -> Cmd {
    Tool::Kpartx.cmd().time_limit(SHORT).args([deed, "-s", "-p", DELIMITER, disk])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_go_by_the_names_that_udev_rules_give_them() {
        assert_eq!(update("/dev/mapper/mpatha").to_string(), "kpartx -u -s -p -part /dev/mapper/mpatha");
        assert_eq!(delete("/dev/mapper/mpatha").to_string(), "kpartx -d -s -p -part /dev/mapper/mpatha");
    }
}
