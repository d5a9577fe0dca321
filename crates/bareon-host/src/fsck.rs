//! File systems that are looked at, and not mended: `e2fsck(8)`, `xfs_repair(8)`, `btrfs(8)`, `fsck.fat(8)`.
//!
//! The one file for several programs, as each is one call of the same deed. None of them writes. They read all of the
//! metadata, whatever a flag in it says of how it was left.
//!
//! A file system that was not unmounted is no damaged one: its journal is replayed when it is mounted next. Until
//! then, as nobody may write, the check sees it half-way: what it finds counts only where there is no such journal.

use std::time::Duration;

use crate::{Cmd, Output, Tool, mkfs::FsType};

/// How long a check may take. It reads the metadata of perhaps hundreds of millions of files.
const TIME_LIMIT: Duration = Duration::from_hours(12);

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is whole.
    Sound,
    /// It was not unmounted; what it holds is known when its journal has been replayed, by a mount.
    NotUnmounted,
    /// It is damaged; the line of the check that says so.
    Damaged(String),
}

/// Checks the file system of type `fs` on `device`, which is not mounted; nothing for swap space, of which there is
/// nothing to check. What the command's success means is told by [`verdict`].
pub fn check(fs: FsType, device: &str) -> Option<Cmd> {
    let cmd = match fs {
        FsType::Swap => return None,
        FsType::Ext2 | FsType::Ext3 | FsType::Ext4 => {
            Tool::E2fsck.cmd().args(["-n", "-f", device]).also_ok(4)
        }
        FsType::Xfs => Tool::XfsRepair.cmd().args(["-n", device]).also_ok(1),
        FsType::Btrfs => Tool::Btrfs.cmd().args(["check", "--readonly", device]).also_ok(1),
        FsType::Vfat => Tool::FsckVfat.cmd().args(["-n", device]).also_ok(1),
    };
    Some(cmd.time_limit(TIME_LIMIT))
}

/// Reads the answer to [`check`].
pub fn verdict(fs: FsType, answer: &Output) -> Verdict {
    let says = |text: &str| answer.stdout.contains(text) || answer.stderr.contains(text);
    let unclean = match fs {
        FsType::Ext2 | FsType::Ext3 | FsType::Ext4 => says("skipping journal recovery"),
        FsType::Xfs => says("valuable metadata changes in a log"),
        FsType::Vfat => says("Dirty bit is set"),
        FsType::Btrfs | FsType::Swap => false,
    };
    let mut lines = answer.stdout.lines().chain(answer.stderr.lines()).map(str::trim);
    let complaint = match fs {
        // It has no journal: what else it complains of is there.
        FsType::Vfat => lines.find(|line| !harmless(line)),
        _ if answer.status == 0 || unclean => None,
        FsType::Btrfs => lines.rfind(|line| line.to_lowercase().contains("error")),
        _ => lines.find(|line| !heading(line)),
    };
    match complaint {
        _ if answer.status == 0 && !unclean => Verdict::Sound,
        Some(line) => Verdict::Damaged(line.to_owned()),
        None if unclean => Verdict::NotUnmounted,
        // What the backup of a boot sector differs in is no damage, whatever the status.
        None if fs == FsType::Vfat => Verdict::Sound,
        None => Verdict::Damaged(format!("status {}", answer.status)),
    }
}

/// A line of fsck.fat that is no complaint, or one of what does no harm.
fn harmless(line: &str) -> bool {
    const KNOWN: [&str; 7] = [
        "fsck.fat ",
        "There are differences between boot sector and its backup",
        "This is mostly harmless",
        "Not automatically fixing this",
        "Dirty bit is set",
        "Automatically removing dirty bit",
        "Leaving filesystem unchanged",
    ];
    let bytes_that_differ = line.chars().all(|c| c.is_ascii_hexdigit() || " ,:/".contains(c));
    let summary = line.ends_with(" clusters") && line.contains(" files, ");
    bytes_that_differ || summary || KNOWN.iter().any(|known| line.starts_with(known))
}

/// A line that e2fsck or `xfs_repair` writes of a sound file system, too.
fn heading(line: &str) -> bool {
    line.is_empty() || ["Pass ", "Phase ", "- ", "e2fsck "].iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_check_writes() {
        for (fs, line) in [
            (FsType::Ext2, Some("e2fsck -n -f /dev/sda3")),
            (FsType::Ext4, Some("e2fsck -n -f /dev/sda3")),
            (FsType::Xfs, Some("xfs_repair -n /dev/sda3")),
            (FsType::Btrfs, Some("btrfs check --readonly /dev/sda3")),
            (FsType::Vfat, Some("fsck.vfat -n /dev/sda3")),
            (FsType::Swap, None),
        ] {
            assert_eq!(check(fs, "/dev/sda3").map(|cmd| cmd.to_string()).as_deref(), line);
        }
    }

    /// Recorded from e2fsprogs 1.47.0, xfsprogs 6.1, btrfs-progs 6.2 and dosfstools 4.2.
    #[test]
    fn what_was_not_unmounted_is_told_from_what_is_damaged() {
        const PASSES: &str = "Pass 1: Checking inodes, blocks, and sizes\n";
        const JOURNAL: &str =
            "Warning: skipping journal recovery because doing a read-only filesystem check.\n";
        const INODE: &str = "Inode 12 has an invalid extent node (blk 9000, lblk 0)\nClear? no\n";
        const LOG: &str = "Phase 2 - using internal log\n        - zero log...\n\
             ALERT: The filesystem has valuable metadata changes in a log which is being\n\
             ignored because the -n option was used.  Expect spurious inconsistencies\n";
        const DIRTY: &str = "fsck.fat 4.2 (2021-01-31)\n\
             There are differences between boot sector and its backup.\n\
             This is mostly harmless. Differences: (offset:original/backup)\n  65:01/00\n\
             \x20 Not automatically fixing this.\n\
             Dirty bit is set. Fs was not properly unmounted and some data may be corrupt.\n\
             \x20Automatically removing dirty bit.\n\nLeaving filesystem unchanged.\n\
             /dev/sda2: 0 files, 1/129022 clusters\n";
        let damaged = |line: &str| Verdict::Damaged(line.into());
        for (fs, status, stdout, stderr, verdict) in [
            (FsType::Ext4, 0, PASSES.to_owned(), "e2fsck 1.47.0 (5-Feb-2023)", Verdict::Sound),
            (FsType::Ext4, 4, JOURNAL.to_owned() + PASSES + INODE, "", Verdict::NotUnmounted),
            (FsType::Ext4, 0, JOURNAL.to_owned() + PASSES, "", Verdict::NotUnmounted),
            (
                FsType::Ext4,
                4,
                PASSES.to_owned() + INODE,
                "e2fsck 1.47.0 (5-Feb-2023)",
                damaged("Inode 12 has an invalid extent node (blk 9000, lblk 0)"),
            ),
            (FsType::Xfs, 1, String::new(), LOG, Verdict::NotUnmounted),
            (FsType::Xfs, 1, "Phase 1 - find\n        - zero\nbad magic\n".into(), "", damaged("bad magic")),
            (
                FsType::Btrfs,
                1,
                "ERROR: cannot open file system\n".into(),
                "Opening\n",
                damaged("ERROR: cannot open file system"),
            ),
            (FsType::Vfat, 0, "fsck.fat 4.2\n".into(), "", Verdict::Sound),
            (FsType::Vfat, 1, DIRTY.into(), "", Verdict::NotUnmounted),
            (FsType::Vfat, 1, "fsck.fat 4.2\nFATs differ\n".into(), "", damaged("FATs differ")),
            (FsType::Ext2, 4, String::new(), "", damaged("status 4")),
        ] {
            let answer = Output { status, stdout, stderr: stderr.into() };
            assert_eq!(super::verdict(fs, &answer), verdict, "{fs} {answer:?}");
        }
    }
}
