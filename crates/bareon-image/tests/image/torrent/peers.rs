//! The peers of the tests, foreign ones and machines of ours, and the networks that they are in.

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use bareon_image::{Options, Torrent, TorrentOptions, WriteError, Written};
use nix::sched::{CloneFlags, setns, unshare};
use sha1::{Digest, Sha1};

use crate::support::{Asked, Listener, Place, hex, options};

/// A program that ends with the test.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Self {
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
pub const HERE: &str = "10.99.0.1";

/// Transmission's.
const THERE: &str = "10.99.0.2";

fn ip(line: &str) {
    assert!(Command::new("ip").args(line.split(' ')).status().unwrap().success(), "ip {line}");
}

/// Leaves the network of this machine for a new one, with all threads and programs that this thread starts from now on.
pub fn alone_in_a_network() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
    ip("link add here type bridge");
    ip(&format!("address add {HERE}/24 dev here"));
    ip(&format!("address add {THERE}/24 dev here"));
    ip("link set here up multicast on");
    ip("route add 224.0.0.0/4 dev here");
}

/// Does `work` on another machine: in a network of its own, with one cable to the bridge of this one. It has the route
/// of that cable, and none else.
pub fn on_a_machine<T: Send + 'static>(
    number: u8,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let hub = format!("/proc/self/task/{}/ns/net", nix::unistd::gettid());
    let (hub, path) = (File::open(&hub).unwrap(), hub.replace("self", &std::process::id().to_string()));
    thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let own = File::open("/proc/thread-self/ns/net").unwrap();
        ip("link set lo up");
        ip(&format!("link add net type veth peer name port{number} netns {path}"));
        setns(&hub, CloneFlags::CLONE_NEWNET).unwrap();
        ip(&format!("link set port{number} master here up"));
        setns(own, CloneFlags::CLONE_NEWNET).unwrap();
        ip(&format!("address add {}/24 dev net", Ipv4Addr::new(10, 99, 0, 10 + number)));
        ip("link set net up");
        // A cable takes its time to be up.
        let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        wait_for("network", || TcpStream::connect((HERE, 9)).is_err_and(refused));
        work()
    })
}

/// How many bytes an interface of this thread's network has sent.
pub fn sent(interface: &str) -> u64 {
    counted(interface, 8)
}

/// How many it has received.
pub fn received(interface: &str) -> u64 {
    counted(interface, 0)
}

fn counted(interface: &str, column: usize) -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let line = table.lines().find_map(|line| line.trim().strip_prefix(&format!("{interface}:"))).unwrap();
    line.split_whitespace().nth(column).unwrap().parse().unwrap()
}

pub fn free_port() -> u16 {
    TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap().port()
}

pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_mins(5), "still no {what} after five minutes");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A file, its torrent, and a tracker for that, or none.
pub struct Shared {
    pub dir: PathBuf,
    pub name: String,
    pub torrent: PathBuf,
    pub hash: String,
    announce: String,
    tracker: Option<Running>,
}

impl Shared {
    pub fn new(place: &Place, name: &str, content: &[u8]) -> Self {
        Self::tracked("http", place, name, content)
    }

    /// Its tracker is asked by `scheme`, http or udp.
    pub fn tracked(scheme: &str, place: &Place, name: &str, content: &[u8]) -> Self {
        let port = free_port();
        let announce = format!("{scheme}://{HERE}:{port}/announce");
        let mut shared = Self::announced(place, name, content, Some(announce));
        // The one of Debian knows only what it was told of, and is nobody if root starts it.
        fs::set_permissions(place.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let known = place.dir.path().join("known");
        fs::write(&known, format!("{}\n", shared.hash)).unwrap();
        let mut tracker = Command::new("opentracker");
        tracker.args(["-i", HERE, "-p", &port.to_string(), "-P", &port.to_string(), "-w"]).arg(known);
        shared.tracker = Some(Running::start(&mut tracker));
        shared.wait_for_the_tracker(port);
        shared
    }

    /// Waits until the tracker takes whoever has this torrent. It accepts connections before it answers, at its UDP port,
    /// too, and before it has read what it knows; a peer that it misses comes back after minutes.
    fn wait_for_the_tracker(&self, port: u16) {
        let bytes = (0..self.hash.len()).step_by(2).map(|at| &self.hash[at..at + 2]);
        let hash = bytes.fold(String::new(), |text, byte| format!("{text}%{byte}"));
        let tell = |event: &str| {
            let peer = "peer_id=somebody-who-is-none&port=9&left=1";
            let uri = format!("http://{HERE}:{port}/announce?info_hash={hash}&{peer}&event={event}");
            bareon_image::fetch(&uri, &options(), 4096, &Listener::default())
        };
        let refused = |answer: Vec<u8>| answer.windows(7).any(|part| part == b"failure");
        wait_for("tracker", || tell("started").is_ok_and(|answer| !refused(answer)));
        tell("stopped").unwrap();
    }

    /// Peers have to find each other by themselves.
    pub fn untracked(place: &Place, name: &str, content: &[u8]) -> Self {
        Self::announced(place, name, content, None)
    }

    fn announced(place: &Place, name: &str, content: &[u8], announce: Option<String>) -> Self {
        let dir = place.dir.path().join("seeded");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join(name), content).unwrap();
        let trackers = announce.iter().cloned().collect();
        let torrent = Torrent { name: name.into(), trackers, ..Torrent::default() };
        let bytes = torrent.of(&dir.join(name)).unwrap();
        let path = place.dir.path().join(format!("{name}.torrent"));
        fs::write(&path, &bytes).unwrap();
        let info = bytes.windows(6).position(|part| part == b"4:info").unwrap() + 6;
        let hash = hex(&Sha1::digest(&bytes[info..bytes.len() - 1]));
        let announce = announce.unwrap_or_default();
        Self { dir, name: name.into(), torrent: path, hash, announce, tracker: None }
    }

    /// Waits until the tracker knows of somebody who has all of it.
    pub fn wait_for_a_seeder(&self) {
        let scrape = self.announce.replace("announce", "scrape").replace("udp:", "http:");
        wait_for("seeder", || {
            let known = bareon_image::fetch(&scrape, &options(), 4096, &Listener::default()).unwrap();
            known.windows(14).any(|part| part == b"8:completei1e1")
        });
    }

    pub fn uri(&self) -> &str {
        self.torrent.to_str().unwrap()
    }

    pub fn magnet(&self) -> String {
        let link = format!("magnet:?xt=urn:btih:{}", self.hash);
        if self.announce.is_empty() { link } else { format!("{link}&tr={}", self.announce) }
    }
}

/// A foreign peer: it gets what `dir` has not, and gives what it has.
#[derive(Clone, Copy)]
pub enum Peer {
    Aria2,
    Transmission,
}

impl Peer {
    pub fn start(self, torrent: &Path, dir: &Path) -> Running {
        self.start_with(torrent, dir, &[])
    }

    /// The last arguments outweigh those before them.
    pub fn start_with(self, torrent: &Path, dir: &Path, more: &[&str]) -> Running {
        let port = free_port().to_string();
        let mut command = match self {
            Self::Aria2 => {
                let mut command = Command::new("aria2c");
                command
                    .args(["--no-conf", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"])
                    .args(["--disable-ipv6=true", "--check-integrity=true", "--seed-ratio=0.0"])
                    .args(["--bt-tracker-interval=1", &format!("--listen-port={port}")])
                    .arg(format!("--dir={}", dir.display()));
                command
            }
            Self::Transmission => {
                let settings = dir.with_extension("settings");
                fs::create_dir_all(&settings).unwrap();
                let text = format!(
                    r#"{{"dht-enabled": false, "lpd-enabled": false, "utp-enabled": false, "pex-enabled": false,
                         "port-forwarding-enabled": false, "bind-address-ipv4": "{THERE}"}}"#
                );
                fs::write(settings.join("settings.json"), text).unwrap();
                let mut command = Command::new("transmission-cli");
                // What is there already it looks at by itself. Told to (`--verify`) it stops the torrent for a moment, and
                // ends if it notices that.
                command.args(["--no-portmap", "--port", &port, "--config-dir"]).arg(settings);
                command.arg("--download-dir").arg(dir);
                command
            }
        };
        Running::start(command.args(more).arg(torrent))
    }
}

/// A folder that a foreign peer gets the shared file into.
pub struct Leeched(pub PathBuf);

impl Leeched {
    pub fn new(place: &Place, name: &str) -> Self {
        let dir = place.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    pub fn begin(&self, peer: Peer, shared: &Shared) -> Running {
        peer.start(&shared.torrent, &self.0)
    }

    /// Waits until all of it is there.
    pub fn wait_for(&self, shared: &Shared, file: &[u8]) {
        wait_for("copy of our copy", || {
            [shared.name.clone(), format!("{}.part", shared.name)]
                .iter()
                .any(|name| fs::read(self.0.join(name)).is_ok_and(|copy| copy == file))
        });
    }
}

/// Nobody but the peers of the test is looked for.
pub fn alone(seed: u64) -> Options {
    let torrent = TorrentOptions {
        timeout: Duration::from_mins(2),
        seed: Duration::from_secs(seed),
        local_discovery: false,
        ..TorrentOptions::default()
    };
    Options { torrent, ..options() }
}

pub fn write(request: &Asked, options: &Options) -> Result<Written, WriteError> {
    bareon_image::write(request, options, &request.target, &Listener::default())
}
