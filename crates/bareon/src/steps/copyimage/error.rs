//! What goes wrong with an image, and what its target holds then.

use std::{io, path::PathBuf};

use bareon_host::{CommandError, lock::LockError};
use bareon_image::{ImageError, TargetState, WriteError};

use crate::steps::{keep::KeepError, mounted::MountError, place::Elsewhere};

/// An image that could not be written, or not be made to fill its device.
#[derive(Debug, thiserror::Error)]
pub enum CopyImageError {
    /// It could not be written.
    #[error(transparent)]
    Image(#[from] WriteError),
    /// A command failed after it was written.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The target is another partition than the layout's, or none.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
    /// The target is an array or a volume that cannot be brought up.
    #[error(transparent)]
    Up(#[from] KeepError),
    /// It could not be mounted to be grown, or not be unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The disk could not be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What was written cannot be told.
    #[error(
        "{device} has signatures of several file systems, so that nobody can tell which one to grow: look at them by `wipefs {device}`, and make the image anew without the wrong one"
    )]
    Ambivalent {
        /// The device.
        device: String,
    },
    /// A partition of a whole-disk image did not appear.
    #[error(
        "{device} did not appear after the image was written: look at `dmesg` and `sfdisk --dump {disk}`"
    )]
    NoNode {
        /// The disk.
        disk: String,
        /// The partition.
        device: String,
    },
    /// Something of the old disk is in use.
    #[error(
        "the partitions that {disk} had are still in use; `lsblk {disk}` shows by what; nothing was written"
    )]
    Held {
        /// The disk.
        disk: String,
        /// What the kernel said.
        #[source]
        source: CommandError,
    },
    /// The archive could not be unpacked.
    #[error("unpacking the archive into the file system on {device}; it was wiped again")]
    Tree {
        /// The device.
        device: String,
        /// Why not.
        #[source]
        source: Box<CopyImageError>,
    },
    /// A file in which something is kept for a while cannot be made or read.
    #[error("keeping the image in {}", .path.display())]
    Spool {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// There is not enough memory for a qcow2.
    #[error(
        "the image is larger than {} MiB, and a qcow2 is kept in memory until it is unpacked: raise memory_limit, set \
         download_dir to a folder on a disk, or pack the image raw and compressed; nothing was written", .size >> 20
    )]
    NoMemory {
        /// How much there is, in bytes.
        size: u64,
    },
    /// A qcow2 that will not be unpacked.
    #[error(
        "{uri} is no qcow2 that can be unpacked: {why}; make one that stands alone by `qemu-img convert -O qcow2`; nothing was written"
    )]
    Qcow2 {
        /// Its address.
        uri: String,
        /// What is wrong with it.
        why: String,
    },
    /// A qcow2 that cannot be looked at.
    #[error("preparing to unpack {uri}; nothing was written to its target")]
    Prepare {
        /// Its address.
        uri: String,
        /// Why not.
        #[source]
        source: Box<CopyImageError>,
    },
    /// A qcow2 that could not be unpacked.
    #[error(
        "unpacking the image onto {device}; its first MiB is zero, so that nothing of it mounts or boots"
    )]
    Unpack {
        /// The device.
        device: String,
        /// Why not.
        #[source]
        source: CommandError,
    },
}

impl From<ImageError> for CopyImageError {
    /// Before anything was written.
    fn from(error: ImageError) -> Self {
        Self::Image(WriteError { error, target: TargetState::Untouched })
    }
}

impl CopyImageError {
    /// What the device holds now. A whole image whose file system was not grown mounts, and lacks room.
    pub fn target_state(&self) -> TargetState {
        match self {
            Self::Image(error) => error.target,
            Self::Elsewhere(_)
            | Self::Up(_)
            | Self::Held { .. }
            | Self::Spool { .. }
            | Self::NoMemory { .. }
            | Self::Prepare { .. }
            | Self::Qcow2 { .. } => TargetState::Untouched,
            Self::Tree { .. } | Self::Unpack { .. } => TargetState::Cleared,
            Self::Command(_)
            | Self::Mount(_)
            | Self::Lock(_)
            | Self::Ambivalent { .. }
            | Self::NoNode { .. } => TargetState::Written,
        }
    }
}
