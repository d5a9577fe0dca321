//! `ks_spaces`, the layout as the input has it: disks and volume groups with their volumes.
//!
//! Only the types are looked at here; what the volumes come to is [`layout`](super::layout)'s.

use serde_json::Value;

use crate::drivers::{
    mistake::{Mistake, Mistakes, pointer},
    place::{Place, truthy},
};

/// No disk is larger (2⁶³ bytes), in MiB; a bound that keeps sums from overflowing.
const LARGEST: i64 = 1 << 43;

/// The largest root file system in MiB: 16 TiB, as far as ext4 with 4 KiB blocks and 32-bit numbers goes.
const LARGEST_ROOT: u64 = 16_777_216;

const SIZE: &str = "write whole MiB, such as 5000";
const TEXT: &str = "write a text in quotes";

/// The layout.
#[derive(Debug, Default)]
pub struct Spaces {
    /// The disks, those of size 0 left out.
    pub disks: Vec<Disk>,
    /// The volume groups.
    pub groups: Vec<Group>,
}

/// A disk.
#[derive(Debug)]
pub struct Disk {
    /// Where it stands in the document.
    pub path: String,
    /// A link below `/dev/`.
    pub id: String,
    /// The kernel's name.
    pub name: String,
    /// Its size in MiB as the caller knows it.
    pub size: u64,
    /// Links below `/dev/`.
    pub extra: Vec<String>,
    /// What is to lie on it, in order; volumes without a size left out.
    pub volumes: Vec<Volume>,
}

/// A volume group.
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub id: String,
    /// Its logical volumes; those without a size left out.
    pub volumes: Vec<Volume>,
}

/// What a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Space that the caller accounts for, and nothing else.
    Accounting,
    /// Space for LVM's metadata, accounted for; it makes its disk a used one.
    MetaPool,
    /// A partition.
    Partition,
    /// A member of a mirror.
    Raid,
    /// A physical volume of LVM.
    Pv,
    /// A logical volume.
    Lv,
}

/// A volume of a disk or a group.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Where it stands in the document.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Its size in MiB, at least 1.
    pub size: u64,
    /// Its name: that of a logical volume, or `ceph` and `cephjournal`.
    pub name: Option<String>,
    /// Where it is mounted; `none` is nowhere.
    pub mount: Option<String>,
    /// The file system.
    pub file_system: Option<String>,
    /// The file system's label.
    pub label: Loose,
    /// The GPT type GUID of a partition.
    pub guid: Loose,
    /// The volume group that a physical volume belongs to.
    pub vg: String,
    /// The space for LVM's metadata, in MiB.
    pub meta_size: i64,
    /// Whether what lies there stays.
    pub keep: bool,
}

/// A value that the format never checked: what can be used of it, and what a plan shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Loose {
    /// The text; nothing where there is none.
    pub text: Option<String>,
    /// The value as it stands, where it is no text.
    pub shown: Option<Value>,
    /// The mistake that it is, where it cannot be used.
    pub mistake: Option<Mistake>,
}

impl Volume {
    /// Where it is mounted.
    pub fn mount_point(&self) -> Option<&str> {
        self.mount.as_deref().filter(|mount| *mount != "none")
    }

    /// Whether it is a volume for `/boot` on a disk.
    pub fn is_boot(&self) -> bool {
        self.mount.as_deref() == Some("/boot")
    }
}

impl Spaces {
    /// Reads the layout.
    pub fn read(place: &Place<'_>, mistakes: &mut Mistakes) -> Self {
        let mut spaces = Self::default();
        let remedy = "write a list with an object for each disk and volume group";
        let Some(items) = place.items(remedy, mistakes) else { return spaces };
        let mut disks = 0;
        for (i, item) in items.iter().enumerate() {
            if items[..i].iter().any(|earlier| earlier.value == item.value) {
                item.wrong("this element is there twice", "remove one of the two", mistakes);
                continue;
            }
            if item.object(remedy, mistakes).is_none() {
                continue;
            }
            match item.need_text("type", "write `disk` or `vg`", mistakes) {
                Some("disk") => {
                    disks += 1;
                    spaces.disks.extend(disk(item, mistakes));
                }
                Some("vg") => spaces.groups.extend(group(item, mistakes)),
                Some(_) => wrong_type(item, "`disk` or `vg`", mistakes),
                None => {}
            }
        }
        if disks == 0 {
            place.wrong("no disk is listed", "add an object of type `disk`", mistakes);
        }
        spaces
    }
}

fn wrong_type(item: &Place<'_>, known: &str, mistakes: &mut Mistakes) {
    if let Some(kind) = item.get("type") {
        kind.wrong("this `type` is not known", format!("write {known}"), mistakes);
    }
}

/// Reads a disk; nothing when it is to be left alone, or when something of it is wrong.
fn disk(item: &Place<'_>, mistakes: &mut Mistakes) -> Option<Disk> {
    let id = item.need_text("id", "write a link below /dev/, or the name", mistakes);
    let name = item.need_text("name", "write the kernel's name, such as `sda`", mistakes);
    let size = item.need_integer("size", SIZE, mistakes);
    item.need_integer("free_space", SIZE, mistakes);
    let links = "write a list of links below /dev/, such as `disk/by-id/…`; it may be empty";
    let extra = item.need("extra", links, mistakes).and_then(|extra| extra.texts(links, mistakes));
    let volumes = volumes(item, mistakes, disk_volume);
    let size = bounded(item, size?, mistakes)?;
    let (id, name) = (id?.to_owned(), name?.to_owned());
    (size > 0).then_some(Disk { path: item.path.clone(), id, name, size, extra: extra?, volumes: volumes? })
}

/// Reads a volume group.
fn group(item: &Place<'_>, mistakes: &mut Mistakes) -> Option<Group> {
    let id = item.need_text("id", "write the group's name", mistakes);
    item.may_text("label", TEXT, mistakes);
    item.may_text("_allocate_size", TEXT, mistakes);
    if let Some(size) = item.get("min_size") {
        size.integer(SIZE, mistakes);
    }
    let volumes = volumes(item, mistakes, logical_volume);
    Some(Group { id: id?.to_owned(), volumes: volumes? })
}

type ReadVolume = fn(&Place<'_>, &mut Mistakes) -> Option<Volume>;

fn volumes(item: &Place<'_>, mistakes: &mut Mistakes, read: ReadVolume) -> Option<Vec<Volume>> {
    let remedy = "write a list with an object for each volume; it may be empty";
    let items = item.need("volumes", remedy, mistakes)?.items(remedy, mistakes)?;
    let mut found = Vec::new();
    for item in &items {
        if item.object(remedy, mistakes).is_some() {
            found.extend(read(item, mistakes));
        }
    }
    Some(found)
}

fn disk_volume(item: &Place<'_>, mistakes: &mut Mistakes) -> Option<Volume> {
    const KNOWN: &str = "`partition`, `raid`, `pv`, `boot` or `lvm_meta_pool`";
    let kind = match item.need_text("type", &format!("write {KNOWN}"), mistakes) {
        Some("partition") => Some(Kind::Partition),
        Some("raid") => Some(Kind::Raid),
        Some("pv") => Some(Kind::Pv),
        Some("boot") => Some(Kind::Accounting),
        Some("lvm_meta_pool") => Some(Kind::MetaPool),
        Some(_) => {
            wrong_type(item, KNOWN, mistakes);
            None
        }
        None => None,
    };
    volume(item, kind, mistakes)
}

fn logical_volume(item: &Place<'_>, mistakes: &mut Mistakes) -> Option<Volume> {
    let kind = match item.need_text("type", "write `lv`", mistakes) {
        Some("lv") => Some(Kind::Lv),
        Some(_) => {
            wrong_type(item, "`lv`", mistakes);
            None
        }
        None => None,
    };
    volume(item, kind, mistakes)
}

/// Reads a volume; nothing when it has no size, or when something of it is wrong.
fn volume(item: &Place<'_>, kind: Option<Kind>, mistakes: &mut Mistakes) -> Option<Volume> {
    let before = mistakes.0.len();
    let size = item.need_integer("size", SIZE, mistakes);
    let kind = kind?;
    let mut volume = Volume {
        path: item.path.clone(),
        kind,
        size: bounded(item, size?, mistakes)?,
        name: None,
        mount: None,
        file_system: None,
        label: loose(item, "disk_label", true),
        guid: loose(item, "partition_guid", false),
        vg: String::new(),
        meta_size: 0,
        keep: kind != Kind::Lv && keep(item, mistakes),
    };
    match kind {
        Kind::Accounting | Kind::MetaPool => {}
        Kind::Pv => {
            let meta = "write MiB, at least 10, such as 64";
            item.need_text("vg", "write the volume group's name", mistakes)?.clone_into(&mut volume.vg);
            volume.meta_size = item.need_integer("lvm_meta_size", meta, mistakes)?;
            volume.name = item.get("name").and_then(|name| name.value.as_str().map(str::to_owned));
            if let (Some(place), 1.., ..10) = (item.get("lvm_meta_size"), volume.size, volume.meta_size) {
                place.wrong("LVM's metadata does not fit", meta, mistakes);
            }
        }
        Kind::Partition | Kind::Raid | Kind::Lv => {
            volume.mount =
                item.may_text("mount", "write a mount point, or `none`", mistakes).map(str::to_owned);
            volume.file_system =
                item.may_text("file_system", "write its name, such as `ext4`", mistakes).map(str::to_owned);
            volume.name = item.may_text("name", TEXT, mistakes).map(str::to_owned);
            if kind == Kind::Lv && volume.name.is_none() && item.get("name").is_none() {
                mistakes.push(Mistake::missing(&item.path, "name", "write the logical volume's name"));
            }
            check_root(item, &volume, mistakes);
        }
    }
    (volume.size > 0 && mistakes.0.len() == before).then_some(volume)
}

fn check_root(item: &Place<'_>, volume: &Volume, mistakes: &mut Mistakes) {
    if volume.mount.as_deref() == Some("/")
        && volume.size > LARGEST_ROOT
        && let Some(size) = item.get("size")
    {
        let remedy = format!("write at most {LARGEST_ROOT} MiB");
        size.wrong("the root file system must not be larger than 16 TiB", remedy, mistakes);
    }
}

/// A size in MiB; 0 for none, which callers also write as a negative number.
fn bounded(item: &Place<'_>, size: i64, mistakes: &mut Mistakes) -> Option<u64> {
    if size > LARGEST
        && let Some(place) = item.get("size")
    {
        place.wrong("this is larger than any disk", "write the size in MiB, not in bytes", mistakes);
        return None;
    }
    Some(u64::try_from(size).unwrap_or(0))
}

/// Whether a volume is to be kept: `true`, `false`, 1 or 0. Whatever else counted as yes, `"no"` too.
fn keep(item: &Place<'_>, mistakes: &mut Mistakes) -> bool {
    let Some(place) = item.get("keep_data") else { return false };
    match (place.value, place.value.as_u64()) {
        (Value::Null, _) | (_, Some(0)) => false,
        (_, Some(1)) => true,
        (Value::Bool(keep), _) => *keep,
        _ => {
            place.wrong("this says neither yes nor no", "write true or false", mistakes);
            false
        }
    }
}

/// A value that the format never checked. Numbers are taken for their digits where `digits` says so.
pub fn loose(item: &Place<'_>, key: &str, digits: bool) -> Loose {
    let Some(place) = item.get(key) else { return Loose::default() };
    match place.value {
        Value::String(text) if !text.is_empty() => Loose { text: Some(text.clone()), ..Loose::default() },
        value if !truthy(value) => Loose::default(),
        Value::Number(number) if digits => {
            Loose { text: Some(number.to_string()), shown: Some(place.value.clone()), mistake: None }
        }
        value => {
            let problem = format!("`{key}` is not a text");
            let mistake = Mistake::new(pointer(&item.path, key), Some(value), problem, TEXT);
            Loose { text: None, shown: Some(value.clone()), mistake: Some(mistake) }
        }
    }
}
