//! Pieces of one file that lies in one place or in several: local files, and HTTP servers and registries that give ranges
//! (RFC 9110, 14.2).
//!
//! Whether two servers have the same file is not asked: who reads pieces has a hash for each.

use std::{
    fs::File,
    io::{self, Read},
    ops::Range,
    os::unix::fs::FileExt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use reqwest::{
    StatusCode,
    blocking::{Client, Response},
    header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, HeaderValue, RANGE},
};
use url::Url;

use super::{
    Place, client,
    http::{self, Failure},
    oci::{self, Located},
    part::header,
    place, shown,
};
use crate::{HttpOptions, ImageError, watch::Watch};

/// A file, wherever it lies.
pub struct Ranged {
    places: Vec<(String, Where, AtomicBool)>,
}

enum Where {
    File(File),
    Http(Client, Url),
    Registry(Client, Box<Registry>),
}

/// A file in a registry, which is asked for where it lies when the first piece is wanted.
struct Registry {
    address: oci::Address,
    options: HttpOptions,
    located: Mutex<Option<Located>>,
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
    /// Nobody lets us in at the moment.
    #[error("asking for access")]
    Access(#[source] http::Trouble),
    /// A registry that has it not, or does not let us in.
    #[error(transparent)]
    Refused(ImageError),
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
            Self::Other | Self::Refused(_) => true,
            Self::Broke(_) | Self::NoAnswer(_) | Self::Access(_) | Self::Bad => false,
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Passing(trouble) => Self::Access(trouble),
            Failure::Final(error) => Self::Refused(error),
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
                Ok(Place::Http(url)) => Some(Where::Http(client::build(&shown(uri), options)?, url)),
                Ok(Place::Oci(address)) => {
                    let registry = Registry { address, options: options.clone(), located: Mutex::new(None) };
                    Some(Where::Registry(client::build(&shown(uri), options)?, Box::new(registry)))
                }
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
        watch: &Arc<dyn Watch>,
    ) -> Result<Option<Box<dyn Read + '_>>, Trouble> {
        let asked = format!("bytes={}-{}", range.start, range.end - 1);
        let (name, place, _) = &self.places[place];
        let response = match place {
            Where::File(file) => {
                let piece = Piece { file, range: range.clone() }.take(range.end - range.start);
                return Ok(Some(Box::new(piece)));
            }
            Where::Http(client, url) => ask(client, url, &asked, None)?,
            Where::Registry(client, registry) => registry.ask(client, name, &asked, watch)?,
        };
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

fn ask(client: &Client, url: &Url, range: &str, access: Option<HeaderValue>) -> Result<Response, Trouble> {
    let mut request = client.get(url.clone()).header(ACCEPT_ENCODING, "identity").header(RANGE, range);
    if let Some(access) = access {
        request = request.header(AUTHORIZATION, access);
    }
    request.send().map_err(|error| Trouble::NoAnswer(error.without_url()))
}

impl Registry {
    fn ask(
        &self,
        client: &Client,
        name: &str,
        range: &str,
        watch: &Arc<dyn Watch>,
    ) -> Result<Response, Trouble> {
        let (url, access) = self.place(name, watch)?;
        let response = ask(client, &url, range, access.clone())?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        match self.renewed(access.as_ref(), &response)? {
            Some(access) => ask(client, &url, range, Some(access)),
            None => Ok(response),
        }
    }

    /// Where the file lies, and what is sent along.
    fn place(&self, name: &str, watch: &Arc<dyn Watch>) -> Result<(Url, Option<HeaderValue>), Trouble> {
        let mut located = self.lock();
        if located.is_none() {
            let found = oci::locate(name, &self.address, &self.options, Arc::clone(watch));
            *located = Some(found.map_err(Trouble::Refused)?);
        }
        let found = located.as_ref().ok_or(Trouble::Other)?;
        let access = found.credentials.as_ref().and_then(|credentials| credentials.header());
        Ok((found.url.clone(), access))
    }

    /// What is sent along after `refusal` of what was `sent`: it may be that another one got it already.
    fn renewed(
        &self,
        sent: Option<&HeaderValue>,
        refusal: &Response,
    ) -> Result<Option<HeaderValue>, Trouble> {
        let mut located = self.lock();
        let Some(credentials) = located.as_mut().and_then(|found| found.credentials.as_mut()) else {
            return Ok(None);
        };
        if credentials.header().as_ref() == sent && !credentials.renew(refusal)? {
            return Ok(None);
        }
        Ok(credentials.header())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Located>> {
        self.located.lock().unwrap_or_else(PoisonError::into_inner)
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
