//! What an image is written to. A kind of target is a [`Target`].

mod device;
mod medium;

use std::path::PathBuf;

pub use device::{Device, LOOKED_AT, Misfit};
pub use medium::{HEAD, Medium};

use crate::{ImageError, TargetState};

/// The part of a disk that nobody uses while an image is written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spare {
    /// The disk.
    pub path: PathBuf,
    /// Where the part begins, in bytes.
    pub from: u64,
    /// Where it ends.
    pub end: u64,
}

/// Takes the data of an image from its beginning to its end.
///
/// What was not committed must not be taken for an image by anybody: whatever holds it makes sure of that.
pub trait Target: Send {
    /// Refuses an image of `needs` bytes (`exact`), or of so many that were seen so far, if it does not fit.
    ///
    /// # Errors
    /// When it does not.
    fn check_room(&self, needs: u64, exact: bool) -> Result<(), ImageError>;

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When there is no room, or a write fails.
    fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError>;

    /// Begins anew: nothing of what was written so far counts.
    ///
    /// # Errors
    /// When that cannot be.
    fn restart(&mut self) -> Result<(), ImageError>;

    /// Makes a whole image of what was written, after all of it was found right.
    ///
    /// # Errors
    /// When that fails; what is there then is no image.
    fn commit(&mut self) -> Result<(), ImageError>;

    /// Gives all that was written so far to `take`, from the medium itself; `take` says whether to go on. False where
    /// this target has no way to do so. Called before it is committed.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_back(&mut self, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, ImageError> {
        let _ = take;
        Ok(false)
    }

    /// The error for other bytes on the medium than were written.
    fn differs(&self) -> ImageError;

    /// What is free behind an image of `size` bytes, where that is known.
    fn spare(&self, size: u64) -> Option<Spare> {
        let _ = size;
        None
    }

    /// What it holds now.
    fn state(&self) -> TargetState;
}
