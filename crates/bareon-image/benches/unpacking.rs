//! Unpacking in pieces on all processors against one: an image packed by this crate, from a file into memory.
//!
//! `cargo bench -p bareon-image --bench unpacking` prints for each packing the seconds of the fastest of three runs, its
//! processor seconds, the most memory, and how many times the seconds of all processors it took: on one processor
//! (`taskset`, so in one stream), and by the format's own tool, which computes no SHA-256 as ours does. Of 160 MiB of
//! programs on two cores the members of bgzip took 0.29 s, on one core 0.42 s; frames of zstd 0.17 s and 0.26 s.
//! `DIRECTORY` is where image and target are put; `/dev/shm`, unless told otherwise.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on may fall over")]
#![allow(clippy::disallowed_methods, reason = "what is compared with are other programs")]

mod measure;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use bareon_image::{
    Options, Request, Silent,
    pack::{Packing, pack},
    write,
};
use measure::Run;

/// The size of the image in bytes.
const SIZE: usize = 160 << 20;

const RUNS: usize = 3;

fn main() {
    let args: Vec<String> = env::args().collect();
    if let [_, verb, image, target] = args.as_slice()
        && verb == "--write"
    {
        let request = Request { uris: vec![image.clone()], ..Request::default() };
        write(&request, &Options::default(), Path::new(target), &Silent).unwrap();
        return;
    }
    let dir = env::var_os("DIRECTORY").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    let dir = tempfile::tempdir_in(dir).unwrap();
    let [raw, packed, target] = ["raw", "packed", "target"].map(|name| dir.path().join(name));
    measure::file_system(&dir.path().join("tree"), &raw, SIZE as u64 / 2, SIZE as u64);
    let image = fs::read(&raw).unwrap();
    fs::write(&target, &image).unwrap();
    println!("{:36} {:>8} {:>8} {:>9} {:>7}", "", "s", "cpu s", "MiB peak", "ratio");
    for (packing, tool) in
        [(Packing::Gzip, "gzip -dc"), (Packing::Zstd, "zstd -qdc"), (Packing::Xz, "xz -dc -T0")]
    {
        fs::write(&raw, &image).unwrap();
        pack(&raw, packing, &packed, 2, &Silent).unwrap();
        let ours = format!(
            "{} --write {} {}",
            env::current_exe().unwrap().display(),
            packed.display(),
            target.display()
        );
        let mut first = None;
        for (name, line) in [
            ("all processors", ours.clone()),
            ("one processor", format!("taskset -c 0 {ours}")),
            (tool, format!("{tool} < {} > {}", packed.display(), target.display())),
        ] {
            let mut runs: Vec<_> = (0..RUNS).map(|_| measure::run(&line).unwrap()).collect();
            runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
            let Run { seconds, cpu, peak } = runs[0];
            let ratio = seconds / *first.get_or_insert(seconds);
            let name = format!("{packing}, {name}");
            println!("{name:36} {seconds:8.2} {cpu:8.2} {:9.1} {ratio:7.2}", peak / 1024.0);
            assert!(fs::read(&target).unwrap() == image, "{name} wrote something else");
        }
        fs::remove_file(&packed).unwrap();
    }
}
