//! Where the pieces of a torrent are kept while they are needed: in memory, in a file, or where somebody else says.
//!
//! Whoever streams a torrent keeps all of it, as a piece must be there to be given to others. How much that may be is
//! decided before the first byte is asked for.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::{PoisonError, RwLock},
};

use crate::ImageError;

/// How much memory is taken at a time, in bytes.
const BLOCK: usize = 1 << 20;

/// Holds the bytes of a torrent. All calls may come at once, from any thread.
pub trait Store: Send + Sync {
    /// Reads all of `bytes` from `at` on.
    ///
    /// # Errors
    /// When that was not written before, or reading fails.
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<(), ImageError>;

    /// Writes `bytes` to `at`.
    ///
    /// # Errors
    /// When there is no room, or writing fails.
    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), ImageError>;
}

/// Memory, taken block by block when it is written.
#[derive(Debug)]
pub struct Memory(RwLock<Vec<Option<Box<[u8]>>>>);

impl Memory {
    /// For so many bytes.
    pub fn new(length: u64) -> Self {
        let blocks = usize::try_from(length.div_ceil(BLOCK as u64)).unwrap_or(usize::MAX / BLOCK);
        Self(RwLock::new(std::iter::repeat_with(|| None).take(blocks).collect()))
    }
}

/// The blocks of `length` bytes from `at` on: which block, where in it, and how many bytes of it.
fn blocks(at: u64, length: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let mut at = usize::try_from(at).unwrap_or(usize::MAX);
    let mut left = length;
    std::iter::from_fn(move || {
        let within = at % BLOCK;
        let part = left.min(BLOCK - within);
        let found = (part > 0).then_some((at / BLOCK, within, part));
        at = at.saturating_add(part);
        left -= part;
        found
    })
}

impl Store for Memory {
    fn read_at(&self, at: u64, mut bytes: &mut [u8]) -> Result<(), ImageError> {
        let held = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for (block, within, length) in blocks(at, bytes.len()) {
            let (part, rest) = bytes.split_at_mut(length);
            let block = held.get(block).and_then(Option::as_ref);
            let block = block.ok_or_else(|| absent(at))?;
            part.copy_from_slice(&block[within..within + length]);
            bytes = rest;
        }
        Ok(())
    }

    fn write_at(&self, at: u64, mut bytes: &[u8]) -> Result<(), ImageError> {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (block, within, length) in blocks(at, bytes.len()) {
            let (part, rest) = bytes.split_at(length);
            let block = held.get_mut(block).ok_or_else(|| absent(at))?;
            block.get_or_insert_with(|| vec![0; BLOCK].into())[within..within + length].copy_from_slice(part);
            bytes = rest;
        }
        Ok(())
    }
}

/// For what is asked of a part of the memory that is not there: whoever asks so is at fault.
fn absent(at: u64) -> ImageError {
    let source = io::ErrorKind::UnexpectedEof.into();
    ImageError::ReadBack { path: "the memory of a torrent".into(), at, source }
}

/// A part of a file or a block device.
#[derive(Debug)]
pub struct Region {
    /// What it is called in messages.
    pub path: PathBuf,
    /// The file.
    pub file: File,
    /// Where in it the part begins, in bytes.
    pub from: u64,
}

impl Store for Region {
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<(), ImageError> {
        let failed = |source| ImageError::ReadBack { path: self.path.clone(), at, source };
        self.file.read_exact_at(bytes, self.from + at).map_err(failed)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), ImageError> {
        let failed = |source| ImageError::Write { path: self.path.clone(), at, source };
        self.file.write_all_at(bytes, self.from + at).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds_what_it_was_given(store: &dyn Store) {
        let data: Vec<u8> = (0..3 * BLOCK + 77).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let half = BLOCK + 33;
        store.write_at(half as u64, &data[half..]).unwrap();
        store.write_at(0, &data[..half]).unwrap();
        for (at, length) in [(0, data.len()), (BLOCK - 1, 2), (2 * BLOCK, BLOCK + 77), (5, 0)] {
            let mut read = vec![0; length];
            store.read_at(at as u64, &mut read).unwrap();
            assert!(read == data[at..at + length], "{at} {length}");
        }
    }

    #[test]
    fn memory_and_regions_hold_what_they_are_given_in_any_order() {
        holds_what_it_was_given(&Memory::new((3 * BLOCK + 77) as u64));
        holds_what_it_was_given(&Region {
            path: "a".into(),
            file: tempfile::tempfile().unwrap(),
            from: 4711,
        });
    }

    #[test]
    fn memory_has_neither_what_was_not_written_nor_more_room_than_told() {
        let memory = Memory::new(10);
        assert!(memory.read_at(0, &mut [0; 2]).is_err());
        assert!(memory.write_at(BLOCK as u64, &[1]).is_err());
        assert!(memory.read_at(u64::MAX - 1, &mut [0; 4]).is_err());
    }
}
