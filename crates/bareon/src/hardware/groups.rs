//! The volume groups of a machine, as LVM tells of them.

use bareon_host::lvm;

use super::{
    kernel::Kernel,
    stack::{Group, Lv, Pv},
};
use crate::objects::Bytes;

/// All groups of a report, their devices by the names that the rest of this program has for them.
pub(super) fn groups(kernel: &Kernel, report: Vec<lvm::Group>) -> Vec<Group> {
    report.into_iter().map(|group| one(kernel, group)).collect()
}

fn one(kernel: &Kernel, group: lvm::Group) -> Group {
    let pv = |pv: lvm::Pv| Pv {
        device: pv.device.map(|device| kernel.known_node(&device)),
        uuid: pv.uuid,
        size: Bytes(pv.size),
    };
    let lv = |lv: lvm::Lv| Lv {
        name: lv.name,
        uuid: lv.uuid,
        size: Bytes(lv.size),
        device: lv.device,
        active: lv.active,
    };
    Group {
        name: group.name,
        uuid: group.uuid,
        extent: Bytes(group.extent_size),
        extents: group.extents,
        free: group.free_extents,
        pvs: group.pvs.into_iter().map(pv).collect(),
        lvs: group.lvs.into_iter().map(lv).collect(),
    }
}
