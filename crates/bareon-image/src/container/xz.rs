//! xz: all streams, one after the other, with stream padding between and behind them.
//!
//! Padding is zeros, a multiple of four, as `xz -d` takes it; anything else behind a stream is an error. An end
//! within a stream is an error of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof); an end between two cannot
//! be seen. Blocks that tell their sizes, as those of `xz --threads` do, are unpacked on several threads as far as
//! the memory goes: about three times the size of a block for each. All else goes on one, in 9 MiB for most files.

use std::io::{self, BufRead, Read};

use liblzma::stream::{Action, Error, MtStreamBuilder, Status, Stream};

use super::{ahead::Ahead, memory::Limits};

/// How a stream begins.
pub const MAGIC: [u8; 6] = *b"\xfd7zXZ\0";

/// Stream padding is a multiple of so many bytes.
const PADDING: usize = 4;

/// Unpacks xz.
pub struct Unxz<R> {
    packed: Ahead<R>,
    limits: Limits,
    state: State,
}

enum State {
    Stream(Stream),
    Between,
    Ended,
}

impl<R: BufRead> Unxz<R> {
    /// Unpacks what `packed` gives.
    ///
    /// # Errors
    /// When there is no memory, or no thread.
    pub fn new(packed: R, limits: Limits) -> io::Result<Self> {
        Ok(Self { packed: Ahead::new(packed), limits, state: State::Stream(stream(limits)?) })
    }

    /// Goes to the next stream.
    fn next(&mut self) -> io::Result<State> {
        let mut zeros = 0;
        loop {
            let found = self.packed.fill_buf()?;
            let more = found.iter().take_while(|byte| **byte == 0).count();
            let over = more < found.len() || found.is_empty();
            self.packed.consume(more);
            zeros += more;
            if over {
                break;
            }
        }
        let first = self.packed.peek(MAGIC.len())?;
        if zeros % PADDING != 0 {
            return Err(super::garbage("xz"));
        }
        if first.is_empty() {
            return Ok(State::Ended);
        }
        if !MAGIC.starts_with(first) {
            return Err(super::garbage("xz"));
        }
        Ok(State::Stream(stream(self.limits)?))
    }

    /// Goes on in a stream, and says whether there is more of it.
    fn within(&mut self, stream: &mut Stream, buffer: &mut [u8]) -> io::Result<(usize, bool)> {
        loop {
            let found = self.packed.fill_buf()?;
            let action = if found.is_empty() { Action::Finish } else { Action::Run };
            let (read, written) = (stream.total_in(), stream.total_out());
            let result = stream.process(found, buffer, action);
            let read = usize::try_from(stream.total_in() - read).unwrap_or(usize::MAX);
            // It is never more than the buffer holds.
            let written = usize::try_from(stream.total_out() - written).unwrap_or(buffer.len());
            let last = found.is_empty();
            self.packed.consume(read);
            let ended = result.map_err(|error| self.refused(stream, error))? == Status::StreamEnd;
            if written > 0 || ended {
                return Ok((written, !ended));
            }
            if last {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn refused(&self, stream: &mut Stream, error: Error) -> io::Error {
        match error {
            Error::MemLimit => self.limits.refuse(needs(stream, self.limits.memory)),
            Error::Mem => io::ErrorKind::OutOfMemory.into(),
            error => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}

fn stream(limits: Limits) -> io::Result<Stream> {
    let threads = u32::try_from(limits.threads.max(1)).unwrap_or(1);
    let mut builder = MtStreamBuilder::new();
    builder.threads(threads).memlimit_threading(limits.memory).memlimit_stop(limits.memory);
    builder.decoder().map_err(io::Error::other)
}

/// How much memory a stream needs that was stopped by its limit, in bytes, and up to an eighth more: the library does
/// not tell, so it is given more until it goes on. Nothing of that is touched.
fn needs(stream: &mut Stream, refused: u64) -> u64 {
    const MOST: u64 = 1 << 33;
    let mut limit = refused.max(1 << 20);
    while limit < MOST {
        limit += limit / 8;
        let goes_on = stream.set_memlimit(limit).and_then(|()| stream.process(&[], &mut [], Action::Run));
        if !matches!(goes_on, Err(Error::MemLimit)) {
            break;
        }
    }
    limit
}

impl<R: BufRead> Read for Unxz<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // An error leaves the end behind: there is nothing to go on with.
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
                State::Between => self.state = self.next()?,
                State::Stream(mut stream) => {
                    let (read, more) = self.within(&mut stream, buffer)?;
                    self.state = if more { State::Stream(stream) } else { State::Between };
                    if read > 0 {
                        return Ok(read);
                    }
                }
            }
        }
    }
}
