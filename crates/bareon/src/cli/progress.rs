//! How far a run is: bars on a terminal, else a log line now and then.
//!
//! A bar and the log share standard error; [`Bars::beside`] takes the bars away while a line is
//! written, so that the two never mix.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Without a terminal, a line is written at each of these steps of an image …
const PERCENT: u64 = 10;

/// … and at the latest after this time.
const INTERVAL: Duration = Duration::from_secs(10);

/// How often a bar that moves is drawn anew, per second.
const REDRAWS: u8 = 10;

/// All the bars of a run. Clones share them.
#[derive(Clone)]
pub struct Bars {
    multi: Option<MultiProgress>,
}

impl fmt::Debug for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bars").field("terminal", &self.multi.is_some()).finish()
    }
}

impl Bars {
    /// Bars on standard error if it is a terminal; else lines in the log.
    pub fn new(terminal: bool) -> Self {
        let target = || ProgressDrawTarget::stderr_with_hz(REDRAWS);
        Self { multi: terminal.then(|| MultiProgress::with_draw_target(target())) }
    }

    /// Shows that a stage runs, until the value is dropped.
    pub fn stage(&self, name: &str) -> Stage {
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        let bar = self.multi.as_ref().map(|multi| {
            let bar = multi.add(ProgressBar::new_spinner());
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_message(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Stage { bar }
    }

    /// Shows how far the image called `name` is; `total` bytes of raw data, where that is known.
    pub fn image(&self, name: &str, total: Option<u64>) -> Image {
        let bar = self.multi.as_ref().map(|multi| {
            let bar = multi.add(total.map_or_else(ProgressBar::no_length, ProgressBar::new));
            bar.set_style(style(total.is_some()));
            bar.set_message(name.to_owned());
            bar
        });
        let told = Mutex::new(Told { total, fetched: false, at: Instant::now(), bytes: 0, tenth: 0 });
        Image { name: name.to_owned(), bar, told }
    }

    /// Does `work`, which writes to standard error, while no bar is shown there.
    pub fn beside<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.multi {
            Some(multi) => multi.suspend(work),
            None => work(),
        }
    }
}

/// A stage that runs. Dropping it takes its bar away.
#[derive(Debug)]
pub struct Stage {
    bar: Option<ProgressBar>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// An image that is being written. Dropping it takes its bar away.
#[derive(Debug)]
pub struct Image {
    name: String,
    bar: Option<ProgressBar>,
    told: Mutex<Told>,
}

/// What is known, and was last told, of an image.
#[derive(Debug)]
struct Told {
    total: Option<u64>,
    /// Whether bytes fetched are counted, because only their total is known.
    fetched: bool,
    /// When the last line was written, or it began …
    at: Instant,
    /// … and how many bytes were done then.
    bytes: u64,
    tenth: u64,
}

impl Image {
    /// Says that so many bytes are done by now: of what the total counts, else of raw data.
    pub fn at(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
        } else if let Some(news) = self.news(bytes, Instant::now()) {
            tracing::info!("{news}");
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line for the log, where one is due.
    fn news(&self, bytes: u64, now: Instant) -> Option<String> {
        let mut told = self.told();
        let tenth = told.total.map_or(0, |total| percent(bytes, total) / PERCENT);
        if tenth <= told.tenth && now.duration_since(told.at) < INTERVAL {
            return None;
        }
        let rate = per_second(bytes.saturating_sub(told.bytes), now.duration_since(told.at));
        (told.at, told.bytes, told.tenth) = (now, bytes, tenth);
        Some(line(&self.name, bytes, told.total, rate))
    }
}

impl bareon_image::Progress for Image {
    fn started(&self, raw_total: Option<u64>, container_total: Option<u64>) {
        let mut told = self.told();
        // It starts again where the image is fetched from the next mirror.
        told.total = raw_total.or(told.total.filter(|_| !told.fetched));
        (told.at, told.bytes, told.tenth) = (Instant::now(), 0, 0);
        told.fetched = told.total.is_none() && container_total.is_some();
        told.total = told.total.or(container_total);
        let Some(total) = told.total else { return };
        if let Some(bar) = &self.bar {
            bar.set_position(0);
            bar.reset_eta();
            bar.set_length(total);
            bar.set_style(style(true));
        }
    }

    fn advanced(&self, raw: u64, container: u64) {
        let fetched = self.told().fetched;
        self.at(if fetched { container } else { raw });
    }

    fn chunk(&self, number: u64) {
        // Callers count these lines in the log.
        tracing::debug!("Next chunk: {number}");
    }

    fn retried(&self, why: &str, attempt: u32) {
        tracing::warn!("{}: {why}; trying again ({attempt})", self.name);
    }

    fn cancelled(&self) -> bool {
        bareon_host::runner::cancelled()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(total_known: bool) -> ProgressStyle {
    let template = if total_known {
        "  {msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left"
    } else {
        "  {msg} {spinner} {bytes} {bytes_per_sec}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn percent(bytes: u64, total: u64) -> u64 {
    (u128::from(bytes) * 100 / u128::from(total.max(1))).try_into().unwrap_or(100)
}

fn per_second(bytes: u64, took: Duration) -> u64 {
    (u128::from(bytes) * 1000 / took.as_millis().max(1)).try_into().unwrap_or(u64::MAX)
}

/// `image: 40 %, 410 of 1024 MiB, 95 MiB/s, 6 s left`, by the rate since the line before, in bytes per second.
fn line(name: &str, bytes: u64, total: Option<u64>, rate: u64) -> String {
    let mib = |bytes: u64| bytes >> 20;
    let speed = if rate >> 20 > 9 {
        format!("{} MiB/s", mib(rate))
    } else {
        format!("{}.{} MiB/s", mib(rate), ((rate % (1 << 20)) * 10) >> 20)
    };
    let Some(total) = total else { return format!("{name}: {} MiB, {speed}", mib(bytes)) };
    let left = match total.saturating_sub(bytes) {
        0 => "all written".to_owned(),
        left if rate == 0 => format!("{} MiB left", mib(left)),
        left => format!("{} left", time(left / rate)),
    };
    format!("{name}: {} %, {} of {} MiB, {speed}, {left}", percent(bytes, total), mib(bytes), mib(total))
}

/// A time in seconds, as people say it.
fn time(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {:02} s", seconds % 60),
        _ => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
mod tests {
    use bareon_image::Progress;

    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let line = |total: Option<u64>, rate: u64| line("root.img", 400 << 20, total.map(|t| t << 20), rate);
        assert_eq!(line(Some(1000), 100 << 20), "root.img: 40 %, 400 of 1000 MiB, 100 MiB/s, 6 s left");
        assert_eq!(line(Some(1000), 5 << 19), "root.img: 40 %, 400 of 1000 MiB, 2.5 MiB/s, 4 min 00 s left");
        assert_eq!(
            line(Some(1000), 1 << 10),
            "root.img: 40 %, 400 of 1000 MiB, 0.0 MiB/s, 170 h 40 min left"
        );
        assert_eq!(line(Some(1000), 0), "root.img: 40 %, 400 of 1000 MiB, 0.0 MiB/s, 600 MiB left");
        assert_eq!(line(Some(400), 5), "root.img: 100 %, 400 of 400 MiB, 0.0 MiB/s, all written");
        assert_eq!(line(None, 100 << 20), "root.img: 400 MiB, 100 MiB/s");
    }

    #[test]
    fn the_rate_is_that_since_the_line_before() {
        let image = Bars::new(false).image("i", Some(1000 << 20));
        let begun = image.told().at;
        let at = |bytes: u64, seconds| image.news(bytes << 20, begun + Duration::from_secs(seconds)).unwrap();
        assert_eq!(at(100, 1), "i: 10 %, 100 of 1000 MiB, 100 MiB/s, 9 s left");
        assert_eq!(at(200, 21), "i: 20 %, 200 of 1000 MiB, 5.0 MiB/s, 2 min 40 s left");
        assert_eq!(at(200, 31), "i: 20 %, 200 of 1000 MiB, 0.0 MiB/s, 800 MiB left");
        // It begins anew, from another mirror.
        Progress::started(&image, Some(1000 << 20), None);
        let begun = image.told().at;
        let line = image.news(100 << 20, begun + Duration::from_secs(2)).unwrap();
        assert_eq!(line, "i: 10 %, 100 of 1000 MiB, 50 MiB/s, 18 s left");
    }

    #[test]
    fn a_line_is_due_at_each_tenth_and_after_some_time() {
        let image = Bars::new(false).image("i", Some(1000));
        let now = Instant::now();
        let due = |bytes, at| image.news(bytes, at).is_some();
        assert!(!due(99, now));
        assert!(due(100, now));
        assert!(!due(199, now));
        assert!(due(350, now));
        assert!(due(351, now + INTERVAL));
        assert!(!due(352, now + INTERVAL));
    }

    #[test]
    fn what_is_fetched_counts_where_only_its_total_is_known() {
        let done = |raw, container| {
            let image = Bars::new(false).image("i", None);
            Progress::started(&image, raw, container);
            let begun = image.told().at;
            image.news(1 << 20, begun + INTERVAL).unwrap()
        };
        assert_eq!(done(None, None), "i: 1 MiB, 0.0 MiB/s");
        assert!(done(None, Some(2 << 20)).starts_with("i: 50 %, 1 of 2 MiB,"));
        assert!(done(Some(4 << 20), Some(2 << 20)).starts_with("i: 25 %, 1 of 4 MiB,"));
    }

    #[test]
    fn an_image_of_no_size_divides_by_nothing() {
        assert_eq!(
            line("i", 0, Some(0), per_second(0, Duration::ZERO)),
            "i: 0 %, 0 of 0 MiB, 0.0 MiB/s, all written"
        );
    }
}
