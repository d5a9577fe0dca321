//! What the formats' own tools make, and our own packing, written as images; and what is cut, damaged or too large.

use std::{fs, io::Write, path::Path, process::Command};

use bareon_image::{
    Algorithm, Container, ImageError, Options, Silent,
    pack::{Packing, pack},
};
use flate2::{Compression, write::GzEncoder};

use crate::support::{MIB, Place, noise, options, sha256, write};

/// Data of which a part repeats, as of a file system.
fn image(length: usize) -> Vec<u8> {
    let mut image = noise(length);
    for (i, page) in image.chunks_mut(4096).enumerate() {
        match i % 4 {
            0 => page.fill(0),
            1 | 2 => page.iter_mut().for_each(|byte| *byte &= 0x11),
            _ => {}
        }
    }
    image[..8].copy_from_slice(b"an image");
    image
}

/// What a command makes of a file; nothing, and said so, where there is no such program.
#[expect(clippy::disallowed_methods, reason = "the files of other programs are what is read")]
fn made(line: &str, file: &Path) -> Option<Vec<u8>> {
    let mut words = line.split(' ');
    let output = Command::new(words.next()?).args(words).arg(file).output();
    let Ok(output) = output else {
        eprintln!("SKIPPED: {line} is not installed");
        return None;
    };
    assert!(output.status.success(), "{line}: {output:?}");
    Some(output.stdout)
}

#[test]
fn what_the_tools_pack_is_written_with_and_without_being_told_how() {
    let data = image(3 * MIB + 777);
    let place = Place::with_old_data(0);
    let raw = place.dir.path().join("raw");
    fs::write(&raw, &data).unwrap();
    for (line, container) in [
        ("gzip -1c", Container::Gzip),
        ("pigz -1c", Container::Gzip),
        ("pigz -1ci", Container::Gzip),
        ("bgzip -c", Container::Gzip),
        ("zstd -qc", Container::Zstd),
        ("zstd -qc -T2 --no-check", Container::Zstd),
        ("zstd -qc -1 --long=27", Container::Zstd),
        ("pzstd -qc -p 2", Container::Zstd),
        ("xz -1c", Container::Xz),
        ("xz -1c -T2 --block-size=2MiB --check=sha256", Container::Xz),
        ("bzip2 -1c", Container::Bzip2),
        ("lz4 -qc", Container::Lz4),
        ("lz4 -qc -B4 -BD -BX --no-frame-crc", Container::Lz4),
    ] {
        let Some(packed) = made(line, &raw) else { continue };
        // Two images in one file, as `cat` joins them, are both read.
        for (packed, data) in [(packed.clone(), data.clone()), (packed.repeat(2), data.repeat(2))] {
            let mut request = place.request(&place.source(&packed), container);
            request.expect(Algorithm::Sha256, sha256(&data));
            assert_eq!(write(&request).unwrap().container, container);
            request.container = None;
            let written = write(&request).unwrap();
            assert_eq!((written.container, written.raw_bytes), (container, data.len() as u64), "{line}");
            assert!(place.content()[..data.len()] == data, "{line}");
        }
    }
}

#[test]
fn what_is_packed_here_is_written_and_damage_and_ends_are_seen_at_any_place() {
    let data = image(9 * MIB + 777);
    let place = Place::with_old_data(0);
    for packing in [Packing::Gzip, Packing::Zstd, Packing::Xz] {
        let (raw, out) = (place.dir.path().join("raw"), place.dir.path().join("out"));
        fs::write(&raw, &data).unwrap();
        let sums = pack(&raw, packing, &out, 2, &Silent).unwrap();
        let packed = fs::read(&out).unwrap();
        fs::remove_file(&out).unwrap();
        let mut request = place.request(&place.source(&packed), packing.name().parse().unwrap());
        request.expect(Algorithm::Sha256, sums.raw_sha256);
        write(&request).unwrap();
        assert!(place.content() == data, "{packing}");
        // Without a sum that would tell it in the end.
        request.sums = bareon_image::Sums::default();
        for part in [0.001, 0.5, 0.999] {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is within the file"
            )]
            #[expect(clippy::cast_precision_loss, reason = "any place will do")]
            let at = (packed.len() as f64 * part) as usize;
            let mut damaged = packed.clone();
            damaged[at] ^= 0x20;
            for (bad, cut) in [(damaged.as_slice(), false), (&packed[..at], true)] {
                let place = Place::with_old_data(10 * MIB);
                request.target.clone_from(&place.target);
                request.uris = vec![place.source(bad)];
                let error = write(&request).unwrap_err();
                let told = if cut {
                    matches!(error, ImageError::Truncated { at: told, .. } if told <= at as u64)
                } else {
                    matches!(error, ImageError::Corrupt { .. } | ImageError::Truncated { .. })
                };
                assert!(told, "{packing} at {at}: {error:?}");
                place.assert_first_mib_zero_or_untouched();
            }
        }
    }
}

#[test]
fn a_window_for_which_there_is_no_memory_is_refused_before_anything_is_written() {
    let place = Place::with_old_data(MIB);
    let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    packed.long_distance_matching(true).unwrap();
    packed.window_log(27).unwrap();
    packed.write_all(&image(MIB)).unwrap();
    let packed = packed.finish().unwrap();
    let request = place.request(&place.source(&packed), Container::Zstd);
    let little = Options { memory_limit: 64 << 20, ..options() };
    let failed = bareon_image::write(&request, &little, &request.target, &Silent).unwrap_err();
    let message = failed.to_string();
    assert!(message.contains("takes 14") && message.contains("`memory_limit` is 64 MiB"), "{message}");
    place.assert_untouched();
    write(&request).unwrap();
}

#[test]
fn a_bomb_stops_at_the_end_of_a_small_target() {
    let zeros = vec![0; 64 * MIB];
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&zeros).unwrap();
    let one = zstd::bulk::compress(&zeros[..4 * MIB], 1).unwrap();
    for (packed, container) in
        [(packed.finish().unwrap(), Container::Gzip), (one.repeat(16), Container::Zstd)]
    {
        let place = Place::with_old_data(MIB);
        let mut request = place.request(&place.source(&packed), container);
        request.size = Some(MIB as u64);
        let error = write(&request).unwrap_err();
        assert!(matches!(error, ImageError::Size { expected, .. } if expected == MIB as u64), "{error:?}");
    }
}
