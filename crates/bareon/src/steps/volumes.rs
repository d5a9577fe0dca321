//! Arrays, and volume groups with their volumes: what is built on partitions.
//!
//! Each step makes arrays or one group, from devices that were made before it: partitions, or other arrays and
//! volumes. Sizes were fitted when the plan was made, so that no `lvcreate` can fail for want of room after others
//! have succeeded.
//!
//! An array shows what its members held before at the same place, an old physical volume for example; all signatures on
//! it are removed before anybody looks. Mirrors are not synchronised first: no sector of them is read before it was
//! written. With parity that would not be safe, so the kernel computes it in the background.

use std::path::Path;

use bareon_host::{
    Cmd, CommandError, Runner,
    lvm::{self, PvCreate},
    mdadm::{self, Create},
    wipefs,
};

/// The size of an extent, in MiB: LVM's own choice.
pub const EXTENT_MIB: u64 = 4;

/// Arrays that are made, none of which is built on another of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeArrays {
    /// The arrays.
    pub arrays: Vec<Create>,
}

/// A volume group that is made, with its volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeGroup {
    /// Its name.
    pub name: String,
    /// The devices that it consists of.
    pub members: Vec<String>,
    /// How physical volumes are made on them; one entry for all that are alike.
    pub pvs: Vec<PvCreate>,
    /// Its volumes.
    pub volumes: Vec<Volume>,
}

/// A logical volume that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its node.
    pub device: String,
    /// How many extents of [`EXTENT_MIB`] it has.
    pub extents: u64,
}

/// An array or a group that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VolumesError {
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The command succeeded, and the node is not there.
    #[error(
        "{device} did not appear after it was made: look at `dmesg`, `cat /proc/mdstat` and `dmsetup ls`"
    )]
    NoNode {
        /// The node.
        device: String,
    },
}

impl MakeArrays {
    /// What is run, in this order.
    pub fn commands(&self) -> Vec<Cmd> {
        self.arrays.iter().map(mdadm::create).chain([self.wipe()]).collect()
    }

    /// The nodes of the arrays.
    pub fn devices(&self) -> Vec<String> {
        self.arrays.iter().map(|array| array.device.clone()).collect()
    }

    fn wipe(&self) -> Cmd {
        wipefs::all(&self.devices())
    }

    /// Makes the arrays.
    ///
    /// # Errors
    /// When a command fails, or an array does not appear.
    pub fn run(&self, host: &dyn Runner) -> Result<(), VolumesError> {
        for array in &self.arrays {
            host.run(&mdadm::create(array))?;
            there(&array.device)?;
        }
        host.run(&self.wipe())?;
        Ok(())
    }
}

impl MakeGroup {
    /// What is run, in this order.
    pub fn commands(&self) -> Vec<Cmd> {
        let pvs = self.pvs.iter().map(lvm::pvcreate);
        let group = lvm::vgcreate(&self.name, EXTENT_MIB, &self.members);
        let volume = |volume: &Volume| lvm::lvcreate(&volume.name, volume.extents, &self.name, &self.members);
        pvs.chain([group]).chain(self.volumes.iter().map(volume)).collect()
    }

    /// Makes the group and its volumes.
    ///
    /// # Errors
    /// When a command fails, or a volume does not appear.
    pub fn run(&self, host: &dyn Runner) -> Result<(), VolumesError> {
        for command in self.commands() {
            host.run(&command)?;
        }
        self.volumes.iter().try_for_each(|volume| there(&volume.device))
    }
}

fn there(device: &str) -> Result<(), VolumesError> {
    if Path::new(device).exists() { Ok(()) } else { Err(VolumesError::NoNode { device: device.into() }) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bareon_host::Script;

    use super::*;

    fn answering(commands: &[Cmd]) -> Script {
        commands.iter().fold(Script::default(), |host, command| host.ok(&command.to_string(), ""))
    }

    #[test]
    fn an_array_loses_what_shows_through_before_anybody_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        let device = dir.path().join("md0").to_string_lossy().into_owned();
        let array = Create {
            device: device.clone(),
            level: "raid1".into(),
            metadata: None,
            members: vec!["/dev/a1".into(), "/dev/b1".into()],
            spares: Vec::new(),
            bitmap: Some(true),
            assume_clean: true,
        };
        let step = MakeArrays { arrays: vec![array] };
        let missing = step.run(&answering(&step.commands()[..1])).unwrap_err().to_string();
        assert!(missing.starts_with(&format!("{device} did not appear")), "{missing}");
        fs::write(&device, "").unwrap();
        step.run(&answering(&step.commands())).unwrap();
        assert_eq!(step.commands()[1].to_string(), format!("wipefs --all --force --quiet {device}"));
    }

    #[test]
    fn a_group_is_made_from_the_bottom() {
        let group = MakeGroup {
            name: "os".into(),
            members: vec!["/dev/a1".into()],
            pvs: vec![PvCreate { devices: vec!["/dev/a1".into()], metadata_mib: 28, copies: 2 }],
            volumes: vec![Volume { name: "root".into(), device: "/dev/null".into(), extents: 9 }],
        };
        let verbs: Vec<_> = group.commands().iter().map(|cmd| cmd.to_string()[4..12].to_owned()).collect();
        assert_eq!(verbs, ["pvcreate", "vgcreate", "lvcreate"]);
        group.run(&answering(&group.commands())).unwrap();
    }
}
