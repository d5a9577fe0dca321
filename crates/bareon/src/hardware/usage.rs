//! Who uses a disk: mounts, swap, and the devices that are built on it.
//!
//! Read from the kernel alone (`/proc/self/mountinfo`, `/proc/swaps`, `/sys/class/block/*/holders`),
//! and followed upwards: a disk is in use when a volume of a group on one of its partitions is mounted.

use std::{collections::BTreeSet, fs, io, path::Path};

use bareon_host::mount::{self, Mounted};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::kernel::{Kernel, kernel_name, node};
pub(crate) use super::kernel::{bytes_in, names_in};

/// A use of a block device that forbids to write over it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Use {
    /// The device that is used: a disk, or a partition of it.
    pub device: String,
    /// By what, for people: `mounted on /srv`, `swap`, `held by /dev/md0`.
    pub by: String,
    /// What ends that use.
    pub remedy: String,
    /// The array or group that uses it, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// An array or a group that is built on a device, as the stack names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// The array with this node.
    Array(String),
    /// The group with this UUID, without its dashes.
    Group(String),
}

/// The users of block devices at one moment.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    mounts: Vec<Mounted>,
    swaps: Vec<String>,
    kernel: Kernel,
}

impl Usage {
    /// Reads who uses what.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn read(kernel: &Kernel) -> io::Result<Self> {
        let mut mounts = mount::parse_mountinfo(&fs::read_to_string(kernel.proc.join("self/mountinfo"))?);
        for mounted in elsewhere(&kernel.proc) {
            // Most namespaces are copies of one another.
            if !mounts.iter().any(|known| known.number == mounted.number) {
                mounts.push(mounted);
            }
        }
        // A kernel without swap has no such file.
        let swaps = fs::read_to_string(kernel.proc.join("swaps")).unwrap_or_default();
        Ok(Self { mounts, swaps: parse_swaps(&swaps), kernel: kernel.clone() })
    }

    /// All uses of `disk` (a node such as `/dev/sda`), its partitions and what is built on them. Arrays and groups are
    /// among them, with what they are as `holder`.
    pub fn of(&self, disk: &str) -> Vec<Use> {
        let mut uses = BTreeSet::new();
        for name in self.with_partitions(&self.kernel.name(disk)) {
            self.collect(&name, &self.kernel.node(&name), &mut uses, 0);
        }
        uses.into_iter().collect()
    }

    /// The nodes that nothing is built on, from `disk` upwards: where somebody whom the kernel does not name has one
    /// of them for himself, opening it says so. The disk stands for its partitions while nothing is built on any.
    pub fn tops(&self, disk: &str) -> Vec<String> {
        let name = self.kernel.name(disk);
        let names = self.with_partitions(&name);
        if names.iter().all(|name| self.kernel.holders(name).is_empty()) {
            return vec![self.kernel.node(&name)];
        }
        let (mut tops, mut left) = (BTreeSet::new(), names[1..].to_vec());
        left.extend(self.kernel.holders(&name));
        let mut seen = BTreeSet::new();
        while let Some(name) = left.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            let partitions = self.with_partitions(&name);
            let above: Vec<_> = partitions.into_iter().skip(1).chain(self.kernel.holders(&name)).collect();
            if above.is_empty() {
                tops.insert(self.kernel.node(&name));
            }
            left.extend(above);
        }
        tops.into_iter().collect()
    }

    /// The nodes that a device lies on directly; none for a disk.
    pub(super) fn below(&self, device: &str) -> Vec<String> {
        let below = self.kernel.below(&self.kernel.name(device));
        below.iter().map(|name| self.kernel.node(name)).collect()
    }

    /// A device's kernel name, then those of its partitions.
    fn with_partitions(&self, name: &str) -> Vec<String> {
        let partitions = self.kernel.partitions(name).into_iter().map(|(_, partition)| partition);
        [name.to_owned()].into_iter().chain(partitions).collect()
    }

    fn collect(&self, name: &str, device: &str, uses: &mut BTreeSet<Use>, depth: usize) {
        let own = self.kernel.node(name);
        let through = if own == device { String::new() } else { format!(" (through {own})") };
        let number = self.kernel.text(name, "dev").unwrap_or_default();
        let mut add = |by: String, remedy: String| {
            uses.insert(Use { device: device.into(), by: format!("{by}{through}"), remedy, holder: None });
        };
        let is_it = |mounted: &&Mounted| {
            let (major, minor) = mounted.number;
            format!("{major}:{minor}") == number || same_node(&mounted.source, &own)
        };
        for Mounted { dir: point, .. } in self.mounts.iter().filter(is_it) {
            if point == "/" {
                add("it holds the running system".into(), "boot the ramdisk from elsewhere".into());
            } else {
                add(format!("mounted on {point}"), format!("umount {point}"));
            }
        }
        if self.swaps.iter().any(|swap| self.kernel.known_node(swap) == own) {
            add("used as swap".into(), format!("swapoff {own}"));
        }
        // Devices are stacked a few deep; a loop in sysfs would be the kernel's fault, not ours to follow.
        if depth > 16 {
            return;
        }
        let partitions = self.with_partitions(name);
        for holder in self.kernel.holders(name) {
            // A partition that is a device of its own is no use of the disk; who uses it is asked for each partition.
            if partitions.contains(&holder) {
                continue;
            }
            let (shown, remedy, known) = self.holder(&holder);
            let by = format!("held by {shown}{through}");
            uses.insert(Use { device: device.into(), by, remedy, holder: known });
            for above in self.with_partitions(&holder) {
                self.collect(&above, device, uses, depth + 1);
            }
        }
    }

    /// A holder's name for people, what stops it, and what of the stack it is.
    fn holder(&self, name: &str) -> (String, String, Option<Holder>) {
        /// How long a group's UUID is within a volume's name in the device mapper (`LVM-`, group, volume).
        const UUID: usize = 32;
        let node = self.kernel.node(name);
        if let Some(dm) = self.kernel.text(name, "dm/name") {
            let uuid = self.kernel.text(name, "dm/uuid").unwrap_or_default();
            if let Some(uuids) = uuid.strip_prefix("LVM-") {
                let group = uuids.get(..UUID).map(|group| Holder::Group(group.into()));
                return (format!("the logical volume {node}"), format!("lvchange -an {node}"), group);
            }
            if self.kernel.is_multipath(name) {
                let remedy = format!("this is one path to it: name {node} in its place");
                return (format!("the multipath device {node}"), remedy, None);
            }
            return (node, format!("dmsetup remove {dm}"), None);
        }
        if self.kernel.is_array(name) {
            return (format!("the array {node}"), format!("mdadm --stop {node}"), Some(Holder::Array(node)));
        }
        (node.clone(), format!("end the use by {node}"), None)
    }
}

/// The mounts of other mount namespaces; the mount point says which process has them.
fn elsewhere(proc: &Path) -> Vec<Mounted> {
    let mut seen: BTreeSet<_> = fs::read_link(proc.join("self/ns/mnt")).into_iter().collect();
    let processes = names_in(proc).into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let mut mounts = Vec::new();
    for process in processes {
        let dir = proc.join(&process);
        // A process that ended meanwhile has no mounts.
        if !fs::read_link(dir.join("ns/mnt")).is_ok_and(|namespace| seen.insert(namespace)) {
            continue;
        }
        let table = fs::read_to_string(dir.join("mountinfo")).unwrap_or_default();
        mounts.extend(mount::parse_mountinfo(&table).into_iter().map(|mounted| Mounted {
            dir: format!("{} (in the mount namespace of process {process})", mounted.dir),
            ..mounted
        }));
    }
    mounts
}

/// Whether a path leads to `node`, be it by a link.
fn same_node(path: &str, node: &str) -> bool {
    path == node
        || (path.starts_with("/dev/") && fs::canonicalize(path).is_ok_and(|real| real == Path::new(node)))
}

/// The devices of `/proc/swaps`.
fn parse_swaps(text: &str) -> Vec<String> {
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn usage_of(disk: &str) -> (Vec<(String, String)>, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        let kernel = Kernel { proc: root.path().join("proc"), sys: root.path().join("sys") };
        let proc = kernel.proc.clone();
        write(
            &proc,
            "self/mountinfo",
            "22 1 254:1 / / rw - ext4 /dev/root rw\n30 22 253:0 / /my\\040data rw shared:1 - xfs /dev/mapper/os-x rw\n",
        );
        write(&proc, "swaps", "Filename Type Size Used Priority\n/dev/vda2 partition 1 0 -2\n");
        let sys = root.path().join("sys/class/block");
        for (file, text) in [
            ("vda/dev", "254:0\n"),
            ("vda/vda1/partition", "1\n"),
            ("vda1/dev", "254:1\n"),
            ("vda/vda2/partition", "2\n"),
            ("vda2/dev", "254:2\n"),
            ("vdb/dev", "254:16\n"),
            ("vdb/vdb1/partition", "1\n"),
            ("vdb1/dev", "254:17\n"),
            ("vdb1/holders/md0/x", ""),
            ("md0/dev", "9:0\n"),
            ("md0/md/level", "raid1\n"),
            ("md0/holders/dm-0/x", ""),
            ("dm-0/dev", "253:0\n"),
            ("dm-0/dm/name", "os-x\n"),
            ("dm-0/dm/uuid", "LVM-abc\n"),
            ("vdc/dev", "254:32\n"),
        ] {
            write(&sys, file, text);
        }
        let usage = Usage::read(&kernel).unwrap();
        (usage.of(disk).into_iter().map(|u| (u.device, u.by)).collect(), usage.tops(disk))
    }

    #[test]
    fn mounts_and_swap_of_partitions_are_found() {
        assert_eq!(
            usage_of("/dev/vda").0,
            [
                ("/dev/vda1".to_owned(), "it holds the running system".to_owned()),
                ("/dev/vda2".into(), "used as swap".into())
            ]
        );
    }

    #[test]
    fn holders_are_followed_upwards() {
        let (uses, tops) = usage_of("/dev/vdb");
        assert_eq!(tops, ["/dev/mapper/os-x"]);
        assert_eq!(
            uses.iter().map(|(_, by)| by.as_str()).collect::<Vec<_>>(),
            [
                "held by the array /dev/md0",
                "held by the logical volume /dev/mapper/os-x (through /dev/md0)",
                "mounted on /my data (through /dev/mapper/os-x)",
            ]
        );
        assert!(uses.iter().all(|(device, _)| device == "/dev/vdb1"));
    }

    #[test]
    fn a_disk_that_nobody_uses_has_no_uses() {
        assert_eq!(usage_of("/dev/vdc"), (Vec::new(), vec!["/dev/vdc".to_owned()]));
    }
}
