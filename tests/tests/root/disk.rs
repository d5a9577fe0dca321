//! A disk: a sparse file behind a loop device, which is given back at the end, also of a test that fails.
#![expect(clippy::disallowed_methods, reason = "a test sets its machine up with the tools themselves")]

use std::{fs, path::Path, process::Command, thread, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

/// Runs a line of shell and gives what it printed; panics with all that it said where it fails.
pub fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-euc", line]).output().expect("sh");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The same for what is tidied up: it is tried for a while, as others may be looking at the device.
fn tidy(line: &str) {
    for _ in 0..50 {
        if Command::new("sh").args(["-c", line]).output().is_ok_and(|output| output.status.success()) {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    eprintln!("could not be tidied up: {line}");
}

/// Has the kernel forget the partitions of a device; it refuses while others look at one of them.
pub fn forget(device: &str) {
    tidy(&format!("partx -d {device} 2>/dev/null; ! ls {device}p* >/dev/null 2>&1"));
}

/// A disk of its own.
pub struct Disk {
    dir: TempDir,
    /// Its device node.
    pub name: String,
}

impl Disk {
    /// A disk with sectors of 512 bytes.
    pub fn new(mib: u64) -> Self {
        Self::with_sectors(mib, 512)
    }

    /// A disk with sectors of `sector` bytes.
    pub fn with_sectors(mib: u64, sector: u32) -> Self {
        sh("test $(id -u) = 0 || { echo 'root is needed' >&2; exit 1; }");
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("disk");
        sh(&format!("truncate -s {mib}M {}", file.display()));
        // Somebody else may take the free device first.
        let name = sh(&format!(
            "for i in $(seq 20); do losetup -b {sector} -f --show {} && exit; sleep 0.2; done; exit 1",
            file.display()
        ));
        let disk = Self { dir, name };
        // Nodes of the file before may still be there.
        if !disk.nodes().is_empty() {
            sh(&format!("partx -d {}", disk.name));
        }
        disk
    }

    /// The node of a partition.
    pub fn part(&self, number: u32) -> String {
        format!("{}p{number}", self.name)
    }

    /// The SHA-256 sum of all that is on it.
    pub fn sum(&self) -> String {
        sh(&format!("sync -f {0}; sha256sum < {0}", self.dir.path().join("disk").display()))
    }

    /// Its partitions as sfdisk reads them from the disk.
    pub fn table(&self) -> Value {
        let mut table: Value =
            serde_json::from_str(&sh(&format!("sfdisk --json {}", self.name))).expect("JSON");
        table["partitiontable"].take()
    }

    /// The nodes of the partitions that the kernel knows.
    pub fn nodes(&self) -> Vec<String> {
        let kernel = self.name.trim_start_matches("/dev/");
        let found = fs::read_dir(Path::new("/sys/class/block").join(kernel)).expect("the disk in sysfs");
        let names = found.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut nodes: Vec<_> = names
            .filter(|name| name.starts_with(&format!("{kernel}p")))
            .map(|name| format!("/dev/{name}"))
            .collect();
        nodes.sort();
        nodes
    }

    /// What blkid finds on a partition: `NAME=value` lines without those of the table's entry.
    pub fn probe(&self, number: u32) -> String {
        let line = format!("blkid -p -o export {} || test $? = 2", self.part(number));
        let found = sh(&line);
        let own =
            found.lines().filter(|line| !line.starts_with("PART_ENTRY") && !line.starts_with("DEVNAME"));
        own.collect::<Vec<_>>().join("\n")
    }

    /// The value of a tag that blkid finds on a partition.
    pub fn tag(&self, number: u32, tag: &str) -> String {
        sh(&format!("blkid -p -o value -s {tag} {}", self.part(number)))
    }

    /// What is in a file of the file system on a partition, and that file system's size in bytes.
    pub fn file(&self, number: u32, file: &str) -> (String, u64) {
        let mounted = Mounted::new(&self.part(number));
        let text = fs::read_to_string(mounted.path().join(file)).expect("the file");
        let size = sh(&format!("stat -f -c '%b %S' {}", mounted.path().display()));
        let (blocks, block) = size.split_once(' ').expect("two numbers");
        (text, blocks.parse::<u64>().expect("blocks") * block.parse::<u64>().expect("a size"))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !self.nodes().is_empty() {
            forget(&self.name);
        }
        tidy(&format!("losetup -d {}", self.name));
    }
}

/// A mounted file system.
pub struct Mounted(TempDir);

impl Mounted {
    /// Mounts it somewhere.
    pub fn new(device: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let dir_path = dir.path().display();
        // Else the kernel goes on making an ext4 behind our back, and the disk's sum changes.
        sh(&format!("mount -o noinit_itable {device} {dir_path} 2>/dev/null || mount {device} {dir_path}"));
        Self(dir)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        tidy(&format!("umount {}", self.path().display()));
    }
}

/// Unmounts a directory at the end.
pub struct Unmount(pub std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        tidy(&format!("umount {}", self.0.display()));
    }
}

/// Swap space in use.
pub struct Swap(String);

impl Swap {
    /// Makes it and starts to use it.
    pub fn new(device: &str) -> Self {
        sh(&format!("mkswap {device} && swapon {device}"));
        Self(device.into())
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        tidy(&format!("swapoff {}", self.0));
    }
}

/// Asserts that nothing of `disk` is mounted in any mount namespace, nor otherwise in use.
pub fn assert_unused(disk: &Disk) {
    let number =
        fs::read_to_string(format!("/sys/class/block/{}/dev", disk.name.trim_start_matches("/dev/")));
    assert!(number.is_ok(), "{} is gone", disk.name);
    let free = bareon_host::lock::free(Path::new(&disk.name));
    assert!(free.is_ok(), "{free:?}");
}
