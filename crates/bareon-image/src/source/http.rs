//! HTTP and HTTPS by reqwest. What breaks off is taken up again in here, so that no other stage notices.
//!
//! The body is taken as it is: nothing is decoded on the way, else ranges and digests would be of other bytes. It
//! is HTTP/1.1, which suits one long stream. There is no limit on the whole, only on how long nothing comes.
//!
//! A transfer goes on only where the server shows that it still has the same file (RFC 9110, 14.2 and 13.1.5): the
//! same strong `ETag`, or without one the same `Last-Modified`, and the same length. `If-Range` asks for that. A
//! server that answers with the whole file instead (200) is read up to where the transfer broke off.

use std::{
    io::{self, Read},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use reqwest::{
    StatusCode,
    blocking::{Client, Response},
    header::{ACCEPT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, RANGE},
};
use url::Url;

use super::{
    Source, Watch, client,
    part::{ContentRange, Version, header},
    shown,
};
use crate::{HttpOptions, ImageError, MIB, container};

/// How long a pause sleeps before it looks whether all is to stop.
const NAP: Duration = Duration::from_millis(50);

/// How many times its first length a pause between two tries may get.
const LONGEST_PAUSE: u32 = 8;

/// How much of a page is read to show its first line, in bytes.
const PAGE: u64 = 4096;

/// A failure that may pass.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("no answer from the server")]
    NoAnswer(#[source] reqwest::Error),
    #[error("the server answers {0}")]
    Status(StatusCode),
    #[error("nothing came for {0:?}")]
    Stalled(Duration),
    #[error("the connection broke")]
    Broke(#[source] io::Error),
    #[error("the connection was closed after {at} of {length} bytes")]
    Short { at: u64, length: u64 },
}

/// A failure that may pass, or one that will not.
enum Failure {
    Passing(Trouble),
    Final(ImageError),
}

/// See the module.
pub struct Http {
    url: Url,
    uri: String,
    options: HttpOptions,
    client: Client,
    watch: Arc<dyn Watch>,
    body: Option<Response>,
    length: Option<u64>,
    version: Version,
    /// How many bytes were handed out.
    at: u64,
    /// How many of them since the count of tries began.
    gained: u64,
    attempts: u32,
    resumes: u32,
}

impl Http {
    /// Asks for `url` until there is an answer.
    ///
    /// # Errors
    /// When the answer is no, or none comes.
    pub fn open(url: Url, options: &HttpOptions, watch: Arc<dyn Watch>) -> Result<Self, ImageError> {
        let uri = shown(url.as_str());
        let client = client::build(&uri, options)?;
        let mut source = Self {
            url,
            uri,
            options: options.clone(),
            client,
            watch,
            body: None,
            length: None,
            version: Version::default(),
            at: 0,
            gained: 0,
            attempts: 0,
            resumes: 0,
        };
        loop {
            match source.begin() {
                Ok(()) => return Ok(source),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(trouble)) => source.pause(trouble)?,
            }
        }
    }

    fn begin(&mut self) -> Result<(), Failure> {
        let response = self.ask()?;
        if response.status() != StatusCode::OK {
            return Err(self.refused(response.status()));
        }
        let kind = header(&response, &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        if kind.starts_with("text/html") || kind.starts_with("application/xhtml") {
            let mut page = Vec::new();
            // Whatever can be read of it is shown.
            let _ = response.take(PAGE).read_to_end(&mut page);
            return Err(Failure::Final(container::page(&self.uri, &page)));
        }
        self.length = response.content_length();
        self.version = Version::of(&response);
        self.body = Some(response);
        Ok(())
    }

    /// Sends a request for what is still missing.
    fn ask(&self) -> Result<Response, Failure> {
        let mut request = self.client.get(self.url.clone()).header(ACCEPT_ENCODING, "identity");
        if self.at > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.at));
            if let Some(etag) = &self.version.etag {
                request = request.header(IF_RANGE, etag);
            }
        }
        request.send().map_err(|error| {
            let error = error.without_url();
            let uri = self.uri.clone();
            if client::distrusts(&error) {
                Failure::Final(ImageError::Certificate { uri, source: error.into() })
            } else if error.is_redirect() {
                Failure::Final(ImageError::Redirect { uri, source: error.into() })
            } else if error.is_builder() {
                Failure::Final(ImageError::Client { uri, source: error.into() })
            } else {
                Failure::Passing(Trouble::NoAnswer(error))
            }
        })
    }

    /// What a status that is not the one hoped for means.
    fn refused(&self, status: StatusCode) -> Failure {
        let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
        if status.is_server_error() || passing.contains(&status) {
            Failure::Passing(Trouble::Status(status))
        } else {
            Failure::Final(ImageError::Status { uri: self.uri.clone(), status: status.as_u16() })
        }
    }

    /// Takes the transfer up again where it broke off.
    fn resume(&mut self) -> Result<(), Failure> {
        let response = self.ask()?;
        let total = match response.status() {
            StatusCode::PARTIAL_CONTENT => self.total_of_part(&response)?,
            StatusCode::OK => response.content_length(),
            StatusCode::RANGE_NOT_SATISFIABLE => return self.past_the_end(&response),
            status => return Err(self.refused(status)),
        };
        if self.length.is_some() && total != self.length {
            return Err(self.lost("the file on the server has another length now"));
        }
        let version = Version::of(&response);
        if version != self.version && !version.is(&self.version) {
            return Err(self.lost("the file on the server was changed meanwhile"));
        }
        if self.at > 0 && !version.is(&self.version) {
            return Err(self.lost(
                "the server gives neither ETag nor Last-Modified to tell whether it is the same file",
            ));
        }
        self.length = total;
        if response.status() == StatusCode::OK {
            self.skip(response)
        } else {
            self.body = Some(response);
            Ok(())
        }
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
        if self.length.is_none() && total == Some(self.at) && Version::of(response).is(&self.version) {
            self.length = total;
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
            Trouble::Stalled(self.options.stall)
        } else {
            Trouble::Broke(error)
        }
    }

    /// Counts a failure, tells of it, and waits; or gives up.
    fn pause(&mut self, trouble: Trouble) -> Result<(), ImageError> {
        self.body = None;
        if self.gained >= MIB {
            (self.gained, self.attempts) = (0, 0);
        }
        self.attempts = self.attempts.saturating_add(1);
        let limit = self.options.max_retries;
        if limit > 0 && self.attempts > limit {
            return Err(ImageError::GaveUp {
                uri: self.uri.clone(),
                at: self.at,
                attempts: self.attempts,
                source: Box::new(trouble),
            });
        }
        self.watch.retried(&client::chain(&trouble), self.attempts);
        let factor = 2_u32.saturating_pow(self.attempts - 1).min(LONGEST_PAUSE);
        let until = Instant::now() + self.options.retry_delay.saturating_mul(factor);
        loop {
            if self.watch.stopped() {
                return Err(ImageError::Cancelled);
            }
            match until.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => thread::sleep(left.min(NAP)),
                _ => return Ok(()),
            }
        }
    }

    /// Tries to take the transfer up again until it works.
    fn recover(&mut self, mut trouble: Trouble) -> Result<(), ImageError> {
        loop {
            self.pause(trouble)?;
            match self.resume() {
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
                    self.gained += n as u64;
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
}
