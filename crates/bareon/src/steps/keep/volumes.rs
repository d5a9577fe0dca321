//! Arrays, groups and volumes compared with the layout.
//!
//! An array is found by its members and a group by its physical volumes, not by name: the name may be another's, or
//! another than the layout's on a system that somebody else assembled.

use std::collections::{BTreeMap, BTreeSet};

use super::Difference;
use crate::{
    hardware::stack::{Array, Group, Stack},
    objects::{
        PartitionScheme,
        partition::{Kept, Level, LogicalVolume, MultipleDevice, VolumeGroup},
    },
};

/// How a kept array, group or volume differs from the layout. Groups on arrays that do not run are left out: nobody
/// can see them yet.
pub fn volumes(scheme: &PartitionScheme, kept: &Kept, stack: &Stack) -> Vec<Difference> {
    let view = View::new(scheme, stack);
    let mut differences = Vec::new();
    for (i, md) in scheme.mds.iter().enumerate().filter(|(_, md)| kept.device(&md.name)) {
        differences.extend(view.array(i, md));
    }
    for (i, vg) in scheme.vgs.iter().enumerate().filter(|(_, vg)| kept.group(&vg.name)) {
        differences.extend(view.group(i, vg, kept));
    }
    differences
}

/// The array of the machine that has members of the layout's array.
pub(super) fn find_array<'a>(md: &MultipleDevice, stack: &'a Stack) -> Option<&'a Array> {
    let ours = |member: &String| md.devices.contains(member) || md.spares.contains(member);
    stack.arrays.iter().find(|array| !array.is_container() && array.members.iter().any(ours))
}

/// The machine's groups on the devices of the layout's group.
fn find_groups<'a>(pvs: &BTreeSet<&str>, stack: &'a Stack) -> Vec<&'a Group> {
    let ours = |group: &&Group| !group.uuid.is_empty() && group.devices().any(|device| pvs.contains(device));
    stack.groups.iter().filter(ours).collect()
}

/// The machine's group that is the layout's; nothing where there is none or several, or none can be seen yet.
pub fn find_group<'a>(
    vg: &'a VolumeGroup,
    scheme: &'a PartitionScheme,
    stack: &'a Stack,
) -> Option<&'a Group> {
    match find_groups(&View::new(scheme, stack).pvs(vg)?, stack)[..] {
        [group] => Some(group),
        _ => None,
    }
}

/// A layout beside the machine's stack.
struct View<'a> {
    scheme: &'a PartitionScheme,
    stack: &'a Stack,
    /// The nodes that the layout's arrays have now; nothing for one that does not run.
    arrays: BTreeMap<&'a str, Option<&'a str>>,
}

impl<'a> View<'a> {
    fn new(scheme: &'a PartitionScheme, stack: &'a Stack) -> Self {
        let running = |md| find_array(md, stack).filter(|array| array.active)?.device.as_deref();
        let arrays = scheme.mds.iter().map(|md| (md.name.as_str(), running(md))).collect();
        Self { scheme, stack, arrays }
    }

    /// The devices that the group's physical volumes lie on now; nothing while an array below does not run.
    fn pvs(&self, vg: &'a VolumeGroup) -> Option<BTreeSet<&'a str>> {
        vg.pvnames.iter().map(|pv| self.arrays.get(pv.as_str()).copied().unwrap_or(Some(pv))).collect()
    }

    fn array(&self, i: usize, md: &MultipleDevice) -> Vec<Difference> {
        let mut compared = Compared::new(format!("/partition_scheme/mds/{i}"), md.name.clone());
        let members: BTreeSet<_> = md.devices.iter().chain(&md.spares).map(String::as_str).collect();
        let Some(array) = find_array(md, self.stack) else {
            compared.differs("", format!("an array of {}", list(&members)), "no array on any of them");
            return compared.differences;
        };
        if md.level() != Level::parse(&array.level) {
            let level = md.level().map_or_else(|| md.level.clone(), |level| level.name().to_owned());
            compared.differs("/level", format!("the level {level}"), &array.level);
        }
        if let Some(metadata) = md.metadata().filter(|metadata| *metadata != array.metadata) {
            let layout = format!("metadata of version {metadata}");
            compared.differs("/metadata", layout, format!("version {}", array.metadata));
        }
        if usize::try_from(array.raid_devices) != Ok(md.devices.len()) {
            let layout = format!("{} members without spares", md.devices.len());
            compared.differs("/devices", layout, array.raid_devices.to_string());
        }
        let found: BTreeSet<_> = array.members.iter().map(String::as_str).collect();
        let lacks = !array.degraded && !members.is_subset(&found);
        if lacks || !found.is_subset(&members) {
            compared.differs("/devices", format!("the members {}", list(&members)), list(&found));
        }
        let other = |other: &&Array| other.device.as_ref() == Some(&md.name) && *other != array;
        if let Some(other) = self.stack.arrays.iter().find(other) {
            let layout = format!("an array of {}", list(&members));
            let found = format!("another array there, of {}", other.members.join(", "));
            compared.differs("/name", layout, found);
            compared.remedy(format!("`mdadm --stop {}` if nobody uses that one", md.name));
        }
        compared.differences
    }

    fn group(&self, i: usize, vg: &'a VolumeGroup, kept: &Kept) -> Vec<Difference> {
        let mut compared =
            Compared::new(format!("/partition_scheme/vgs/{i}"), format!("the volume group {}", vg.name));
        let Some(pvs) = self.pvs(vg) else { return Vec::new() };
        let group = match find_groups(&pvs, self.stack)[..] {
            [] => {
                compared.differs("", format!("a group on {}", list(&pvs)), "no group on any of them");
                return compared.differences;
            }
            [group] => group,
            ref groups => {
                let names: Vec<_> = groups.iter().map(|group| group.name.as_str()).collect();
                compared.differs("/pvnames", format!("one group on {}", list(&pvs)), names.join(", "));
                return compared.differences;
            }
        };
        if group.name != vg.name {
            compared.differs("/name", format!("the name {}", vg.name), &group.name);
            let rename =
                format!("`vgrename {} {}`, or call it {} in the layout", group.uuid, vg.name, group.name);
            compared.remedy(rename);
        }
        let found: BTreeSet<_> = group.devices().collect();
        if found != pvs || group.partial() {
            let missing = if group.partial() { ", and others that are missing" } else { "" };
            let found = format!("{}{missing}", list(&found));
            compared.differs("/pvnames", format!("physical volumes on {}", list(&pvs)), found);
        }
        let mut differences = compared.differences;
        for (i, lv) in self.scheme.lvs.iter().enumerate().filter(|(_, lv)| lv.vgname == vg.name) {
            if kept.device(&lv.device()) {
                differences.extend(volume(i, lv, group));
            }
        }
        differences
    }
}

/// Compares a volume. Its size is one of whole extents, more than what was asked for or, where the group had no room
/// for that, less.
fn volume(i: usize, lv: &LogicalVolume, group: &Group) -> Vec<Difference> {
    let mut compared = Compared::new(format!("/partition_scheme/lvs/{i}"), lv.device());
    let Some(found) = group.lvs.iter().find(|found| found.name == lv.name) else {
        let names: Vec<_> = group.lvs.iter().map(|lv| lv.name.as_str()).collect();
        let there = if names.is_empty() { "none".into() } else { names.join(", ") };
        compared.differs("", format!("a volume {} in {}", lv.name, group.name), format!("these: {there}"));
        return compared.differences;
    };
    let (layout, size) = (lv.size.bytes(), found.size);
    if layout.0.abs_diff(size.0) > group.extent.0.max(super::TOLERANCE.0) {
        compared.differs("/size", layout.to_string(), size.to_string());
    }
    compared.differences
}

/// The differences of one thing.
struct Compared {
    path: String,
    name: String,
    differences: Vec<Difference>,
}

impl Compared {
    fn new(path: String, name: String) -> Self {
        Self { path, name, differences: Vec::new() }
    }

    fn differs(&mut self, key: &str, layout: impl Into<String>, found: impl Into<String>) {
        self.differences.push(Difference {
            path: format!("{}{key}", self.path),
            name: self.name.clone(),
            layout: layout.into(),
            found: found.into(),
            remedy: None,
        });
    }

    /// Says what to do about the last difference.
    fn remedy(&mut self, remedy: String) {
        if let Some(last) = self.differences.last_mut() {
            last.remedy = Some(remedy);
        }
    }
}

fn list(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}
