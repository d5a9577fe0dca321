//! One image to 1, 4, 8 and 16 machines at once, from one server whose line is narrow: by HTTP, and by torrent.
//!
//! `cargo bench -p bareon-image --features torrent --bench torrent_scale`, as root: each machine is a process in a
//! network namespace of its own, all on one bridge; what the server sends goes through `tc tbf`. The server is aria2
//! with opentracker, and Python's for HTTP. It prints the seconds until the last one had the image on its target,
//! flushed and compared with its SHA-256, and draws them into `docs/torrent-scale.svg`.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on may fall over")]
#![allow(clippy::disallowed_methods, reason = "the machines and the servers are other programs")]

use std::{
    env,
    fmt::Write,
    fs,
    io::Read,
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use bareon_image::{Algorithm, Container, Options, Request, Silent, Sums, Torrent, write};
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// How many machines.
const COUNTS: [u8; 4] = [1, 4, 8, 16];

/// The size of the image in bytes.
const SIZE: usize = 128 << 20;

/// What the server can send, in Mbit/s.
const LINE: usize = 80;

const SERVER: u8 = 1;

fn main() {
    let args: Vec<String> = env::args().collect();
    if let [_, verb, uri, target, sum] = args.as_slice()
        && verb == "--machine"
    {
        return machine(uri, target, sum);
    }
    let dir = tempfile::tempdir().unwrap();
    run("chmod", &["0755", dir.path().to_str().unwrap()]);
    let network = Network::new();
    let shared = Shared::new(dir.path());
    let _servers = shared.serve(dir.path());
    println!("{} MiB, a server with {LINE} Mbit/s; seconds until the last machine is ready", SIZE >> 20);
    println!("{:>8} {:>8} {:>8}", "machines", "HTTP", "torrent");
    let mut found = Vec::new();
    for count in COUNTS {
        let seconds = [&shared.http, &shared.torrent].map(|uri| shared.measure(dir.path(), uri, count));
        println!("{count:>8} {:>8.1} {:>8.1}", seconds[0], seconds[1]);
        found.push((count, seconds));
    }
    drop(network);
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/torrent-scale.svg");
    fs::create_dir_all(picture.parent().unwrap()).unwrap();
    fs::write(&picture, svg(&found)).unwrap();
}

/// One machine: tells how many seconds it took.
fn machine(uri: &str, target: &str, sum: &str) {
    let request = Request {
        uris: vec![uri.to_owned()],
        container: Some(Container::Raw),
        sums: Sums::default().with(Algorithm::Sha256, Some(sum)),
        ..Request::default()
    };
    let written = write(&request, &Options::default(), Path::new(target), &Silent).unwrap();
    println!("{}", written.elapsed.as_secs_f64());
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status();
    assert!(status.is_ok_and(|status| status.success()), "{program} {args:?}");
}

fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 98, 0, host)
}

/// The name of a namespace.
fn space(host: u8) -> String {
    format!("bareon-scale-{host}")
}

/// A command in the namespace of a host.
fn at(host: u8, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &space(host), program]).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// A bridge, and a namespace at each of its ports; gone when dropped.
struct Network;

impl Network {
    fn new() -> Self {
        let network = Self;
        let ip = |words: &str| run("ip", &words.split(' ').collect::<Vec<_>>());
        ip(&format!("netns add {}", space(0)));
        ip(&format!("-n {} link add bridge type bridge", space(0)));
        ip(&format!("-n {} link set bridge up", space(0)));
        for host in SERVER..=SERVER + COUNTS[COUNTS.len() - 1] {
            let (name, hub) = (space(host), space(0));
            ip(&format!("netns add {name}"));
            ip(&format!("-n {name} link add net type veth peer name port{host} netns {hub}"));
            ip(&format!("-n {hub} link set port{host} master bridge up"));
            ip(&format!("-n {name} link set lo up"));
            ip(&format!("-n {name} address add {}/24 dev net", address(host)));
            ip(&format!("-n {name} link set net up"));
            ip(&format!("-n {name} route add 224.0.0.0/4 dev net"));
        }
        let rate = format!("{LINE}mbit");
        let shape =
            ["qdisc", "add", "dev", "net", "root", "tbf", "rate", &rate, "burst", "64kb", "latency", "50ms"];
        assert!(at(SERVER, "tc").args(shape).status().unwrap().success());
        network
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in 0..=SERVER + COUNTS[COUNTS.len() - 1] {
            let _ = Command::new("ip").args(["netns", "del", &space(host)]).status();
        }
    }
}

/// A program that ends with the measurement.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The image, and where it is to be had.
struct Shared {
    sum: String,
    hash: String,
    http: String,
    torrent: String,
}

impl Shared {
    fn new(dir: &Path) -> Self {
        let mut image = vec![0; SIZE];
        fs::File::open("/dev/urandom").unwrap().read_exact(&mut image).unwrap();
        let file = dir.join("image");
        fs::write(&file, &image).unwrap();
        let announce = format!("http://{}:6969/announce", address(SERVER));
        let torrent = Torrent { name: "image".into(), trackers: vec![announce], ..Torrent::default() };
        let bytes = torrent.of(&file).unwrap();
        fs::write(dir.join("image.torrent"), &bytes).unwrap();
        let info = bytes.windows(7).position(|part| part == b"4:infod").unwrap() + 6;
        let http = format!("http://{}:8000/image", address(SERVER));
        Self {
            sum: hex(&Sha256::digest(&image)),
            hash: hex(&Sha1::digest(&bytes[info..bytes.len() - 1])),
            torrent: format!("{http}.torrent"),
            http,
        }
    }

    fn serve(&self, dir: &Path) -> [Running; 3] {
        fs::write(dir.join("known"), format!("{}\n", self.hash)).unwrap();
        let start = |command: &mut Command| Running(command.stdout(Stdio::null()).spawn().unwrap());
        let web = start(at(SERVER, "python3").args(["-m", "http.server", "8000", "--directory"]).arg(dir));
        let address = address(SERVER).to_string();
        let tracker = start(at(SERVER, "opentracker").args(["-i", &address, "-w"]).arg(dir.join("known")));
        thread::sleep(Duration::from_secs(1));
        let seeder = start(
            at(SERVER, "aria2c")
                .args(["--no-conf", "--enable-dht=false", "--enable-dht6=false", "--bt-enable-lpd=false"])
                .args(["--check-integrity=true", "--seed-ratio=0.0", "--listen-port=6881", "--dir"])
                .arg(dir)
                .arg(dir.join("image.torrent")),
        );
        thread::sleep(Duration::from_secs(3));
        [web, tracker, seeder]
    }

    /// Has so many machines get the image; gives the seconds of the slowest.
    fn measure(&self, dir: &Path, uri: &str, count: u8) -> f64 {
        let program = env::current_exe().unwrap();
        let machines: Vec<_> = (SERVER + 1..=SERVER + count)
            .map(|host| {
                let target = dir.join(format!("target-{host}"));
                fs::write(&target, "").unwrap();
                let mut command = at(host, program.to_str().unwrap());
                command.args(["--machine", uri]).arg(target).arg(&self.sum).stdout(Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        let seconds = machines.into_iter().map(|machine| {
            let output = machine.wait_with_output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse::<f64>().expect("a machine failed")
        });
        seconds.fold(0.0, f64::max)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// The picture: machines to the right, seconds upwards.
fn svg(found: &[(u8, [f64; 2])]) -> String {
    let (width, height, left, bottom, top): (f64, f64, f64, f64, f64) = (640.0, 400.0, 60.0, 350.0, 40.0);
    let most = found.iter().flat_map(|(_, seconds)| seconds).fold(1.0, |most: f64, s| most.max(*s));
    let step =
        [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0].into_iter().find(|step| most / step <= 8.0).unwrap_or(500.0);
    let x = |count: u8| left + f64::from(count) * (width - left - 30.0) / f64::from(COUNTS[COUNTS.len() - 1]);
    let y = |seconds: f64| bottom - seconds * (bottom - top) / most;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{left}\" y=\"22\">Seconds \
         until the last machine has {} MiB from a server with {LINE} Mbit/s</text>\n",
        SIZE >> 20
    );
    let mut line = 0.0;
    while line <= most {
        let at = y(line);
        writeln!(text, "<path d=\"M{left} {at:.1}H{}\" stroke=\"#ddd\"/>", width - 30.0).unwrap();
        writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{line:.0}</text>",
            left - 8.0,
            at + 4.0
        )
        .unwrap();
        line += step;
    }
    for (count, _) in found {
        let (x, y) = (x(*count), bottom + 20.0);
        writeln!(text, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{count}</text>").unwrap();
    }
    writeln!(text, "<text x=\"{}\" y=\"{}\">machines at once</text>", width / 2.0 - 40.0, height - 8.0)
        .unwrap();
    for (way, name, colour) in [(0, "HTTP", "#c0392b"), (1, "torrent", "#2471a3")] {
        let points: Vec<_> =
            found.iter().map(|(count, s)| format!("{:.1},{:.1}", x(*count), y(s[way]))).collect();
        let joined = points.join(" ");
        writeln!(
            text,
            "<polyline points=\"{joined}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        )
        .unwrap();
        for point in points {
            let (x, y) = point.split_once(',').unwrap();
            writeln!(text, "<circle cx=\"{x}\" cy=\"{y}\" r=\"4\" fill=\"{colour}\"/>").unwrap();
        }
        let (last, seconds) = found[found.len() - 1];
        let (x, y) = (x(last) - 12.0, y(seconds[way]) - 10.0);
        writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>")
            .unwrap();
    }
    text.push_str("</svg>\n");
    text
}
