//! The chunk index of an image: a small file beside it, `<image>.bidx`, that tells what each piece of the image is and
//! where it lies in its container.
//!
//! Who has the index can fetch pieces in any order and at once, needs none of those that are zeros or stand on the
//! target already, checks each on its own, fetches a bad one again alone, and goes on where a run before ended. The
//! image beside it stays an ordinary file of its container: who has no index reads it from the beginning.
//!
//! # Format, version 1
//!
//! All numbers are unsigned and little-endian. The raw image is cut into chunks of one size, the last of which may be
//! shorter; they are listed in their order.
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `BAREONIX` |
//! | 8 | 4 | the version, 1 |
//! | 12 | 4 | the container: 0 raw, 1 gzip, 2 zstd |
//! | 16 | 4 | the size of a chunk: a multiple of 4096, at least 64 KiB, at most 16 MiB |
//! | 20 | 4 | how many chunks follow |
//! | 24 | 8 | the size of the raw image |
//! | 32 | 8 | the size of the container |
//! | 40 | 16 | MD5 of the raw image |
//! | 56 | 32 | SHA-256 of the raw image |
//! | 88 | 16 | MD5 of the container |
//! | 104 | 32 | SHA-256 of the container |
//! | 136 | 48 each | the chunks |
//! | | 32 | BLAKE3 of all before |
//!
//! A chunk:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | where it begins in the container |
//! | 8 | 4 | how many bytes of the container it takes; never 0 |
//! | 12 | 4 | 1 if it is nothing but zeros, else 0 |
//! | 16 | 32 | BLAKE3 of its raw data |
//!
//! These bytes of the container are, by themselves, the chunk (raw), one member of gzip, or one frame of zstd. They
//! follow each other, without overlapping. BLAKE3 is taken as it is three times as fast as SHA-256 where the processor
//! has instructions for that, and ten times where it has not: every node of a rack hashes every byte.
//!
//! The index is only as good as what vouches for it: it is used where its own SHA-256 sum is known from the input or
//! from signed metadata, never because it lies there.

mod read;
mod write;

pub use read::IndexError;
pub use write::Entries;

use crate::{Algorithm, Container, Sums, pool::ALIGN};

/// How the file is called: the image's name and this.
pub const SUFFIX: &str = ".bidx";

const MAGIC: [u8; 8] = *b"BAREONIX";
const VERSION: u32 = 1;
const HEADER: usize = 136;
const ENTRY: usize = 48;
const TRAILER: usize = 32;
const LEAST_CHUNK: u32 = 64 << 10;
const LARGEST_CHUNK: u32 = 16 << 20;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// How the image is packed: raw, gzip or zstd.
    pub container: Container,
    /// The size of a chunk in bytes; the last may be shorter.
    pub chunk_size: u32,
    /// The size of the raw image in bytes.
    pub raw_size: u64,
    /// The size of the container in bytes.
    pub container_size: u64,
    /// MD5 and SHA-256 of the raw image.
    pub sums: Sums,
    /// MD5 and SHA-256 of the container.
    pub container_sums: Sums,
    /// The chunks in their order.
    pub chunks: Vec<Chunk>,
}

/// A piece of the raw image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Where it begins in the container, in bytes.
    pub offset: u64,
    /// How many bytes of the container it takes.
    pub length: u32,
    /// Whether it is nothing but zeros.
    pub zeros: bool,
    /// BLAKE3 of its raw data.
    pub hash: [u8; 32],
}

impl Index {
    /// Where the chunk of this number lies in the raw image.
    pub fn raw_range(&self, number: usize) -> std::ops::Range<u64> {
        let size = u64::from(self.chunk_size);
        let start = (number as u64).saturating_mul(size).min(self.raw_size);
        start..start.saturating_add(size).min(self.raw_size)
    }

    /// What the index is told from others by: the hash that it ends with.
    pub fn id(&self) -> [u8; 32] {
        let bytes = self.to_bytes();
        let mut id = [0; TRAILER];
        id.copy_from_slice(&bytes[bytes.len() - TRAILER..]);
        id
    }
}

/// Which sums an index has of the image, and of its container.
const SUMS: [(Algorithm, usize); 2] = [(Algorithm::Md5, 16), (Algorithm::Sha256, 32)];

/// The number of a container in an index; nothing for one whose pieces cannot be unpacked alone.
const fn number(container: Container) -> Option<u32> {
    match container {
        Container::Raw => Some(0),
        Container::Gzip => Some(1),
        Container::Zstd => Some(2),
        _ => None,
    }
}

/// Whether chunks may have this size in bytes.
const fn is_chunk_size(size: u32) -> bool {
    size >= LEAST_CHUNK && size <= LARGEST_CHUNK && (size as usize).is_multiple_of(ALIGN)
}
