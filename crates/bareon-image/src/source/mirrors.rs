//! Several addresses of one file: the next takes over at the byte where the one before gave up.
//!
//! *Patience*: an address is given up after a few tries while another one has not been asked; the last one gets all
//! the patience that is set. When the last one says no for good, those that were only out of reach are asked again,
//! the last of them with all patience. So it ends when everybody said no, or when somebody with all patience was not
//! reached.
//!
//! *Whether it is the same file*: another length, or another sum where both servers tell one, is another file. The
//! same sum, the same strong `ETag`, or the same `Last-Modified` and length is the same one. Else nobody knows:
//! another server's `ETag` may differ for the same file. Then the sum decides at the end, and where none is to be
//! compared with, the address is refused. What was refused so may still do from the first byte on; that is for the
//! caller to try, see [`ImageError::NoResume`].

use std::{collections::VecDeque, sync::Arc};

use super::{Source, Version, client::chain, open_at, shown};
use crate::{ImageError, Options, watch::Watch};

/// How often an address is tried again while there is another one to ask.
const FEW: u32 = 3;

/// What is known of a file.
#[derive(Debug, Clone, Default)]
struct Known {
    length: Option<u64>,
    version: Version,
}

impl Known {
    fn of(source: &dyn Source) -> Self {
        let mut version = source.version();
        version.sha256 = source.vouched().or(version.sha256);
        Self { length: source.length(), version }
    }

    /// Whether both are the same file; nothing where nobody knows.
    fn same(&self, other: &Self) -> Option<bool> {
        let differ = |(ours, theirs)| ours != theirs;
        let lengths = self.length.zip(other.length);
        if lengths.is_some_and(differ) {
            return Some(false);
        }
        let (ours, theirs) = (&self.version, &other.version);
        if let Some((ours, theirs)) = ours.sha256.as_ref().zip(theirs.sha256.as_ref()) {
            return Some(ours == theirs);
        }
        let tags = ours.etag.is_some() && ours.etag == theirs.etag;
        let times = ours.modified.is_some() && ours.modified == theirs.modified;
        (tags || (times && lengths.is_some())).then_some(true)
    }
}

/// See the module.
pub struct Mirrors {
    uris: Vec<String>,
    options: Options,
    watch: Arc<dyn Watch>,
    /// Whether a sum of the whole is compared at the end.
    summed: bool,
    /// Those that were not asked in this round.
    queue: VecDeque<usize>,
    /// Those that were out of reach in this round.
    again: VecDeque<usize>,
    /// Which one is read.
    current: usize,
    source: Option<Box<dyn Source>>,
    /// Of the first that was opened.
    known: Known,
    vouched: Option<String>,
    first: usize,
    at: u64,
    resumes: u32,
    /// What was said when another copy could not be gone on with: it may do from the beginning.
    other: Option<ImageError>,
}

impl Mirrors {
    /// Opens the first of `uris` that can be opened; `summed` says whether a strong sum of the whole is compared at
    /// the end.
    ///
    /// # Errors
    /// When none can be opened: what the last one said.
    pub fn open(
        uris: &[String],
        summed: bool,
        options: &Options,
        watch: Arc<dyn Watch>,
    ) -> Result<Self, ImageError> {
        let mut mirrors = Self {
            uris: uris.to_vec(),
            options: options.clone(),
            watch,
            summed,
            queue: (0..uris.len()).collect(),
            again: VecDeque::new(),
            current: 0,
            source: None,
            known: Known::default(),
            vouched: None,
            first: 0,
            at: 0,
            resumes: 0,
            other: None,
        };
        let source = mirrors.next()?;
        (mirrors.known, mirrors.vouched) = (Known::of(source.as_ref()), source.vouched());
        mirrors.first = mirrors.current;
        mirrors.source = Some(source);
        Ok(mirrors)
    }

    /// Which of the addresses the bytes came from at first.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Opens the next address that is there and has the same file.
    fn next(&mut self) -> Result<Box<dyn Source>, ImageError> {
        loop {
            let Some(next) = self.queue.pop_front() else {
                return Err(ImageError::BadUri { uri: String::new(), why: "there is none".to_owned() });
            };
            self.current = next;
            match self.try_open(&self.uris[next], self.queue.is_empty()) {
                Ok(source) => return Ok(source),
                Err(error) => self.judge(error)?,
            }
        }
    }

    /// Chooses whom to ask after this failure of the current address; an error where nobody is left.
    fn judge(&mut self, error: ImageError) -> Result<(), ImageError> {
        if !error.is_of_source() {
            return Err(error);
        }
        let (last, passing) = (self.queue.is_empty(), matches!(error, ImageError::GaveUp { .. }));
        if passing && !last {
            self.again.push_back(self.current);
        } else if last && !passing {
            self.queue = std::mem::take(&mut self.again);
        }
        let Some(next) = self.queue.front() else { return Err(self.other.take().unwrap_or(error)) };
        let next = shown(&self.uris[*next]);
        tracing::warn!("trying the mirror {next} from byte {} on: {}", self.at, chain(&error));
        if matches!(error, ImageError::NoResume { .. }) {
            self.other = Some(error);
        }
        Ok(())
    }

    fn try_open(&self, uri: &str, last: bool) -> Result<Box<dyn Source>, ImageError> {
        let mut options = self.options.clone();
        let retries = options.http.max_retries;
        if !last {
            options.http.max_retries = if retries == 0 { FEW } else { retries.min(FEW) };
        }
        let source = open_at(uri, self.at, &options, Arc::clone(&self.watch))?;
        if self.source.is_some() {
            self.compare(uri, source.as_ref())?;
        }
        Ok(source)
    }

    /// Whether another copy may be gone on with.
    fn compare(&self, uri: &str, source: &dyn Source) -> Result<(), ImageError> {
        let why = match self.known.same(&Known::of(source)) {
            Some(true) => return Ok(()),
            None if self.summed || self.vouched.is_some() => return Ok(()),
            Some(false) => "it is not the file that came from the mirror before",
            None => {
                "nothing tells whether it is the file that came from the mirror before, and no sum is known"
            }
        };
        Err(ImageError::NoResume { uri: shown(uri), at: self.at, why: why.to_owned() })
    }
}

impl Source for Mirrors {
    fn length(&self) -> Option<u64> {
        self.known.length
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError> {
        loop {
            let Some(source) = &mut self.source else { return Ok(0) };
            match source.read(buffer) {
                Ok(read) => {
                    self.at += read as u64;
                    return Ok(read);
                }
                Err(error) => {
                    let resumes = source.resumes();
                    self.judge(error)?;
                    self.source = Some(self.next()?);
                    self.resumes += resumes + 1;
                }
            }
        }
    }

    fn resumes(&self) -> u32 {
        self.resumes + self.source.as_ref().map_or(0, |source| source.resumes())
    }

    fn giving(&mut self) -> bool {
        self.source.as_mut().is_some_and(|source| source.giving())
    }

    fn version(&self) -> Version {
        self.known.version.clone()
    }

    fn vouched(&self) -> Option<String> {
        self.vouched.clone()
    }
}
