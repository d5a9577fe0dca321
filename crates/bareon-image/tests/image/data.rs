//! Images that are right, wrong, cut and damaged, from local files onto regular files.

use std::fs;

use bareon_image::{
    Algorithm, Container, Device, ImageError, Options, Target, TargetState, Verify, write_to,
};
use sha2::Digest;

use crate::support::{Asked, Listener, MIB, OLD, Place, gzip, hex, md5, noise, options, sha256, write};

#[test]
fn all_that_is_known_is_compared_and_reported() {
    let data = noise(2 * MIB + 123);
    let packed = gzip(&data);
    let place = Place::with_old_data(4 * MIB);
    let mut request = place.request(&format!("file://{}", place.source(&packed)), Container::Gzip);
    request.size = Some(data.len() as u64);
    request.expect(Algorithm::Md5, md5(&data).to_uppercase());
    request.expect(Algorithm::Sha256, sha256(&data));
    request.expect_of_file(Algorithm::Sha256, sha256(&packed));
    let written = write(&request).unwrap();
    assert_eq!(written.sums.get(Algorithm::Md5), Some(&*md5(&data)));
    assert_eq!(written.sums.get(Algorithm::Sha256), Some(&*sha256(&data)));
    assert_eq!(written.container_sums.get(Algorithm::Sha256), Some(&*sha256(&packed)));
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
            request.expect_of_file(Algorithm::Sha256, sha256(&packed));
            let chunk = 1 << 16;
            let options = Options { chunk, ..options() };
            let listener = Listener::default();
            let written = bareon_image::write(&request, &options, &request.target, &listener).unwrap();
            assert_eq!(written.raw_bytes, size as u64);
            let numbers: Vec<u64> = (1..=size.div_ceil(MIB) as u64).collect();
            assert_eq!(*listener.chunks.lock().unwrap(), numbers);
            let content = place.content();
            assert!(content[..size] == data, "{container} of {size} bytes");
            assert!(content[size..].iter().all(|byte| *byte == 0));
        }
    }
}

type Change = fn(&mut Asked, &[u8]);

#[test]
fn what_does_not_match_leaves_nothing_that_mounts() {
    let data = noise(2 * MIB);
    let packed = gzip(&data);
    let other = noise(5);
    let changes: [(&str, Change); 5] = [
        ("at least", |request, _| request.size = Some(2 * (MIB as u64) - 1)),
        ("not 2097153", |request, _| request.size = Some(2 * (MIB as u64) + 1)),
        ("md5", |request, other| request.expect(Algorithm::Md5, md5(other))),
        ("the sha256", |request, other| request.expect(Algorithm::Sha256, sha256(other))),
        ("container sha256", |request, other| request.expect_of_file(Algorithm::Sha256, sha256(other))),
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
    request.expect(Algorithm::Md5, "none".to_owned());
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
    let failed = bareon_image::write(&request, &options(), &request.target, &AfterTwo).unwrap_err();
    assert!(matches!(failed.error, ImageError::Cancelled), "{failed:?}");
    assert_eq!(failed.target, bareon_image::TargetState::Cleared);
    place.assert_first_mib_zero();
}

#[test]
fn the_packing_is_found_and_all_sums_are_compared() {
    let data = noise(MIB + 700);
    for packed in [data.clone(), gzip(&data)] {
        let place = Place::with_old_data(2 * MIB);
        let mut request = place.request(&place.source(&packed), Container::Raw);
        request.container = None;
        for (algorithm, sum) in [
            (Algorithm::Md5, md5(&data)),
            (Algorithm::Sha1, hex(&sha1::Sha1::digest(&data))),
            (Algorithm::Sha256, sha256(&data)),
            (Algorithm::Sha512, hex(&sha2::Sha512::digest(&data))),
            (Algorithm::Blake3, blake3::hash(&data).to_string()),
        ] {
            request.expect(algorithm, sum);
            request.expect_of_file(Algorithm::Sha256, sha256(&packed));
            write(&request).unwrap();
            let mut wrong = request.clone();
            wrong.expect(algorithm, "0".repeat(algorithm.digits()));
            let error = write(&wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("the {algorithm} sum")), "{error}");
            let mut wrong = request.clone();
            wrong.expect_of_file(algorithm, "0".repeat(algorithm.digits()));
            fs::write(&wrong.target, vec![OLD; 2 * MIB]).unwrap();
            let error = write(&wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("container {algorithm} sum")), "{error}");
        }
    }
}

#[test]
fn several_targets_get_the_same_from_one_transfer() {
    let mut data = noise(3 * MIB);
    data[MIB + 100..2 * MIB + 900].fill(0);
    let (first, second) = (Place::with_old_data(4 * MIB), Place::with_old_data(4 * MIB));
    let request = first.request(&first.source(&gzip(&data)), Container::Gzip);
    let mut devices = [&first, &second].map(|place| Device::open(&place.target).unwrap());
    let [one, two] = &mut devices;
    let options = Options { verify: Verify::Readback, ..options() };
    let written = write_to(&request, &options, &mut [one, two], &Listener::default()).unwrap();
    assert_eq!(written.raw_bytes, data.len() as u64);
    for (device, place) in devices.iter().zip([first, second]) {
        assert_eq!(device.state(), TargetState::Written);
        assert!(place.content()[..data.len()] == data);
        assert!(place.content()[data.len()..].iter().all(|byte| *byte == OLD));
    }
}

/// Says that it has room, takes all, and has another byte on its medium than it was given.
#[derive(Default)]
struct Forgetful {
    bytes: Vec<u8>,
    committed: bool,
}

impl Target for Forgetful {
    fn check_room(&self, _needs: u64, _exact: bool) -> Result<(), ImageError> {
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> Result<(), ImageError> {
        self.bytes.clear();
        Ok(())
    }

    fn commit(&mut self) -> Result<(), ImageError> {
        self.committed = true;
        Ok(())
    }

    fn read_back(&mut self, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, ImageError> {
        let last = self.bytes.len() - 1;
        self.bytes[last] ^= 1;
        take(&self.bytes);
        Ok(true)
    }

    fn differs(&self) -> ImageError {
        ImageError::Differs { path: "medium".into() }
    }

    fn state(&self) -> TargetState {
        TargetState::Cleared
    }
}

#[test]
fn a_medium_that_forgets_is_found_by_reading_back() {
    let place = Place::with_old_data(0);
    let request = place.request(&place.source(&noise(2 * MIB)), Container::Raw);
    let mut target = Forgetful::default();
    let readback = Options { verify: Verify::Readback, ..options() };
    let error = write_to(&request, &readback, &mut [&mut target], &Listener::default()).unwrap_err();
    assert!(matches!(error, ImageError::Differs { .. }) && !target.committed, "{error}");
    write_to(&request, &options(), &mut [&mut target], &Listener::default()).unwrap();
    assert!(target.committed);
}
