//! Volumes of a kept group that are made anew.
//!
//! The group stays because some of its volumes do. Those that the layout names and does not keep are removed and made
//! again; those that it does not name stay: nothing is lost that was not named.

use bareon_host::{Cmd, CommandError, Runner, lvm};

use crate::steps::volumes::Volume;

/// A kept group of which some volumes are made anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeGroup {
    /// Its name.
    pub name: String,
    /// The devices that it consists of.
    pub members: Vec<String>,
    /// The names of the volumes that are removed.
    pub gone: Vec<String>,
    /// The volumes that are made.
    pub volumes: Vec<Volume>,
}

impl ChangeGroup {
    /// What is run, in this order.
    pub fn commands(&self) -> Vec<Cmd> {
        let gone = self.gone.iter().map(|name| lvm::lvremove(name, &self.name, &self.members));
        let made = self
            .volumes
            .iter()
            .map(|volume| lvm::lvcreate(&volume.name, volume.extents, &self.name, &self.members));
        gone.chain(made).collect()
    }

    /// Removes and makes them.
    ///
    /// # Errors
    /// When a command fails.
    pub fn run(&self, host: &dyn Runner) -> Result<(), CommandError> {
        self.commands().iter().try_for_each(|command| host.run(command).map(drop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_makes_room_first() {
        let volume = Volume { name: "root".into(), device: "/dev/mapper/os-root".into(), extents: 9 };
        let change = ChangeGroup {
            name: "os".into(),
            members: vec!["/dev/a1".into()],
            gone: vec!["root".into(), "tmp".into()],
            volumes: vec![volume],
        };
        let lines: Vec<_> = change.commands().iter().map(ToString::to_string).collect();
        let ends: Vec<_> = lines.iter().map(|line| line.rsplit(' ').next().unwrap_or_default()).collect();
        assert_eq!(ends, ["os/root", "os/tmp", "os"]);
        assert!(lines.iter().all(|line| line.contains(" --devices /dev/a1 ")), "{lines:?}");
    }
}
