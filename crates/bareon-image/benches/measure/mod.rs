//! What all measurements here need: something to work on, and the cost of a command.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

/// An ext4 file system of `size` bytes in the file `raw`, with `used` bytes of files of this machine.
pub fn file_system(tree: &Path, raw: &Path, used: u64, size: u64) {
    fs::create_dir_all(tree).unwrap();
    let mut had = 0;
    let mut folders = vec![PathBuf::from("/usr"), PathBuf::from("/usr/bin"), PathBuf::from("/usr/lib")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let kind = entry.file_type().unwrap();
            let length = entry.metadata().unwrap().len();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && length < 64 << 20 && had + length < used {
                had += length.next_multiple_of(4096);
                fs::copy(entry.path(), tree.join(had.to_string())).unwrap();
            }
        }
    }
    fs::File::create(raw).unwrap().set_len(size).unwrap();
    let made = Command::new("mke2fs").args(["-q", "-F", "-t", "ext4", "-d"]).args([tree, raw]).status();
    assert!(made.unwrap().success());
    fs::remove_dir_all(tree).unwrap();
}

/// What a command took.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// From its start to its end.
    pub seconds: f64,
    /// Of all processors.
    pub cpu: f64,
    /// The most memory of all its processes together, in KiB.
    pub peak: f64,
}

/// Runs a line of bash; nothing where a program of it is not there.
pub fn run(line: &str) -> Option<Run> {
    let before = cpu();
    let begun = Instant::now();
    let mut child = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {line}")])
        .process_group(0)
        .spawn()
        .unwrap();
    let peak = peak(&mut child)?;
    let seconds = begun.elapsed().as_secs_f64();
    Some(Run { seconds, cpu: cpu() - before, peak })
}

/// Waits for a child, and tells the most memory that its process group had, in KiB.
fn peak(child: &mut Child) -> Option<f64> {
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            if status.code() == Some(127) {
                return None;
            }
            assert!(status.success(), "{status}");
            return Some(f64::from(peak));
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
