//! From the layout of the input to the partition scheme.
//!
//! Each used disk gets a GPT: 24 MiB for the BIOS's boot loader, 200 MiB for the EFI system
//! partition, the volumes back to back, and on the first of them 20 MiB for the config drive.

use serde_json::Value;

use super::{
    ceph::Journals,
    spaces::{Disk, Group, Kind, Loose, Spaces, Volume},
};
use crate::{
    drivers::{
        Origins,
        mistake::{Mistake, Mistakes},
    },
    hardware::{Asked, BlockDevice, DiskMatch, Wanted, find_disk},
    objects::{
        Mib, PartitionScheme,
        partition::{
            FileSystem, Label, LogicalVolume, MultipleDevice, Parted, Partition, PartitionType,
            PhysicalVolume, VolumeGroup,
        },
    },
};

/// Where the first partition begins.
const FIRST: Mib = Mib(1);
/// The partition that GRUB's core image lies in when the machine boots by BIOS.
const BIOS_GRUB: Mib = Mib(24);
/// The EFI system partition.
const ESP: Mib = Mib(200);
/// The partition of the config drive.
pub const CONFIG_DRIVE: Mib = Mib(20);
/// What lies before the volumes of a disk: the table, and the two partitions for booting.
pub const HEAD: Mib = Mib(FIRST.0 + BIOS_GRUB.0 + ESP.0);
/// A BIOS reads no further than 2 TiB, so `/boot` does not lie on a larger disk.
const BIOS_REACH: u64 = 2 * 1024 * 1024;

/// What the layout depends on beside the input.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// The disks of the machine.
    pub devices: &'a [BlockDevice],
    /// Where there is a partition for the config drive.
    pub configdrive: ConfigDrivePlace,
    /// What becomes of volumes for `/boot`.
    pub boot: Boot,
}

/// On which of the used disks there is a partition for the config drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigDrivePlace {
    /// On none.
    Nowhere,
    /// On the first.
    First,
    /// On each. Only the first is ever written; callers reckon with the space on all of them.
    Every,
}

impl ConfigDrivePlace {
    /// Where it is, by whether one is to be made and whether a ready-made one is there.
    ///
    /// For a ready-made one that is used as it is the original reserves the space on every disk,
    /// and a machine that it partitioned is to be found as it was left.
    pub fn of(prepare: bool, exists: bool) -> Self {
        match (prepare, exists) {
            (true, _) => Self::First,
            (false, true) => Self::Every,
            (false, false) => Self::Nowhere,
        }
    }

    fn is_on(self, index: usize) -> bool {
        match self {
            Self::Nowhere => false,
            Self::First => index == 0,
            Self::Every => true,
        }
    }
}

/// What becomes of volumes for `/boot`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// One of them is made.
    Once,
    /// They are left out.
    LeftOut,
}

/// A partition scheme in the making.
#[derive(Debug, Default)]
pub struct Layout {
    /// The scheme.
    pub scheme: PartitionScheme,
    /// Places of the scheme where a plan shows another value.
    pub shown: Vec<(String, Value)>,
    /// Mistakes that a plan shows and a run refuses.
    pub deferred: Vec<Mistake>,
    /// Where the parts of the scheme come from.
    pub origins: Origins,
    /// Which disks of the machine the disks of the input are.
    pub matches: Vec<DiskMatch>,
    /// The places of the volumes that the scheme keeps.
    pub kept: Vec<String>,
    /// Whether the metadata version of the arrays follows the operating system.
    pub md_by_os: bool,
}

/// Makes the partition scheme.
pub fn build(spaces: &Spaces, options: &Options<'_>, mistakes: &mut Mistakes) -> Layout {
    let mut layout = Layout { md_by_os: true, ..Layout::default() };
    let used: Vec<&Disk> = spaces.disks.iter().filter(|disk| is_used(disk)).collect();
    let boot = boot_volume(&used).filter(|_| options.boot == Boot::Once);
    let mut journals = Journals::new(&spaces.disks);
    let mut taken: Vec<(&str, &Disk)> = Vec::new();
    for disk in used {
        let asked = asked(disk);
        let device = match find_disk(&asked.wanted, options.devices) {
            Ok(found) => {
                layout.note_match(DiskMatch::new(&found, &asked));
                found.disk.device.as_str()
            }
            Err(error) => {
                let remedy = "write `name`, `id` or `extra` as `bareon-provision hardware` shows them";
                let name = Value::String(disk.name.clone());
                mistakes.push(Mistake::new(disk.path.clone(), Some(&name), error.to_string(), remedy));
                continue;
            }
        };
        if let Some((_, first)) = taken.iter().find(|(name, _)| *name == device) {
            let problem = format!("this is {device}, which {} is already", first.path);
            let remedy = "give each disk links of its own";
            mistakes.push(Mistake::new(disk.path.clone(), None, problem, remedy));
            continue;
        }
        taken.push((device, disk));
        layout.disk(device, disk, boot, &mut journals, mistakes);
        if options.configdrive.is_on(taken.len() - 1) {
            layout.config_drive();
        }
    }
    if spaces.disks.iter().all(|disk| !is_used(disk)) && mistakes.is_empty() {
        let problem = "no disk has a volume with a size, so nothing can be installed";
        mistakes.push(Mistake::new("/ks_meta/pm_data/ks_spaces", None, problem, "give a disk such volumes"));
    }
    for group in &spaces.groups {
        layout.group(group, mistakes);
    }
    super::keep::pass_on(&mut layout.scheme);
    layout
}

/// The disks that the document asks for.
pub fn disks(spaces: &Spaces) -> Vec<Asked> {
    spaces.disks.iter().filter(|disk| is_used(disk)).map(asked).collect()
}

fn asked(disk: &Disk) -> Asked {
    let (id, name, extra) = (disk.id.clone(), disk.name.clone(), disk.extra.clone());
    let wanted = Wanted::Links { id, name, extra };
    Asked { input_path: disk.path.clone(), wanted, size: Some(Mib(disk.size).bytes()) }
}

/// Whether a disk is used at all: callers list `/boot` on disks that nothing else lies on.
fn is_used(disk: &Disk) -> bool {
    disk.volumes.iter().any(|volume| volume.kind != Kind::Accounting && !volume.is_boot())
}

/// The volume that `/boot` becomes: the first on the disk that a BIOS reads best.
///
/// Callers list `/boot` on every disk. Whether a disk is NVMe is told by its name in the input:
/// that is what the caller reckoned with.
fn boot_volume<'a>(used: &[&'a Disk]) -> Option<&'a Volume> {
    let candidates = used.iter().filter_map(|disk| {
        let volume = disk
            .volumes
            .iter()
            .find(|volume| matches!(volume.kind, Kind::Partition | Kind::Raid) && volume.is_boot())?;
        Some((disk.name.starts_with("nvme"), disk.size > BIOS_REACH, volume))
    });
    candidates.min_by_key(|(nvme, large, _)| (*nvme, *large)).map(|(_, _, volume)| volume)
}

impl Layout {
    /// Notes which disk of the machine a disk of the input is.
    pub fn note_match(&mut self, found: DiskMatch) {
        if found.doubts.is_empty() {
            tracing::debug!("{found}");
        } else {
            tracing::warn!("{found}; compare with `bareon-provision hardware` before data is lost");
        }
        self.matches.push(found);
    }

    /// Begins the disk `device`, which stands at `path` in the input: its table, and the partitions for booting.
    pub fn begin(&mut self, device: &str, path: &str) {
        self.scheme.parteds.push(Parted {
            name: device.into(),
            label: Label::Gpt,
            partitions: Vec::new(),
            install_bootloader: true,
        });
        self.origins.at(format!("/partition_scheme/parteds/{}", self.scheme.parteds.len() - 1), path);
        self.partition(BIOS_GRUB);
        self.last(|partition| partition.flags.push("bios_grub".into()));
        self.partition(ESP);
        self.last(|partition| partition.esp = true);
    }

    /// Adds the partition of the config drive to the last disk.
    pub fn config_drive(&mut self) {
        let name = self.partition(CONFIG_DRIVE);
        self.last(|partition| partition.configdrive = true);
        tracing::debug!("the config drive goes to {name}");
    }

    fn disk(
        &mut self,
        device: &str,
        disk: &Disk,
        boot: Option<&Volume>,
        journals: &mut Journals,
        mistakes: &mut Mistakes,
    ) {
        self.begin(device, &disk.path);
        for volume in &disk.volumes {
            match volume.kind {
                Kind::Accounting | Kind::MetaPool | Kind::Lv => {}
                _ if volume.name.as_deref() == Some(super::ceph::JOURNAL) && !volume.is_boot() => {
                    self.journals(volume, journals, mistakes);
                }
                _ if volume.is_boot() && !boot.is_some_and(|boot| std::ptr::eq(boot, volume)) => {
                    tracing::debug!("{}: /boot lies on another disk", volume.path);
                }
                _ => self.volume(volume),
            }
        }
    }

    fn journals(&mut self, volume: &Volume, journals: &mut Journals, mistakes: &mut Mistakes) {
        let (count, size) = journals.take(volume.size);
        if volume.kind != Kind::Partition {
            return;
        }
        if count > 0 && size == 0 {
            let problem = format!("{count} journals do not fit into {} MiB", volume.size);
            mistakes.push(Mistake::new(volume.path.clone(), None, problem, "make `size` larger"));
            return;
        }
        for _ in 0..count {
            self.partition(Mib(size));
            self.note_partition(volume);
            self.guid(&volume.guid);
        }
    }

    fn volume(&mut self, volume: &Volume) {
        let name = self.partition(Mib(volume.size));
        self.note_partition(volume);
        self.last(|partition| partition.keep_data = volume.keep);
        if volume.keep {
            self.kept.push(volume.path.clone());
        }
        match (volume.kind, volume.mount_point()) {
            (Kind::Pv, _) => self.pv(name, volume),
            (Kind::Partition, mount) => {
                self.guid(&volume.guid);
                if mount.is_some() {
                    self.fs(name, volume, "xfs");
                }
            }
            (Kind::Raid, Some("/boot")) => self.fs(name, volume, "ext2"),
            (Kind::Raid, Some(mount)) => self.mirror(name, mount, volume),
            _ => {}
        }
    }

    /// Adds a partition of `size` to the last disk, and returns its name.
    pub fn partition(&mut self, size: Mib) -> String {
        let Some(parted) = self.scheme.parteds.last_mut() else { return String::new() };
        let begin = parted.partitions.last().map_or(FIRST, |last| last.end);
        let count = parted.partitions.last().map_or(1, |last| last.count.saturating_add(1));
        let name = parted.partition_name(count);
        parted.partitions.push(Partition {
            name: name.clone(),
            count,
            device: parted.name.clone(),
            begin,
            end: Mib(begin.0.saturating_add(size.0)),
            partition_type: PartitionType::Primary,
            flags: Vec::new(),
            guid: None,
            configdrive: false,
            keep_data: false,
            esp: false,
        });
        name
    }

    /// Changes the partition that was added last.
    pub fn last(&mut self, change: impl FnOnce(&mut Partition)) {
        if let Some(last) = self.scheme.parteds.last_mut().and_then(|parted| parted.partitions.last_mut()) {
            change(last);
        }
    }

    /// Notes that the partition that was added last comes from `volume`.
    pub fn note_partition(&mut self, volume: &Volume) {
        let Some(parted) = self.scheme.parteds.last() else { return };
        let (disk, number) = (self.scheme.parteds.len() - 1, parted.partitions.len().saturating_sub(1));
        let object = format!("/partition_scheme/parteds/{disk}/partitions/{number}");
        let path = &volume.path;
        self.origins.at(format!("{object}/end"), format!("{path}/size"));
        self.origins.at(format!("{object}/guid"), format!("{path}/partition_guid"));
        self.origins.at(object, &**path);
    }

    /// Gives the partition that was added last its type GUID.
    pub fn guid(&mut self, guid: &Loose) {
        let Some(parted) = self.scheme.parteds.last() else { return };
        let (disk, number) = (self.scheme.parteds.len() - 1, parted.partitions.len().saturating_sub(1));
        self.last(|partition| partition.guid.clone_from(&guid.text));
        self.loose(guid, || format!("/parteds/{disk}/partitions/{number}/guid"));
    }

    /// Puts the file system of `volume` onto `device`.
    pub fn fs(&mut self, device: String, volume: &Volume, default: &str) {
        let index = self.scheme.fss.len();
        self.loose(&volume.label, || format!("/fss/{index}/fs_label"));
        let (object, path) = (format!("/partition_scheme/fss/{index}"), &volume.path);
        for (key, input) in [("fs_type", "file_system"), ("fs_label", "disk_label"), ("mount", "mount")] {
            self.origins.at(format!("{object}/{key}"), format!("{path}/{input}"));
        }
        self.origins.at(object, &**path);
        self.scheme.fss.push(FileSystem {
            device,
            mount: volume.mount.clone(),
            fs_type: volume.file_system.clone().unwrap_or_else(|| default.into()),
            fs_options: String::new(),
            fs_label: volume.label.text.clone().unwrap_or_default(),
            keep_data: false,
            fstab_options: None,
            not_in_fstab: false,
        });
    }

    fn loose(&mut self, loose: &Loose, pointer: impl FnOnce() -> String) {
        if let Some(shown) = &loose.shown {
            self.shown.push((pointer(), shown.clone()));
        }
        if let Some(mistake) = &loose.mistake
            && !self.deferred.contains(mistake)
        {
            self.deferred.push(mistake.clone());
        }
    }

    /// Makes the partition `name` a physical volume of the group that `volume` names.
    pub fn pv(&mut self, name: String, volume: &Volume) {
        if let Some(vg) = self.scheme.vgs.iter_mut().find(|vg| vg.name == volume.vg) {
            vg.pvnames.push(name.clone());
        } else {
            let object = format!("/partition_scheme/vgs/{}", self.scheme.vgs.len());
            self.origins.at(object, format!("{}/vg", volume.path));
            let pvnames = vec![name.clone()];
            self.scheme.vgs.push(VolumeGroup { name: volume.vg.clone(), pvnames, keep_data: false });
        }
        self.origins.at(format!("/partition_scheme/pvs/{}", self.scheme.pvs.len()), &*volume.path);
        let meta = u64::try_from(volume.meta_size.saturating_sub(8) / 2).unwrap_or(0);
        self.scheme.pvs.push(PhysicalVolume {
            name,
            metadatasize: Mib(meta),
            metadatacopies: 2,
            keep_data: false,
        });
    }

    /// Makes `member` part of the mirror for `mount`.
    pub fn mirror(&mut self, member: String, mount: &str, volume: &Volume) {
        let of_mount = |scheme: &PartitionScheme| {
            scheme.mds.iter().position(|md| {
                scheme.fss.iter().any(|fs| fs.device == md.name && fs.mount.as_deref() == Some(mount))
            })
        };
        if let Some(md) = of_mount(&self.scheme) {
            self.scheme.mds[md].devices.push(member);
            return;
        }
        self.origins.at(format!("/partition_scheme/mds/{}", self.scheme.mds.len()), &*volume.path);
        let name = format!("/dev/md{}", self.scheme.mds.len());
        self.scheme.mds.push(MultipleDevice {
            name: name.clone(),
            level: "mirror".into(),
            devices: vec![member],
            spares: Vec::new(),
            keep_data: false,
            metadata: "default".into(),
        });
        self.fs(name, volume, "xfs");
    }

    /// Adds the logical volumes of `group`.
    pub fn group(&mut self, group: &Group, mistakes: &mut Mistakes) {
        for volume in &group.volumes {
            if self.scheme.vgs.iter().all(|vg| vg.name != group.id) {
                let problem = format!("the volume group `{}` has no physical volume", group.id);
                let remedy = format!("give a disk a volume of type `pv` with `vg` = `{}`", group.id);
                mistakes.push(Mistake::new(volume.path.clone(), None, problem, remedy));
                continue;
            }
            let lv = LogicalVolume {
                name: volume.name.clone().unwrap_or_default(),
                vgname: group.id.clone(),
                size: Mib(volume.size),
                keep_data: false,
            };
            let device = lv.device();
            if self.scheme.lvs.iter().any(|other| other.device() == device) {
                let problem = format!("there are two logical volumes {device}");
                self.deferred.push(Mistake::new(volume.path.clone(), None, problem, "rename one of the two"));
            }
            self.origins.at(format!("/partition_scheme/lvs/{}", self.scheme.lvs.len()), &*volume.path);
            self.scheme.lvs.push(lv);
            if volume.mount_point().is_some() {
                self.fs(device, volume, "xfs");
            }
        }
    }
}
