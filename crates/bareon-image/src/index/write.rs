//! An index as bytes, and what collects its chunks while an image is packed.

use super::{Chunk, HEADER, Index, MAGIC, SUMS, VERSION, number};
use crate::Sums;

/// The chunks of an image that is being packed, in their order.
#[derive(Debug, Default)]
pub struct Entries {
    chunks: Vec<Chunk>,
    at: u64,
}

impl Entries {
    /// The next: so many bytes of the container, whether they are only zeros, and the hash of the raw data.
    pub fn add(&mut self, length: u32, zeros: bool, hash: [u8; 32]) {
        self.chunks.push(Chunk { offset: self.at, length, zeros, hash });
        self.at += u64::from(length);
    }

    /// All of them.
    pub fn chunks(self) -> Vec<Chunk> {
        self.chunks
    }
}

impl Index {
    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER + self.chunks.len() * super::ENTRY + super::TRAILER);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        // What has no number is never made an index of, and is refused when it is read.
        bytes.extend_from_slice(&number(self.container).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.chunk_size.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(self.chunks.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.raw_size.to_le_bytes());
        bytes.extend_from_slice(&self.container_size.to_le_bytes());
        sums(&mut bytes, &self.sums);
        sums(&mut bytes, &self.container_sums);
        for chunk in &self.chunks {
            bytes.extend_from_slice(&chunk.offset.to_le_bytes());
            bytes.extend_from_slice(&chunk.length.to_le_bytes());
            bytes.extend_from_slice(&u32::from(chunk.zeros).to_le_bytes());
            bytes.extend_from_slice(&chunk.hash);
        }
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }
}

/// Sums in their places; zeros for one that is not known.
fn sums(bytes: &mut Vec<u8>, sums: &Sums) {
    for (algorithm, length) in SUMS {
        let digits = sums.get(algorithm).unwrap_or_default();
        let byte =
            |at: usize| digits.get(2 * at..2 * at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.extend((0..length).map(|at| byte(at).unwrap_or_default()));
    }
}
