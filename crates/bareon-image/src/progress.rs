//! How a caller sees, and stops, what is going on.

use crate::MIB;

/// Somebody who is told how far an image is. All calls come from the thread that called [`write`](crate::write).
pub trait Progress: Sync {
    /// The source is open. Both sizes are in bytes; `None` where not known.
    fn started(&self, raw_total: Option<u64>, container_total: Option<u64>) {
        let _ = (raw_total, container_total);
    }

    /// So many bytes were written, and so many fetched for it, since the start.
    fn advanced(&self, raw: u64, container: u64) {
        let _ = (raw, container);
    }

    /// Another MiB was written; they are numbered from 1, and the last may be a part of one.
    fn chunk(&self, number: u64) {
        let _ = number;
    }

    /// Something went wrong and is tried again, for the `attempt`th time in a row.
    fn retried(&self, why: &str, attempt: u32) {
        let _ = (why, attempt);
    }

    /// Whether to stop. Asked several times a second, and answered by
    /// [`ImageError::Cancelled`](crate::ImageError::Cancelled).
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}

/// Which MiB were announced.
#[derive(Debug, Default)]
pub(crate) struct Told(u64);

impl Told {
    /// Announces those within `bytes`, for as long as all `goes_on`; the one that was begun only when all `ended`.
    pub fn tell(&mut self, bytes: u64, ended: bool, progress: &dyn Progress, goes_on: impl Fn() -> bool) {
        let now = if ended { bytes.div_ceil(MIB) } else { bytes / MIB };
        while goes_on() && self.0 < now {
            self.0 += 1;
            progress.chunk(self.0);
        }
    }
}
