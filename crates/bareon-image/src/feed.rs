//! The first stage: a thread that reads the source, and the reader that the next stage sees.
//!
//! The thread belongs to nobody: it may be held up by a server that says nothing until the limit for stalls,
//! while the caller, told to stop, is gone already. It ends at its next step then.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, Read},
    sync::Arc,
    thread,
};

use crate::{
    Algorithm, ImageError, Options, Progress, Sums,
    digest::{self, Takers},
    pool::{Buffer, Pool},
    shared::{Notice, Shared, TICK},
    source::{Mirrors, Source},
    watch::Watch,
};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

/// What the thread sends.
#[derive(Debug)]
enum Piece {
    Data(Arc<Buffer>),
    End(Fetched),
}

/// What is known of the source after its end.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// All its bytes.
    pub bytes: u64,
    /// Their sums, as far as asked for.
    pub sums: Sums,
    /// How often it was taken up again.
    pub resumes: u32,
}

/// A source that is being read.
pub struct Feed {
    shared: Arc<Shared>,
    told: Receiver<Notice>,
    opened: Receiver<Opened>,
    pieces: Receiver<Piece>,
    /// The source itself, when it was read to its end.
    read: Receiver<Box<dyn Source>>,
}

/// What is known of the source when it is open.
#[derive(Debug, Clone)]
pub struct Opened {
    /// In bytes, where known.
    pub length: Option<u64>,
    /// The SHA-256 sum in hex that it must have, where its address leads to one.
    pub vouched: Option<String>,
    /// Which of its addresses it is.
    pub first: usize,
}

impl Feed {
    /// Begins to read what `uris` name, `buffers` buffers ahead at most. `summed` says whether a sum of the whole is
    /// compared at the end.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        uris: &[String],
        options: &Options,
        buffers: usize,
        sums: Vec<Algorithm>,
        summed: bool,
    ) -> Result<Self, ImageError> {
        let (shared, told) = Shared::new();
        let (opening, opened) = bounded(1);
        let (sender, pieces) = bounded(buffers + 1);
        let (ended, read) = bounded(1);
        let job = Job {
            uris: uris.to_vec(),
            summed,
            options: options.clone(),
            shared: Arc::clone(&shared),
            sums,
            ahead: buffers,
            pool: Pool::new(buffers, options.buffer()),
            pieces: sender,
            ended,
        };
        let run = move || {
            if let Err(error) = job.run(&opening) {
                job.shared.fail(error);
            }
        };
        let started = thread::Builder::new().name("fetch".to_owned()).spawn(run);
        started.map_err(|source| ImageError::Internal { source: Some(source) })?;
        Ok(Self { shared, told, opened, pieces, read })
    }

    /// What the stages share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Tells the caller how it stands; true while all goes on.
    pub fn goes_on(&self, progress: &dyn Progress) -> bool {
        self.shared.goes_on(&self.told, progress)
    }

    /// Lets the source give others of what it had, for as long as it wants to and the caller has nothing against it.
    pub fn give(&self, progress: &dyn Progress) {
        let Ok(mut source) = self.read.try_recv() else { return };
        while source.giving() && self.goes_on(progress) {
            thread::sleep(TICK);
        }
    }

    /// Waits until the source is open.
    ///
    /// # Errors
    /// When it cannot be opened, or all is to stop.
    pub fn opened(&self, progress: &dyn Progress) -> Result<Opened, ImageError> {
        while self.goes_on(progress) {
            match self.opened.recv_timeout(TICK) {
                Ok(opened) => return Ok(opened),
                Err(RecvTimeoutError::Timeout) => {}
                // It ended without: it has failed, and said so just before.
                Err(RecvTimeoutError::Disconnected) => self.shared.stop(),
            }
        }
        Err(self.shared.failure())
    }

    /// All the bytes, or nothing if they are more than `limit`.
    ///
    /// # Errors
    /// When they cannot be had, or all is to stop.
    pub fn whole(&self, limit: u64, progress: &dyn Progress) -> Result<Option<Vec<u8>>, ImageError> {
        let mut bytes = Vec::new();
        if self.opened(progress)?.length.is_some_and(|length| length > limit) {
            return Ok(None);
        }
        while self.goes_on(progress) {
            match self.pieces.recv_timeout(TICK) {
                Ok(Piece::Data(buffer)) if (bytes.len() + buffer.len()) as u64 > limit => return Ok(None),
                Ok(Piece::Data(buffer)) => bytes.extend_from_slice(&buffer),
                Ok(Piece::End(_)) => return Ok(Some(bytes)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.shared.stop(),
            }
        }
        Err(self.shared.failure())
    }

    /// The bytes, for one reader.
    pub fn reader(&self) -> Packed<'_> {
        Packed { feed: self, current: None, at: 0, fetched: None }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// What the thread works with.
struct Job {
    uris: Vec<String>,
    summed: bool,
    options: Options,
    shared: Arc<Shared>,
    sums: Vec<Algorithm>,
    ahead: usize,
    pool: Pool,
    pieces: Sender<Piece>,
    ended: Sender<Box<dyn Source>>,
}

impl Job {
    fn run(&self, opening: &Sender<Opened>) -> Result<(), ImageError> {
        let watch = Arc::clone(&self.shared) as Arc<dyn Watch>;
        let mut source = Mirrors::open(&self.uris, self.summed, &self.options, watch)?;
        let vouched = source.vouched();
        let algorithms: BTreeSet<_> =
            self.sums.iter().copied().chain(vouched.iter().map(|_| Algorithm::Sha256)).collect();
        let _ = opening.send(Opened { length: source.length(), vouched, first: source.first() });
        let (bytes, sums) =
            digest::summed(algorithms, self.ahead, |takers| self.pass_on(&mut source, takers))?;
        if let Some(bytes) = bytes {
            let end = Piece::End(Fetched { bytes, sums, resumes: source.resumes() });
            // Before the end is seen: then it is there for who wants it.
            let _ = self.ended.send(Box::new(source));
            let _ = self.pieces.send(end);
        }
        Ok(())
    }

    /// Hands on what the source gives, and tells how many bytes it had; nothing when all is to stop.
    fn pass_on(
        &self,
        source: &mut dyn Source,
        takers: &Takers<Arc<Buffer>>,
    ) -> Result<Option<u64>, ImageError> {
        let mut bytes = 0;
        loop {
            let Some(mut buffer) = self.pool.take(&*self.shared) else { return Ok(None) };
            let ended = self.fill(&mut buffer, source)?;
            bytes += buffer.len() as u64;
            let buffer = Arc::new(buffer);
            let taken = buffer.is_empty() || takers.give(&buffer);
            if !taken || (!buffer.is_empty() && self.pieces.send(Piece::Data(buffer)).is_err()) {
                return Ok(None);
            }
            if ended {
                return Ok(Some(bytes));
            }
        }
    }

    /// Fills a buffer; true at the end of the source.
    fn fill(&self, buffer: &mut Buffer, source: &mut dyn Source) -> Result<bool, ImageError> {
        while !buffer.space().is_empty() {
            let read = source.read(buffer.space())?;
            if read == 0 {
                return Ok(true);
            }
            buffer.grow(read);
            self.shared.add_fetched(read as u64);
        }
        Ok(false)
    }
}

/// The bytes of the source as the next stage reads them.
pub struct Packed<'a> {
    feed: &'a Feed,
    current: Option<Arc<Buffer>>,
    at: usize,
    fetched: Option<Fetched>,
}

impl Packed<'_> {
    /// Waits for the first bytes, and gives them; none if there are none.
    ///
    /// # Errors
    /// When the source fails, or all is to stop.
    pub fn first(&mut self, progress: &dyn Progress) -> Result<&[u8], ImageError> {
        while self.current.is_none() && self.fetched.is_none() {
            if !self.feed.goes_on(progress) {
                return Err(self.feed.shared.failure());
            }
            self.wait();
        }
        Ok(self.current.as_deref().map_or(&[], |buffer| buffer))
    }

    /// What is known of the source; only after its end was read.
    pub fn fetched(&self) -> Option<&Fetched> {
        self.fetched.as_ref()
    }

    fn next(&mut self) -> io::Result<()> {
        self.current = None;
        self.at = 0;
        while !self.feed.shared.stopped() {
            if self.wait() {
                return Ok(());
            }
        }
        Err(io::Error::other("all is to stop"))
    }

    /// Waits a moment for the next piece; true when it came.
    fn wait(&mut self) -> bool {
        match self.feed.pieces.recv_timeout(TICK) {
            Ok(Piece::Data(buffer)) => self.current = Some(buffer),
            Ok(Piece::End(fetched)) => self.fetched = Some(fetched),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => {
                // It ended without an end: it has failed, and said so just before.
                self.feed.shared.stop();
                return false;
            }
        }
        true
    }
}

impl BufRead for Packed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.fetched.is_none() && self.current.as_ref().is_none_or(|buffer| self.at >= buffer.len()) {
            self.next()?;
        }
        Ok(self.current.as_ref().map_or(&[], |buffer| &buffer[self.at..]))
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Packed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let read = available.len().min(buffer.len());
        buffer[..read].copy_from_slice(&available[..read]);
        self.consume(read);
        Ok(read)
    }
}
