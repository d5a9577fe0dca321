//! SHA-1 and SHA-256 under the names by which librqbit calls them. It stands in for the crate of this name on
//! crates.io (see `[patch.crates-io]` in the workspace), which brings OpenSSL or AWS-LC for two functions: a second
//! cryptographic library to build, to ship and to watch. Those used here are in the program already, and use the
//! processor's SHA instructions, too.

use sha1::Digest;

/// A SHA-1 sum in the making.
pub trait ISha1 {
    /// Of nothing so far.
    fn new() -> Self;
    /// Adds `buf`.
    fn update(&mut self, buf: &[u8]);
    /// The sum.
    fn finish(self) -> [u8; 20];
}

/// A SHA-256 sum in the making.
pub trait ISha256 {
    /// Of nothing so far.
    fn new() -> Self;
    /// Adds `buf`.
    fn update(&mut self, buf: &[u8]);
    /// The sum.
    fn finish(self) -> [u8; 32];

    /// The sum; for callers that know it by this name.
    fn finish_id32(self) -> [u8; 32]
    where
        Self: Sized,
    {
        self.finish()
    }
}

/// See [`ISha1`].
#[derive(Debug)]
pub struct Sha1(sha1::Sha1);

impl ISha1 for Sha1 {
    fn new() -> Self {
        Self(sha1::Sha1::new())
    }

    fn update(&mut self, buf: &[u8]) {
        self.0.update(buf);
    }

    fn finish(self) -> [u8; 20] {
        self.0.finalize().into()
    }
}

/// See [`ISha256`].
#[derive(Debug)]
pub struct Sha256(sha2::Sha256);

impl ISha256 for Sha256 {
    fn new() -> Self {
        Self(sha2::Sha256::new())
    }

    fn update(&mut self, buf: &[u8]) {
        self.0.update(buf);
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::{ISha1, ISha256, Sha1, Sha256};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// The sums of FIPS 180-2's first example.
    #[test]
    fn sums_are_those_of_the_standard() {
        let mut sha1 = Sha1::new();
        sha1.update(b"a");
        sha1.update(b"bc");
        assert_eq!(hex(&sha1.finish()), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let mut sha256 = Sha256::new();
        sha256.update(b"abc");
        assert_eq!(
            hex(&sha256.finish_id32()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
