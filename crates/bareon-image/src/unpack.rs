//! The second stage: unpacks what comes from the source and hands every buffer to all who want it.
//!
//! What begins with pieces that can be unpacked each on its own goes over all processors (see [`spread`](crate::spread)),
//! and from the first other thing on through one reader, which stands where the last piece ended.

use std::{
    io::{self, BufRead, Read},
    num::NonZero,
    sync::Arc,
    thread::available_parallelism,
};

use crate::{
    Container, ImageError, Options, ceiling,
    container::{self, Ahead, Limits, MemoryNeeded},
    digest::Takers,
    feed::{Fetched, Packed},
    hand_on::{Halt, HandOn},
    pool::{Buffer, Pool},
    shared::Shared,
    spread::Spread,
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
        let Self { uri, container, options, .. } = self;
        match self.pass_on(&mut Ahead::new(&mut packed), limits(options), shared) {
            Ok(()) => return packed.fetched().cloned(),
            Err(Halt::Told) => {}
            // If it was the source that failed, that was noted before, and this comes second.
            Err(Halt::At(at, error)) => shared.fail(failure(uri, container, options, at, error)),
            Err(Halt::Failed(error)) => shared.fail(error),
        }
        None
    }

    /// The same of any reader.
    ///
    /// # Errors
    /// Why it ended before the end of the data.
    pub fn pass_on<R: BufRead>(
        self,
        packed: &mut Ahead<R>,
        limits: Limits,
        shared: &Shared,
    ) -> Result<(), Halt> {
        let mut out = HandOn::to(&self.takers, self.uri, self.size);
        let spread = Spread::of(self.container, packed, self.options.buffer(), limits);
        let pool = match spread.map_err(|error| Halt::At(0, error))? {
            Some(spread) => {
                let pool = spread.pool();
                spread.run(packed, &pool, shared, &mut out)?;
                pool
            }
            None => self.pool,
        };
        let unpacked = container::reader(self.container, &mut *packed, limits);
        let mut unpacked = unpacked.map_err(|error| Halt::At(0, error))?;
        loop {
            let mut buffer = out.partial().or_else(|| pool.take(shared)).ok_or(Halt::Told)?;
            let ended = match fill(&mut buffer, unpacked.as_mut()) {
                Ok(ended) => ended,
                Err(error) => {
                    drop(unpacked);
                    return Err(Halt::At(packed.taken(), error));
                }
            };
            out.give(buffer)?;
            if ended {
                return Ok(());
            }
        }
    }
}

/// What the buffers leave to the decoder.
fn limits(options: &Options) -> Limits {
    let memory = options.memory_limit.saturating_sub(ceiling(options) as u64);
    Limits { memory, threads: available_parallelism().map_or(1, NonZero::get) }
}

fn failure(uri: &str, container: Container, options: &Options, at: u64, source: io::Error) -> ImageError {
    let uri = uri.to_owned();
    if let Some(memory) = source.get_ref().and_then(|inner| inner.downcast_ref::<MemoryNeeded>()) {
        let needs = memory.needs + ceiling(options) as u64;
        return ImageError::Memory { uri, container, needs, limit: options.memory_limit };
    }
    match source.kind() {
        io::ErrorKind::UnexpectedEof => ImageError::Truncated { uri, container, at },
        _ => ImageError::Corrupt { uri, container, at, source },
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

#[cfg(test)]
mod tests;
