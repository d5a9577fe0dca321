//! What of a layout stays: the marks of the input, passed on to what they mean.
//!
//! Where no table is written (`skip_partitioning`), marks stand for data and go up, as callers have it: what lies on a
//! kept partition, array, physical volume or group is kept, too. Where the rest of a disk is made anew, each mark stands
//! for itself: a partition may stay and get a new file system, a group stay without all of its volumes.
//!
//! Either way data cannot stay without what they lie on, so structure goes down: a kept volume needs its group, the group
//! all its physical volumes, an array all its members.

use std::collections::BTreeSet;

use super::{LogicalVolume, PartitionScheme};

/// The devices and groups of a layout that stay.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Whether all structure stays, so that no table, array or group is made.
    whole: bool,
    /// Partitions, arrays and volumes whose data stay.
    data: BTreeSet<String>,
    /// Partitions, arrays and volumes that stay.
    devices: BTreeSet<String>,
    /// Groups that stay.
    groups: BTreeSet<String>,
}

impl Kept {
    /// What stays of `scheme`: with `whole` all of its structure, else what is marked and what that lies on.
    pub fn of(scheme: &PartitionScheme, whole: bool) -> Self {
        if whole { Self::whole(scheme) } else { Self::marked(scheme) }
    }

    fn marked(scheme: &PartitionScheme) -> Self {
        let mut kept = Self::default();
        let partitions = scheme.partitions().filter(|partition| partition.keep_data);
        kept.devices.extend(partitions.map(|partition| partition.name.clone()));
        kept.devices.extend(scheme.mds.iter().filter(|md| md.keep_data).map(|md| md.name.clone()));
        kept.devices.extend(scheme.pvs.iter().filter(|pv| pv.keep_data).map(|pv| pv.name.clone()));
        kept.devices.extend(scheme.lvs.iter().filter(|lv| lv.keep_data).map(LogicalVolume::device));
        kept.groups.extend(scheme.vgs.iter().filter(|vg| vg.keep_data).map(|vg| vg.name.clone()));
        let anew = |device: &String| scheme.fss.iter().any(|fs| &fs.device == device && !fs.keep_data);
        kept.data = kept.devices.iter().filter(|device| !anew(device)).cloned().collect();
        kept.data.extend(scheme.fss.iter().filter(|fs| fs.keep_data).map(|fs| fs.device.clone()));
        kept.structure(scheme);
        kept
    }

    fn whole(scheme: &PartitionScheme) -> Self {
        let mut kept = Self { whole: true, ..Self::default() };
        let partitions = scheme.partitions().filter(|partition| partition.keep_data);
        kept.data.extend(partitions.map(|partition| partition.name.clone()));
        kept.data.extend(scheme.fss.iter().filter(|fs| fs.keep_data).map(|fs| fs.device.clone()));
        kept.data.extend(scheme.pvs.iter().filter(|pv| pv.keep_data).map(|pv| pv.name.clone()));
        kept.arrays_and_groups(scheme);
        kept.structure(scheme);
        kept
    }

    /// What stays where `devices` do, whatever the marks say.
    pub fn carrying(scheme: &PartitionScheme, devices: &[&str]) -> Self {
        let mut kept = Self { data: devices.iter().map(ToString::to_string).collect(), ..Self::default() };
        let volumes = scheme.lvs.iter().filter(|lv| devices.contains(&lv.device().as_str()));
        kept.groups = volumes.map(|lv| lv.vgname.clone()).collect();
        kept.structure(scheme);
        kept
    }

    /// Upwards: from partitions to arrays, from those to groups, from those to volumes.
    fn arrays_and_groups(&mut self, scheme: &PartitionScheme) {
        for md in &scheme.mds {
            let member = md.devices.iter().chain(&md.spares).any(|member| self.data.contains(member));
            if md.keep_data || member {
                self.data.insert(md.name.clone());
            }
        }
        for vg in &scheme.vgs {
            let marked = vg.keep_data || vg.pvnames.iter().any(|pv| self.data.contains(pv));
            for lv in scheme.lvs.iter().filter(|lv| lv.vgname == vg.name) {
                if marked || lv.keep_data {
                    self.data.insert(lv.device());
                }
                if self.data.contains(&lv.device()) {
                    self.groups.insert(vg.name.clone());
                }
            }
            if marked {
                self.groups.insert(vg.name.clone());
            }
        }
    }

    /// Downwards: what carries the data.
    fn structure(&mut self, scheme: &PartitionScheme) {
        self.devices.extend(self.data.iter().cloned());
        let mut before = None;
        // An array may lie on volumes, whose group lies on an array.
        while before != Some((self.devices.len(), self.groups.len())) {
            before = Some((self.devices.len(), self.groups.len()));
            let volumes = scheme.lvs.iter().filter(|lv| self.devices.contains(&lv.device()));
            self.groups.extend(volumes.map(|lv| lv.vgname.clone()));
            for vg in scheme.vgs.iter().filter(|vg| self.groups.contains(&vg.name)) {
                self.devices.extend(vg.pvnames.iter().cloned());
            }
            for md in &scheme.mds {
                if self.devices.contains(&md.name) {
                    self.devices.extend(md.devices.iter().chain(&md.spares).cloned());
                }
            }
        }
    }

    /// Whether anything is kept.
    pub fn any(&self) -> bool {
        self.whole || !self.devices.is_empty() || !self.groups.is_empty()
    }

    /// Whether the partition, array or volume stays, whatever lies on it.
    pub fn device(&self, device: &str) -> bool {
        self.whole || self.devices.contains(device)
    }

    /// Whether the group stays; not all of its volumes need to.
    pub fn group(&self, name: &str) -> bool {
        self.whole || self.groups.contains(name)
    }

    /// The partitions, arrays and volumes that stay though others are made anew. Nothing may be written to them, and
    /// nothing that lies on them be stopped for good.
    pub fn devices(&self) -> &BTreeSet<String> {
        &self.devices
    }

    /// Whether what lies on the device stays, so that no file system is made on it.
    pub fn data(&self, device: &str) -> bool {
        self.data.contains(device)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Two disks: a plain partition each, a mirror of two with a group on it, a group on a partition.
    fn scheme(mark: &str) -> PartitionScheme {
        let partition = |disk: &str, n: u64| {
            json!({
                "name": format!("/dev/{disk}{n}"), "count": n, "device": format!("/dev/{disk}"),
                "begin": n * 100, "end": n * 100 + 100, "partition_type": "primary",
            })
        };
        let parted = |disk: &str| {
            let partitions: Vec<_> = (1..=3).map(|n| partition(disk, n)).collect();
            json!({"name": format!("/dev/{disk}"), "label": "gpt", "partitions": partitions})
        };
        let mut scheme = json!({
            "parteds": [parted("sda"), parted("sdb")],
            "mds": [{"name": "/dev/md0", "level": "mirror", "devices": ["/dev/sda2", "/dev/sdb2"]}],
            "pvs": [{"name": "/dev/md0"}, {"name": "/dev/sda3"}],
            "vgs": [{"name": "a", "pvnames": ["/dev/md0"]}, {"name": "b", "pvnames": ["/dev/sda3"]}],
            "lvs": [
                {"name": "x", "vgname": "a", "size": 10}, {"name": "y", "vgname": "a", "size": 10},
                {"name": "z", "vgname": "b", "size": 10},
            ],
            "fss": [{"device": "/dev/sda1", "mount": "/"}, {"device": "/dev/mapper/a-x", "mount": "/x"}],
        });
        if !mark.is_empty() {
            scheme.pointer_mut(mark).unwrap()["keep_data"] = Value::Bool(true);
        }
        serde_json::from_value(scheme).unwrap()
    }

    #[test]
    fn a_mark_goes_up_and_what_carries_the_data_goes_down() {
        let all_of_a = ["/dev/mapper/a-x", "/dev/mapper/a-y", "/dev/md0", "/dev/sda2", "/dev/sdb2"];
        for (mark, data, devices, groups) in [
            ("/fss/0", &["/dev/sda1"][..], &["/dev/sda1"][..], &[][..]),
            ("/parteds/0/partitions/0", &["/dev/sda1"], &["/dev/sda1"], &[]),
            (
                "/fss/1",
                &["/dev/mapper/a-x"],
                &["/dev/mapper/a-x", "/dev/md0", "/dev/sda2", "/dev/sdb2"],
                &["a"],
            ),
            (
                "/lvs/1",
                &["/dev/mapper/a-y"],
                &["/dev/mapper/a-y", "/dev/md0", "/dev/sda2", "/dev/sdb2"],
                &["a"],
            ),
            ("/mds/0", &["/dev/mapper/a-x", "/dev/mapper/a-y", "/dev/md0"], &all_of_a, &["a"]),
            (
                "/parteds/1/partitions/1",
                &["/dev/mapper/a-x", "/dev/mapper/a-y", "/dev/md0", "/dev/sdb2"],
                &all_of_a,
                &["a"],
            ),
            ("/vgs/0", &["/dev/mapper/a-x", "/dev/mapper/a-y"], &all_of_a, &["a"]),
            ("/pvs/1", &["/dev/mapper/b-z", "/dev/sda3"], &["/dev/mapper/b-z", "/dev/sda3"], &["b"]),
            ("", &[], &[], &[]),
        ] {
            let kept = Kept::of(&scheme(mark), true);
            let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            assert_eq!(kept.data, set(data), "{mark}");
            assert_eq!(kept.devices, set(devices), "{mark}");
            assert_eq!(kept.groups, set(groups), "{mark}");
            assert_eq!(Kept::of(&scheme(mark), false).any(), !mark.is_empty());
        }
    }

    #[test]
    fn where_others_are_made_anew_each_mark_stands_for_itself() {
        let below = ["/dev/md0", "/dev/sda2", "/dev/sdb2"];
        for (mark, data, devices, groups) in [
            ("/fss/0", &["/dev/sda1"][..], &["/dev/sda1"][..], &[][..]),
            ("/parteds/0/partitions/0", &[], &["/dev/sda1"], &[]),
            ("/parteds/1/partitions/0", &["/dev/sdb1"], &["/dev/sdb1"], &[]),
            ("/vgs/0", &[], &below, &["a"]),
            (
                "/lvs/1",
                &["/dev/mapper/a-y"],
                &["/dev/mapper/a-y", "/dev/md0", "/dev/sda2", "/dev/sdb2"],
                &["a"],
            ),
        ] {
            let kept = Kept::of(&scheme(mark), false);
            let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
            assert_eq!(kept.data, set(data), "{mark}");
            assert_eq!(kept.devices, set(devices), "{mark}");
            assert_eq!(kept.groups, set(groups), "{mark}");
        }
    }

    #[test]
    fn where_no_table_is_written_all_structure_stays_and_not_all_data() {
        let kept = Kept::of(&scheme("/fss/0"), true);
        assert!(kept.device("/dev/sda3") && kept.group("b"));
        assert!(kept.data("/dev/sda1") && !kept.data("/dev/mapper/a-x"));
    }
}
