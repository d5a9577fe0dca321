//! gzip (RFC 1952).

use std::io::BufRead;

use flate2::bufread::GzDecoder;

use super::members::{Member, Members};

/// How a member begins.
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Unpacks gzip.
pub type Gunzip<R> = Members<R, GzDecoder<R>>;

impl<R: BufRead> Member<R> for GzDecoder<R> {
    const FORMAT: &'static str = "gzip";
    const FIRST: u8 = MAGIC[0];

    fn begin(packed: R) -> Self {
        Self::new(packed)
    }

    fn rest(self) -> R {
        self.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, BufReader, Read, Write};

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        // A small buffer puts its ends into every part of the format.
        Gunzip::new(BufReader::with_capacity(3, packed)).read_to_end(&mut data)?;
        Ok(data)
    }

    #[test]
    fn every_member_is_read() {
        let packed = [gzip(b"one "), gzip(b""), gzip(b"two "), gzip(b"three")].concat();
        assert_eq!(gunzip(&packed).unwrap(), b"one two three");
    }

    #[test]
    fn zeros_may_follow_and_nothing_else() {
        let mut packed = gzip(b"data");
        for _ in 0..600 {
            packed.push(0);
            assert_eq!(gunzip(&packed).unwrap(), b"data");
        }
        packed.push(1);
        assert_eq!(gunzip(&packed).unwrap_err().kind(), io::ErrorKind::InvalidData);
        for tail in [b"x".as_slice(), b"garbage", b"\x1f\0\0\0\0\0\0\0\0\0\0\0"] {
            let packed = [gzip(b"data").as_slice(), tail].concat();
            let kind = gunzip(&packed).unwrap_err().kind();
            assert!(matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput), "{kind}");
        }
    }

    #[test]
    fn an_end_within_a_member_is_an_error_at_every_byte() {
        let data: Vec<u8> = (0..2000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        let (one, two) = (gzip(&data), gzip(b"second"));
        let packed = [one.as_slice(), &two].concat();
        for end in 0..packed.len() {
            let result = gunzip(&packed[..end]);
            if end == one.len() || end == 0 {
                assert_eq!(result.unwrap(), data[..data.len() * end.min(1)]);
            } else {
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "cut at {end}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back(members: Vec<Vec<u8>>, zeros in 0_usize..20) {
            let mut packed: Vec<u8> = members.iter().flat_map(|data| gzip(data)).collect();
            if !members.is_empty() {
                packed.resize(packed.len() + zeros, 0);
                prop_assert_eq!(gunzip(&packed).unwrap(), members.concat());
            }
        }

        #[test]
        fn a_changed_byte_never_goes_unseen(data: Vec<u8>, at: proptest::sample::Index, change in 1..=255_u8) {
            let mut packed = gzip(&data);
            // The header holds times and flags that change no data.
            let at = 10 + at.index(packed.len() - 10);
            packed[at] ^= change;
            if let Ok(found) = gunzip(&packed) {
                prop_assert_eq!(found, data);
            }
        }

        #[test]
        fn anything_is_survived(packed: Vec<u8>, magic in any::<bool>()) {
            let packed = if magic { [b"\x1f\x8b\x08\0\0\0\0\0\0\x03".as_slice(), &packed].concat() } else { packed };
            let _ = gunzip(&packed);
        }
    }
}
