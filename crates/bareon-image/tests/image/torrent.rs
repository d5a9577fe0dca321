//! Torrents shared with the peers that others wrote: aria2 and Transmission, over opentracker. All is in a network of
//! its own, which takes root; no packet leaves it. Transmission talks neither to the loopback nor to its own
//! address, so it has one for itself.

#![expect(clippy::disallowed_methods, reason = "the peers are programs that a test starts and ends")]

mod peers;
mod rack;
mod ways;

use std::{
    fs,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use bareon_image::{Algorithm, Container, ImageError, TargetState};

use crate::{
    device::Loop,
    support::{Listener, MIB, OLD, Place, gzip, noise, sha256, told},
};
use peers::{Leeched, Peer, Shared, alone, alone_in_a_network, wait_for, write};

/// `seeder` gives it to us; then, without that one, we to `leecher`.
fn passed_on(seeder: Peer, leecher: Peer, container: Container, magnet: bool) {
    alone_in_a_network();
    let data = noise(9 * MIB + 77);
    let file = if container == Container::Gzip { gzip(&data) } else { data.clone() };
    let place = Place::with_old_data(0);
    let shared = Shared::new(&place, "root.img", &file);
    let first = seeder.start(&shared.torrent, &shared.dir);
    shared.wait_for_a_seeder();
    let uri = if magnet { shared.magnet() } else { shared.uri().to_owned() };
    let mut request = place.request(&uri, container);
    // What is raw goes onto a device without a detour.
    let device = (container == Container::Raw).then(|| {
        fs::write(&place.target, vec![OLD; 16 * MIB]).unwrap();
        Loop::over(&place, 512).unwrap()
    });
    if let Some(device) = &device {
        request.target.clone_from(&device.0);
    }
    let listener = Arc::new(Listener::default());
    let (told, target) = (Arc::clone(&listener), request.target.clone());
    let ours = thread::spawn(move || bareon_image::write(&request, &alone(600), &request.target, &*told));
    wait_for("image", || ours.is_finished() || fs::read(&target).unwrap().starts_with(&data));
    assert!(!ours.is_finished(), "{:?}", ours.join());
    drop(first);
    let folder = Leeched::new(&place, "leeched");
    let second = folder.begin(leecher, &shared);
    folder.wait_for(&shared, &file);
    drop(second);
    listener.cancel.store(true, Ordering::Relaxed);
    let written = ours.join().unwrap().unwrap();
    assert_eq!(written.raw_bytes, data.len() as u64);
    assert_eq!(written.container_bytes, file.len() as u64);
    assert_eq!(written.sums.get(Algorithm::Sha256), Some(&*sha256(&data)));
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn a_raw_image_comes_from_transmission_straight_onto_a_device_and_goes_on_from_there_to_aria2() {
    passed_on(Peer::Transmission, Peer::Aria2, Container::Raw, false);
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn what_no_peer_gives_is_fetched_from_the_next_address() {
    alone_in_a_network();
    let data = noise(3 * MIB + 5);
    for container in [Container::Gzip, Container::Raw] {
        let place = Place::with_old_data(MIB);
        let file = if container == Container::Gzip { gzip(&data) } else { data.clone() };
        let shared = Shared::new(&place, "root.img", &file);
        let mut options = alone(0);
        options.torrent.timeout = Duration::from_millis(500);
        let mut request = place.request(shared.uri(), container);
        request.uris.push(place.source(&file));
        let written = write(&request, &options).unwrap();
        assert_eq!(written.uri, request.uris[1]);
        assert!(place.content() == data);
    }
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn a_raw_image_with_another_sum_never_gets_its_first_mib() {
    alone_in_a_network();
    let data = noise(3 * MIB);
    let place = Place::with_old_data(3 * MIB);
    let shared = Shared::new(&place, "root.img", &data);
    let _seeder = Peer::Aria2.start(&shared.torrent, &shared.dir);
    shared.wait_for_a_seeder();
    let mut request = place.request(shared.uri(), Container::Raw);
    request.expect(Algorithm::Blake3, "0".repeat(64));
    let error = write(&request, &alone(0)).unwrap_err();
    assert!(matches!(error.error, ImageError::Digest { .. }), "{error:?}");
    assert_eq!(error.target, TargetState::Cleared);
    place.assert_first_mib_zero();
    assert!(place.content()[MIB..] == data[MIB..]);
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn a_packed_image_comes_from_aria2_and_goes_on_to_transmission() {
    passed_on(Peer::Aria2, Peer::Transmission, Container::Gzip, false);
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn a_packed_image_comes_from_transmission_by_a_magnet_link_and_goes_on_to_aria2() {
    passed_on(Peer::Transmission, Peer::Aria2, Container::Gzip, true);
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn a_torrent_without_peers_is_given_up_and_says_so() {
    alone_in_a_network();
    let place = Place::with_old_data(MIB);
    let shared = Shared::new(&place, "root.img", &gzip(&noise(MIB)));
    let mut options = alone(0);
    options.torrent.timeout = Duration::from_millis(500);
    for uri in [shared.uri(), &shared.magnet()] {
        let error = write(&place.request(uri, Container::Gzip), &options).unwrap_err();
        assert!(error.error.is_of_source());
        let message = told(&error.error);
        assert!(message.contains("no peer was found for 500ms"), "{message}");
        place.assert_untouched();
    }
}

#[test]
fn what_is_no_torrent_is_refused_by_name() {
    let place = Place::with_old_data(MIB);
    let path = place.dir.path().join("broken.torrent");
    fs::write(&path, "d8:announce").unwrap();
    let error = write(&place.request(path.to_str().unwrap(), Container::Raw), &alone(0)).unwrap_err();
    let message = told(&error.error);
    assert!(message.contains("broken.torrent") && message.contains("it cannot be used"), "{message}");
    place.assert_untouched();
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn a_torrent_that_no_memory_holds_is_kept_in_the_spool_or_refused() {
    alone_in_a_network();
    let place = Place::with_old_data(0);
    let data = noise(9 * MIB);
    let shared = Shared::new(&place, "root.img.gz", &gzip(&data));
    let _seeder = Peer::Aria2.start(&shared.torrent, &shared.dir);
    shared.wait_for_a_seeder();
    let request = place.request(shared.uri(), Container::Gzip);
    let mut options = alone(0);
    options.memory_limit = 20 << 20;
    let error = write(&request, &options).unwrap_err();
    assert!(matches!(error.error, ImageError::TorrentRoom { .. }), "{error:?}");
    options.torrent.spool = Some(place.dir.path().into());
    write(&request, &options).unwrap();
    assert!(place.content() == data);
}
