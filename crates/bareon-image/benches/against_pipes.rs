//! This crate against the pipes that people use: the same gzip image over local HTTP onto the same target.
//!
//! `cargo bench -p bareon-image` prints for each the seconds of the fastest of five runs, its processor seconds,
//! the most memory that all its processes had together, and how many times our seconds it took. The target is a
//! loop device where there can be one, else a file; `TARGET=/dev/…` names another, whose content is lost.
//! `DIRECTORY` is where the image and the loop device's file are put.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on may fall over")]
#![allow(clippy::disallowed_methods, reason = "what is compared with are other programs")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use bareon_image::{Container, Options, Request, Silent, write};
use flate2::{Compression, write::GzEncoder};

/// The size of the image in bytes.
const SIZE: usize = 320 << 20;

const RUNS: usize = 5;

fn main() {
    let args: Vec<String> = env::args().collect();
    if let [_, verb, uri, target, rest @ ..] = args.as_slice()
        && verb == "--write"
    {
        return ours(uri, target, rest);
    }
    compare();
}

/// What the child process does that is measured as ours.
fn ours(uri: &str, target: &str, rest: &[String]) {
    let mut options = Options::default();
    if let Some(chunk) = rest.first() {
        options.chunk = chunk.parse().unwrap();
    }
    let request = Request {
        uri: uri.to_owned(),
        container: Container::Gzip,
        target: target.into(),
        size: None,
        md5: rest.get(1).cloned(),
        sha256: None,
        container_sha256: None,
    };
    write(&request, &options, &Silent).unwrap();
}

fn compare() {
    let dir = env::var_os("DIRECTORY").map_or_else(env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(dir).unwrap();
    let packed = dir.path().join("image.gz");
    let image = image();
    let mut encoder = GzEncoder::new(fs::File::create(&packed).unwrap(), Compression::new(6));
    encoder.write_all(&image).unwrap();
    encoder.finish().unwrap();
    let md5 = {
        use sha2::Digest;
        md5::Md5::digest(&image).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    };
    let (target, _device) = target(dir.path());
    let uri = serve(&packed);
    let (packed, raw) = (fs::metadata(&packed).unwrap().len() >> 20, SIZE >> 20);
    println!("{raw} MiB, {packed} MiB as gzip -6, onto {}", target.display());

    let (me, to) = (env::current_exe().unwrap(), target.to_str().unwrap());
    let us = |more: &str| format!("{} --write {uri} {to} {more}", me.display());
    let cases = [
        ("ours, sha256", us("")),
        ("ours, sha256 + md5", us(&format!("1048576 {md5}"))),
        ("ours, sha256, buffers of 4 MiB", us("4194304")),
        ("curl | gunzip | dd", format!("curl -sS {uri} | gunzip | dd of={to} bs=4M conv=fsync status=none")),
        (
            "curl | gunzip | dd oflag=direct",
            format!(
                "curl -sS {uri} | gunzip | dd of={to} bs=4M iflag=fullblock oflag=direct conv=fsync status=none"
            ),
        ),
        ("wget | zcat | dd", format!("wget -qO- {uri} | zcat | dd of={to} bs=4M conv=fsync status=none")),
        (
            "curl | gunzip | tee >(sha256sum) | dd",
            format!(
                "curl -sS {uri} | gunzip | tee >(sha256sum >/dev/null) | dd of={to} bs=4M conv=fsync status=none"
            ),
        ),
    ];
    println!("{:38} {:>8} {:>8} {:>9} {:>7}", "", "s", "cpu s", "MiB peak", "ratio");
    let mut first = None;
    for (name, line) in &cases {
        let mut runs: Vec<_> = (0..RUNS).map(|_| measure(line, &target, &image)).collect();
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Run { seconds, cpu, peak } = runs[0];
        let ratio = seconds / *first.get_or_insert(seconds);
        println!("{name:38} {seconds:8.2} {cpu:8.2} {:9.1} {ratio:7.2}", peak / 1024.0);
    }
}

/// Something like a file system: files of this machine, with free space between them.
fn image() -> Vec<u8> {
    let mut image = Vec::with_capacity(SIZE);
    let mut folders = vec![PathBuf::from("/usr"), PathBuf::from("/usr/bin")];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::path);
        for entry in entries {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.metadata().unwrap().len() < 32 << 20 && image.len() < SIZE {
                image.extend(fs::read(entry.path()).unwrap_or_default());
                let free = image.len() / 2 % (32 << 10);
                image.resize((image.len() + free).next_multiple_of(4096), 0);
            }
        }
    }
    image.resize(SIZE, 0);
    image
}

/// A loop device, let go when dropped.
struct Device(PathBuf);

impl Drop for Device {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

fn target(dir: &Path) -> (PathBuf, Option<Device>) {
    if let Some(target) = env::var_os("TARGET") {
        return (target.into(), None);
    }
    let file = dir.join("target");
    fs::File::create(&file).unwrap().set_len(SIZE as u64).unwrap();
    match Command::new("losetup").args(["--find", "--show"]).arg(&file).output() {
        Ok(output) if output.status.success() => {
            let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
            (path.clone(), Some(Device(path)))
        }
        _ => (file, None),
    }
}

fn serve(file: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://127.0.0.1:{}/image.gz", listener.local_addr().unwrap().port());
    let file = file.to_owned();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let mut file = fs::File::open(&file).unwrap();
            let length = file.metadata().unwrap().len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: {length}\r\n\r\n");
            let _ = std::io::copy(&mut file, &mut stream);
        }
    });
    uri
}

#[derive(Clone, Copy)]
struct Run {
    seconds: f64,
    cpu: f64,
    /// In KiB.
    peak: f64,
}

fn measure(line: &str, target: &Path, image: &[u8]) -> Run {
    fs::File::options().write(true).open(target).unwrap().write_all(&vec![0xaa; 4 << 20]).unwrap();
    nix::unistd::sync();
    let before = cpu();
    let begun = Instant::now();
    let mut child = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {line}")])
        .process_group(0)
        .spawn()
        .unwrap();
    let peak = peak(&mut child);
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = cpu() - before;
    let mut written = vec![0; SIZE];
    fs::File::open(target).unwrap().read_exact(&mut written).unwrap();
    assert!(written == image, "`{line}` wrote something else");
    Run { seconds, cpu, peak }
}

/// Waits for a child, and tells the most memory that its process group had, in KiB.
fn peak(child: &mut Child) -> f64 {
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return f64::from(peak);
        }
        peak = peak.max(resident(child.id()));
        thread::sleep(Duration::from_millis(20));
    }
}

/// What the processes of a group hold of memory, each shared page by its share, in KiB.
fn resident(group: u32) -> u32 {
    let mut sum = 0;
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
        if fields.and_then(|fields| fields.get(2)?.parse().ok()) == Some(group) {
            let rollup = fs::read_to_string(process.path().join("smaps_rollup")).unwrap_or_default();
            let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
            let pss = pss.and_then(|pss| pss.trim().trim_end_matches(" kB").parse::<u32>().ok());
            sum += pss.unwrap_or(0);
        }
    }
    sum
}

/// The processor seconds of all children that have ended.
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[13].parse::<f64>().unwrap() + fields[14].parse::<f64>().unwrap();
    ticks / 100.0
}
