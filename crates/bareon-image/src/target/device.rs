//! A [`Medium`] that gets the data of an image from its beginning to its end. Runs of zeros go in one request.

use std::{path::Path, sync::Arc};

use super::{
    Spare, Target,
    medium::{HEAD, Medium},
};
use crate::{
    ImageError, MIB, TargetState,
    pool::{ALIGN, Aligned},
    zeros::is_zero,
};

/// How many zeros go in one request at most, in bytes: some disks take seconds for more.
const ZEROS: u64 = 256 * MIB;

/// In which pieces zeros are looked for, in bytes.
const GRAIN: usize = 64 << 10;

/// See the module.
#[derive(Debug)]
pub struct Device {
    medium: Arc<Medium>,
    at: u64,
    /// Zeros before `at` that it was not told of yet.
    pending: u64,
}

impl Device {
    /// Opens and claims what is at `path`; writes nothing.
    ///
    /// # Errors
    /// When it is not there, is something else, or is in use.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        Ok(Self::over(Medium::open(path)?))
    }

    /// What was opened already.
    pub fn over(medium: impl Into<Arc<Medium>>) -> Self {
        Self { medium: medium.into(), at: 0, pending: 0 }
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        if !bytes.is_empty() {
            self.zero_pending()?;
            self.medium.write_at(self.at, bytes)?;
            self.at += bytes.len() as u64;
        }
        Ok(())
    }

    /// Makes the zeros that wait.
    fn zero_pending(&mut self) -> Result<(), ImageError> {
        let zeros = self.at - self.pending..self.at;
        self.pending = 0;
        if zeros.is_empty() { Ok(()) } else { self.medium.zero_at(zeros) }
    }
}

impl Target for Device {
    fn check_room(&self, needs: u64, exact: bool) -> Result<(), ImageError> {
        self.medium.check_room(needs, exact)
    }

    /// The target is untouched until there is something to write.
    fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.check_room(self.at + bytes.len() as u64, false)?;
        if self.medium.state() == TargetState::Untouched {
            self.medium.begin()?;
        }
        let mut data = 0..0;
        let mut at = 0;
        while at < bytes.len() {
            let piece = at..bytes.len().min(at + GRAIN);
            at = piece.end;
            // Pieces that are no whole grain are not worth a request of their own.
            if piece.len() == GRAIN && is_zero(&bytes[piece]) {
                self.data(&bytes[data])?;
                self.pending += GRAIN as u64;
                self.at += GRAIN as u64;
                if self.pending >= ZEROS {
                    self.zero_pending()?;
                }
                data = at..at;
            } else {
                data.end = at;
            }
        }
        self.data(&bytes[data])
    }

    fn restart(&mut self) -> Result<(), ImageError> {
        (self.at, self.pending) = (0, 0);
        // What was written stays, and is written over; that a range read as zeros before is nothing that counts.
        self.medium.forget();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), ImageError> {
        self.zero_pending()?;
        self.medium.commit()
    }

    /// The beginning, which is not there yet, is given as it will be: what commits it looks at it.
    fn read_back(&mut self, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, ImageError> {
        self.zero_pending()?;
        self.medium.flush()?;
        let mut buffer = Aligned::new(HEAD);
        let mut at = 0;
        while at < self.at {
            let length = usize::try_from(self.at - at).unwrap_or(HEAD).min(HEAD);
            self.medium.read_at(at, &mut buffer[..length])?;
            if !take(&buffer[..length]) {
                break;
            }
            at += length as u64;
        }
        Ok(true)
    }

    fn differs(&self) -> ImageError {
        self.medium.differs()
    }

    fn spare(&self, size: u64) -> Option<Spare> {
        let end = self.medium.room()?;
        Some(Spare { path: self.medium.path().to_owned(), from: size.next_multiple_of(ALIGN as u64), end })
    }

    fn state(&self) -> TargetState {
        self.medium.state()
    }
}
