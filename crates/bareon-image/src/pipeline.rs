//! The stages, and what ties them together.
//!
//! ```text
//! thread  fetch     feed.rs      reads the source into buffers of the first pool
//! threads sums      digest.rs    of the file as it is fetched, where they are expected
//! thread  unpack    unpack.rs    unpacks it into buffers of the second pool
//! threads sums      digest.rs    ┐ of the data
//! threads write     writer.rs    ┘ a target each; the last to let go of a buffer sends it back to its pool
//! caller            this file    tells progress, hears whether to stop
//! ```
//!
//! The first failure of any stage is the one that is returned; it stops all others.

#[cfg(feature = "torrent")]
use std::ops::ControlFlow;
use std::{
    sync::Arc,
    thread::{self, ScopedJoinHandle},
    time::Instant,
};

use sha2::{Digest, Sha256};

use crate::{
    Algorithm, Container, Device, ImageError, Options, Progress, Request, Sums, Target, TargetState, Verify,
    WriteError, Written, chunks, container,
    digest::{self, Adding},
    feed::{Feed, Fetched, Opened, Packed},
    pool::{ALIGN, Buffer, Pool},
    source,
    unpack::Unpack,
    writer::Writers,
};

/// How many buffers the source may be ahead.
const PACKED_BUFFERS: usize = 4;

/// How many buffers the unpacking may be ahead of the slowest of those who take them.
const RAW_BUFFERS: usize = 8;

/// The most memory in bytes that the buffers of one [`write()`] take: 13 MiB unless `chunk` is set otherwise.
///
/// Where parts of the image are unpacked on several processors it is up to 40 MiB more; xz takes what `memory_limit`
/// leaves, and zstd the window of the image within that. Beside them there are the tables of the decoder (about 50 KiB),
/// the buffers of the HTTP client (under 1 MiB), and the stacks of the threads. Nothing grows with the image.
pub fn ceiling(options: &Options) -> usize {
    let head = 1 << 20;
    (PACKED_BUFFERS + RAW_BUFFERS) * (options.buffer() + ALIGN) + head
}

/// What the stages found.
struct Found {
    raw_bytes: u64,
    sums: Sums,
    fetched: Fetched,
}

/// Writes an image onto a device.
///
/// # Errors
/// When anything at all is not as it should be; see [`ImageError`]. If the target was touched, its first MiB is
/// zero then, unless even that fails; which it is stands in the error.
pub fn write(
    request: &Request,
    options: &Options,
    target: &std::path::Path,
    progress: &dyn Progress,
) -> Result<Written, WriteError> {
    let untouched = |error| WriteError { error, target: TargetState::Untouched };
    request.check().map_err(untouched)?;
    let mut device = Device::open(target).map_err(untouched)?;
    write_devices(request, options, std::slice::from_mut(&mut device), progress)
        .map_err(|error| WriteError { error, target: device.state() })
}

/// Writes an image onto all of `devices`, by its chunk index where it has one. What each holds after, it tells itself.
///
/// # Errors
/// As [`write()`]. One device that fails fails all: they are to hold the same, or nothing.
pub fn write_devices(
    request: &Request,
    options: &Options,
    devices: &mut [Device],
    progress: &dyn Progress,
) -> Result<Written, ImageError> {
    request.check()?;
    if let Some(index) = chunks::index(request, options, progress)? {
        if let Some(written) = chunks::write(request, &index, options, devices, progress)? {
            return Ok(written);
        }
        devices.iter_mut().try_for_each(Target::restart)?;
    }
    // A raw image of a torrent comes in any order; what is not to be had so is fetched from the other addresses.
    #[cfg(feature = "torrent")]
    let rest;
    #[cfg(feature = "torrent")]
    let request = match &*devices {
        [device] if !device.is_choosy() => {
            rest = match crate::torrent::write(request, options, device.medium(), progress) {
                ControlFlow::Continue(rest) => rest,
                ControlFlow::Break(done) => return done,
            };
            &rest
        }
        _ => request,
    };
    let mut targets: Vec<&mut dyn Target> = Vec::new();
    for device in devices {
        targets.push(device);
    }
    write_to(request, options, &mut targets, progress)
}

/// Writes an image to all of `targets`, which get the same bytes. What each holds after, it tells itself.
///
/// # Errors
/// As [`write_devices()`].
///
/// Where an address gives an image that is not the one expected, all begins anew without it, as long as there are
/// others.
pub fn write_to(
    request: &Request,
    options: &Options,
    targets: &mut [&mut dyn Target],
    progress: &dyn Progress,
) -> Result<Written, ImageError> {
    let (sums, mut container_sums) = request.check()?;
    if let Some(size) = request.size {
        targets.iter().try_for_each(|it| it.check_room(size, true))?;
    }
    let mut uris = request.uris.clone();
    loop {
        let mut first = None;
        let expected = (&sums, &mut container_sums);
        let error = match attempt(&uris, request, expected, options, targets, progress, &mut first) {
            Err(error) if error.is_of_copy() && uris.len() > 1 => error,
            done => return done,
        };
        let Some(first) = first else { return Err(error) };
        // Whoever took over from it may be without fault.
        let refused = uris.remove(first);
        let next = source::shown(&uris[0]);
        tracing::warn!(
            "beginning anew from the mirror {next}, without {}: {}",
            source::shown(&refused),
            source::client::chain(&error)
        );
        for target in targets.iter_mut() {
            target.restart()?;
        }
    }
}

/// Writes the image once, from whichever of `uris` is there; says in `opened` which one that was at first. To the sums
/// that are expected of the file is added what an address leads to: all others are held to that, too.
fn attempt(
    uris: &[String],
    request: &Request,
    (sums, container_sums): (&Sums, &mut Sums),
    options: &Options,
    targets: &mut [&mut dyn Target],
    progress: &dyn Progress,
    opened: &mut Option<usize>,
) -> Result<Written, ImageError> {
    let begun = Instant::now();
    // The file as it is fetched is the data themselves where it is not packed.
    let packed_sums =
        if request.container == Some(Container::Raw) { Sums::default() } else { container_sums.clone() };
    let summed = !sums.is_empty() || !container_sums.is_empty();
    let options = &with_spare(request, options, targets);
    let feed = Feed::start(uris, options, PACKED_BUFFERS, packed_sums.algorithms().collect(), summed)?;
    let Opened { length, vouched, first } = feed.opened(progress)?;
    *opened = Some(first);
    let uri = source::shown(&uris[first]);
    add_vouched(&uri, container_sums, vouched)?;
    let mut packed = feed.reader();
    let beginning = packed.first(progress)?;
    let as_it_is = matches!(request.container, None | Some(Container::Raw));
    let container = if request.qcow2 && as_it_is && container::is_qcow2(beginning) {
        Container::Raw
    } else {
        container::identify(&uri, request.container, beginning)?
    };
    let raw_length = length.filter(|_| container == Container::Raw);
    if let Some(found) = raw_length {
        request.check_size(&uri, found)?;
        targets.iter().try_for_each(|it| it.check_room(found, true))?;
    }
    let transfer = Transfer { uri: &uri, container, request, sums, container_sums, options };
    if transfer.hides_truncation(length) {
        tracing::warn!(
            "`{uri}`: the server does not tell its length, and neither size nor digest of this raw image is known: \
             IF IT IS CUT SHORT, NOBODY WILL SEE IT; give the image's size and digest"
        );
    }
    progress.started(request.size.or(raw_length), length);

    let found = transfer.run(&feed, packed, targets, progress)?;
    let container_found =
        if request.container == Some(Container::Raw) { &found.sums } else { &found.fetched.sums };
    transfer.check(&found, container_found)?;
    if options.verify == Verify::Readback {
        for target in targets.iter_mut() {
            read_back(&mut **target, &feed, &found, progress)?;
        }
    }
    if !feed.goes_on(progress) {
        return Err(feed.shared().failure());
    }
    for target in targets.iter_mut() {
        target.commit()?;
    }
    let elapsed = begun.elapsed();
    feed.give(progress);
    Ok(Written {
        container,
        raw_bytes: found.raw_bytes,
        container_bytes: found.fetched.bytes,
        reused_bytes: 0,
        container_sums: container_found.only(container_sums),
        sums: found.sums,
        elapsed,
        resumes: found.fetched.resumes,
        uri,
    })
}

/// Adds the sum that an address leads to.
fn add_vouched(uri: &str, sums: &mut Sums, vouched: Option<String>) -> Result<(), ImageError> {
    match (sums.get(Algorithm::Sha256), vouched) {
        (Some(expected), Some(found)) if expected != found => Err(ImageError::Digest {
            uri: uri.to_owned(),
            kind: "container sha256".to_owned(),
            expected: expected.to_owned(),
            found,
        }),
        (_, vouched) => {
            *sums = std::mem::take(sums).with(Algorithm::Sha256, vouched);
            Ok(())
        }
    }
}

/// With what is free on the targets, for sources that have to keep something.
fn with_spare(request: &Request, options: &Options, targets: &[&mut dyn Target]) -> Options {
    let mut options = options.clone();
    let found = request.size.and_then(|size| targets.iter().find_map(|target| target.spare(size)));
    options.torrent.spare = options.torrent.spare.or(found);
    options
}

/// Compares what stands on the medium with what was written.
fn read_back(
    target: &mut dyn Target,
    feed: &Feed,
    found: &Found,
    progress: &dyn Progress,
) -> Result<(), ImageError> {
    let mut sha256 = Sha256::new();
    let read = target.read_back(&mut |bytes| {
        sha256.update(bytes);
        feed.goes_on(progress)
    })?;
    if !feed.goes_on(progress) {
        return Err(feed.shared().failure());
    }
    if read && found.sums.get(Algorithm::Sha256) != Some(&digest::finish(sha256)) {
        return Err(target.differs());
    }
    Ok(())
}

/// One image on its way.
struct Transfer<'a> {
    uri: &'a str,
    container: Container,
    request: &'a Request,
    sums: &'a Sums,
    container_sums: &'a Sums,
    options: &'a Options,
}

impl Transfer<'_> {
    /// Whether nothing tells a whole image from one that was cut short.
    fn hides_truncation(&self, length: Option<u64>) -> bool {
        self.container == Container::Raw
            && length.or(self.request.size).is_none()
            && self.sums.is_empty()
            && self.container_sums.is_empty()
    }

    fn run(
        &self,
        feed: &Feed,
        packed: Packed<'_>,
        targets: &mut [&mut dyn Target],
        progress: &dyn Progress,
    ) -> Result<Found, ImageError> {
        let internal = |source| ImageError::Internal { source: Some(source) };
        thread::scope(|scope| {
            let raw = self.request.container == Some(Container::Raw);
            let algorithms = self.sums.wanted(raw.then_some(self.container_sums));
            // No channel is ever full: there are no more buffers than places.
            let (mut takers, adding): (_, Adding<'_>) =
                digest::adding::<Arc<Buffer>>(scope, algorithms, RAW_BUFFERS).map_err(internal)?;
            let writers =
                Writers::start(scope, targets, &mut takers, RAW_BUFFERS, feed.shared()).map_err(internal)?;
            let pool = Pool::new(RAW_BUFFERS, self.options.buffer());
            let Transfer { uri, container, options, .. } = *self;
            let unpack = Unpack { uri, container, size: self.request.size, options, pool, takers };
            let unpacked = thread::Builder::new().name("unpack".to_owned());
            let unpacked = unpacked.spawn_scoped(scope, || unpack.run(packed, feed.shared()));
            let unpacked = unpacked.map_err(internal)?;
            writers.watch(feed, progress);
            // Whether a stage fell over is asked before anything is held for complete.
            let fetched = join(unpacked)?;
            let sums = adding.sums().ok_or(ImageError::Internal { source: None })?;
            match (fetched, feed.goes_on(progress)) {
                (Some(fetched), true) => Ok(Found { raw_bytes: writers.written(), sums, fetched }),
                _ => Err(feed.shared().failure()),
            }
        })
    }

    fn check(&self, found: &Found, container_found: &Sums) -> Result<(), ImageError> {
        if found.raw_bytes == 0 {
            return Err(ImageError::Empty { uri: self.uri.to_owned() });
        }
        self.request.check_size(self.uri, found.raw_bytes)?;
        self.container_sums.compare(self.uri, "container ", container_found)?;
        self.sums.compare(self.uri, "", &found.sums)
    }
}

fn join<T>(stage: ScopedJoinHandle<'_, T>) -> Result<T, ImageError> {
    stage.join().map_err(|_| ImageError::Internal { source: None })
}

/// Gets a small file of at most `limit` bytes, with the same care.
///
/// # Errors
/// When it cannot be fetched, is larger, or is a page for people.
pub fn fetch(
    uri: &str,
    options: &Options,
    limit: u64,
    progress: &dyn Progress,
) -> Result<Vec<u8>, ImageError> {
    let shown = source::shown(uri);
    let feed = Feed::start(&[uri.to_owned()], options, PACKED_BUFFERS, Vec::new(), false)?;
    let bytes =
        feed.whole(limit, progress)?.ok_or_else(|| ImageError::Large { uri: shown.clone(), limit })?;
    if container::is_page(&bytes) {
        return Err(container::page(&shown, &bytes));
    }
    Ok(bytes)
}
