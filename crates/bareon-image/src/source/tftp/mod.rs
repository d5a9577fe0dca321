//! TFTP: what firmware and the plainest of servers speak. A client over UDP sockets.
//!
//! Blocks of 1428 bytes in windows of 32 are asked for; a server that knows no options, or agrees to less, is served
//! as it likes. There is no asking for a part: what broke off is asked for anew, and read up to where it was.
//! Neither is there anything that tells one version of a file from another, but its size where the server gives it,
//! and the sums of UDP are weak. So a strong sum is demanded of the image, see [`super::demands_digest`].

pub mod packet;
mod session;

use std::{
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use percent_encoding::percent_decode_str;
use url::Url;

use self::session::{Session, Trouble};
use super::{Source, retry::Patience};
use crate::{HttpOptions, ImageError, watch::Watch};

/// The port of the standard.
const PORT: u16 = 69;

/// A file on a server: `tftp://host[:port]/path`, perhaps with `;mode=octet` (RFC 3617).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
    path: String,
}

impl Address {
    /// What an address names.
    ///
    /// # Errors
    /// When it names nothing that TFTP could ask for: why not.
    pub fn of(url: &Url) -> Result<Self, String> {
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no host")?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err("TFTP knows neither users nor queries".to_owned());
        }
        let path = url.path().strip_prefix('/').unwrap_or_default();
        let path = match path.rsplit_once(";mode=") {
            Some((path, "octet")) => path,
            Some(_) => return Err("only ;mode=octet leaves the bytes as they are".to_owned()),
            None => path,
        };
        let path = percent_decode_str(path).decode_utf8().map_err(|e| e.to_string())?.into_owned();
        if path.is_empty() || path.contains('\0') || path.len() > 400 {
            return Err("it names no file".to_owned());
        }
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: url.port().unwrap_or(PORT), path })
    }
}

/// See the module.
pub struct Tftp {
    uri: String,
    address: Address,
    stall: Duration,
    watch: Arc<dyn Watch>,
    patience: Patience,
    session: Option<Session>,
    /// Whether the server refused options.
    plain: bool,
    /// How many sessions there were: each goes to the next address of the server.
    sessions: usize,
    length: Option<u64>,
    /// How many bytes this session gave.
    come: u64,
    /// How many bytes were handed out, those before the beginning included.
    at: u64,
    resumes: u32,
}

impl Tftp {
    /// Asks for the file at `address` until there is an answer; what comes before byte `from` is left out.
    ///
    /// # Errors
    /// When the answer is no, or none comes.
    pub fn open(
        uri: String,
        address: Address,
        from: u64,
        options: &HttpOptions,
        watch: Arc<dyn Watch>,
    ) -> Result<Self, ImageError> {
        let mut source = Self {
            patience: Patience::new(&uri, options, Arc::clone(&watch)),
            uri,
            address,
            stall: options.stall,
            watch,
            session: None,
            plain: false,
            sessions: 0,
            length: None,
            come: 0,
            at: from,
            resumes: 0,
        };
        while let Err(trouble) = source.begin() {
            source.pause(trouble)?;
        }
        source.same_length()?;
        Ok(source)
    }

    /// Begins a session.
    fn begin(&mut self) -> Result<(), Trouble> {
        self.session = None;
        let host = (self.address.host.as_str(), self.address.port);
        let servers: Vec<SocketAddr> = host.to_socket_addrs().map_err(Trouble::Name)?.collect();
        let nobody = || Trouble::Name(std::io::ErrorKind::NotFound.into());
        let server = *servers.get(self.sessions % servers.len().max(1)).ok_or_else(nobody)?;
        self.sessions += 1;
        let begin =
            |plain: bool| Session::begin(server, &self.address.path, !plain, self.stall, &*self.watch);
        let session = match begin(self.plain) {
            Err(trouble) if !self.plain && trouble.is_of_options() => {
                tracing::debug!("{}: {trouble}; asking without options", self.uri);
                let session = begin(true)?;
                self.plain = true;
                session
            }
            done => done?,
        };
        self.come = 0;
        self.session = Some(session);
        Ok(())
    }

    /// Whether the size is what it was, and what is asked for within.
    fn same_length(&mut self) -> Result<(), ImageError> {
        let size = self.session.as_ref().and_then(|session| session.terms().size);
        let why = if self.length.zip(size).is_some_and(|(before, now)| before != now) {
            "the file on the server has another length now"
        } else if size.is_some_and(|size| size < self.at) {
            "the file on the server is shorter"
        } else {
            self.length = self.length.or(size);
            return Ok(());
        };
        Err(ImageError::NoResume { uri: self.uri.clone(), at: self.at, why: why.to_owned() })
    }

    /// Waits before it is tried again, where that may help.
    fn pause(&mut self, trouble: Trouble) -> Result<(), ImageError> {
        self.session = None;
        match trouble {
            Trouble::Stopped => Err(ImageError::Cancelled),
            // Those that are left may pass: not defined, no room, unknown transfer.
            Trouble::Said { code, said } if !matches!(code, 0 | 3 | 5) => {
                Err(ImageError::Tftp { uri: self.uri.clone(), at: self.at, code, said })
            }
            trouble => self.patience.pause(self.at, trouble),
        }
    }

    fn recover(&mut self, mut trouble: Trouble) -> Result<(), ImageError> {
        loop {
            self.pause(trouble)?;
            match self.begin() {
                Ok(()) => {
                    self.resumes += 1;
                    return self.same_length();
                }
                Err(next) => trouble = next,
            }
        }
    }

    /// Some bytes that were not had before; 0 at the end.
    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, Trouble> {
        let Some(session) = &mut self.session else { return Ok(0) };
        loop {
            let data = session.data();
            if data.is_empty() {
                if !session.ended() {
                    session.advance(&*self.watch)?;
                    continue;
                }
                // Without a size the last block is where it ends, but not before what came already.
                let length = self.length.unwrap_or(self.at);
                return if self.come == length {
                    Ok(0)
                } else {
                    Err(Trouble::Other { at: self.come, length })
                };
            }
            if let Some(length) = self.length.filter(|length| self.come + data.len() as u64 > *length) {
                return Err(Trouble::Other { at: self.come + data.len() as u64, length });
            }
            // What comes before the place where it goes on is left out.
            let had = usize::try_from(self.at - self.come).unwrap_or(usize::MAX);
            let taken = if had > 0 {
                had.min(data.len())
            } else {
                let taken = data.len().min(buffer.len());
                buffer[..taken].copy_from_slice(&data[..taken]);
                self.at += taken as u64;
                taken
            };
            session.take(taken);
            self.come += taken as u64;
            if had == 0 {
                return Ok(taken);
            }
        }
    }
}

impl Source for Tftp {
    fn length(&self) -> Option<u64> {
        self.length
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError> {
        loop {
            if self.watch.stopped() {
                return Err(ImageError::Cancelled);
            }
            match self.some(buffer) {
                Ok(read) => {
                    self.patience.gained(read as u64);
                    return Ok(read);
                }
                Err(trouble) => self.recover(trouble)?,
            }
        }
    }

    fn resumes(&self) -> u32 {
        self.resumes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(uri: &str) -> Result<Address, String> {
        Address::of(&Url::parse(uri).unwrap())
    }

    #[test]
    fn addresses_name_a_host_a_port_and_a_file() {
        for (uri, host, port, path) in [
            ("tftp://server/image.gz", "server", 69, "image.gz"),
            ("tftp://10.0.0.1:6969//srv/tftp/a%20b;mode=octet", "10.0.0.1", 6969, "/srv/tftp/a b"),
            ("tftp://[fd00::1]/a/b", "fd00::1", 69, "a/b"),
        ] {
            let expected = Address { host: host.into(), port, path: path.into() };
            assert_eq!(address(uri).unwrap(), expected, "{uri}");
        }
        for uri in [
            "tftp:image",
            "tftp:///image",
            "tftp://server",
            "tftp://server/",
            "tftp://me:secret@server/image",
            "tftp://server/image?x",
            "tftp://server/image;mode=netascii",
            "tftp://server/a%00b",
            "tftp://server/%ff",
        ] {
            assert!(address(uri).is_err(), "{uri}");
        }
    }
}
