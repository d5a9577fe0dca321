//! The layout as the document of 2017 has it: disks and volume groups, their volumes with sizes still as written.

use serde_json::Value;

use super::size::{HOW, Size};
use crate::{
    drivers::{
        mistake::{Mistake, Mistakes},
        nailgun::spaces::{Kind, Volume, loose},
        place::Place,
    },
    hardware::{
        criterion::Criterion,
        matching::{Asked, Wanted},
    },
    objects::Bytes,
};

const TEXT: &str = "write a text in quotes";
const VOLUMES: &str = "write a list with an object for each volume; it may be empty";

/// The space for LVM's metadata where the document gives none, in MiB: what nailgun's documents give.
const META_SIZE: u64 = 64;

/// What becomes of what lies on the disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The disks are laid out anew, and nothing is kept.
    Clean,
    /// The layout must be there as described; only file systems that are not to be kept are made anew.
    Verify,
    /// As `Verify` where something is to be kept, else as `Clean`.
    NailgunLegacy,
}

/// The layout.
#[derive(Debug, Default)]
pub struct Document {
    /// The disks with something on them.
    pub disks: Vec<Disk>,
    /// The volume groups.
    pub groups: Vec<Group>,
}

/// A disk.
#[derive(Debug)]
pub struct Disk {
    /// Where it stands in the document, and which one it is.
    pub asked: Asked,
    /// How much of it is used; all of it where nothing is given.
    pub size: Option<Size>,
    /// What lies on it.
    pub entries: Vec<Entry>,
}

/// A volume group.
#[derive(Debug)]
pub struct Group {
    /// Where it stands in the document.
    pub path: String,
    /// Its name.
    pub id: String,
    /// Its logical volumes.
    pub entries: Vec<Entry>,
}

/// A volume.
#[derive(Debug)]
pub struct Entry {
    /// What it is; without its size.
    pub volume: Volume,
    /// Its size.
    pub size: Size,
    /// Whether what lies there stays, where that is said.
    pub keep: Option<bool>,
    /// The names of the images that use it; all where nothing is given.
    pub images: Option<Vec<String>>,
    /// Its options in fstab.
    pub fstab_options: Option<String>,
    /// Whether it is entered in fstab.
    pub in_fstab: bool,
}

impl Policy {
    /// Reads `partitions_policy`.
    pub fn read(root: &Place<'_>, mistakes: &mut Mistakes) -> Self {
        const KNOWN: &str = "write `clean`, `verify` or `nailgun_legacy`";
        match root.may_text("partitions_policy", KNOWN, mistakes) {
            None | Some("verify") => Self::Verify,
            Some("clean") => Self::Clean,
            Some("nailgun_legacy") => Self::NailgunLegacy,
            Some(_) => {
                if let Some(place) = root.get("partitions_policy") {
                    place.wrong("this policy is not known", KNOWN, mistakes);
                }
                Self::Verify
            }
        }
    }
}

impl Document {
    /// Reads `partitions`.
    pub fn read(root: &Place<'_>, mistakes: &mut Mistakes) -> Self {
        let remedy = "write a list with an object for each disk and volume group";
        let mut document = Self::default();
        let Some(place) = root.need("partitions", remedy, mistakes) else { return document };
        let before = mistakes.0.len();
        for item in place.items(remedy, mistakes).unwrap_or_default() {
            match item
                .object(remedy, mistakes)
                .and_then(|_| item.need_text("type", "write `disk` or `vg`", mistakes))
            {
                Some("disk") => document.disks.extend(disk(&item, mistakes)),
                Some("vg") => document.groups.extend(group(&item, mistakes)),
                Some(_) => wrong_type(&item, "`disk` or `vg`", mistakes),
                None => {}
            }
        }
        if document.disks.is_empty() && mistakes.0.len() == before {
            let problem = "no disk has a volume, so nothing can be installed";
            place.wrong(problem, "add an object of type `disk` with volumes", mistakes);
        }
        document
    }
}

fn wrong_type(item: &Place<'_>, known: &str, mistakes: &mut Mistakes) {
    if let Some(kind) = item.get("type") {
        kind.wrong("this `type` is not known", format!("write {known}"), mistakes);
    }
}

/// Reads a disk; nothing when nothing is to lie on it, or when something of it is wrong.
fn disk(item: &Place<'_>, mistakes: &mut Mistakes) -> Option<Disk> {
    let criterion = item
        .need_object("id", "write an object with `type` (name, path or scsi) and `value`", mistakes)
        .and_then(|id| criterion(&id, mistakes));
    let size = item.get("size").map(|place| size(&place, mistakes));
    if let (Some(Some(Size::Percent(_) | Size::Remaining)), Some(place)) = (size, item.get("size")) {
        let remedy = "write how much of the disk is used, such as `100 GiB`, or leave it out for all of it";
        place.wrong("the size of a disk is not a part of something", remedy, mistakes);
    }
    let entries = entries(item, disk_volume, mistakes)?;
    if entries.is_empty() {
        tracing::info!("{}: left alone, as it has no volumes", item.path);
    }
    let wanted = Wanted::All(vec![criterion?]);
    let size = match size {
        Some(size) => Some(size?),
        None => None,
    };
    // Only a size in bytes can be compared before the disk is known.
    let asked_size = size.and_then(|size| size.bytes(Bytes(512)));
    let asked = Asked { input_path: item.path.clone(), wanted, size: asked_size };
    (!entries.is_empty()).then_some(Disk { asked, size, entries })
}

/// By what a disk is found.
fn criterion(id: &Place<'_>, mistakes: &mut Mistakes) -> Option<Criterion> {
    const KINDS: &str = "write `name`, `path` or `scsi`";
    let kind = id.need_text("type", KINDS, mistakes);
    let value = id.need_text("value", "write it as `bareon-provision hardware` shows it", mistakes);
    let (kind, value) = (kind?, value?.to_owned());
    Some(match kind {
        // A name of udev's is as good as the kernel's.
        "name" | "path" if value.trim_start_matches("/dev/").starts_with("disk/") => Criterion::Link(value),
        "name" => Criterion::Name(value),
        "path" => Criterion::Path(value),
        "scsi" => Criterion::Scsi(value),
        _ => {
            if let Some(place) = id.get("type") {
                place.wrong("a disk is not found by this", KINDS, mistakes);
            }
            return None;
        }
    })
}

fn group(item: &Place<'_>, mistakes: &mut Mistakes) -> Option<Group> {
    let id = item.need_text("id", "write the group's name", mistakes);
    let entries = entries(item, |item, mistakes| kind(item, &[("lv", Kind::Lv)], mistakes), mistakes);
    Some(Group { path: item.path.clone(), id: id?.to_owned(), entries: entries? })
}

fn entries(
    item: &Place<'_>,
    kind: impl Fn(&Place<'_>, &mut Mistakes) -> Option<Kind>,
    mistakes: &mut Mistakes,
) -> Option<Vec<Entry>> {
    let items = item.need("volumes", VOLUMES, mistakes)?.items(VOLUMES, mistakes)?;
    let mut entries: Vec<Entry> = Vec::new();
    for item in &items {
        let Some(kind) = item.object(VOLUMES, mistakes).and_then(|_| kind(item, mistakes)) else { continue };
        if kind == Kind::Accounting {
            continue;
        }
        let Some(entry) = entry(item, kind, mistakes) else { continue };
        if entry.size == Size::Remaining
            && let Some(place) = item.get("size")
            && let Some(first) = entries.iter().find(|entry| entry.size == Size::Remaining)
        {
            let problem = format!("{} has all that is left already", first.volume.path);
            place.wrong(problem, "give one of the two a size", mistakes);
            continue;
        }
        entries.push(entry);
    }
    Some(entries)
}

fn disk_volume(item: &Place<'_>, mistakes: &mut Mistakes) -> Option<Kind> {
    let known = [
        ("partition", Kind::Partition),
        ("raid", Kind::Raid),
        ("pv", Kind::Pv),
        ("boot", Kind::Accounting),
        ("lvm_meta_pool", Kind::Accounting),
    ];
    kind(item, &known, mistakes)
}

fn kind(item: &Place<'_>, known: &[(&str, Kind)], mistakes: &mut Mistakes) -> Option<Kind> {
    let names: Vec<_> = known.iter().map(|(name, _)| format!("`{name}`")).collect();
    let name = item.need_text("type", &format!("write {}", names.join(" or ")), mistakes)?;
    let found = known.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    if found.is_none() {
        wrong_type(item, &names.join(" or "), mistakes);
    }
    found
}

/// Reads a volume; nothing when something of it is wrong.
fn entry(item: &Place<'_>, kind: Kind, mistakes: &mut Mistakes) -> Option<Entry> {
    let before = mistakes.0.len();
    let how = item.need("size", HOW, mistakes);
    let written = how.and_then(|place| size(&place, mistakes));
    let text = |key, remedy, mistakes: &mut Mistakes| item.may_text(key, remedy, mistakes).map(str::to_owned);
    let mount = text("mount", "write a mount point, or `none`", mistakes);
    let mut volume = Volume {
        path: item.path.clone(),
        kind,
        size: 0,
        name: text("name", TEXT, mistakes),
        mount,
        file_system: text("file_system", "write its name, such as `ext4`", mistakes),
        label: loose(item, "disk_label", true),
        guid: loose(item, "partition_guid", false),
        vg: String::new(),
        meta_size: 0,
        keep: false,
    };
    match kind {
        Kind::Pv => {
            if let Some(vg) = item.need_text("vg", "write the volume group's name", mistakes) {
                vg.clone_into(&mut volume.vg);
            }
            volume.meta_size = meta_size(item, mistakes);
            volume.mount = None;
        }
        Kind::Lv if volume.name.is_none() && item.get("name").is_none() => {
            mistakes.push(Mistake::missing(&item.path, "name", "write the logical volume's name"));
        }
        _ => {}
    }
    let fstab_options = text("fstab_options", "write them as in fstab, such as `noatime`", mistakes);
    if let (Some(options), Some(place)) = (&fstab_options, item.get("fstab_options"))
        && (options.is_empty() || options.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#'))
    {
        let remedy = "separate them by commas, as `noatime,nodev`; leave the key out for the usual ones";
        place.wrong("fstab does not take these options", remedy, mistakes);
    }
    let entry = Entry {
        volume,
        size: written?,
        keep: flag(item, "keep_data", mistakes),
        images: item.get("images").and_then(|images| {
            images.texts("write a list of names of `images`; leave it out for all of them", mistakes)
        }),
        fstab_options,
        in_fstab: flag(item, "fstab_enabled", mistakes).unwrap_or(true),
    };
    (mistakes.0.len() == before).then_some(entry)
}

/// The space for LVM's metadata, in MiB.
fn meta_size(item: &Place<'_>, mistakes: &mut Mistakes) -> i64 {
    const SMALLEST: u64 = 10;
    let Some(place) = item.get("lvm_meta_size") else { return META_SIZE.try_into().unwrap_or_default() };
    let Some(size) = size(&place, mistakes) else { return 0 };
    let mib = size.bytes(Bytes(512)).map(|bytes| bytes.0 >> 20).filter(|mib| *mib >= SMALLEST);
    if mib.is_none() {
        place.wrong("LVM's metadata does not fit", "write at least 10 MiB, such as `64 MiB`", mistakes);
    }
    mib.and_then(|mib| i64::try_from(mib).ok()).unwrap_or_default()
}

/// A size: a number of MiB, or a text.
fn size(place: &Place<'_>, mistakes: &mut Mistakes) -> Option<Size> {
    let read = match place.value {
        Value::Number(number) => {
            number.as_u64().ok_or("this is no whole number from 0 on").and_then(Size::mib)
        }
        Value::String(text) => Size::parse(text),
        _ => Err("this is no size"),
    };
    read.map_err(|problem| place.wrong(problem, HOW, mistakes)).ok()
}

/// Yes or no, where that is said: `true`, `false`, 1 or 0.
pub fn flag(item: &Place<'_>, key: &str, mistakes: &mut Mistakes) -> Option<bool> {
    let place = item.get(key)?;
    match (place.value, place.value.as_u64()) {
        (Value::Bool(yes), _) => Some(*yes),
        (_, Some(number @ 0..=1)) => Some(number == 1),
        (Value::Null, _) => None,
        _ => {
            place.wrong("this says neither yes nor no", "write true or false", mistakes);
            None
        }
    }
}
