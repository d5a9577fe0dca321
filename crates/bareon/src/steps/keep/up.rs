//! Arrays and groups of the layout are assembled and activated, and what is kept on them is looked at.
//!
//! A ramdisk need not have brought them up, or under another name. They are found by what they lie on and taken by
//! their UUIDs, so that one of the same name on another disk is left alone. An array may lack members. Where all is up
//! already, no process is started.

use std::fmt;

use bareon_host::{
    Cmd, CommandError, Runner, blkid,
    fsck::{self, Verdict},
    lvm, mdadm,
    mkfs::FsType,
};

use super::{
    Difference, group,
    volumes::{self, find_array, find_group},
};
use crate::{
    hardware::{
        machine::{MachineError, look_at_stack},
        stack::{Array, Group, Stack},
        usage::Kernel,
    },
    objects::{
        PartitionScheme,
        partition::{Kept, LogicalVolume, MultipleDevice, Partition},
    },
    steps::place::{Elsewhere, Ground, Place},
};

/// Arrays and groups that are brought up.
#[derive(Debug, Clone)]
pub struct BringUp {
    scheme: PartitionScheme,
    /// What is needed of the scheme.
    kept: Kept,
    /// Whether that is kept data, which are looked at.
    looks: bool,
    /// The arrays and volumes, with what they must lie on.
    grounds: Vec<Ground>,
    /// What will be run, as far as it is known; nothing of what an earlier stage of the same run may change.
    commands: Vec<Cmd>,
}

/// Something that is kept or used and cannot be.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The arrays and groups of this machine cannot be told.
    #[error("looking for the arrays and groups of the layout")]
    Machine(#[from] MachineError),
    /// An array or a volume is not there, or another.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
    /// What is kept is not as the layout has it.
    #[error("what is to be kept is not as the layout has it; nothing was written: {}", Listed(.0))]
    Differs(Vec<Difference>),
    /// A kept file system is damaged.
    #[error(
        "the file system on {device}, which is to be kept, is damaged ({complaint}); nothing was written; `{check}` \
         shows all, `fsck {device}` mends it; save its data before that"
    )]
    Damaged {
        /// Its device.
        device: String,
        /// What the check says.
        complaint: String,
        /// The check.
        check: String,
    },
}

struct Listed<'a>(&'a [Difference]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, difference) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", difference.problem(), difference.remedy())?;
        }
        Ok(())
    }
}

impl BringUp {
    /// What a layout keeps, with partitions at the places that `place` gives.
    pub fn of_kept(
        scheme: &PartitionScheme,
        kept: &Kept,
        stack: &Stack,
        place: &dyn Fn(&Partition) -> Place,
    ) -> Self {
        let up = Self::new(scheme, kept.clone(), true, place);
        let arrays = up.down(stack).into_iter().flat_map(|(md, array)| raise_array(md, array, stack));
        let groups = up.inactive(stack).into_iter().map(activate);
        let checks = up.file_systems().flat_map(|(device, fs)| {
            [Some(blkid::probe(device)), fsck::check(fs, device)].into_iter().flatten()
        });
        let commands = arrays.chain(groups).chain(checks).collect();
        Self { commands, ..up }
    }

    /// What `devices` of a layout lie on; nothing where all of them are partitions.
    pub fn of_devices(
        scheme: &PartitionScheme,
        devices: &[&str],
        place: &dyn Fn(&Partition) -> Place,
    ) -> Option<Self> {
        let up = Self::new(scheme, Kept::carrying(scheme, devices), false, place);
        (!up.grounds.is_empty()).then_some(up)
    }

    fn new(scheme: &PartitionScheme, kept: Kept, looks: bool, place: &dyn Fn(&Partition) -> Place) -> Self {
        let volumes = scheme.lvs.iter().map(LogicalVolume::device);
        let devices = scheme.mds.iter().map(|md| md.name.clone()).chain(volumes);
        let grounds: Vec<_> = devices
            .filter(|device| kept.device(device))
            .filter_map(|device| Ground::of(&device, scheme, place))
            .collect();
        Self { scheme: scheme.clone(), kept, looks, grounds, commands: Vec::new() }
    }

    /// For people.
    pub fn what(&self) -> String {
        let names: Vec<_> = self.grounds.iter().map(|ground| ground.device.as_str()).collect();
        let up = match names.as_slice() {
            [] => None,
            names => Some(format!("bring up {}", names.join(", "))),
        };
        let looked: Vec<_> = self.file_systems().map(|(device, _)| device).collect();
        let look = match looked.as_slice() {
            [] if self.looks => Some("look at what is kept".to_owned()),
            [] => None,
            devices => Some(format!("check the kept file systems on {}", devices.join(", "))),
        };
        [up, look].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// What is run, as far as it is known before.
    pub fn commands(&self) -> Vec<Cmd> {
        self.commands.clone()
    }

    /// Brings them up, and looks at what is kept.
    ///
    /// # Errors
    /// When an array or group cannot be brought up, is another than the layout's, or a kept file system is damaged.
    pub fn run(&self, host: &dyn Runner, kernel: &Kernel) -> Result<(), KeepError> {
        if self.missing(kernel)? {
            let stack = self.raise(host, kernel)?;
            let mut differences = volumes::volumes(&self.scheme, &self.kept, &stack);
            differences.extend(group::lack_room(&self.scheme, &self.kept, &stack));
            if self.looks && !differences.is_empty() {
                return Err(KeepError::Differs(differences));
            }
        }
        for ground in &self.grounds {
            ground.check(kernel)?;
        }
        self.file_systems().try_for_each(|(device, fs)| self.look(host, device, fs))
    }

    /// Whether anything is not up. What is up and another than the layout's is never brought down here.
    fn missing(&self, kernel: &Kernel) -> Result<bool, Elsewhere> {
        let mut missing = false;
        for ground in &self.grounds {
            match ground.check(kernel) {
                Err(Elsewhere::Missing { .. }) => missing = true,
                other => other?,
            }
        }
        Ok(missing)
    }

    /// Brings up what can be, level by level, and says what there is then.
    fn raise(&self, host: &dyn Runner, kernel: &Kernel) -> Result<Stack, KeepError> {
        let (arrays, groups) = (!self.scheme.mds.is_empty(), !self.scheme.vgs.is_empty());
        let look = || look_at_stack(host, kernel, arrays, groups);
        let mut stack = look()?;
        for _ in 0..=self.scheme.mds.len() + self.scheme.vgs.len() {
            let mut commands: Vec<_> = self
                .down(&stack)
                .into_iter()
                .flat_map(|(md, array)| raise_array(md, array, &stack))
                .collect();
            // A group on an array that was just assembled shows after that.
            if commands.is_empty() {
                commands = self.inactive(&stack).into_iter().map(activate).collect();
            }
            if commands.is_empty() {
                break;
            }
            for command in commands {
                host.run(&command)?;
            }
            stack = look()?;
        }
        Ok(stack)
    }

    /// The arrays that are needed and do not run under the layout's name.
    fn down<'a>(&'a self, stack: &'a Stack) -> Vec<(&'a MultipleDevice, &'a Array)> {
        let needed = self.scheme.mds.iter().filter(|md| self.kept.device(&md.name));
        let found = needed.filter_map(|md| Some((md, find_array(md, stack)?)));
        found.filter(|(md, array)| !array.active || array.device.as_ref() != Some(&md.name)).collect()
    }

    /// The groups of which a needed volume cannot be used.
    fn inactive<'a>(&'a self, stack: &'a Stack) -> Vec<&'a Group> {
        let needed = |group: &str, volume: &str| {
            let of_group = |lv: &&LogicalVolume| lv.vgname == group && lv.name == volume;
            self.scheme.lvs.iter().find(of_group).is_some_and(|lv| self.kept.device(&lv.device()))
        };
        let groups = self.scheme.vgs.iter().filter(|vg| self.kept.group(&vg.name));
        groups
            .filter_map(|vg| find_group(vg, &self.scheme, stack))
            .filter(|group| group.lvs.iter().any(|lv| !lv.active && needed(&group.name, &lv.name)))
            .collect()
    }

    /// The file systems that are looked at.
    fn file_systems(&self) -> impl Iterator<Item = (&str, FsType)> {
        let kept = self.scheme.fss.iter().filter(|fs| self.looks && self.kept.data(&fs.device));
        kept.filter_map(|fs| Some((fs.device.as_str(), fs.fs_type.parse().ok()?)))
    }

    fn look(&self, host: &dyn Runner, device: &str, fs: FsType) -> Result<(), KeepError> {
        let found = blkid::probed(&host.run(&blkid::probe(device))?).fs_type;
        if found.as_deref() != Some(fs.to_string().as_str()) {
            let index = self.scheme.fss.iter().position(|fs| fs.device == device).unwrap_or_default();
            return Err(KeepError::Differs(vec![Difference {
                path: format!("/partition_scheme/fss/{index}/fs_type"),
                name: device.into(),
                layout: format!("a file system of type {fs}"),
                found: found.unwrap_or_else(|| "none that is known".into()),
                remedy: None,
            }]));
        }
        let Some(check) = fsck::check(fs, device) else { return Ok(()) };
        match fsck::verdict(fs, &host.run(&check)?) {
            Verdict::Sound => {}
            Verdict::NotUnmounted => tracing::warn!(
                "{device} was not unmounted; it is kept, and its journal is replayed when it is mounted next"
            ),
            Verdict::Damaged(complaint) => {
                let (device, check) = (device.into(), check.to_string());
                return Err(KeepError::Damaged { device, complaint, check });
            }
        }
        Ok(())
    }
}

/// Starts an array under the layout's name; one that has another, or waits for members, is stopped for that.
fn raise_array(md: &MultipleDevice, array: &Array, stack: &Stack) -> Vec<Cmd> {
    let Some(uuid) = &array.uuid else { return Vec::new() };
    let mut commands = Vec::new();
    if let Some(device) = &array.device {
        let on_it =
            |group: &&Group| group.devices().any(|pv| pv == device) && group.lvs.iter().any(|lv| lv.active);
        let groups: Vec<_> = stack.groups.iter().filter(on_it).map(|group| group.uuid.clone()).collect();
        if !groups.is_empty() {
            commands.push(lvm::deactivate(&groups));
        }
        commands.push(mdadm::stop(std::slice::from_ref(device)));
    }
    commands.push(mdadm::assemble(&md.name, uuid, &array.members));
    commands
}

fn activate(group: &Group) -> Cmd {
    let pvs: Vec<_> = group.devices().map(ToOwned::to_owned).collect();
    lvm::activate(&group.uuid, &pvs)
}
