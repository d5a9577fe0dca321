//! Images that are right, wrong, cut and damaged, from local files onto regular files.

use bareon_image::{Container, ImageError, Options};

use crate::support::{Listener, MIB, OLD, Place, gzip, md5, noise, options, sha256, write};

#[test]
fn all_that_is_known_is_compared_and_reported() {
    let data = noise(2 * MIB + 123);
    let packed = gzip(&data);
    let place = Place::with_old_data(4 * MIB);
    let mut request = place.request(&format!("file://{}", place.source(&packed)), Container::Gzip);
    request.size = Some(data.len() as u64);
    request.md5 = Some(md5(&data).to_uppercase());
    request.sha256 = Some(sha256(&data));
    request.container_sha256 = Some(sha256(&packed));
    let written = write(&request).unwrap();
    assert_eq!(written.md5, Some(md5(&data)));
    assert_eq!(written.sha256, sha256(&data));
    assert_eq!(written.container_sha256, Some(sha256(&packed)));
    let content = place.content();
    assert_eq!(&content[..data.len()], data);
    // A file that is larger keeps what lies behind.
    assert_eq!(content.len(), 4 * MIB);
    assert!(content[data.len()..].iter().all(|byte| *byte == OLD));
}

#[test]
fn images_of_every_odd_size_arrive() {
    for size in [1, 511, 4096, MIB - 1, MIB, MIB + 1, MIB + 4096, 2 * MIB - 1, 3 * MIB + 4097] {
        let data = noise(size);
        for container in [Container::Raw, Container::Gzip] {
            let place = Place::with_old_data(0);
            let packed = if container == Container::Raw { data.clone() } else { gzip(&data) };
            let mut request = place.request(&place.source(&packed), container);
            request.container_sha256 = Some(sha256(&packed));
            let chunk = 1 << 16;
            let options = Options { chunk, ..options() };
            let listener = Listener::default();
            let written = bareon_image::write(&request, &options, &listener).unwrap();
            assert_eq!(written.raw_bytes, size as u64);
            let numbers: Vec<u64> = (1..=size.div_ceil(MIB) as u64).collect();
            assert_eq!(*listener.chunks.lock().unwrap(), numbers);
            let content = place.content();
            assert!(content[..size] == data, "{container} of {size} bytes");
            assert!(content[size..].iter().all(|byte| *byte == 0));
        }
    }
}

type Change = fn(&mut bareon_image::Request, &[u8]);

#[test]
fn what_does_not_match_leaves_nothing_that_mounts() {
    let data = noise(2 * MIB);
    let packed = gzip(&data);
    let other = noise(5);
    let changes: [(&str, Change); 5] = [
        ("at least", |request, _| request.size = Some(2 * (MIB as u64) - 1)),
        ("not 2097153", |request, _| request.size = Some(2 * (MIB as u64) + 1)),
        ("md5", |request, other| request.md5 = Some(md5(other))),
        ("the sha256", |request, other| request.sha256 = Some(sha256(other))),
        ("container sha256", |request, other| request.container_sha256 = Some(sha256(other))),
    ];
    for (message, change) in changes {
        let place = Place::with_old_data(3 * MIB);
        let mut request = place.request(&place.source(&packed), Container::Gzip);
        change(&mut request, &other);
        let error = write(&request).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
        assert!(matches!(error, ImageError::Size { .. } | ImageError::Digest { .. }));
        place.assert_first_mib_zero();
    }
}

#[test]
fn a_raw_image_of_another_size_is_refused_before_the_first_byte() {
    let place = Place::with_old_data(MIB);
    let mut request = place.request(&place.source(&noise(MIB)), Container::Raw);
    request.size = Some(5);
    let error = write(&request).unwrap_err();
    assert!(matches!(error, ImageError::Size { expected: 5, exact: true, .. }), "{error:?}");
    place.assert_untouched();
}

#[test]
fn packed_data_that_break_off_are_an_error() {
    let packed = gzip(&noise(2 * MIB));
    for cut in [3, 10, 1000, MIB, packed.len() - 8, packed.len() - 1] {
        let place = Place::with_old_data(3 * MIB);
        let error = write(&place.request(&place.source(&packed[..cut]), Container::Gzip)).unwrap_err();
        assert!(matches!(error, ImageError::Truncated { .. }), "cut at {cut}: {error:?}");
        place.assert_first_mib_zero_or_untouched();
    }
}

#[test]
fn a_member_that_is_missing_is_found_by_the_size() {
    let (one, two) = (noise(2 * MIB), b"two".as_slice());
    let place = Place::with_old_data(0);
    let mut request = place.request(&place.source(&gzip(&one)), Container::Gzip);
    request.size = Some((one.len() + two.len()) as u64);
    assert!(matches!(write(&request).unwrap_err(), ImageError::Size { exact: true, .. }));
    place.assert_first_mib_zero();
    place.source(&[gzip(&one), gzip(two), vec![0; 1000]].concat());
    write(&request).unwrap();
    assert_eq!(place.content(), [&one, two].concat());
}

#[test]
fn damage_and_garbage_are_errors() {
    let packed = gzip(&noise(2 * MIB));
    let mut damaged = packed.clone();
    damaged[MIB] ^= 1;
    for packed in [damaged, [packed.as_slice(), b"garbage"].concat()] {
        let place = Place::with_old_data(3 * MIB);
        let error = write(&place.request(&place.source(&packed), Container::Gzip)).unwrap_err();
        assert!(matches!(error, ImageError::Corrupt { .. }), "{error:?}");
        place.assert_first_mib_zero_or_untouched();
    }
}

#[test]
fn sources_that_are_none_leave_the_target_alone() {
    let place = Place::with_old_data(MIB);
    let empty = place.source(b"");
    let error = write(&place.request(&empty, Container::Raw)).unwrap_err();
    assert!(matches!(error, ImageError::Empty { .. }), "{error:?}");
    for path in ["/nowhere/image", place.dir.path().to_str().unwrap()] {
        let error = write(&place.request(path, Container::Raw)).unwrap_err();
        assert!(matches!(error, ImageError::Read { .. }), "{error:?}");
    }
    let error = write(&place.request(&place.source(b"\xfd7zXZ\0\0"), Container::Gzip)).unwrap_err();
    assert!(error.to_string().contains("looks like xz"), "{error}");
    let mut request = place.request(&empty, Container::Raw);
    let error = write(&place.request(&place.source(&gzip(b"data")), Container::Raw)).unwrap_err();
    assert!(error.to_string().contains("is gzip, not raw"), "{error}");
    request.md5 = Some("none".to_owned());
    assert!(matches!(write(&request).unwrap_err(), ImageError::BadDigest { .. }));
    place.assert_untouched();
}

#[test]
fn an_image_of_no_bytes_is_an_error_even_when_packed() {
    let place = Place::with_old_data(MIB);
    let error = write(&place.request(&place.source(&gzip(b"")), Container::Gzip)).unwrap_err();
    assert!(matches!(error, ImageError::Empty { .. }), "{error:?}");
    place.assert_untouched();
}

#[test]
fn targets_that_are_none_are_refused() {
    let place = Place::with_old_data(0);
    let mut request = place.request(&place.source(b"data"), Container::Raw);
    request.target = place.dir.path().join("absent");
    assert!(matches!(write(&request).unwrap_err(), ImageError::Open { .. }));
    assert!(!request.target.exists());
    for target in ["/dev/null", "/tmp"] {
        request.target = target.into();
        assert!(matches!(write(&request).unwrap_err(), ImageError::Kind { .. }), "{target}");
    }
}

#[test]
fn a_stop_leaves_nothing_that_mounts() {
    struct AfterTwo;
    impl bareon_image::Progress for AfterTwo {
        fn chunk(&self, number: u64) {
            assert!(number <= 2, "it went on");
            STOP.store(number == 2, std::sync::atomic::Ordering::SeqCst);
        }
        fn cancelled(&self) -> bool {
            STOP.load(std::sync::atomic::Ordering::SeqCst)
        }
    }
    static STOP: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let place = Place::with_old_data(9 * MIB);
    let request = place.request(&place.source(&noise(8 * MIB)), Container::Raw);
    let failed = bareon_image::write(&request, &options(), &AfterTwo).unwrap_err();
    assert!(matches!(failed.error, ImageError::Cancelled), "{failed:?}");
    assert_eq!(failed.target, bareon_image::TargetState::Cleared);
    place.assert_first_mib_zero();
    assert!(place.content()[3 * MIB..].iter().all(|byte| *byte == OLD));
}
