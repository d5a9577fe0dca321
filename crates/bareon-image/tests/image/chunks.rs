//! Images with a chunk index: what is fetched, what is left as it is, what is found wrong.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bareon_image::{
    Algorithm, Container, Device, ImageError, Options, Progress, Reimage, Silent, Target, TargetState,
    Verify,
    index::{Index, SUFFIX},
    pack::{Packing, pack},
};

use crate::{
    device::Loop,
    server::{Content, Server, head},
    support::{Asked, Listener, MIB, OLD, Place, noise, options, sha256},
};

const ALL: usize = usize::MAX;

/// A packed image with an index: 9 MiB and a bit, of which 3 MiB are zeros.
struct Image {
    data: Vec<u8>,
    file: Vec<u8>,
    index: Index,
}

fn image(packing: Packing) -> Image {
    let mut data = noise(9 * MIB + 5);
    data[4 * MIB..7 * MIB].fill(0);
    packed(data, packing)
}

fn packed(data: Vec<u8>, packing: Packing) -> Image {
    let dir = tempfile::tempdir().unwrap();
    let (raw, out) = (dir.path().join("raw"), dir.path().join("out"));
    fs::write(&raw, &data).unwrap();
    let index = pack(&raw, packing, &out, 2, &Silent).unwrap().index.unwrap();
    Image { data, file: fs::read(out).unwrap(), index }
}

impl Image {
    /// A server that has image and index; `change` may do something else for the image.
    fn served(
        &self,
        change: impl Fn(&crate::server::Asked, &mut std::net::TcpStream) -> bool + Send + Sync + 'static,
    ) -> Server {
        let (file, index) = (Content::new(&self.file), Content::new(&self.index.to_bytes()));
        Server::start(move |asked, stream| {
            if is_index(asked) {
                index.send(asked, stream, ALL);
            } else if !change(asked, stream) {
                file.send(asked, stream, ALL);
            }
        })
    }

    fn request(&self, place: &Place, uris: &[String], target: &PathBuf) -> Asked {
        let mut request = place.request(&uris[0], self.index.container);
        request.uris = uris.to_vec();
        request.index_sha256 = Some(sha256(&self.index.to_bytes()));
        request.size = Some(self.data.len() as u64);
        request.expect(Algorithm::Sha256, sha256(&self.data));
        request.target.clone_from(target);
        request
    }
}

fn is_index(asked: &crate::server::Asked) -> bool {
    asked.target.strip_suffix(SUFFIX).is_some()
}

fn never(_: &crate::server::Asked, _: &mut std::net::TcpStream) -> bool {
    false
}

/// How many bytes of the image were asked for.
fn bytes_asked(server: &Server) -> usize {
    let image = server.asked().into_iter().filter(|asked| !is_index(asked));
    image.map(|asked| asked.last().unwrap() + 1 - asked.first().unwrap()).sum()
}

#[test]
fn an_image_arrives_in_pieces_and_its_zeros_are_not_fetched() {
    for packing in [Packing::Raw, Packing::Gzip, Packing::Zstd] {
        let image = image(packing);
        for verify in [Verify::Stream, Verify::Readback] {
            let place = Place::with_old_data(11 * MIB);
            let server = image.served(never);
            let request = image.request(&place, &[server.uri()], &place.target);
            let options = Options { verify, ..options() };
            let listener = Listener::default();
            let written = bareon_image::write(&request, &options, &request.target, &listener).unwrap();
            let content = place.content();
            assert!(content[..image.data.len()] == image.data, "{packing}");
            assert!(content[image.data.len()..].iter().all(|byte| *byte == OLD));
            assert_eq!((written.raw_bytes, written.reused_bytes), (image.data.len() as u64, 0));
            assert_eq!(written.sums.get(Algorithm::Sha256), Some(&*sha256(&image.data)));
            let zeros: u32 = image.index.chunks.iter().filter(|it| it.zeros).map(|it| it.length).sum();
            let wanted = image.file.len() - zeros as usize;
            // A byte was asked for to see whether parts are given.
            assert_eq!(bytes_asked(&server), wanted + 1, "{packing}");
            assert_eq!(written.container_bytes, wanted as u64);
            assert_eq!(*listener.chunks.lock().unwrap(), (1..=10).collect::<Vec<_>>());
        }
    }
}

#[test]
fn only_what_differs_is_fetched_where_the_target_holds_much_of_it() {
    let image = image(Packing::Gzip);
    let place = Place::with_old_data(11 * MIB);
    let mut old = image.data.clone();
    old[8 * MIB + 77] ^= 1;
    old[5 * MIB] = 1;
    fs::write(&place.target, &old).unwrap();
    let server = image.served(never);
    let request = image.request(&place, &[server.uri()], &place.target);
    let options = Options { reimage: Reimage::Differential, ..options() };
    let written = bareon_image::write(&request, &options, &request.target, &Silent).unwrap();
    assert!(place.content() == image.data);
    // The first MiB is always written anew, as it was cleared; with chunk 8 these are two of seven.
    let fetched = image.index.chunks[0].length + image.index.chunks[8].length;
    assert_eq!(written.container_bytes, u64::from(fetched));
    assert_eq!(written.reused_bytes, 4 * MIB as u64 + 5);
}

#[test]
fn a_chunk_that_is_wrong_is_fetched_again_alone() {
    let image = image(Packing::Gzip);
    let place = Place::with_old_data(11 * MIB);
    let wrong = usize::try_from(image.index.chunks[2].offset).unwrap();
    let times = Arc::new(AtomicUsize::new(0));
    let (bad, seen) = (Content::new(&changed(&image.file, wrong + 99)), Arc::clone(&times));
    let server = image.served(move |asked, stream| {
        let hit = (asked.first().unwrap()..=asked.last().unwrap()).contains(&(wrong + 99));
        let first = hit && seen.fetch_add(1, Ordering::SeqCst) == 0;
        if first {
            bad.send(asked, stream, ALL);
        }
        first
    });
    let request = image.request(&place, &[server.uri()], &place.target);
    bareon_image::write(&request, &options(), &request.target, &Silent).unwrap();
    assert!(place.content()[..image.data.len()] == image.data);
    assert_eq!(times.load(Ordering::SeqCst), 2);
    let alone = server.asked().into_iter().filter(|asked| asked.first() == Some(wrong));
    let lengths: Vec<_> = alone.map(|asked| asked.last().unwrap() + 1 - wrong).collect();
    assert_eq!(lengths[0], image.index.chunks[2].length as usize, "{lengths:?}");
}

fn changed(file: &[u8], at: usize) -> Vec<u8> {
    let mut file = file.to_vec();
    file[at] ^= 0x40;
    file
}

#[test]
fn a_chunk_that_is_always_wrong_ends_it_and_a_second_place_may_have_it() {
    let image = image(Packing::Raw);
    let place = Place::with_old_data(11 * MIB);
    let bad = Content::new(&changed(&image.file, 8 * MIB + 5));
    let spoilt = image.served(move |asked, stream| {
        bad.send(asked, stream, ALL);
        true
    });
    let request = image.request(&place, &[spoilt.uri()], &place.target);
    let failed = bareon_image::write(&request, &options(), &request.target, &Silent).unwrap_err();
    assert!(matches!(failed.error, ImageError::Chunk { number: 8, tries: 3, .. }), "{failed}");
    assert_eq!(failed.target, TargetState::Cleared);
    place.assert_first_mib_zero();
    let sound = image.served(never);
    let request = image.request(&place, &[spoilt.uri(), sound.uri()], &place.target);
    bareon_image::write(&request, &options(), &request.target, &Silent).unwrap();
    assert!(place.content()[..image.data.len()] == image.data);
}

#[test]
fn connections_that_break_are_taken_up_where_they_were() {
    let image = image(Packing::Raw);
    let place = Place::with_old_data(11 * MIB);
    let content = Content::new(&image.file);
    let server = image.served(move |asked, stream| {
        // Whole chunks get through, so that it goes on.
        content.send(asked, stream, MIB + 1000);
        true
    });
    let request = image.request(&place, &[server.uri()], &place.target);
    let written = bareon_image::write(&request, &options(), &request.target, &Silent).unwrap();
    assert!(written.resumes > 0);
    assert!(place.content()[..image.data.len()] == image.data);
}

#[test]
fn without_parts_or_index_it_is_fetched_in_one_stream() {
    let image = image(Packing::Gzip);
    let whole = Content::new(&image.file);
    let server = image.served(move |_, stream| {
        whole.send_whole(stream, ALL);
        true
    });
    let file = Content::new(&image.file);
    let no_index = Server::start(move |asked, stream| {
        if is_index(asked) {
            head(stream, "404 Not Found", "Content-Length: 0\r\n");
        } else {
            file.send(asked, stream, ALL);
        }
    });
    let other = Server::start({
        let (file, index) = (Content::new(&image.file), Content::new(&image.index.to_bytes()[..500]));
        move |asked, stream| if is_index(asked) { &index } else { &file }.send(asked, stream, ALL)
    });
    for server in [server, no_index, other] {
        let place = Place::with_old_data(11 * MIB);
        let request = image.request(&place, &[server.uri()], &place.target);
        let written = bareon_image::write(&request, &options(), &request.target, &Silent).unwrap();
        assert!(place.content()[..image.data.len()] == image.data);
        assert_eq!(written.container_bytes, image.file.len() as u64);
    }
}

#[test]
fn an_index_of_another_image_is_refused_before_anything_is_touched() {
    let image = image(Packing::Gzip);
    let place = Place::with_old_data(11 * MIB);
    let server = image.served(never);
    let good = image.request(&place, &[server.uri()], &place.target);
    let mut size = good.clone();
    size.size = Some(5);
    let mut sum = good.clone();
    sum.expect(Algorithm::Sha256, "0".repeat(64));
    let mut container = good.clone();
    container.request.container = Some(Container::Raw);
    for request in [size, sum, container] {
        let failed = bareon_image::write(&request, &options(), &request.target, &Silent).unwrap_err();
        assert_eq!(failed.target, TargetState::Untouched, "{failed}");
        place.assert_untouched();
    }
}

/// Says stop after so many MiB.
struct StopsAfter(u64, AtomicUsize);

impl Progress for StopsAfter {
    fn advanced(&self, raw: u64, _container: u64) {
        if raw >= self.0 {
            self.1.store(1, Ordering::SeqCst);
        }
    }

    fn cancelled(&self) -> bool {
        self.1.load(Ordering::SeqCst) == 1
    }
}

#[test]
fn a_run_goes_on_where_the_one_before_ended() {
    let image = packed(noise(40 * MIB), Packing::Raw);
    let place = Place::with_old_data(41 * MIB);
    let Some(device) = Loop::over(&place, 512) else { return };
    let content = Content::new(&image.file);
    let server = image.served(move |asked, stream| {
        // What is far behind never comes: there is no telling how long the rest takes.
        let late = asked.first().unwrap() >= 24 * MIB;
        if late {
            content.send(asked, stream, 0);
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        late
    });
    let request = image.request(&place, &[server.uri()], &device.0);
    let patient =
        Options { http: bareon_image::HttpOptions { max_retries: 0, ..options().http }, ..options() };
    let stops = StopsAfter(20 * MIB as u64, AtomicUsize::new(0));
    let failed = bareon_image::write(&request, &patient, &request.target, &stops).unwrap_err();
    assert!(matches!(failed.error, ImageError::Cancelled), "{failed}");
    assert_eq!(failed.target, TargetState::Cleared);
    let begun = place.content();
    assert!(begun[..MIB / 2].iter().all(|byte| *byte == 0), "nothing is there that mounts");

    let again = image.served(never);
    let request = image.request(&place, &[again.uri()], &device.0);
    let written = bareon_image::write(&request, &options(), &request.target, &Silent).unwrap();
    assert!(written.reused_bytes >= 19 * MIB as u64, "{}", written.reused_bytes);
    assert_eq!(written.reused_bytes + written.container_bytes, image.data.len() as u64);
    drop(device);
    assert!(place.content()[..image.data.len()] == image.data);
}

#[test]
fn what_the_journal_says_is_looked_at() {
    let image = packed(noise(8 * MIB), Packing::Raw);
    let place = Place::with_old_data(9 * MIB);
    let Some(device) = Loop::over(&place, 512) else { return };
    let server = image.served(never);
    let stops = StopsAfter(3 * MIB as u64, AtomicUsize::new(0));
    let request = image.request(&place, &[server.uri()], &device.0);
    bareon_image::write(&request, &options(), &request.target, &stops).unwrap_err();
    // Somebody wrote there meanwhile.
    let file = fs::OpenOptions::new().write(true).open(&device.0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![3; 7 * MIB], MIB as u64).unwrap();
    file.sync_all().unwrap();
    drop(file);
    let written = bareon_image::write(&request, &options(), &request.target, &Silent).unwrap();
    assert_eq!(written.reused_bytes, 0);
    drop(device);
    assert!(place.content()[..image.data.len()] == image.data);
}

#[test]
fn several_devices_get_it_from_one_transfer_and_each_keeps_what_it_has() {
    let image = image(Packing::Zstd);
    let (first, second) = (Place::with_old_data(11 * MIB), Place::with_old_data(11 * MIB));
    let mut old = image.data.clone();
    old[8 * MIB + 77] ^= 1;
    fs::write(&first.target, &old).unwrap();
    let server = image.served(never);
    let request = image.request(&first, &[server.uri()], &first.target);
    let options = Options { reimage: Reimage::Differential, verify: Verify::Readback, ..options() };
    let mut devices = [&first, &second].map(|place| Device::open(&place.target).unwrap());
    let written = bareon_image::write_devices(&request, &options, &mut devices, &Silent).unwrap();
    let data: u32 = image.index.chunks.iter().filter(|it| !it.zeros).map(|it| it.length).sum();
    // What one of them lacks is fetched, once.
    assert_eq!((written.container_bytes, written.reused_bytes), (u64::from(data), 0));
    assert!(devices.iter().all(|device| device.state() == TargetState::Written));
    for place in [first, second] {
        assert!(place.content()[..image.data.len()] == image.data);
    }
}

#[test]
fn a_device_looks_at_the_beginning_before_it_takes_an_image() {
    for packing in [Packing::Raw, Packing::Gzip] {
        let image = image(packing);
        let (first, second) = (Place::with_old_data(11 * MIB), Place::with_old_data(11 * MIB));
        let server = image.served(never);
        let mut request = image.request(&first, &[server.uri()], &first.target);
        for index in [request.index_sha256.clone(), None] {
            request.request.index_sha256 = index;
            let expected = image.data[..bareon_image::LOOKED_AT].to_vec();
            let open = |place: &Place, suits: bool| {
                let expected = expected.clone();
                let misfit = move |beginning: &[u8]| {
                    assert!(beginning == expected);
                    (!suits).then(|| "it is too blue".to_owned())
                };
                Device::open(&place.target).unwrap().unless(misfit)
            };
            let mut devices = [open(&first, true), open(&second, false)];
            let failed = bareon_image::write_devices(&request, &options(), &mut devices, &Silent);
            assert!(failed.unwrap_err().to_string().contains("too blue"));
            assert_eq!(devices[1].state(), TargetState::Untouched);
            second.assert_untouched();
            let mut devices = [open(&first, true)];
            bareon_image::write_devices(&request, &options(), &mut devices, &Silent).unwrap();
            assert!(first.content()[..image.data.len()] == image.data);
            fs::write(&first.target, vec![OLD; 11 * MIB]).unwrap();
        }
    }
}

#[test]
fn what_a_device_looked_at_is_not_fetched_again() {
    let mut empty_first = noise(9 * MIB);
    empty_first[..4 * MIB].fill(0);
    let images = [
        image(Packing::Raw),
        image(Packing::Gzip),
        image(Packing::Zstd),
        // What is looked at is all there is, or nothing but zeros.
        packed(noise(MIB / 2), Packing::Gzip),
        packed(empty_first, Packing::Zstd),
    ];
    for image in images {
        for verify in [Verify::Stream, Verify::Readback] {
            let place = Place::with_old_data(11 * MIB);
            let server = image.served(never);
            let request = image.request(&place, &[server.uri()], &place.target);
            let options = Options { verify, reimage: Reimage::Differential, ..options() };
            let mut devices = [Device::open(&place.target).unwrap().unless(|_| None)];
            let written = bareon_image::write_devices(&request, &options, &mut devices, &Silent).unwrap();
            assert!(place.content()[..image.data.len()] == image.data);
            let data: u32 = image.index.chunks.iter().filter(|it| !it.zeros).map(|it| it.length).sum();
            assert_eq!(written.container_bytes, u64::from(data));
            assert_eq!(written.reused_bytes, 0);
            // And a byte, to see whether parts are given.
            assert_eq!(bytes_asked(&server), data as usize + 1);
        }
    }
}

#[test]
fn a_place_that_has_the_image_no_more_is_not_asked_again() {
    let image = image(Packing::Raw);
    let gone = || {
        image.served(|asked, stream| {
            let gone = asked.number > 2;
            if gone {
                head(stream, "404 Not Found", "Content-Length: 0\r\n");
            }
            gone
        })
    };
    let (first, second) = (gone(), image.served(never));
    let place = Place::with_old_data(11 * MIB);
    let request = image.request(&place, &[first.uri(), second.uri()], &place.target);
    let written = bareon_image::write(&request, &options(), &request.target, &Silent).unwrap();
    assert_eq!(written.resumes, 0);
    assert!(place.content()[..image.data.len()] == image.data);

    let alone = gone();
    let request = image.request(&place, &[alone.uri()], &place.target);
    let failed = bareon_image::write(&request, &options(), &request.target, &Silent).unwrap_err();
    assert!(failed.to_string().contains("404"), "{failed}");
    assert_eq!(failed.target, TargetState::Cleared);
    place.assert_first_mib_zero();
}
