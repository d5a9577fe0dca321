//! Arrays and volume groups from the partition scheme, in an order in which they can be made, and how their volumes
//! fit.
//!
//! What is built on what follows from device names: a member may be a partition, an array or a logical volume. LVM
//! gives room in whole extents and keeps some for itself; md keeps some of each member. Both are computed here, before
//! anything is made: a volume is rounded up to whole extents as lvcreate would, and where the sum is then more than
//! the group has, those that were rounded up are rounded down, the largest first. What still does not fit is refused.

use std::collections::BTreeMap;

use bareon_host::{lvm::PvCreate, mdadm::Create};

use crate::{
    drivers::Deployment,
    hardware::Machine,
    objects::{
        Bytes, Mib, PartitionScheme,
        partition::{Kept, Level, LogicalVolume, MultipleDevice, PhysicalVolume, VolumeGroup},
    },
    steps::{
        partitioning::MakeFs,
        volumes::{EXTENT_MIB, MakeArrays, MakeGroup, Volume},
    },
};

use super::{Action, Stage, Step, keep, layout};

/// Something that is built on other devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Built<'a> {
    /// An array.
    Array(&'a MultipleDevice),
    /// A group with its volumes.
    Group(&'a VolumeGroup),
}

/// What is built, from the bottom, with the size of each device.
#[derive(Debug, Default)]
pub(super) struct Order<'a> {
    /// In an order in which all can be made.
    pub built: Vec<Built<'a>>,
    /// What lacks a device that nothing makes, or is built on itself.
    pub left: Vec<Built<'a>>,
    /// The sizes of partitions, arrays (at least) and volumes, by device node.
    pub sizes: BTreeMap<String, Bytes>,
}

impl<'a> Built<'a> {
    fn array(self) -> Option<&'a MultipleDevice> {
        match self {
            Self::Array(md) => Some(md),
            Self::Group(_) => None,
        }
    }

    fn group(self) -> Option<&'a VolumeGroup> {
        match self {
            Self::Group(vg) => Some(vg),
            Self::Array(_) => None,
        }
    }

    /// The devices that it is built on.
    pub fn needs(self) -> Vec<&'a str> {
        match self {
            Self::Array(md) => md.devices.iter().chain(&md.spares).map(String::as_str).collect(),
            Self::Group(vg) => vg.pvnames.iter().map(String::as_str).collect(),
        }
    }
}

/// Finds the order.
pub(super) fn order(scheme: &PartitionScheme) -> Order<'_> {
    let mut order = Order {
        sizes: scheme.partitions().map(|part| (part.name.clone(), part.size().bytes())).collect(),
        left: scheme.mds.iter().map(Built::Array).chain(scheme.vgs.iter().map(Built::Group)).collect(),
        ..Order::default()
    };
    while let Some(next) = order
        .left
        .iter()
        .position(|built| built.needs().iter().all(|device| order.sizes.contains_key(*device)))
    {
        let built = order.left.remove(next);
        match built {
            Built::Array(md) => {
                let members: Vec<_> = md.devices.iter().map(|device| order.sizes[device]).collect();
                order.sizes.insert(md.name.clone(), md.size(&members).unwrap_or_default());
            }
            Built::Group(vg) => {
                let volumes = scheme.lvs.iter().filter(|lv| lv.vgname == vg.name);
                order.sizes.extend(volumes.map(|lv| (lv.device(), lv.size.bytes())));
            }
        }
        order.built.push(built);
    }
    order
}

/// How many extents a group has.
pub(super) fn capacity(scheme: &PartitionScheme, vg: &VolumeGroup, sizes: &BTreeMap<String, Bytes>) -> u64 {
    let extents = |name: &String| {
        let size = sizes.get(name).copied().unwrap_or_default();
        pv(scheme, name).usable(size).0 / Mib(EXTENT_MIB).bytes().0
    };
    vg.pvnames.iter().map(extents).sum()
}

/// The physical volume on `device`, with LVM's own values where the scheme does not describe it.
pub(super) fn pv(scheme: &PartitionScheme, device: &str) -> PhysicalVolume {
    let described = scheme.pvs.iter().find(|pv| pv.name == device).cloned();
    described.unwrap_or_else(|| PhysicalVolume {
        name: device.into(),
        metadatasize: Mib(1),
        metadatacopies: 1,
        keep_data: false,
    })
}

/// The volumes' sizes in extents, in their order, so that they fit into `capacity`.
///
/// # Errors
/// With the number that they need where they do not.
pub(super) fn fit(sizes: &[Mib], capacity: u64) -> Result<Vec<u64>, u64> {
    let mut extents: Vec<u64> = sizes.iter().map(|size| size.0.div_ceil(EXTENT_MIB).max(1)).collect();
    let mut excess =
        extents.iter().fold(0_u64, |sum, more| sum.saturating_add(*more)).saturating_sub(capacity);
    let mut rounded: Vec<_> =
        (0..sizes.len()).filter(|i| extents[*i] > 1 && !sizes[*i].0.is_multiple_of(EXTENT_MIB)).collect();
    rounded.sort_by_key(|i| std::cmp::Reverse(sizes[*i]));
    for i in rounded {
        if excess > 0 {
            extents[i] -= 1;
            excess -= 1;
        }
    }
    if excess == 0 { Ok(extents) } else { Err(capacity.saturating_add(excess)) }
}

/// A group's volumes.
pub(super) fn volumes_of<'a>(scheme: &'a PartitionScheme, vg: &VolumeGroup) -> Vec<&'a LogicalVolume> {
    scheme.lvs.iter().filter(|lv| lv.vgname == vg.name).collect()
}

/// The steps that make what is built on partitions, and the file systems on it. What is kept is not made.
pub(super) fn steps(deployment: &Deployment, machine: &Machine, kept: &Kept) -> Vec<Step> {
    let scheme = &deployment.partition_scheme;
    let order = order(scheme);
    let step = |what: String, action| Step { stage: Stage::Partition, what, action };
    let mut steps = Vec::new();
    for built in order.built.chunk_by(|one, next| at_once(*one, *next)) {
        let made = |built: &&Built<'_>| !built.array().is_some_and(|md| kept.device(&md.name));
        let made: Vec<_> = built.iter().filter(made).copied().collect();
        steps.extend(arrays(&made).map(|(what, arrays)| step(what, Action::MakeArrays(arrays))));
        for vg in made.iter().filter_map(|built| built.group()) {
            if kept.group(&vg.name) {
                steps.extend(keep::group::step(scheme, vg, machine, kept));
                continue;
            }
            let Some(group) = group(scheme, vg, &order.sizes) else { continue };
            let names: Vec<_> = group.volumes.iter().map(|volume| volume.name.as_str()).collect();
            let volumes = if names.is_empty() { "no volumes".into() } else { names.join(", ") };
            let what = format!("make the volume group {} on {}: {volumes}", vg.name, vg.pvnames.join(", "));
            steps.push(step(what, Action::MakeGroup(group)));
        }
    }
    steps.extend(file_systems(deployment, kept).map(|fs| {
        let what = format!("make {} on {}", fs.fs, fs.device);
        step(what, Action::MakeFs(fs))
    }));
    steps
}

/// The file systems that are made on arrays and volumes.
fn file_systems(deployment: &Deployment, kept: &Kept) -> impl Iterator<Item = MakeFs> {
    let scheme = &deployment.partition_scheme;
    let imaged = |device: &str| deployment.image_scheme.iter().any(|image| image.target_device == device);
    let built = |device: &str| {
        scheme.mds.iter().any(|md| md.name == device) || scheme.lvs.iter().any(|lv| lv.device() == device)
    };
    scheme
        .fss
        .iter()
        .filter(move |fs| built(&fs.device) && !imaged(&fs.device) && !kept.data(&fs.device))
        .filter_map(layout::make_fs)
}

/// Whether both are arrays, made in one step: not where one is built on another array.
fn at_once(one: Built<'_>, next: Built<'_>) -> bool {
    let plain = |built: Built<'_>| {
        built.group().is_none() && !built.needs().iter().any(|device| device.starts_with("/dev/md"))
    };
    plain(one) && plain(next)
}

/// The arrays among `built`, and what making them is called.
fn arrays(built: &[Built<'_>]) -> Option<(String, MakeArrays)> {
    let mut parts = Vec::new();
    let mut arrays = Vec::new();
    for built in built {
        if let Some(md) = built.array()
            && let Some(level) = md.level()
        {
            parts.push(format!("{} ({} of {})", md.name, level.name(), md.devices.join(", ")));
            arrays.push(create(md, level));
        }
    }
    let what =
        format!("make {} {}", if arrays.len() == 1 { "the array" } else { "the arrays" }, parts.join(", "));
    (!arrays.is_empty()).then_some((what, MakeArrays { arrays }))
}

fn create(md: &MultipleDevice, level: Level) -> Create {
    Create {
        device: md.name.clone(),
        level: level.name().into(),
        metadata: md.metadata().map(ToOwned::to_owned),
        members: md.devices.clone(),
        spares: md.spares.clone(),
        bitmap: level.redundant().then_some(true),
        assume_clean: level.mirrors_only(),
    }
}

/// A group that is made; nothing where its volumes do not fit (which is refused).
fn group(scheme: &PartitionScheme, vg: &VolumeGroup, sizes: &BTreeMap<String, Bytes>) -> Option<MakeGroup> {
    let lvs = volumes_of(scheme, vg);
    let wanted: Vec<_> = lvs.iter().map(|lv| lv.size).collect();
    let extents = fit(&wanted, capacity(scheme, vg, sizes)).ok()?;
    let volume = |(lv, extents): (&&LogicalVolume, u64)| Volume {
        name: lv.name.clone(),
        device: lv.device(),
        extents,
    };
    let mut pvs: Vec<PvCreate> = Vec::new();
    for name in &vg.pvnames {
        let pv = pv(scheme, name);
        let (metadata_mib, copies) = (pv.metadatasize.0.max(1), pv.metadatacopies);
        match pvs.iter_mut().find(|same| (same.metadata_mib, same.copies) == (metadata_mib, copies)) {
            Some(same) => same.devices.push(name.clone()),
            None => pvs.push(PvCreate { devices: vec![name.clone()], metadata_mib, copies }),
        }
    }
    let volumes = lvs.iter().zip(extents).map(volume).collect();
    Some(MakeGroup { name: vg.name.clone(), members: vg.pvnames.clone(), pvs, volumes })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn volumes_are_rounded_up_as_long_as_there_is_room() {
        let sizes = |sizes: &[u64]| sizes.iter().map(|size| Mib(*size)).collect::<Vec<_>>();
        for (wanted, capacity, fitted) in [
            (&[10, 8][..], 5, Ok(vec![3, 2])),
            (&[10, 9], 5, Ok(vec![2, 3])),
            (&[10, 9], 4, Ok(vec![2, 2])),
            (&[10, 9], 3, Err(4)),
            (&[8, 4], 2, Err(3)),
            (&[1], 1, Ok(vec![1])),
            (&[], 0, Ok(vec![])),
        ] {
            assert_eq!(fit(&sizes(wanted), capacity), fitted, "{wanted:?} {capacity}");
        }
    }

    #[test]
    fn what_others_are_built_on_comes_first() {
        let part = |number: u32| {
            json!({
                "name": format!("/dev/sda{number}"), "count": number, "device": "/dev/sda", "begin": number * 1000,
                "end": number * 1000 + 1000, "partition_type": "primary",
            })
        };
        let scheme: PartitionScheme = serde_json::from_value(json!({
            "parteds": [{"name": "/dev/sda", "label": "gpt", "partitions": [part(1), part(2), part(3)]}],
            "mds": [
                {"name": "/dev/md1", "level": "1", "devices": ["/dev/mapper/a-x", "/dev/sda3"]},
                {"name": "/dev/md2", "level": "1", "devices": ["/dev/sdz1"]},
                {"name": "/dev/md0", "level": "0", "devices": ["/dev/sda1", "/dev/sda2"]},
            ],
            "pvs": [{"name": "/dev/md0"}],
            "vgs": [{"name": "b", "pvnames": ["/dev/mapper/b-x"]}, {"name": "a", "pvnames": ["/dev/md0"]}],
            "lvs": [{"name": "x", "vgname": "a", "size": 900}, {"name": "x", "vgname": "b", "size": 9}],
        }))
        .unwrap();
        let order = order(&scheme);
        let name = |built: &Built<'_>| match built {
            Built::Array(md) => md.name.clone(),
            Built::Group(vg) => vg.name.clone(),
        };
        assert_eq!(order.built.iter().map(name).collect::<Vec<_>>(), ["/dev/md0", "a", "/dev/md1"]);
        assert_eq!(order.left.iter().map(name).collect::<Vec<_>>(), ["/dev/md2", "b"]);
        assert_eq!(order.sizes["/dev/mapper/a-x"], Mib(900).bytes());
    }
}
