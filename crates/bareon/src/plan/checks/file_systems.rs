//! File systems: types, mount points, labels, room.

use std::collections::BTreeMap;

use bareon_host::mkfs::FsType;

use super::{Checks, Stage};
use crate::objects::{Bytes, Image, Mib, image::TAR, partition::FileSystem};

/// The least that `mkfs.xfs` makes, since xfsprogs 5.19: it would refuse when the tables are written already.
const XFS_LEAST: Mib = Mib(300);

impl Checks<'_> {
    pub(super) fn file_systems(&mut self) {
        let scheme = &self.deployment.partition_scheme;
        let mut mounts: BTreeMap<String, usize> = BTreeMap::new();
        let mut devices: BTreeMap<&str, usize> = BTreeMap::new();
        let sizes = self.device_sizes();
        for (i, fs) in scheme.fss.iter().enumerate() {
            let path = format!("/partition_scheme/fss/{i}");
            self.file_system(&path, fs);
            self.room(&path, fs, sizes.get(&fs.device).copied());
            if let Some(mount) = fs.mount.as_deref().filter(|mount| *mount != "swap") {
                if let Some(first) = mounts.insert(normal(mount), i) {
                    let problem = format!(
                        "{} is mounted there already",
                        self.place(&format!("/partition_scheme/fss/{first}"))
                    );
                    self.refuse(
                        &Stage::ALL,
                        &format!("{path}/mount"),
                        mount,
                        &problem,
                        "give each file system its own mount point",
                    );
                }
                if !mount.starts_with('/') {
                    let remedy = "write it from / on, or swap";
                    self.refuse(
                        &Stage::ALL,
                        &format!("{path}/mount"),
                        mount,
                        "this is no mount point",
                        remedy,
                    );
                }
            }
            if let Some(first) = devices.insert(&fs.device, i) {
                let problem =
                    format!("{} lies there already", self.place(&format!("/partition_scheme/fss/{first}")));
                self.refuse(
                    &Stage::ALL,
                    &format!("{path}/device"),
                    &fs.device,
                    &problem,
                    "give each file system its own device",
                );
            }
        }
    }

    fn file_system(&mut self, path: &str, fs: &FileSystem) {
        let scheme = &self.deployment.partition_scheme;
        let known = scheme.partitions().any(|partition| partition.name == fs.device)
            || scheme.mds.iter().any(|md| md.name == fs.device)
            || scheme.lvs.iter().any(|lv| lv.device() == fs.device);
        if !known {
            self.refuse(
                &Stage::ALL,
                &format!("{path}/device"),
                &fs.device,
                "the layout makes no such device",
                "name a partition of a disk in parteds; other disks are never written",
            );
        }
        if let Some(word) = fs.fs_options.split_whitespace().find(|word| is_path(word)) {
            self.refuse(
                &[Stage::Partition],
                &format!("{path}/fs_options"),
                word,
                "this names a file or a device, and mkfs would take it for the one to write",
                "leave it out; only the file system's own device is written",
            );
        }
        self.special(path, fs);
        match fs.fs_type.parse::<FsType>() {
            Err(unknown) => {
                // The type is given to mkfs, and to mount in each of the stages.
                let at = format!("{path}/fs_type");
                self.refuse(&Stage::WRITING, &at, &fs.fs_type, &unknown.to_string(), "use one of them");
            }
            Ok(kind) if fs.fs_label.len() > kind.label_limit() => {
                let problem = format!(
                    "the label has {} bytes, {kind} takes {} at most",
                    fs.fs_label.len(),
                    kind.label_limit()
                );
                self.refuse(
                    &[Stage::Partition],
                    &format!("{path}/fs_label"),
                    &fs.fs_label,
                    &problem,
                    "shorten it",
                );
            }
            Ok(_) => {}
        }
    }

    /// A file system that has less room than its mkfs asks for. One that is kept or comes as an image is not made.
    fn room(&mut self, path: &str, fs: &FileSystem, room: Option<Bytes>) {
        let comes_whole = |image: &Image| image.format != TAR && image.target_device == fs.device;
        let imaged = self.deployment.image_scheme.iter().any(comes_whole);
        if imaged || self.kept.data(&fs.device) || fs.fs_type.parse() != Ok(FsType::Xfs) {
            return;
        }
        // What has no size is refused where it is described.
        if let Some(room) = room.filter(|room| room.0 > 0 && *room < XFS_LEAST.bytes()) {
            let problem = format!("{} has room for {room}, an xfs needs {XFS_LEAST}", fs.device);
            let remedy = "make the volume larger, or use ext4 there";
            self.refuse(&[Stage::Partition], &format!("{path}/fs_type"), &fs.fs_type, &problem, remedy);
        }
    }

    /// A file system on a partition that something else is for.
    fn special(&mut self, path: &str, fs: &FileSystem) {
        let partitions = || self.deployment.partition_scheme.partitions();
        let Some(partition) = partitions().find(|partition| partition.name == fs.device) else { return };
        let (drive, esp) = (partition.configdrive, partition.esp && self.firmware.uefi());
        if drive {
            let remedy = "give the file system a partition of its own";
            let problem = "the config drive is written there";
            self.refuse(&Stage::WRITING, &format!("{path}/device"), &fs.device, problem, remedy);
        }
        if esp && fs.fs_type.parse() != Ok(FsType::Vfat) {
            let problem = "UEFI reads nothing but vfat from an EFI system partition";
            let remedy = "use vfat; on a GPT the flag boot makes an EFI system partition, as esp does";
            self.refuse(
                &[Stage::Partition, Stage::Bootloader],
                &format!("{path}/fs_type"),
                &fs.fs_type,
                problem,
                remedy,
            );
        }
    }
}

/// A mount point without trailing and doubled slashes.
pub(in crate::plan) fn normal(mount: &str) -> String {
    let parts: Vec<_> = mount.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

/// Whether a word of mkfs's options is, or holds, the name of a file or device.
fn is_path(word: &str) -> bool {
    word.starts_with(['/', '.']) || word.contains("/dev/")
}
