//! The stages of packing, and what ties them together. See the parent module for a picture.
//!
//! The first failure is the one that is returned: it comes to the caller's thread in its place among the packed blocks.

use std::{
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{Builder, Scope, ScopedJoinHandle, scope},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{
    GZIP_BLOCK, PackError, Packed, Packing,
    blocks::{Block, Blocks},
    frames::Packer,
    multi,
    out::Out,
    piece::{Piece, Ticket, ready},
    sums::{self, Adding, Sums},
};
use crate::{Progress, digest::Takers, index::Entries, pool::Pool, shared::TICK, watch::Watch};

/// A block that is to be packed, and where it goes then.
type Order = (Block, Sender<Result<Piece, PackError>>);

/// What the stages share.
#[derive(Debug, Default)]
struct State {
    stop: AtomicBool,
    read: AtomicU64,
}

impl Watch for State {
    fn retried(&self, _why: &str, _attempt: u32) {}

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// See [`super::pack`].
pub fn pack(
    raw: &Path,
    packing: Packing,
    out: &Path,
    threads: usize,
    progress: &dyn Progress,
) -> Result<Packed, PackError> {
    let blocks = Blocks::open(raw, packing.pieces().1)?;
    let mut out = Out::create(out)?;
    let raw_size = blocks.size();
    progress.started(Some(raw_size), None);
    let (of_raw, of_file, entries) = if packing == Packing::Raw {
        let (sums, entries) = as_it_is(raw, blocks, &mut out, progress)?;
        (sums.clone(), sums, entries)
    } else {
        Job { packing, threads, progress, state: State::default() }.run(blocks, &mut out)?
    };
    let container_size = out.written();
    out.finish()?;
    let mut packed = Packed {
        raw_size,
        raw_md5: of_raw.md5,
        raw_sha256: of_raw.sha256,
        container_size,
        container_md5: of_file.md5,
        container_sha256: of_file.sha256,
        index: None,
    };
    packed.index = super::index(&packed, packing, entries.chunks());
    Ok(packed)
}

/// Renames the raw file, or copies it where it cannot be.
fn as_it_is(
    raw: &Path,
    mut blocks: Blocks,
    out: &mut Out,
    progress: &dyn Progress,
) -> Result<(Sums, Entries), PackError> {
    if out.may_take(blocks.file())? {
        let found = summed(&mut blocks, None, progress)?;
        if out.take(raw, blocks.file())? {
            return Ok(found);
        }
        blocks = Blocks::open(raw, GZIP_BLOCK)?;
    }
    summed(&mut blocks, Some(out), progress)
}

/// The sums of all blocks, and of each, which are copied to `out` meanwhile.
fn summed(
    blocks: &mut Blocks,
    mut out: Option<&mut Out>,
    progress: &dyn Progress,
) -> Result<(Sums, Entries), PackError> {
    const AHEAD: usize = 8;
    let (pool, state) = (Pool::new(AHEAD, GZIP_BLOCK), State::default());
    let (mut done, mut entries) = (0, Entries::default());
    scope(|scope| {
        let (takers, adding) = sums::adding(scope, AHEAD)?;
        while let Some(block) = blocks.next(|| pool.take(&state))? {
            if progress.cancelled() {
                return Err(PackError::Cancelled);
            }
            takers.give(&block);
            entries.add(u32::try_from(block.len()).unwrap_or(u32::MAX), block.is_zeros(), block.hash());
            if let Some(out) = &mut out {
                out.write_sparse(&block)?;
            }
            done += block.len() as u64;
            progress.advanced(done, done);
        }
        drop(takers);
        Ok((adding.sums()?, entries))
    })
}

/// A file that is being packed.
struct Job<'a> {
    packing: Packing,
    threads: usize,
    progress: &'a dyn Progress,
    state: State,
}

impl Job<'_> {
    /// The sums of the raw data, and those of the file, and what the index tells of the blocks.
    fn run(&self, blocks: Blocks, out: &mut Out) -> Result<(Sums, Sums, Entries), PackError> {
        scope(|scope| {
            // No more blocks than these are under way, whatever waits for what.
            let ahead = 2 * self.threads + 4;
            let (takers, of_raw) = sums::adding(scope, ahead)?;
            let (order, tickets) = bounded(ahead);
            let state = &self.state;
            let block_size = blocks.block_size();
            let read = Read { blocks, pool: Pool::new(ahead, block_size), takers, order, state };
            if self.packing == Packing::Xz {
                let (to_pack, blocks) = bounded(ahead);
                let (threads, order) = (self.threads, read.order.clone());
                start(scope, "pack", move || multi::run(threads, &blocks, &order))?;
                start(scope, "read", move || read.run(|block, _order| to_pack.send(block).is_ok()))?;
            } else {
                let to_pack = self.packers(scope, ahead)?;
                let hand_on = move |block, order: &Sender<Ticket>| {
                    let (done, ticket) = bounded(1);
                    order.send(ticket).is_ok() && to_pack.send((block, done)).is_ok()
                };
                start(scope, "read", move || read.run(hand_on))?;
            }
            let written = self.write(scope, &tickets, out);
            // Whoever waits for a buffer, or for somebody to take what it has, ends now.
            state.stop.store(true, Ordering::Relaxed);
            drop(tickets);
            let (of_file, entries) = written?;
            Ok((of_raw.sums()?, of_file.sums()?, entries))
        })
    }

    /// Starts the threads that pack single blocks, and gives the end at which they take them.
    fn packers<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        ahead: usize,
    ) -> Result<Sender<Order>, PackError> {
        let (to_pack, blocks) = bounded::<Order>(ahead);
        // What a whole block of zeros becomes; images have many.
        let zeros = Arc::new(OnceLock::new());
        for _ in 0..self.threads {
            let mut packer = Packer::new(self.packing)?;
            let (blocks, zeros) = (blocks.clone(), Arc::clone(&zeros));
            start(scope, "pack", move || {
                for (block, done) in &blocks {
                    // Nobody waits for it any more where all is to stop.
                    let _ = done.send(packed(&mut packer, &block, &zeros));
                }
            })?;
        }
        Ok(to_pack)
    }

    /// The last stage: writes what comes, and starts to add up the sums of it.
    fn write<'scope>(
        &self,
        scope: &'scope Scope<'scope, '_>,
        tickets: &Receiver<Ticket>,
        out: &mut Out,
    ) -> Result<(Adding<'scope>, Entries), PackError> {
        const AHEAD: usize = 4;
        let mut entries = Entries::default();
        let (takers, of_file) = sums::adding(scope, AHEAD)?;
        loop {
            if self.progress.cancelled() {
                return Err(PackError::Cancelled);
            }
            let ticket = match tickets.recv_timeout(TICK) {
                Ok(ticket) => ticket,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Ok((of_file, entries)),
            };
            // Whoever had it and went without a word has fallen over.
            let Piece { bytes, block } =
                ticket.recv().map_err(|_| PackError::Internal { source: None })??;
            if let Some((zeros, hash)) = block {
                entries.add(u32::try_from(bytes.len()).unwrap_or(u32::MAX), zeros, hash);
            }
            let bytes = Arc::new(bytes);
            takers.give(&bytes);
            out.write(&bytes)?;
            self.progress.advanced(self.state.read.load(Ordering::Relaxed), out.written());
        }
    }
}

/// The packed block, from `zeros` where it is a whole block of them.
fn packed(packer: &mut Packer, block: &Block, zeros: &OnceLock<(usize, Piece)>) -> Result<Piece, PackError> {
    let pack = |packer: &mut Packer| {
        Ok(Piece { bytes: packer.pack(block)?, block: Some((block.is_zeros(), block.hash())) })
    };
    let Block::Zeros(len) = block else { return pack(packer) };
    if let Some((_, known)) = zeros.get().filter(|(of, _)| of == len) {
        return Ok(known.clone());
    }
    let piece = pack(packer)?;
    let _ = zeros.set((*len, piece.clone()));
    Ok(piece)
}

/// The first stage.
struct Read<'a> {
    blocks: Blocks,
    pool: Pool,
    takers: Takers<Block>,
    order: Sender<Ticket>,
    state: &'a State,
}

impl Read<'_> {
    /// Gives each block to those who add up, and hands it on; that says whether to go on.
    fn run(mut self, mut hand_on: impl FnMut(Block, &Sender<Ticket>) -> bool) {
        // Nothing at all is to be packed, too: no bytes would be no gzip.
        let mut empty = (self.blocks.size() == 0).then_some(Block::Zeros(0));
        loop {
            let next = match empty.take() {
                Some(block) => Ok(Some(block)),
                None => self.blocks.next(|| self.pool.take(self.state)),
            };
            match next {
                Ok(Some(block)) => {
                    self.state.read.fetch_add(block.len() as u64, Ordering::Relaxed);
                    if !self.takers.give(&block) || !hand_on(block, &self.order) {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    let _ = self.order.send(ready(Err(error)));
                    return;
                }
            }
        }
    }
}

/// Starts a stage.
///
/// # Errors
/// When no thread can be started.
pub fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, PackError> {
    let started = Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    started.map_err(|source| PackError::Internal { source: Some(source) })
}
