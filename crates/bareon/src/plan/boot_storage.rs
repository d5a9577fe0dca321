//! What the file systems of the installed system lie on, by the layout.

use std::collections::{BTreeSet, VecDeque};

use crate::{
    hardware::Machine,
    objects::partition::{PartitionScheme, PhysicalVolume},
    steps::bootloader::storage::{Array, ForeignPv, Group, NeededBy, Storage},
};

/// All devices that `device` is built on, itself among them: volumes, arrays, partitions.
fn below(scheme: &PartitionScheme, device: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = VecDeque::from([device.to_owned()]);
    while let Some(device) = left.pop_front() {
        if !found.insert(device.clone()) {
            continue;
        }
        for md in scheme.mds.iter().filter(|md| md.name == device) {
            left.extend(md.devices.iter().chain(&md.spares).cloned());
        }
        for lv in scheme.lvs.iter().filter(|lv| lv.device() == device) {
            let groups = scheme.vgs.iter().filter(|vg| vg.name == lv.vgname);
            left.extend(groups.flat_map(|vg| vg.pvnames.iter().cloned()));
        }
    }
    found
}

/// What the layout has beyond partitions, and who needs it early.
pub(super) fn storage(scheme: &PartitionScheme, machine: &Machine) -> Storage {
    let holding = |mounts: &[&str]| -> BTreeSet<String> {
        let fss = mounts.iter().filter_map(|mount| scheme.fs_by_mount(mount));
        fss.flat_map(|fs| below(scheme, &fs.device)).collect()
    };
    let early = holding(&["/", "/usr"]);
    let grub = holding(if scheme.fs_by_mount("/boot").is_some() { &["/boot"] } else { &["/"] });
    let arrays = scheme.mds.iter().map(|md| Array {
        device: md.name.clone(),
        level: md.level.clone(),
        metadata: md.metadata.clone(),
        needed_by: NeededBy { grub: grub.contains(&md.name), initramfs: early.contains(&md.name) },
    });
    let groups = scheme.vgs.iter().map(|vg| {
        let lvs = || scheme.lvs.iter().filter(|lv| lv.vgname == vg.name);
        let early: Vec<_> =
            lvs().filter(|lv| early.contains(&lv.device())).map(|lv| lv.name.clone()).collect();
        let needed_by =
            NeededBy { grub: lvs().any(|lv| grub.contains(&lv.device())), initramfs: !early.is_empty() };
        Group { name: vg.name.clone(), early, needed_by }
    });
    let on_disk = |disk: &str| {
        let partitions = scheme.parteds.iter().filter(|parted| parted.name == disk);
        partitions.flat_map(|parted| &parted.partitions).any(|partition| early.contains(&partition.name))
            || early.contains(disk)
    };
    let disks = scheme.parteds.iter().map(|parted| parted.name.clone()).filter(|disk| on_disk(disk));
    Storage {
        arrays: arrays.collect(),
        groups: groups.collect(),
        foreign: foreign(scheme, machine),
        disks: disks.collect(),
    }
}

/// The physical volumes of groups with a name of ours, on disks that the layout does not name.
fn foreign(scheme: &PartitionScheme, machine: &Machine) -> Vec<ForeignPv> {
    let ours = |device: &str| {
        let named = |disk: &str| scheme.parteds.iter().any(|parted| parted.name == disk);
        let is_pv = |pv: &PhysicalVolume| pv.name == device;
        named(device)
            || scheme.pvs.iter().any(is_pv)
            || machine.contents.iter().any(|content| content.device == device && named(&content.disk))
    };
    let twins = machine.stack.groups.iter().filter(|group| {
        let below: BTreeSet<_> = group.devices().flat_map(|pv| machine.stack.below(pv)).collect();
        scheme.vgs.iter().any(|vg| vg.name == group.name)
            && !below.iter().map(String::as_str).chain(group.devices()).any(ours)
    });
    twins
        .flat_map(|group| {
            group.pvs.iter().filter_map(|pv| {
                let device = pv.device.clone()?;
                Some(ForeignPv { group: group.name.clone(), uuid: pv.uuid.clone(), device })
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        hardware::{
            Stack,
            content::Content,
            stack::{Group as OnDisk, Pv},
        },
        objects::Bytes,
    };

    fn scheme() -> PartitionScheme {
        let partition = |disk: &str, count: u32| {
            json!({"name": format!("{disk}{count}"), "count": count, "device": disk, "begin": 1, "end": 2,
                "partition_type": "primary"})
        };
        let parted = |disk: &str| json!({"name": disk, "label": "gpt", "partitions": (1..4).map(|count| partition(disk, count)).collect::<Vec<_>>()});
        serde_json::from_value(json!({
            "parteds": [parted("/dev/sda"), parted("/dev/sdb"), parted("/dev/sdc")],
            "mds": [
                {"name": "/dev/md0", "level": "mirror", "devices": ["/dev/sda1", "/dev/sdb1"]},
                {"name": "/dev/md1", "level": "1", "devices": ["/dev/sda2", "/dev/sdb2"]},
                {"name": "/dev/md2", "level": "0", "devices": ["/dev/sda3", "/dev/sdb3"], "metadata": "0.90"},
            ],
            "pvs": [{"name": "/dev/md1"}, {"name": "/dev/sdc1"}],
            "vgs": [{"name": "os", "pvnames": ["/dev/md1"]}, {"name": "data", "pvnames": ["/dev/sdc1"]}],
            "lvs": [
                {"name": "root", "vgname": "os", "size": 1},
                {"name": "var", "vgname": "os", "size": 1},
                {"name": "x", "vgname": "data", "size": 1},
            ],
            "fss": [
                {"device": "/dev/md0", "mount": "/boot"},
                {"device": "/dev/mapper/os-root", "mount": "/"},
                {"device": "/dev/mapper/os-var", "mount": "/var"},
                {"device": "/dev/mapper/data-x", "mount": "/srv"},
                {"device": "/dev/md2", "mount": "/scratch"},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn who_needs_what_early() {
        let storage = storage(&scheme(), &Machine::default());
        let arrays: Vec<_> = storage
            .arrays
            .iter()
            .map(|array| (array.device.as_str(), array.needed_by.grub, array.needed_by.initramfs))
            .collect();
        assert_eq!(
            arrays,
            [("/dev/md0", true, false), ("/dev/md1", false, true), ("/dev/md2", false, false)]
        );
        let groups: Vec<_> =
            storage.groups.iter().map(|group| (group.name.as_str(), group.early.join(" "))).collect();
        assert_eq!(groups, [("os", "root".to_owned()), ("data", String::new())]);
        assert!(storage.early_md() && storage.early_lvm());
        assert_eq!(storage.disks, ["/dev/sda", "/dev/sdb"]);
        assert_eq!(storage.foreign, []);
    }

    #[test]
    fn without_a_boot_of_its_own_grub_reads_the_root() {
        let mut scheme = scheme();
        scheme.fss.remove(0);
        let storage = storage(&scheme, &Machine::default());
        assert!(!storage.arrays[0].needed_by.grub && storage.arrays[1].needed_by.grub);
        assert!(storage.groups[0].needed_by.grub && !storage.groups[1].needed_by.grub);
    }

    #[test]
    fn a_group_of_the_same_name_is_foreign_on_other_disks_only() {
        let group = |name: &str, device: &str| OnDisk {
            name: name.into(),
            uuid: format!("uuid of {device}"),
            extent: Bytes(1),
            extents: 1,
            free: 1,
            pvs: vec![Pv { device: Some(device.into()), uuid: format!("pv of {device}"), size: Bytes(1) }],
            lvs: Vec::new(),
        };
        let content = |disk: &str, device: &str| Content {
            disk: disk.into(),
            device: device.into(),
            size: Bytes(1),
            ..Content::default()
        };
        let groups = vec![group("os", "/dev/sdz1"), group("os", "/dev/sda9"), group("other", "/dev/sdz2")];
        let mut machine = Machine::default();
        machine.contents = vec![content("/dev/sdz", "/dev/sdz1"), content("/dev/sda", "/dev/sda9")];
        machine.stack = Stack { arrays: Vec::new(), groups };
        let foreign: Vec<_> =
            storage(&scheme(), &machine).foreign.into_iter().map(|pv| (pv.group, pv.uuid)).collect();
        assert_eq!(foreign, [("os".to_owned(), "pv of /dev/sdz1".to_owned())]);
    }
}
