//! This crate against the pipes that people use: the same gzip image over local HTTP onto the same target.
//!
//! `cargo bench -p bareon-image` prints for each the seconds of the fastest of five runs, its processor seconds,
//! the most memory that all its processes had together, and how many times our seconds it took. The target is a
//! loop device where there can be one, else a file; `TARGET=/dev/…` names another, whose content is lost.
//! `DIRECTORY` is where the image and the loop device's file are put.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on may fall over")]
#![allow(clippy::disallowed_methods, reason = "what is compared with are other programs")]

mod measure;

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use bareon_image::{Algorithm, Options, Request, Silent, Sums, write};
use flate2::{Compression, write::GzEncoder};
use measure::Run;

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
        uris: vec![uri.to_owned()],
        sums: Sums::default().with(Algorithm::Md5, rest.get(1).cloned()),
        ..Request::default()
    };
    write(&request, &options, Path::new(target), &Silent).unwrap();
}

fn compare() {
    let dir = env::var_os("DIRECTORY").map_or_else(env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(dir).unwrap();
    let packed = dir.path().join("image.gz");
    let image = measure::image(SIZE);
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
        let mut runs: Vec<_> = (0..RUNS).map(|_| measured(line, &target, &image)).collect();
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Run { seconds, cpu, peak } = runs[0];
        let ratio = seconds / *first.get_or_insert(seconds);
        println!("{name:38} {seconds:8.2} {cpu:8.2} {:9.1} {ratio:7.2}", peak / 1024.0);
    }
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

/// Writes it by a command, and looks at what was written.
fn measured(line: &str, target: &Path, image: &[u8]) -> Run {
    fs::File::options().write(true).open(target).unwrap().write_all(&vec![0xaa; 4 << 20]).unwrap();
    nix::unistd::sync();
    let run = measure::run(line);
    let mut written = vec![0; SIZE];
    fs::File::open(target).unwrap().read_exact(&mut written).unwrap();
    assert!(written == image, "`{line}` wrote something else");
    run
}
