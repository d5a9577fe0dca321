//! gzip (RFC 1952): all members, one after the other, with nothing behind them but zeros.
//!
//! Zeros fill up a block on tapes and devices, and gzip(1) passes over them, too. Anything else behind the last
//! member is an error here: it is the trace of a damaged or wrongly joined file. An end within a member is an
//! error of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof); an end between two cannot be seen.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// How a member begins.
pub const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Unpacks gzip.
pub struct Gunzip<R: BufRead> {
    state: State<R>,
}

enum State<R> {
    Member(Box<GzDecoder<R>>),
    Between(R),
    Ended,
}

impl<R: BufRead> Gunzip<R> {
    /// Unpacks what `packed` gives, which may be what is behind the last member, too.
    pub fn new(packed: R) -> Self {
        Self { state: State::Between(packed) }
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // An error leaves the end behind: there is nothing to go on with.
            match std::mem::replace(&mut self.state, State::Ended) {
                State::Member(mut member) => {
                    let read = member.read(buffer)?;
                    if read > 0 {
                        self.state = State::Member(member);
                        return Ok(read);
                    }
                    self.state = State::Between(member.into_inner());
                }
                State::Between(mut packed) => match packed.fill_buf()?.first() {
                    None => return Ok(0),
                    Some(0) => return super::only_zeros(packed, "gzip").map(|()| 0),
                    Some(&first) if first == MAGIC[0] => {
                        self.state = State::Member(Box::new(GzDecoder::new(packed)));
                    }
                    Some(_) => return Err(super::garbage("gzip")),
                },
                State::Ended => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write};

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
