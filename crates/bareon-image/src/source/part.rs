//! What a server's headers tell of a part of a file: which part it is, and of which version.

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
}

impl Version {
    /// As the headers of a response tell it.
    pub fn of(response: &Response) -> Self {
        let etag = header(response, &ETAG).filter(|tag| tag.starts_with('"'));
        Self { etag, modified: header(response, &LAST_MODIFIED) }
    }

    /// Whether both are known to be one version.
    pub fn is(&self, other: &Self) -> bool {
        match (&self.etag, &other.etag) {
            (None, None) => self.modified.is_some() && self.modified == other.modified,
            (ours, theirs) => ours == theirs,
        }
    }
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
        };
        assert!(version(Some("\"a\""), None).is(&version(Some("\"a\""), Some("later"))));
        assert!(version(None, Some("now")).is(&version(None, Some("now"))));
        assert!(!version(None, None).is(&version(None, None)));
        assert!(!version(Some("\"a\""), Some("now")).is(&version(Some("\"b\""), Some("now"))));
        assert!(!version(Some("\"a\""), Some("now")).is(&version(None, Some("now"))));
    }
}
