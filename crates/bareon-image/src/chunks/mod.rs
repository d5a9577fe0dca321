//! An image with a chunk [`index`](crate::index) onto a device, or several: many pieces at once, in any order, each checked on its own.
//!
//! ```text
//! work.rs      what is to be done: runs of zeros, runs of chunks
//! side.rs      one of the devices: what stands on it already
//! worker.rs    threads that take the next of it: look whether a chunk stands there already, fetch, unpack, check, write
//! journal.rs   which chunks stand, noted on the target itself, for a run after this one
//! mod.rs       ties them together, tells progress, commits
//! ```
//!
//! Zeros are made on the target, not fetched. A chunk that is wrong is fetched again alone, from the next place where the
//! image lies. A chunk that is noted in the journal of a run that ended early, or every chunk where the caller says that
//! the target holds much of it ([`Reimage::Differential`](crate::Reimage)), is read and hashed, and left as it is where it
//! is right. Nothing is believed because it is noted.
//!
//! What vouches for the whole are the hashes of the chunks, in an index whose own sum was known before. That the image's
//! sums are those that the caller expects is said by the index, in which they stand.

mod journal;
mod side;
mod unpack;
pub(crate) mod work;
mod worker;

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use sha2::Digest;
use side::Side;
use work::Work;
use worker::Worker;

use crate::{
    Device, ImageError, MIB, Options, Progress, Request, Sums, Target, Written, digest, fetch,
    index::{Index, SUFFIX},
    progress::Told,
    shared::{Notice, Shared, TICK},
    source::{self, ranged::Ranged, retry::Patience},
    watch::Watch,
};

/// The most threads that fetch, unpack and write.
const MOST_WORKERS: usize = 8;

/// The largest index that is fetched, in bytes: that of an image of 1 TiB in gzip.
const LARGEST: u64 = 64 * MIB;

/// How long the journal may be behind.
const NOTED_EVERY: Duration = Duration::from_secs(1);

/// One image on its way: what all threads see.
struct Transfer<'a> {
    index: &'a Index,
    sides: Vec<Side<'a>>,
    places: &'a Ranged,
    options: &'a Options,
    control: Arc<Shared>,
    /// Whether a target looks at the first chunk before it is touched. That chunk is no portion of the work then: who
    /// fetched it to be looked at writes it.
    choosy: bool,
    work: Vec<Work>,
    next: AtomicUsize,
    raw: AtomicU64,
    reused: AtomicU64,
    resumes: AtomicU64,
    /// Whether the beginnings of the targets are cleared, so that the rest may be written.
    begun: AtomicBool,
    /// Whether there was no place that gives pieces.
    whole_only: AtomicBool,
}

/// The index that the request names, if it can be had and is what was expected: else the image is read from its beginning.
pub fn index(
    request: &Request,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Option<Index>, ImageError> {
    let Some(expected) = &request.index_sha256 else { return Ok(None) };
    // Of a torrent what is missing is asked from all who have it, and all of it is given to others.
    if request.uris.iter().any(|uri| source::is_torrent(uri)) {
        return Ok(None);
    }
    for uri in request.uris.iter().filter_map(|uri| with_suffix(uri)) {
        let shown = source::shown(&uri);
        let bytes = match fetch(&uri, options, LARGEST, progress) {
            Ok(bytes) => bytes,
            Err(ImageError::Cancelled) => return Err(ImageError::Cancelled),
            Err(error) => {
                tracing::warn!("the chunk index {shown} cannot be had: {}", source::client::chain(&error));
                continue;
            }
        };
        if digest::finish(sha2::Sha256::new_with_prefix(&bytes)) != expected.trim().to_ascii_lowercase() {
            tracing::warn!(
                "{shown} is not the chunk index that the image's metadata name: its sha256 differs"
            );
            continue;
        }
        match Index::from_bytes(&bytes) {
            Ok(index) => return Ok(suits(&index, request).then_some(index)),
            Err(error) => tracing::warn!("the chunk index {shown} cannot be used: {error}"),
        }
    }
    tracing::warn!("the image is fetched as a whole, in one stream");
    Ok(None)
}

/// The address of the index that belongs to an image: the same, with the suffix where its path ends, or its name in a
/// registry; nothing where that has no name.
fn with_suffix(uri: &str) -> Option<String> {
    if uri.starts_with("oci") {
        return uri.contains('#').then(|| format!("{uri}{SUFFIX}"));
    }
    let end = if uri.contains("://") { uri.find(['?', '#']).unwrap_or(uri.len()) } else { uri.len() };
    Some(format!("{}{SUFFIX}{}", &uri[..end], &uri[end..]))
}

/// Whether the index has all the sums that are expected, so that it can vouch for them.
fn suits(index: &Index, request: &Request) -> bool {
    let has = |wanted: &Sums, has: &Sums| wanted.algorithms().all(|it| has.get(it).is_some());
    let suits = has(&request.sums, &index.sums) && has(&request.container_sums, &index.container_sums);
    if !suits {
        tracing::info!(
            "the chunk index lacks one of the image's sums: it is fetched as a whole, in one stream"
        );
    }
    suits
}

/// Compares what the index says of the image with what is expected of it.
fn check(uri: &str, index: &Index, request: &Request) -> Result<(), ImageError> {
    let (sums, container_sums) = request.check()?;
    request.check_size(uri, index.raw_size)?;
    if let Some(container) = request.container.filter(|container| *container != index.container) {
        let (uri, looks) = (uri.to_owned(), index.container.to_string());
        return Err(ImageError::NotPacked { uri, container, looks });
    }
    container_sums.compare(uri, "container ", &index.container_sums)?;
    sums.compare(uri, "", &index.sums)
}

/// Writes the image of `index` onto `devices`; nothing when no place gives pieces of it.
///
/// # Errors
/// As [`write()`](crate::write()).
pub fn write(
    request: &Request,
    index: &Index,
    options: &Options,
    devices: &[Device],
    progress: &dyn Progress,
) -> Result<Option<Written>, ImageError> {
    let begun = Instant::now();
    let uri = source::shown(request.uris.first().map_or("", String::as_str));
    check(&uri, index, request)?;
    devices.iter().try_for_each(|device| device.check_room(index.raw_size, true))?;
    let Some(places) = Ranged::open(&request.uris, &options.http)? else { return Ok(None) };
    let sides = devices.iter().map(|device| Side::new(device, index, options.reimage, &uri));
    let sides: Vec<_> = sides.collect::<Result<_, _>>()?;
    let choosy = sides.iter().any(Side::is_choosy);
    let (control, told) = Shared::new();
    let transfer = Transfer {
        index,
        sides,
        places: &places,
        options,
        control,
        choosy,
        work: work::of(index, usize::from(choosy)),
        next: AtomicUsize::new(0),
        raw: AtomicU64::new(0),
        reused: AtomicU64::new(0),
        resumes: AtomicU64::new(0),
        begun: AtomicBool::new(false),
        whole_only: AtomicBool::new(false),
    };
    progress.started(Some(index.raw_size), Some(index.container_size));
    if !transfer.run(&told, progress)? {
        tracing::info!("{uri}: no server gives parts of it, so it is fetched as a whole, in one stream");
        return Ok(None);
    }
    transfer.sides.iter().try_for_each(|side| side.medium().commit())?;
    Ok(Some(Written {
        uri,
        container: index.container,
        raw_bytes: index.raw_size,
        container_bytes: transfer.control.fetched(),
        reused_bytes: transfer.reused.into_inner(),
        sums: index.sums.clone(),
        container_sums: index.container_sums.only(&request.container_sums),
        elapsed: begun.elapsed(),
        resumes: u32::try_from(transfer.resumes.into_inner()).unwrap_or(u32::MAX),
    }))
}

impl Transfer<'_> {
    /// Does all the work; false when no place gives pieces, and nothing was written.
    fn run(&self, told: &Receiver<Notice>, progress: &dyn Progress) -> Result<bool, ImageError> {
        // Nobody sends anything: that all ends are gone is the news.
        let (at_work, ended) = bounded::<()>(0);
        let (opening, opened) = bounded::<()>(0);
        thread::scope(|scope| {
            let mut workers = Vec::new();
            for number in 0..self.workers() {
                let (at_work, opened) = (at_work.clone(), opened.clone());
                let opening = (number == 0).then(|| opening.clone());
                let work = move || {
                    let _at_work = at_work;
                    let mut worker = Worker::new(self, number);
                    let done = self
                        .begin(&mut worker, opening, &opened)
                        .and_then(|go| if go { worker.run() } else { Ok(()) });
                    done.unwrap_or_else(|error| self.control.fail(error));
                };
                match thread::Builder::new().name("chunks".to_owned()).spawn_scoped(scope, work) {
                    Ok(worker) => workers.push(worker),
                    Err(source) => self.control.fail(ImageError::Internal { source: Some(source) }),
                }
            }
            drop((at_work, opening));
            self.watch(&ended, told, progress);
            // A thread that fell over has not done its work.
            if workers.into_iter().map(thread::ScopedJoinHandle::join).any(|worker| worker.is_err()) {
                return Err(ImageError::Internal { source: None });
            }
            if self.whole_only.load(Ordering::SeqCst) {
                return Ok(false);
            }
            if self.control.goes_on(told, progress) { Ok(true) } else { Err(self.control.failure()) }
        })
    }

    /// The first worker looks whether there is a place that gives pieces, and whether the image is one for the targets,
    /// before they are touched. The others wait for that.
    fn begin(
        &self,
        worker: &mut Worker<'_>,
        opening: Option<crossbeam_channel::Sender<()>>,
        opened: &Receiver<()>,
    ) -> Result<bool, ImageError> {
        let Some(opening) = opening else {
            // There is never anything: it ends when the first is done, well or badly.
            let _ = opened.recv();
            return Ok(self.begun.load(Ordering::SeqCst));
        };
        if !self.gives_pieces()? {
            self.no_ranges();
        } else if self.suits(worker)? {
            self.sides.iter().try_for_each(|side| side.medium().begin())?;
            self.begun.store(true, Ordering::SeqCst);
        }
        drop(opening);
        Ok(self.begun.load(Ordering::SeqCst))
    }

    /// Has the targets look at the beginning of the image, where any of them wants to; false when it does not come.
    fn suits(&self, worker: &mut Worker<'_>) -> Result<bool, ImageError> {
        if !self.choosy {
            return Ok(true);
        }
        let Some(beginning) = worker.beginning()? else { return Ok(false) };
        self.sides.iter().try_for_each(|side| side.look(beginning))?;
        Ok(true)
    }

    fn gives_pieces(&self) -> Result<bool, ImageError> {
        let mut turn = 0;
        let mut patience = None;
        while let Some(place) = self.places.place(turn) {
            if self.control.stopped() {
                return Err(ImageError::Cancelled);
            }
            let watch = Arc::clone(&self.control) as Arc<dyn Watch>;
            match self.places.read(place, &(0..1), self.index.container_size, &watch) {
                Ok(Some(mut body)) => {
                    if body.read(&mut [0]).is_ok_and(|read| read == 1) {
                        return Ok(true);
                    }
                    self.places.give_up(place);
                }
                Ok(None) => self.places.give_up(place),
                Err(trouble) if trouble.is_final() => self.places.give_up(place),
                Err(trouble) => {
                    let name = self.places.name(place);
                    patience
                        .get_or_insert_with(|| Patience::new(name, &self.options.http, watch))
                        .pause(0, trouble)?;
                    turn += 1;
                }
            }
        }
        if self.control.stopped() { Err(ImageError::Cancelled) } else { Ok(false) }
    }

    fn no_ranges(&self) {
        self.whole_only.store(true, Ordering::SeqCst);
        self.control.stop();
    }

    /// How many threads there are: as many as keep the processors and the network busy, within the memory.
    fn workers(&self) -> usize {
        let threads = 2 * thread::available_parallelism().map_or(1, usize::from);
        // A chunk, its piece of the container, and what the client holds.
        let each = 3 * u64::from(self.index.chunk_size);
        let affordable = usize::try_from(self.options.memory_limit / each).unwrap_or(MOST_WORKERS);
        affordable.min(threads).clamp(1, MOST_WORKERS)
    }

    /// How many bytes a chunk has.
    fn length(&self, number: usize) -> usize {
        let raw = self.index.raw_range(number);
        // No more than a chunk's size, which is small.
        usize::try_from(raw.end - raw.start).unwrap_or_default()
    }

    /// Tells progress and writes the journal until all threads ended.
    fn watch(&self, ended: &Receiver<()>, told: &Receiver<Notice>, progress: &dyn Progress) {
        let (mut announced, mut noted) = (Told::default(), Instant::now());
        loop {
            let ended = ended.recv_timeout(TICK) == Err(RecvTimeoutError::Disconnected);
            let raw = self.raw.load(Ordering::Relaxed);
            announced.tell(raw, ended, progress, || self.control.goes_on(told, progress));
            progress.advanced(raw, self.control.fetched());
            if ended || noted.elapsed() >= NOTED_EVERY {
                let written = self.sides.iter().try_for_each(Side::note);
                written.unwrap_or_else(|error| self.control.fail(error));
                noted = Instant::now();
            }
            if ended {
                return;
            }
        }
    }
}
