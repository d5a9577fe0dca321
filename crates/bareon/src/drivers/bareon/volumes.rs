//! Arrays, volume groups and their volumes, which lie on partitions or on one another.
//!
//! How large an array or a group will be is known beforehand, from the same rules that the planner reckons with, so
//! that shares and remainders of a group come out to the extent.

use super::{
    Document, Report,
    document::{Group, Raid},
    keep::Kept,
    names::{At, Names},
    share::{Unfit, share},
    tables::Layout,
    text,
};
use crate::objects::{
    Bytes, Mib,
    partition::{LogicalVolume, MultipleDevice, PhysicalVolume, VolumeGroup},
};

/// The extent of a group: what `vgcreate` takes where nothing else is said.
const EXTENT: Mib = Mib(4);

/// Makes the arrays and groups.
pub fn make(document: &Document, names: &Names, kept: &Kept, layout: &mut Layout, report: &mut Report<'_>) {
    for (i, raid) in document.raids.iter().enumerate() {
        layout.raid(i, raid, names, kept, report);
    }
    for (i, group) in document.volume_groups.iter().enumerate() {
        layout.group(i, group, names, kept, report);
    }
}

impl Layout {
    /// The nodes and sizes of things; nothing where one of them is not known, which was told.
    fn known(&self, things: &[At]) -> Option<Vec<(String, Bytes)>> {
        things.iter().map(|at| self.devices.get(at).cloned()).collect()
    }

    fn raid(&mut self, i: usize, raid: &Raid, names: &Names, kept: &Kept, report: &mut Report<'_>) {
        let (at, path) = (At::Raid(i), At::Raid(i).path());
        let [members, spares] = names.raid(i);
        let mut array = MultipleDevice {
            name: format!("/dev/md{i}"),
            level: raid.level.as_ref().map(|level| level.0.clone()).unwrap_or_default(),
            devices: Vec::new(),
            spares: Vec::new(),
            keep_data: kept.is_kept(at),
            metadata: raid.metadata.as_ref().map_or("default".into(), |metadata| metadata.0.clone()),
        };
        let Some(level) = array.level() else { return };
        if raid.members.len() < level.min_members() {
            let problem = format!("{} needs {} members at least", level.name(), level.min_members());
            report.wrong(&format!("{path}/members"), problem, "add partitions, or take another level");
            return;
        }
        if !raid.spares.is_empty() && !level.redundant() {
            let problem =
                format!("{} has no use for spares: it does not survive the loss of a member", level.name());
            report.wrong(&format!("{path}/spares"), problem, "make them members, or take another level");
        }
        let complete = members.len() == raid.members.len() && spares.len() == raid.spares.len();
        let (true, Some(members), Some(spares)) = (complete, self.known(members), self.known(spares)) else {
            return;
        };
        let sizes: Vec<_> = members.iter().chain(&spares).map(|(_, size)| *size).collect();
        let (of_members, of_spares) = sizes.split_at(members.len());
        let smallest = of_members.iter().min().copied().unwrap_or_default();
        if of_spares.iter().any(|spare| *spare < smallest) {
            let problem = format!("a spare is smaller than the members, which have {smallest}");
            report.wrong(&format!("{path}/spares"), problem, "make it as large");
        }
        let Some(size) = array.size(of_members).filter(|size| size.0 > 0) else {
            report.wrong(
                &format!("{path}/members"),
                "the members are too small for an array",
                "make them larger",
            );
            return;
        };
        array.devices = members.into_iter().map(|(node, _)| node).collect();
        array.spares = spares.into_iter().map(|(node, _)| node).collect();
        let object = format!("/partition_scheme/mds/{}", self.scheme.mds.len());
        self.origins.at(format!("{object}/keep_data"), format!("{path}/preserve"));
        self.origins.under(format!("{object}/devices"), format!("{path}/members"));
        self.origins.under(object, path);
        self.devices.insert(at, (array.name.clone(), size));
        self.scheme.mds.push(array);
    }

    fn group(&mut self, i: usize, group: &Group, names: &Names, kept: &Kept, report: &mut Report<'_>) {
        let path = format!("/volume_groups/{i}");
        let (Some(name), members) = (&group.name, names.group(i)) else { return };
        let (true, Some(members)) = (members.len() == group.members.len(), self.known(members)) else {
            return;
        };
        let mut extents = 0;
        for (j, (node, size)) in members.iter().enumerate() {
            let pv = PhysicalVolume {
                name: node.clone(),
                metadatasize: Mib(16),
                metadatacopies: 2,
                keep_data: false,
            };
            let of_it = pv.usable(*size).0 / EXTENT.bytes().0;
            if of_it == 0 {
                let problem = format!("{node} has {size}, of which LVM's metadata leaves nothing");
                report.wrong(&format!("{path}/members/{j}"), problem, "make it larger, such as 1GiB");
            }
            extents += of_it;
            let object = format!("/partition_scheme/pvs/{}", self.scheme.pvs.len());
            self.origins.at(object, format!("{path}/members/{j}"));
            self.scheme.pvs.push(pv);
        }
        let object = format!("/partition_scheme/vgs/{}", self.scheme.vgs.len());
        self.origins.at(format!("{object}/keep_data"), format!("{path}/preserve"));
        self.origins.under(format!("{object}/pvnames"), format!("{path}/members"));
        self.origins.under(object, &*path);
        self.scheme.vgs.push(VolumeGroup {
            name: name.clone(),
            pvnames: members.into_iter().map(|(node, _)| node).collect(),
            keep_data: kept.is_group_kept(i),
        });
        if let Some(sizes) = sizes(group, &path, extents, report) {
            self.volumes(i, name, group, &sizes, kept);
        }
    }

    fn volumes(&mut self, i: usize, vgname: &str, group: &Group, extents: &[u64], kept: &Kept) {
        for (j, (volume, extents)) in group.logical_volumes.iter().zip(extents).enumerate() {
            let (at, Some(name)) = (At::Volume(i, j), volume.name.clone()) else { continue };
            let size = Mib(extents.saturating_mul(EXTENT.0));
            let lv = LogicalVolume { name, vgname: vgname.into(), size, keep_data: kept.is_kept(at) };
            self.devices.insert(at, (lv.device(), size.bytes()));
            let object = format!("/partition_scheme/lvs/{}", self.scheme.lvs.len());
            self.origins.at(format!("{object}/keep_data"), format!("{}/preserve", at.path()));
            self.origins.under(object, at.path());
            self.scheme.lvs.push(lv);
        }
    }
}

/// How many extents each volume of a group of `extents` gets; nothing where that is not known, which is told.
fn sizes(group: &Group, path: &str, extents: u64, report: &mut Report<'_>) -> Option<Vec<u64>> {
    let sizes: Option<Vec<_>> = group
        .logical_volumes
        .iter()
        .map(|volume| volume.size.as_deref().and_then(|size| text::size(size).ok()))
        .collect();
    let sizes = sizes?;
    let mut remaining = sizes.iter().enumerate().filter(|(_, size)| **size == text::Size::Remaining);
    let (first, second) = (remaining.next(), remaining.next());
    if let Some((j, _)) = second {
        let problem = "another volume of this group takes what remains";
        let remedy = "give one of the two a size, or both a share such as 50%";
        report.wrong(&format!("{path}/logical_volumes/{j}/size"), problem, remedy);
        return None;
    }
    let whole = Mib(extents.saturating_mul(EXTENT.0)).bytes();
    match share(extents, &sizes, EXTENT.bytes()) {
        Ok(parts) => Some(parts),
        Err(Unfit::Over(by)) => {
            let by = Mib(by.saturating_mul(EXTENT.0)).bytes();
            let problem = format!("the volumes are {by} too large for the group, which has {whole} for them");
            let remedy = "make one smaller, or let one have size `remaining`";
            report.wrong(&format!("{path}/logical_volumes"), problem, remedy);
            None
        }
        Err(Unfit::NothingLeft) => {
            let problem = format!("the other volumes leave nothing of the group, which has {whole}");
            let place = first.map_or(0, |(j, _)| j);
            report.wrong(&format!("{path}/logical_volumes/{place}/size"), problem, "make the others smaller");
            None
        }
    }
}
