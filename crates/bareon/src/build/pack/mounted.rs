//! File systems that only the kernel fills well: XFS, btrfs.
//!
//! mkfs.xfs 6.1 knows no attributes and no hard links in what it fills, mkfs.btrfs 6.2 makes devices of no number. So
//! the file is mounted and copied into. `mount -o loop` gives the loop device back with the mount, and the mounts of a
//! build go with its namespace, whatever ends it.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bareon_host::{Runner, cp, fsck, mkfs::FsType};
use nix::{
    fcntl::AT_FDCWD,
    sys::{
        stat::{UtimensatFlags, utimensat},
        time::TimeSpec,
    },
};

use super::{Look, PackError, first};
use crate::{build::tree::bootstrap::really_root, steps::mounted::Mounted};

/// Whether this process may mount a file: root of the machine, not of a user namespace.
pub fn possible() -> bool {
    really_root() && OpenOptions::new().read(true).write(true).open("/dev/loop-control").is_ok()
}

/// Mounts the new file system of type `kind` in `raw`, copies all of `folder` into it, does `more` with its mount point,
/// unmounts it, and checks it.
pub fn fill(
    host: &dyn Runner,
    kind: FsType,
    folder: &Path,
    look: &Look,
    raw: &Path,
    more: &dyn Fn(&Path) -> Result<(), PackError>,
) -> Result<(), PackError> {
    let MountPoint(dir) = &MountPoint::beside(raw)?;
    let mut mounted = Mounted::below(host, dir)?;
    mounted.mount_file(raw, dir, &kind.to_string())?;
    let made = host
        .run(&cp::archive(folder, dir))
        .map_err(PackError::making(raw))
        .and_then(|_| clamp(dir, look.epoch))
        .and_then(|()| more(dir));
    first(made, mounted.close().map_err(PackError::from))?;
    check(host, kind, raw)
}

/// A folder to mount at. Nothing in it is ever removed.
struct MountPoint(PathBuf);

impl MountPoint {
    fn beside(raw: &Path) -> Result<Self, PackError> {
        let folder = raw.parent().unwrap_or(raw);
        let dir = tempfile::Builder::new().prefix(".mount-").tempdir_in(folder);
        Ok(Self(dir.map_err(|error| PackError::file("making a folder in", folder, error))?.keep()))
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            tracing::debug!("{} stays: {error}", self.0.display());
        }
    }
}

/// The file system was unmounted whole.
fn check(host: &dyn Runner, kind: FsType, raw: &Path) -> Result<(), PackError> {
    let Some(cmd) = fsck::check(kind, &raw.to_string_lossy()) else { return Ok(()) };
    match fsck::verdict(kind, &host.run(&cmd)?) {
        fsck::Verdict::Sound => Ok(()),
        fsck::Verdict::NotUnmounted => {
            Err(PackError::Unsound { path: raw.into(), complaint: "it was not unmounted".into() })
        }
        fsck::Verdict::Damaged(complaint) => Err(PackError::Unsound { path: raw.into(), complaint }),
    }
}

/// Has no time below `folder` be later than the epoch; those of an inode's change are the kernel's.
fn clamp(folder: &Path, epoch: u64) -> Result<(), PackError> {
    let mut folders = vec![folder.to_path_buf()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        let entries = fs::read_dir(&folder).map_err(|error| PackError::file("reading", &folder, error))?;
        for entry in entries {
            let path = entry.map_err(|error| PackError::file("reading", &folder, error))?.path();
            let meta =
                fs::symlink_metadata(&path).map_err(|error| PackError::file("reading", &path, error))?;
            if meta.is_dir() {
                folders.push(path);
            } else {
                set_times(&path, &meta, epoch)?;
            }
        }
    }
    for folder in &folders {
        let meta = fs::symlink_metadata(folder).map_err(|error| PackError::file("reading", folder, error))?;
        set_times(folder, &meta, epoch)?;
    }
    Ok(())
}

fn set_times(path: &Path, meta: &fs::Metadata, epoch: u64) -> Result<(), PackError> {
    let latest = i64::try_from(epoch).unwrap_or(i64::MAX);
    let modified = match meta.mtime() {
        early if early < latest => TimeSpec::new(early, meta.mtime_nsec()),
        _ => TimeSpec::new(latest, 0),
    };
    let accessed = TimeSpec::new(latest, 0);
    utimensat(AT_FDCWD, path, &accessed, &modified, UtimensatFlags::NoFollowSymlink)
        .map_err(|error| PackError::file("setting the times of", path, error.into()))
}
