//! Packing against the tools that people use: the same raw image into the same kind of file, on all cores.
//!
//! `cargo bench -p bareon-image --bench packing` prints for each the seconds of the fastest of three runs, its processor
//! seconds, the most memory that all its processes had together, the size of the file, and how many times our seconds it
//! took. The tools are followed by the two sums that ours computes meanwhile (of the raw data and of the file, MD5 and
//! SHA-256); `alone` is without. Of 160 MiB of programs on two busy cores ours took 0.49 of the time of pigz -6 (0.44 of the
//! processor time) for a file 3 % larger, and 0.65 of that of zstd -9 (0.75) for one 8 % larger: what it costs that each
//! member and each frame can be unpacked by itself. `IMAGE` names a raw image in place of the one that is made of this machine's files.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on may fall over")]
#![allow(clippy::disallowed_methods, reason = "what is compared with are other programs")]

mod measure;

use std::{env, fs, path::PathBuf, process::Command, thread};

use bareon_image::{
    Silent,
    pack::{Packing, pack},
};

/// The size of the image in bytes.
const SIZE: usize = 320 << 20;

const RUNS: usize = 3;

fn main() {
    let args: Vec<String> = env::args().collect();
    if let [_, verb, packing, raw, out] = args.as_slice()
        && verb == "--pack"
    {
        let packing = Packing::ALL.into_iter().find(|known| known.name() == packing).unwrap();
        pack(raw.as_ref(), packing, out.as_ref(), threads(), &Silent).unwrap();
        return;
    }
    compare();
}

fn threads() -> usize {
    thread::available_parallelism().unwrap().get()
}

fn compare() {
    let dir = env::var_os("DIRECTORY").map_or_else(env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(dir).unwrap();
    let raw = env::var_os("IMAGE").map_or_else(|| dir.path().join("raw"), PathBuf::from);
    if env::var_os("IMAGE").is_none() {
        measure::file_system(&dir.path().join("tree"), &raw, SIZE as u64 / 2, SIZE as u64);
    }
    let (me, raw) = (env::current_exe().unwrap(), raw.to_str().unwrap().to_owned());
    println!("{} MiB on {} threads", fs::metadata(&raw).unwrap().len() >> 20, threads());
    println!("{:28} {:>8} {:>8} {:>9} {:>8} {:>7}", "", "s", "cpu s", "MiB peak", "MiB", "ratio");
    let out = dir.path().join("out");
    let sums = format!("md5sum {raw} {0}; sha256sum {raw} {0}", out.display());
    for (packing, tools) in [
        ("gzip", &["gzip -6", "pigz -6", "igzip -3 -T 2"][..]),
        ("zstd", &["zstd -q -9 -T0", "zstd -q -3 -T0"]),
        ("xz", &["xz -6 -T0"]),
    ] {
        let ours = format!("{} --pack {packing} {raw} {}", me.display(), out.display());
        let mut first = None;
        let mut row = |name: &str, line: &str| {
            let mut runs: Vec<_> = (0..RUNS).map(|_| fresh(&out, line)).collect();
            runs.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
            let measure::Run { seconds, cpu, peak } = runs[0];
            let (size, ratio) =
                (fs::metadata(&out).unwrap().len() >> 20, seconds / *first.get_or_insert(seconds));
            println!("{name:28} {seconds:8.2} {cpu:8.2} {:9.1} {size:8} {ratio:7.2}", peak / 1024.0);
        };
        row(&format!("ours, {packing}"), &ours);
        for tool in tools {
            let there = Command::new("which").arg(tool.split(' ').next().unwrap()).output();
            if !there.is_ok_and(|output| output.status.success()) {
                println!("{tool:28} is not installed");
                continue;
            }
            let line = format!("{tool} -c < {raw} > {}", out.display());
            row(tool, &format!("{line}; {{ {sums}; }} > /dev/null"));
            row(&format!("{tool}, alone"), &line);
        }
    }
}

/// Runs a command that makes the file `out`.
fn fresh(out: &std::path::Path, line: &str) -> measure::Run {
    let _ = fs::remove_file(out);
    measure::run(line).unwrap()
}
