//! What is to be done for an image, in portions that a thread takes one after the other.

use std::ops::Range;

use crate::index::Index;

/// How many bytes of the container one request asks for at most.
const PORTION: u64 = 8 << 20;

/// How many bytes of the raw image are a portion at most.
const RAW_PORTION: u64 = 64 << 20;

/// How much of zeros is one portion, in bytes: a disk that cannot be told of them writes them.
const ZEROS: u64 = 256 << 20;

/// A portion. Both are of chunks that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// They are zeros.
    Zeros(Range<usize>),
    /// They are not.
    Data(Range<usize>),
}

/// All there is to do from the chunk `first` on.
pub fn of(index: &Index, first: usize) -> Vec<Work> {
    let mut all = Vec::new();
    let mut begun = first;
    for number in first + 1..=index.chunks.len() {
        let first = index.chunks[begun];
        let ends = index.chunks.get(number).is_none_or(|next| {
            let raw = index.raw_range(number).end - index.raw_range(begun).start;
            let packed = next.offset + u64::from(next.length) - first.offset;
            let full = if first.zeros { raw > ZEROS } else { raw > RAW_PORTION || packed > PORTION };
            next.zeros != first.zeros || full
        });
        if ends {
            all.push(if first.zeros { Work::Zeros(begun..number) } else { Work::Data(begun..number) });
            begun = number;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Container, Sums, index::Chunk};

    #[test]
    fn runs_of_a_kind_are_portions_and_none_is_too_large() {
        let size = 1_u32 << 20;
        // 20 of noise, 300 of zeros, 70 of which little is left, 1 of zeros.
        let kinds = [(20, size, false), (300, 1000, true), (70, 1000, false), (1, 1000, true)];
        let mut chunks = Vec::new();
        let mut offset = 0;
        for (count, length, zeros) in kinds {
            for _ in 0..count {
                chunks.push(Chunk { offset, length, zeros, hash: [0; 32] });
                offset += u64::from(length);
            }
        }
        let index = Index {
            container: Container::Gzip,
            chunk_size: size,
            raw_size: 391 << 20,
            container_size: offset,
            sums: Sums::default(),
            container_sums: Sums::default(),
            chunks,
        };
        assert_eq!(
            of(&index, 0),
            [
                Work::Data(0..8),
                Work::Data(8..16),
                Work::Data(16..20),
                Work::Zeros(20..276),
                Work::Zeros(276..320),
                Work::Data(320..384),
                Work::Data(384..390),
                Work::Zeros(390..391),
            ]
        );
        assert_eq!(of(&index, 1)[..2], [Work::Data(1..9), Work::Data(9..17)]);
        assert_eq!(of(&index, 390), [Work::Zeros(390..391)]);
        assert!(of(&index, 391).is_empty());
        let none = Index { chunks: Vec::new(), ..index };
        assert!(of(&none, 0).is_empty() && of(&none, 1).is_empty());
    }
}
