//! SHA-256 sums as people write them.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// The SHA-256 sum of `bytes` in lower-case hex.
pub fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// An id that is a function of a digest of at least 16 bytes, of which it takes the first: a UUID of version 8, which
/// RFC 9562 has for identifiers that are made by one's own rule.
pub fn uuid(digest: &[u8]) -> String {
    let mut bytes: Vec<u8> = digest.iter().copied().take(16).collect();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex(&bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// An id that is a function of a text; see [`uuid`].
pub fn uuid_of(text: &str) -> String {
    uuid(&Sha256::digest(text))
}
