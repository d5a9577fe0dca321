//! What is taken down of what lies on the disks, in which order, and what forbids it.
//!
//! A layout names disks; arrays and groups lie across them. What reaches onto a disk that is not named is refused with
//! that disk's name: nothing is lost that was not named. What is kept, and what lies on kept devices, stays. Arrays and
//! groups are told apart by device and UUID, never by name. Only where something foreign that is up has the name of
//! something that is made does the name matter: the kernel has each once. A group of other disks is made to sleep, which
//! writes nothing to them; an array of other disks is not touched, and refused.

mod node;
mod refusals;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    drivers::{Deployment, Origins},
    hardware::{
        Machine,
        content::Content,
        usage::{Holder, Use},
    },
    objects::PartitionScheme,
    steps::teardown::{Level, TearDown},
};

use node::{Node, plain};

use super::Refusal;

/// What the planner makes of the stack.
#[derive(Debug, Default)]
pub(super) struct Planned {
    /// The step; none where nothing lies on the disks, or no disk is laid out.
    pub(super) step: Option<TearDown>,
    /// What forbids it.
    pub(super) refusals: Vec<Refusal>,
}

/// Plans to take down what lies on the disks of the layout.
pub(super) fn plan(deployment: &Deployment, machine: &Machine, skip_md_containers: bool) -> Planned {
    if deployment.skip_partitioning {
        return Planned::default();
    }
    of(&deployment.partition_scheme, &deployment.origins, machine, skip_md_containers)
}

fn of(scheme: &PartitionScheme, origins: &Origins, machine: &Machine, skip_md_containers: bool) -> Planned {
    let view = View::new(scheme, origins, machine);
    let mut refusals = view.beyond();
    refusals.extend(view.taken_names());
    if skip_md_containers {
        refusals.extend(view.containers());
    }
    Planned { step: view.step(), refusals }
}

/// Whether a use of a disk stands in the way of a run. An array or a group does not by itself: it is taken down, kept,
/// or refused because of what else it lies on.
pub(super) fn blocks(used: &Use, machine: &Machine) -> bool {
    match &used.holder {
        None => true,
        Some(Holder::Array(node)) => {
            !machine.stack.arrays.iter().any(|array| array.device.as_ref() == Some(node))
        }
        Some(Holder::Group(uuid)) => !machine.stack.groups.iter().any(|group| plain(&group.uuid) == *uuid),
    }
}

/// The machine's stack, as seen from the disks of a layout.
struct View<'a> {
    scheme: &'a PartitionScheme,
    origins: &'a Origins,
    machine: &'a Machine,
    named: BTreeSet<&'a str>,
    kept: BTreeSet<String>,
    /// The disk of each partition.
    disks: BTreeMap<&'a str, &'a str>,
    nodes: Vec<Node<'a>>,
}

impl<'a> View<'a> {
    fn new(scheme: &'a PartitionScheme, origins: &'a Origins, machine: &'a Machine) -> Self {
        let contents = machine.contents.iter();
        let partitions = contents.filter(|content| content.is_partition());
        let groups = machine.stack.groups.iter().filter(|group| !group.uuid.is_empty());
        Self {
            scheme,
            origins,
            machine,
            named: scheme.parteds.iter().map(|parted| parted.name.as_str()).collect(),
            kept: scheme.kept_devices(),
            disks: partitions.map(|content| (content.device.as_str(), content.disk.as_str())).collect(),
            nodes: machine.stack.arrays.iter().map(Node::Array).chain(groups.map(Node::Group)).collect(),
        }
    }

    /// Goes down from `device` and says what it meets: the device itself, what it lies on, the disks at the bottom. A
    /// disk that is named is not looked behind, be it an array.
    fn down(&self, device: &'a str) -> BTreeSet<&'a str> {
        let (mut met, mut left) = (BTreeSet::new(), vec![device]);
        while let Some(device) = left.pop() {
            if !met.insert(device) || self.named.contains(device) {
                continue;
            }
            if let Some(disk) = self.disks.get(device) {
                left.push(disk);
            } else if let Some(node) = self.nodes.iter().find(|node| node.makes(device)) {
                left.extend(node.below());
            }
        }
        met
    }

    /// The disks that `device` lies on.
    fn disks_of(&self, device: &'a str) -> BTreeSet<&'a str> {
        let bottom = |device: &&str| {
            self.named.contains(device)
                || !(self.disks.contains_key(device) || self.nodes.iter().any(|node| node.makes(device)))
        };
        self.down(device).into_iter().filter(bottom).collect()
    }

    fn is_kept(&self, device: &'a str) -> bool {
        self.down(device).into_iter().any(|below| self.kept.contains(below))
    }

    /// Whether a part of it lies on a disk that is named. A disk that is named and is itself an array, as a volume of
    /// firmware RAID, is not one that lies on itself.
    fn is_touched(&self, node: Node<'a>) -> bool {
        let is_disk = node.devices().iter().any(|device| self.named.contains(device));
        !is_disk
            && node
                .below()
                .into_iter()
                .any(|device| self.disks_of(device).iter().any(|disk| self.named.contains(disk)))
    }

    fn stays(&self, node: Node<'a>) -> bool {
        node.devices().iter().any(|device| self.kept.contains(*device))
            || node.below().into_iter().any(|device| self.is_kept(device))
    }

    /// What is ended.
    fn goes(&self) -> Vec<Node<'a>> {
        self.nodes.iter().copied().filter(|node| self.is_touched(*node) && !self.stays(*node)).collect()
    }

    fn step(&self) -> Option<TearDown> {
        let contents =
            || self.machine.contents.iter().filter(|content| self.named.contains(content.disk.as_str()));
        let on_kept: BTreeSet<_> =
            self.kept.iter().filter_map(|device| self.disks.get(device.as_str())).copied().collect();
        // Where a partition is kept, its table is: an extended one is a part of that.
        let is_table =
            |content: &Content| content.device == content.disk || content.kind.as_deref() == Some("dos");
        let stays = |content: &Content| {
            self.kept.contains(&content.device)
                || (is_table(content) && on_kept.contains(content.disk.as_str()))
        };
        let partitions = contents().filter(|content| content.is_partition());
        let disks = contents().filter(|content| content.device == content.disk);
        let wiped: Vec<_> = partitions
            .chain(disks)
            .filter(|content| !stays(content))
            .map(|content| content.device.clone())
            .collect();
        let mut levels = self.levels();
        levels.splice(0..0, self.namesakes());
        if levels.is_empty() && wiped.is_empty() {
            return None;
        }
        let stay = self.nodes.iter().filter(|node| self.stays(**node)).filter_map(|node| node.holder());
        // A kept one that is asleep now, or has another name, is brought up under the layout's before this.
        let kept = self.scheme.mds.iter().filter(|md| self.kept.contains(&md.name));
        let stay: BTreeSet<_> = stay.chain(kept.map(|md| Holder::Array(md.name.clone()))).collect();
        let disks = self.scheme.parteds.iter().map(|parted| parted.name.clone()).collect();
        Some(TearDown { disks, levels, wiped, stay: stay.into_iter().collect() })
    }

    /// The groups of other disks that are up and are called as one that is made: LVM makes none whose name's folder is
    /// there. They come first, as one that is in use cannot be ended, and then nothing was written yet.
    fn namesakes(&self) -> Option<Level> {
        let made = |name: &str| self.scheme.vgs.iter().any(|vg| !vg.keep_data && vg.name == name);
        let groups = self.machine.stack.groups.iter().filter(|group| {
            made(&group.name) && Node::Group(group).is_up() && !self.is_touched(Node::Group(group))
        });
        let groups: Vec<_> = groups.map(|group| group.uuid.clone()).collect();
        (!groups.is_empty()).then(|| Level { groups, ..Level::default() })
    }

    /// What is ended, level by level: first that on which nothing lies, then that which carried it.
    fn levels(&self) -> Vec<Level> {
        let carries = |device: &str| self.goes().iter().any(|node| node.below().contains(&device));
        let mut left: Vec<_> = self.goes().into_iter().filter(|node| node.is_up()).collect();
        let mut levels = Vec::new();
        while !left.is_empty() {
            let top = |i: usize, node: Node<'a>| {
                left.iter().enumerate().all(|(j, other)| i == j || !other.lies_on(node))
            };
            let (mut now, mut later) = (Vec::new(), Vec::new());
            for (i, node) in left.iter().enumerate() {
                if top(i, *node) { now.push(*node) } else { later.push(*node) }
            }
            if now.is_empty() {
                // A circle is nothing that a kernel can have; then all at once is as good as any order.
                now.append(&mut later);
            }
            levels.push(self.level(&now, carries));
            left = later;
        }
        levels
    }

    /// The level of `nodes`; `carries` says of a device whether something of the stack lies on it.
    fn level(&self, nodes: &[Node], carries: impl Fn(&str) -> bool) -> Level {
        let mut level = Level::default();
        for node in nodes {
            match node {
                Node::Array(array) => {
                    let Some(device) = &array.device else { continue };
                    level.arrays.push(device.clone());
                    if array.active && !array.is_container() {
                        let partitions = self.machine.contents.iter();
                        let partitions = partitions
                            .filter(|content| &content.disk == device && content.is_partition())
                            .map(|content| content.device.clone());
                        level.wiped.extend(partitions.chain([device.clone()]));
                    }
                }
                Node::Group(group) => {
                    level.groups.push(group.uuid.clone());
                    let below = group.lvs.iter().filter(|lv| lv.active && carries(&lv.device));
                    level.wiped.extend(below.map(|lv| lv.device.clone()));
                }
            }
        }
        level
    }
}
