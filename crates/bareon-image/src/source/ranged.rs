//! Pieces of one file that lies in one place or in several: local files, and HTTP servers that give ranges (RFC 9110,
//! 14.2).
//!
//! Whether two servers have the same file is not asked: who reads pieces has a hash for each.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicBool, Ordering},
};

use reqwest::{
    StatusCode,
    blocking::Client,
    header::{ACCEPT_ENCODING, CONTENT_RANGE, RANGE},
};
use url::Url;

use super::{Place, client, part::header, place, shown};
use crate::{HttpOptions, ImageError};

/// A file, wherever it lies.
pub struct Ranged {
    places: Vec<(String, Where, AtomicBool)>,
}

enum Where {
    File(File),
    Http(Url, Client),
}

/// Why a piece did not come.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// No answer, or none to the end.
    #[error("the connection broke")]
    Broke(#[from] io::Error),
    /// Nobody answered.
    #[error("no answer from the server")]
    NoAnswer(#[source] reqwest::Error),
    /// Not what was asked for.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// Another piece than was asked for.
    #[error("the server sent another part of the file, or of another file")]
    Other,
    /// The piece is not what it should be.
    #[error("it is not what the index says")]
    Bad,
}

impl Trouble {
    /// Whether asking again is of no use.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Status(status) => status.is_client_error() && *status != StatusCode::TOO_MANY_REQUESTS,
            Self::Other => true,
            Self::Broke(_) | Self::NoAnswer(_) | Self::Bad => false,
        }
    }
}

impl Ranged {
    /// Those of `uris` that pieces can be had of; nothing where there is none.
    ///
    /// # Errors
    /// When there is no way to speak HTTP.
    pub fn open(uris: &[String], options: &HttpOptions) -> Result<Option<Self>, ImageError> {
        let mut places = Vec::new();
        for uri in uris {
            let found = match place(uri) {
                // What cannot be opened is not there; who reads the whole file says so.
                Ok(Place::File(path)) => File::open(path).ok().map(Where::File),
                Ok(Place::Http(url)) => Some(Where::Http(url, client::build(&shown(uri), options)?)),
                _ => None,
            };
            places.extend(found.map(|found| (shown(uri), found, AtomicBool::new(true))));
        }
        Ok(if places.is_empty() { None } else { Some(Self { places }) })
    }

    /// The place to ask at the `turn`th time; nothing when none is left that gives pieces.
    pub fn place(&self, turn: usize) -> Option<usize> {
        let left: Vec<_> =
            (0..self.places.len()).filter(|at| self.places[*at].2.load(Ordering::Relaxed)).collect();
        left.get(turn.checked_rem(left.len())?).copied()
    }

    /// How many places there are.
    pub fn count(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// What a place is called.
    pub fn name(&self, place: usize) -> &str {
        &self.places[place].0
    }

    /// A place is not to be asked again.
    pub fn give_up(&self, place: usize) {
        self.places[place].2.store(false, Ordering::Relaxed);
    }

    /// Begins to read a range that is not empty, of a file of `size` bytes; nothing where this place gives no ranges.
    ///
    /// # Errors
    /// When it does not answer, or with something else.
    pub fn read(
        &self,
        place: usize,
        range: &Range<u64>,
        size: u64,
    ) -> Result<Option<Box<dyn Read + '_>>, Trouble> {
        match &self.places[place].1 {
            Where::File(file) => {
                Ok(Some(Box::new(Piece { file, range: range.clone() }.take(range.end - range.start))))
            }
            Where::Http(url, client) => {
                let asked = format!("bytes={}-{}", range.start, range.end - 1);
                let request =
                    client.get(url.clone()).header(ACCEPT_ENCODING, "identity").header(RANGE, asked);
                let response = request.send().map_err(|error| Trouble::NoAnswer(error.without_url()))?;
                match response.status() {
                    StatusCode::PARTIAL_CONTENT => {}
                    StatusCode::OK => return Ok(None),
                    status => return Err(Trouble::Status(status)),
                }
                let got = header(&response, &CONTENT_RANGE).unwrap_or_default();
                if got != format!("bytes {}-{}/{size}", range.start, range.end - 1) {
                    return Err(Trouble::Other);
                }
                Ok(Some(Box::new(response)))
            }
        }
    }
}

/// A part of a local file.
struct Piece<'a> {
    file: &'a File,
    range: Range<u64>,
}

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.range.start)?;
        self.range.start += read as u64;
        Ok(read)
    }
}
