//! The first stage: a thread that reads the source, and the reader that the next stage sees.
//!
//! The thread belongs to nobody: it may be held up by a server that says nothing until the limit for stalls,
//! while the caller, told to stop, is gone already. It ends at its next step then.

use std::{
    io::{self, BufRead, Read},
    sync::Arc,
    thread,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use sha2::{Digest, Sha256};

use crate::{
    ImageError, Options, Progress, digest,
    pool::{Buffer, Pool},
    shared::{Notice, Shared, TICK},
    source::{self, Watch},
};

/// What the thread sends.
#[derive(Debug)]
enum Piece {
    Data(Buffer),
    End(Fetched),
}

/// What is known of the source after its end.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// All its bytes.
    pub bytes: u64,
    /// Their SHA-256 sum in hex, where asked for.
    pub sha256: Option<String>,
    /// How often it was taken up again.
    pub resumes: u32,
}

/// A source that is being read.
#[derive(Debug)]
pub struct Feed {
    shared: Arc<Shared>,
    told: Receiver<Notice>,
    opened: Receiver<Option<u64>>,
    pieces: Receiver<Piece>,
}

impl Feed {
    /// Begins to read `uri`, `buffers` buffers ahead at most.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(uri: &str, options: &Options, buffers: usize, hashed: bool) -> Result<Self, ImageError> {
        let (shared, told) = Shared::new();
        let (opening, opened) = bounded(1);
        let (sender, pieces) = bounded(buffers + 1);
        let job = Job {
            uri: uri.to_owned(),
            options: options.clone(),
            shared: Arc::clone(&shared),
            hashed,
            pool: Pool::new(buffers, options.buffer()),
            pieces: sender,
        };
        let run = move || {
            if let Err(error) = job.run(&opening) {
                job.shared.fail(error);
            }
        };
        let started = thread::Builder::new().name("fetch".to_owned()).spawn(run);
        started.map_err(|source| ImageError::Internal { source: Some(source) })?;
        Ok(Self { shared, told, opened, pieces })
    }

    /// What the stages share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Tells the caller how it stands; true while all goes on.
    pub fn goes_on(&self, progress: &dyn Progress) -> bool {
        self.shared.goes_on(&self.told, progress)
    }

    /// Waits until the source is open, and gives its length, where known.
    ///
    /// # Errors
    /// When it cannot be opened, or all is to stop.
    pub fn opened(&self, progress: &dyn Progress) -> Result<Option<u64>, ImageError> {
        while self.goes_on(progress) {
            match self.opened.recv_timeout(TICK) {
                Ok(length) => return Ok(length),
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
        if self.opened(progress)?.is_some_and(|length| length > limit) {
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
        Packed { feed: self, current: None, at: 0, read: 0, fetched: None }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// What the thread works with.
struct Job {
    uri: String,
    options: Options,
    shared: Arc<Shared>,
    hashed: bool,
    pool: Pool,
    pieces: Sender<Piece>,
}

impl Job {
    fn run(&self, opening: &Sender<Option<u64>>) -> Result<(), ImageError> {
        let watch = Arc::clone(&self.shared) as Arc<dyn Watch>;
        let mut source = source::open(&self.uri, &self.options, watch)?;
        let _ = opening.send(source.length());
        let mut sha256 = self.hashed.then(Sha256::new);
        let mut bytes = 0;
        loop {
            let Some(mut buffer) = self.pool.take(&*self.shared) else { return Ok(()) };
            let ended = self.fill(&mut buffer, source.as_mut())?;
            bytes += buffer.len() as u64;
            if let Some(digest) = &mut sha256 {
                digest.update(&*buffer);
            }
            if !buffer.is_empty() && self.pieces.send(Piece::Data(buffer)).is_err() {
                return Ok(());
            }
            if ended {
                break;
            }
        }
        let fetched = Fetched { bytes, sha256: sha256.map(digest::finish), resumes: source.resumes() };
        let _ = self.pieces.send(Piece::End(fetched));
        Ok(())
    }

    /// Fills a buffer; true at the end of the source.
    fn fill(&self, buffer: &mut Buffer, source: &mut dyn source::Source) -> Result<bool, ImageError> {
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
    current: Option<Buffer>,
    at: usize,
    read: u64,
    fetched: Option<Fetched>,
}

impl Packed<'_> {
    /// How many bytes were read, and used.
    pub fn read_so_far(&self) -> u64 {
        self.read
    }

    /// What is known of the source; only after its end was read.
    pub fn fetched(&self) -> Option<&Fetched> {
        self.fetched.as_ref()
    }

    fn next(&mut self) -> io::Result<()> {
        let feed = self.feed;
        self.current = None;
        self.at = 0;
        while !feed.shared.stopped() {
            match feed.pieces.recv_timeout(TICK) {
                Ok(Piece::Data(buffer)) => {
                    self.current = Some(buffer);
                    return Ok(());
                }
                Ok(Piece::End(fetched)) => {
                    self.fetched = Some(fetched);
                    return Ok(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                // It ended without an end: it has failed, and said so just before.
                Err(RecvTimeoutError::Disconnected) => feed.shared.stop(),
            }
        }
        Err(io::Error::other("all is to stop"))
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
        self.read += amount as u64;
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
