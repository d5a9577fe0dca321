//! What all measurements here need: something to work on, and the cost of a command.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

/// So many bytes that are like a file system: files of this machine, with free space between them.
pub fn image(size: usize) -> Vec<u8> {
    let mut image = Vec::with_capacity(size);
    let mut folders = vec![PathBuf::from("/usr"), PathBuf::from("/usr/bin")];
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::path);
        for entry in entries {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.metadata().unwrap().len() < 32 << 20 && image.len() < size {
                image.extend(fs::read(entry.path()).unwrap_or_default());
                let free = image.len() / 2 % (32 << 10);
                image.resize((image.len() + free).next_multiple_of(4096), 0);
            }
        }
    }
    image.resize(size, 0);
    image
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

/// Runs a line of bash.
pub fn run(line: &str) -> Run {
    let before = cpu();
    let begun = Instant::now();
    let mut child = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {line}")])
        .process_group(0)
        .spawn()
        .unwrap();
    let peak = peak(&mut child);
    let seconds = begun.elapsed().as_secs_f64();
    Run { seconds, cpu: cpu() - before, peak }
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
