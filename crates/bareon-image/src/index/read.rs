//! An index from bytes that came over the network. Nothing is believed before the hash at its end was found right, and
//! nothing of what it says can make its reader look outside the image.

use super::{Chunk, ENTRY, HEADER, Index, MAGIC, SUMS, TRAILER, VERSION, is_chunk_size, number};
use crate::{Container, Sums, digest::hex};

/// Why bytes are no index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// It begins otherwise.
    #[error("it does not begin as a chunk index does")]
    Magic,
    /// Of another time.
    #[error(
        "it is of version {0}, of which this program knows nothing; make it anew by this release's builder"
    )]
    Version(u32),
    /// It breaks off, or a byte of it changed.
    #[error("it is damaged: it does not end with the hash of what it holds")]
    Damaged,
    /// Something in it cannot be.
    #[error("its {0} cannot be")]
    Value(&'static str),
}

impl Index {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is no whole and sound index.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IndexError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(IndexError::Magic);
        }
        let mut fields = Fields(&bytes[MAGIC.len()..]);
        let version = fields.u32().ok_or(IndexError::Damaged)?;
        if version != VERSION {
            return Err(IndexError::Version(version));
        }
        let (body, hash) =
            bytes.split_at_checked(bytes.len() - TRAILER.min(bytes.len())).ok_or(IndexError::Damaged)?;
        if body.len() < HEADER || blake3::hash(body).as_bytes() != hash {
            return Err(IndexError::Damaged);
        }
        let fields = Fields(&body[MAGIC.len() + 4..]);
        fields.index().ok_or(IndexError::Damaged)?
    }
}

/// What is left to be read.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn sums(&mut self) -> Option<Sums> {
        SUMS.iter().try_fold(Sums::default(), |sums, (algorithm, length)| {
            let (sum, rest) = self.0.split_at_checked(*length)?;
            self.0 = rest;
            // A sum that is not known.
            let sum = sum.iter().any(|byte| *byte != 0).then(|| hex(sum));
            Some(sums.with(*algorithm, sum))
        })
    }

    /// Nothing where it breaks off.
    fn index(mut self) -> Option<Result<Index, IndexError>> {
        let container = self.u32()?;
        let chunk_size = self.u32()?;
        let count = self.u32()?;
        let (raw_size, container_size) = (self.u64()?, self.u64()?);
        let (sums, container_sums) = (self.sums()?, self.sums()?);
        let wrong = |what| Some(Err(IndexError::Value(what)));
        let Some(container) = Container::ALL.into_iter().find(|it| number(*it) == Some(container)) else {
            return wrong("container");
        };
        if !is_chunk_size(chunk_size) {
            return wrong("size of a chunk");
        }
        if self.0.len() != usize::try_from(count).ok()?.checked_mul(ENTRY)?
            || raw_size.div_ceil(u64::from(chunk_size)) != u64::from(count)
        {
            return wrong("number of chunks");
        }
        let mut chunks = Vec::with_capacity(usize::try_from(count).ok()?);
        let mut free = 0;
        for _ in 0..count {
            let (offset, length, zeros) = (self.u64()?, self.u32()?, self.u32()?);
            let hash = self.take()?;
            let end = offset.checked_add(u64::from(length));
            // A piece may be larger than its chunk where nothing of it could be packed, but not by much.
            let fits =
                end.is_some_and(|end| end <= container_size) && length <= chunk_size + chunk_size / 8 + 4096;
            if offset < free || length == 0 || !fits {
                return wrong("place of a chunk in the container");
            }
            if zeros > 1 {
                return wrong("mark for zeros");
            }
            free = end.unwrap_or(container_size);
            chunks.push(Chunk { offset, length, zeros: zeros == 1, hash });
        }
        let index = Index { container, chunk_size, raw_size, container_size, sums, container_sums, chunks };
        if container == Container::Raw && !index.lies_open() {
            return wrong("place of a chunk in the container");
        }
        Some(Ok(index))
    }
}

impl Index {
    /// Whether each chunk lies where it lies in the raw image, as nothing is packed.
    fn lies_open(&self) -> bool {
        let open = |(number, chunk): (usize, &Chunk)| {
            let raw = self.raw_range(number);
            (chunk.offset, u64::from(chunk.length)) == (raw.start, raw.end - raw.start)
        };
        self.container_size == self.raw_size && self.chunks.iter().enumerate().all(open)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::Algorithm;

    fn index() -> Index {
        let chunk = |offset, length, zeros, fill| Chunk { offset, length, zeros, hash: [fill; 32] };
        Index {
            container: Container::Gzip,
            chunk_size: 1 << 20,
            raw_size: (2 << 20) + 5,
            container_size: 1000,
            sums: Sums::default()
                .with(Algorithm::Md5, Some("01".repeat(16)))
                .with(Algorithm::Sha256, Some("ab".repeat(32))),
            container_sums: Sums::default().with(Algorithm::Sha256, Some("cd".repeat(32))),
            chunks: vec![chunk(0, 700, false, 1), chunk(700, 20, true, 2), chunk(720, 280, false, 3)],
        }
    }

    /// The bytes of a changed index, whose hash is right.
    fn changed(change: impl FnOnce(&mut Index)) -> Result<Index, IndexError> {
        let mut index = index();
        change(&mut index);
        Index::from_bytes(&index.to_bytes())
    }

    #[test]
    fn what_is_written_is_read() {
        let read = Index::from_bytes(&index().to_bytes()).unwrap();
        assert_eq!(read, index());
        assert_eq!(read.raw_range(2), 2 << 20..(2 << 20) + 5);
        assert_ne!(read.id(), changed(|index| index.chunks[0].hash[0] ^= 1).unwrap().id());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let value = |what| Err(IndexError::Value(what));
        assert_eq!(changed(|index| index.chunk_size = 1 << 25), value("size of a chunk"));
        assert_eq!(changed(|index| index.chunk_size += 512), value("size of a chunk"));
        assert_eq!(changed(|index| index.raw_size = 4 << 20), value("number of chunks"));
        assert_eq!(changed(|index| index.raw_size = u64::MAX), value("number of chunks"));
        let place = value("place of a chunk in the container");
        assert_eq!(changed(|index| index.chunks[1].offset = 699), place);
        assert_eq!(changed(|index| index.chunks[2].offset = u64::MAX), place);
        assert_eq!(changed(|index| index.chunks[2].length = 281), place);
        assert_eq!(changed(|index| index.chunks[2].length = 0), place);
        assert_eq!(changed(|index| index.container = Container::Raw), place);
        let mut later = index().to_bytes();
        later[8] = 2;
        assert_eq!(Index::from_bytes(&later), Err(IndexError::Version(2)));
        assert_eq!(Index::from_bytes(b"<html>"), Err(IndexError::Magic));
    }

    proptest! {
        #[test]
        fn a_cut_or_a_changed_byte_is_seen(at: proptest::sample::Index, change in 0..=255_u8) {
            let mut bytes = index().to_bytes();
            let at = at.index(bytes.len());
            if change == 0 {
                bytes.truncate(at);
            } else {
                bytes[at] ^= change;
            }
            prop_assert!(Index::from_bytes(&bytes).is_err());
        }

        #[test]
        fn anything_is_survived(mut bytes: Vec<u8>, sealed in any::<bool>()) {
            if sealed {
                // So that more is looked at than the hash.
                let mut head = [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat();
                head.append(&mut bytes);
                bytes = head;
                bytes.extend_from_slice(blake3::hash(&bytes).as_bytes());
            }
            if let Ok(index) = Index::from_bytes(&bytes) {
                prop_assert_eq!(index.to_bytes(), bytes);
            }
        }
    }
}
