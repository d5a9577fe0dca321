//! Disks: which of the machine's they are, and where their partitions lie.
//!
//! On a disk that the machine boots from there come first, unless they are described, a BIOS boot partition and an EFI
//! system partition, so that either firmware boots it. The config drive has a partition at the end of the first one.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::{
    Document, Report,
    document::{Disk, Flag, Match, Table},
    keep::Kept,
    names::{At, Names, holders, whole_disks},
    slots::{Slot, What, place, slots, tell},
    text::{self, TYPES},
};
use crate::{
    drivers::{Facts, Origins},
    hardware::{Asked, BlockDevice, Criterion, DiskMatch, Wanted, find_disk},
    objects::{
        Bytes, Mib, PartitionScheme,
        partition::{Label, Parted, Partition, PartitionType, partition_name},
    },
};

/// The mirror of a GPT at the disk's end: 32 sectors of entries and its header.
const BACKUP_GPT_SECTORS: u64 = 33;
/// How many partitions a master boot record holds itself.
const PRIMARY: usize = 4;

/// A partition scheme in the making.
#[derive(Debug, Default)]
pub struct Layout {
    /// The scheme.
    pub scheme: PartitionScheme,
    /// Where the parts of the scheme come from.
    pub origins: Origins,
    /// Which disks of the machine the disks of the document are.
    pub matches: Vec<DiskMatch>,
    /// The node and the size of each thing, as far as they are known.
    pub devices: BTreeMap<At, (String, Bytes)>,
}

/// The disks that a document asks for.
pub fn asked(document: &Document) -> Vec<Asked> {
    let asked = |(i, disk): (usize, &Disk)| {
        let criteria = criteria(disk.by.as_ref()?);
        let wanted = Wanted::All(criteria);
        Some(Asked { input_path: format!("/disks/{i}"), wanted, size: None })
    };
    document.disks.iter().enumerate().filter_map(asked).collect()
}

fn criteria(by: &Match) -> Vec<Criterion> {
    let text = |value: &Option<String>, criterion: fn(String) -> Criterion| value.clone().map(criterion);
    let path = |path: String| {
        let link = path.starts_with("/dev/") || path.starts_with("disk/");
        if link { Criterion::Link(path) } else { Criterion::Path(path) }
    };
    let size = by.size.as_deref().and_then(|size| text::size_test(size).ok());
    [
        text(&by.serial, Criterion::Serial),
        text(&by.wwn, Criterion::Wwn),
        by.path.clone().map(path),
        text(&by.model, Criterion::Model),
        text(&by.vendor, Criterion::Vendor),
        text(&by.name, Criterion::Name),
        size.map(|(comparison, size)| Criterion::Size(comparison, size)),
        by.rotational.map(Criterion::Rotational),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The disks that the machine boots from: those that say so; where none does, those that `/` and `/boot` lie on and
/// that do not say the contrary.
pub fn boot_disks(document: &Document, names: &Names) -> BTreeSet<usize> {
    let says = |boot: bool| move |(_, disk): &(usize, &Disk)| disk.boot == Some(boot);
    let disks = || document.disks.iter().enumerate();
    let told: BTreeSet<_> = disks().filter(says(true)).map(|(i, _)| i).collect();
    if !told.is_empty() {
        return told;
    }
    let not: BTreeSet<_> = disks().filter(says(false)).map(|(i, _)| i).collect();
    let booted =
        holders(document).into_iter().filter(|(_, holder)| matches!(holder.mount(), Some("/" | "/boot")));
    booted.flat_map(|(at, _)| names.disks(at)).filter(|disk| !not.contains(disk)).collect()
}

/// Finds the disks and lays their partitions out.
pub fn lay_out(
    document: &Document,
    names: &Names,
    kept: &Kept,
    boot: &BTreeSet<usize>,
    facts: &Facts<'_>,
    report: &mut Report<'_>,
) -> Layout {
    let mut layout = Layout::default();
    let whole = whole_disks(document, names);
    let laid_out = || (0..document.disks.len()).filter(|disk| !whole.contains_key(disk));
    let drive = laid_out().find(|disk| boot.contains(disk)).or_else(|| laid_out().next()).unwrap_or(0);
    let with_drive = facts.prepare_configdrive || facts.configdrive_exists;
    for (i, disk) in document.disks.iter().enumerate() {
        let path = format!("/disks/{i}/partitions");
        if let Some(image) = whole.get(&i) {
            if !disk.partitions.is_empty() {
                let problem = format!("/images/{image} is written to this disk as a whole");
                report.wrong(&path, problem, "leave either out");
            }
            layout.whole(disk, i, facts, report);
            continue;
        }
        let told = [&*path, path.trim_end_matches("/partitions")];
        let told = report.mistakes().0.iter().any(|mistake| told.contains(&&*mistake.path));
        if disk.partitions.is_empty() && !told {
            let remedy = "write them; or write an image of a whole disk to it, by its `name`";
            report.wrong(&path, "this disk gets neither partitions nor an image", remedy);
        }
        let slots = slots(disk, i, boot.contains(&i), with_drive && i == drive, report);
        let Some(device) = layout.find(disk, i, facts, report) else { continue };
        let Some(slots) = slots else { continue };
        layout.table(Drawn { disk, index: i, device, boots: boot.contains(&i), kept }, &slots, report);
    }
    layout
}

/// A disk of the document and what is known of it.
#[derive(Clone, Copy)]
struct Drawn<'a> {
    disk: &'a Disk,
    index: usize,
    device: &'a BlockDevice,
    boots: bool,
    kept: &'a Kept,
}

impl Layout {
    fn find<'f>(
        &mut self,
        disk: &Disk,
        index: usize,
        facts: &Facts<'f>,
        report: &mut Report<'_>,
    ) -> Option<&'f BlockDevice> {
        let criteria = criteria(disk.by.as_ref()?);
        if criteria.is_empty() {
            return None;
        }
        let path = format!("/disks/{index}/match");
        let asked =
            Asked { input_path: format!("/disks/{index}"), wanted: Wanted::All(criteria), size: None };
        let found = match find_disk(&asked.wanted, facts.devices) {
            Ok(found) => found,
            Err(error) => {
                let remedy = if error.ambiguous {
                    "write more of what tells it from the others, best its serial or wwn"
                } else {
                    "write what `bareon-provision hardware` shows of it"
                };
                report.wrong(&path, error.to_string(), remedy);
                return None;
            }
        };
        if let Some(other) = self.matches.iter().find(|other| other.disk == found.disk.device) {
            let problem = format!("this is {}, which {} is already", other.disk, other.input_path);
            report.wrong(&path, problem, "name each disk once, with all of its partitions");
            return None;
        }
        self.matches.push(DiskMatch::new(&found, &asked));
        Some(found.disk)
    }

    /// A disk that is written as a whole.
    fn whole(&mut self, disk: &Disk, index: usize, facts: &Facts<'_>, report: &mut Report<'_>) {
        let Some(device) = self.find(disk, index, facts, report) else { return };
        let path = format!("/disks/{index}");
        self.origins.at(format!("/partition_scheme/parteds/{}", self.scheme.parteds.len()), path);
        let size = device.size().unwrap_or(Bytes(0));
        self.devices.insert(At::Disk(index), (device.device.clone(), size));
        self.scheme.parteds.push(Parted {
            name: device.device.clone(),
            label: Label::Gpt,
            partitions: Vec::new(),
            install_bootloader: false,
        });
    }

    fn table(&mut self, drawn: Drawn<'_>, slots: &[Slot], report: &mut Report<'_>) {
        let Drawn { disk, index, device, boots, .. } = drawn;
        let path = format!("/disks/{index}");
        let label = if disk.table == Some(Table::Mbr) { Label::Msdos } else { Label::Gpt };
        let Some(end) = end(device, label) else {
            report.wrong(
                &format!("{path}/match"),
                format!("{} has no known size", device.device),
                "is it broken?",
            );
            return;
        };
        let logical = if label == Label::Msdos && slots.len() > PRIMARY { PRIMARY - 1 } else { usize::MAX };
        let places = match place(slots, end, logical) {
            Ok(places) => places,
            Err(misfit) => {
                tell(&misfit, slots, &path, disk, end, report);
                return;
            }
        };
        let parted = format!("/partition_scheme/parteds/{}", self.scheme.parteds.len());
        self.origins.at(&parted, &path);
        self.origins.at(format!("{parted}/label"), format!("{path}/table"));
        let mut partitions = Vec::new();
        for (i, (slot, place)) in slots.iter().zip(&places).enumerate() {
            if i == logical {
                let whole = place.start - 1..places.last().map_or(place.end, |last| last.end);
                partitions.push(partition(device, PRIMARY, whole, PartitionType::Extended));
            }
            let kind = if i >= logical { PartitionType::Logical } else { PartitionType::Primary };
            let mut made = partition(device, i + 1 + usize::from(i >= logical), place.clone(), kind);
            if let What::Described(j) = slot.what {
                self.described(&mut made, &drawn, j, &format!("{parted}/partitions/{}", partitions.len()));
            } else {
                made.esp = slot.what == What::Esp;
                made.configdrive = slot.what == What::ConfigDrive;
                made.flags.extend((slot.what == What::BiosBoot).then(|| "bios_grub".to_owned()));
            }
            partitions.push(made);
        }
        let name = device.device.clone();
        self.scheme.parteds.push(Parted { name, label, partitions, install_bootloader: boots });
    }

    /// What the document says of a partition.
    fn described(&mut self, made: &mut Partition, drawn: &Drawn<'_>, j: usize, object: &str) {
        let (at, described) = (At::Partition(drawn.index, j), &drawn.disk.partitions[j]);
        let kind = described.kind.as_deref().unwrap_or_default();
        match TYPES.iter().find(|(name, _)| *name == kind) {
            Some((_, flag)) => made.flags.extend(flag.map(str::to_owned)),
            None => made.guid.clone_from(&described.kind),
        }
        made.esp = kind == "efi";
        made.flags.extend(described.flags.iter().map(|flag| flag_name(*flag).to_owned()));
        made.keep_data = drawn.kept.is_kept(at);
        self.devices.insert(at, (made.name.clone(), made.size().bytes()));
        let path = at.path();
        for (key, input) in [("begin", "start"), ("end", "size"), ("guid", "type"), ("flags", "type")] {
            self.origins.at(format!("{object}/{key}"), format!("{path}/{input}"));
        }
        self.origins.at(format!("{object}/keep_data"), format!("{path}/preserve"));
        self.origins.at(object, path);
    }
}

/// The first MiB of a disk that no partition can have; nothing where its size is not known.
fn end(device: &BlockDevice, label: Label) -> Option<u64> {
    let (size, sector) = (device.size()?, device.sector_size().0);
    // A master boot record needs nothing there, but a GPT that comes later does, and one that was there is gone.
    let room = size.0.saturating_sub(BACKUP_GPT_SECTORS * sector);
    let bytes = match label {
        Label::Gpt => room,
        // It counts sectors in 32 bits.
        Label::Msdos => room.min(u64::from(u32::MAX) * sector),
    };
    Some(bytes >> 20)
}

fn flag_name(flag: Flag) -> &'static str {
    match flag {
        Flag::Boot => "boot",
        Flag::LegacyBoot => "legacy_boot",
        Flag::Hidden => "hidden",
    }
}

fn partition(device: &BlockDevice, number: usize, place: Range<u64>, kind: PartitionType) -> Partition {
    let count = u32::try_from(number).unwrap_or(u32::MAX);
    Partition {
        name: partition_name(&device.device, count),
        count,
        device: device.device.clone(),
        begin: Mib(place.start),
        end: Mib(place.end),
        partition_type: kind,
        flags: Vec::new(),
        guid: None,
        configdrive: false,
        keep_data: false,
        esp: false,
    }
}
