//! What is to be kept, passed on to what lies on top of it.
//!
//! The input marks volumes of disks. A kept partition with a file system means that file system;
//! a kept physical volume means its group, all logical volumes of it and their file systems. The
//! mark ends where nothing lies on top.

use crate::objects::PartitionScheme;

/// Moves the marks of a scheme upwards.
pub fn pass_on(scheme: &mut PartitionScheme) {
    let PartitionScheme { parteds, pvs, vgs, lvs, fss, .. } = scheme;
    for partition in parteds.iter_mut().flat_map(|parted| &mut parted.partitions) {
        if !partition.keep_data {
            continue;
        }
        for fs in fss.iter_mut().filter(|fs| fs.device == partition.name) {
            fs.keep_data = true;
            partition.keep_data = false;
        }
        if pvs.iter().any(|pv| pv.name == partition.name) {
            for vg in vgs.iter_mut().filter(|vg| vg.pvnames.contains(&partition.name)) {
                vg.keep_data = true;
                partition.keep_data = false;
            }
        }
    }
    for vg in vgs.iter_mut().filter(|vg| vg.keep_data) {
        for lv in lvs.iter_mut().filter(|lv| lv.vgname == vg.name) {
            lv.keep_data = true;
            vg.keep_data = false;
        }
    }
    for lv in lvs.iter_mut().filter(|lv| lv.keep_data) {
        let device = lv.device();
        for fs in fss.iter_mut().filter(|fs| fs.device == device) {
            fs.keep_data = true;
            lv.keep_data = false;
        }
    }
}
