//! A [`Medium`] that gets the data of an image from its beginning to its end. Runs of zeros go in one request.
//!
//! Where not every image is one for the device, somebody looks at the beginning of it before anything is written.

use std::{fmt, path::Path, sync::Arc};

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

/// How much of the beginning is looked at, in bytes: the header of a GPT for sectors of 4096 bytes is in the second one.
pub const LOOKED_AT: usize = 2 * 4096;

/// Says why a device is no place for an image that begins so, in [`LOOKED_AT`] bytes, fewer where it has no more; nothing
/// where it is one.
pub type Misfit = dyn Fn(&[u8]) -> Option<String> + Send + Sync;

/// See the module.
pub struct Device {
    medium: Arc<Medium>,
    at: u64,
    /// Zeros before `at` that it was not told of yet.
    pending: u64,
    misfit: Option<Box<Misfit>>,
    /// The beginning, until there is enough to be looked at.
    seen: Option<Vec<u8>>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("medium", &self.medium).field("at", &self.at).finish_non_exhaustive()
    }
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
        Self { medium: medium.into(), at: 0, pending: 0, misfit: None, seen: None }
    }

    /// Has `misfit` look at the beginning of an image before anything is written.
    #[must_use]
    pub fn unless(mut self, misfit: impl Fn(&[u8]) -> Option<String> + Send + Sync + 'static) -> Self {
        self.misfit = Some(Box::new(misfit));
        self.seen = Some(Vec::new());
        self
    }

    /// What it is written to.
    pub(crate) fn medium(&self) -> &Arc<Medium> {
        &self.medium
    }

    /// Whether somebody looks at the beginning.
    pub(crate) fn is_choosy(&self) -> bool {
        self.misfit.is_some()
    }

    /// Refuses an image that begins so.
    ///
    /// # Errors
    /// When it is none for this device.
    pub(crate) fn look(&self, beginning: &[u8]) -> Result<(), ImageError> {
        let beginning = &beginning[..beginning.len().min(LOOKED_AT)];
        let why = self.misfit.as_ref().and_then(|misfit| misfit(beginning));
        why.map_or(Ok(()), |why| Err(ImageError::Unfit { why }))
    }

    /// Looks at what was kept for being too short for that, and writes it.
    fn look_at_seen(&mut self) -> Result<(), ImageError> {
        let Some(seen) = self.seen.take() else { return Ok(()) };
        self.look(&seen)?;
        self.put(&seen)
    }

    /// The target is untouched until there is something to write.
    fn put(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
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

    fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let seen = self.seen.as_ref().map_or(0, Vec::len);
        self.check_room(self.at + (seen + bytes.len()) as u64, false)?;
        match &mut self.seen {
            // Whole buffers are written as they lie.
            Some(seen) if !seen.is_empty() || bytes.len() < LOOKED_AT => {
                seen.extend_from_slice(bytes);
                if seen.len() < LOOKED_AT { Ok(()) } else { self.look_at_seen() }
            }
            Some(_) => {
                self.look(bytes)?;
                self.seen = None;
                self.put(bytes)
            }
            None => self.put(bytes),
        }
    }

    fn restart(&mut self) -> Result<(), ImageError> {
        (self.at, self.pending) = (0, 0);
        self.seen = self.misfit.as_ref().map(|_| Vec::new());
        // What was written stays, and is written over; that a range read as zeros before is nothing that counts.
        self.medium.forget();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), ImageError> {
        self.look_at_seen()?;
        self.zero_pending()?;
        self.medium.commit()
    }

    /// The beginning, which is not there yet, is given as it will be: what commits it looks at it.
    fn read_back(&mut self, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, ImageError> {
        self.look_at_seen()?;
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
