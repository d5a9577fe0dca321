//! Processes in a chroot. A program runs there by [`Cmd::inside`](crate::Cmd::inside); what it
//! leaves running keeps the file systems busy and is ended here.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a process may take to end when asked to.
const GRACE: Duration = Duration::from_secs(3);

/// How often we look whether it has.
const POLL: Duration = Duration::from_millis(50);

/// A process whose root directory is the one asked for, or lies below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// The program's name.
    pub name: String,
}

/// The processes in the chroot at `root`.
pub fn processes(root: &Path) -> Vec<Process> {
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_path_buf());
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let dir = entry.ok()?.path();
            let pid = dir.file_name()?.to_str()?.parse().ok()?;
            let inside = root != Path::new("/") && fs::read_link(dir.join("root")).ok()?.starts_with(&root);
            let name = || fs::read_to_string(dir.join("comm")).unwrap_or_default().trim().to_owned();
            inside.then(|| Process { pid, name: name() })
        })
        .collect()
}

/// Ends the processes in the chroot at `root`, politely, then not; those that were there.
pub fn end_processes(root: &Path) -> Vec<Process> {
    let found = processes(root);
    signal(&found, Signal::SIGTERM);
    let until = Instant::now() + GRACE;
    let mut left = found.clone();
    while !left.is_empty() && Instant::now() < until {
        thread::sleep(POLL);
        left = processes(root);
    }
    signal(&left, Signal::SIGKILL);
    found
}

fn signal(processes: &[Process], signal: Signal) {
    for process in processes {
        // It may have ended by itself meanwhile.
        let _ = kill(Pid::from_raw(process.pid), signal);
    }
}
