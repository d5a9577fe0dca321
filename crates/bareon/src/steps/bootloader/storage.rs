//! What the installed system's file systems lie on beyond partitions: arrays, volume groups, disks.
//!
//! The boot loader, the initramfs and the files in `/etc` each must know a part of it: GRUB what holds `/boot`, the
//! initramfs what holds `/` and `/usr`, the system all of it. It is read from the layout when the plan is made; only
//! the arrays' UUIDs are known no earlier than when they were made.

use std::fs;

use bareon_host::{Runner, mdadm};

use super::BootError;
use crate::hardware::usage::{Kernel, kernel_name};

/// All that the layout has beyond partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Storage {
    /// Its arrays.
    pub arrays: Vec<Array>,
    /// Its volume groups.
    pub groups: Vec<Group>,
    /// Physical volumes of other groups that have the name of one of ours: on disks of this machine, but none of the
    /// layout's. Two groups of one name cannot both be used.
    pub foreign: Vec<ForeignPv>,
    /// The disks that `/` and `/usr` lie on, which the initramfs must have the drivers of.
    pub disks: Vec<String>,
}

/// Who needs something before the installed system itself runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NeededBy {
    /// `/boot` lies on it, so GRUB must read it.
    pub grub: bool,
    /// `/` or `/usr` lies on it, so the initramfs must start it.
    pub initramfs: bool,
}

/// An array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Its node, such as `/dev/md0`.
    pub device: String,
    /// Its level, as mdadm takes it.
    pub level: String,
    /// The version of its superblock.
    pub metadata: String,
    /// Who needs it early.
    pub needed_by: NeededBy,
}

/// A volume group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its volumes that hold `/` and `/usr`.
    pub early: Vec<String>,
    /// Who needs it early.
    pub needed_by: NeededBy,
}

/// A physical volume that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignPv {
    /// The name of its group.
    pub group: String,
    /// Its UUID.
    pub uuid: String,
    /// Its device, for people.
    pub device: String,
}

impl Storage {
    /// The arrays with the UUIDs that they have got, as mdadm writes them.
    ///
    /// # Errors
    /// When one does not run, so that it has none.
    pub fn uuids(&self, host: &dyn Runner, kernel: &Kernel) -> Result<Vec<(String, String)>, BootError> {
        let with_uuid = |array: &Array| Ok((array.device.clone(), uuid(host, kernel, &array.device)?));
        self.arrays.iter().map(with_uuid).collect()
    }

    /// Whether the initramfs must start an array.
    pub fn early_md(&self) -> bool {
        self.arrays.iter().any(|array| array.needed_by.initramfs)
    }

    /// Whether the initramfs must start a volume group.
    pub fn early_lvm(&self) -> bool {
        self.groups.iter().any(|group| group.needed_by.initramfs)
    }
}

impl Array {
    /// The level by its number, whichever of mdadm's names for it was given.
    fn number(&self) -> &str {
        match self.level.as_str() {
            "stripe" => "0",
            "mirror" => "1",
            level => level.strip_prefix("raid").unwrap_or(level),
        }
    }

    /// The kernel's module for its level.
    pub fn kernel_module(&self) -> &'static str {
        match self.number() {
            "0" => "raid0",
            "1" => "raid1",
            "10" => "raid10",
            "4" | "5" | "6" => "raid456",
            _ => "linear",
        }
    }

    /// GRUB's modules that read it; nothing where GRUB cannot. See `grub-core/disk` in GRUB's source: `mdraid1x_linux.c`
    /// and `mdraid_linux.c` know these levels.
    pub fn grub_modules(&self) -> Option<Vec<&'static str>> {
        let mut modules = vec![if self.metadata == "0.90" { "mdraid09" } else { "mdraid1x" }, "diskfilter"];
        match self.number() {
            "0" | "1" | "10" => {}
            // One member may be missing, so that what it held is computed.
            "4" | "5" => modules.push("raid5rec"),
            "6" => modules.extend(["raid5rec", "raid6rec"]),
            _ => return None,
        }
        Some(modules)
    }
}

/// The UUID of the running array `device`.
fn uuid(host: &dyn Runner, kernel: &Kernel, device: &str) -> Result<String, BootError> {
    let node =
        fs::canonicalize(device).map_or_else(|_| device.into(), |path| path.to_string_lossy().into_owned());
    let dir = kernel.sys.join("class/block").join(kernel_name(&node)).join("md");
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
    let found = match mdadm::uuid_in_sysfs(&read("uuid"), &read("metadata_version")) {
        Some(uuid) => Some(uuid),
        // Older kernels do not tell.
        None => mdadm::parse_detail(&host.run(&mdadm::detail(device))?.stdout),
    };
    found.ok_or_else(|| BootError::NoArray { device: device.into() })
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;

    fn array(level: &str, metadata: &str) -> Array {
        Array {
            device: "/dev/md7".into(),
            level: level.into(),
            metadata: metadata.into(),
            needed_by: NeededBy::default(),
        }
    }

    #[test]
    fn levels_by_all_their_names() {
        for (level, kernel, grub) in [
            ("mirror", "raid1", Some("mdraid1x diskfilter")),
            ("raid1", "raid1", Some("mdraid1x diskfilter")),
            ("0", "raid0", Some("mdraid1x diskfilter")),
            ("stripe", "raid0", Some("mdraid1x diskfilter")),
            ("raid10", "raid10", Some("mdraid1x diskfilter")),
            ("4", "raid456", Some("mdraid1x diskfilter raid5rec")),
            ("raid5", "raid456", Some("mdraid1x diskfilter raid5rec")),
            ("6", "raid456", Some("mdraid1x diskfilter raid5rec raid6rec")),
            ("linear", "linear", None),
        ] {
            let array = array(level, "default");
            assert_eq!(array.kernel_module(), kernel, "{level}");
            assert_eq!(array.grub_modules().map(|modules| modules.join(" ")).as_deref(), grub, "{level}");
        }
        assert_eq!(array("1", "0.90").grub_modules().unwrap()[0], "mdraid09");
    }

    #[test]
    fn the_kernel_knows_the_uuid_and_mdadm_is_asked_where_it_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Kernel { proc: dir.path().into(), sys: dir.path().into() };
        let storage = Storage { arrays: vec![array("1", "1.2")], ..Storage::default() };
        let host = Script::default()
            .ok("mdadm --detail --export /dev/md7", "MD_LEVEL=raid1\nMD_UUID=a:b:c:d\n")
            .ok("mdadm --detail --export /dev/md7", "");
        assert_eq!(storage.uuids(&host, &kernel).unwrap(), [("/dev/md7".to_owned(), "a:b:c:d".to_owned())]);
        let error = storage.uuids(&host, &kernel).unwrap_err().to_string();
        assert!(error.starts_with("/dev/md7 is no array that runs"), "{error}");

        let md = dir.path().join("class/block/md7/md");
        fs::create_dir_all(&md).unwrap();
        fs::write(md.join("uuid"), "01234567-89ab-cdef-0123-456789abcdef\n").unwrap();
        fs::write(md.join("metadata_version"), "1.2\n").unwrap();
        assert_eq!(storage.uuids(&host, &kernel).unwrap()[0].1, "01234567:89abcdef:01234567:89abcdef");
    }
}
