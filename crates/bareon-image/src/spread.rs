//! Pieces of the packed data, unpacked on all processors and handed on in their order.
//!
//! ```text
//! this thread      takes the next piece from the source, and a buffer for its data
//! threads unpack   each takes a piece and fills its buffer
//! this thread      hands on the buffers, the oldest first
//! ```
//!
//! Nothing grows with the image: there are as many buffers as [`IN_FLIGHT`] has room for, and no piece is taken from
//! the source without a buffer for its data. Each buffer that is handed on is full but for the last, as those of any
//! other reader: a piece whose end is not at a page is copied together with the next.

use std::{
    collections::VecDeque,
    io::{self, BufRead},
    thread::{Builder, Scope, scope},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{
    Container, ImageError,
    container::{
        Ahead, Limits,
        pieces::{self, Decoder, Most, Piece},
    },
    pool::{ALIGN, Buffer, Pool},
    shared::Shared,
    unpack::{Halt, HandOn},
};

/// The most memory that pieces and their data take, in bytes.
pub const IN_FLIGHT: u64 = 44 << 20;

/// Buffers that are with others: one that is being filled up, and those that are being taken.
const ELSEWHERE: usize = 3;

/// The largest piece that is unpacked so, in bytes of its data.
const LARGEST: u64 = 16 << 20;

/// The most threads.
const THREADS: usize = 16;

/// How the data are spread over threads.
#[derive(Debug)]
pub struct Spread {
    container: Container,
    most: Most,
    threads: usize,
    /// The most pieces that are under way.
    ahead: usize,
    /// What they may take, in bytes.
    memory: u64,
}

/// A piece that is to be unpacked, and where it goes then.
struct Order {
    piece: Piece,
    buffer: Buffer,
    done: Sender<Done>,
}

/// A piece that was unpacked, or where it could not be.
struct Done {
    piece: Piece,
    result: Result<Buffer, (u64, io::Error)>,
}

/// Pieces that are under way, the oldest first.
#[derive(Default)]
struct Underway {
    tickets: VecDeque<Receiver<Done>>,
    /// What they take, without their data, in bytes.
    packed: VecDeque<u64>,
    /// Pieces that are over, whose memory is used again.
    idle: Vec<Piece>,
}

impl Spread {
    /// Nothing where the data do not begin with a piece, or where one thread does as well.
    ///
    /// # Errors
    /// When the data cannot be read.
    pub fn of<R: BufRead>(
        container: Container,
        packed: &mut Ahead<R>,
        buffer: usize,
        limits: Limits,
    ) -> io::Result<Option<Self>> {
        let Some(content) = pieces::first(container, packed)? else { return Ok(None) };
        if limits.threads < 2 || content > LARGEST {
            return Ok(None);
        }
        // It is small enough for that.
        let content = usize::try_from(content).unwrap_or_default().next_multiple_of(ALIGN).max(buffer);
        let most = Most::of(content);
        let memory = limits.memory.min(IN_FLIGHT);
        let room = memory.saturating_sub((ELSEWHERE * content) as u64) / (content as u64 + 1);
        let threads = limits.threads.min(THREADS);
        let ahead = usize::try_from(room).unwrap_or(usize::MAX).min(2 * threads + 2);
        let least = 2 * (content + most.packed) + ELSEWHERE * content;
        if memory < least as u64 {
            return Ok(None);
        }
        Ok(Some(Self { container, most, threads: threads.min(ahead), ahead, memory }))
    }

    /// Buffers for the data.
    pub fn pool(&self) -> Pool {
        Pool::new(self.ahead + ELSEWHERE, self.most.content)
    }

    /// Unpacks and hands on the pieces up to the first thing that is none, which is left to others.
    ///
    /// # Errors
    /// Why it ended before.
    pub fn run<R: BufRead>(
        &self,
        packed: &mut Ahead<R>,
        pool: &Pool,
        shared: &Shared,
        out: &mut HandOn<'_>,
    ) -> Result<(), Halt> {
        scope(|scope| {
            let orders = self.start(scope)?;
            let mut underway = Underway::default();
            loop {
                while underway.tickets.len() >= self.ahead || underway.is_ready() {
                    self.hand_on_oldest(&mut underway, pool, shared, out)?;
                }
                let mut piece = underway.idle.pop().unwrap_or_default();
                let found = pieces::next(self.container, packed, self.most, &mut piece);
                if !matches!(found, Ok(true)) {
                    // What is wrong before it comes first.
                    while !underway.tickets.is_empty() {
                        self.hand_on_oldest(&mut underway, pool, shared, out)?;
                    }
                    return found.map(|_| ()).map_err(|error| Halt::At(packed.taken(), error));
                }
                let takes = piece.packed.len() as u64;
                while !underway.tickets.is_empty() && underway.takes(self.most) + takes > self.room() {
                    self.hand_on_oldest(&mut underway, pool, shared, out)?;
                }
                let buffer = pool.take(shared).ok_or(Halt::Told)?;
                let (done, ticket) = bounded(1);
                underway.tickets.push_back(ticket);
                underway.packed.push_back(takes);
                orders.send(Order { piece, buffer, done }).map_err(|_| fell_over())?;
            }
        })
    }

    /// What there is for pieces that are under way beside one more buffer, in bytes.
    fn room(&self) -> u64 {
        self.memory.saturating_sub(((ELSEWHERE + 1) * self.most.content) as u64)
    }

    fn start<'scope>(&self, scope: &'scope Scope<'scope, '_>) -> Result<Sender<Order>, Halt> {
        let (orders, incoming) = bounded::<Order>(self.ahead);
        for _ in 0..self.threads {
            let mut decoder = Decoder::new(self.container).map_err(|error| Halt::At(0, error))?;
            let incoming = incoming.clone();
            let work = move || {
                for Order { piece, mut buffer, done } in &incoming {
                    let data = buffer.space().get_mut(..piece.content).unwrap_or_default();
                    let result = decoder.unpack(&piece.packed, data);
                    let result = result.map_err(|(at, error)| (piece.at + at as u64, error)).map(|()| {
                        buffer.grow(piece.content);
                        buffer
                    });
                    // Nobody waits for it any more where all is to stop.
                    let _ = done.send(Done { piece, result });
                }
            };
            let started = Builder::new().name("unpack".to_owned()).spawn_scoped(scope, work);
            started.map_err(|source| Halt::Failed(ImageError::Internal { source: Some(source) }))?;
        }
        Ok(orders)
    }

    /// Waits for the oldest piece, and hands on its data.
    fn hand_on_oldest(
        &self,
        underway: &mut Underway,
        pool: &Pool,
        shared: &Shared,
        out: &mut HandOn<'_>,
    ) -> Result<(), Halt> {
        let Some(ticket) = underway.tickets.pop_front() else { return Ok(()) };
        // Whoever had it and went without a word has fallen over.
        let Done { mut piece, result } = ticket.recv().map_err(|_| fell_over())?;
        underway.packed.pop_front();
        piece.packed.clear();
        piece.content = 0;
        // Large ones that are over are let go.
        if piece.packed.capacity() <= self.most.packed {
            underway.idle.push(piece);
        }
        let buffer = result.map_err(|(at, error)| Halt::At(at, error))?;
        out.aligned(buffer, pool, shared)
    }
}

impl Underway {
    /// Whether the oldest is unpacked.
    fn is_ready(&self) -> bool {
        self.tickets.front().is_some_and(|ticket| !ticket.is_empty())
    }

    /// What they take, in bytes.
    fn takes(&self, most: Most) -> u64 {
        self.packed.iter().map(|packed| packed + most.content as u64).sum()
    }
}

fn fell_over() -> Halt {
    Halt::Failed(ImageError::Internal { source: None })
}
