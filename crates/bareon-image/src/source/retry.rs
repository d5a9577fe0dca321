//! How often, and after which pauses, something that may pass is tried again.
//!
//! The pauses double and are of chance length: two hundred nodes whose server fell over do not come back to it in
//! the same moment.

use std::{
    collections::hash_map::RandomState,
    error::Error,
    hash::{BuildHasher, Hasher},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::client;
use crate::{HttpOptions, ImageError, MIB, watch::Watch};

/// How long a pause sleeps before it looks whether all is to stop.
const NAP: Duration = Duration::from_millis(50);

/// How many times its first length a pause between two tries may get.
const LONGEST_PAUSE: u32 = 8;

/// What is left of the patience with one address.
pub struct Patience {
    uri: String,
    limit: u32,
    delay: Duration,
    watch: Arc<dyn Watch>,
    attempts: u32,
    /// How many bytes came since the count of tries began.
    gained: u64,
}

impl Patience {
    /// All of it. `uri` is as it may be shown.
    pub fn new(uri: &str, options: &HttpOptions, watch: Arc<dyn Watch>) -> Self {
        Self {
            uri: uri.to_owned(),
            limit: options.max_retries,
            delay: options.retry_delay,
            watch,
            attempts: 0,
            gained: 0,
        }
    }

    /// More bytes came, which may renew it.
    pub fn gained(&mut self, bytes: u64) {
        self.gained += bytes;
    }

    /// Counts a failure at byte `at`, tells of it, and waits; or gives up.
    ///
    /// # Errors
    /// When that was one too many, or all is to stop.
    pub fn pause(&mut self, at: u64, trouble: impl Error + Send + Sync + 'static) -> Result<(), ImageError> {
        if self.gained >= MIB {
            (self.gained, self.attempts) = (0, 0);
        }
        self.attempts = self.attempts.saturating_add(1);
        if self.limit > 0 && self.attempts > self.limit {
            return Err(ImageError::GaveUp {
                uri: self.uri.clone(),
                at,
                attempts: self.attempts,
                source: Box::new(trouble),
            });
        }
        let why = format!("{} at byte {at}: {}", self.uri, client::chain(&trouble));
        self.watch.retried(&why, self.attempts);
        // Each of these has keys of its own, by chance.
        let chance = RandomState::new().build_hasher().finish();
        self.sleep(length(self.delay, self.attempts, chance))
    }

    fn sleep(&self, length: Duration) -> Result<(), ImageError> {
        let begun = Instant::now();
        loop {
            if self.watch.stopped() {
                return Err(ImageError::Cancelled);
            }
            match length.checked_sub(begun.elapsed()) {
                Some(left) if !left.is_zero() => thread::sleep(left.min(NAP)),
                _ => return Ok(()),
            }
        }
    }
}

/// The pause before the `attempt`th try: between half of its nominal length and all of it.
fn length(delay: Duration, attempt: u32, chance: u64) -> Duration {
    let factor = 2_u32.saturating_pow(attempt.saturating_sub(1)).min(LONGEST_PAUSE);
    let half = delay.saturating_mul(factor) / 2;
    let thousandths = u32::try_from(chance % 1001).unwrap_or_default();
    half + half.saturating_mul(thousandths) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_are_never_shorter_than_half() {
        let second = Duration::from_secs(1);
        for (attempt, longest) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (40, 8), (u32::MAX, 8)] {
            let (least, most) = (length(second, attempt, 0), length(second, attempt, 1000));
            assert_eq!((least * 2, most), (second * longest, second * longest), "{attempt}");
            let between = length(second, attempt, u64::MAX);
            assert!(least <= between && between <= most, "{attempt}");
        }
        assert_eq!(length(Duration::MAX, 9, 500).min(Duration::from_hours(1)), Duration::from_hours(1));
    }

    #[test]
    fn two_machines_wait_differently_long() {
        let chances: std::collections::BTreeSet<_> =
            (0..20).map(|_| RandomState::new().build_hasher().finish()).collect();
        assert!(chances.len() > 1, "{chances:?}");
    }
}
