//! The second stage: unpacks what comes from the source and hands every buffer to all who want it.

use std::{
    io::{self, BufRead, Read},
    sync::Arc,
};

use crossbeam_channel::Sender;

use crate::{
    Container, ImageError, container,
    feed::{Fetched, Packed},
    pool::{Buffer, Pool},
    shared::Shared,
};

/// A source that is unpacked, and where its data go.
pub struct Unpack<'a> {
    /// For messages.
    pub uri: &'a str,
    /// How it is packed.
    pub container: Container,
    /// Buffers for the data.
    pub pool: Pool,
    /// Who wants them.
    pub takers: Vec<Sender<Arc<Buffer>>>,
}

impl Unpack<'_> {
    /// Unpacks all of it; `None` when all is to stop, and why is with the others.
    pub fn run(self, mut packed: Packed<'_>, shared: &Shared) -> Option<Fetched> {
        match self.pass_on(&mut packed, shared) {
            Ok(true) => packed.fetched().cloned(),
            Ok(false) => None,
            Err(error) => {
                shared.fail(error);
                None
            }
        }
    }

    /// True at the end, false when all is to stop.
    fn pass_on(&self, packed: &mut Packed<'_>, shared: &Shared) -> Result<bool, ImageError> {
        let Ok(first) = packed.fill_buf() else { return Ok(false) };
        if first.is_empty() {
            return Err(ImageError::Empty { uri: self.uri.to_owned() });
        }
        container::check(self.uri, self.container, first)?;
        let mut unpacked = container::reader(self.container, &mut *packed);
        loop {
            let Some(mut buffer) = self.pool.take(shared) else { return Ok(false) };
            let ended = match fill(&mut buffer, unpacked.as_mut()) {
                Ok(ended) => ended,
                Err(error) => {
                    drop(unpacked);
                    return Err(self.failure(error, packed.read_so_far()));
                }
            };
            let buffer = Arc::new(buffer);
            for taker in &self.takers {
                if !buffer.is_empty() && taker.send(Arc::clone(&buffer)).is_err() {
                    return Ok(false);
                }
            }
            if ended {
                return Ok(true);
            }
        }
    }

    /// If it was the source that failed, that was noted before, and this comes second.
    fn failure(&self, source: io::Error, at: u64) -> ImageError {
        let (uri, container) = (self.uri.to_owned(), self.container);
        match source.kind() {
            io::ErrorKind::UnexpectedEof => ImageError::Truncated { uri, container, at },
            _ => ImageError::Corrupt { uri, container, at, source },
        }
    }
}

/// Fills a buffer; true at the end.
fn fill(buffer: &mut Buffer, unpacked: &mut dyn Read) -> io::Result<bool> {
    while !buffer.space().is_empty() {
        match unpacked.read(buffer.space()) {
            Ok(0) => return Ok(true),
            Ok(read) => buffer.grow(read),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(false)
}
