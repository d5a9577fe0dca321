//! Pieces of a packed file that can be unpacked each on its own, told from their headers without unpacking.
//!
//! - *gzip*: members that tell their own length in an extra field: `BM` as [`pack`](crate::pack) writes it, or `BC`
//!   as `bgzip` does (SAM/BAM format, 4.1).
//! - *zstd*: frames that tell the size of their content (RFC 8878, 3.1.1); where they end is told by the headers of
//!   their blocks.
//!
//! Small ones are taken together. What is none of these is left to the reader of the whole from there on: it says what
//! is wrong with it, if anything is. A piece that unpacks to another size than it tells is damaged.

use std::io::{self, BufRead};

use flate2::{Crc, Decompress, FlushDecompress, Status};
use zstd::bulk::Decompressor;

use super::{Container, ahead::Ahead, gzip, zstd as frames};
use crate::pack::GZIP_BLOCK;

/// The most bytes of a member's extra fields that are looked at.
const EXTRA: usize = 64;

/// The length of a member's header up to its extra fields, in bytes.
const FIXED: usize = 12;

/// The length of a member's trailer in bytes: checksum and size.
const TRAILER: usize = 8;

/// Some bytes of a packed file that are unpacked together.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where they lie in the file.
    pub at: u64,
    /// The bytes.
    pub packed: Vec<u8>,
    /// The size of what they unpack to.
    pub content: usize,
}

/// How large a piece may be.
#[derive(Debug, Clone, Copy)]
pub struct Most {
    /// What it unpacks to, in bytes.
    pub content: usize,
    /// Itself, in bytes.
    pub packed: usize,
}

impl Most {
    /// What unpacks to so many bytes, and does not take much more than them itself.
    pub const fn of(content: usize) -> Self {
        Self { content, packed: content + content / 8 + (64 << 10) }
    }
}

/// How much the first piece unpacks to, in bytes, as it tells; nothing where there is none. A member of gzip tells it at
/// its end, so what is usual is taken.
///
/// # Errors
/// When it cannot be read.
pub fn first<R: BufRead>(container: Container, packed: &mut Ahead<R>) -> io::Result<Option<u64>> {
    Ok(match container {
        Container::Gzip => Member::read(packed.peek(FIXED + EXTRA)?).map(|_| GZIP_BLOCK as u64),
        Container::Zstd => {
            // Not one that is to be skipped: what is behind it cannot be seen from here.
            frame(packed.peek(frames::HEADER)?).and_then(|header| header.content)
        }
        _ => None,
    })
}

/// The next piece, put into `piece`, which is empty; false where there is none, or what is there is none.
///
/// # Errors
/// When it cannot be read; of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when it breaks off.
pub fn next<R: BufRead>(
    container: Container,
    packed: &mut Ahead<R>,
    most: Most,
    piece: &mut Piece,
) -> io::Result<bool> {
    let mut more = true;
    while more && piece.content < most.content {
        let begins = piece.packed.len();
        if begins == 0 {
            piece.at = packed.taken();
        }
        let added = match container {
            Container::Gzip => add_member(packed, most, piece),
            Container::Zstd => add_frame(packed, most, piece),
            _ => Ok(false),
        };
        more = match added {
            // What is before it may be worse, and comes first.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && begins > 0 => {
                give_back(packed, piece, begins)
            }
            added => added?,
        };
    }
    Ok(!piece.packed.is_empty())
}

/// A member that tells its length.
struct Member {
    /// Where its data begin.
    data: usize,
    /// Its length in bytes.
    length: usize,
}

impl Member {
    fn read(first: &[u8]) -> Option<Self> {
        let header = first.get(..FIXED)?;
        // By deflate, with extra fields, and nothing else.
        if header[..4] != [gzip::MAGIC[0], gzip::MAGIC[1], 8, 4] {
            return None;
        }
        let extra = usize::from(u16::from_le_bytes([header[10], header[11]]));
        let mut fields = first.get(FIXED..FIXED + extra)?;
        while let [one, two, low, high, rest @ ..] = fields {
            let (value, others) = rest.split_at_checked(usize::from(u16::from_le_bytes([*low, *high])))?;
            let length = match ([*one, *two], value) {
                ([b'B', b'M'], [a, b, c, d]) => usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).ok()?,
                ([b'B', b'C'], [a, b]) => usize::from(u16::from_le_bytes([*a, *b])) + 1,
                _ => 0,
            };
            if length > FIXED + extra + TRAILER {
                return Some(Self { data: FIXED + extra, length });
            }
            fields = others;
        }
        None
    }
}

/// Adds a member to the piece; false where there is none, or it does not fit.
fn add_member<R: BufRead>(packed: &mut Ahead<R>, most: Most, piece: &mut Piece) -> io::Result<bool> {
    let Some(member) = Member::read(packed.peek(FIXED + EXTRA)?) else { return Ok(false) };
    let begins = piece.packed.len();
    if member.length > most.packed - begins {
        return Ok(false);
    }
    packed.take_into(&mut piece.packed, member.length)?;
    let size = piece.packed.last_chunk().map_or(0, |size| u32::from_le_bytes(*size));
    match usize::try_from(size) {
        Ok(content) if content <= most.content - piece.content => {
            piece.content += content;
            Ok(true)
        }
        _ => Ok(give_back(packed, piece, begins)),
    }
}

/// The header of a frame that tells the size of its content.
fn frame(first: &[u8]) -> Option<frames::Header> {
    frames::Header::read(first).filter(|header| first.starts_with(&frames::MAGIC) && header.content.is_some())
}

/// Adds a frame to the piece, and takes those away that are to be skipped; false where there is none, or it does not
/// fit.
fn add_frame<R: BufRead>(packed: &mut Ahead<R>, most: Most, piece: &mut Piece) -> io::Result<bool> {
    const RAW: u32 = 0;
    const REPEATED: u32 = 1;
    const COMPRESSED: u32 = 2;
    let first = packed.peek(frames::HEADER)?;
    if let Some(length) = frames::skipped(first) {
        let alone = piece.packed.is_empty();
        if alone {
            packed.skip(length)?;
        }
        return Ok(alone);
    }
    let Some(header) = frame(first) else { return Ok(false) };
    let content = header.content.and_then(|content| usize::try_from(content).ok());
    let Some(content) = content.filter(|content| *content <= most.content - piece.content) else {
        return Ok(false);
    };
    let begins = piece.packed.len();
    if begins + header.length > most.packed {
        return Ok(false);
    }
    packed.take_into(&mut piece.packed, header.length)?;
    loop {
        packed.take_into(&mut piece.packed, 3)?;
        let block = piece.packed.last_chunk().map_or(0, |[a, b, c]| u32::from_le_bytes([*a, *b, *c, 0]));
        let length = match block >> 1 & 3 {
            RAW | COMPRESSED => usize::try_from(block >> 3).unwrap_or(usize::MAX),
            REPEATED => 1,
            _ => return Ok(give_back(packed, piece, begins)),
        };
        let last = block & 1 == 1;
        let length = length + if last && header.checksum { 4 } else { 0 };
        if piece.packed.len() + length > most.packed {
            return Ok(give_back(packed, piece, begins));
        }
        packed.take_into(&mut piece.packed, length)?;
        if last {
            piece.content += content;
            return Ok(true);
        }
    }
}

/// Puts back what was taken from `begins` on; false.
fn give_back<R: BufRead>(packed: &mut Ahead<R>, piece: &mut Piece, begins: usize) -> bool {
    packed.give_back(&piece.packed[begins..]);
    piece.packed.truncate(begins);
    false
}

/// Unpacks pieces, one at a time.
pub enum Decoder {
    /// Members of gzip.
    Gzip(Box<Decompress>),
    /// Frames of zstd.
    Zstd(Box<Decompressor<'static>>),
}

impl Decoder {
    /// For pieces of this packing, which is gzip or zstd.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(container: Container) -> io::Result<Self> {
        if container == Container::Zstd {
            return Ok(Self::Zstd(Box::new(Decompressor::new()?)));
        }
        Ok(Self::Gzip(Box::new(Decompress::new(false))))
    }

    /// Fills `data`, which has the size of the content. An error comes with where in the piece it is.
    ///
    /// # Errors
    /// When the piece is damaged, or has another size.
    pub fn unpack(&mut self, piece: &[u8], data: &mut [u8]) -> Result<(), (usize, io::Error)> {
        match self {
            Self::Gzip(inflate) => {
                let (mut at, mut filled) = (0, 0);
                while at < piece.len() {
                    let (length, content) =
                        member(inflate, &piece[at..], &mut data[filled..]).map_err(|error| (at, error))?;
                    at += length;
                    filled += content;
                }
                if filled == data.len() { Ok(()) } else { Err((0, other_size())) }
            }
            Self::Zstd(frames) => match frames.decompress_to_buffer(piece, data) {
                Ok(filled) if filled == data.len() => Ok(()),
                Ok(_) => Err((0, other_size())),
                Err(error) => Err((0, io::Error::new(io::ErrorKind::InvalidData, error))),
            },
        }
    }
}

/// Unpacks the first member of a piece, and gives its length and that of its data.
fn member(inflate: &mut Decompress, piece: &[u8], data: &mut [u8]) -> io::Result<(usize, usize)> {
    let member = Member::read(piece).filter(|member| member.length <= piece.len()).ok_or_else(other_size)?;
    let (packed, trailer) = piece[..member.length].split_at(member.length - TRAILER);
    let packed = &packed[member.data..];
    let sum = trailer.first_chunk().map_or(0, |sum| u32::from_le_bytes(*sum));
    let size = trailer.last_chunk().map_or(0, |size| u32::from_le_bytes(*size));
    let data = usize::try_from(size).ok().and_then(|size| data.get_mut(..size)).ok_or_else(other_size)?;
    inflate.reset(false);
    let status = inflate.decompress(packed, data, FlushDecompress::Finish);
    let status = status.map_err(|_| damaged("a member cannot be unpacked"))?;
    let whole = status == Status::StreamEnd
        && inflate.total_in() == packed.len() as u64
        && inflate.total_out() == data.len() as u64;
    if !whole {
        return Err(other_size());
    }
    let mut crc = Crc::new();
    crc.update(data);
    if crc.sum() != sum {
        return Err(damaged("the checksum of a member does not match"));
    }
    Ok((member.length, data.len()))
}

fn other_size() -> io::Error {
    damaged("a part of it does not have the size that its header tells")
}

fn damaged(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
