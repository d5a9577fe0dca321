//! In pieces on several threads and in one stream: the same data, or an error.

use std::io::{ErrorKind, Write};

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::Halt;
use crate::{
    Container,
    container::{
        Limits,
        samples::{PLENTY, data, pack, unpack},
    },
    fuzz::in_pieces,
};

/// A member that tells its length, as [`pack`](crate::pack) writes it, or as bgzip does.
fn member(data: &[u8], field: [u8; 2]) -> Vec<u8> {
    let size: u8 = if field == *b"BM" { 4 } else { 2 };
    let mut extra = vec![field[0], field[1], size, 0];
    extra.resize(4 + usize::from(size), 0);
    let mut encoder = flate2::GzBuilder::new().extra(extra).write(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    let mut member = encoder.finish().unwrap();
    let length = u32::try_from(member.len()).unwrap();
    if field == *b"BM" {
        member[16..20].copy_from_slice(&length.to_le_bytes());
    } else {
        member[16..18].copy_from_slice(&u16::try_from(length - 1).unwrap().to_le_bytes());
    }
    member
}

/// A frame that tells its content's size.
fn frame(data: &[u8], checksum: bool) -> Vec<u8> {
    let mut packer = zstd::bulk::Compressor::new(1).unwrap();
    packer.include_checksum(checksum).unwrap();
    packer.compress(data).unwrap()
}

/// Something that a file of this packing may hold, made of these data.
fn part(container: Container, kind: u8, data: &[u8]) -> Vec<u8> {
    match (container, kind) {
        (Container::Gzip, 0..5) => member(data, *b"BM"),
        (Container::Gzip, 5..8) => data.chunks(60_000).flat_map(|data| member(data, *b"BC")).collect(),
        (Container::Zstd, 0..5) => frame(data, true),
        (Container::Zstd, 5..7) => frame(data, false),
        (Container::Zstd, 7) => [b"\x53\x2a\x4d\x18\x05\0\0\0hello", &*frame(data, true)].concat(),
        // None that could be taken on its own.
        _ => pack(container, data),
    }
}

fn kind(halt: Halt) -> ErrorKind {
    match halt {
        Halt::At(_, error) => error.kind(),
        other => panic!("{other:?}"),
    }
}

const BOTH: [Container; 2] = [Container::Gzip, Container::Zstd];

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(4096), Just(1 << 16), 0..5000_usize, 0..300_000_usize]
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn pieces_of_any_size_give_what_one_stream_gives(
        parts in proptest::collection::vec((sizes(), 0_u8..10), 1..12),
        zstd in any::<bool>(),
        memory in prop_oneof![Just(0_u64), Just(1 << 22), Just(1 << 23), Just(1 << 28)],
        threads in 1_usize..5,
        read in 1_usize..5000,
    ) {
        let container = BOTH[usize::from(zstd)];
        let (mut packed, mut raw) = (Vec::new(), Vec::new());
        for (i, (size, kind)) in parts.into_iter().enumerate() {
            let data = data(size, u32::try_from(i).unwrap());
            packed.extend(part(container, kind, &data));
            raw.extend(data);
        }
        // A decoder of one stream needs some, too.
        let limits = Limits { memory: memory.max(1 << 21), threads };
        let reader = std::io::BufReader::with_capacity(read, &*packed);
        let found = in_pieces(container, reader, limits).map_err(kind);
        prop_assert!(found == Ok(raw));
        prop_assert!(unpack(container, &packed).is_ok());
    }

    #[test]
    fn a_changed_byte_never_goes_unseen(
        size in 0_usize..3000, zstd in any::<bool>(), of in 0_u8..7, at: proptest::sample::Index, change in 1..=255_u8
    ) {
        let container = BOTH[usize::from(zstd)];
        // All with a checksum.
        let of = if zstd { of % 5 } else { of };
        let (one, two) = (data(size, 1), data(70, 2));
        let mut packed = [part(container, of, &one), part(container, of, &two)].concat();
        let at = at.index(packed.len());
        packed[at] ^= change;
        if let Ok(found) = in_pieces(container, &*packed, PLENTY) {
            prop_assert_eq!(found, [one, two].concat());
        }
    }
}

#[test]
fn an_end_within_is_an_error_at_every_byte() {
    for (container, of) in [(Container::Gzip, 0), (Container::Gzip, 5), (Container::Zstd, 0)] {
        let data = data(2500, 3);
        let (one, two) = (part(container, of, &data), part(container, of, b"second"));
        let packed = [one.as_slice(), &two].concat();
        for end in 1..packed.len() {
            match in_pieces(container, &packed[..end], PLENTY) {
                Ok(found) => assert!(end == one.len() && found == data, "{container} at {end}"),
                Err(halt) => assert_eq!(kind(halt), ErrorKind::UnexpectedEof, "{container} at {end}"),
            }
        }
    }
}

#[test]
fn what_unpacks_to_more_or_less_than_it_tells_is_an_error() {
    let bomb = vec![0; 3 << 20];
    let mut gzip = [member(b"first", *b"BM"), member(&bomb, *b"BM")].concat();
    let size = gzip.len() - 4;
    for told in [0_u32, 5, 1 << 20, (3 << 20) - 1, (3 << 20) + 1, u32::MAX] {
        gzip[size..].copy_from_slice(&told.to_le_bytes());
        let kind = kind(in_pieces(Container::Gzip, &*gzip, PLENTY).unwrap_err());
        // The latter is what one stream says of it, to which it is left where it is too large for a piece.
        assert!(matches!(kind, ErrorKind::InvalidData | ErrorKind::InvalidInput), "{told}: {kind}");
    }
    let mut zstd = frame(&bomb, false);
    // A window, and four bytes for the size behind it.
    assert_eq!(zstd[4] & 0xe0, 0x80);
    for told in [0_u32, 5, 1 << 20, (3 << 20) - 1, (3 << 20) + 1] {
        zstd[6..10].copy_from_slice(&told.to_le_bytes());
        let packed = [frame(b"first", true), zstd.clone()].concat();
        assert!(in_pieces(Container::Zstd, &*packed, PLENTY).is_err(), "{told}");
    }
}

#[test]
fn what_is_wrong_first_is_told_with_its_place() {
    let parts: Vec<Vec<u8>> = (0..9).map(|i| member(&data(300_000, i), *b"BM")).collect();
    let packed = parts.concat();
    let place = |n: usize| parts[..n].iter().map(Vec::len).sum::<usize>();
    for (damaged, cut) in [(4, 8), (0, 2), (7, 9)] {
        let mut packed = packed[..place(cut) - 1].to_vec();
        packed[place(damaged) + 1000] ^= 0x55;
        let Err(Halt::At(at, error)) = in_pieces(Container::Gzip, &*packed, PLENTY) else {
            panic!("it was not seen");
        };
        assert_eq!((at, error.kind()), (place(damaged) as u64, ErrorKind::InvalidData), "{error}");
    }
}

#[test]
fn zeros_and_garbage_behind_the_pieces_are_as_behind_anything() {
    let gzip = member(b"data", *b"BM");
    assert_eq!(in_pieces(Container::Gzip, &*[&*gzip, &[0; 700]].concat(), PLENTY).unwrap(), b"data");
    let zstd = frame(b"data", true);
    for packed in [[&*gzip, b"\0\0x"].concat(), [&*gzip, b"\x1f\x8b"].concat(), [&*zstd, b"\0"].concat()] {
        let container = if packed.starts_with(&gzip) { Container::Gzip } else { Container::Zstd };
        assert!(in_pieces(container, &*packed, PLENTY).is_err());
    }
}
