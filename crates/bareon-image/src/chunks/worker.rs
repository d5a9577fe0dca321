//! A thread that takes the next portion of work, until there is none.

use std::{
    io::Read,
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use super::{Transfer, unpack::unpack, work::Work};
use crate::{
    ImageError, Verify,
    pool::Aligned,
    source::{client, ranged::Trouble, retry::Patience},
    watch::Watch,
};

/// How often a chunk that is wrong is fetched again, for each place.
const BAD_LIMIT: u32 = 3;

/// What one thread has.
pub struct Worker<'a> {
    transfer: &'a Transfer<'a>,
    raw: Aligned,
    piece: Vec<u8>,
    turn: usize,
    /// Whether what comes is only looked at yet: the first chunk, which is written from here when the targets take it.
    looks: bool,
}

/// How far it came with a portion.
enum Came {
    /// To its end.
    Whole,
    /// The next chunk is the one of this number.
    To(usize, Trouble),
    /// The place gives no ranges.
    NoRanges,
}

impl<'a> Worker<'a> {
    /// One of several, each of which begins with another place.
    pub fn new(transfer: &'a Transfer<'a>, number: usize) -> Self {
        let size = transfer.index.chunk_size as usize;
        Self {
            transfer,
            raw: Aligned::new(size),
            piece: Vec::with_capacity(size),
            turn: number,
            looks: false,
        }
    }

    /// Works until there is nothing left to do, or all is to stop.
    ///
    /// # Errors
    /// When a portion cannot be done.
    pub fn run(mut self) -> Result<(), ImageError> {
        let transfer = self.transfer;
        if std::mem::take(&mut self.looks) {
            self.looked_at()?;
        }
        while !transfer.control.stopped() {
            let next = transfer.next.fetch_add(1, Ordering::Relaxed);
            match transfer.work.get(next) {
                None => return Ok(()),
                Some(Work::Zeros(chunks)) => self.zeros(chunks.clone())?,
                Some(Work::Data(chunks)) => self.data(chunks.clone())?,
            }
        }
        Ok(())
    }

    /// The first chunk, of which nothing is written before [`run`](Self::run); nothing when it does not come and all is to
    /// stop.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub fn beginning(&mut self) -> Result<Option<&[u8]>, ImageError> {
        let length = self.transfer.length(0);
        self.looks = true;
        if self.transfer.index.chunks[0].zeros {
            self.raw[..length].fill(0);
        } else {
            self.fetch(0..1)?;
        }
        Ok((!self.transfer.control.stopped()).then_some(&self.raw[..length]))
    }

    /// Writes the first chunk, which was fetched to be looked at.
    fn looked_at(&mut self) -> Result<(), ImageError> {
        if self.transfer.index.chunks[0].zeros {
            return self.zeros(0..1);
        }
        self.write(0)?;
        self.done(0);
        Ok(())
    }

    fn zeros(&mut self, chunks: Range<usize>) -> Result<(), ImageError> {
        let index = self.transfer.index;
        let raw = index.raw_range(chunks.start).start..index.raw_range(chunks.end - 1).end;
        self.transfer.sides.iter().try_for_each(|side| side.medium().zero_at(raw.clone()))?;
        for number in chunks {
            self.done(number);
        }
        Ok(())
    }

    /// Looks which chunks stand already, and fetches the runs of the others.
    fn data(&mut self, chunks: Range<usize>) -> Result<(), ImageError> {
        let mut missing = chunks.start..chunks.start;
        for number in chunks {
            if self.transfer.control.stopped() {
                return Ok(());
            }
            if self.stands(number)? {
                self.fetch(missing)?;
                missing = number + 1..number + 1;
                let raw = self.transfer.index.raw_range(number);
                self.transfer.reused.fetch_add(raw.end - raw.start, Ordering::Relaxed);
                self.done(number);
            } else {
                missing.end = number + 1;
            }
        }
        self.fetch(missing)
    }

    /// Whether a chunk stands on all targets. Each of them is looked at, as who has it need not be written.
    fn stands(&mut self, number: usize) -> Result<bool, ImageError> {
        let raw = &mut self.raw[..self.transfer.length(number)];
        let mut all = true;
        for side in &self.transfer.sides {
            all &= side.stands(number, raw)?;
        }
        Ok(all)
    }

    /// Fetches chunks that follow each other, from one place after the other if need be.
    fn fetch(&mut self, mut chunks: Range<usize>) -> Result<(), ImageError> {
        let transfer = self.transfer;
        let mut patience: Option<Patience> = None;
        let mut bad = 0;
        while !chunks.is_empty() && !transfer.control.stopped() {
            let Some(place) = transfer.places.place(self.turn) else {
                transfer.no_ranges();
                return Ok(());
            };
            // A chunk that was wrong is fetched alone, so that the rest of its run need not wait for it.
            let asked = if bad > 0 { chunks.start..chunks.start + 1 } else { chunks.clone() };
            match self.ask(place, asked.clone())? {
                Came::Whole => (chunks.start, bad) = (asked.end, 0),
                Came::NoRanges => transfer.places.give_up(place),
                Came::To(number, trouble) if trouble.is_final() => {
                    chunks.start = number;
                    transfer.places.give_up(place);
                    let (name, why) = (transfer.places.name(place), client::chain(&trouble));
                    tracing::warn!("{name}: {why}; it is not asked for pieces any more");
                }
                Came::To(number, trouble) => {
                    let at = transfer.index.chunks[number].offset;
                    if let Some(patience) = patience.as_mut().filter(|_| number > chunks.start) {
                        patience.gained(at - transfer.index.chunks[chunks.start].offset);
                        bad = 0;
                    }
                    chunks.start = number;
                    self.turn += 1;
                    if matches!(trouble, Trouble::Bad) {
                        bad += 1;
                        let limit = BAD_LIMIT * transfer.places.count();
                        let uri = transfer.places.name(place).to_owned();
                        tracing::warn!(
                            "chunk {number} of {uri} is not what the index says; fetching it again"
                        );
                        if bad >= limit {
                            return Err(ImageError::Chunk { uri, number, at, tries: bad });
                        }
                        continue;
                    }
                    transfer.resumes.fetch_add(1, Ordering::Relaxed);
                    let patience = patience.get_or_insert_with(|| {
                        let watch = Arc::clone(&transfer.control) as Arc<dyn Watch>;
                        Patience::new(transfer.places.name(place), &transfer.options.http, watch)
                    });
                    patience.pause(at, trouble)?;
                }
            }
        }
        Ok(())
    }

    /// Asks a place for chunks that follow each other, and writes them as they come.
    fn ask(&mut self, place: usize, chunks: Range<usize>) -> Result<Came, ImageError> {
        let transfer = self.transfer;
        let index = transfer.index;
        let (first, last) = (index.chunks[chunks.start], index.chunks[chunks.end - 1]);
        let range = first.offset..last.offset + u64::from(last.length);
        let watch = Arc::clone(&transfer.control) as Arc<dyn Watch>;
        let mut body = match transfer.places.read(place, &range, index.container_size, &watch) {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(Came::NoRanges),
            Err(trouble) => return Ok(Came::To(chunks.start, trouble)),
        };
        let mut at = range.start;
        for number in chunks {
            let chunk = index.chunks[number];
            if transfer.control.stopped() {
                return Err(ImageError::Cancelled);
            }
            let read = skip(&mut body, chunk.offset - at).and_then(|()| self.read(&mut body, chunk.length));
            if let Err(error) = read {
                return Ok(Came::To(number, Trouble::Broke(error)));
            }
            at = chunk.offset + u64::from(chunk.length);
            if !self.is_right(number) {
                return Ok(Came::To(number, Trouble::Bad));
            }
            if !self.looks {
                self.write(number)?;
                self.done(number);
            }
        }
        Ok(Came::Whole)
    }

    fn read(&mut self, body: &mut dyn Read, length: u32) -> std::io::Result<()> {
        self.piece.clear();
        body.take(u64::from(length)).read_to_end(&mut self.piece)?;
        self.transfer.control.add_fetched(self.piece.len() as u64);
        if self.piece.len() == length as usize {
            Ok(())
        } else {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Unpacks what was read, and says whether it is the chunk.
    fn is_right(&mut self, number: usize) -> bool {
        let index = self.transfer.index;
        let length = self.transfer.length(number);
        let raw = &mut self.raw[..length];
        unpack(index.container, &self.piece, raw).is_ok()
            && blake3::hash(raw).as_bytes() == &index.chunks[number].hash
    }

    fn write(&mut self, number: usize) -> Result<(), ImageError> {
        let transfer = self.transfer;
        let raw = &mut self.raw[..transfer.length(number)];
        transfer.sides.iter().try_for_each(|side| side.write(number, raw))?;
        if transfer.options.verify == Verify::Readback {
            transfer.sides.iter().try_for_each(|side| side.read_back(number, raw))?;
        }
        Ok(())
    }

    fn done(&self, number: usize) {
        let transfer = self.transfer;
        transfer.raw.fetch_add(transfer.length(number) as u64, Ordering::Relaxed);
        transfer.sides.iter().for_each(|side| side.done(number));
    }
}

/// Reads over what lies between two chunks.
fn skip(body: &mut dyn Read, length: u64) -> std::io::Result<()> {
    if length > 0 {
        std::io::copy(&mut body.take(length), &mut std::io::sink())?;
    }
    Ok(())
}
