//! The second stage: unpacks what comes from the source and hands every buffer to all who want it.

use std::{
    io::{self, Read},
    num::NonZero,
    sync::Arc,
    thread::available_parallelism,
};

use crate::{
    Container, ImageError, Options, ceiling,
    container::{self, Limits, MemoryNeeded},
    digest::Takers,
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
    /// How many bytes of data there are, where known.
    pub size: Option<u64>,
    /// How much memory and time it may take.
    pub options: &'a Options,
    /// Buffers for the data.
    pub pool: Pool,
    /// Who wants them.
    pub takers: Takers<Arc<Buffer>>,
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
        let limits = self.limits();
        let mut unpacked = match container::reader(self.container, &mut *packed, limits) {
            Ok(reader) => reader,
            Err(error) => return Err(self.failure(error, 0)),
        };
        let mut total = 0;
        loop {
            let Some(mut buffer) = self.pool.take(shared) else { return Ok(false) };
            let ended = match fill(&mut buffer, unpacked.as_mut()) {
                Ok(ended) => ended,
                Err(error) => {
                    drop(unpacked);
                    return Err(self.failure(error, packed.read_so_far()));
                }
            };
            total += buffer.len() as u64;
            self.check_size(total)?;
            let buffer = Arc::new(buffer);
            if !buffer.is_empty() && !self.takers.give(&buffer) {
                return Ok(false);
            }
            if ended {
                return Ok(true);
            }
        }
    }

    /// More data than there are to be are not handed on.
    fn check_size(&self, found: u64) -> Result<(), ImageError> {
        match self.size {
            Some(expected) if found > expected => {
                Err(ImageError::Size { uri: self.uri.to_owned(), expected, found, exact: false })
            }
            _ => Ok(()),
        }
    }

    /// What the buffers leave to the decoder.
    fn limits(&self) -> Limits {
        let memory = self.options.memory_limit.saturating_sub(ceiling(self.options) as u64);
        Limits { memory, threads: available_parallelism().map_or(1, NonZero::get) }
    }

    /// If it was the source that failed, that was noted before, and this comes second.
    fn failure(&self, source: io::Error, at: u64) -> ImageError {
        let (uri, container) = (self.uri.to_owned(), self.container);
        if let Some(memory) = source.get_ref().and_then(|inner| inner.downcast_ref::<MemoryNeeded>()) {
            let needs = memory.needs + ceiling(self.options) as u64;
            return ImageError::Memory { uri, container, needs, limit: self.options.memory_limit };
        }
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
