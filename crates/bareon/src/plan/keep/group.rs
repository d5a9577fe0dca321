//! Volumes that are made anew in a group that is kept.

use crate::{
    hardware::Machine,
    objects::{
        PartitionScheme,
        partition::{Kept, VolumeGroup},
    },
    plan::{Action, Stage, Step},
    steps::keep::{ChangeGroup, Room},
};

/// The step that makes them; nothing where none is made anew.
pub(in crate::plan) fn step(
    scheme: &PartitionScheme,
    vg: &VolumeGroup,
    machine: &Machine,
    kept: &Kept,
) -> Option<Step> {
    let (change, _) = ChangeGroup::of(scheme, vg, kept, &machine.stack);
    if change.volumes.is_empty() {
        return None;
    }
    let names: Vec<_> = change.volumes.iter().map(|volume| volume.name.as_str()).collect();
    let what = format!("make {} anew in the kept volume group {}", names.join(", "), vg.name);
    Some(Step { stage: Stage::Partition, what, action: Action::ChangeGroup(change) })
}

/// What forbids it: the new volumes need more extents than there is room for.
pub(super) fn lacks_room(
    scheme: &PartitionScheme,
    vg: &VolumeGroup,
    machine: &Machine,
    kept: &Kept,
) -> Option<(u64, u64)> {
    let (_, Room { needs, has }) = ChangeGroup::of(scheme, vg, kept, &machine.stack);
    has.filter(|has| needs > *has).map(|has| (needs, has))
}
