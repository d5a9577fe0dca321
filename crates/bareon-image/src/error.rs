//! What can go wrong, and what to do about it.

use std::{error::Error, fmt, io, path::PathBuf};

use crate::{Container, MIB, request::TargetState};

/// An image that was not written, and what that left on its target.
#[derive(Debug)]
pub struct WriteError {
    /// Why.
    pub error: ImageError,
    /// What the target holds now.
    pub target: TargetState,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for WriteError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// An image that was not written, or a file that was not fetched.
///
/// Addresses are shown without passwords and queries, which may hold secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The address is none.
    #[error(
        "`{uri}` is no address of an image: {why}; give http://, https://, tftp://, oci://, file:/// or an absolute path"
    )]
    BadUri {
        /// As given.
        uri: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody here knows the transport.
    #[error("`{uri}`: there is no transport `{scheme}`; there are file, http, https, tftp and oci")]
    Scheme {
        /// As given.
        uri: String,
        /// Its scheme.
        scheme: String,
    },
    /// Nobody here knows the packing.
    #[error("there is no container `{name}`; there are {}", containers())]
    UnknownContainer {
        /// As given.
        name: String,
    },
    /// A digest to compare with that is none.
    #[error(
        "`{value}` is no {kind} sum: {digits} hexadecimal digits are expected; correct the image's metadata"
    )]
    BadDigest {
        /// Which.
        kind: &'static str,
        /// As given.
        value: String,
        /// How many digits it should have.
        digits: usize,
    },
    /// A local image cannot be read.
    #[error("reading the image {}; is the path right, and the file system mounted?", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The certificates that were asked for cannot be used.
    #[error("reading certificates from {}; `ca_file` must be a readable PEM file", .path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// HTTP cannot be spoken at all.
    #[error("preparing to fetch `{uri}`; check the proxy variables and the certificates of this system")]
    Client {
        /// The address.
        uri: String,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// This program was built without what torrents need.
    #[error("`{uri}` is a torrent, and this program knows none: it was built without its feature `torrent`")]
    NoTorrents {
        /// The address.
        uri: String,
    },
    /// A torrent that nobody gives, or that is none.
    #[error("fetching the torrent `{uri}`: {why}")]
    Torrent {
        /// The address.
        uri: String,
        /// What went wrong.
        why: String,
        /// What lies below.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// A torrent that there is no room to keep.
    #[error(
        "the torrent `{uri}` is of {length} bytes, which must be kept until they are unpacked, and there is memory for \
         {memory} of them; raise memory_limit, or let torrent_spool name a folder on a disk"
    )]
    TorrentRoom {
        /// The address.
        uri: String,
        /// What it needs, in bytes.
        length: u64,
        /// What there is of memory, in bytes.
        memory: u64,
    },
    /// A folder that a torrent cannot be kept in.
    #[error("making a file of {length} bytes in {} for a torrent; let torrent_spool name a folder with room", .path.display())]
    TorrentSpool {
        /// The folder.
        path: PathBuf,
        /// In bytes.
        length: u64,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// There are no certificates, and none can be made.
    #[error(
        "this system has no certificates of authorities, without which torrents cannot be used, and they cannot be \
         written to {}; install ca-certificates", .path.display()
    )]
    TorrentCertificates {
        /// Where they are looked for.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The server is not who it says it is, or nobody vouches for it.
    #[error(
        "the certificate of the server of `{uri}` is not trusted; give its authority by `ca_file`, and check this \
         machine's clock"
    )]
    Certificate {
        /// The address.
        uri: String,
        /// What TLS said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The certificate or the key that show who we are cannot be used.
    #[error(
        "reading the client certificate {}; `client_cert` must be a readable PEM file, and have its key in it or in \
         `client_key`",
        .path.display()
    )]
    ClientCert {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server wants to know who we are, and is not satisfied.
    #[error(
        "the server of `{uri}` does not accept this machine's client certificate, or wants one; give one that it \
         trusts by `client_cert` and `client_key`; or it is too old for TLS 1.2"
    )]
    Distrusted {
        /// The address.
        uri: String,
        /// What TLS said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The TFTP server says no.
    #[error("the TFTP server answers error {code} (`{said}`) for `{uri}`{}; {}", from_byte(*.at), tftp(*.code))]
    Tftp {
        /// The address.
        uri: String,
        /// How many bytes had come.
        at: u64,
        /// The number of its error (RFC 1350).
        code: u16,
        /// Its own words.
        said: String,
    },
    /// What a registry has under this name is no image of ours.
    #[error("`{uri}` cannot be taken from the registry: {why}")]
    Registry {
        /// The address.
        uri: String,
        /// Why, and what to do.
        why: String,
    },
    /// Nothing would tell whether what came is what was sent.
    #[error(
        "`{uri}` is fetched by TFTP, which does not notice what changes on the way: give the image's sha256, sha512 \
         or blake3 sum"
    )]
    NoDigest {
        /// The address.
        uri: String,
    },
    /// The server says no.
    #[error("the server answers {status} for `{uri}`{}; {}", from_byte(*.at), advice(*.status))]
    Status {
        /// The address.
        uri: String,
        /// How many bytes had come.
        at: u64,
        /// Its answer.
        status: u16,
    },
    /// The request goes in circles or to where it cannot be followed.
    #[error("`{uri}` is redirected without end; ask the one who runs the server")]
    Redirect {
        /// The address.
        uri: String,
        /// What the client said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It failed again and again.
    #[error("fetching `{uri}` failed at byte {at}, {} in a row; is the server up, and the network?", times(*.attempts))]
    GaveUp {
        /// The address.
        uri: String,
        /// How many bytes had come.
        at: u64,
        /// How often it was tried since it last got on.
        attempts: u32,
        /// The last failure.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The transfer broke off and cannot be taken up again.
    #[error("fetching `{uri}` broke off at byte {at} and cannot go on: {why}; start again")]
    NoResume {
        /// The address.
        uri: String,
        /// How many bytes had come.
        at: u64,
        /// Why not.
        why: String,
    },
    /// A page for people where an image should be.
    #[error(
        "`{uri}` gave a page, not an image: `{first_line}`; is the address right, or did a proxy or a login answer?"
    )]
    Page {
        /// The address.
        uri: String,
        /// How the page begins.
        first_line: String,
    },
    /// A file that is to be small is not.
    #[error("`{uri}` is larger than {limit} bytes, which is no size for what it should be")]
    Large {
        /// The address.
        uri: String,
        /// In bytes.
        limit: u64,
    },
    /// The data is not packed as was said.
    #[error("`{uri}` is not {container}: it looks like {looks}; correct the image's container, or the image")]
    NotPacked {
        /// The address.
        uri: String,
        /// What it should be.
        container: Container,
        /// What it is instead.
        looks: String,
    },
    /// Packed data that would be written as they are.
    #[error("`{uri}` is {packing}, not raw: {}", unpacking(.packing))]
    Packed {
        /// The address.
        uri: String,
        /// What it is.
        packing: String,
    },
    /// Packed data that breaks off.
    #[error(
        "`{uri}` ends in the middle of its {container} data, after {at} bytes; make or upload the image again"
    )]
    Truncated {
        /// The address.
        uri: String,
        /// What it is.
        container: Container,
        /// The bytes that there were, packed.
        at: u64,
    },
    /// Packed data that is damaged, or something else behind it.
    #[error(
        "`{uri}` is damaged: its {container} data cannot be unpacked past byte {at}; make or upload the image again"
    )]
    Corrupt {
        /// The address.
        uri: String,
        /// What it is.
        container: Container,
        /// How far it was read, packed.
        at: u64,
        /// What the decoder said.
        #[source]
        source: io::Error,
    },
    /// Packed data that cannot be unpacked in so little memory.
    #[error(
        "unpacking `{uri}` ({container}) takes {} MiB of memory, and `memory_limit` is {} MiB: raise it to that, or \
         pack the image anew, with a smaller window or dictionary",
        .needs.div_ceil(MIB), .limit / MIB
    )]
    Memory {
        /// The address.
        uri: String,
        /// What it is.
        container: Container,
        /// All that it takes, buffers included, in bytes.
        needs: u64,
        /// What it may take, in bytes.
        limit: u64,
    },
    /// A chunk that is wrong wherever it comes from.
    #[error(
        "chunk {number} of `{uri}`, at byte {at}, is not what its index says, also when fetched again ({}); upload image \
         and index together",
        times(*.tries)
    )]
    Chunk {
        /// The address.
        uri: String,
        /// Which, from 0.
        number: usize,
        /// Where it lies in the container.
        at: u64,
        /// How often it came.
        tries: u32,
    },
    /// There are no data.
    #[error("`{uri}` is empty; make or upload the image again")]
    Empty {
        /// The address.
        uri: String,
    },
    /// The target cannot be opened.
    #[error("opening {} to write an image; it must exist already", .path.display())]
    Open {
        /// The target.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Somebody holds the target.
    #[error("{} is in use (mounted, swap, or held by LVM, RAID or another program); free it first", .path.display())]
    Busy {
        /// The target.
        path: PathBuf,
    },
    /// The target is something else.
    #[error("{} is neither a block device nor a regular file; nothing was written", .path.display())]
    Kind {
        /// The target.
        path: PathBuf,
    },
    /// The data do not fit.
    #[error("the image has {} bytes, but {} has only {room}; make the partition larger", at_least(*.needs, *.exact), .path.display())]
    NoRoom {
        /// The target.
        path: PathBuf,
        /// The bytes it has.
        room: u64,
        /// The bytes that the image has.
        needs: u64,
        /// Whether these are all, or those seen so far.
        exact: bool,
    },
    /// A write failed.
    #[error("writing {} at byte {at}; {}", .path.display(), remedy(.source))]
    Write {
        /// The target.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A flush failed: what was written may be lost.
    #[error("flushing {}: what was written may not be on the disk; {}", .path.display(), remedy(.source))]
    Flush {
        /// The target.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// What was written cannot be read again.
    #[error("reading back {} at byte {at}; look for disk errors in the kernel's log (dmesg)", .path.display())]
    ReadBack {
        /// The target.
        path: PathBuf,
        /// Where.
        at: u64,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The medium has other bytes than were written.
    #[error("{} has other bytes than were written to it, though it reported no error: do not use this disk", .path.display())]
    Differs {
        /// The target.
        path: PathBuf,
    },
    /// Not as many bytes as were told.
    #[error("`{uri}` has {} bytes, not {expected} as its metadata say; {REMEDY}", at_least(*.found, *.exact))]
    Size {
        /// The address.
        uri: String,
        /// In bytes.
        expected: u64,
        /// In bytes.
        found: u64,
        /// Whether these are all, or those seen so far.
        exact: bool,
    },
    /// Other bytes than were told.
    #[error("`{uri}` has the {kind} sum {found}, not {expected} as its metadata say; {REMEDY}")]
    Digest {
        /// The address.
        uri: String,
        /// Which, and of what.
        kind: String,
        /// In hex.
        expected: String,
        /// In hex.
        found: String,
    },
    /// The image is of something else than its target takes.
    #[error("the image is none for this target: {why}")]
    Unfit {
        /// What is wrong, and what to do.
        why: String,
    },
    /// The caller said stop.
    #[error("the image was not written to its end, because the run was told to stop")]
    Cancelled,
    /// A thread could not be started or fell over.
    #[error("a part of the image writer ended early; this is a fault of the program")]
    Internal {
        /// Why, if known.
        #[source]
        source: Option<io::Error>,
    },
}

impl ImageError {
    /// Whether another copy of the image may do: what failed is where it came from, not its target.
    pub const fn is_of_source(&self) -> bool {
        match self {
            Self::BadUri { .. }
            | Self::Scheme { .. }
            | Self::Read { .. }
            | Self::Client { .. }
            | Self::Distrusted { .. }
            | Self::Tftp { .. }
            | Self::Registry { .. }
            | Self::NoTorrents { .. }
            | Self::Torrent { .. }
            | Self::TorrentRoom { .. }
            | Self::TorrentSpool { .. }
            | Self::TorrentCertificates { .. }
            | Self::Certificate { .. }
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::GaveUp { .. }
            | Self::NoResume { .. }
            | Self::Page { .. }
            | Self::Large { .. }
            | Self::NotPacked { .. }
            | Self::Packed { .. }
            | Self::Truncated { .. }
            | Self::Corrupt { .. }
            | Self::Chunk { .. }
            | Self::Empty { .. }
            | Self::Size { .. }
            | Self::Digest { .. } => true,
            Self::UnknownContainer { .. }
            | Self::Memory { .. }
            | Self::BadDigest { .. }
            | Self::CaFile { .. }
            | Self::ClientCert { .. }
            | Self::NoDigest { .. }
            | Self::Open { .. }
            | Self::Busy { .. }
            | Self::Kind { .. }
            | Self::NoRoom { .. }
            | Self::Write { .. }
            | Self::Flush { .. }
            | Self::Unfit { .. }
            | Self::ReadBack { .. }
            | Self::Differs { .. }
            | Self::Cancelled
            | Self::Internal { .. } => false,
        }
    }
}

impl ImageError {
    /// Whether it is the copy of the image that is wrong: another one may do, from its first byte on.
    pub(crate) const fn is_of_copy(&self) -> bool {
        matches!(
            self,
            Self::NoResume { .. }
                | Self::Page { .. }
                | Self::NotPacked { .. }
                | Self::Packed { .. }
                | Self::Truncated { .. }
                | Self::Corrupt { .. }
                | Self::Empty { .. }
                | Self::Size { .. }
                | Self::Digest { .. }
        )
    }
}

const REMEDY: &str = "upload image and metadata together";

/// Where in the file something happened, unless before its first byte.
fn from_byte(at: u64) -> String {
    if at == 0 { String::new() } else { format!(" from byte {at} on") }
}

fn tftp(code: u16) -> &'static str {
    match code {
        1 => "is the path right, below the folder that the server serves?",
        2 => "may everybody read the file, as the server demands?",
        _ => "see the server's log",
    }
}

fn advice(status: u16) -> &'static str {
    match status {
        400 => "its log says why; servers that want a client certificate (`client_cert`) answer so, too",
        401 | 403 | 407 => "it wants credentials, or does not let this machine in",
        404 | 410 => "is the address right, and the image still there?",
        _ => "ask the one who runs it",
    }
}

fn unpacking(packing: &str) -> String {
    match packing.parse::<Container>() {
        Ok(container) => format!("set the image's container to {container}"),
        Err(_) => "upload the image unpacked, or packed by zstd or gzip".to_owned(),
    }
}

fn containers() -> String {
    format!("{}, and {}", Container::ALL.map(Container::name).join(", "), Container::AUTO)
}

/// What to do about a write that failed. A device has the room that its size says, unless it is thin.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "what it lies on is full (a thin pool, a file system): make room there"
        }
        _ => "look for disk errors in the kernel's log (dmesg)",
    }
}

fn times(attempts: u32) -> String {
    if attempts == 1 { "once".to_owned() } else { format!("{attempts} times") }
}

fn at_least(bytes: u64, exact: bool) -> String {
    if exact { bytes.to_string() } else { format!("at least {bytes}") }
}
