//! One of the devices that an image is written onto: which of its chunks stand there already, and the journal on it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::journal::Journal;
use crate::{Device, ImageError, Medium, Reimage, index::Index, target::HEAD};

/// See the module.
pub struct Side<'a> {
    device: &'a Device,
    index: &'a Index,
    /// Which chunks may stand there. Once a chunk was looked at: whether it does.
    stands: Vec<AtomicBool>,
    journal: Option<Journal>,
}

impl<'a> Side<'a> {
    /// One of which nothing was looked at but the journal of a run before this one.
    ///
    /// # Errors
    /// When the device cannot be read.
    pub fn new(
        device: &'a Device,
        index: &'a Index,
        reimage: Reimage,
        uri: &str,
    ) -> Result<Self, ImageError> {
        let journal = Journal::of(device.medium(), index);
        let noted = journal.as_ref().map(|journal| journal.noted(device.medium())).transpose()?.flatten();
        let total = index.chunks.len();
        if let Some(noted) = &noted {
            let (path, count) = (device.medium().path().display(), noted.count());
            tracing::info!(
                "{uri}: a run before this one ended after {count} of {total} chunks on {path}; this one goes on there"
            );
        }
        let all = reimage == Reimage::Differential;
        let may_stand = |number| {
            // What was in the first MiB is gone in any case.
            let kept = index.raw_range(number).start >= HEAD as u64;
            AtomicBool::new(kept && (all || noted.as_ref().is_some_and(|noted| noted.has(number))))
        };
        Ok(Self { device, index, stands: (0..total).map(may_stand).collect(), journal })
    }

    /// What it is written to.
    pub fn medium(&self) -> &'a Medium {
        self.device.medium()
    }

    /// Whether it looks at the beginning of an image before it takes it.
    pub fn is_choosy(&self) -> bool {
        self.device.is_choosy()
    }

    /// Refuses an image that begins so.
    ///
    /// # Errors
    /// When it is none for this device.
    pub fn look(&self, beginning: &[u8]) -> Result<(), ImageError> {
        self.device.look(beginning)
    }

    /// Whether a chunk that may stand there does; `raw` has room for it.
    ///
    /// # Errors
    /// None that is of the device: a block that cannot be read may be mended by being written.
    pub fn stands(&self, number: usize, raw: &mut [u8]) -> Result<bool, ImageError> {
        let stands = self.stands[number].load(Ordering::Relaxed)
            && match self.is_on_medium(number, raw) {
                Err(ImageError::ReadBack { .. }) => false,
                found => found?,
            };
        self.stands[number].store(stands, Ordering::Relaxed);
        Ok(stands)
    }

    /// Writes a chunk, unless it stands there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, number: usize, raw: &[u8]) -> Result<(), ImageError> {
        if self.stands[number].load(Ordering::Relaxed) {
            return Ok(());
        }
        self.medium().write_at(self.index.raw_range(number).start, raw)
    }

    /// Compares a chunk with what was written; `raw` has room for it.
    ///
    /// # Errors
    /// When it cannot be read, or is another one.
    pub fn read_back(&self, number: usize, raw: &mut [u8]) -> Result<(), ImageError> {
        if self.is_on_medium(number, raw)? { Ok(()) } else { Err(self.medium().differs()) }
    }

    fn is_on_medium(&self, number: usize, raw: &mut [u8]) -> Result<bool, ImageError> {
        self.medium().read_at(self.index.raw_range(number).start, raw)?;
        Ok(blake3::hash(raw).as_bytes() == &self.index.chunks[number].hash)
    }

    /// A chunk stands.
    pub fn done(&self, number: usize) {
        if let Some(journal) = &self.journal {
            journal.add(number);
        }
    }

    /// Notes what stands.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn note(&self) -> Result<(), ImageError> {
        self.journal.as_ref().map_or(Ok(()), |journal| journal.write(self.medium()))
    }
}
