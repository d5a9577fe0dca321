//! The other direction: a raw image into the file that nodes fetch, with the sums of both.
//!
//! ```text
//! thread  read      blocks.rs    reads the raw file once, in blocks; a hole or a block of zeros is only counted
//! thread  md5       sums.rs      ┐
//! thread  sha256    sums.rs      ┘ each gets every block
//! threads pack      frames.rs    gzip and zstd: each takes a block and makes a member or frame of it
//!         or        multi.rs     xz: liblzma, which has threads of its own
//! caller  write     run.rs       the packed blocks in their order, and the sums of the file
//! ```
//!
//! Each block is packed on its own, so that the file can be unpacked on all cores, too, and any tool reads it:
//!
//! - *gzip*: a member for each [`GZIP_BLOCK`] bytes. The header of each has the extra field `BM`, four bytes with the
//!   length of the whole member, little-endian: who knows it finds the next without unpacking.
//! - *zstd*: a frame for each [`ZSTD_BLOCK`] bytes, with the size of its content and a checksum. Where it ends can be
//!   told from the headers of its blocks alone.
//! - *xz*: a stream of blocks of [`XZ_BLOCK`] bytes, with an index.
//!
//! Each block is a chunk of the [`index`](crate::index) that comes with it, where the blocks can be unpacked alone.
//!
//! What comes out depends on the raw data alone: not on threads, time or names. Nothing grows with the image: there are
//! two blocks for each thread and a few more; xz takes about 130 MiB for each thread.

mod blocks;
mod error;
mod frames;
mod multi;
mod out;
mod piece;
mod run;
mod sums;

use std::{fmt, path::Path};

pub use error::PackError;

use crate::{
    Algorithm, Container, Progress, Sums,
    index::{Chunk, Index},
};

/// How much of the raw data goes into one member of gzip, in bytes.
pub const GZIP_BLOCK: usize = 1 << 20;

/// How much of the raw data goes into one frame of zstd, in bytes.
pub const ZSTD_BLOCK: usize = 4 << 20;

/// How much of the raw data goes into one block of xz, in bytes.
pub const XZ_BLOCK: usize = 8 << 20;

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Raw,
    /// gzip, in members.
    Gzip,
    /// Zstandard, in frames.
    Zstd,
    /// xz, in blocks.
    Xz,
}

impl Packing {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Raw, Self::Gzip, Self::Zstd, Self::Xz];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
        }
    }
}

impl Packing {
    /// How it is read again, where its pieces can be unpacked alone, and how large they are.
    fn pieces(self) -> (Option<Container>, usize) {
        match self {
            Self::Raw => (Some(Container::Raw), GZIP_BLOCK),
            Self::Gzip => (Some(Container::Gzip), GZIP_BLOCK),
            Self::Zstd => (Some(Container::Zstd), ZSTD_BLOCK),
            Self::Xz => (None, XZ_BLOCK),
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A file that was packed, whole and flushed. All sizes are in bytes, all sums in hex.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed {
    /// The size of the raw data.
    pub raw_size: u64,
    /// The MD5 sum of the raw data.
    pub raw_md5: String,
    /// The SHA-256 sum of the raw data.
    pub raw_sha256: String,
    /// The size of the file.
    pub container_size: u64,
    /// The MD5 sum of the file.
    pub container_md5: String,
    /// The SHA-256 sum of the file.
    pub container_sha256: String,
    /// The chunk index of the file; xz has none, as its blocks cannot be unpacked alone.
    pub index: Option<Index>,
}

/// Packs the file `raw` into the new file `out`, on so many threads.
///
/// [`Packing::Raw`] renames `raw` where it can, so it may be gone after; else `out` gets holes where there are only
/// zeros. `progress` is called from this thread alone. What was written of `out` is removed when it fails.
///
/// # Errors
/// When `raw` cannot be read, `out` exists already or cannot be written, or `progress` says stop.
pub fn pack(
    raw: &Path,
    packing: Packing,
    out: &Path,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Packed, PackError> {
    run::pack(raw, packing, out, threads.max(1), progress)
}

/// The index of a packed file; an empty one has none.
fn index(packed: &Packed, packing: Packing, chunks: Vec<Chunk>) -> Option<Index> {
    let (Some(container), block) = packing.pieces() else { return None };
    let sums = |md5: &str, sha256: &str| {
        Sums::default().with(Algorithm::Md5, Some(md5)).with(Algorithm::Sha256, Some(sha256))
    };
    (packed.raw_size > 0).then_some(Index {
        container,
        chunk_size: u32::try_from(block).ok()?,
        raw_size: packed.raw_size,
        container_size: packed.container_size,
        sums: sums(&packed.raw_md5, &packed.raw_sha256),
        container_sums: sums(&packed.container_md5, &packed.container_sha256),
        chunks,
    })
}
