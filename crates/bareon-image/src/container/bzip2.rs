//! bzip2. What it calls a stream is a member. It takes 4 MiB.

use std::io::BufRead;

use bzip2::bufread::BzDecoder;

use super::members::{Member, Members};

/// How a stream begins; a digit follows.
const MAGIC: [u8; 3] = *b"BZh";

/// What follows that: a block, or the end.
const NEXT: [[u8; 6]; 2] = [*b"1AY&SY", *b"\x17\x72\x45\x38\x50\x90"];

/// Whether it begins like a stream.
pub fn begins(first: &[u8]) -> bool {
    let Some((level, next)) = first.strip_prefix(&MAGIC).and_then(<[u8]>::split_first) else { return false };
    (b'1'..=b'9').contains(level) && NEXT.iter().any(|it| it.starts_with(&next[..next.len().min(it.len())]))
}

/// Unpacks bzip2.
pub type Bunzip2<R> = Members<R, BzDecoder<R>>;

impl<R: BufRead> Member<R> for BzDecoder<R> {
    const FORMAT: &'static str = "bzip2";
    const FIRST: u8 = MAGIC[0];

    fn begin(packed: R) -> Self {
        Self::new(packed)
    }

    fn rest(self) -> R {
        self.into_inner()
    }
}
