//! What lies on the disks is taken down, from the top: volume groups, arrays, signatures.
//!
//! Whatever is stacked on what, nothing may hold a disk when its table is written, and nothing of the old may come up
//! again on the new: not when the new partitions lie where the old ones lay, and not at the next boot. So volumes are
//! deactivated, arrays stopped with what lies on them wiped first (a new array at the same place would bring it back),
//! and in the end all signatures are removed from the old partitions and the disks, at either end (`wipefs`: tables
//! and their backups, md, LVM, firmware RAID, bcache, zfs, ceph, file systems). Inactive and unassembled ones are not
//! started for that: without their signatures they are gone.
//!
//! What udev or a monitor has open for a moment is tried again. When a disk is still held afterwards, the step fails
//! and says by whom.

use std::{io, path::Path, thread, time::Duration};

use bareon_host::{
    Cmd, CommandError, Runner,
    lock::{self, LockError},
    lvm, mdadm, wipefs,
};

use crate::hardware::usage::{Holder, Kernel, Usage, Use};

/// The waits between attempts to end what somebody may be looking at.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
    Duration::from_millis(3200),
];

/// How many devices one command is given.
const AT_ONCE: usize = 500;

/// What lies on some disks, to be taken down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TearDown {
    /// The disks.
    pub disks: Vec<String>,
    /// The stack on them, the uppermost level first.
    pub levels: Vec<Level>,
    /// What is wiped in the end: the old partitions, then the disks.
    pub wiped: Vec<String>,
    /// Arrays and groups that stay, since their content is kept.
    pub stay: Vec<Holder>,
}

/// Groups and arrays on which nothing lies any more when their turn comes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Level {
    /// Devices on top of the level below that go with what lies on them: arrays, volumes that carry arrays or groups.
    pub wiped: Vec<String>,
    /// The UUIDs of the groups that are deactivated.
    pub groups: Vec<String>,
    /// The arrays that are stopped.
    pub arrays: Vec<String>,
}

/// What could not be taken down.
#[derive(Debug, thiserror::Error)]
pub enum TearDownError {
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A disk could not be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The kernel's views cannot be read.
    #[error("reading what is mounted on this machine; is /proc there?")]
    Mounts(#[source] io::Error),
    /// A disk is still held.
    #[error(
        "{device} is still in use, {by}; it came up after the plan was made, or cannot be ended: {remedy}; then run it again"
    )]
    Held {
        /// The disk, or a partition of it.
        device: String,
        /// By what.
        by: String,
        /// What ends that.
        remedy: String,
    },
}

impl Level {
    /// The commands that end it.
    fn commands(&self) -> Vec<Cmd> {
        let mut commands = wipe(&self.wiped);
        commands.extend((!self.groups.is_empty()).then(|| lvm::deactivate(&self.groups)));
        commands.extend((!self.arrays.is_empty()).then(|| mdadm::stop(&self.arrays)));
        commands
    }

    /// Ends it. What is wiped may be read-only or broken, and is about to lose what it consists of: that it could not
    /// be wiped is told, no more.
    fn end(&self, host: &dyn Runner, pauses: &[Duration]) -> Result<(), CommandError> {
        for command in wipe(&self.wiped) {
            match host.run(&command) {
                Err(error @ (CommandError::Failed { .. } | CommandError::TimedOut { .. })) => {
                    tracing::warn!("what lies on {} may show up again: {error}", self.wiped.join(", "));
                }
                other => drop(other?),
            }
        }
        if !self.groups.is_empty() {
            patiently(pauses, || host.run(&lvm::deactivate(&self.groups)).map(drop))?;
        }
        let mut running = self.arrays.clone();
        patiently(pauses, || {
            if running.is_empty() {
                return Ok(());
            }
            let stopped = host.run(&mdadm::stop(&running)).map(drop);
            // Of several arrays some may be stopped, which are not there to be stopped again.
            running.retain(|array| Path::new(array).exists());
            stopped
        })
    }
}

impl TearDown {
    /// What is run, in this order.
    pub fn commands(&self) -> Vec<Cmd> {
        self.levels.iter().flat_map(Level::commands).chain(wipe(&self.wiped)).collect()
    }

    /// For people: the disks, and what is ended on them.
    pub fn what(&self) -> String {
        let counted = |count: usize, one: &str, more: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {more}")),
        };
        let groups = self.levels.iter().map(|level| level.groups.len()).sum();
        let arrays = self.levels.iter().map(|level| level.arrays.len()).sum();
        let parts = [
            counted(groups, "volume group", "volume groups"),
            counted(arrays, "array", "arrays"),
            counted(self.wiped.len(), "device with signatures", "devices with signatures"),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        format!("take down what lies on {}: {}", self.disks.join(", "), parts.join(", "))
    }

    /// Takes it down.
    ///
    /// # Errors
    /// When a command fails for good, a disk cannot be locked, or is still held afterwards.
    pub fn run(&self, host: &dyn Runner, kernel: &Kernel) -> Result<(), TearDownError> {
        self.run_patiently(host, kernel, &PAUSES)
    }

    fn run_patiently(
        &self,
        host: &dyn Runner,
        kernel: &Kernel,
        pauses: &[Duration],
    ) -> Result<(), TearDownError> {
        for level in &self.levels {
            if let Err(error) = level.end(host, pauses) {
                // A mount says more than what the tool makes of it.
                self.free(kernel, |used, _| used.holder.is_none())?;
                return Err(error.into());
            }
        }
        self.free(kernel, |used, all| !self.stays(used, all))?;
        let locks: Result<Vec<_>, _> =
            self.disks.iter().map(|disk| lock::exclusive(Path::new(disk))).collect();
        let _locks = locks?;
        for command in wipe(&self.wiped) {
            host.run(&command)?;
        }
        Ok(())
    }

    /// Whether a use of a device, among `all` of its disk, may go on: it is by an array or a group that is kept, or by
    /// something that lies on one. The plan knows nothing of a group on an array that was asleep when it was made.
    fn stays(&self, used: &Use, all: &[Use]) -> bool {
        let kept = |used: &Use| used.holder.as_ref().is_some_and(|holder| self.stay.contains(holder));
        used.holder.is_some() && all.iter().any(|other| other.device == used.device && kept(other))
    }

    /// Looks whether nobody uses the disks: of the uses of a disk, those that `matter`.
    fn free(&self, kernel: &Kernel, matter: impl Fn(&Use, &[Use]) -> bool) -> Result<(), TearDownError> {
        let usage = Usage::read(kernel).map_err(TearDownError::Mounts)?;
        for disk in &self.disks {
            let all = usage.of(disk);
            if let Some(used) = all.iter().find(|used| matter(used, &all)).cloned() {
                return Err(TearDownError::Held { device: used.device, by: used.by, remedy: used.remedy });
            }
        }
        Ok(())
    }
}

fn wipe(devices: &[String]) -> Vec<Cmd> {
    devices.chunks(AT_ONCE).map(wipefs::all).collect()
}

/// Tries it again after each of `pauses` while it fails.
fn patiently(
    pauses: &[Duration],
    mut attempt: impl FnMut() -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let mut pauses = pauses.iter();
    while let Err(error) = attempt() {
        match (&error, pauses.next()) {
            (CommandError::Failed { .. }, Some(pause)) => thread::sleep(*pause),
            _ => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bareon_host::Script;

    use super::*;

    /// A kernel that knows the disk `bareon0`, mounted if `mounted`.
    fn kernel(root: &Path, mounted: bool) -> Kernel {
        let line = if mounted { "30 22 253:0 / /srv rw shared:1 - ext4 /dev/bareon0 rw\n" } else { "" };
        for (file, text) in [("proc/self/mountinfo", line), ("sys/class/block/bareon0/dev", "253:0\n")] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), text).unwrap();
        }
        Kernel { proc: root.join("proc"), sys: root.join("sys") }
    }

    fn step(arrays: &[String]) -> TearDown {
        let level = Level { wiped: arrays.to_vec(), groups: vec!["u".into()], arrays: arrays.to_vec() };
        TearDown {
            disks: Vec::new(),
            levels: vec![level],
            wiped: vec!["/dev/bareon0".into()],
            stay: Vec::new(),
        }
    }

    #[test]
    fn what_is_shown_is_what_runs() {
        let root = tempfile::tempdir().unwrap();
        let step = step(&["/dev/md0".into()]);
        let host = step.commands().iter().fold(Script::default(), |host, cmd| host.ok(&cmd.to_string(), ""));
        step.run(&host, &kernel(root.path(), false)).unwrap();
    }

    #[test]
    fn what_is_busy_is_tried_again_without_what_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let there = root.path().join("md1").to_string_lossy().into_owned();
        fs::write(&there, "").unwrap();
        let step = step(&["/nonexistent/md0".into(), there.clone()]);
        let lines: Vec<_> = step.commands().iter().map(ToString::to_string).collect();
        let host = Script::default()
            // An array that cannot be wiped is stopped all the same.
            .fails(&lines[0], 1, "wipefs: error: read-only")
            .fails(&lines[1], 5, "Logical volume in use")
            .ok(&lines[1], "")
            .fails(&lines[2], 1, "mdadm: Cannot get exclusive access")
            .ok(&format!("mdadm --stop {there}"), "")
            .ok(&lines[3], "");
        step.run_patiently(&host, &kernel(root.path(), false), &[Duration::ZERO]).unwrap();
    }

    #[test]
    fn a_disk_that_is_mounted_meanwhile_is_told_and_not_wiped() {
        let root = tempfile::tempdir().unwrap();
        let step = TearDown { disks: vec!["/dev/bareon0".into()], ..step(&[]) };
        let lines: Vec<_> = step.commands().iter().map(ToString::to_string).collect();
        for host in [Script::default().fails(&lines[0], 5, "in use"), Script::default().ok(&lines[0], "")] {
            let error = step.run_patiently(&host, &kernel(root.path(), true), &[]).unwrap_err().to_string();
            assert!(
                error.contains("/dev/bareon0 is still in use, mounted on /srv")
                    && error.contains("umount /srv")
            );
        }
    }

    #[test]
    fn a_group_on_a_kept_array_that_was_asleep_may_be_up() {
        let root = tempfile::tempdir().unwrap();
        let kernel = kernel(root.path(), false);
        let block = root.path().join("sys/class/block");
        for (file, text) in [
            ("bareon0/holders/md7/dev", "9:7"),
            ("md7/dev", "9:7"),
            ("md7/md/level", "raid1"),
            ("md7/holders/dm-0/dev", "252:0"),
            ("dm-0/dev", "252:0"),
            ("dm-0/dm/name", "os-root"),
            ("dm-0/dm/uuid", "LVM-0123456789abcdef0123456789abcdefrest"),
        ] {
            fs::create_dir_all(block.join(file).parent().unwrap()).unwrap();
            fs::write(block.join(file), text).unwrap();
        }
        let step = TearDown { disks: vec!["/dev/bareon0".into()], ..TearDown::default() };
        let error = step.run_patiently(&Script::default(), &kernel, &[]).unwrap_err().to_string();
        assert!(error.contains("/dev/bareon0 is still in use, held by"), "{error}");
        let step = TearDown { stay: vec![Holder::Array("/dev/md7".into())], ..step };
        step.free(&kernel, |used, all| !step.stays(used, all)).unwrap();
        // A mount of it is somebody's.
        let mounted = "30 22 252:0 / /srv rw shared:1 - ext4 /dev/mapper/os-root rw\n";
        fs::write(root.path().join("proc/self/mountinfo"), mounted).unwrap();
        let error = step.free(&kernel, |used, all| !step.stays(used, all)).unwrap_err().to_string();
        assert!(error.contains("mounted on /srv"), "{error}");
    }
}
