//! Several machines of ours at once, each in a network of its own: what they give to each other, for how long, and how
//! fast.

use std::{
    fs,
    sync::{Arc, Barrier, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use bareon_image::{Container, Options, TorrentOptions};

use super::peers::{
    Leeched, Peer, Shared, alone, alone_in_a_network, on_a_machine, received, sent, wait_for, write,
};
use crate::{
    device::Loop,
    support::{Listener, MIB, OLD, Place, gzip, noise},
};

/// How many machines begin at once.
const MACHINES: u8 = 4;

/// They begin together, with one seeder whose line is narrow.
fn given_among_themselves(container: Container) {
    alone_in_a_network();
    let data = Arc::new(noise(16 * MIB + 77));
    let file = if container == Container::Gzip { gzip(&data) } else { data.to_vec() };
    let place = Place::with_old_data(0);
    let shared = Shared::new(&place, "root.img", &file);
    let _seeder = Peer::Aria2.start_with(&shared.torrent, &shared.dir, &["--max-overall-upload-limit=1M"]);
    shared.wait_for_a_seeder();
    let before = sent("here");
    let together = Arc::new(Barrier::new(MACHINES.into()));
    let machines: Vec<_> = (0..MACHINES)
        .map(|number| {
            let (uri, together, data) = (shared.uri().to_owned(), Arc::clone(&together), Arc::clone(&data));
            on_a_machine(number, move || {
                let own = Place::with_old_data(0);
                fs::write(&own.target, vec![OLD; 17 * MIB]).unwrap();
                let device = Loop::over(&own, 512).unwrap();
                let mut request = own.request(&uri, container);
                request.target.clone_from(&device.0);
                together.wait();
                write(&request, &alone(0)).unwrap();
                assert!(fs::read(&device.0).unwrap().starts_with(&data));
            })
        })
        .collect();
    for machine in machines {
        machine.join().unwrap();
    }
    let (given, size) = (sent("here") - before, file.len() as u64);
    println!("{container:?}: of {size} bytes for {MACHINES} machines, {given} came from the seeder");
    // All that it sent is in it, what was said beside the image, too.
    assert!(given >= size, "the image came from nowhere");
    assert!(given < 3 * size, "of {size} bytes for {MACHINES} machines, {given} came from the seeder");
}

#[test]
#[ignore = "needs root, for networks of its own"]
fn machines_that_begin_together_give_a_raw_image_to_each_other() {
    given_among_themselves(Container::Raw);
}

#[test]
#[ignore = "needs root, for networks of its own"]
fn machines_that_begin_together_give_a_packed_image_to_each_other() {
    given_among_themselves(Container::Gzip);
}

/// A machine of ours that has all of it already, gives it away, and is the only one.
struct Giving {
    place: Place,
    shared: Shared,
    file: Vec<u8>,
    listener: Arc<Listener>,
    machine: thread::JoinHandle<bareon_image::Written>,
}

impl Giving {
    fn new(container: Container, options: Options) -> Self {
        let data = noise(9 * MIB + 77);
        let file = if container == Container::Gzip { gzip(&data) } else { data.clone() };
        let place = Place::with_old_data(0);
        let shared = Shared::new(&place, "root.img", &file);
        let seeder = Peer::Aria2.start(&shared.torrent, &shared.dir);
        shared.wait_for_a_seeder();
        let request = place.request(shared.uri(), container);
        let listener = Arc::new(Listener::default());
        let told = Arc::clone(&listener);
        let machine = on_a_machine(0, move || {
            bareon_image::write(&request, &options, &request.target, &*told).unwrap()
        });
        wait_for("image", || machine.is_finished() || place.content() == data);
        drop(seeder);
        Self { place, shared, file, listener, machine }
    }
}

#[test]
#[ignore = "needs root, for networks of its own"]
fn a_machine_gives_until_others_have_it_as_often_as_was_asked_for() {
    for container in [Container::Raw, Container::Gzip] {
        alone_in_a_network();
        let mut options = alone(600);
        options.torrent.seed_percent = Some(150);
        let giving = Giving::new(container, options);
        let first = Leeched::new(&giving.place, "first");
        let peer = first.begin(Peer::Aria2, &giving.shared);
        first.wait_for(&giving.shared, &giving.file);
        assert!(!giving.machine.is_finished(), "it gave once, not one and a half times");
        drop(peer);
        // This one is left with a half.
        let second = Leeched::new(&giving.place, "second");
        let _peer = second.begin(Peer::Aria2, &giving.shared);
        wait_for("end", || giving.machine.is_finished());
        giving.machine.join().unwrap();
    }
}

#[test]
#[ignore = "needs root, for networks of its own"]
fn who_gives_it_once_gives_all_of_it() {
    for peer in [Peer::Aria2, Peer::Transmission] {
        alone_in_a_network();
        let mut options = alone(600);
        options.torrent.seed_percent = Some(100);
        let giving = Giving::new(Container::Raw, options);
        let leeched = Leeched::new(&giving.place, "leeched");
        let _peer = leeched.begin(peer, &giving.shared);
        leeched.wait_for(&giving.shared, &giving.file);
        wait_for("end", || giving.machine.is_finished());
        giving.machine.join().unwrap();
    }
}

#[test]
#[ignore = "needs root, for networks of its own"]
fn a_machine_that_nobody_asks_gives_for_as_long_as_was_said() {
    alone_in_a_network();
    let begun = Instant::now();
    let giving = Giving::new(Container::Gzip, alone(2));
    wait_for("end", || giving.machine.is_finished());
    let written = giving.machine.join().unwrap();
    assert!(begun.elapsed() >= written.elapsed + Duration::from_secs(2));
}

#[test]
#[ignore = "needs root, for networks of its own"]
fn no_more_is_given_in_a_second_than_was_allowed_and_one_block_at_least() {
    for (asked, limit) in [(256 << 10, 256 << 10), (1, TorrentOptions::BLOCK)] {
        alone_in_a_network();
        let mut options = alone(600);
        options.torrent.upload_limit = Some(asked);
        let giving = Giving::new(Container::Raw, options);
        // Of what the machine sends, nearly all goes to the leecher, as it is the only one.
        let before = received("port0");
        let begun = Instant::now();
        let leeched = Leeched::new(&giving.place, "leeched");
        let _peer = leeched.begin(Peer::Aria2, &giving.shared);
        // Headers and talk are a twentieth at most, if not of nearly nothing.
        let talk = 64 << 10;
        wait_for("part of it", || {
            let given = received("port0") - before;
            // A second's worth may come at once.
            let allowed = limit * (u64::try_from(begun.elapsed().as_millis()).unwrap() + 1000) / 1000;
            assert!(given < allowed + allowed / 20 + talk, "{given} bytes, where {allowed} were allowed");
            given > 6 * limit + talk
        });
        giving.listener.cancel.store(true, Ordering::Relaxed);
        giving.machine.join().unwrap();
    }
}

#[test]
#[ignore = "needs root, for networks of its own"]
fn what_a_peer_made_up_is_neither_taken_nor_given_away() {
    alone_in_a_network();
    let data = noise(9 * MIB + 77);
    let place = Place::with_old_data(0);
    let shared = Shared::new(&place, "root.img", &data);
    // It has the beginning, and says that it has all.
    let liar = Leeched::new(&place, "liar");
    let mut wrong = data.clone();
    wrong[4 * MIB..].fill(OLD);
    fs::write(liar.0.join("root.img"), wrong).unwrap();
    let arguments = ["--check-integrity=false", "--bt-seed-unverified=true"];
    let _liar = Peer::Aria2.start_with(&shared.torrent, &liar.0, &arguments);
    shared.wait_for_a_seeder();
    let uri = shared.uri().to_owned();
    let machines = [0, 1].map(|number| {
        let uri = uri.clone();
        on_a_machine(number, move || {
            let own = Place::with_old_data(0);
            write(&own.request(&uri, Container::Raw), &alone(0)).unwrap();
            own.content()
        })
    });
    thread::sleep(Duration::from_secs(3));
    assert!(machines.iter().all(|machine| !machine.is_finished()));
    let _seeder = Peer::Aria2.start(&shared.torrent, &shared.dir);
    for machine in machines {
        assert!(machine.join().unwrap() == data);
    }
}
