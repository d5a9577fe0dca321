//! What forbids to take the stack down: it reaches onto disks that nobody named, or belongs to firmware.

use std::collections::BTreeMap;

use super::{View, node::Node};
use crate::{
    drivers::Mistake,
    hardware::stack::Array,
    plan::{Refusal, Stage},
};

impl<'a> View<'a> {
    /// What reaches onto disks that are not named, or from kept devices onto others.
    pub(super) fn beyond(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for node in self.nodes.iter().copied().filter(|node| self.is_touched(*node)) {
            let kept = self.stays(node);
            let described = node.devices().iter().any(|device| self.kept.contains(*device));
            for device in node.below() {
                let disks = self.disks_of(device);
                if kept
                    && !described
                    && !self.is_kept(device)
                    && disks.iter().any(|disk| self.named.contains(disk))
                {
                    refusals.push(self.half_kept(node, device));
                }
                let foreign = disks.into_iter().filter(|disk| !kept && !self.named.contains(disk));
                refusals.extend(foreign.map(|disk| self.foreign(node, device, disk)));
            }
        }
        refusals
    }

    /// `node` lies on `device` of `disk`, too, which is not named.
    fn foreign(&self, node: Node<'a>, device: &str, disk: &str) -> Refusal {
        let ours = node
            .below()
            .into_iter()
            .filter(|device| self.disks_of(device).iter().any(|disk| self.named.contains(disk)));
        let ours: Vec<_> = ours.collect();
        let list = ours.join(" ");
        let out = match node {
            Node::Group(group) => format!(
                "take its part out of the group: `pvmove {}`, `vgreduce {} {list}`, `pvremove {list}`",
                ours.first().unwrap_or(&""),
                group.name
            ),
            Node::Array(Array { device: Some(array), .. }) => {
                format!(
                    "take its part out of the array: `mdadm {array} --fail {list} --remove {list}`, `mdadm --zero-superblock {list}`"
                )
            }
            Node::Array(_) => format!("take its part out of the array: `mdadm --zero-superblock {list}`"),
        };
        let part = if device == disk { String::new() } else { format!("{device} of ") };
        let problem = format!(
            "{} lies on {list} and reaches onto {part}the disk {disk}, which the layout does not name",
            node.name()
        );
        self.refusal(
            ours.first().copied().unwrap_or_default(),
            &problem,
            &format!("name {disk}, too (what lies on it is lost), or {out}"),
        )
    }

    /// `node` lies on kept devices and on `device`, which is not kept.
    fn half_kept(&self, node: Node<'a>, device: &'a str) -> Refusal {
        let problem = format!("{} lies on devices that are kept and on {device}, which is not", node.name());
        self.refusal(device, &problem, "keep all of its devices, or none")
    }

    /// Arrays of other disks that have the node of an array that is made.
    pub(super) fn taken_names(&self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for (i, md) in self.scheme.mds.iter().enumerate().filter(|(_, md)| !md.keep_data) {
            let mut arrays = self.machine.stack.arrays.iter();
            let Some(array) = arrays.find(|array| {
                array.device.as_ref() == Some(&md.name)
                    && !self.is_touched(Node::Array(array))
                    && !self.stays(Node::Array(array))
            }) else {
                continue;
            };
            let problem = format!("{} is an array of {}, already", md.name, array.members.join(", "));
            let remedy = format!("name the array differently, or stop the other: `mdadm --stop {}`", md.name);
            let place = self.origins.of(&format!("/partition_scheme/mds/{i}"));
            let mistake = Mistake::new(place, Some(&md.name.as_str().into()), problem, remedy);
            refusals.push(Refusal { stage: Stage::Partition, mistake });
        }
        refusals
    }

    /// Disks that belong to firmware RAID.
    pub(super) fn containers(&self) -> Vec<Refusal> {
        let mut found: BTreeMap<&str, String> = BTreeMap::new();
        for content in
            self.machine.contents.iter().filter(|content| self.named.contains(content.disk.as_str()))
        {
            if let Some(kind) = content.kind.as_deref()
                && let Some(format) = kind.strip_suffix("_raid_member")
                && format != "linux"
            {
                found.insert(&content.disk, format!("a container of firmware RAID ({format})"));
            }
        }
        for array in self.machine.stack.arrays.iter().filter(|array| array.is_container()) {
            for member in array.members.iter().filter(|member| self.named.contains(member.as_str())) {
                found.insert(
                    member,
                    format!("{}, a container of firmware RAID ({})", array.name(), array.metadata),
                );
            }
        }
        let volume = |disk: &str| {
            let arrays = self.machine.stack.arrays.iter();
            let mut volumes =
                arrays.filter(|array| !array.is_container() && array.members.iter().any(|m| m == disk));
            volumes.find_map(|array| array.device.clone()).unwrap_or_else(|| "/dev/md126".into())
        };
        let refuse = |(disk, what): (&str, String)| {
            let remedy = format!(
                "name its volume ({}) as the disk, or set skip_md_containers=false to remove the container with all \
                 that lies on it",
                volume(disk)
            );
            self.refusal(disk, &format!("{disk} belongs to {what}"), &remedy)
        };
        found.into_iter().map(refuse).collect()
    }

    /// A refusal at the disk of the layout that `device` lies on.
    fn refusal(&self, device: &'a str, problem: &str, remedy: &str) -> Refusal {
        let parteds = &self.scheme.parteds;
        let disks = self.disks_of(device);
        let i = parteds.iter().position(|parted| disks.contains(parted.name.as_str())).unwrap_or(0);
        let place = self.origins.of(&format!("/partition_scheme/parteds/{i}"));
        let name = parteds.get(i).map(|parted| parted.name.as_str().into());
        Refusal { stage: Stage::Partition, mistake: Mistake::new(place, name.as_ref(), problem, remedy) }
    }
}
