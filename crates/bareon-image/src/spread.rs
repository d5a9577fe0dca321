//! Pieces of the packed data, unpacked on all processors and handed on in their order.
//!
//! ```text
//! this thread      takes the next piece from the source, and a buffer for its data
//! threads unpack   each takes a piece and fills its buffer
//! this thread      hands on the buffers, the oldest first
//! ```
//!
//! Nothing grows with the image: there are as many buffers as [`IN_FLIGHT`] has room for, and no more pieces wait. Each buffer that is handed on is full but for the last, as those of any
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
    hand_on::{Halt, HandOn},
    pool::{ALIGN, Buffer, Pool},
    shared::Shared,
};

/// The most memory that pieces and their data take, in bytes.
pub const IN_FLIGHT: u64 = 40 << 20;

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
    /// What they may take without their data, in bytes.
    packed: usize,
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
    packed: VecDeque<usize>,
    /// A piece that is over, whose memory is used again.
    idle: Option<Piece>,
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
        let memory = usize::try_from(limits.memory.min(IN_FLIGHT)).unwrap_or_default();
        // What is packed takes half of its data, as a rule.
        let ahead = memory.saturating_sub(ELSEWHERE * content) / (content + content / 2);
        let threads = limits.threads.min(THREADS);
        let ahead = ahead.min(2 * threads + 2);
        let packed = memory.saturating_sub((ahead + ELSEWHERE) * content);
        if ahead < 2 || packed < most.packed {
            return Ok(None);
        }
        Ok(Some(Self { container, most, threads: threads.min(ahead), ahead, packed }))
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
                    underway.hand_on_oldest(pool, shared, out)?;
                }
                let mut piece = underway.idle.take().unwrap_or_default();
                let found = pieces::next(self.container, packed, self.most, &mut piece);
                if !matches!(found, Ok(true)) {
                    // What is wrong before it comes first.
                    while !underway.tickets.is_empty() {
                        underway.hand_on_oldest(pool, shared, out)?;
                    }
                    return found.map(|_| ()).map_err(|error| Halt::At(packed.taken(), error));
                }
                let takes = piece.packed.len();
                while !underway.tickets.is_empty()
                    && underway.packed.iter().sum::<usize>() + takes > self.packed
                {
                    underway.hand_on_oldest(pool, shared, out)?;
                }
                let buffer = pool.take(shared).ok_or(Halt::Told)?;
                let (done, ticket) = bounded(1);
                underway.tickets.push_back(ticket);
                underway.packed.push_back(takes);
                orders.send(Order { piece, buffer, done }).map_err(|_| fell_over())?;
            }
        })
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
}

impl Underway {
    /// Waits for the oldest piece, and hands on its data.
    fn hand_on_oldest(&mut self, pool: &Pool, shared: &Shared, out: &mut HandOn<'_>) -> Result<(), Halt> {
        let Some(ticket) = self.tickets.pop_front() else { return Ok(()) };
        // Whoever had it and went without a word has fallen over.
        let Done { mut piece, result } = ticket.recv().map_err(|_| fell_over())?;
        self.packed.pop_front();
        piece.packed.clear();
        piece.content = 0;
        self.idle = Some(piece);
        let buffer = result.map_err(|(at, error)| Halt::At(at, error))?;
        out.aligned(buffer, pool, shared)
    }

    /// Whether the oldest is unpacked.
    fn is_ready(&self) -> bool {
        self.tickets.front().is_some_and(|ticket| !ticket.is_empty())
    }
}

fn fell_over() -> Halt {
    Halt::Failed(ImageError::Internal { source: None })
}
