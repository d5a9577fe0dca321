//! What can go wrong while a file is packed, and what to do about it.

use std::{io, path::PathBuf};

use super::Packing;

/// A file that was not packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// The raw file cannot be read.
    #[error("reading {} to pack it; look for disk errors in the kernel's log (dmesg)", .path.display())]
    Read {
        /// The raw file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The new file cannot be made.
    #[error("making {}; is there its folder, and may this user write there?", .path.display())]
    Create {
        /// The new file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// There is no room for the new file.
    #[error(
        "no space left for {} after {at} bytes of it: free some on its file system, or put the output on another",
        .path.display()
    )]
    Full {
        /// The new file.
        path: PathBuf,
        /// How far it came, in bytes.
        at: u64,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A write failed otherwise.
    #[error("writing {} at byte {at}; look for disk errors in the kernel's log (dmesg)", .path.display())]
    Write {
        /// The new file.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The library that packs refused to.
    #[error("packing as {packing}: {why}; is there enough memory?")]
    Library {
        /// What was made.
        packing: Packing,
        /// What it said.
        why: String,
    },
    /// The caller said stop.
    #[error("the image was not packed to its end, because the run was told to stop")]
    Cancelled,
    /// A thread could not be started or fell over.
    #[error("a part of the packing ended early; this is a fault of the program")]
    Internal {
        /// Why, if known.
        #[source]
        source: Option<io::Error>,
    },
}

impl PackError {
    /// The error of a write, after `at` bytes.
    pub(super) fn write(path: &std::path::Path, at: u64, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::Full { path, at, source }
            }
            _ => Self::Write { path, at, source },
        }
    }
}
