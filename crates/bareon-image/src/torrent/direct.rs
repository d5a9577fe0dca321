//! A raw image straight onto its device, piece by piece in whatever order they come, and from there to others.
//!
//! Nothing else holds the image: what others are given is read from the device. The first MiB stays in memory until all
//! is there and was read again, from the medium itself, for the sums that are expected; only then is it written.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread,
    time::Instant,
};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::{
    order::{self, Order},
    store::Store,
    swarm::Swarm,
};
use crate::{
    Container, ImageError, Medium, Options, Progress, Request, Sums, TargetState, Written, container,
    progress::Told,
    shared::{Shared, TICK},
    source, standing,
    target::HEAD,
    watch::Watch,
};

/// Writes the raw image of a torrent that stands first among the addresses of `request`. Where there is none, or none
/// could be had and others are left, it is these that are given back.
pub fn write(
    request: &Request,
    options: &Options,
    medium: &Arc<Medium>,
    progress: &dyn Progress,
) -> ControlFlow<Result<Written, ImageError>, Request> {
    let mut request = request.clone();
    while request.container == Some(Container::Raw)
        && let Some(uri) = request.uris.first().filter(|uri| source::is_torrent(uri)).cloned()
    {
        match Direct::new(&uri, &request, options, medium).and_then(|direct| direct.run(progress)) {
            Err(error) if (error.is_of_source() || error.is_of_copy()) && request.uris.len() > 1 => {
                request.uris.remove(0);
                medium.forget();
                tracing::warn!(
                    "trying the mirror {} next: {}",
                    source::shown(&request.uris[0]),
                    source::client::chain(&error)
                );
            }
            done => return ControlFlow::Break(done),
        }
    }
    ControlFlow::Continue(request)
}

/// The device, as those see it who give and take pieces.
struct Pieces {
    medium: Arc<Medium>,
    begun: Mutex<bool>,
    /// Whether pieces are taken, and may be read. Whoever gave up may not write behind the back of the next one.
    open: RwLock<bool>,
}

impl Pieces {
    fn closed(&self) -> ImageError {
        let source = std::io::Error::other("nothing is taken any more");
        ImageError::Write { path: self.medium.path().to_owned(), at: 0, source }
    }
}

impl Store for Pieces {
    fn read_at(&self, at: u64, bytes: &mut [u8]) -> Result<(), ImageError> {
        let _open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        self.medium.read_cached(at, bytes)
    }

    fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), ImageError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        if !*open {
            return Err(self.closed());
        }
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if !*begun {
            self.medium.begin()?;
            *begun = true;
        }
        drop(begun);
        self.medium.write_at(at, bytes)
    }
}

/// One image on its way.
struct Direct<'a> {
    uri: String,
    asked: &'a str,
    request: &'a Request,
    options: &'a Options,
    sums: Sums,
    container_sums: Sums,
    pieces: Arc<Pieces>,
}

impl Drop for Direct<'_> {
    fn drop(&mut self) {
        *self.pieces.open.write().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

impl<'a> Direct<'a> {
    fn new(
        asked: &'a str,
        request: &'a Request,
        options: &'a Options,
        medium: &Arc<Medium>,
    ) -> Result<Self, ImageError> {
        let (sums, container_sums) = request.check()?;
        let begun = Mutex::new(medium.state() != TargetState::Untouched);
        let pieces = Arc::new(Pieces { medium: Arc::clone(medium), begun, open: RwLock::new(true) });
        let uri = source::shown(asked);
        Ok(Self { uri, asked, request, options, sums, container_sums, pieces })
    }

    fn run(&self, progress: &dyn Progress) -> Result<Written, ImageError> {
        let started = Instant::now();
        let (shared, told) = Shared::new();
        let goes_on = || shared.goes_on(&told, progress);
        let mut swarm = self.joined(&shared, &goes_on)?;
        order::scatter(&swarm, Order::Any);
        Self::fetched(&mut swarm, &shared, &goes_on, progress)?;
        let length = swarm.length();
        let sums = self.verified(length, &shared, &goes_on)?;
        if !goes_on() {
            return Err(shared.failure());
        }
        {
            // Nobody is to read the beginning on its way from memory to the medium.
            let _alone = self.pieces.open.write().unwrap_or_else(PoisonError::into_inner);
            self.pieces.medium.commit()?;
        }
        let elapsed = started.elapsed();
        while swarm.giving() && goes_on() {
            thread::sleep(TICK);
        }
        Ok(Written {
            container: Container::Raw,
            uri: self.uri.clone(),
            raw_bytes: length,
            reused_bytes: 0,
            container_bytes: length,
            container_sums: sums.only(&self.container_sums),
            sums,
            elapsed,
            resumes: 0,
        })
    }

    /// Joins the others. That waits for servers and peers; the caller is asked meanwhile whether to stop.
    fn joined(&self, shared: &Arc<Shared>, goes_on: &dyn Fn() -> bool) -> Result<Swarm, ImageError> {
        let internal = |source| ImageError::Internal { source };
        let (sender, joined) = bounded(1);
        thread::scope(|scope| {
            let watch = Arc::clone(shared) as Arc<dyn Watch>;
            let join = move || {
                // Whoever waits for it is there until it comes.
                let _ = sender.send(Swarm::join(self.asked, self.options, &watch, self.chooser()));
            };
            let started = thread::Builder::new().name("fetch".to_owned()).spawn_scoped(scope, join);
            started.map_err(|source| internal(Some(source)))?;
            loop {
                let go = goes_on();
                match joined.recv_timeout(TICK) {
                    Ok(_) if !go => return Err(shared.failure()),
                    Ok(swarm) => return swarm,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Err(internal(None)),
                }
            }
        })
    }

    /// Waits until all of it is here.
    fn fetched(
        swarm: &mut Swarm,
        shared: &Shared,
        goes_on: &dyn Fn() -> bool,
        progress: &dyn Progress,
    ) -> Result<(), ImageError> {
        let length = swarm.length();
        progress.started(Some(length), Some(length));
        let mut told = Told::default();
        loop {
            let complete = swarm.complete();
            let here = if complete { length } else { swarm.here() };
            told.tell(here, complete, progress, goes_on);
            progress.advanced(here, here);
            if complete {
                return Ok(());
            }
            if !goes_on() {
                return Err(shared.failure());
            }
            swarm.check(shared)?;
            thread::sleep(TICK);
        }
    }

    /// Gives the device for a torrent of the right length.
    fn chooser(&self) -> super::shelf::Choose {
        let (uri, request) = (self.uri.clone(), self.request.clone());
        let pieces = Arc::clone(&self.pieces);
        Box::new(move |found| {
            request.check_size(&uri, found)?;
            if found == 0 {
                return Err(ImageError::Empty { uri: uri.clone() });
            }
            pieces.medium.check_room(found, true)?;
            Ok(Arc::clone(&pieces) as Arc<dyn Store>)
        })
    }

    /// Reads all of it again, and compares its sums.
    fn verified(&self, length: u64, shared: &Shared, goes_on: &dyn Fn() -> bool) -> Result<Sums, ImageError> {
        self.pieces.medium.flush()?;
        let algorithms = self.sums.wanted(Some(&self.container_sums));
        self.identify(length)?;
        let sums =
            standing::sums(&self.pieces.medium, length, algorithms, self.options.buffer(), shared, goes_on)?;
        self.container_sums.compare(&self.uri, "container ", &sums)?;
        self.sums.compare(&self.uri, "", &sums)?;
        Ok(sums)
    }

    /// Refuses what does not begin like a raw image. The first MiB is in memory yet.
    fn identify(&self, length: u64) -> Result<(), ImageError> {
        let mut beginning = vec![0; usize::try_from(length).unwrap_or(HEAD).min(HEAD)];
        self.pieces.medium.read_at(0, &mut beginning)?;
        container::identify(&self.uri, Some(Container::Raw), &beginning).map(drop)
    }
}
