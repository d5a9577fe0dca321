//! Who is called what, and who means whom.
//!
//! Partitions and arrays share one set of names, as groups and images mean either. What is meant twice, or by
//! nobody's name, is told here; the parts that follow find only what is sound.

use std::collections::BTreeMap;

use super::{
    Document, Report,
    document::{Holds, Image},
    text::is_lvm_name,
};
use crate::objects::image::DISK;

/// A thing of the document that a file system may lie on, or an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// A disk as a whole.
    Disk(usize),
    /// A partition of a disk.
    Partition(usize, usize),
    /// An array.
    Raid(usize),
    /// A volume of a group.
    Volume(usize, usize),
}

impl At {
    /// Where it stands in the document.
    pub fn path(self) -> String {
        match self {
            Self::Disk(disk) => format!("/disks/{disk}"),
            Self::Partition(disk, partition) => format!("/disks/{disk}/partitions/{partition}"),
            Self::Raid(raid) => format!("/raids/{raid}"),
            Self::Volume(group, volume) => format!("/volume_groups/{group}/logical_volumes/{volume}"),
        }
    }
}

/// All things of a document that a file system may lie on, in their order.
pub fn holders(document: &Document) -> Vec<(At, &dyn Holds)> {
    let mut all: Vec<(At, &dyn Holds)> = Vec::new();
    for (i, disk) in document.disks.iter().enumerate() {
        all.extend(disk.partitions.iter().enumerate().map(|(j, it)| (At::Partition(i, j), it as &dyn Holds)));
    }
    all.extend(document.raids.iter().enumerate().map(|(i, it)| (At::Raid(i), it as &dyn Holds)));
    for (i, group) in document.volume_groups.iter().enumerate() {
        all.extend(
            group.logical_volumes.iter().enumerate().map(|(j, it)| (At::Volume(i, j), it as &dyn Holds)),
        );
    }
    all
}

/// The disks that images of whole disks are written to, with the place of the image.
pub fn whole_disks(document: &Document, names: &Names) -> BTreeMap<usize, usize> {
    let whole = |(i, image): (usize, &Image)| {
        let target = image.target.as_deref()?;
        // What else has that name is meant, unless the image is of nothing but a disk.
        if image.format.as_deref() != Some(DISK) && names.thing(target).is_some() {
            return None;
        }
        Some((document.disks.iter().position(|disk| disk.name.as_deref() == Some(target))?, i))
    };
    document.images.iter().enumerate().filter_map(whole).collect()
}

/// The names of a document.
#[derive(Debug, Default)]
pub struct Names {
    things: BTreeMap<String, At>,
    /// The partitions that each array is made of, and its spares.
    raids: Vec<[Vec<At>; 2]>,
    /// What each group is made of.
    groups: Vec<Vec<At>>,
}

impl Names {
    /// Reads the names and what they mean.
    pub fn read(document: &Document, report: &mut Report<'_>) -> Self {
        let mut names = Self::default();
        for (i, disk) in document.disks.iter().enumerate() {
            for (j, partition) in disk.partitions.iter().enumerate() {
                names.add(partition.name.as_deref(), At::Partition(i, j), report);
            }
        }
        for (i, raid) in document.raids.iter().enumerate() {
            names.add(raid.name.as_deref(), At::Raid(i), report);
        }
        lvm_names(document, report);
        let mut users = Users { document, used: BTreeMap::new() };
        for (i, raid) in document.raids.iter().enumerate() {
            let mut of = |key: &str, list: &[String]| {
                let path = format!("/raids/{i}/{key}");
                names.meant(list, &path, |at| matches!(at, At::Partition(..)), &mut users, report)
            };
            let both = [of("members", &raid.members), of("spares", &raid.spares)];
            names.raids.push(both);
        }
        for (i, group) in document.volume_groups.iter().enumerate() {
            let path = format!("/volume_groups/{i}/members");
            let members = names.meant(&group.members, &path, |_| true, &mut users, report);
            names.groups.push(members);
        }
        names
    }

    fn add(&mut self, name: Option<&str>, at: At, report: &mut Report<'_>) {
        let Some(name) = name else { return };
        let path = format!("{}/name", at.path());
        if name.trim().is_empty() || name.contains(|c: char| c == '/' || c.is_control()) {
            report.wrong(&path, "this is no name", "write a word without `/`");
        } else if let Some(other) = self.things.get(name) {
            let problem = format!("{} has this name, too", other.path());
            report.wrong(&path, problem, "give each partition and array a name of its own");
        } else {
            self.things.insert(name.into(), at);
        }
    }

    /// The things that `list` means, which are told where they are not what may stand there.
    fn meant(
        &self,
        list: &[String],
        path: &str,
        fits: impl Fn(At) -> bool,
        users: &mut Users<'_>,
        report: &mut Report<'_>,
    ) -> Vec<At> {
        let mut found = Vec::new();
        for (i, name) in list.iter().enumerate() {
            let path = format!("{path}/{i}");
            match self.things.get(name) {
                Some(at) if !fits(*at) => {
                    let remedy = "write the names of partitions; arrays of arrays are not made";
                    report.wrong(&path, format!("this is the array {}", at.path()), remedy);
                }
                Some(at) => {
                    users.use_it(*at, &path, report);
                    found.push(*at);
                }
                None => report.wrong(&path, "nothing has this name", self.known()),
            }
        }
        found
    }

    fn known(&self) -> String {
        let names: Vec<_> = self.things.keys().map(String::as_str).collect();
        match names.as_slice() {
            [] => "give partitions a `name`, and write it here".into(),
            names => format!("write one of {}, or give a partition this `name`", names.join(", ")),
        }
    }

    /// The partition or array of that name.
    pub fn thing(&self, name: &str) -> Option<At> {
        self.things.get(name).copied()
    }

    /// The partitions of an array: members, spares.
    pub fn raid(&self, raid: usize) -> &[Vec<At>; 2] {
        const NONE: &[Vec<At>; 2] = &[Vec::new(), Vec::new()];
        self.raids.get(raid).unwrap_or(NONE)
    }

    /// What a group is made of.
    pub fn group(&self, group: usize) -> &[At] {
        self.groups.get(group).map_or(&[], Vec::as_slice)
    }

    /// What `at` lies on directly.
    pub fn below(&self, at: At) -> Vec<At> {
        match at {
            At::Disk(_) | At::Partition(..) => Vec::new(),
            At::Raid(raid) => self.raid(raid).concat(),
            At::Volume(group, _) => self.group(group).to_vec(),
        }
    }

    /// The disks that `at` lies on.
    pub fn disks(&self, at: At) -> Vec<usize> {
        match at {
            At::Disk(disk) | At::Partition(disk, _) => vec![disk],
            _ => self.below(at).into_iter().flat_map(|below| self.disks(below)).collect(),
        }
    }
}

/// Who is part of what already.
struct Users<'d> {
    document: &'d Document,
    used: BTreeMap<At, String>,
}

impl Users<'_> {
    fn use_it(&mut self, at: At, path: &str, report: &mut Report<'_>) {
        if let Some(other) = self.used.get(&at) {
            let remedy = "let it be part of one array or group, once";
            report.wrong(path, format!("{other} means the same {}", at.path()), remedy);
            return;
        }
        self.used.insert(at, path.into());
        let holder = holders(self.document).into_iter().find(|(other, _)| *other == at);
        if holder.is_some_and(|(_, holder)| holder.is_formatted()) {
            let problem = format!("a file system is to lie on {}, which is part of this", at.path());
            report.wrong(path, problem, "write the file system at the array or the logical volume");
        }
    }
}

/// Groups and volumes: whether LVM takes their names, each once.
fn lvm_names(document: &Document, report: &mut Report<'_>) {
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, group) in document.volume_groups.iter().enumerate() {
        let path = format!("/volume_groups/{i}");
        if let Some(name) = &group.name {
            lvm_name(&mut groups, name, i, "/volume_groups", &path, report);
        }
        let mut volumes: BTreeMap<&str, usize> = BTreeMap::new();
        let parent = format!("{path}/logical_volumes");
        for (j, volume) in group.logical_volumes.iter().enumerate() {
            if let Some(name) = &volume.name {
                lvm_name(&mut volumes, name, j, &parent, &format!("{parent}/{j}"), report);
            }
        }
    }
}

fn lvm_name<'d>(
    seen: &mut BTreeMap<&'d str, usize>,
    name: &'d str,
    index: usize,
    parent: &str,
    path: &str,
    report: &mut Report<'_>,
) {
    let path = format!("{path}/name");
    if !is_lvm_name(name) {
        let remedy = "write letters, digits, `_`, `.`, `+` and `-`, which does not come first";
        report.wrong(&path, "LVM takes no such name", remedy);
    } else if let Some(other) = seen.insert(name, index) {
        report.wrong(&path, format!("{parent}/{other} has this name, too"), "rename one of the two");
    }
}
