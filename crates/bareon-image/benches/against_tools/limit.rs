//! A memory cgroup, in which a command gets no more than so much.

use std::{fs, path::PathBuf};

/// The cgroup; removed when dropped.
pub struct Limited(PathBuf);

impl Limited {
    /// One with so many bytes, of version 1 or 2; nothing where none can be made.
    pub fn new(bytes: u64) -> Option<Self> {
        let name = format!("bareon-bench-{}", std::process::id());
        for (top, limit) in
            [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")]
        {
            let group = Self(PathBuf::from(top).join(&name));
            if fs::create_dir(&group.0).is_ok() && fs::write(group.0.join(limit), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }

    /// The command, within.
    pub fn line(&self, line: &str) -> String {
        format!("echo $$ >{}/cgroup.procs && {line}", self.0.display())
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
