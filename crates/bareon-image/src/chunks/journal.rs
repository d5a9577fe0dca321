//! Which chunks stand on the target, for the run after one that ended early.
//!
//! It lies where the first MiB of the image will lie, half of which is enough, and which is written last: while there is a
//! journal, there is nothing that mounts or boots, and when there is an image, there is no journal. All the rest of that
//! MiB is zero, and neither half of a journal is taken for a file system by anybody.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 512 KiB | 8 | `BAREONJR` |
//! | + 8 | 32 | the hash that the index ends with |
//! | + 40 | 4056 | zeros |
//! | + 4096 | as many as needed | a bit for each chunk, the first of a byte in its lowest bit |
//!
//! It is written now and then, and not flushed: what it says is looked at before it is believed.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    ImageError, Medium,
    index::Index,
    pool::{ALIGN, Aligned},
};

const MAGIC: [u8; 8] = *b"BAREONJR";

/// Where it begins on the target, in bytes.
const PLACE: u64 = 512 << 10;

/// How long it may be, in bytes.
const ROOM: usize = 512 << 10;

/// The journal of one image.
#[derive(Debug)]
pub struct Journal {
    id: [u8; 32],
    bits: Mutex<Bits>,
    changed: AtomicBool,
}

/// A bit for each chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits(Vec<u8>);

impl Bits {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(8)])
    }

    /// Whether the chunk stands.
    pub fn has(&self, number: usize) -> bool {
        self.0.get(number / 8).is_some_and(|byte| byte >> (number % 8) & 1 == 1)
    }

    /// How many stand.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|byte| byte.count_ones()).sum()
    }

    fn add(&mut self, number: usize) {
        if let Some(byte) = self.0.get_mut(number / 8) {
            *byte |= 1 << (number % 8);
        }
    }
}

impl Journal {
    /// An empty one; nothing where there is no room for it.
    pub fn of(medium: &Medium, index: &Index) -> Option<Self> {
        let bits = Bits::new(index.chunks.len());
        let fits = medium.room().is_some_and(|room| room >= PLACE + ROOM as u64);
        (fits && bits.0.len() + ALIGN <= ROOM).then(|| Self {
            id: index.id(),
            bits: Mutex::new(bits),
            changed: AtomicBool::new(false),
        })
    }

    /// What a run before this one noted of the same image.
    ///
    /// # Errors
    /// When the target cannot be read.
    pub fn noted(&self, medium: &Medium) -> Result<Option<Bits>, ImageError> {
        let mut bytes = self.blank();
        medium.read_medium(PLACE, &mut bytes)?;
        if bytes[..MAGIC.len()] != MAGIC || bytes[MAGIC.len()..][..self.id.len()] != self.id {
            return Ok(None);
        }
        let length = self.bits.lock().unwrap_or_else(PoisonError::into_inner).0.len();
        Ok(Some(Bits(bytes[ALIGN..][..length].to_vec())))
    }

    /// A chunk stands.
    pub fn add(&self, number: usize) {
        self.bits.lock().unwrap_or_else(PoisonError::into_inner).add(number);
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Writes it, if there is something new in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, medium: &Medium) -> Result<(), ImageError> {
        if !self.changed.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let mut bytes = self.blank();
        bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
        bytes[MAGIC.len()..][..self.id.len()].copy_from_slice(&self.id);
        {
            let bits = self.bits.lock().unwrap_or_else(PoisonError::into_inner);
            bytes[ALIGN..][..bits.0.len()].copy_from_slice(&bits.0);
        }
        medium.note(PLACE, &bytes)
    }

    fn blank(&self) -> Aligned {
        let length = self.bits.lock().unwrap_or_else(PoisonError::into_inner).0.len();
        Aligned::new((ALIGN + length).next_multiple_of(ALIGN))
    }
}
