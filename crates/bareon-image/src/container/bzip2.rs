//! bzip2: all streams, one after the other, with nothing behind them but zeros.
//!
//! bzip2(1) passes over zeros, and with a warning over anything else, which is an error here: it is the trace of a
//! damaged or wrongly joined file. An end within a stream is an error of the kind
//! [`UnexpectedEof`](io::ErrorKind::UnexpectedEof); an end between two cannot be seen. It takes 4 MiB.

use std::io::{self, BufRead, Read};

use bzip2::bufread::BzDecoder;

/// How a stream begins; a digit follows.
const MAGIC: [u8; 3] = *b"BZh";

/// What follows that: a block, or the end.
const NEXT: [[u8; 6]; 2] = [*b"1AY&SY", *b"\x17\x72\x45\x38\x50\x90"];

/// Whether it begins like a stream.
pub fn begins(first: &[u8]) -> bool {
    let Some((level, next)) = first.strip_prefix(&MAGIC).and_then(<[u8]>::split_first) else { return false };
    (b'1'..=b'9').contains(level) && NEXT.iter().any(|it| it.starts_with(&next[..next.len().min(it.len())]))
}

/// Unpacks bzip2.
pub struct Bunzip2<R> {
    state: State<R>,
}

enum State<R> {
    Stream(Box<BzDecoder<R>>),
    Between(R),
    Ended,
}

impl<R: BufRead> Bunzip2<R> {
    /// Unpacks what `packed` gives.
    pub fn new(packed: R) -> Self {
        Self { state: State::Stream(Box::new(BzDecoder::new(packed))) }
    }
}

impl<R: BufRead> Read for Bunzip2<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // An error leaves the end behind: there is nothing to go on with.
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
                State::Stream(mut stream) => {
                    let read = stream.read(buffer)?;
                    if read > 0 {
                        self.state = State::Stream(stream);
                        return Ok(read);
                    }
                    self.state = State::Between(stream.into_inner());
                }
                State::Between(mut packed) => match packed.fill_buf()?.first() {
                    None => return Ok(0),
                    Some(0) => return super::only_zeros(packed, "bzip2").map(|()| 0),
                    Some(&first) if first == MAGIC[0] => {
                        self.state = State::Stream(Box::new(BzDecoder::new(packed)));
                    }
                    Some(_) => return Err(super::garbage("bzip2")),
                },
            }
        }
    }
}
