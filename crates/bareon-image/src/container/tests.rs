//! What is read of every packing, what is refused, and what nobody may take for data.

use std::io::{ErrorKind, Write};

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{
    Container, Limits, MemoryNeeded, identify, samples,
    samples::{PACKED, PLENTY, data, pack, unpack, unpack_within},
};

fn refusal(container: Container, first: &[u8]) -> String {
    identify("u", Some(container), first).unwrap_err().to_string()
}

#[test]
fn names_are_read_back() {
    for container in Container::ALL {
        assert_eq!(container.to_string().parse::<Container>().unwrap(), container);
    }
    assert_eq!(Container::announced("auto").unwrap(), None);
    assert_eq!(Container::announced("xz").unwrap(), Some(Container::Xz));
    for (name, container) in [
        ("http://h/root.img.GZ?x=a.xz", Some(Container::Gzip)),
        ("/a/b.tar.zst", Some(Container::Zstd)),
        ("root.img", None),
        ("zst", None),
    ] {
        assert_eq!(Container::by_ending(name), container, "{name}");
    }
    let error = "zip".parse::<Container>().unwrap_err().to_string();
    assert!(error.ends_with("there are gzip, zstd, xz, bzip2, lz4, raw, and auto"), "{error}");
}

#[test]
fn pages_are_told_from_images() {
    for text in ["<!DOCTYPE html>\n<p>", " \n<HTML>", "\u{feff}<?xml version", "<head>"] {
        let message = refusal(Container::Raw, text.as_bytes());
        assert!(message.contains("gave a page"), "{message}");
    }
    assert!(identify("u", None, b"").is_err());
}

#[test]
fn a_packing_is_known_by_its_first_bytes() {
    for announced in [None, Some(Container::Raw)] {
        assert_eq!(identify("u", announced, &[0; 512]).unwrap(), Container::Raw);
        assert_eq!(identify("u", announced, b"BZh is no stream").unwrap(), Container::Raw);
    }
    for container in PACKED {
        let packed = pack(container, b"data");
        assert_eq!(identify("u", None, &packed).unwrap(), container);
        assert_eq!(identify("u", Some(container), &packed[..6]).unwrap(), container);
        let message = refusal(Container::Raw, &packed);
        let remedy = format!("is {container}, not raw: set the image's container to {container}");
        assert!(message.contains(&remedy), "{message}");
        for other in PACKED.into_iter().filter(|other| *other != container) {
            let message = refusal(other, &packed);
            assert!(message.contains(&format!("is not {other}: it looks like {container}")), "{message}");
        }
        assert!(refusal(container, &[0; 512]).contains("it looks like raw data"));
    }
    // Both have the same frames to be skipped; pzstd begins with one.
    let skipped = [b"\x5f\x2a\x4d\x18\x04\0\0\0".as_slice(), &[1; 4]].concat();
    assert_eq!(identify("u", None, &skipped).unwrap(), Container::Zstd);
    for container in [Container::Zstd, Container::Lz4] {
        assert_eq!(identify("u", Some(container), &skipped).unwrap(), container);
        let packed = [skipped.clone(), skipped.clone(), pack(container, b"data")].concat();
        assert_eq!(identify("u", None, &packed).unwrap(), container);
    }
}

#[test]
fn what_is_not_unpacked_here_is_named() {
    for (first, name) in
        [(b"QFI\xfb\0\0".as_slice(), "is a qcow2 disk, not raw"), (b"PK\x03\x04\0\0", "is zip, not raw")]
    {
        let message = refusal(Container::Raw, first);
        assert!(message.contains(name) && message.contains("upload the image unpacked"), "{message}");
        assert_eq!(identify("u", None, first).unwrap_err().to_string(), message);
    }
    let message = refusal(Container::Gzip, b"404 Not Found\nmore");
    assert!(message.contains("looks like text that begins `404 Not Found`"), "{message}");
}

#[test]
fn all_pieces_are_read_and_skipped_frames_passed_over() {
    for container in PACKED {
        let (one, two) = (data(70_000, 1), data(10, 2));
        let packed = [pack(container, &one), pack(container, b""), pack(container, &two)];
        assert!(unpack(container, &packed.concat()).unwrap() == [one.clone(), two].concat(), "{container}");
        if matches!(container, Container::Zstd | Container::Lz4) {
            let skipped = b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec();
            let packed = [skipped.clone(), packed[0].clone(), skipped.clone()].concat();
            assert!(unpack(container, &packed).unwrap() == one, "{container}");
            let error = unpack(container, &packed[..packed.len() - 1]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        }
    }
}

/// How the format's own tool takes zeros behind the data; other bytes are an error everywhere.
#[test]
fn zeros_behind_the_data_are_taken_as_the_formats_tools_take_them() {
    for container in PACKED {
        let packed = pack(container, b"data");
        for zeros in 1..600 {
            let result = unpack(container, &[packed.as_slice(), &vec![0; zeros]].concat());
            let taken = match container {
                Container::Gzip | Container::Bzip2 => true,
                Container::Xz => zeros % 4 == 0,
                _ => false,
            };
            assert_eq!(result.is_ok(), taken, "{container} with {zeros} zeros");
        }
        for tail in [b"x".as_slice(), b"garbage", b"\0\0\0\0x", &packed[..1], &packed[..3]] {
            let result = unpack(container, &[packed.as_slice(), tail].concat());
            assert!(result.is_err(), "{container} with {tail:?}");
        }
    }
    let padded = [pack(Container::Xz, b"one"), vec![0; 8], pack(Container::Xz, b"two")].concat();
    assert_eq!(unpack(Container::Xz, &padded).unwrap(), b"onetwo");
}

#[test]
fn an_end_within_is_an_error_at_every_byte() {
    for container in PACKED {
        let data = data(3000, 7);
        let (one, two) = (pack(container, &data), pack(container, b"second"));
        let packed = [one.as_slice(), &two].concat();
        for end in 0..packed.len() {
            match unpack(container, &packed[..end]) {
                // Nobody can see an end between two; one of nothing at all is refused before.
                Ok(found) => assert!(end == one.len() && found == data || end == 0, "{container} at {end}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{container} at {end}"),
            }
        }
    }
}

fn needed(error: &std::io::Error) -> u64 {
    error.get_ref().and_then(|inner| inner.downcast_ref::<MemoryNeeded>()).expect("it is about memory").needs
}

/// As `zstd --long=27`.
fn long(data: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// As `xz -6`.
fn pack_xz(data: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_needs_too_much_memory_says_how_much() {
    let data = data(3 << 20, 9);
    let little = Limits { memory: 1 << 20, threads: 2 };
    for container in [Container::Zstd, Container::Xz] {
        let packed = if container == Container::Zstd { long(&data) } else { pack_xz(&data) };
        let needs = needed(&unpack_within(container, &packed, little).unwrap_err());
        let enough = Limits { memory: needs, ..little };
        assert!(unpack_within(container, &packed, enough).unwrap() == data, "{container} in {needs}");
        let almost = Limits { memory: needs / 4 * 3, ..little };
        let again = needed(&unpack_within(container, &packed, almost).unwrap_err());
        assert!(again.abs_diff(needs) <= needs / 8, "{container}: {again} and {needs}");
        println!("{container}: {} MiB", needs >> 20);
    }
}

proptest! {
    #[test]
    fn what_was_packed_comes_back(pieces: Vec<Vec<u8>>, which in 0..PACKED.len()) {
        let container = PACKED[which];
        let packed: Vec<u8> = pieces.iter().flat_map(|data| pack(container, data)).collect();
        if !packed.is_empty() {
            prop_assert_eq!(unpack(container, &packed).unwrap(), pieces.concat());
        }
    }

    #[test]
    fn a_changed_byte_never_goes_unseen(
        length in 0_usize..5000, seed: u32, which in 0..PACKED.len(), at: proptest::sample::Index, change in 1..=255_u8
    ) {
        let container = PACKED[which];
        let data = data(length, seed);
        let mut packed = pack(container, &data);
        let at = at.index(packed.len());
        packed[at] ^= change;
        if let Ok(found) = unpack(container, &packed) {
            prop_assert!(found == data, "{}", container);
        }
    }

    #[test]
    fn anything_is_survived(packed: Vec<u8>, which in 0..PACKED.len(), header in any::<bool>()) {
        let container = PACKED[which];
        let start = samples::pack(container, b"");
        let start = if header { &start[..start.len().min(10)] } else { &[] };
        let _ = unpack_within(container, &[start, &packed].concat(), Limits { memory: 1 << 26, ..PLENTY });
    }
}
