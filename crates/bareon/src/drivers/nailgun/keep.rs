//! What is to be kept, passed on to what lies on top of it.
//!
//! The input marks volumes of disks. A kept partition with a file system means that file system;
//! a kept physical volume means its group, all logical volumes of it and their file systems. The
//! mark ends where nothing lies on top.

use crate::{
    drivers::{
        mistake::Mistake,
        place::{Place, truthy},
    },
    objects::PartitionScheme,
};

/// What `ks_spaces` asks to keep and the scheme does not: volumes that are left out or cut up (`/boot`
/// beside the one that is made, those without a size, Ceph's journals), whole disks and groups, and
/// logical volumes, which are kept with the physical ones. `kept` are the places that the scheme keeps.
pub fn lost(ks_spaces: &Place<'_>, kept: &[String]) -> Vec<Mistake> {
    let mut lost = Vec::new();
    let mut look = |place: &Place<'_>| {
        let Some(mark) = place.get("keep_data").filter(|mark| truthy(mark.value)) else { return };
        if !kept.contains(&place.path) {
            let problem = "this cannot be kept: the layout that the input comes to does not hold it as it is";
            let remedy =
                "set keep_data to false if its data may be lost, else keep the volume that it lies on";
            lost.push(Mistake::new(mark.path, Some(mark.value), problem, remedy));
        }
    };
    for space in elements(ks_spaces) {
        look(&space);
        if let Some(volumes) = space.get("volumes") {
            elements(&volumes).iter().for_each(&mut look);
        }
    }
    lost
}

fn elements<'a>(list: &Place<'a>) -> Vec<Place<'a>> {
    let values = list.value.as_array().into_iter().flatten().enumerate();
    values.map(|(i, value)| Place { value, path: format!("{}/{i}", list.path) }).collect()
}

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
