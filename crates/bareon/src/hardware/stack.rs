//! What is stacked on the disks: md arrays and volume groups, active or not.
//!
//! Read before anything is planned, for three reasons: what lies on a named disk is torn down from the top; what
//! reaches onto a disk that nobody named is refused; what is to be kept is compared. An array is known by the UUID in
//! its superblocks and a group by its own, as names may occur twice on a machine.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::usage::Holder;
use crate::objects::Bytes;

/// The arrays and groups of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Stack {
    /// md arrays; containers after the arrays in them.
    pub arrays: Vec<Array>,
    /// LVM volume groups.
    pub groups: Vec<Group>,
}

/// An md array, or a container of firmware RAID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Array {
    /// The UUID in its superblocks, as mdadm writes it; nothing for one that is made without superblocks.
    pub uuid: Option<String>,
    /// Its node, such as `/dev/md0`, where it is assembled, be it only in part.
    pub device: Option<String>,
    /// The level as the kernel and mdadm call it: `raid1`, `raid10`, `linear`, `container`; `unknown` of an array in a
    /// container that is not assembled.
    pub level: String,
    /// The version of its superblock: `0.90`, `1.2`, `imsm`, `ddf`.
    pub metadata: String,
    /// How many members it is to have, spares not counted.
    pub raid_devices: u32,
    /// The devices that belong to it, spares among them, as far as they are there.
    pub members: Vec<String>,
    /// Whether it runs; else it is inactive, or was not assembled at all.
    pub active: bool,
    /// Whether it lacks members.
    pub degraded: bool,
    /// Its size in bytes, where it runs.
    pub size: Option<Bytes>,
}

/// A volume group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its UUID; empty for physical volumes that belong to none.
    pub uuid: String,
    /// The size of an extent in bytes.
    pub extent: Bytes,
    /// How many extents it has.
    pub extents: u64,
    /// How many of them are free.
    pub free: u64,
    /// Its physical volumes.
    pub pvs: Vec<Pv>,
    /// Its logical volumes, without the hidden ones that they are made of.
    pub lvs: Vec<Lv>,
}

/// A physical volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pv {
    /// Its device, where it is there.
    pub device: Option<String>,
    /// Its UUID.
    pub uuid: String,
    /// Its size in bytes as far as extents use it.
    pub size: Bytes,
}

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lv {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its size in bytes.
    pub size: Bytes,
    /// Its node in `/dev/mapper`.
    pub device: String,
    /// Whether it can be used now.
    pub active: bool,
}

impl Array {
    /// Whether this holds the arrays of firmware RAID (`imsm`, `ddf`) and is none itself.
    pub fn is_container(&self) -> bool {
        self.level == "container"
    }

    /// For people: its node, or its UUID where it is not assembled.
    pub fn name(&self) -> String {
        match (&self.device, &self.uuid) {
            (Some(device), _) => device.clone(),
            (None, Some(uuid)) => format!("the array {uuid}"),
            (None, None) => format!("an array of {}", self.members.join(", ")),
        }
    }
}

impl Group {
    /// The devices of its physical volumes that are there.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.pvs.iter().filter_map(|pv| pv.device.as_deref())
    }

    /// Whether a physical volume of it is missing.
    pub fn partial(&self) -> bool {
        self.pvs.iter().any(|pv| pv.device.is_none())
    }
}

impl Stack {
    /// Whether `holder` is one of its arrays or groups.
    pub fn knows(&self, holder: &Holder) -> bool {
        match holder {
            Holder::Array(node) => self.arrays.iter().any(|array| array.device.as_ref() == Some(node)),
            Holder::Group(uuid) => self.groups.iter().any(|group| &group.uuid.replace('-', "") == uuid),
        }
    }

    /// The arrays and groups that lie on `disk`, be it in part, where `disks` tells the disks that a device reaches.
    pub(super) fn on(&self, disk: &str, disks: impl Fn(&str) -> BTreeSet<String>) -> Self {
        let reaches = |device: &str| disks(device).contains(disk);
        let array = |array: &&Array| array.members.iter().any(|member| reaches(member));
        let group = |group: &&Group| group.devices().any(reaches);
        Self {
            arrays: self.arrays.iter().filter(array).cloned().collect(),
            groups: self.groups.iter().filter(group).cloned().collect(),
        }
    }

    /// Adds those of `other` that are not there yet.
    pub(super) fn join(&mut self, other: Self) {
        for array in other.arrays {
            if !self.arrays.contains(&array) {
                self.arrays.push(array);
            }
        }
        for group in other.groups {
            if !self.groups.contains(&group) {
                self.groups.push(group);
            }
        }
        self.arrays.sort_by_key(Array::is_container);
    }

    /// Whether there is nothing of the kind.
    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty() && self.groups.is_empty()
    }

    /// The devices that `device` is built on, down to those that are built on nothing of the stack (partitions and
    /// disks); `device` itself where it is one of them.
    pub fn below(&self, device: &str) -> BTreeSet<String> {
        let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
        let mut left = vec![device.to_owned()];
        while let Some(device) = left.pop() {
            if !seen.insert(device.clone()) {
                continue;
            }
            let array = self.arrays.iter().find(|array| array.device.as_ref() == Some(&device));
            let group = self.groups.iter().find(|group| group.lvs.iter().any(|lv| lv.device == device));
            match (array, group) {
                (Some(array), _) => left.extend(array.members.iter().cloned()),
                (_, Some(group)) => left.extend(group.devices().map(ToOwned::to_owned)),
                (None, None) => {
                    found.insert(device);
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array(device: &str, members: &[&str]) -> Array {
        Array {
            uuid: Some("a:b:c:d".into()),
            device: Some(device.into()),
            level: "raid1".into(),
            metadata: "1.2".into(),
            raid_devices: 2,
            members: members.iter().map(ToString::to_string).collect(),
            active: true,
            degraded: false,
            size: None,
        }
    }

    #[test]
    fn a_volume_lies_on_the_members_of_the_array_below_its_group() {
        let lv = Lv {
            name: "root".into(),
            uuid: "l".into(),
            size: Bytes(1),
            device: "/dev/mapper/os-root".into(),
            active: true,
        };
        let pv = |device: &str| Pv { device: Some(device.into()), uuid: "p".into(), size: Bytes(1) };
        let group = Group {
            name: "os".into(),
            uuid: "g".into(),
            extent: Bytes(4 << 20),
            extents: 1,
            free: 0,
            pvs: vec![pv("/dev/md0"), pv("/dev/sdc")],
            lvs: vec![lv],
        };
        let arrays = vec![array("/dev/md0", &["/dev/sda1", "/dev/sdb1"])];
        let stack = Stack { arrays, groups: vec![group] };
        let below = |device: &str| stack.below(device).into_iter().collect::<Vec<_>>();
        assert_eq!(below("/dev/mapper/os-root"), ["/dev/sda1", "/dev/sdb1", "/dev/sdc"]);
        assert_eq!(below("/dev/sda1"), ["/dev/sda1"]);
    }
}
