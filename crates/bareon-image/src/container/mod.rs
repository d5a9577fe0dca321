//! How an image is packed. Each packing is a reader over a reader, in a file of its own.

mod gzip;

use std::{
    fmt,
    io::{BufRead, Read},
    str::FromStr,
};

use crate::ImageError;

/// A packing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// None.
    Raw,
    /// gzip, of one member or many.
    Gzip,
}

impl Container {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Gzip, Self::Raw];

    /// Its name, as [`FromStr`] reads it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Gzip => "gzip",
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
        match name {
            "raw" => Ok(Self::Raw),
            "gzip" => Ok(Self::Gzip),
            _ => Err(ImageError::UnknownContainer { name: name.to_owned() }),
        }
    }
}

/// Unpacks what `packed` gives.
pub fn reader<'a>(container: Container, packed: impl BufRead + 'a) -> Box<dyn Read + 'a> {
    match container {
        Container::Raw => Box::new(packed),
        Container::Gzip => Box::new(gzip::Gunzip::new(packed)),
    }
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
        (Some(Container::Gzip) | None, Some("gzip")) => Ok(Container::Gzip),
        (Some(Container::Raw) | None, Some(packing)) => {
            Err(ImageError::Packed { uri, packing: packing.to_owned() })
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

/// The packing that data begin like; no file system and no partition table does.
fn packing(first: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 8] = [
        (&gzip::MAGIC, "gzip"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"BZh", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"PK\x03\x04", "zip"),
        (b"7z\xbc\xaf\x27\x1c", "7z"),
        (b"QFI\xfb", "a qcow2 disk"),
    ];
    KNOWN.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, name)| *name)
}

/// What data look like, in words.
fn looks(first: &[u8]) -> String {
    if let Some(name) = packing(first) {
        return name.to_owned();
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
mod tests {
    use super::*;

    fn refusal(container: Container, first: &[u8]) -> String {
        identify("u", Some(container), first).unwrap_err().to_string()
    }

    #[test]
    fn names_are_read_back() {
        for container in [Container::Raw, Container::Gzip] {
            assert_eq!(container.to_string().parse::<Container>().unwrap(), container);
        }
        assert!("zstd".parse::<Container>().unwrap_err().to_string().contains("raw and gzip"));
    }

    #[test]
    fn pages_are_told_from_images() {
        for text in ["<!DOCTYPE html>\n<p>", " \n<HTML>", "\u{feff}<?xml version", "<head>"] {
            let message = refusal(Container::Raw, text.as_bytes());
            assert!(message.contains("gave a page"), "{message}");
        }
        for announced in [None, Some(Container::Raw)] {
            assert_eq!(identify("u", announced, &[0; 512]).unwrap(), Container::Raw);
        }
        for announced in [None, Some(Container::Gzip)] {
            assert_eq!(identify("u", announced, b"\x1f\x8b\x08\0").unwrap(), Container::Gzip);
        }
        assert!(identify("u", None, b"").is_err());
    }

    #[test]
    fn packed_data_are_not_taken_for_raw() {
        let message = refusal(Container::Raw, b"\x1f\x8b\x08\0\0\0");
        assert!(message.contains("is gzip, not raw: set the image's container to gzip"), "{message}");
        for (first, name) in [
            (b"\xfd7zXZ\0".as_slice(), "is xz, not raw"),
            (b"\x28\xb5\x2f\xfdabc", "is zstd, not raw"),
            (b"BZh91A", "is bzip2, not raw"),
            (b"QFI\xfb\0\0", "is a qcow2 disk, not raw"),
            (b"PK\x03\x04\0\0", "is zip, not raw"),
        ] {
            let message = refusal(Container::Raw, first);
            assert!(message.contains(name) && message.contains("upload the image unpacked"), "{message}");
        }
    }

    #[test]
    fn what_is_not_gzip_is_named() {
        for (first, name) in [
            (b"\xfd7zXZ\0".as_slice(), "looks like xz"),
            (b"\x28\xb5\x2f\xfdabc", "looks like zstd"),
            (&[0; 2048], "looks like raw data"),
            (b"404 Not Found\nmore", "looks like text that begins `404 Not Found`"),
        ] {
            let message = refusal(Container::Gzip, first);
            assert!(message.contains(name), "{message}");
        }
    }
}
