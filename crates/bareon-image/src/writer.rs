//! The last stage: a thread for each target, and what the caller's thread sees of them.
//!
//! Each target gets every buffer, so that an image for several disks is fetched and unpacked once; the slowest of them
//! sets the pace. A target is untouched until there is something to write.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{Builder, Scope},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::{
    ImageError, Progress, Target,
    digest::Takers,
    feed::Feed,
    pool::Buffer,
    progress::Told,
    shared::{Shared, TICK},
    watch::Watch,
};

/// The targets that are being written.
pub struct Writers {
    written: Vec<Arc<AtomicU64>>,
    ended: Receiver<()>,
}

impl Writers {
    /// Starts a thread for each target; so many buffers may wait for each.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        targets: &'scope mut [&mut dyn Target],
        takers: &mut Takers<Arc<Buffer>>,
        ahead: usize,
        shared: &'scope Shared,
    ) -> io::Result<Self> {
        // Nobody sends anything: that all ends are gone is the news.
        let (at_work, ended) = bounded(0);
        let mut written = Vec::new();
        for target in targets {
            let count = Arc::new(AtomicU64::new(0));
            written.push(Arc::clone(&count));
            let writer = Writer { incoming: takers.another(ahead), count, shared, _at_work: at_work.clone() };
            Builder::new().name("write".to_owned()).spawn_scoped(scope, move || writer.run(&mut **target))?;
        }
        Ok(Self { written, ended })
    }

    /// How many bytes all of them have.
    pub fn written(&self) -> u64 {
        self.written.iter().map(|count| count.load(Ordering::Relaxed)).min().unwrap_or_default()
    }

    /// Tells the caller how it goes, until all of them came to an end, good or bad.
    pub fn watch(&self, feed: &Feed, progress: &dyn Progress) {
        let mut told = Told::default();
        loop {
            let ended = self.ended.recv_timeout(TICK) == Err(RecvTimeoutError::Disconnected);
            let written = self.written();
            // A stop is seen by all others, too, and they end then.
            told.tell(written, ended, progress, || feed.goes_on(progress));
            progress.advanced(written, feed.shared().fetched());
            if ended {
                return;
            }
        }
    }
}

/// One of them.
struct Writer<'a> {
    incoming: Receiver<Arc<Buffer>>,
    count: Arc<AtomicU64>,
    shared: &'a Shared,
    _at_work: Sender<()>,
}

impl Writer<'_> {
    fn run(self, target: &mut dyn Target) {
        if let Err(error) = self.put(target) {
            self.shared.fail(error);
        }
    }

    fn put(&self, target: &mut dyn Target) -> Result<(), ImageError> {
        while !self.shared.stopped() {
            match self.incoming.recv_timeout(TICK) {
                Ok(buffer) => {
                    target.write(&buffer)?;
                    self.count.fetch_add(buffer.len() as u64, Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
        Ok(())
    }
}
