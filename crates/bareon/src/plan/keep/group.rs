//! Volumes that are made anew in a group that is kept.
//!
//! They get the room that the removed ones and the free extents give, in extents of the group's own size. Of a group
//! that cannot be seen while the plan is made, as its array does not run, the layout's own figures are taken.

use crate::{
    hardware::{Machine, stack::Group},
    objects::{
        Mib, PartitionScheme,
        partition::{Kept, LogicalVolume, VolumeGroup},
    },
    plan::{Action, Stage, Step},
    steps::{
        keep::{ChangeGroup, find_group},
        volumes::{EXTENT_MIB, Volume},
    },
};

/// What changes in a kept group.
#[derive(Debug, Default)]
struct Change {
    gone: Vec<String>,
    volumes: Vec<Volume>,
    /// How many extents the new volumes have, and how many there is room for; nothing where that is not known.
    needs: u64,
    room: Option<u64>,
}

fn change(scheme: &PartitionScheme, vg: &VolumeGroup, machine: &Machine, kept: &Kept) -> Change {
    let found = find_group(vg, scheme, &machine.stack);
    let extent = found.map_or(Mib(EXTENT_MIB).bytes().0, |group| group.extent.0).max(1);
    let anew: Vec<_> =
        scheme.lvs.iter().filter(|lv| lv.vgname == vg.name && !kept.device(&lv.device())).collect();
    let old = |group: &Group| {
        let named = |name: &str| anew.iter().any(|lv| lv.name == name);
        group.lvs.iter().filter(|lv| named(&lv.name)).cloned().collect::<Vec<_>>()
    };
    let old = found.map(old).unwrap_or_default();
    let freed: u64 = old.iter().map(|lv| lv.size.0 / extent).sum();
    let volume = |lv: &&LogicalVolume| Volume {
        name: lv.name.clone(),
        device: lv.device(),
        extents: lv.size.bytes().0.div_ceil(extent).max(1),
    };
    let volumes: Vec<_> = anew.iter().map(volume).collect();
    Change {
        gone: old.into_iter().map(|lv| lv.name).collect(),
        needs: volumes.iter().map(|volume| volume.extents).sum(),
        room: found.map(|group| group.free.saturating_add(freed)),
        volumes,
    }
}

/// The step that makes them; nothing where none is made anew.
pub(in crate::plan) fn step(
    scheme: &PartitionScheme,
    vg: &VolumeGroup,
    machine: &Machine,
    kept: &Kept,
) -> Option<Step> {
    let Change { gone, volumes, .. } = change(scheme, vg, machine, kept);
    if volumes.is_empty() {
        return None;
    }
    let names: Vec<_> = volumes.iter().map(|volume| volume.name.as_str()).collect();
    let what = format!("make {} anew in the kept volume group {}", names.join(", "), vg.name);
    let change = ChangeGroup { name: vg.name.clone(), members: vg.pvnames.clone(), gone, volumes };
    Some(Step { stage: Stage::Partition, what, action: Action::ChangeGroup(change) })
}

/// What forbids it: the new volumes need more extents than there is room for.
pub(super) fn lacks_room(
    scheme: &PartitionScheme,
    vg: &VolumeGroup,
    machine: &Machine,
    kept: &Kept,
) -> Option<(u64, u64)> {
    let Change { needs, room, .. } = change(scheme, vg, machine, kept);
    room.filter(|room| needs > *room).map(|room| (needs, room))
}
