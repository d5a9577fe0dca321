//! Members of a packed file, one after the other, with nothing behind them but zeros: gzip and bzip2.
//!
//! Zeros fill up a block on tapes and devices, and the programs pass over them, too. Anything else behind the last
//! member is an error here: it is the trace of a damaged or wrongly joined file. An end within a member is an
//! error of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof); an end between two cannot be seen.

use std::io::{self, BufRead, Read};

/// Unpacks one of them.
pub trait Member<R>: Read {
    /// What the format is called.
    const FORMAT: &'static str;

    /// How one begins.
    const FIRST: u8;

    /// Unpacks the one that `packed` begins with.
    fn begin(packed: R) -> Self;

    /// What follows it.
    fn rest(self) -> R;
}

/// Unpacks all of them.
pub struct Members<R, M> {
    state: State<R, M>,
}

enum State<R, M> {
    Member(Box<M>),
    Between(R),
    Ended,
}

impl<R: BufRead, M: Member<R>> Members<R, M> {
    /// Unpacks what `packed` gives, which may be what is behind the last member, too.
    pub fn new(packed: R) -> Self {
        Self { state: State::Between(packed) }
    }
}

impl<R: BufRead, M: Member<R>> Read for Members<R, M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // An error leaves the end behind: there is nothing to go on with.
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Member(mut member) => {
                    let read = member.read(buffer)?;
                    if read > 0 {
                        self.state = State::Member(member);
                        return Ok(read);
                    }
                    self.state = State::Between(member.rest());
                }
                State::Between(mut packed) => match packed.fill_buf()?.first() {
                    None => return Ok(0),
                    Some(0) => return super::only_zeros(packed, M::FORMAT).map(|()| 0),
                    Some(&first) if first == M::FIRST => {
                        self.state = State::Member(Box::new(M::begin(packed)));
                    }
                    Some(_) => return Err(super::garbage(M::FORMAT)),
                },
                State::Ended => return Ok(0),
            }
        }
    }
}
