//! How peers find each other without a tracker, and what a system without certificates of authorities can have.

use std::{
    fs,
    net::UdpSocket,
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use bareon_image::{Container, ImageError, Options, Written};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use super::peers::{
    HERE, Peer, Running, Shared, alone, alone_in_a_network, free_port, on_a_machine, wait_for, write,
};
use crate::{
    support::{Asked, Listener, MIB, Place, gzip, noise, told},
    system::TlsServer,
};

/// A machine of ours that gives away what it has got until it is told to stop.
struct Machine {
    place: Place,
    listener: Arc<Listener>,
    run: JoinHandle<Written>,
}

impl Machine {
    fn start(number: u8, uri: &str, options: &Options) -> Self {
        let place = Place::with_old_data(0);
        let (request, mut options) = (place.request(uri, Container::Raw), options.clone());
        options.torrent.seed = Duration::from_mins(10);
        let listener = Arc::new(Listener::default());
        let told = Arc::clone(&listener);
        let run = on_a_machine(number, move || {
            bareon_image::write(&request, &options, &request.target, &*told).unwrap()
        });
        Self { place, listener, run }
    }

    fn wait_for(&self, data: &[u8]) {
        wait_for("image", || self.run.is_finished() || self.place.content() == data);
        assert!(!self.run.is_finished(), "it ended early");
    }

    fn stop(self) {
        self.listener.cancel.store(true, Ordering::Relaxed);
        self.run.join().unwrap();
    }
}

/// Two machines get it from `seeder`, and a third one, by a magnet link; from those two alone where the seeder `leaves`.
fn found(mut seeder: Option<Running>, leaves: bool, shared: &Shared, data: &[u8], options: &Options) {
    let both = [0, 1].map(|number| Machine::start(number, shared.uri(), options));
    for machine in &both {
        machine.wait_for(data);
    }
    if leaves {
        seeder = None;
    }
    let third = Machine::start(2, &shared.magnet(), options);
    third.wait_for(data);
    for machine in both.into_iter().chain([third]) {
        machine.stop();
    }
    drop(seeder);
}

#[test]
#[ignore = "needs root, for networks of its own"]
fn peers_are_found_by_multicast_where_there_is_neither_a_tracker_nor_a_route() {
    alone_in_a_network();
    let data = noise(9 * MIB + 77);
    let place = Place::with_old_data(0);
    let shared = Shared::untracked(&place, "root.img", &data);
    let more = ["--bt-enable-lpd=true", &format!("--bt-lpd-interface={HERE}")];
    let seeder = Peer::Aria2.start_with(&shared.torrent, &shared.dir, &more);
    let mut options = alone(0);
    options.torrent.local_discovery = true;
    found(Some(seeder), true, &shared, &data, &options);
}

/// Whether a node of the DHT (BEP 5) knows of somebody who has it.
fn knows_a_peer(node: &str, hash: &str) -> bool {
    let hash = (0..hash.len()).step_by(2).map(|at| u8::from_str_radix(&hash[at..at + 2], 16).unwrap());
    let mut query = b"d1:ad2:id20:the one who asks, me9:info_hash20:".to_vec();
    query.extend(hash);
    query.extend(b"e1:q9:get_peers1:t2:aa1:y1:qe");
    let socket = UdpSocket::bind((HERE, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket.send_to(&query, node).unwrap();
    let mut answer = [0; 2048];
    let length = socket.recv(&mut answer).unwrap_or(0);
    answer[..length].windows(8).any(|part| part == b"6:values")
}

#[test]
#[ignore = "needs root, for networks of its own"]
fn peers_are_found_by_a_dht_of_our_own() {
    alone_in_a_network();
    let data = noise(9 * MIB + 77);
    let (place, other) = (Place::with_old_data(0), Place::with_old_data(0));
    let port = free_port();
    let router = format!("{HERE}:{port}");
    let dht = |place: &Place, port: u16| {
        let table = place.dir.path().join("dht.dat");
        [
            "--enable-dht=true".to_owned(),
            format!("--dht-file-path={}", table.display()),
            format!("--dht-listen-port={port}"),
        ]
    };
    // The router shares another torrent: aria2 is no router without any.
    let unrelated = Shared::untracked(&other, "other.img", b"other");
    let arguments = dht(&other, port);
    let _router =
        Peer::Aria2.start_with(&unrelated.torrent, &unrelated.dir, &arguments.each_ref().map(String::as_str));
    let shared = Shared::untracked(&place, "root.img", &data);
    let [on, table, port] = dht(&place, free_port());
    let entry = format!("--dht-entry-point={router}");
    let seeder = Peer::Aria2.start_with(&shared.torrent, &shared.dir, &[&on, &table, &port, &entry]);
    // A router tells of other nodes only: a machine that comes when it knows none does not ask again.
    wait_for("seeder in the DHT", || knows_a_peer(&router, &shared.hash));
    let mut options = alone(0);
    options.torrent.dht = true;
    options.torrent.dht_routers = vec![router];
    // In a DHT of so few, our machines tell nobody of themselves: they find who does, as the seeder.
    found(Some(seeder), false, &shared, &data, &options);
}

#[test]
#[ignore = "needs root, for networks of its own"]
fn peers_are_found_by_a_tracker_that_speaks_udp() {
    alone_in_a_network();
    let data = noise(9 * MIB + 77);
    let place = Place::with_old_data(0);
    let shared = Shared::tracked("udp", &place, "root.img", &data);
    // aria2 asks such a tracker only where it may use the DHT.
    let seeder = Peer::Transmission.start(&shared.torrent, &shared.dir);
    shared.wait_for_a_seeder();
    found(Some(seeder), true, &shared, &data, &alone(0));
}

/// Lays an empty folder over the one that holds the system's authorities, for this thread and what it starts.
fn hide_authorities(flags: MsFlags) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("none"), "/etc/ssl", Some("tmpfs"), flags, none).unwrap();
}

/// An image by a torrent whose file is at a server that only an authority of our own vouches for.
fn by_an_authority_of_our_own(flags: MsFlags, check: impl FnOnce(&mut Asked, &Options, &Place, &[u8])) {
    alone_in_a_network();
    let data = noise(3 * MIB + 5);
    let place = Place::with_old_data(0);
    let shared = Shared::new(&place, "root.img", &gzip(&data));
    let _seeder = Peer::Aria2.start(&shared.torrent, &shared.dir);
    shared.wait_for_a_seeder();
    let server = TlsServer::start(place.dir.path(), HERE, &fs::read(&shared.torrent).unwrap());
    let port = server.as_ref().map(|server| server.port.clone()).unwrap();
    hide_authorities(flags);
    let mut request = place.request(&format!("https://{HERE}:{port}/root.img.torrent"), Container::Gzip);
    let mut options = alone(0);
    let error = write(&request, &options).unwrap_err();
    assert!(matches!(error.error, ImageError::Certificate { .. }), "{}", told(&error.error));
    options.http.ca_file = Some(place.dir.path().join("ca.pem"));
    check(&mut request, &options, &place, &data);
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn a_system_without_authorities_gets_torrents_by_one_of_our_own() {
    by_an_authority_of_our_own(MsFlags::empty(), |request, options, place, data| {
        write(request, options).unwrap();
        assert!(place.content() == data);
        assert!(Path::new("/etc/ssl/certs/ca-certificates.crt").exists());
    });
}

#[test]
#[ignore = "needs root, for a network of its own"]
fn a_system_that_can_hold_no_authorities_takes_the_next_address() {
    by_an_authority_of_our_own(MsFlags::MS_RDONLY, |request, options, place, data| {
        let error = write(request, options).unwrap_err();
        assert!(matches!(error.error, ImageError::TorrentCertificates { .. }), "{}", told(&error.error));
        request.uris.push(place.source(&gzip(data)));
        let written = write(request, options).unwrap();
        assert_eq!(written.uri, request.uris[1]);
        assert!(place.content() == data);
    });
}
