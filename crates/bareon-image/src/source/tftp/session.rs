//! One transfer by TFTP: from a request to the last block, or to where it broke off.
//!
//! The server answers from a port of its own choice, and that port stands for the transfer (its TID): whoever else
//! sends something is told error 5 and else ignored.
//!
//! Nothing that came before is acknowledged again when it comes again. Only when nothing new has come for a while is
//! the last acknowledgement repeated. So a server that answers each acknowledgement by a block, also the repeated
//! ones, does not send everything twice from then on (the Sorcerer's Apprentice of RFC 1123, 4.2.3.1).

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use super::packet::{
    BLOCK, Counter, OPTION_REFUSED, Packet, Place, Terms, UNKNOWN_TID, acknowledge, error, request,
};
use crate::watch::Watch;

/// How long nothing may come before the last packet is sent again; doubled each time.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long it is waited at a time, to look whether all is to stop.
const TICK: Duration = Duration::from_millis(100);

/// Why a transfer ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The name leads nowhere.
    #[error("looking up the server's address")]
    Name(#[source] io::Error),
    /// The kernel does not send or receive.
    #[error("talking to the server")]
    Socket(#[source] io::Error),
    /// The time limit.
    #[error("nothing came for {0:?}")]
    Stalled(Duration),
    /// The server says no.
    #[error("the server answers error {code} (`{said}`)")]
    Said {
        /// Which.
        code: u16,
        /// In its words.
        said: String,
    },
    /// The server agrees to what it was not asked for.
    #[error("the server answers with options that it was not asked for (`{0}`)")]
    Terms(String),
    /// A block has more bytes than agreed upon.
    #[error("the server sends a block of {0} bytes, which is more than agreed upon")]
    Long(usize),
    /// It does not end where the server said at first.
    #[error("the file has {length} bytes, but the server sent {at}")]
    Other {
        /// In bytes.
        at: u64,
        /// In bytes.
        length: u64,
    },
    /// All is to stop.
    #[error("all is to stop")]
    Stopped,
}

impl Trouble {
    /// Whether the server may refuse options by this, as an answer to a request.
    pub fn is_of_options(&self) -> bool {
        matches!(self, Self::Said { code: 0 | 4 | OPTION_REFUSED, .. } | Self::Terms(_))
    }
}

/// A transfer.
pub struct Session {
    socket: UdpSocket,
    server: SocketAddr,
    /// The server's port for this transfer, once it is known.
    pinned: Option<SocketAddr>,
    terms: Terms,
    counter: Counter,
    /// How many blocks came that are not acknowledged.
    pending: u16,
    /// Whether a gap was complained of, and nothing has filled it.
    gap: bool,
    /// What was sent last, and is sent again when nothing comes.
    sent: Vec<u8>,
    datagram: Vec<u8>,
    /// Where in the datagram the bytes lie that were not taken.
    data: std::ops::Range<usize>,
    ended: bool,
    stall: Duration,
}

impl Session {
    /// Asks `server` for the file at `path` and waits for its first answer.
    ///
    /// # Errors
    /// When it says no, or nothing.
    pub fn begin(
        server: SocketAddr,
        path: &str,
        with_options: bool,
        stall: Duration,
        watch: &dyn Watch,
    ) -> Result<Self, Trouble> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let mut session = Self {
            socket: UdpSocket::bind(any).map_err(Trouble::Socket)?,
            server,
            pinned: None,
            terms: Terms::PLAIN,
            counter: Counter::new(1),
            pending: 0,
            gap: false,
            sent: request(path, with_options),
            // One byte more than agreed upon, so that what is too long is seen.
            datagram: vec![0; usize::from(BLOCK) + 5],
            data: 0..0,
            ended: false,
            stall,
        };
        session.send()?;
        session.advance(watch)?;
        Ok(session)
    }

    /// What holds for it.
    pub fn terms(&self) -> Terms {
        self.terms
    }

    /// The bytes that came and were not taken.
    pub fn data(&self) -> &[u8] {
        &self.datagram[self.data.clone()]
    }

    /// Takes so many of them.
    pub fn take(&mut self, bytes: usize) {
        self.data.start += bytes;
    }

    /// Whether the last block has come.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Waits for the next block, or for the first answer. Nothing may be left of the block before.
    ///
    /// # Errors
    /// When it does not come.
    pub fn advance(&mut self, watch: &dyn Watch) -> Result<(), Trouble> {
        let begun = Instant::now();
        let (mut asked, mut patience) = (begun, PATIENCE);
        loop {
            if watch.stopped() {
                return Err(Trouble::Stopped);
            }
            let now = Instant::now();
            if now.duration_since(begun) >= self.stall {
                return Err(Trouble::Stalled(self.stall));
            }
            if now.duration_since(asked) >= patience {
                self.send()?;
                (asked, patience) = (now, patience * 2);
            }
            let Some(length) = self.receive(TICK.min(self.stall))? else { continue };
            if self.understand(length)? {
                return Ok(());
            }
        }
    }

    /// The length of a datagram of the server, if one comes in time.
    fn receive(&mut self, wait: Duration) -> Result<Option<usize>, Trouble> {
        self.socket.set_read_timeout(Some(wait)).map_err(Trouble::Socket)?;
        let (length, from) = match self.socket.recv_from(&mut self.datagram) {
            Ok(came) => came,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Ok(None);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(None),
            Err(e) => return Err(Trouble::Socket(e)),
        };
        let ours = match self.pinned {
            Some(pinned) => from == pinned,
            None => from.ip() == self.server.ip(),
        };
        if !ours {
            // Whether a stranger hears it is no matter.
            let _ = self.socket.send_to(&error(UNKNOWN_TID, "unknown transfer"), from);
            return Ok(None);
        }
        self.pinned = Some(from);
        Ok(Some(length))
    }

    /// Does what a datagram asks for; true when it is what was waited for.
    fn understand(&mut self, length: usize) -> Result<bool, Trouble> {
        let first = self.sent.get(1) == Some(&1);
        match Packet::parse(&self.datagram[..length]) {
            Some(Packet::Error { code, said }) => {
                self.ended = true;
                Err(Trouble::Said { code, said })
            }
            Some(Packet::Agreed(options)) if first => {
                self.terms = Terms::of(&options).map_err(|option| self.refuse(option))?;
                self.counter = Counter::new(self.terms.window);
                self.acknowledge()?;
                Ok(true)
            }
            Some(Packet::Data { block, bytes }) => {
                let bytes = bytes.len();
                self.block(block, bytes)
            }
            _ => Ok(false),
        }
    }

    fn refuse(&mut self, option: String) -> Trouble {
        self.end(OPTION_REFUSED, "not asked for");
        Trouble::Terms(option)
    }

    fn block(&mut self, number: u16, bytes: usize) -> Result<bool, Trouble> {
        let full = usize::from(self.terms.block);
        if bytes > full {
            self.end(4, "the block is too long");
            return Err(Trouble::Long(bytes));
        }
        match self.counter.take(number) {
            Place::Before => return Ok(false),
            Place::Ahead => {
                if !self.gap {
                    self.gap = true;
                    self.acknowledge()?;
                }
                return Ok(false);
            }
            Place::Next => {}
        }
        (self.gap, self.data, self.ended) = (false, 4..4 + bytes, bytes < full);
        self.pending += 1;
        if self.ended || self.pending >= self.terms.window {
            self.acknowledge()?;
        } else {
            // When nothing more comes, this is what the server has to know.
            self.sent = acknowledge(self.counter.last()).to_vec();
        }
        Ok(true)
    }

    fn acknowledge(&mut self) -> Result<(), Trouble> {
        self.pending = 0;
        self.sent = acknowledge(self.counter.last()).to_vec();
        self.send()
    }

    fn send(&self) -> Result<(), Trouble> {
        let to = self.pinned.unwrap_or(self.server);
        self.socket.send_to(&self.sent, to).map(drop).map_err(Trouble::Socket)
    }

    /// Tells the server, if there is one to be told, that it is over.
    fn end(&mut self, code: u16, said: &str) {
        if let Some(server) = self.pinned.filter(|_| !self.ended) {
            let _ = self.socket.send_to(&error(code, said), server);
        }
        self.ended = true;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end(0, "stopped");
    }
}
