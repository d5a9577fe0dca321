//! The stages, and what ties them together.
//!
//! ```text
//! thread  fetch     feed.rs      reads the source into buffers of the first pool, hashes the file
//! thread  unpack    unpack.rs    unpacks them into buffers of the second pool
//! thread  sha256    digest.rs    ┐
//! thread  md5       digest.rs    ├ each gets every buffer; the last to let go sends it back to its pool
//! caller  write     this file    ┘ tells progress, hears whether to stop
//! ```
//!
//! The first failure of any stage is the one that is returned; it stops all others.

use std::{
    sync::Arc,
    thread::{self, ScopedJoinHandle},
    time::Instant,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use crate::{
    Container, ImageError, MIB, Options, Progress, Request, TargetState, WriteError, Written, container,
    digest::{self, Kind},
    feed::{Feed, Fetched},
    pool::{ALIGN, Buffer, Pool},
    shared::TICK,
    source,
    target::Device,
    unpack::Unpack,
};

/// How many buffers the source may be ahead.
const PACKED_BUFFERS: usize = 4;

/// How many buffers the unpacking may be ahead of the slowest of those who take them.
const RAW_BUFFERS: usize = 8;

/// The most memory in bytes that the buffers of one [`write()`] take: 13 MiB unless `chunk` is set otherwise.
///
/// Beside them there are the tables of the decoder (about 50 KiB), the buffers of the HTTP client (under 1 MiB),
/// and the stacks of at most six threads. Nothing grows with the image.
pub fn ceiling(options: &Options) -> usize {
    let head = 1 << 20;
    (PACKED_BUFFERS + RAW_BUFFERS) * (options.buffer() + ALIGN) + head
}

/// What is expected, in the form in which it is compared.
struct Expected {
    size: Option<u64>,
    md5: Option<String>,
    sha256: Option<String>,
    container_sha256: Option<String>,
}

impl Expected {
    fn of(request: &Request) -> Result<Self, ImageError> {
        Ok(Self {
            size: request.size,
            md5: Kind::Md5.expected(request.md5.as_deref())?,
            sha256: Kind::Sha256.expected(request.sha256.as_deref())?,
            container_sha256: Kind::ContainerSha256.expected(request.container_sha256.as_deref())?,
        })
    }

    /// Whether nothing tells a whole image from one that was cut short.
    fn hides_truncation(&self, container: Container, length: Option<u64>) -> bool {
        let sums = [&self.md5, &self.sha256, &self.container_sha256];
        container == Container::Raw && length.or(self.size).is_none() && sums.iter().all(|sum| sum.is_none())
    }
}

/// What the stages found.
struct Found {
    raw_bytes: u64,
    md5: Option<String>,
    sha256: String,
    fetched: Fetched,
}

/// Writes an image onto its target.
///
/// # Errors
/// When anything at all is not as it should be; see [`ImageError`]. If the target was touched, its first MiB is
/// zero then; whether it was stands in the error.
pub fn write(request: &Request, options: &Options, progress: &dyn Progress) -> Result<Written, WriteError> {
    let untouched = |error| WriteError { error, target: TargetState::Untouched };
    let expected = Expected::of(request).map_err(untouched)?;
    let mut target = Device::open(&request.target).map_err(untouched)?;
    transfer(request, &expected, options, &mut target, progress)
        .map_err(|error| WriteError { error, target: target.state() })
}

fn transfer(
    request: &Request,
    expected: &Expected,
    options: &Options,
    target: &mut Device,
    progress: &dyn Progress,
) -> Result<Written, ImageError> {
    let begun = Instant::now();
    let uri = source::shown(&request.uri);
    if let Some(size) = expected.size {
        target.check_room(size, true)?;
    }
    // The file as it is fetched is the data themselves where it is not packed.
    let packed = request.container != Container::Raw;
    let feed =
        Feed::start(&request.uri, options, PACKED_BUFFERS, packed && expected.container_sha256.is_some())?;
    let length = feed.opened(progress)?;
    let raw_length = length.filter(|_| !packed);
    if let Some(found) = raw_length {
        check_size(&uri, expected.size, found, true)?;
        target.check_room(found, true)?;
    }
    if expected.hides_truncation(request.container, length) {
        tracing::warn!(
            "`{uri}`: the server does not tell its length, and neither size nor digest of this raw image is known: \
             IF IT IS CUT SHORT, NOBODY WILL SEE IT; give the image's size and digest"
        );
    }
    progress.started(expected.size.or(raw_length), length);

    let transfer = Transfer { uri: &uri, container: request.container, expected, options };
    let mut found = transfer.run(&feed, target, progress)?;
    if !packed {
        found.fetched.sha256 = expected.container_sha256.as_ref().map(|_| found.sha256.clone());
    }
    check(&uri, expected, &found)?;
    if !feed.goes_on(progress) {
        return Err(feed.shared().failure());
    }
    target.commit()?;
    Ok(Written {
        uri,
        raw_bytes: found.raw_bytes,
        container_bytes: found.fetched.bytes,
        md5: found.md5,
        sha256: found.sha256,
        container_sha256: found.fetched.sha256,
        elapsed: begun.elapsed(),
        resumes: found.fetched.resumes,
    })
}

fn check_size(uri: &str, expected: Option<u64>, found: u64, exact: bool) -> Result<(), ImageError> {
    match expected {
        Some(expected) if found > expected || (exact && found < expected) => {
            Err(ImageError::Size { uri: uri.to_owned(), expected, found, exact })
        }
        _ => Ok(()),
    }
}

fn check(uri: &str, expected: &Expected, found: &Found) -> Result<(), ImageError> {
    if found.raw_bytes == 0 {
        return Err(ImageError::Empty { uri: uri.to_owned() });
    }
    check_size(uri, expected.size, found.raw_bytes, true)?;
    let file = found.fetched.sha256.as_deref();
    Kind::ContainerSha256.compare(uri, expected.container_sha256.as_deref(), file)?;
    Kind::Sha256.compare(uri, expected.sha256.as_deref(), Some(&found.sha256))?;
    Kind::Md5.compare(uri, expected.md5.as_deref(), found.md5.as_deref())
}

/// One image on its way.
struct Transfer<'a> {
    uri: &'a str,
    container: Container,
    expected: &'a Expected,
    options: &'a Options,
}

impl Transfer<'_> {
    fn run(&self, feed: &Feed, target: &mut Device, progress: &dyn Progress) -> Result<Found, ImageError> {
        thread::scope(|scope| {
            // No channel is ever full: there are no more buffers than places.
            let (to_target, incoming) = bounded(RAW_BUFFERS);
            let (to_sha256, for_sha256) = bounded(RAW_BUFFERS);
            let sha256 = start(scope, "sha256", move || digest::of_all::<sha2::Sha256>(&for_sha256))?;
            let mut takers = vec![to_target, to_sha256];
            let mut md5 = None;
            if self.expected.md5.is_some() {
                let (to_md5, for_md5) = bounded(RAW_BUFFERS);
                takers.push(to_md5);
                md5 = Some(start(scope, "md5", move || digest::of_all::<md5::Md5>(&for_md5))?);
            }
            let pool = Pool::new(RAW_BUFFERS, self.options.buffer());
            let unpack = Unpack { uri: self.uri, container: self.container, pool, takers };
            let unpacked = start(scope, "unpack", || unpack.run(feed.reader(), feed.shared()))?;

            let written = self.put(feed, target, &incoming, progress);
            if let Err(error) = written {
                feed.shared().fail(error);
            }
            drop(incoming);
            // Whether a stage fell over is asked before anything is held for complete.
            let fetched = join(unpacked)?;
            let sha256 = join(sha256)?;
            let md5 = md5.map(join).transpose()?;
            match (fetched, feed.goes_on(progress)) {
                (Some(fetched), true) => Ok(Found { raw_bytes: target.written(), md5, sha256, fetched }),
                _ => Err(feed.shared().failure()),
            }
        })
    }

    /// The last stage. The target is untouched until there is something to write.
    fn put(
        &self,
        feed: &Feed,
        target: &mut Device,
        incoming: &Receiver<Arc<Buffer>>,
        progress: &dyn Progress,
    ) -> Result<(), ImageError> {
        let mut chunks = 0;
        while feed.goes_on(progress) {
            match incoming.recv_timeout(TICK) {
                Ok(buffer) => {
                    check_size(self.uri, self.expected.size, target.written() + buffer.len() as u64, false)?;
                    target.write(&buffer)?;
                    tell_chunks(&mut chunks, target.written() / MIB, progress);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    tell_chunks(&mut chunks, target.written().div_ceil(MIB), progress);
                    return Ok(());
                }
            }
            progress.advanced(target.written(), feed.shared().fetched());
        }
        Ok(())
    }
}

fn tell_chunks(told: &mut u64, now: u64, progress: &dyn Progress) {
    for number in *told + 1..=now {
        progress.chunk(number);
    }
    *told = now;
}

fn start<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, ImageError> {
    let started = thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
    started.map_err(|source| ImageError::Internal { source: Some(source) })
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
    let feed = Feed::start(uri, options, PACKED_BUFFERS, false)?;
    let bytes =
        feed.whole(limit, progress)?.ok_or_else(|| ImageError::Large { uri: shown.clone(), limit })?;
    if container::is_page(&bytes) {
        return Err(container::page(&shown, &bytes));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_image_of_which_nothing_is_known_can_be_cut_unseen() {
        let nothing = || Expected { size: None, md5: None, sha256: None, container_sha256: None };
        assert!(nothing().hides_truncation(Container::Raw, None));
        assert!(!nothing().hides_truncation(Container::Gzip, None));
        assert!(!nothing().hides_truncation(Container::Raw, Some(5)));
        assert!(!Expected { size: Some(5), ..nothing() }.hides_truncation(Container::Raw, None));
        assert!(!Expected { md5: Some("a".into()), ..nothing() }.hides_truncation(Container::Raw, None));
    }
}
