//! What is asked for, and what was done.

use std::{path::PathBuf, time::Duration};

use crate::{Container, ImageError, Spare, Sums, pool::ALIGN, source};

/// An image, and what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Where it is fetched from. The first is asked first; each next takes over where the one before gave up.
    pub uris: Vec<String>,
    /// How it is packed; nothing where its first bytes are to tell it.
    pub container: Option<Container>,
    /// The size of the unpacked data in bytes, where known.
    pub size: Option<u64>,
    /// The sums of the unpacked data, as far as known.
    pub sums: Sums,
    /// The sums of the file as it is fetched, as far as known.
    pub container_sums: Sums,
    /// The SHA-256 sum in hex of the chunk [`index`](crate::index) beside the image, where it has one that is vouched for.
    pub index_sha256: Option<String>,
    /// Whether the data are to be a disk of QEMU (qcow2), which is refused else: somebody forgot to unpack it.
    pub qcow2: bool,
}

impl Request {
    /// Looks whether it can be met, and gives its sums in the form in which they are compared.
    ///
    /// # Errors
    /// When a sum is none, or there is no strong one for a transport that demands it.
    pub(crate) fn check(&self) -> Result<(Sums, Sums), ImageError> {
        let strong = self.sums.is_strong() || self.container_sums.is_strong();
        if let Some(uri) = self.uris.iter().find(|uri| !strong && source::demands_digest(uri)) {
            return Err(ImageError::NoDigest { uri: source::shown(uri) });
        }
        Ok((self.sums.checked()?, self.container_sums.checked()?))
    }

    /// Compares the size of the data at `uri`, in bytes, with the one that is expected.
    ///
    /// # Errors
    /// When they differ.
    pub(crate) fn check_size(&self, uri: &str, found: u64) -> Result<(), ImageError> {
        match self.size {
            Some(expected) if found != expected => {
                Err(ImageError::Size { uri: uri.to_owned(), expected, found, exact: true })
            }
            _ => Ok(()),
        }
    }
}

/// How it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// For `http` and `https`.
    pub http: HttpOptions,
    /// For torrents.
    pub torrent: TorrentOptions,
    /// The size of a buffer in bytes; rounded up to 4 KiB, and kept between 64 KiB and 16 MiB.
    pub chunk: usize,
    /// How it is made sure that the image stands on the target.
    pub verify: Verify,
    /// What of the target is taken for granted, where the image has an index.
    pub reimage: Reimage,
    /// How much memory one image may take, in bytes, whatever its size.
    pub memory_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            http: HttpOptions::default(),
            torrent: TorrentOptions::default(),
            chunk: 1 << 20,
            verify: Verify::default(),
            reimage: Reimage::default(),
            memory_limit: 256 << 20,
        }
    }
}

impl Options {
    /// The size of a buffer that is used, in bytes.
    pub(crate) fn buffer(&self) -> usize {
        self.chunk.clamp(1 << 16, 1 << 24).next_multiple_of(ALIGN)
    }
}

/// How images are shared with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TorrentOptions {
    /// How long nobody may give anything before it is given up.
    pub timeout: Duration,
    /// How long others are given more of it after it was written. Nothing is given away from a target that is in use
    /// already, so the end is waited for.
    pub seed: Duration,
    /// How much of its length, in per cent, others are given at most after it was written; nothing for no limit.
    pub seed_percent: Option<u64>,
    /// How many bytes others are given in a second at most, and nothing for no limit. Less than [`BLOCK`] is as much
    /// as that.
    ///
    /// [`BLOCK`]: TorrentOptions::BLOCK
    pub upload_limit: Option<u64>,
    /// Whether peers are looked for in the DHT, too: it asks machines anywhere in the world.
    pub dht: bool,
    /// Who is asked first for the way into the DHT, each as `host:port`; nobody for those that the world uses.
    pub dht_routers: Vec<String>,
    /// Whether peers are looked for by multicast in this network.
    pub local_discovery: bool,
    /// A folder to keep packed images in for which `memory_limit` is too small.
    pub spool: Option<PathBuf>,
    /// What is free on the target, for the same; [`write_to`](crate::write_to) finds it.
    pub spare: Option<Spare>,
}

impl TorrentOptions {
    /// How much others ask for at a time, in bytes.
    pub const BLOCK: u64 = 16 << 10;
}

impl Default for TorrentOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            seed: Duration::ZERO,
            seed_percent: None,
            upload_limit: None,
            dht: false,
            dht_routers: Vec::new(),
            local_discovery: true,
            spool: None,
            spare: None,
        }
    }
}

/// How it is made sure that an image stands on its target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Verify {
    /// Its sums are those of the bytes that were handed to the device, which flushed them without an error.
    #[default]
    Stream,
    /// Besides, all of it is read back from the medium and compared.
    Readback,
}

/// Whether what stands on a target is looked at before it is written over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reimage {
    /// No: all of the image is fetched and written, but for what a run before noted.
    #[default]
    Full,
    /// Yes: only chunks that differ are fetched and written. For targets that hold much of the image.
    Differential,
}

/// How a server is talked to. The first three hold for every transport of the network, the others for HTTP's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// How often in a row a failed request is tried again; 0 = for ever. Each MiB that came meanwhile starts the
    /// count anew; less is no progress, else a server that accepts and drops would be asked for ever.
    pub max_retries: u32,
    /// How long nothing may come before the connection is given up; no limit on the whole transfer.
    pub stall: Duration,
    /// The wait before the first retry. It doubles with each, up to eight times this; of each wait up to a half is
    /// left out by chance.
    pub retry_delay: Duration,
    /// Certificates (PEM) of authorities that are trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// The certificate (PEM, the chain after it) that shows a server who asks.
    pub client_cert: Option<PathBuf>,
    /// Its key (PEM), unless that stands in the same file.
    pub client_key: Option<PathBuf>,
    /// How the server is reached.
    pub proxy: ProxyUse,
}

/// How a server is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProxyUse {
    /// As the environment says (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).
    #[default]
    Environment,
    /// Without a proxy, whatever the environment says.
    Direct,
    /// Through the proxy at this URI.
    Through(String),
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            max_retries: 30,
            stall: Duration::from_secs(10),
            retry_delay: Duration::from_secs(2),
            ca_file: None,
            client_cert: None,
            client_key: None,
            proxy: ProxyUse::Environment,
        }
    }
}

/// What a target holds after an image was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    /// What it held before: nothing was written.
    Untouched,
    /// Its first MiB could not be zeroed: what it held before may stand there, or a part of the image.
    Doubtful,
    /// Nothing that mounts or boots: its first MiB is zero, and part of the image may stand behind.
    Cleared,
    /// The whole image.
    Written,
}

/// An image that stands on its target, whole and flushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// How it was packed.
    pub container: Container,
    /// Where it was fetched from, without what nobody may read in a log.
    pub uri: String,
    /// The size of the unpacked data, in bytes.
    pub raw_bytes: u64,
    /// The size of the file as it was fetched, in bytes.
    pub container_bytes: u64,
    /// How many bytes of the unpacked data stood on the target already, and were left as they are.
    pub reused_bytes: u64,
    /// The sums of the unpacked data: SHA-256, and those that were given to compare with.
    pub sums: Sums,
    /// The sums of the file as it was fetched that were given to compare with.
    pub container_sums: Sums,
    /// How long it took, the last flush included.
    pub elapsed: Duration,
    /// How often the transfer was taken up again where it had broken off.
    pub resumes: u32,
}
