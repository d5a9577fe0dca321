//! Packed data for tests.

use std::io::{self, BufReader, Read, Write};

use super::{Container, Limits, reader};

/// All that are packings.
pub const PACKED: [Container; 5] =
    [Container::Gzip, Container::Zstd, Container::Xz, Container::Bzip2, Container::Lz4];

/// More than any test needs.
pub const PLENTY: Limits = Limits { memory: 1 << 30, threads: 2 };

/// Data of which a part repeats.
pub fn data(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut data = Vec::with_capacity(length + 64);
    while data.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state >> 30 {
            0 => data.extend_from_slice(b"the quick brown fox"),
            1 => data.resize(data.len() + (state >> 8) as usize % 60, 0),
            _ => data.extend_from_slice(&state.to_be_bytes()),
        }
    }
    data.truncate(length);
    data
}

/// Packs them in one piece, with a checksum.
pub fn pack(container: Container, data: &[u8]) -> Vec<u8> {
    match container {
        Container::Raw => data.to_vec(),
        Container::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Container::Zstd => {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.include_checksum(true).unwrap();
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Container::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Container::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
        Container::Lz4 => {
            use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
            let mut info = FrameInfo::new();
            info.content_checksum = true;
            info.block_size = BlockSize::Max64KB;
            info.block_mode = BlockMode::Linked;
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(data).unwrap();
            encoder.finish().unwrap()
        }
    }
}

/// Unpacks from a buffer that is so small that its ends come in every part of the format.
pub fn unpack(container: Container, packed: &[u8]) -> io::Result<Vec<u8>> {
    unpack_within(container, packed, PLENTY)
}

/// The same within limits.
pub fn unpack_within(container: Container, packed: &[u8], limits: Limits) -> io::Result<Vec<u8>> {
    let mut data = Vec::new();
    reader(container, BufReader::with_capacity(3, packed), limits)?.read_to_end(&mut data)?;
    Ok(data)
}
