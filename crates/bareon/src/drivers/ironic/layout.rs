//! From the document of 2017 to the partition scheme: sizes are shared out, then all is laid out as for `nailgun`.
//!
//! The volumes of a disk share what its table, the two partitions for booting and a config drive leave; those of a
//! group what LVM leaves of its physical volumes, in whole extents.

use serde_json::Value;

use super::{
    document::{Disk, Document, Entry, Group, Policy},
    images::Images,
    size::{Misfit, Size, share},
};
use crate::{
    drivers::{
        Facts, Mistake, Mistakes,
        mistake::pointer,
        nailgun::{
            Targeted, keep,
            layout::{CONFIG_DRIVE, HEAD, Layout},
            spaces::{self, Kind},
        },
    },
    hardware::{
        BlockDevice,
        matching::{DiskMatch, find_disk},
    },
    objects::{Bytes, Mib, PartitionScheme},
};

/// The extents of a volume group: what vgcreate(8) takes where it is not told.
const EXTENT: Mib = Mib(4);

/// The sectors where no disk is known that they are counted on.
const SECTOR: Bytes = Bytes(512);

/// The mirror of a GPT at the disk's end, in sectors.
const BACKUP_GPT: u64 = 33;

/// Makes the partition scheme, and finds the images' places.
pub fn build(
    document: Document,
    images: &mut Images,
    policy: Policy,
    facts: &Facts<'_>,
    mistakes: &mut Mistakes,
) -> Targeted {
    let before = mistakes.0.len();
    let mut making =
        Making { layout: Layout { md_by_os: true, ..Layout::default() }, images, policy, mistakes };
    // None is made in this format, but a ready-made one may be brought along.
    let mut drive = !facts.prepare_configdrive && facts.configdrive_exists;
    for disk in document.disks {
        if let Some(device) = making.find(&disk, facts.devices) {
            making.disk(disk, device, drive);
            drive = false;
        }
    }
    // Without its disks a group has no room, and would only seem to be wrong.
    if making.mistakes.0.len() == before {
        for group in document.groups {
            making.group(group);
        }
    }
    let Making { mut layout, images, mistakes, .. } = making;
    keep::pass_on(&mut layout.scheme);
    let targets =
        if mistakes.0.len() == before { targets(images, &layout.scheme, mistakes) } else { Vec::new() };
    Targeted { layout, targets }
}

/// The device of each image, which has the file system that lies there.
fn targets(images: &mut Images, scheme: &PartitionScheme, mistakes: &mut Mistakes) -> Vec<String> {
    let mut devices = Vec::new();
    for source in &mut images.sources {
        if let Some(fs) = scheme.fs_by_mount(&source.mount) {
            source.format.clone_from(&fs.fs_type);
            devices.push(fs.device.clone());
        } else {
            let problem = format!("this image has no target: no volume is mounted at {}", source.mount);
            let remedy = format!("give a volume `mount` = `{}`, or remove the image", source.mount);
            mistakes.push(Mistake::new(source.path.clone(), None, problem, remedy));
        }
    }
    devices
}

/// A layout in the making, and what it is made with.
struct Making<'a> {
    layout: Layout,
    images: &'a mut Images,
    policy: Policy,
    mistakes: &'a mut Mistakes,
}

impl Making<'_> {
    /// The disk of the machine that a disk of the document is.
    fn find<'d>(&mut self, disk: &Disk, devices: &'d [BlockDevice]) -> Option<&'d BlockDevice> {
        let path = &disk.asked.input_path;
        let found = match find_disk(&disk.asked.wanted, devices) {
            Ok(found) => found,
            Err(error) => {
                let value = Value::from(disk.asked.wanted.to_string());
                let remedy = "write `id` as `bareon-provision hardware` shows it";
                self.mistakes.push(Mistake::new(
                    pointer(path, "id"),
                    Some(&value),
                    error.to_string(),
                    remedy,
                ));
                return None;
            }
        };
        let device = &found.disk.device;
        if let Some(first) = self.layout.matches.iter().find(|first| first.disk == *device) {
            let problem = format!("this is {device}, which {} is already", first.input_path);
            let remedy = "list each disk once";
            self.mistakes.push(Mistake::new(pointer(path, "id"), None, problem, remedy));
            return None;
        }
        self.layout.note_match(DiskMatch::new(&found, &disk.asked));
        Some(found.disk)
    }

    fn disk(&mut self, disk: Disk, device: &BlockDevice, drive: bool) {
        let path = disk.asked.input_path;
        let sector = device.sector_size();
        let room = room(disk.size, device).map(|room| {
            Mib(room.0.saturating_sub(HEAD.0).saturating_sub(if drive { CONFIG_DRIVE.0 } else { 0 }))
        });
        let Some(sizes) = self.sizes(&path, &disk.entries, room, Mib(1), sector) else { return };
        self.layout.begin(&device.device, &path);
        for (mut entry, size) in disk.entries.into_iter().zip(sizes) {
            entry.volume.size = size.0;
            self.partition(&entry);
        }
        if drive {
            self.layout.config_drive();
        }
    }

    fn partition(&mut self, entry: &Entry) {
        let volume = &entry.volume;
        let name = self.layout.partition(Mib(volume.size));
        self.layout.note_partition(volume);
        self.layout.guid(&volume.guid);
        let keep = self.keeps(entry);
        let fss = self.layout.scheme.fss.len();
        match (volume.kind, volume.mount_point()) {
            (Kind::Pv, _) => {
                self.layout.pv(name, volume);
                // In nailgun's documents this stands for all that lies on it.
                let keep = self.policy == Policy::NailgunLegacy && entry.keep == Some(true);
                self.layout.last(|partition| partition.keep_data = keep);
            }
            (Kind::Raid, Some(mount)) => {
                self.layout.mirror(name, mount, volume);
                self.mirrored(mount, keep);
            }
            (_, Some(_)) => self.layout.fs(name, volume, "xfs"),
            (_, None) => self.layout.last(|partition| partition.keep_data = keep),
        }
        self.mounted(entry, fss, keep);
    }

    /// What one member of a mirror keeps, the mirror keeps.
    fn mirrored(&mut self, mount: &str, keep: bool) {
        for fs in self.layout.scheme.fss.iter_mut().filter(|fs| fs.mount.as_deref() == Some(mount)) {
            fs.keep_data |= keep;
        }
    }

    fn group(&mut self, group: Group) {
        let PartitionScheme { parteds, pvs, vgs, .. } = &self.layout.scheme;
        let partition = |name: &str| {
            parteds.iter().flat_map(|parted| &parted.partitions).find(|partition| partition.name == name)
        };
        let members: Vec<_> =
            vgs.iter().filter(|vg| vg.name == group.id).flat_map(|vg| &vg.pvnames).collect();
        let room: u64 = pvs
            .iter()
            .filter(|pv| members.contains(&&pv.name))
            .filter_map(|pv| Some(pv.usable(partition(&pv.name)?.size().bytes()).0 / EXTENT.bytes().0))
            .sum();
        if members.is_empty() && !group.entries.is_empty() {
            let problem = format!("the volume group `{}` has no physical volume", group.id);
            let remedy = format!("give a disk a volume of type `pv` with `vg` = `{}`", group.id);
            self.mistakes.push(Mistake::new(group.path, None, problem, remedy));
            return;
        }
        let Some(sizes) = self.sizes(&group.path, &group.entries, Some(Mib(room * EXTENT.0)), EXTENT, SECTOR)
        else {
            return;
        };
        for (mut entry, size) in group.entries.into_iter().zip(sizes) {
            entry.volume.size = size.0;
            let (fss, keep) = (self.layout.scheme.fss.len(), self.keeps(&entry));
            let volumes = vec![entry.volume.clone()];
            self.layout.group(&spaces::Group { id: group.id.clone(), volumes }, self.mistakes);
            if entry.volume.mount_point().is_none()
                && let Some(lv) = self.layout.scheme.lvs.last_mut()
            {
                lv.keep_data = keep;
            }
            self.mounted(&entry, fss, keep);
        }
    }

    /// Whether what lies on a volume stays. Where that is not said it does, unless an image is written there.
    fn keeps(&self, entry: &Entry) -> bool {
        if self.policy == Policy::Clean {
            if entry.keep == Some(true) {
                tracing::warn!("{}: not kept, as partitions_policy is clean", entry.volume.path);
            }
            return false;
        }
        let imaged = entry.volume.mount_point().is_some_and(|mount| self.images.of(mount).is_some());
        entry.keep.unwrap_or(!imaged)
    }

    /// Completes the file system that `entry` brought, where there are more than `before` now.
    fn mounted(&mut self, entry: &Entry, before: usize, keep: bool) {
        let path = &entry.volume.path;
        let used = entry
            .images
            .as_ref()
            .is_none_or(|names| self.images.root_is_among(names, &pointer(path, "images"), self.mistakes));
        let Some(fs) = self.layout.scheme.fss.get_mut(before) else { return };
        fs.keep_data |= keep;
        fs.fstab_options.clone_from(&entry.fstab_options);
        fs.not_in_fstab = !entry.in_fstab || !used;
        let (object, mount) = (format!("/partition_scheme/fss/{before}"), entry.volume.mount_point());
        for key in ["keep_data", "fstab_options"] {
            self.layout.origins.at(format!("{object}/{key}"), pointer(path, key));
        }
        if mount == Some("/") && fs.not_in_fstab {
            let problem = "the root file system is not left out of fstab";
            let remedy = "remove `fstab_enabled`, and let `images` name the image for /";
            self.mistakes.push(Mistake::new(path.clone(), None, problem, remedy));
        }
    }

    /// The sizes of volumes that share `room`.
    fn sizes(
        &mut self,
        path: &str,
        entries: &[Entry],
        room: Option<Mib>,
        unit: Mib,
        sector: Bytes,
    ) -> Option<Vec<Mib>> {
        let sizes: Vec<_> = entries.iter().map(|entry| entry.size).collect();
        let misfit = match share(&sizes, room, unit, sector) {
            Ok(sizes) => return Some(sizes),
            Err(misfit) => misfit,
        };
        let room = room.unwrap_or_default();
        let (at, problem, remedy) = match misfit {
            Misfit::NoRoomKnown(i) => (
                Some(i),
                "the size of the disk is not known".to_owned(),
                "write the disk's `size`, or this one in numbers",
            ),
            Misfit::Nothing(i) => (Some(i), "this comes to no space at all".to_owned(), "make it larger"),
            Misfit::NothingLeft(i, taken) => (
                Some(i),
                format!("nothing is left: the others take {taken} of {room}"),
                "make the others smaller, or leave this one out",
            ),
            Misfit::TooMuch(taken) => (
                None,
                format!(
                    "the volumes take {taken}, there is room for {room} (less what tables and metadata take)"
                ),
                "make them smaller, or let one be `remaining`",
            ),
        };
        let place = at.map_or_else(|| pointer(path, "volumes"), |i| pointer(&entries[i].volume.path, "size"));
        self.mistakes.push(Mistake::new(place, None, problem, remedy));
        None
    }
}

/// How much of a disk is used for partitions, from its beginning on: all, or as much as the document says.
fn room(asked: Option<Size>, device: &BlockDevice) -> Option<Mib> {
    let sector = device.sector_size();
    let asked = asked.and_then(|size| size.bytes(sector));
    let all = match (asked, device.size()) {
        (Some(asked), Some(real)) => asked.min(real),
        (one, other) => one.or(other)?,
    };
    Some(Mib(all.0.saturating_sub(BACKUP_GPT * sector.0) >> 20))
}
