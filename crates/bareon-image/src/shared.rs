//! What all stages of one transfer share: whether to stop, the first failure, what is to be told.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::{ImageError, Progress, watch::Watch};

/// How long a stage waits before it looks whether all is to stop.
pub const TICK: Duration = Duration::from_millis(100);

/// A retry that the caller has not been told of yet.
#[derive(Debug)]
pub struct Notice {
    why: String,
    attempt: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Shared {
    stop: AtomicBool,
    failure: Mutex<Option<ImageError>>,
    fetched: AtomicU64,
    notices: Sender<Notice>,
}

impl Shared {
    /// With the end at which the caller's thread learns of retries.
    pub fn new() -> (Arc<Self>, Receiver<Notice>) {
        let (notices, told) = unbounded();
        let shared = Self {
            stop: AtomicBool::new(false),
            failure: Mutex::new(None),
            fetched: AtomicU64::new(0),
            notices,
        };
        (Arc::new(shared), told)
    }

    /// All stages end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// All stages end, because of `error` unless there was one before.
    pub fn fail(&self, error: ImageError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop();
    }

    /// The first failure; if all was stopped without one, something is wrong with this program.
    pub fn failure(&self) -> ImageError {
        let first = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or(ImageError::Internal { source: None })
    }

    /// How many bytes came from the source so far.
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// More bytes came.
    pub fn add_fetched(&self, bytes: u64) {
        self.fetched.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Tells the caller of retries and hears whether to stop; true while all goes on.
    pub fn goes_on(&self, told: &Receiver<Notice>, progress: &dyn Progress) -> bool {
        for notice in told.try_iter() {
            progress.retried(&notice.why, notice.attempt);
        }
        if progress.cancelled() {
            self.fail(ImageError::Cancelled);
        }
        !self.stopped()
    }
}

impl Watch for Shared {
    fn retried(&self, why: &str, attempt: u32) {
        tracing::debug!(attempt, "fetching is tried again: {why}");
        let _ = self.notices.send(Notice { why: why.to_owned(), attempt });
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
