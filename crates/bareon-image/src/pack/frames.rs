//! A block on its own: a member of gzip (RFC 1952) or a frame of zstd (RFC 8878).

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use zstd::{bulk::Compressor, zstd_safe::CParameter};

use super::{PackError, Packing, blocks::Block};

/// The level of gzip: its own default. More takes twice the time for one part in a hundred.
const GZIP_LEVEL: u32 = 6;

/// The level of zstd: as long as it packs as fast as gzip, it may look for more than its default does.
const ZSTD_LEVEL: i32 = 9;

/// The length of a member's header in bytes.
const HEADER: usize = 20;

/// The name of the extra field with the length of a member.
const FIELD: [u8; 2] = *b"BM";

/// Packs block after block, each as if it were the only one.
pub enum Packer {
    /// As gzip.
    Gzip(Box<Compress>),
    /// As zstd.
    Zstd(Box<Compressor<'static>>),
}

impl Packer {
    /// A packer, which is used by one thread: of frames for zstd, else of members.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn new(packing: Packing) -> Result<Self, PackError> {
        if packing == Packing::Zstd {
            return Ok(Self::Zstd(Box::new(zstd().map_err(refused(packing))?)));
        }
        // Only the data: header and trailer are made here.
        Ok(Self::Gzip(Box::new(Compress::new(Compression::new(GZIP_LEVEL), false))))
    }

    /// The packed block.
    ///
    /// # Errors
    /// When the library refuses.
    pub fn pack(&mut self, block: &Block) -> Result<Vec<u8>, PackError> {
        let zeros;
        let bytes = match block {
            Block::Data(data) => &***data,
            Block::Zeros(len) => {
                zeros = vec![0; *len];
                &zeros
            }
        };
        match self {
            Self::Gzip(deflate) => member(deflate, bytes),
            Self::Zstd(zstd) => zstd.compress(bytes).map_err(refused(Packing::Zstd)),
        }
    }
}

fn zstd() -> std::io::Result<Compressor<'static>> {
    let mut zstd = Compressor::new(ZSTD_LEVEL)?;
    zstd.set_parameter(CParameter::ChecksumFlag(true))?;
    zstd.set_parameter(CParameter::ContentSizeFlag(true))?;
    Ok(zstd)
}

fn refused<E: std::fmt::Display>(packing: Packing) -> impl Fn(E) -> PackError {
    move |error| PackError::Library { packing, why: error.to_string() }
}

/// A member: without time or name, of no particular system, with its own length in the extra field.
fn member(deflate: &mut Compress, bytes: &[u8]) -> Result<Vec<u8>, PackError> {
    let too_large = |_| PackError::Internal { source: None };
    // What cannot be packed is stored, with five bytes for each 64 KiB or less.
    let mut member = Vec::with_capacity(HEADER + bytes.len() + bytes.len() / 1000 + 64);
    member.extend_from_slice(&[0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 8, 0]);
    member.extend_from_slice(&FIELD);
    member.extend_from_slice(&[4, 0, 0, 0, 0, 0]);
    deflate.reset();
    loop {
        let read = usize::try_from(deflate.total_in()).map_err(too_large)?;
        let status = deflate.compress_vec(&bytes[read..], &mut member, FlushCompress::Finish);
        if status.map_err(refused(Packing::Gzip))? == Status::StreamEnd {
            break;
        }
        member.reserve(1 << 12);
    }
    let mut crc = Crc::new();
    crc.update(bytes);
    member.extend_from_slice(&crc.sum().to_le_bytes());
    member.extend_from_slice(&crc.amount().to_le_bytes());
    let length = u32::try_from(member.len()).map_err(too_large)?;
    member[HEADER - 4..HEADER].copy_from_slice(&length.to_le_bytes());
    Ok(member)
}
