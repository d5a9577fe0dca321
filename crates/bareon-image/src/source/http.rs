//! HTTP and HTTPS by reqwest. What breaks off is taken up again in here, so that no other stage notices.
//!
//! The body is taken as it is: nothing is decoded on the way, else ranges and digests would be of other bytes. It
//! is HTTP/1.1, which suits one long stream. There is no limit on the whole, only on how long nothing comes.
//!
//! A transfer goes on only where the server shows that it still has the same file (RFC 9110, 14.2 and 13.1.5): the
//! same strong `ETag`, or without one the same `Last-Modified`, and the same length. `If-Range` asks for that. A
//! server that answers with the whole file instead (200) is read up to where the transfer broke off. An address
//! that holds the sum of what it names needs none of that.

use std::{
    io::{self, Read},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    StatusCode,
    blocking::{Client, Response},
    header::{
        ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, IF_RANGE, RANGE,
    },
};
use url::Url;

use super::{
    Source, Version, client,
    part::{ContentRange, header},
    retry::Patience,
    shown,
};
use crate::{HttpOptions, ImageError, container, watch::Watch};

/// How much of a page is read to show its first line, in bytes.
const PAGE: u64 = 4096;

/// A failure that may pass.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// There was none to be had.
    #[error("no answer from the server")]
    NoAnswer(#[source] reqwest::Error),
    /// It will be better later.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// The time limit.
    #[error("nothing came for {0:?}")]
    Stalled(Duration),
    /// It was cut.
    #[error("the connection broke")]
    Broke(#[source] io::Error),
    /// It was closed too early.
    #[error("the connection was closed after {at} of {length} bytes")]
    Short {
        /// In bytes.
        at: u64,
        /// In bytes.
        length: u64,
    },
}

/// A failure that may pass, or one that will not.
pub enum Failure {
    /// Try again.
    Passing(Trouble),
    /// Do not.
    Final(ImageError),
}

/// Who has a say in a server's letting us in.
pub trait Credentials: Send {
    /// What is sent along, if anything.
    fn header(&self) -> Option<HeaderValue>;

    /// Gets new ones after this refusal (401); false when there are none to be had.
    ///
    /// # Errors
    /// When they are refused, or do not come.
    fn renew(&mut self, refusal: &Response) -> Result<bool, Failure>;
}

/// How an address is fetched that is not just any.
#[derive(Default)]
pub struct Access {
    /// Who lets us in.
    pub credentials: Option<Box<dyn Credentials>>,
    /// Whether the address holds the sum of what it names: it never changes then.
    pub addressed: bool,
    /// The types of what is asked for, where they matter.
    pub accept: Option<&'static str>,
}

impl Access {
    /// For one with credentials.
    pub fn by(credentials: impl Credentials + 'static) -> Self {
        Self { credentials: Some(Box::new(credentials)), ..Self::default() }
    }
}

/// See the module.
pub struct Http {
    url: Url,
    uri: String,
    stall: Duration,
    client: Client,
    access: Access,
    watch: Arc<dyn Watch>,
    patience: Patience,
    body: Option<Response>,
    /// Whether anything is known of the file.
    known: bool,
    length: Option<u64>,
    version: Version,
    /// How many bytes were handed out, those before the beginning included.
    at: u64,
    resumes: u32,
}

impl Http {
    /// Asks for `url` from byte `from` on until there is an answer.
    ///
    /// # Errors
    /// When the answer is no, or none comes.
    pub fn open(
        url: Url,
        from: u64,
        options: &HttpOptions,
        access: Access,
        watch: Arc<dyn Watch>,
    ) -> Result<Self, ImageError> {
        let uri = shown(url.as_str());
        let mut source = Self {
            client: client::build(&uri, options)?,
            patience: Patience::new(&uri, options, Arc::clone(&watch)),
            url,
            uri,
            stall: options.stall,
            access,
            watch,
            body: None,
            known: false,
            length: None,
            version: Version::default(),
            at: from,
            resumes: 0,
        };
        loop {
            match source.take_up() {
                Ok(()) => return Ok(source),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(trouble)) => source.pause(trouble)?,
            }
        }
    }

    /// What it was opened by, for the next one at the same server.
    pub fn into_access(self) -> Access {
        self.access
    }

    /// Sends a request for what is still missing.
    fn ask(&mut self) -> Result<Response, Failure> {
        let response = self.send()?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(credentials) = &mut self.access.credentials
            && credentials.renew(&response)?
        {
            return self.send();
        }
        Ok(response)
    }

    fn send(&self) -> Result<Response, Failure> {
        let mut request = self.client.get(self.url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(types) = self.access.accept {
            request = request.header(ACCEPT, types);
        }
        if let Some(value) = self.access.credentials.as_ref().and_then(|credentials| credentials.header()) {
            request = request.header(AUTHORIZATION, value);
        }
        if self.at > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.at));
            if let Some(etag) = self.version.etag.as_ref().filter(|_| !self.access.addressed) {
                request = request.header(IF_RANGE, etag);
            }
        }
        request.send().map_err(|error| unsent(&self.uri, error))
    }

    /// Begins the transfer, or takes it up again where it broke off.
    fn take_up(&mut self) -> Result<(), Failure> {
        let response = self.ask()?;
        let total = match response.status() {
            StatusCode::PARTIAL_CONTENT => self.total_of_part(&response)?,
            StatusCode::OK => response.content_length(),
            StatusCode::RANGE_NOT_SATISFIABLE if self.at > 0 => return self.past_the_end(&response),
            status => return Err(refused(&self.uri, self.at, status)),
        };
        let response = self.not_a_page(response)?;
        let version = Version::of(&response);
        if self.known {
            self.compare(total, &version)?;
        } else {
            self.version = version;
        }
        (self.known, self.length) = (true, total);
        if response.status() == StatusCode::OK {
            self.skip(response)
        } else {
            self.body = Some(response);
            Ok(())
        }
    }

    fn not_a_page(&self, response: Response) -> Result<Response, Failure> {
        let kind = header(&response, &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        if !kind.starts_with("text/html") && !kind.starts_with("application/xhtml") {
            return Ok(response);
        }
        let mut page = Vec::new();
        // Whatever can be read of it is shown.
        let _ = response.take(PAGE).read_to_end(&mut page);
        Err(Failure::Final(container::page(&self.uri, &page)))
    }

    /// Whether an answer is of the same file as the first.
    fn compare(&self, total: Option<u64>, version: &Version) -> Result<(), Failure> {
        if self.length.is_some() && total != self.length {
            return Err(self.lost("the file on the server has another length now"));
        }
        if self.access.addressed || version.is(&self.version) {
            return Ok(());
        }
        if *version != self.version {
            return Err(self.lost("the file on the server was changed meanwhile"));
        }
        if self.at > 0 {
            return Err(self.lost(
                "the server gives neither ETag nor Last-Modified to tell whether it is the same file",
            ));
        }
        Ok(())
    }

    /// The whole length that a part tells, if it is the part that was asked for.
    fn total_of_part(&self, response: &Response) -> Result<Option<u64>, Failure> {
        let range = header(response, &CONTENT_RANGE).unwrap_or_default();
        match ContentRange::parse(&range) {
            Some(ContentRange { first: Some(first), total }) if first == self.at && self.at > 0 => Ok(total),
            _ => Err(self.lost(&format!("the server sends another part than was asked for (`{range}`)"))),
        }
    }

    /// The server has nothing at this place: perhaps all had come already.
    fn past_the_end(&mut self, response: &Response) -> Result<(), Failure> {
        let range = header(response, &CONTENT_RANGE).unwrap_or_default();
        let total = ContentRange::parse(&range).and_then(|range| range.total);
        let same = !self.known || self.access.addressed || Version::of(response).is(&self.version);
        if self.length.is_none() && total == Some(self.at) && same {
            (self.known, self.length) = (true, total);
            return Ok(());
        }
        Err(self.lost("the file on the server is shorter now"))
    }

    /// Reads what was had before.
    fn skip(&mut self, mut response: Response) -> Result<(), Failure> {
        let mut scratch = vec![0; 1 << 16];
        let mut left = self.at;
        while left > 0 {
            if self.watch.stopped() {
                return Err(Failure::Final(ImageError::Cancelled));
            }
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(scratch.len());
            match response.read(&mut scratch[..wanted]) {
                Ok(0) => {
                    let trouble =
                        Trouble::Short { at: self.at - left, length: self.length.unwrap_or(self.at) };
                    return Err(Failure::Passing(trouble));
                }
                Ok(n) => left -= n as u64,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Failure::Passing(self.trouble(e))),
            }
        }
        self.body = Some(response);
        Ok(())
    }

    fn lost(&self, why: &str) -> Failure {
        Failure::Final(ImageError::NoResume { uri: self.uri.clone(), at: self.at, why: why.to_owned() })
    }

    fn trouble(&self, error: io::Error) -> Trouble {
        let inner = error.get_ref().and_then(|e| e.downcast_ref::<reqwest::Error>());
        if error.kind() == io::ErrorKind::TimedOut || inner.is_some_and(reqwest::Error::is_timeout) {
            Trouble::Stalled(self.stall)
        } else {
            Trouble::Broke(error)
        }
    }

    fn pause(&mut self, trouble: Trouble) -> Result<(), ImageError> {
        self.body = None;
        self.patience.pause(self.at, trouble)
    }

    /// Tries to take the transfer up again until it works.
    fn recover(&mut self, mut trouble: Trouble) -> Result<(), ImageError> {
        loop {
            self.pause(trouble)?;
            match self.take_up() {
                Ok(()) => {
                    self.resumes += 1;
                    return Ok(());
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(next)) => trouble = next,
            }
        }
    }
}

impl Source for Http {
    fn length(&self) -> Option<u64> {
        self.length
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError> {
        loop {
            if self.watch.stopped() {
                return Err(ImageError::Cancelled);
            }
            if self.length == Some(self.at) {
                return Ok(0);
            }
            let Some(body) = &mut self.body else { return Ok(0) };
            let trouble = match (body.read(buffer), self.length) {
                (Ok(0), Some(length)) => Trouble::Short { at: self.at, length },
                (Ok(n), _) => {
                    self.at += n as u64;
                    self.patience.gained(n as u64);
                    return Ok(n);
                }
                (Err(e), _) if e.kind() == io::ErrorKind::Interrupted => continue,
                (Err(e), _) => self.trouble(e),
            };
            self.recover(trouble)?;
        }
    }

    fn resumes(&self) -> u32 {
        self.resumes
    }

    fn version(&self) -> Version {
        self.version.clone()
    }
}

/// What it means that a request for `uri` got no answer.
pub fn unsent(uri: &str, error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let uri = uri.to_owned();
    if client::distrusts(&error) {
        Failure::Final(ImageError::Certificate { uri, source: error.into() })
    } else if client::distrusted(&error) {
        Failure::Final(ImageError::Distrusted { uri, source: error.into() })
    } else if error.is_redirect() {
        Failure::Final(ImageError::Redirect { uri, source: error.into() })
    } else if error.is_builder() {
        Failure::Final(ImageError::Client { uri, source: error.into() })
    } else {
        Failure::Passing(Trouble::NoAnswer(error))
    }
}

/// What a status means that is not the one hoped for.
pub fn refused(uri: &str, at: u64, status: StatusCode) -> Failure {
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
    if status.is_server_error() || passing.contains(&status) {
        Failure::Passing(Trouble::Status(status))
    } else {
        Failure::Final(ImageError::Status { uri: uri.to_owned(), at, status: status.as_u16() })
    }
}
