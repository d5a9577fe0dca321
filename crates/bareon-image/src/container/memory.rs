//! What a decoder may take, and the error of one that needs more.

use std::io;

/// What a decoder may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Memory in bytes, beside that of the buffers.
    pub memory: u64,
    /// Threads of its own.
    pub threads: usize,
}

/// Inside an [`io::Error`]: the data cannot be unpacked with so little memory.
#[derive(Debug, thiserror::Error)]
#[error("{needs} bytes of memory are needed, and {limit} are allowed")]
pub struct MemoryNeeded {
    /// How much, in bytes.
    pub needs: u64,
    /// How much is allowed, in bytes.
    pub limit: u64,
}

impl Limits {
    /// Refuses what needs so many bytes, if these are too many.
    ///
    /// # Errors
    /// With [`MemoryNeeded`] inside.
    pub fn check(self, needs: u64) -> io::Result<()> {
        if needs <= self.memory { Ok(()) } else { Err(self.refuse(needs)) }
    }

    /// The error for what needs so many bytes.
    pub fn refuse(self, needs: u64) -> io::Error {
        io::Error::new(io::ErrorKind::OutOfMemory, MemoryNeeded { needs, limit: self.memory })
    }
}
