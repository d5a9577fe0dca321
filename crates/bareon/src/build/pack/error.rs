//! What can go wrong while a tree is packed, and what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use bareon_host::CommandError;
use nix::sys::statvfs::statvfs;

use crate::steps::{bootloader::BootError, mounted::MountError};

/// What is no room, in bytes.
const LITTLE: u64 = 1 << 20;

/// Why a file was not made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A command failed.
    #[error(transparent)]
    Command(CommandError),
    /// A file system could not be mounted or unmounted.
    #[error(transparent)]
    Mount(MountError),
    /// The tree has nothing that boots.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A file could not be read or written.
    #[error("{doing} {}", .path.display())]
    File {
        /// `reading`, `making`, …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The build host has no room left.
    #[error(
        "no space is left on the build host's file system while making {}: free some, or build on another one (image_build_dir, build_in)",
        .path.display()
    )]
    HostFull {
        /// The file that was made.
        path: PathBuf,
    },
    /// Only the kernel fills this file system.
    #[error(
        "{format} can only be filled by the kernel, on a loop device, which needs root: run this as root with /dev/loop-control, or choose ext4"
    )]
    NeedsRoot {
        /// The file system.
        format: &'static str,
    },
    /// Neither mkfs.btrfs nor the kernel takes two file systems with the same UUID.
    #[error(
        "{} is to be a btrfs with the UUID {uuid}, and the build host has one: an image of the same input that is mounted, built at this time, or what it runs from; unmount that, or build on another host",
        .path.display()
    )]
    SameUuid {
        /// The file.
        path: PathBuf,
        /// The UUID.
        uuid: String,
    },
    /// A path of the input leads through a link.
    #[error("{} of the tree is not a folder, so nothing can be mounted there: choose another mount point", .0.display())]
    NoFolder(PathBuf),
    /// A check of a new file system found something.
    #[error("{}, just made, does not pass the check of its file system: {complaint}; is the disk or RAM of the build host sound?", .path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// The line of the check.
        complaint: String,
    },
    /// A new file system is not as it is known to be.
    #[error("{} is not an ext file system as mke2fs makes it: {what}", .path.display())]
    NotExt {
        /// The file.
        path: PathBuf,
        /// What is unknown.
        what: String,
    },
    /// The tree lacks something that a disk needs to boot.
    #[error("a disk image needs {what} in the tree: add the package {package}")]
    Missing {
        /// What is missing.
        what: String,
        /// The Debian packages that bring it.
        package: &'static str,
    },
    /// The boot loader does not fit into its place.
    #[error("GRUB's core image for a BIOS has {size} bytes, its partition has room for {room}")]
    CoreTooLarge {
        /// Its size in bytes.
        size: u64,
        /// The partition's size in bytes.
        room: u64,
    },
}

impl PackError {
    /// Reading or writing `path` failed.
    pub(super) fn file(doing: &'static str, path: &Path, source: io::Error) -> Self {
        if full(&source) {
            Self::HostFull { path: path.into() }
        } else {
            Self::File { doing, path: path.into(), source }
        }
    }

    /// A command that makes `path` failed.
    pub(super) fn making(path: &Path) -> impl FnOnce(CommandError) -> Self {
        move |error| {
            let words = |(stdout, stderr): (&str, &str)| {
                [stdout, stderr].iter().any(|text| text.contains("No space left on device"))
            };
            if error.outputs().is_some_and(words) || no_room(path) {
                Self::HostFull { path: path.into() }
            } else {
                Self::Command(error)
            }
        }
    }
}

/// Whether nothing is left where `path` lies: some tools call that an I/O error.
fn no_room(path: &Path) -> bool {
    let left = statvfs(path.parent().unwrap_or(path));
    left.is_ok_and(|left| left.blocks_available().saturating_mul(left.fragment_size()) < LITTLE)
}

/// Whether the file system or the user's share of it is full.
fn full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<CommandError> for PackError {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl From<MountError> for PackError {
    fn from(error: MountError) -> Self {
        Self::Mount(error)
    }
}
