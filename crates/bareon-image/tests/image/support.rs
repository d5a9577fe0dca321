//! What several tests need: data, requests, a target, somebody who listens.

use std::{
    fs,
    io::Write,
    ops::{Deref, DerefMut},
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bareon_image::{
    Algorithm, Container, HttpOptions, ImageError, Options, Progress, Request, TargetState, Written,
};
use flate2::{Compression, write::GzEncoder};
use sha2::Digest;
use tempfile::TempDir;

pub use crate::common::{MIB, hex, noise, sha256};

pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub fn md5(data: &[u8]) -> String {
    hex(&md5::Md5::digest(data))
}

/// No pauses, so that failing takes no time. A server is waited for as long as a machine takes that does much else.
pub fn options() -> Options {
    Options {
        http: HttpOptions {
            max_retries: 3,
            stall: Duration::from_mins(1),
            retry_delay: Duration::from_millis(1),
            ..HttpOptions::default()
        },
        ..Options::default()
    }
}

/// The same, but who says nothing is left after `stall`.
pub fn left_after(stall: Duration) -> Options {
    let options = options();
    Options { http: HttpOptions { stall, ..options.http }, ..options }
}

/// A file as a target, full of old data, and a place for a source beside it.
pub struct Place {
    pub dir: TempDir,
    pub target: PathBuf,
}

pub const OLD: u8 = 0xaa;

impl Place {
    pub fn with_old_data(length: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        fs::write(&target, vec![OLD; length]).unwrap();
        Self { dir, target }
    }

    pub fn source(&self, bytes: &[u8]) -> String {
        let path = self.dir.path().join("source");
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn request(&self, uri: &str, container: Container) -> Asked {
        let request =
            Request { uris: vec![uri.to_owned()], container: Some(container), ..Request::default() };
        Asked { request, target: self.target.clone() }
    }

    pub fn content(&self) -> Vec<u8> {
        fs::read(&self.target).unwrap()
    }

    pub fn assert_untouched(&self) {
        assert!(self.content().iter().all(|byte| *byte == OLD), "the target was touched");
    }

    /// The transfer may have failed before anything was written; then the old data are there.
    pub fn assert_first_mib_zero_or_untouched(&self) {
        if self.content().iter().any(|byte| *byte != OLD) {
            self.assert_first_mib_zero();
        }
    }

    pub fn assert_first_mib_zero(&self) {
        let content = self.content();
        assert!(content.len() >= MIB);
        assert!(content[..MIB].iter().all(|byte| *byte == 0), "the first MiB is not zero");
    }
}

/// A request, and where the image goes.
#[derive(Clone)]
pub struct Asked {
    pub request: Request,
    pub target: PathBuf,
}

impl Asked {
    /// What is expected of the data.
    pub fn expect(&mut self, algorithm: Algorithm, sum: String) {
        self.request.sums = std::mem::take(&mut self.request.sums).with(algorithm, Some(sum));
    }

    /// What is expected of the file.
    pub fn expect_of_file(&mut self, algorithm: Algorithm, sum: String) {
        let sums = std::mem::take(&mut self.request.container_sums);
        self.request.container_sums = sums.with(algorithm, Some(sum));
    }
}

impl Deref for Asked {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}

impl DerefMut for Asked {
    fn deref_mut(&mut self) -> &mut Request {
        &mut self.request
    }
}

/// Writes with [`options`] and somebody who remembers; the state that an error tells must be that of the target.
pub fn write(request: &Asked) -> Result<Written, ImageError> {
    let before = fs::read(&request.target).ok();
    bareon_image::write(request, &options(), &request.target, &Listener::default()).map_err(|failed| {
        let after = fs::read(&request.target).ok();
        match failed.target {
            TargetState::Untouched => assert!(before == after, "something was written"),
            TargetState::Cleared => {
                let after = after.expect("the target is still there");
                assert!(before.as_ref() != Some(&after), "nothing was written");
                assert!(after.iter().take(MIB).all(|byte| *byte == 0), "its beginning is not zero");
            }
            TargetState::Doubtful => panic!("its beginning could be cleared: {failed}"),
            TargetState::Written => panic!("a whole image is no error: {failed}"),
        }
        failed.error
    })
}

/// An error with all its causes, as a program prints it.
pub fn told(error: &ImageError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Remembers what it is told; may say stop.
#[derive(Default)]
pub struct Listener {
    pub started: Mutex<Vec<(Option<u64>, Option<u64>)>>,
    pub advanced: Mutex<Vec<(u64, u64)>>,
    pub chunks: Mutex<Vec<u64>>,
    pub retried: Mutex<Vec<(String, u32)>>,
    pub cancel: AtomicBool,
    pub cancel_on_retry: bool,
}

impl Progress for Listener {
    fn started(&self, raw_total: Option<u64>, container_total: Option<u64>) {
        self.started.lock().unwrap().push((raw_total, container_total));
    }

    fn advanced(&self, raw: u64, container: u64) {
        self.advanced.lock().unwrap().push((raw, container));
    }

    fn chunk(&self, number: u64) {
        self.chunks.lock().unwrap().push(number);
    }

    fn retried(&self, why: &str, attempt: u32) {
        self.retried.lock().unwrap().push((why.to_owned(), attempt));
        self.cancel.fetch_or(self.cancel_on_retry, Ordering::SeqCst);
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::SeqCst)
    }
}
