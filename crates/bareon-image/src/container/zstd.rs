//! Zstandard (RFC 8878): all frames, one after the other, those that are to be skipped among them.
//!
//! Nothing else may follow, zeros neither: `zstd -d` refuses both. An end within a frame is an error of the kind
//! [`UnexpectedEof`](io::ErrorKind::UnexpectedEof); an end between two cannot be seen. A frame may look back as far
//! as there is memory for (`zstd --long`); what it needs is in its header, so it is known before anything is written.

use std::io::{self, BufRead, Read};

use zstd::{
    stream::raw::{Decoder, Operation},
    zstd_safe::DParameter,
};

use super::{ahead::Ahead, memory::Limits};

/// How a frame begins.
pub const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// How frames begin that are to be skipped: any of sixteen values. lz4 has the same.
const SKIPPED: [u8; 3] = [0x2a, 0x4d, 0x18];

/// The longest header of a frame in bytes, magic included.
pub const HEADER: usize = 18;

/// The largest block of a frame in bytes.
const BLOCK: u64 = 128 << 10;

/// What the decoder takes beside the window, in bytes: input and output of a block, tables.
const BESIDE: u64 = 4 * BLOCK;

/// The most that the library looks back, in bytes: its limit on machines of 64 bits.
const FARTHEST: u64 = 1 << 31;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its own length in bytes, magic included.
    pub length: usize,
    /// How far the data look back, in bytes.
    pub window: u64,
    /// The size of the unpacked data in bytes, where told.
    pub content: Option<u64>,
    /// Whether a checksum of the data follows the last block.
    pub checksum: bool,
}

impl Header {
    /// Reads a header from the first bytes of a frame; nothing where they are too few.
    pub fn read(first: &[u8]) -> Option<Self> {
        let descriptor = *first.get(4)?;
        let single = descriptor & 0x20 != 0;
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content = match descriptor >> 6 {
            0 => usize::from(single),
            flag => 1 << flag,
        };
        let after_window = 5 + usize::from(!single);
        let length = after_window + dictionary + content;
        let first = first.get(..length)?;
        let content = match &first[length - content..] {
            [] => None,
            // Sizes below 256 have the shorter form.
            [low, high] => Some(u64::from(u16::from_le_bytes([*low, *high])) + 256),
            bytes => Some(bytes.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte))),
        };
        let window = if single {
            content.unwrap_or_default()
        } else {
            let base = 1_u64 << (10 + (first[5] >> 3));
            base + base / 8 * u64::from(first[5] & 7)
        };
        Some(Self { length, window, content, checksum: descriptor & 4 != 0 })
    }

    /// How much memory a decoder takes that gives the data piece by piece, in bytes.
    pub fn memory(&self) -> u64 {
        self.window.min(self.content.unwrap_or(u64::MAX)) + BESIDE
    }
}

/// How much of it is to be skipped, if it begins with a frame that is.
pub fn skipped(first: &[u8]) -> Option<u64> {
    let (magic, length) = (first.get(..4)?, first.get(4..8)?);
    let is = magic[0] & 0xf0 == 0x50 && magic[1..] == SKIPPED;
    is.then(|| 8 + length.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte)))
}

/// Whether so few bytes may be the beginning of a frame.
fn may_be_cut(first: &[u8]) -> bool {
    let magic = &first[..first.len().min(MAGIC.len())];
    let skipped =
        magic.split_first().is_some_and(|(one, rest)| one & 0xf0 == 0x50 && SKIPPED.starts_with(rest));
    skipped || MAGIC.starts_with(magic)
}

/// Unpacks zstd.
pub struct Unzstd<R> {
    packed: Ahead<R>,
    decoder: Decoder<'static>,
    limits: Limits,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    Frame,
    Ended,
}

impl<R: BufRead> Unzstd<R> {
    /// Unpacks what `packed` gives.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(packed: R, limits: Limits) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(FARTHEST.ilog2()))?;
        Ok(Self { packed: Ahead::new(packed), decoder, limits, state: State::Between })
    }

    /// Goes to the next frame.
    fn next(&mut self) -> io::Result<State> {
        let first = self.packed.peek(HEADER)?;
        if first.is_empty() {
            return Ok(State::Ended);
        }
        if let Some(length) = skipped(first) {
            self.packed.skip(length)?;
            return Ok(State::Between);
        }
        let Some(header) = Header::read(first).filter(|_| first.starts_with(&MAGIC)) else {
            let cut = may_be_cut(first);
            return Err(if cut { io::ErrorKind::UnexpectedEof.into() } else { super::garbage("zstd") });
        };
        Limits { memory: self.limits.memory.min(FARTHEST), ..self.limits }.check(header.memory())?;
        self.decoder.reinit()?;
        Ok(State::Frame)
    }

    /// Goes on in a frame; zero at its end.
    fn within(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let found = self.packed.fill_buf()?;
            let last = found.is_empty();
            let status = self.decoder.run_on_buffers(found, buffer)?;
            self.packed.consume(status.bytes_read);
            if status.remaining == 0 {
                self.state = State::Between;
                return Ok(status.bytes_written);
            }
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
            if last {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

impl<R: BufRead> Read for Unzstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // An error leaves the end behind: there is nothing to go on with.
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
                State::Between => self.state = self.next()?,
                State::Frame => {
                    self.state = State::Frame;
                    match self.within(buffer) {
                        Ok(0) => {}
                        Ok(read) => return Ok(read),
                        Err(error) => {
                            self.state = State::Ended;
                            return Err(error);
                        }
                    }
                }
            }
        }
    }
}
