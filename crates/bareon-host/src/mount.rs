//! Mounts: every call of `mount(8)` and `umount(8)` is in this file, and what the kernel says of them.
//!
//! mount(8) is called instead of mount(2), so that the log holds a line that can be pasted. The
//! namespace alone is made by a system call: it must be this process's own.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use nix::{
    mount::{MsFlags, mount as mount2},
    sched::{CloneFlags, unshare},
};

use crate::{Cmd, Tool, cmd::SHORT};

/// Mounts `device` with the file system `fs_type` at `dir`.
pub fn mount(device: &str, dir: &Path, fs_type: &str) -> Cmd {
    Tool::Mount.cmd().time_limit(SHORT).args(["-t", fs_type, device]).arg(dir)
}

/// Mounts `device` at `dir` without writing to it: no journal is replayed either, which a mount that is only
/// called read-only does.
pub fn mount_read_only(device: &str, dir: &Path, fs_type: &str) -> Cmd {
    let options = match fs_type {
        "ext3" | "ext4" => "ro,noload",
        "xfs" | "btrfs" => "ro,norecovery",
        _ => "ro",
    };
    Tool::Mount.cmd().time_limit(SHORT).args(["-t", fs_type, "-o", options, device]).arg(dir)
}

/// Mounts the file system `fs_type` that is in the file `file` at `dir`, by a loop device that goes with the mount.
///
/// XFS refuses the id of a file system that is mounted already, as another image of the same may be.
pub fn mount_file(file: &Path, dir: &Path, fs_type: &str) -> Cmd {
    let options = if fs_type == "xfs" { "loop,noatime,nouuid" } else { "loop,noatime" };
    Tool::Mount.cmd().time_limit(SHORT).args(["-t", fs_type, "-o", options]).arg(file).arg(dir)
}

/// Shows the directory `from` at `dir`, without what is mounted below it.
pub fn bind(from: &str, dir: &Path) -> Cmd {
    Tool::Mount.cmd().time_limit(SHORT).args(["--bind", from]).arg(dir)
}

/// Shows the directory `from` at `dir` with all that is mounted below it.
pub fn bind_all(from: &str, dir: &Path) -> Cmd {
    Tool::Mount.cmd().time_limit(SHORT).args(["--rbind", from]).arg(dir)
}

/// Mounts a tmpfs of at most `size` bytes at `dir`, for its owner alone.
pub fn memory(dir: &Path, size: u64) -> Cmd {
    let options = format!("size={size},mode=700");
    Tool::Mount.cmd().time_limit(SHORT).args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir)
}

/// Mounts pseudo terminals at `dir` that nobody else has.
pub fn own_ptys(dir: &Path) -> Cmd {
    Tool::Mount
        .cmd()
        .time_limit(SHORT)
        .args(["-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts"])
        .arg(dir)
}

/// Unmounts `dir`.
pub fn umount(dir: &Path) -> Cmd {
    Tool::Umount.cmd().time_limit(SHORT).arg(dir)
}

/// Unmounts `dir` and all that is mounted below it.
pub fn umount_below(dir: &Path) -> Cmd {
    Tool::Umount.cmd().time_limit(SHORT).arg("--recursive").arg(dir)
}

/// Unmounts directories, in their order.
pub fn umount_all<P: AsRef<Path>>(dirs: impl IntoIterator<Item = P>) -> Cmd {
    dirs.into_iter().fold(Tool::Umount.cmd().time_limit(SHORT), |cmd, dir| cmd.arg(dir.as_ref()))
}

/// Takes `dir` out of the tree now, and unmounts it when the last one has stopped to use it.
pub fn umount_lazily(dir: &Path) -> Cmd {
    Tool::Umount.cmd().time_limit(SHORT).arg("--lazy").arg(dir)
}

/// Gives this process mounts of its own: what it mounts from now on is seen by nobody else, and
/// is gone when it ends, however it ends.
///
/// It counts for the calling thread and those that it starts: to be called first in `main`.
///
/// # Errors
/// When the kernel refuses, as it does without root.
pub fn private_namespace() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount2(None::<&str>, "/", None::<&str>, MsFlags::MS_PRIVATE | MsFlags::MS_REC, None::<&str>)?;
    Ok(())
}

/// A line of `/proc/thread-self/mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// Major and minor number of the device; btrfs gives one that no device has.
    pub number: (u64, u64),
    /// Where it is mounted.
    pub dir: String,
    /// What is mounted.
    pub source: String,
}

/// Reads `/proc/thread-self/mountinfo`; see proc(5).
pub fn parse_mountinfo(text: &str) -> Vec<Mounted> {
    text.lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let mut before = before.split(' ').skip(2);
            let (major, minor) = before.next()?.split_once(':')?;
            let number = (major.parse().ok()?, minor.parse().ok()?);
            let dir = unescape(before.nth(1)?);
            let source = unescape(after.split(' ').nth(1)?);
            Some(Mounted { number, dir, source })
        })
        .collect()
}

/// Where `device` is mounted already, in this process's namespace.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn mounted_at(device: &str) -> io::Result<Option<String>> {
    let table = parse_mountinfo(&fs::read_to_string("/proc/thread-self/mountinfo")?);
    let number =
        fs::metadata(device).map(|meta| (nix::libc::major(meta.rdev()), nix::libc::minor(meta.rdev())));
    let number = number.ok().map(|(major, minor)| (u64::from(major), u64::from(minor)));
    let path = fs::canonicalize(device).unwrap_or_else(|_| device.into());
    let found = table.into_iter().find(|mounted| {
        Some(mounted.number) == number
            || (mounted.source.starts_with('/')
                && fs::canonicalize(&mounted.source).unwrap_or_else(|_| (&mounted.source).into()) == path)
    });
    Ok(found.map(|mounted| mounted.dir))
}

/// Whether something is mounted at `dir`.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn is_mounted(dir: &Path) -> io::Result<bool> {
    let dir = fs::canonicalize(dir)?;
    let table = parse_mountinfo(&fs::read_to_string("/proc/thread-self/mountinfo")?);
    Ok(table.iter().any(|mounted| Path::new(&mounted.dir) == dir))
}

/// Undoes the kernel's `\040` for a blank, and the like.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_with_blanks_and_optional_fields() {
        let recorded = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
                        36 22 7:5 /sub /mnt/a\\040b rw - btrfs /dev/loop0p5 rw,subvol=/sub\n\
                        broken\n";
        let mounts = parse_mountinfo(recorded);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].source, "/dev/root");
        assert_eq!(
            mounts[1],
            Mounted { number: (7, 5), dir: "/mnt/a b".into(), source: "/dev/loop0p5".into() }
        );
    }

    #[test]
    fn a_file_is_mounted_by_a_loop_device_that_goes_with_the_mount() {
        let line = |fs_type| mount_file(Path::new("/w/raw"), Path::new("/w/m"), fs_type).to_string();
        assert_eq!(line("btrfs"), "mount -t btrfs -o loop,noatime /w/raw /w/m");
        assert_eq!(line("xfs"), "mount -t xfs -o loop,noatime,nouuid /w/raw /w/m");
    }

    #[test]
    fn a_device_that_is_nowhere_is_not_mounted() {
        assert_eq!(mounted_at("/dev/no-such-device").unwrap(), None);
    }
}
