//! Volumes of a kept group that are made anew.
//!
//! The group stays because some of its volumes do. Those that the layout names and does not keep are removed and made
//! again; those that it does not name stay: nothing is lost that was not named. They get the room that the removed ones
//! and the free extents give, in extents of the group's own size. Of a group that cannot be seen while the plan is made,
//! as its array does not run, the layout's own figures are shown; what there is, is looked at when it is up.

use bareon_host::{Cmd, Runner, lvm};

use super::{Difference, KeepError, find_group};
use crate::{
    hardware::{
        machine::look_at_stack,
        stack::{Group, Stack},
        usage::Kernel,
    },
    objects::{
        Mib, PartitionScheme,
        partition::{Kept, LogicalVolume, VolumeGroup},
    },
    steps::volumes::{EXTENT_MIB, Volume},
};

/// A kept group of which some volumes are made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeGroup {
    /// Its name.
    pub name: String,
    /// Its physical volumes.
    pub members: Vec<String>,
    /// The volumes that are removed first.
    pub gone: Vec<String>,
    /// The volumes that are made.
    pub volumes: Vec<Volume>,
    /// What was kept of which layout, where the group could not be seen when the plan was made.
    unseen: Option<Box<(PartitionScheme, Kept)>>,
}

/// How many extents the volumes need that are made anew, and how many there is room for; nothing where that is not
/// known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many they need.
    pub needs: u64,
    /// How many there are.
    pub has: Option<u64>,
}

impl ChangeGroup {
    /// What changes in the group `vg`, as far as `stack` shows it, and its room.
    pub fn of(scheme: &PartitionScheme, vg: &VolumeGroup, kept: &Kept, stack: &Stack) -> (Self, Room) {
        let found = find_group(vg, scheme, stack);
        let extent = found.map_or(Mib(EXTENT_MIB).bytes().0, |group| group.extent.0).max(1);
        let anew: Vec<_> =
            scheme.lvs.iter().filter(|lv| lv.vgname == vg.name && !kept.device(&lv.device())).collect();
        let old = |group: &Group| {
            let named = |name: &str| anew.iter().any(|lv| lv.name == name);
            group.lvs.iter().filter(|lv| named(&lv.name)).cloned().collect::<Vec<_>>()
        };
        let old = found.map(old).unwrap_or_default();
        let freed: u64 = old.iter().map(|lv| lv.size.0 / extent).sum();
        let volume = |lv: &&LogicalVolume| Volume {
            name: lv.name.clone(),
            device: lv.device(),
            extents: lv.size.bytes().0.div_ceil(extent).max(1),
        };
        let volumes: Vec<_> = anew.iter().map(volume).collect();
        let room = Room {
            needs: volumes.iter().map(|volume| volume.extents).sum(),
            has: found.map(|group| group.free.saturating_add(freed)),
        };
        let change = Self {
            name: vg.name.clone(),
            members: vg.pvnames.clone(),
            gone: old.into_iter().map(|lv| lv.name).collect(),
            volumes,
            unseen: found.is_none().then(|| Box::new((scheme.clone(), kept.clone()))),
        };
        (change, room)
    }

    /// What is run, in this order.
    pub fn commands(&self) -> Vec<Cmd> {
        let gone = self.gone.iter().map(|name| lvm::lvremove(name, &self.name, &self.members));
        let made = self
            .volumes
            .iter()
            .map(|volume| lvm::lvcreate(&volume.name, volume.extents, &self.name, &self.members));
        gone.chain(made).collect()
    }

    /// Removes the volumes and makes them again.
    ///
    /// # Errors
    /// When a command fails; the first ends the run.
    pub fn run(&self, host: &dyn Runner, kernel: &Kernel) -> Result<(), KeepError> {
        let seen = self.unseen.as_deref().map(|(scheme, kept)| self.seen(scheme, kept, host, kernel));
        let commands = seen.transpose()?.flatten().as_ref().unwrap_or(self).commands();
        commands.iter().try_for_each(|command| Ok(host.run(command).map(drop)?))
    }

    /// The same, as it shows now that the group is up.
    fn seen(
        &self,
        scheme: &PartitionScheme,
        kept: &Kept,
        host: &dyn Runner,
        kernel: &Kernel,
    ) -> Result<Option<Self>, KeepError> {
        let stack = look_at_stack(host, kernel, !scheme.mds.is_empty(), true)?;
        let vg = scheme.vgs.iter().find(|vg| vg.name == self.name);
        Ok(vg.map(|vg| Self::of(scheme, vg, kept, &stack).0))
    }
}

/// The kept groups in which the volumes that are made anew find no room.
pub(super) fn lack_room(scheme: &PartitionScheme, kept: &Kept, stack: &Stack) -> Vec<Difference> {
    let groups = scheme.vgs.iter().enumerate().filter(|(_, vg)| kept.group(&vg.name));
    let difference = |(i, vg): (usize, &VolumeGroup)| {
        let (_, Room { needs, has }) = ChangeGroup::of(scheme, vg, kept, stack);
        let has = has.filter(|has| needs > *has)?;
        Some(Difference {
            path: format!("/partition_scheme/vgs/{i}"),
            name: format!("a part of the volume group {}", vg.name),
            layout: format!("{needs} extents for the volumes that are made anew"),
            found: format!("room for {has}, without what is kept in it and what the layout does not name"),
            remedy: Some("make them smaller".into()),
        })
    };
    groups.filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;
    use serde_json::json;

    use super::*;

    fn scheme() -> PartitionScheme {
        serde_json::from_value(json!({
            "vgs": [{"name": "os", "pvnames": ["/dev/a1"]}],
            "lvs": [
                {"name": "root", "vgname": "os", "size": 36},
                {"name": "tmp", "vgname": "os", "size": 5},
                {"name": "srv", "vgname": "os", "size": 20, "keep_data": true},
            ],
        }))
        .unwrap()
    }

    /// LVM's report of the group with these volumes of 16 MiB and 3 free extents.
    fn report(volumes: &[&str]) -> String {
        let volumes: Vec<_> = volumes
            .iter()
            .map(|name| json!({"lv_name": name, "lv_uuid": name, "lv_size": "16777216", "lv_active": "1", "lv_dm_path": "/dev/mapper/os"}))
            .collect();
        json!({"report": [{
            "vg": [{"vg_name": "os", "vg_uuid": "u", "vg_extent_size": "4194304", "vg_extent_count": "20", "vg_free_count": "3"}],
            "pv": [{"pv_name": "/dev/a1", "pv_uuid": "p", "pv_size": "83886080", "pv_missing": "0"}],
            "lv": volumes,
        }]})
        .to_string()
    }

    /// What that report is read as.
    fn stack(volumes: &[&str]) -> Stack {
        let host = Script::default().ok(&lvm::fullreport().to_string(), &report(volumes));
        look_at_stack(&host, &Kernel::default(), false, true).unwrap()
    }

    fn ends(change: &ChangeGroup) -> Vec<String> {
        let lines = change.commands().into_iter().map(|command| command.to_string());
        lines.map(|line| line.rsplit(' ').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn what_goes_makes_room_first() {
        let scheme = scheme();
        let kept = Kept::of(&scheme, false);
        let (change, room) = ChangeGroup::of(&scheme, &scheme.vgs[0], &kept, &stack(&["root", "srv", "tmp"]));
        assert_eq!(ends(&change), ["os/root", "os/tmp", "os", "os"]);
        assert_eq!(room, Room { needs: 11, has: Some(11) });
        assert!(change.commands().iter().all(|line| line.to_string().contains(" --devices /dev/a1 ")));
        assert_eq!(lack_room(&scheme, &kept, &stack(&["root", "srv", "tmp"])), []);
        let lack = lack_room(&scheme, &kept, &stack(&["srv", "other"]));
        assert!(lack[0].problem().contains("11 extents") && lack[0].problem().contains("room for 3"));
    }

    #[test]
    fn what_could_not_be_seen_is_looked_at_when_its_turn_comes() {
        let scheme = scheme();
        let kept = Kept::of(&scheme, false);
        let (change, room) = ChangeGroup::of(&scheme, &scheme.vgs[0], &kept, &Stack::default());
        assert_eq!((ends(&change).len(), room), (2, Room { needs: 11, has: None }));
        let (seen, _) = ChangeGroup::of(&scheme, &scheme.vgs[0], &kept, &stack(&["root", "srv"]));
        let host = Script::default().ok(&lvm::fullreport().to_string(), &report(&["root", "srv"]));
        let host = seen.commands().iter().fold(host, |host, cmd| host.ok(&cmd.to_string(), ""));
        change.run(&host, &Kernel::default()).unwrap();
    }
}
