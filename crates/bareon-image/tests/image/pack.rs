//! Packing: what comes out is read by everybody, is the same on any number of threads, and is told with its sums.

use std::{
    fs,
    io::Read,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use bareon_image::{
    Progress, Silent,
    index::Index,
    pack::{GZIP_BLOCK, PackError, Packed, Packing, pack},
};

use crate::support::{MIB, md5, sha256};

/// A file of 21 MiB and a bit: text, a hole, noise, zeros that are written, a hole at its end.
fn raw(dir: &Path) -> (PathBuf, Vec<u8>) {
    let mut data = vec![0_u8; 21 * MIB + 4321];
    for (i, byte) in data[..5 * MIB + 17].iter_mut().enumerate() {
        *byte = b"the quick brown fox "[(i + i / 977) % 20];
    }
    let mut noise = 1_u64;
    for byte in &mut data[9 * MIB..12 * MIB] {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (noise >> 56) as u8;
    }
    let path = dir.join("raw");
    let file = fs::File::create(&path).unwrap();
    file.set_len(data.len() as u64).unwrap();
    file.write_all_at(&data[..5 * MIB + 17], 0).unwrap();
    file.write_all_at(&data[9 * MIB..15 * MIB], 9 * MIB as u64).unwrap();
    (path, data)
}

/// Packs a copy of `raw`, compares what is told with what is there, and gives the file.
fn packed(raw: &Path, data: &[u8], packing: Packing, threads: usize) -> (Packed, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let (copy, out) = (dir.path().join("copy"), dir.path().join("out"));
    fs::copy(raw, &copy).unwrap();
    let packed = pack(&copy, packing, &out, threads, &Silent).unwrap();
    let file = fs::read(out).unwrap();
    assert_eq!((packed.raw_size, packed.container_size), (data.len() as u64, file.len() as u64));
    assert_eq!(packed.raw_md5, md5(data));
    assert_eq!(packed.raw_sha256, sha256(data));
    assert_eq!(packed.container_md5, md5(&file));
    assert_eq!(packed.container_sha256, sha256(&file));
    (packed, file)
}

fn unpacked(packing: Packing, file: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    match packing {
        Packing::Raw => Box::new(file) as Box<dyn Read>,
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        Packing::Zstd => Box::new(zstd::Decoder::with_buffer(file).unwrap()),
        Packing::Xz => Box::new(liblzma::bufread::XzDecoder::new(file)),
    }
    .read_to_end(&mut data)
    .unwrap();
    data
}

#[test]
fn what_was_packed_comes_back_and_is_the_same_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, data) = raw(dir.path());
    for packing in Packing::ALL {
        let (_, one) = packed(&raw, &data, packing, 1);
        assert!(unpacked(packing, &one) == data, "{packing}");
        for threads in [2, 7] {
            assert!(packed(&raw, &data, packing, threads).1 == one, "{packing} on {threads} threads");
        }
    }
}

#[test]
fn each_chunk_of_the_index_can_be_unpacked_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, data) = raw(dir.path());
    for packing in Packing::ALL {
        let (packed, file) = packed(&raw, &data, packing, 2);
        let Some(index) = packed.index else {
            assert_eq!(packing, Packing::Xz);
            continue;
        };
        assert_eq!(Index::from_bytes(&index.to_bytes()).unwrap(), index);
        assert_eq!((index.raw_size, index.container_size), (data.len() as u64, file.len() as u64));
        for (number, chunk) in index.chunks.iter().enumerate() {
            let raw = index.raw_range(number);
            let [from, to, offset] =
                [raw.start, raw.end, chunk.offset].map(|at| usize::try_from(at).unwrap());
            let piece = &file[offset..][..chunk.length as usize];
            assert!(unpacked(packing, piece) == data[from..to], "{packing}: chunk {number}");
            assert_eq!(blake3::hash(&data[from..to]).as_bytes(), &chunk.hash);
            assert_eq!(chunk.zeros, data[from..to].iter().all(|byte| *byte == 0));
        }
        assert!(
            index.chunks.iter().any(|chunk| chunk.zeros) && index.chunks.iter().any(|chunk| !chunk.zeros)
        );
    }
}

#[test]
fn small_files_are_packed_too_and_empty_ones() {
    let dir = tempfile::tempdir().unwrap();
    let raw = dir.path().join("raw");
    for data in [Vec::new(), vec![1], vec![0; 100], vec![0; GZIP_BLOCK], vec![7; GZIP_BLOCK + 1]] {
        fs::write(&raw, &data).unwrap();
        for packing in Packing::ALL {
            let (_, file) = packed(&raw, &data, packing, 3);
            assert!(unpacked(packing, &file) == data, "{packing} of {} bytes", data.len());
        }
    }
}

#[test]
fn each_member_tells_where_the_next_begins() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, data) = raw(dir.path());
    let (_, file) = packed(&raw, &data, Packing::Gzip, 2);
    let (mut at, mut unpacked) = (0, Vec::new());
    while at < file.len() {
        let header = &file[at..at + 20];
        assert_eq!(header[..16], *b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x08\0BM\x04\0");
        let length = u32::from_le_bytes(header[16..].try_into().unwrap()) as usize;
        let mut member = flate2::bufread::GzDecoder::new(&file[at..at + length]);
        member.read_to_end(&mut unpacked).unwrap();
        assert!(member.into_inner().is_empty());
        at += length;
        assert_eq!(unpacked.len(), data.len().min(unpacked.len().next_multiple_of(MIB)));
    }
    assert!(unpacked == data);
}

#[test]
fn holes_stay_holes_where_nothing_is_packed() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, data) = raw(dir.path());
    let before = fs::metadata(&raw).unwrap();
    // On the same file system it is the file itself.
    let out = dir.path().join("out");
    pack(&raw, Packing::Raw, &out, 2, &Silent).unwrap();
    let after = fs::metadata(&out).unwrap();
    assert!(!raw.exists());
    assert_eq!((after.ino(), after.len()), (before.ino(), data.len() as u64));
    // On another, it is a copy.
    let Ok(other) = tempfile::tempdir_in("/dev/shm") else { return };
    let copy = other.path().join("copy");
    pack(&out, Packing::Raw, &copy, 2, &Silent).unwrap();
    let copied = fs::metadata(&copy).unwrap();
    assert!(fs::read(&copy).unwrap() == data);
    assert!(copied.blocks() * 512 < 9 * MIB as u64, "{} bytes are taken", copied.blocks() * 512);
}

#[test]
fn a_file_that_is_there_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, out) = (dir.path().join("raw"), dir.path().join("out"));
    fs::write(&raw, "new").unwrap();
    fs::write(&out, "old").unwrap();
    let error = pack(&raw, Packing::Gzip, &out, 1, &Silent).unwrap_err();
    assert!(matches!(error, PackError::Create { path, .. } if path == out));
    assert_eq!(fs::read(&out).unwrap(), b"old");
}

/// Says stop after so many bytes of the file.
struct Stop(u64, AtomicU64);

impl Progress for Stop {
    fn advanced(&self, _raw: u64, container: u64) {
        self.1.store(container, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.1.load(Ordering::Relaxed) > self.0
    }
}

#[test]
fn nothing_is_left_when_it_is_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (raw, _) = raw(dir.path());
    for packing in Packing::ALL {
        let out = dir.path().join("out");
        let error = pack(&raw, packing, &out, 2, &Stop(1000, AtomicU64::new(0))).unwrap_err();
        assert!(matches!(error, PackError::Cancelled), "{packing}: {error}");
        assert!(!out.exists() && raw.exists(), "{packing}");
    }
}
