//! One torrent and those who share it, by librqbit.
//!
//! It has threads and a runtime of its own, which end with it. What goes wrong within, a panic included, ends as an
//! [`ImageError`] of this torrent, so that another address can be tried: tasks are only awaited, never run, on the
//! caller's thread, and a panic in them is told as what it is (see [`quiet`]).
//!
//! Peers are found by the trackers of the torrent, by local discovery (BEP 14), and by the DHT where that is asked
//! for. No router is told to forward ports, and nothing is kept for the next run.

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    panic,
    path::PathBuf,
    pin::pin,
    sync::{
        Arc, Once,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use librqbit::{
    AddTorrent, AddTorrentOptions, ConnectionOptions, DhtSessionConfig, ListenerOptions, ManagedTorrent,
    Session, SessionOptions, limits::LimitsConfig, storage::StorageFactoryExt,
};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use super::{
    certificates, meet,
    shelf::{Choose, Shelf},
};
use crate::{ImageError, Options, TorrentOptions, shared::TICK, source, watch::Watch};

/// The largest file that is taken for a torrent, in bytes: one of 1 TiB in pieces of 1 MiB has 21 MB.
const FILE_LIMIT: usize = 32 << 20;

/// How often trackers are asked. By the half hour that they name themselves, machines that start at the same time would
/// not hear of each other.
const ANNOUNCED: Duration = Duration::from_secs(10);

/// How long others may take at first to tell what a magnet link names; then they are asked again.
const LINK_ASKED: Duration = Duration::from_secs(5);

/// The name of its threads, by which their panics are known.
const THREAD: &str = "torrent";

/// How many at most wait for pieces at once beside who reads from the beginning on. The next pieces that librqbit asks for
/// are those after what is waited for.
pub const READERS: usize = 16;

/// How many at most read and write pieces at once.
const AT_WORK: usize = 8;

/// See the module.
pub struct Swarm {
    uri: String,
    options: TorrentOptions,
    /// Taken when it ends.
    runtime: Option<Runtime>,
    /// As long as it is there, others are talked to.
    _session: Arc<Session>,
    torrent: Arc<ManagedTorrent>,
    shelf: Shelf,
    length: u64,
    /// How many bytes had come, and when the last of them did.
    heard: (u64, Instant),
    complete_since: Option<Instant>,
    /// How many bytes others were given that librqbit counts no more.
    given: Arc<AtomicU64>,
}

impl Swarm {
    /// Gets the torrent that `uri` names, and begins to fetch what it is of into the store that `choose` gives for its
    /// length.
    ///
    /// # Errors
    /// When there is no such torrent, it is of several files, or `choose` has no store.
    pub fn join(
        uri: &str,
        options: &Options,
        watch: &Arc<dyn Watch>,
        choose: Choose,
    ) -> Result<Self, ImageError> {
        quiet();
        let begun = Instant::now();
        let shown = crate::shown(uri);
        let file = if uri.starts_with("magnet:") { None } else { Some(file(uri, options, watch)?) };
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name(THREAD).enable_all().build();
        let runtime = runtime.map_err(|source| ImageError::Internal { source: Some(source) })?;
        let shelf = Shelf::new(choose);
        let torrent = &options.torrent;
        let check = || match (watch.stopped(), shelf.failure()) {
            (true, _) => Err(ImageError::Cancelled),
            (_, Some(error)) => Err(error),
            _ if begun.elapsed() > torrent.timeout => Err(unheard(&shown, torrent.timeout, 0)),
            _ => Ok(()),
        };
        let session = session(&runtime, &shown, torrent, &check)?;
        let (with, link, kept) = (Arc::clone(&session), uri.to_owned(), shelf.clone());
        let joined = async move {
            match file {
                Some(file) => add_torrent(&with, AddTorrent::from_bytes(file), &kept).await,
                None => add_link(&with, &link, &kept).await,
            }
        };
        let added = waited(&runtime, &shown, joined, &check)?;
        let added = match (added, shelf.failure()) {
            (_, Some(error)) => return Err(error),
            (added, None) => {
                added.map_err(|error| failed(&shown, "it cannot be used", Some(error.into())))?
            }
        };
        let length = shelf.length().ok_or(ImageError::Internal { source: None })?;
        let given = Arc::default();
        runtime.spawn(meet::again(Arc::clone(&session), Arc::clone(&added), Arc::clone(&given)));
        Ok(Self {
            uri: shown,
            options: torrent.clone(),
            runtime: Some(runtime),
            _session: session,
            torrent: added,
            shelf,
            length,
            heard: (0, Instant::now()),
            complete_since: None,
            given,
        })
    }

    /// The length of its file, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes of it are here, and were found right.
    pub fn here(&self) -> u64 {
        self.torrent.stats().progress_bytes
    }

    /// Whether all of it is here.
    pub fn complete(&self) -> bool {
        let stats = self.torrent.stats();
        // That nothing is wanted is finished, too (see `meet`).
        stats.finished && stats.progress_bytes >= self.length
    }

    /// What librqbit knows it by.
    pub fn torrent(&self) -> &Arc<ManagedTorrent> {
        &self.torrent
    }

    /// Begins to do `work` beside all else.
    pub fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(work);
        }
    }

    /// Waits for `future` for as long as others give something. It runs on the caller's thread.
    ///
    /// # Errors
    /// When all is to stop, the store failed, or nobody gave anything for too long.
    pub fn wait<T>(&mut self, watch: &dyn Watch, future: impl Future<Output = T>) -> Result<T, ImageError> {
        let mut future = pin!(future);
        loop {
            let runtime = self.runtime.as_ref().ok_or(ImageError::Internal { source: None })?;
            match runtime.block_on(async { timeout(TICK, &mut future).await }) {
                Ok(done) => return Ok(done),
                Err(_) => self.check(watch)?,
            }
        }
    }

    /// Looks whether there is a way to go on.
    ///
    /// # Errors
    /// When there is none.
    pub fn check(&mut self, watch: &dyn Watch) -> Result<(), ImageError> {
        if watch.stopped() {
            return Err(ImageError::Cancelled);
        }
        if let Some(error) = self.shelf.failure() {
            return Err(error);
        }
        let stats = self.torrent.stats();
        if let Some(error) = stats.error {
            return Err(failed(&self.uri, "it broke off", Some(error.into())));
        }
        let (fetched, peers) =
            stats.live.map_or((0, 0), |live| (live.snapshot.fetched_bytes, live.snapshot.peer_stats.live));
        // It begins at nothing when the connections are made anew.
        if fetched != self.heard.0 || stats.finished {
            self.heard = (fetched, Instant::now());
        }
        if self.heard.1.elapsed() > self.options.timeout {
            return Err(unheard(&self.uri, self.options.timeout, u64::from(peers)));
        }
        Ok(())
    }

    /// Whether others are to be given more of it, now that it is complete.
    pub fn giving(&mut self) -> bool {
        let stats = self.torrent.stats();
        let since = *self.complete_since.get_or_insert_with(Instant::now);
        let given = self.given.load(Ordering::Relaxed).saturating_add(stats.uploaded_bytes);
        let given = given.saturating_mul(100) / self.length.max(1);
        let enough = self.options.seed_percent.is_some_and(|percent| given >= percent);
        let over = enough || since.elapsed() >= self.options.seed || stats.error.is_some();
        if over {
            tracing::info!("`{}`: others were given {given} % of it", self.uri);
        }
        !over
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The torrent's file, as it is.
fn file(uri: &str, options: &Options, watch: &Arc<dyn Watch>) -> Result<Vec<u8>, ImageError> {
    let mut source = source::open_plain(uri, 0, options, Arc::clone(watch))?;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(bytes),
            length => bytes.extend_from_slice(&buffer[..length]),
        }
        if bytes.len() > FILE_LIMIT {
            return Err(ImageError::Large { uri: crate::shown(uri), limit: FILE_LIMIT as u64 });
        }
    }
}

fn session(
    runtime: &Runtime,
    uri: &str,
    options: &TorrentOptions,
    check: &dyn Fn() -> Result<(), ImageError>,
) -> Result<Arc<Session>, ImageError> {
    certificates::provide()?;
    let open = |ipv4_only| {
        let options = session_options(options, ipv4_only);
        waited(runtime, uri, Session::new_with_opts(PathBuf::from("/nonexistent"), options), check)
    };
    // A kernel without IPv6 has no socket for both.
    match open(false)? {
        Ok(session) => Ok(session),
        Err(_) => open(true)?.map_err(|error| failed(uri, "peers cannot be talked to", Some(error.into()))),
    }
}

fn session_options(options: &TorrentOptions, ipv4_only: bool) -> SessionOptions {
    let mut listen = ListenerOptions { ipv4_only, ..ListenerOptions::default() };
    if ipv4_only {
        listen.listen_addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    }
    // librqbit gives nobody anything ever where a limit has no room for one block.
    let limit = options.upload_limit.map(|limit| limit.max(TorrentOptions::BLOCK));
    let upload = limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
    let routers = Some(options.dht_routers.clone()).filter(|routers| !routers.is_empty());
    SessionOptions {
        dht: options.dht.then_some(DhtSessionConfig {
            bootstrap_addrs: routers,
            port: None,
            persistence: None,
        }),
        disable_local_service_discovery: !options.local_discovery,
        listen: Some(listen),
        ipv4_only,
        ratelimits: LimitsConfig { upload_bps: upload.and_then(NonZeroU32::new), download_bps: None },
        connect: Some(ConnectionOptions {
            peer_opts: Some(meet::connections()),
            ..ConnectionOptions::default()
        }),
        // A reader counts as one that is at work all the time.
        runtime_worker_threads: Some(AT_WORK + READERS),
        client_name_and_version: Some(concat!("bareon-image/", env!("CARGO_PKG_VERSION")).to_owned()),
        ..SessionOptions::default()
    }
}

/// Adds what a magnet link names. For as long as nobody told what that is, others can only be asked, as they are turned
/// away when they come; and in the local network they are asked once, where each answers once in a second, or did not hear
/// it. So they are asked anew.
async fn add_link(session: &Arc<Session>, link: &str, shelf: &Shelf) -> anyhow::Result<Arc<ManagedTorrent>> {
    let mut patience = LINK_ASKED;
    loop {
        let add = add_torrent(session, AddTorrent::from_url(link.to_owned()), shelf);
        if let Ok(added) = timeout(patience, add).await {
            return added;
        }
        patience *= 2;
    }
}

async fn add_torrent(
    session: &Arc<Session>,
    add: AddTorrent<'static>,
    shelf: &Shelf,
) -> anyhow::Result<Arc<ManagedTorrent>> {
    let options = AddTorrentOptions {
        overwrite: true,
        storage_factory: Some(shelf.clone().boxed()),
        force_tracker_interval: Some(ANNOUNCED),
        ..Default::default()
    };
    let added = session.add_torrent(add, Some(options)).await?.into_handle();
    let torrent = added.ok_or_else(|| anyhow::anyhow!("it was not added"))?;
    torrent.wait_until_initialized().await?;
    Ok(torrent)
}

/// Runs `future` on threads of its own; asks `check` meanwhile whether to go on waiting.
fn waited<T: Send + 'static>(
    runtime: &Runtime,
    uri: &str,
    future: impl Future<Output = T> + Send + 'static,
    mut check: impl FnMut() -> Result<(), ImageError>,
) -> Result<T, ImageError> {
    let mut task = runtime.spawn(future);
    loop {
        match runtime.block_on(async { timeout(TICK, &mut task).await }) {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(fell)) => return Err(failed(uri, "the torrent client fell over", Some(fell.into()))),
            Err(_) => check().inspect_err(|_| task.abort())?,
        }
    }
}

/// A panic in a thread of a torrent is told in the log, not as the end of the program that it is not.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() == Some(THREAD) {
                tracing::warn!("a part of the torrent client ended early: {info}");
            } else {
                before(info);
            }
        }));
    });
}

/// The error of this torrent.
pub fn failed(uri: &str, why: &str, source: Option<Box<dyn std::error::Error + Send + Sync>>) -> ImageError {
    ImageError::Torrent { uri: uri.to_owned(), why: why.to_owned(), source }
}

fn unheard(uri: &str, waited: Duration, peers: u64) -> ImageError {
    let why = match peers {
        0 => format!("no peer was found for {waited:?}; does one seed it, and is its tracker up?"),
        1 => format!("one peer is there, but gave nothing for {waited:?}"),
        peers => format!("{peers} peers are there, but gave nothing for {waited:?}"),
    };
    failed(uri, &why, None)
}
