//! How an image is packed. Each packing is a reader over a reader, in a file of its own.

mod ahead;
mod bzip2;
mod gzip;
mod lz4;
mod members;
mod memory;
pub mod pieces;
mod xz;
mod zstd;

use std::{
    fmt,
    io::{self, BufRead, Read},
    str::FromStr,
};

pub use ahead::Ahead;
pub use memory::{Limits, MemoryNeeded};

use crate::ImageError;

/// A packing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// None.
    Raw,
    /// gzip, of one member or many.
    Gzip,
    /// Zstandard, of one frame or many.
    Zstd,
    /// xz, of one stream or many.
    Xz,
    /// bzip2, of one stream or many.
    Bzip2,
    /// lz4, of one frame or many.
    Lz4,
}

impl Container {
    /// In place of a name: the first bytes of the file tell it.
    pub const AUTO: &str = "auto";

    /// All there are.
    pub const ALL: [Self; 6] = [Self::Gzip, Self::Zstd, Self::Xz, Self::Bzip2, Self::Lz4, Self::Raw];

    /// Its name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
        }
    }

    /// What is said of an image: a container, or [`AUTO`](Self::AUTO), which is none.
    ///
    /// # Errors
    /// When there is no container of this name.
    pub fn announced(name: &str) -> Result<Option<Self>, ImageError> {
        if name == Self::AUTO { Ok(None) } else { name.parse().map(Some) }
    }

    /// The one by which files with such a name are packed as a rule, such as `gzip` for `root.img.gz`; `name` may be
    /// an address with a query.
    pub fn by_ending(name: &str) -> Option<Self> {
        let name = name.split(['?', '#']).next().unwrap_or_default();
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "gz" | "gzip" | "tgz" => Some(Self::Gzip),
            "zst" | "zstd" | "tzst" => Some(Self::Zstd),
            "xz" | "txz" => Some(Self::Xz),
            "bz2" | "bzip2" | "tbz2" => Some(Self::Bzip2),
            "lz4" => Some(Self::Lz4),
            _ => None,
        }
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Container {
    type Err = ImageError;

    fn from_str(name: &str) -> Result<Self, ImageError> {
        let known = Self::ALL.into_iter().find(|container| container.name() == name);
        known.ok_or_else(|| ImageError::UnknownContainer { name: name.to_owned() })
    }
}

/// Unpacks what `packed` gives, within `limits`. For gzip and zstd that may be what is left behind some pieces.
///
/// # Errors
/// When there is no memory. The reader's own errors are of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof)
/// where the data break off, and have [`MemoryNeeded`] inside where the limit is too low.
pub fn reader<'a>(
    container: Container,
    packed: impl BufRead + 'a,
    limits: Limits,
) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match container {
        Container::Raw => Box::new(packed),
        Container::Gzip => Box::new(gzip::Gunzip::new(packed)),
        Container::Zstd => Box::new(zstd::Unzstd::new(packed, limits)?),
        Container::Xz => Box::new(xz::Unxz::new(packed, limits)?),
        Container::Bzip2 => Box::new(bzip2::Bunzip2::new(packed)),
        Container::Lz4 => Box::new(lz4::Unlz4::new(packed)),
    })
}

/// Reads to the end, which must be zeros.
fn only_zeros(mut packed: impl BufRead, packing: &str) -> io::Result<()> {
    loop {
        let bytes = packed.fill_buf()?;
        if bytes.is_empty() {
            return Ok(());
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(garbage(packing));
        }
        let read = bytes.len();
        packed.consume(read);
    }
}

fn garbage(packing: &str) -> io::Error {
    let problem = format!("something that is not {packing} follows the {packing} data");
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// How a file is packed by its first bytes, of which there are at least six unless it has less.
///
/// # Errors
/// When there are none, when they are those of a page for people, or of another packing than was announced.
pub fn identify(uri: &str, announced: Option<Container>, first: &[u8]) -> Result<Container, ImageError> {
    if first.is_empty() {
        return Err(ImageError::Empty { uri: uri.to_owned() });
    }
    if is_page(first) {
        return Err(page(uri, first));
    }
    let found = packing(first);
    let uri = uri.to_owned();
    match (announced, found) {
        (Some(Container::Raw) | None, None) => Ok(Container::Raw),
        (None, Some(Looks::Like(found))) => Ok(found),
        (Some(announced), Some(Looks::Like(found))) if announced == found => Ok(found),
        // Frames to be skipped, which both have, and nothing yet behind them.
        (Some(Container::Zstd | Container::Lz4), Some(Looks::Skipped)) => {
            Ok(announced.unwrap_or(Container::Zstd))
        }
        (None, Some(Looks::Skipped)) => Ok(Container::Zstd),
        (Some(Container::Raw) | None, Some(found)) => {
            Err(ImageError::Packed { uri, packing: found.name().to_owned() })
        }
        (Some(container), _) => Err(ImageError::NotPacked { uri, container, looks: looks(first) }),
    }
}

/// The error that a page for people is.
pub fn page(uri: &str, text: &[u8]) -> ImageError {
    ImageError::Page { uri: uri.to_owned(), first_line: first_line(text) }
}

/// Whether it begins like HTML or XML. No file system and no packing does.
pub fn is_page(first: &[u8]) -> bool {
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    ["<!doctype", "<html", "<?xml", "<head", "<!--"]
        .iter()
        .any(|start| first.get(..start.len()).is_some_and(|f| f.eq_ignore_ascii_case(start.as_bytes())))
}

/// What data begin like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looks {
    /// Something that is unpacked here.
    Like(Container),
    /// Frames to be skipped, of zstd or lz4.
    Skipped,
    /// Something that is not.
    Other(&'static str),
}

impl Looks {
    const fn name(self) -> &'static str {
        match self {
            Self::Like(container) => container.name(),
            Self::Skipped => Container::Zstd.name(),
            Self::Other(name) => name,
        }
    }
}

/// What a disk of QEMU begins with.
const QCOW2: [u8; 4] = *b"QFI\xfb";

/// Whether it begins like a disk of QEMU.
pub fn is_qcow2(first: &[u8]) -> bool {
    first.starts_with(&QCOW2)
}

/// The packing that data begin like; no file system and no partition table does.
fn packing(first: &[u8]) -> Option<Looks> {
    const KNOWN: [(&[u8], Looks); 7] = [
        (&gzip::MAGIC, Looks::Like(Container::Gzip)),
        (&xz::MAGIC, Looks::Like(Container::Xz)),
        (&zstd::MAGIC, Looks::Like(Container::Zstd)),
        (&lz4::MAGIC, Looks::Like(Container::Lz4)),
        (b"PK\x03\x04", Looks::Other("zip")),
        (b"7z\xbc\xaf\x27\x1c", Looks::Other("7z")),
        (&QCOW2, Looks::Other("a qcow2 disk")),
    ];
    if bzip2::begins(first) {
        return Some(Looks::Like(Container::Bzip2));
    }
    let mut behind = first;
    while let Some(length) = zstd::skipped(behind) {
        behind = usize::try_from(length).ok().and_then(|length| behind.get(length..)).unwrap_or_default();
        match behind {
            _ if behind.starts_with(&zstd::MAGIC) => return Some(Looks::Like(Container::Zstd)),
            _ if behind.starts_with(&lz4::MAGIC) => return Some(Looks::Like(Container::Lz4)),
            _ => {}
        }
    }
    if behind.len() < first.len() {
        return Some(Looks::Skipped);
    }
    KNOWN.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, looks)| *looks)
}

/// What data look like, in words.
fn looks(first: &[u8]) -> String {
    if let Some(looks) = packing(first) {
        return looks.name().to_owned();
    }
    let start = &first[..first.len().min(64)];
    if start.iter().all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) {
        return format!("text that begins `{}`", first_line(first));
    }
    "raw data".to_owned()
}

/// The first line that is not blank, as far as it fits into a message.
fn first_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(&text[..text.len().min(4096)]);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(120).collect()
}

#[cfg(test)]
pub mod samples;
#[cfg(test)]
mod tests;
