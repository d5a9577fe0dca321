//! The raw file in blocks. What is a hole is not read, and what holds only zeros is told from the rest.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use nix::{
    errno::Errno,
    unistd::{Whence, lseek},
};

use super::PackError;
use crate::{digest::Bytes, pool::Buffer, zeros::is_zero};

/// The size of the pieces in which zeros are handed on, in bytes; it divides every size of a block.
const ZEROS: usize = 1 << 20;

/// A piece of the raw data.
#[derive(Debug, Clone)]
pub enum Block {
    /// Bytes.
    Data(Arc<Buffer>),
    /// So many zeros.
    Zeros(usize),
}

impl Block {
    /// Its size in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Zeros(len) => *len,
        }
    }

    /// Whether it is nothing but zeros.
    pub fn is_zeros(&self) -> bool {
        matches!(self, Self::Zeros(_))
    }

    /// BLAKE3 of its bytes.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        self.give(&mut |bytes| {
            hasher.update(bytes);
        });
        *hasher.finalize().as_bytes()
    }

    /// Calls `take` with its bytes, piece by piece.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn each<E>(&self, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        static PIECE: [u8; ZEROS] = [0; ZEROS];
        match self {
            Self::Data(data) => take(data),
            Self::Zeros(len) => {
                let mut left = *len;
                while left > 0 {
                    let piece = left.min(ZEROS);
                    take(&PIECE[..piece])?;
                    left -= piece;
                }
                Ok(())
            }
        }
    }
}

/// A raw file that is read block by block.
#[derive(Debug)]
pub struct Blocks {
    path: PathBuf,
    file: File,
    size: u64,
    block: usize,
    at: u64,
    /// Where the next data begin, as far as is known: all before are holes.
    data_from: u64,
}

impl Blocks {
    /// Opens the file at `path`, to be read in blocks of `block` bytes.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, block: usize) -> Result<Self, PackError> {
        let failed = |source| PackError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(failed)?;
        // The end of a block device is found like this, too; its metadata do not tell it.
        let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, size, block, at: 0, data_from: 0 })
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The size of a block in bytes.
    pub fn block_size(&self) -> usize {
        self.block
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The next block; nothing at the end. `buffer` is asked for one where there is something to read, and may say
    /// that there is none, which ends it, too.
    ///
    /// # Errors
    /// When the file cannot be read, or is shorter now.
    pub fn next(&mut self, buffer: impl FnOnce() -> Option<Buffer>) -> Result<Option<Block>, PackError> {
        let failed = |source| PackError::Read { path: self.path.clone(), source };
        let len = usize::try_from(self.size - self.at).unwrap_or(usize::MAX).min(self.block);
        if len == 0 {
            return Ok(None);
        }
        let (from, to) = (self.at, self.at + len as u64);
        if self.data_from <= from {
            self.data_from = next_data(&self.file, from, self.size).map_err(failed)?;
        }
        self.at = to;
        if self.data_from >= to {
            return Ok(Some(Block::Zeros(len)));
        }
        let Some(mut buffer) = buffer() else { return Ok(None) };
        self.file.read_exact_at(&mut buffer.space()[..len], from).map_err(failed)?;
        buffer.grow(len);
        let zeros = is_zero(&buffer);
        Ok(Some(if zeros { Block::Zeros(len) } else { Block::Data(Arc::new(buffer)) }))
    }
}

/// Where the next data of a file begin; where nobody can tell, right there.
fn next_data(file: &File, from: u64, size: u64) -> io::Result<u64> {
    let offset = i64::try_from(from).map_err(|_| Errno::EFBIG)?;
    match lseek(file, offset, Whence::SeekData) {
        Ok(at) => Ok(u64::try_from(at).unwrap_or(from)),
        // There are no more.
        Err(Errno::ENXIO) => Ok(size),
        Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => Ok(from),
        Err(error) => Err(error.into()),
    }
}
