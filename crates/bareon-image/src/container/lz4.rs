//! lz4 frames: all of them, one after the other, those that are to be skipped among them.
//!
//! Nothing else may follow, zeros neither: `lz4 -d` refuses both. An end within a frame is an error of the kind
//! [`UnexpectedEof`](io::ErrorKind::UnexpectedEof); an end between two cannot be seen. The old frames of `lz4 -l` are
//! not taken: they have no end and no checksum, so nobody could tell whether one is whole. It takes 13 MiB at most.

use std::io::{self, BufRead, Read};

use lz4_flex::frame::FrameDecoder;

use super::{ahead::Ahead, zstd};

/// How a frame begins.
pub const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();

/// Unpacks lz4.
pub struct Unlz4<R: BufRead> {
    state: State<R>,
}

enum State<R: BufRead> {
    Frame(Box<FrameDecoder<Tap<Ahead<R>>>>),
    Between(Ahead<R>),
    Ended,
}

/// Remembers whether its end was seen: to the decoder an end between two blocks is that of the frame.
struct Tap<R> {
    from: R,
    ended: bool,
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.ended |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

impl<R: BufRead> Unlz4<R> {
    /// Unpacks what `packed` gives.
    pub fn new(packed: R) -> Self {
        Self { state: State::Between(Ahead::new(packed)) }
    }
}

/// Goes to the next frame.
fn next<R: BufRead>(mut packed: Ahead<R>) -> io::Result<State<R>> {
    let first = packed.peek(8)?;
    if first.is_empty() {
        return Ok(State::Ended);
    }
    if let Some(length) = zstd::skipped(first) {
        packed.skip(length)?;
        return Ok(State::Between(packed));
    }
    if !MAGIC.starts_with(&first[..first.len().min(MAGIC.len())]) {
        return Err(super::garbage("lz4"));
    }
    Ok(State::Frame(Box::new(FrameDecoder::new(Tap { from: packed, ended: false }))))
}

impl<R: BufRead> Read for Unlz4<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // An error leaves the end behind: there is nothing to go on with.
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
                State::Between(packed) => self.state = next(packed)?,
                State::Frame(mut frame) => {
                    let read = frame.read(buffer)?;
                    if read > 0 {
                        self.state = State::Frame(frame);
                        return Ok(read);
                    }
                    let Tap { from, ended } = frame.into_inner();
                    if ended {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.state = State::Between(from);
                }
            }
        }
    }
}
