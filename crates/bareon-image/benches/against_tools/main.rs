//! This crate against the tools that people use for it: one image over local HTTP onto one target, in one run.
//!
//! `cargo bench -p bareon-image --bench against_tools` makes an ext4 file system of 2 GiB, half of it in use by files of
//! this machine, and packs it by gzip as one stream, and by ours in members and frames with a chunk index. For each way it
//! prints the seconds of the faster of two runs, its processor seconds, the most memory that all its processes had
//! together, and the ratio to the first. What stands on the target is compared with the image after every run.
//!
//! The target is a loop device over a file in `DIRECTORY`, where all other files are put, too (else the folder of
//! temporary files); `/dev/shm` there makes it a disk in memory. It takes root for the loop device, mke2fs, curl, gzip,
//! pigz, zstd, python3, and igzip (package isal) and bmaptool (bmap-tools) where they are to be compared. With the memory
//! cgroup (version 1 or 2) writable, ours is run once more within 64 MiB. `ONLY=word` runs those with the word in their name.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on may fall over")]
#![allow(clippy::disallowed_methods, reason = "what is compared with are other programs")]

mod limit;
#[path = "../measure/mod.rs"]
mod measure;
mod server;

use std::{
    env, fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::Command,
};

use bareon_image::{
    Algorithm, Options, Reimage, Request, Silent,
    pack::{Packed, Packing, pack},
    write,
};
use limit::Limited;
use measure::Run;

/// The size of the image in bytes.
const SIZE: u64 = 2 << 30;

/// How much of it is in use, in bytes.
const USED: u64 = 1 << 30;

const RUNS: usize = 2;

fn main() {
    let args: Vec<String> = env::args().collect();
    if let [_, verb, uri, target, rest @ ..] = args.as_slice()
        && verb == "--write"
    {
        return ours(uri, target, rest);
    }
    compare();
}

/// What the child process does that is measured as ours: `name=value` are sums, `index=`, `reimage`.
fn ours(uri: &str, target: &str, rest: &[String]) {
    let mut options = Options { memory_limit: 64 << 20, ..Options::default() };
    let mut request = Request { uris: vec![uri.to_owned()], ..Request::default() };
    for word in rest {
        match word.split_once('=') {
            Some(("index", sum)) => request.index_sha256 = Some(sum.to_owned()),
            Some((name, sum)) => {
                let algorithm: Algorithm = name.parse().unwrap();
                request.sums = std::mem::take(&mut request.sums).with(algorithm, Some(sum));
            }
            None => options.reimage = Reimage::Differential,
        }
    }
    write(&request, &options, Path::new(target), &Silent).unwrap();
}

/// The files that are served.
struct Files {
    raw: PathBuf,
    packed: Packed,
    indexes: [String; 2],
}

fn files(dir: &Path) -> Files {
    let raw = dir.join("image.raw");
    measure::file_system(&dir.join("tree"), &raw, USED, SIZE);
    let shell = |line: String| assert!(Command::new("bash").args(["-c", &line]).status().unwrap().success());
    let path = raw.display();
    let folder = dir.display();
    shell(format!(
        "pigz -6 --independent --processes 1 -c {path} >{folder}/one.gz || gzip -6 -c {path} >{folder}/one.gz"
    ));
    shell(format!("bmaptool -q create -o {folder}/one.bmap {path} || true"));
    let mut packed = Packed::default();
    let indexes = [(Packing::Gzip, "image.gz"), (Packing::Zstd, "image.zst")].map(|(packing, name)| {
        let copy = dir.join("copy");
        shell(format!("cp --sparse=always {path} {}", copy.display()));
        packed = pack(&copy, packing, &dir.join(name), 2, &Silent).unwrap();
        let index = packed.index.as_ref().unwrap().to_bytes();
        let file = dir.join(format!("{name}.bidx"));
        fs::write(&file, &index).unwrap();
        let sum = Command::new("sha256sum").arg(&file).output().unwrap();
        String::from_utf8(sum.stdout).unwrap().split(' ').next().unwrap().to_owned()
    });
    Files { raw, packed, indexes }
}

/// As ironic's agent does it: pieces of 1 MiB of a raw image, summed and written one after the other.
const PYTHON: &str = "import hashlib,os,sys,urllib.request as u
r=u.urlopen(sys.argv[1]);t=open(sys.argv[2],'r+b');h=hashlib.sha256()
while c:=r.read(1<<20):
    h.update(c);t.write(c)
t.flush();os.fsync(t.fileno());print(h.hexdigest())";

fn cases(files: &Files, at: &str, to: &str) -> Vec<(&'static str, String)> {
    let me = env::current_exe().unwrap();
    let sums = format!("sha256={} md5={}", files.packed.raw_sha256, files.packed.raw_md5);
    let us = |name: &str, more: &str| format!("{} --write {at}/{name} {to} {more}", me.display());
    let sha256 = format!("sha256={}", files.packed.raw_sha256);
    let [gzip, zstd] = &files.indexes;
    let dd = format!("dd of={to} bs=4M conv=fsync status=none");
    let direct = format!("dd of={to} bs=4M iflag=fullblock oflag=direct conv=fsync status=none");
    vec![
        (
            "curl | zcat | md5sum | dd conv=fsync",
            format!("curl -sS {at}/one.gz | zcat | tee >(md5sum >/dev/null) | {dd}"),
        ),
        ("curl | igzip -d | dd oflag=direct", format!("curl -sS {at}/one.gz | igzip -dc | {direct}")),
        ("curl | zstd -d | dd oflag=direct", format!("curl -sS {at}/image.zst | zstd -dc | {direct}")),
        ("bmaptool copy --nobmap, gzip", format!("bmaptool -q copy --nobmap {at}/one.gz {to}")),
        ("bmaptool copy --bmap, gzip", format!("bmaptool -q copy --bmap {at}/one.bmap {at}/one.gz {to}")),
        ("python, raw, sha256", format!("python3 -c \"{PYTHON}\" {at}/image.raw {to} >/dev/null")),
        ("ours, one gzip stream, sha256 + md5", us("one.gz", &sums)),
        ("ours, our gzip, sha256 + md5", us("image.gz", &sums)),
        ("ours, our zstd, sha256 + md5", us("image.zst", &sums)),
        ("ours, our zstd, sha256", us("image.zst", &sha256)),
        ("ours, our gzip with index", us("image.gz", &format!("{sums} index={gzip}"))),
        ("ours, our zstd with index", us("image.zst", &format!("{sums} index={zstd}"))),
        (
            "ours, our zstd with index, differential, same image",
            us("image.zst", &format!("{sums} index={zstd} differential")),
        ),
    ]
}

fn compare() {
    let dir = env::var_os("DIRECTORY").map_or_else(env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(dir).unwrap();
    let files = files(dir.path());
    let (target, _device) = target(dir.path());
    let at = server::serve(dir.path());
    let size = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len() >> 20;
    println!(
        "{} MiB, {} MiB as gzip -6, {} MiB as our gzip, {} MiB as our zstd, onto {}",
        SIZE >> 20,
        size("one.gz"),
        size("image.gz"),
        size("image.zst"),
        target.display()
    );
    println!("| what | s | first = 1 | cpu s | MiB peak |\n|---|---|---|---|---|");
    let only = env::var("ONLY").unwrap_or_default();
    let all = cases(&files, &at, target.to_str().unwrap());
    let mut first = None;
    for (name, line) in all.iter().filter(|(name, _)| name.contains(&only)) {
        let mut runs: Vec<_> = (0..RUNS).filter_map(|_| measured(name, line, &target, &files.raw)).collect();
        runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Some(Run { seconds, cpu, peak }) = runs.first().copied() else {
            println!("| {name} | not there | | | |");
            continue;
        };
        let ratio = seconds / *first.get_or_insert(seconds);
        println!("| {name} | {seconds:.2} | {ratio:.2} | {cpu:.2} | {:.0} |", peak / 1024.0);
    }
    within_limit(&all, &target, &files.raw);
}

/// Ours once more, where the kernel lets it have no more than 64 MiB.
fn within_limit(cases: &[(&'static str, String)], target: &Path, raw: &Path) {
    let Some(limited) = Limited::new(64 << 20) else {
        println!("no memory cgroup is writable here: not run within 64 MiB");
        return;
    };
    for (name, line) in cases.iter().filter(|(name, _)| name.starts_with("ours")) {
        let line = limited.line(line);
        if let Some(run) = measured(name, &line, target, raw) {
            println!("within 64 MiB: {name}: {:.2} s", run.seconds);
        }
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
    let file = dir.join("target");
    fs::File::create(&file).unwrap().set_len(SIZE).unwrap();
    match Command::new("losetup").args(["--find", "--show"]).arg(&file).output() {
        Ok(output) if output.status.success() => {
            let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
            (path.clone(), Some(Device(path)))
        }
        _ => (file, None),
    }
}

/// Writes it by a command, and looks at what was written; nothing where a program is not there.
fn measured(name: &str, line: &str, target: &Path, raw: &Path) -> Option<Run> {
    if !name.contains("same image") {
        // Whoever takes zeros for granted is found out.
        let mut file = fs::File::options().write(true).open(target).unwrap();
        let other = vec![0xaa; 4 << 20];
        (0..SIZE / (4 << 20)).for_each(|_| file.write_all(&other).unwrap());
        file.sync_all().unwrap();
    }
    nix::unistd::sync();
    let run = measure::run(line)?;
    let bmap = name.contains("--bmap");
    let (mut written, mut wanted) = (fs::File::open(target).unwrap(), fs::File::open(raw).unwrap());
    let (mut one, mut two) = (vec![0; 4 << 20], vec![0; 4 << 20]);
    for _ in 0..SIZE / (4 << 20) {
        written.read_exact(&mut one).unwrap();
        wanted.read_exact(&mut two).unwrap();
        // With a bmap what is not in use is left as it was.
        assert!(bmap || one == two, "`{line}` wrote something else");
    }
    Some(run)
}
