//! What a server's headers tell of a part of a file: which part it is, and of which version.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::{
    blocking::Response,
    header::{ETAG, HeaderName, LAST_MODIFIED},
};

/// What tells one version of a file from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// The `ETag`, if it is a strong one.
    pub etag: Option<String>,
    /// `Last-Modified`, as the server writes it.
    pub modified: Option<String>,
    /// The SHA-256 sum of the whole file in hex, where the server tells it.
    pub sha256: Option<String>,
}

/// Headers that tell the sum of a whole file: RFC 9530, the RFC 3230 that it replaced, Artifactory's.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const DIGEST: HeaderName = HeaderName::from_static("digest");
const CHECKSUM: HeaderName = HeaderName::from_static("x-checksum-sha256");

impl Version {
    /// As the headers of a response tell it.
    pub fn of(response: &Response) -> Self {
        let etag = header(response, &ETAG).filter(|tag| tag.starts_with('"'));
        let listed = [REPR_DIGEST, DIGEST].iter().find_map(|name| sum(&header(response, name)?));
        let sha256 = listed.or_else(|| header(response, &CHECKSUM).filter(|hex| is_sum(hex)));
        Self {
            etag,
            modified: header(response, &LAST_MODIFIED),
            sha256: sha256.map(|s| s.to_ascii_lowercase()),
        }
    }

    /// Whether both are known to be one version.
    pub fn is(&self, other: &Self) -> bool {
        if let (Some(ours), Some(theirs)) = (&self.sha256, &other.sha256) {
            return ours == theirs;
        }
        match (&self.etag, &other.etag) {
            (None, None) => self.modified.is_some() && self.modified == other.modified,
            (ours, theirs) => ours == theirs,
        }
    }
}

/// The SHA-256 sum in hex of a list such as `sha-256=:BASE64:, sha-512=…`.
fn sum(list: &str) -> Option<String> {
    let mut items = list.split(',').filter_map(|item| item.trim().split_once('='));
    let (_, value) = items.find(|(name, _)| name.eq_ignore_ascii_case("sha-256"))?;
    let bytes = BASE64_STANDARD.decode(value.trim_matches(':')).ok()?;
    (bytes.len() == 32).then(|| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

/// Whether this is a SHA-256 sum in hex.
pub fn is_sum(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The text of a header, if there is such a one.
pub fn header(response: &Response, name: &HeaderName) -> Option<String> {
    response.headers().get(name)?.to_str().ok().map(|value| value.trim().to_owned())
}

/// `Content-Range` as far as it is of use: `bytes FIRST-LAST/TOTAL`, `bytes FIRST-LAST/*`, `bytes */TOTAL`.
#[derive(Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte of the part.
    pub first: Option<u64>,
    /// The length of the whole.
    pub total: Option<u64>,
}

impl ContentRange {
    /// `None` for what is none, and for a part that does not go on to the end.
    pub fn parse(text: &str) -> Option<Self> {
        let (part, total) = text.strip_prefix("bytes")?.trim_start().split_once('/')?;
        let total = if total == "*" { None } else { Some(total.parse().ok()?) };
        if part == "*" {
            return Some(Self { first: None, total });
        }
        let (first, last) = part.split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        // What goes on to the end is wanted, and no more is there.
        let whole = first <= last && total.is_none_or(|total| last.checked_add(1) == Some(total));
        whole.then_some(Self { first: Some(first), total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let range = |first, total| Some(ContentRange { first, total });
        for (text, expected) in [
            ("bytes 5-9/10", range(Some(5), Some(10))),
            ("bytes 5-9/*", range(Some(5), None)),
            ("bytes */10", range(None, Some(10))),
            ("bytes 5-8/10", None),
            ("bytes 9-5/10", None),
            ("bytes 5-18446744073709551615/10", None),
            ("bytes -5-9/10", None),
            ("items 5-9/10", None),
            ("bytes 5-9", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn versions_are_one_only_when_that_is_known() {
        let version = |etag: Option<&str>, modified: Option<&str>| Version {
            etag: etag.map(str::to_owned),
            modified: modified.map(str::to_owned),
            sha256: None,
        };
        assert!(version(Some("\"a\""), None).is(&version(Some("\"a\""), Some("later"))));
        assert!(version(None, Some("now")).is(&version(None, Some("now"))));
        assert!(!version(None, None).is(&version(None, None)));
        assert!(!version(Some("\"a\""), Some("now")).is(&version(Some("\"b\""), Some("now"))));
        assert!(!version(Some("\"a\""), Some("now")).is(&version(None, Some("now"))));
        let summed = |sum: &str| Version { sha256: Some(sum.to_owned()), ..version(Some(sum), Some("now")) };
        assert!(Version { etag: None, ..summed("a") }.is(&summed("a")));
        assert!(!Version { etag: summed("b").etag, ..summed("a") }.is(&summed("b")));
    }
    #[test]
    fn sums_are_found_in_lists() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let base64 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        for list in [
            format!("sha-256=:{base64}:"),
            format!("sha-512=:eA==:, SHA-256=:{base64}:"),
            format!("SHA-256={base64},md5=eA=="),
        ] {
            assert_eq!(sum(&list).as_deref(), Some(abc), "{list}");
        }
        for list in ["", "sha-256", "sha-256=:eA==:", "sha-256=:*:", "sha-512=:eA==:"] {
            assert_eq!(sum(list), None, "{list}");
        }
        assert!(is_sum(abc) && !is_sum(&abc[1..]) && !is_sum(&abc.replace('b', "x")));
    }
}
