//! Digests: what is expected of them, and the threads that compute them.

use std::{fmt::Write as _, sync::Arc};

use crossbeam_channel::Receiver;
use sha2::Digest;

use crate::{ImageError, pool::Buffer};

/// A digest, and of what.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// MD5 of the unpacked data.
    Md5,
    /// SHA-256 of the unpacked data.
    Sha256,
    /// SHA-256 of the file as it is fetched.
    ContainerSha256,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::ContainerSha256 => "container sha256",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::ContainerSha256 => 64,
        }
    }

    /// A digest that was given, as this program writes digests.
    ///
    /// # Errors
    /// When it is none.
    pub fn expected(self, given: Option<&str>) -> Result<Option<String>, ImageError> {
        let Some(given) = given else { return Ok(None) };
        let digest = given.trim().to_ascii_lowercase();
        if digest.len() == self.digits() && digest.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Some(digest))
        } else {
            Err(ImageError::BadDigest { kind: self.name(), value: given.to_owned(), digits: self.digits() })
        }
    }

    /// Compares what was found, if anything is expected.
    ///
    /// # Errors
    /// When they differ.
    pub fn compare(self, uri: &str, expected: Option<&str>, found: Option<&str>) -> Result<(), ImageError> {
        match (expected, found) {
            (None, _) => Ok(()),
            (Some(expected), Some(found)) if expected == found => Ok(()),
            (Some(expected), found) => Err(ImageError::Digest {
                uri: uri.to_owned(),
                kind: self.name(),
                expected: expected.to_owned(),
                found: found.unwrap_or("that was not computed").to_owned(),
            }),
        }
    }
}

/// Hashes all that comes.
pub fn of_all<D: Digest>(incoming: &Receiver<Arc<Buffer>>) -> String {
    let mut digest = D::new();
    for buffer in incoming {
        digest.update(&**buffer);
    }
    finish(digest)
}

/// The digest in hex.
pub fn finish<D: Digest>(digest: D) -> String {
    digest.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_in_any_case_and_refused_when_they_are_none() {
        let upper = "D41D8CD98F00B204E9800998ECF8427E";
        assert_eq!(Kind::Md5.expected(Some(upper)).unwrap(), Some(upper.to_ascii_lowercase()));
        assert!(Kind::Md5.expected(None).unwrap().is_none());
        for wrong in ["", "x", &upper[1..], "g41d8cd98f00b204e9800998ecf8427e"] {
            assert!(Kind::Md5.expected(Some(wrong)).is_err(), "{wrong}");
        }
        assert!(Kind::Sha256.expected(Some(upper)).is_err());
    }

    #[test]
    fn an_expected_digest_that_was_not_computed_is_no_match() {
        assert!(Kind::Md5.compare("u", Some("a"), None).is_err());
        assert!(Kind::Md5.compare("u", Some("a"), Some("b")).is_err());
        assert!(Kind::Md5.compare("u", Some("a"), Some("a")).is_ok());
        assert!(Kind::Md5.compare("u", None, Some("a")).is_ok());
    }

    #[test]
    fn known_digests() {
        assert_eq!(finish(md5::Md5::new()), "d41d8cd98f00b204e9800998ecf8427e");
        let abc = sha2::Sha256::new_with_prefix("abc");
        assert_eq!(finish(abc), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
