//! Torrents shared with the peers that others wrote: aria2 and Transmission, over opentracker. All is in a network of
//! its own, which takes root; no packet leaves it. Transmission talks neither to the loopback nor to its own
//! address, so it has one for itself.

#![expect(clippy::disallowed_methods, reason = "the peers are programs that a test starts and ends")]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use bareon_image::{
    Algorithm, Container, ImageError, Options, TargetState, Torrent, TorrentOptions, WriteError, Written,
};
use sha1::{Digest, Sha1};

use crate::{
    device::Loop,
    support::{Asked, Listener, MIB, OLD, Place, gzip, hex, noise, options, sha256, told},
};

/// A program that ends with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; see contrib/install-deps")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Our address in a network of the test's own.
const HERE: &str = "10.99.0.1";

/// Transmission's.
const THERE: &str = "10.99.0.2";

/// Leaves the network of this machine for a new one, with all threads and programs that this thread starts from now on.
fn alone_in_a_network() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    for line in [
        "link set lo up".to_owned(),
        "link add here type bridge".to_owned(),
        format!("address add {HERE}/24 dev here"),
        format!("address add {THERE}/24 dev here"),
        "link set here up multicast on".to_owned(),
        "route add 224.0.0.0/4 dev here".to_owned(),
    ] {
        assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "ip {line}");
    }
}

fn free_port() -> u16 {
    TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap().port()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_mins(1), "still no {what} after a minute");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A file, its torrent, and a tracker for that.
struct Shared {
    dir: PathBuf,
    name: String,
    torrent: PathBuf,
    hash: String,
    announce: String,
    _tracker: Running,
}

impl Shared {
    fn new(place: &Place, name: &str, content: &[u8]) -> Self {
        let dir = place.dir.path().join("seeded");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(name), content).unwrap();
        let port = free_port();
        let announce = format!("http://{HERE}:{port}/announce");
        let torrent = Torrent { name: name.into(), trackers: vec![announce.clone()], ..Torrent::default() };
        let bytes = torrent.of(&dir.join(name)).unwrap();
        let path = place.dir.path().join(format!("{name}.torrent"));
        fs::write(&path, &bytes).unwrap();
        let info = bytes.windows(7).position(|part| part == b"4:infod").unwrap() + 6;
        let hash = hex(&Sha1::digest(&bytes[info..bytes.len() - 1]));
        // The one of Debian knows only what it was told of, and is nobody if root starts it.
        fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let known = place.dir.path().join("known");
        fs::write(&known, format!("{hash}\n")).unwrap();
        let mut tracker = Command::new("opentracker");
        tracker.args(["-i", HERE, "-p", &port.to_string(), "-P", &port.to_string(), "-w"]).arg(known);
        let tracker = Running::start(&mut tracker);
        wait_for("tracker", || TcpStream::connect((HERE, port)).is_ok());
        Self { dir, name: name.into(), torrent: path, hash, announce, _tracker: tracker }
    }

    /// Waits until the tracker knows of somebody who has all of it.
    fn wait_for_a_seeder(&self) {
        let scrape = self.announce.replace("announce", "scrape");
        wait_for("seeder", || {
            let known = bareon_image::fetch(&scrape, &options(), 4096, &Listener::default()).unwrap();
            known.windows(14).any(|part| part == b"8:completei1e1")
        });
    }

    fn uri(&self) -> &str {
        self.torrent.to_str().unwrap()
    }

    fn magnet(&self) -> String {
        format!("magnet:?xt=urn:btih:{}&tr={}", self.hash, self.announce)
    }
}

/// A foreign peer: it gets what `dir` has not, and gives what it has.
#[derive(Clone, Copy)]
enum Peer {
    Aria2,
    Transmission,
}

impl Peer {
    fn start(self, torrent: &Path, dir: &Path) -> Running {
        let port = free_port().to_string();
        match self {
            Self::Aria2 => Running::start(
                Command::new("aria2c")
                    .args(["--no-conf", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"])
                    .args(["--disable-ipv6=true", "--check-integrity=true", "--seed-ratio=0.0"])
                    .args(["--bt-tracker-interval=1", &format!("--listen-port={port}")])
                    .arg(format!("--dir={}", dir.display()))
                    .arg(torrent),
            ),
            Self::Transmission => {
                let settings = dir.with_extension("settings");
                fs::create_dir_all(&settings).unwrap();
                let text = format!(
                    r#"{{"dht-enabled": false, "lpd-enabled": false, "utp-enabled": false, "pex-enabled": false,
                         "port-forwarding-enabled": false, "bind-address-ipv4": "{THERE}"}}"#
                );
                fs::write(settings.join("settings.json"), text).unwrap();
                let mut command = Command::new("transmission-cli");
                command.args(["--verify", "--no-portmap", "--port", &port, "--config-dir"]).arg(settings);
                Running::start(command.arg("--download-dir").arg(dir).arg(torrent))
            }
        }
    }
}

/// Nobody but the peers of the test is looked for.
fn alone(seed: u64) -> Options {
    let torrent = TorrentOptions {
        timeout: Duration::from_secs(30),
        seed: Duration::from_secs(seed),
        local_discovery: false,
        ..TorrentOptions::default()
    };
    Options { torrent, ..options() }
}

fn write(request: &Asked, options: &Options) -> Result<Written, WriteError> {
    bareon_image::write(request, options, &request.target, &Listener::default())
}

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
    let dir = place.dir.path().join("leeched");
    fs::create_dir(&dir).unwrap();
    let second = leecher.start(&shared.torrent, &dir);
    wait_for("copy of our copy", || {
        [shared.name.clone(), format!("{}.part", shared.name)]
            .iter()
            .any(|name| fs::read(dir.join(name)).is_ok_and(|copy| copy == file))
    });
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
