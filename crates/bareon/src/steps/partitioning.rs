//! A disk's partition table and the file systems on it.
//!
//! One step does one disk: lock it against udev, make the kernel forget its partitions, write the
//! whole table, tell the kernel, make the file systems, unlock. Nothing is waited for but the locks:
//! the kernel has made the partitions' nodes (in devtmpfs) when `partx` returns, and udev, which
//! cannot look at a locked disk, gets to see it once, when it is finished. What udev then does with
//! it is settled for by [`settle`], once for all disks.
//!
//! Where partitions of the disk are kept, its table is changed instead: the others are deleted from it and new ones
//! appended, and the kernel is told of those alone. It knows the kept ones all the time, as they may be in use by then.

use std::{path::Path, thread, time::Duration};

use bareon_host::{
    Cmd, CommandError, Runner, Tool, kpartx,
    lock::{self, LockError},
    mkfs::{self, FsType},
    partx,
    sfdisk::{self, Table},
    udevadm,
};

use crate::{
    hardware::usage::Kernel,
    objects::partition::{is_mapped, partition_name},
};

/// The waits between attempts to make the kernel forget a disk's partitions. It refuses while anybody
/// has one of them open; those who only look, as blkid of a monitor does, are gone in a moment.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
    Duration::from_millis(1600),
];

/// A disk that gets a new table and file systems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayOutDisk {
    /// The table.
    pub table: Table,
    /// Whether the kernel knows partitions of the disk, which it is to forget.
    pub has_partitions: bool,
    /// Where the table is changed instead: the numbers of the partitions that go, in their order. Those that are
    /// neither here nor in `table` stay.
    pub change: Option<Vec<u32>>,
    /// What is made on the partitions.
    pub file_systems: Vec<MakeFs>,
}

/// A file system that is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeFs {
    /// The device that it lies on.
    pub device: String,
    /// Its type.
    pub fs: FsType,
    /// Its label; none when empty.
    pub label: String,
    /// Further arguments of mkfs.
    pub options: Vec<String>,
}

/// A disk that could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayOutError {
    /// It could not be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The kernel did not make the node of a partition.
    #[error(
        "{device} did not appear after the table was written: look at `dmesg` and `sfdisk --dump {disk}`, \
         and see that /dev is a devtmpfs"
    )]
    NoNode {
        /// The disk.
        disk: String,
        /// The partition's node.
        device: String,
    },
}

impl MakeFs {
    /// The command that makes it.
    pub fn command(&self) -> Cmd {
        let options: Vec<_> = self.options.iter().map(String::as_str).collect();
        mkfs::mkfs(self.fs, &self.device, &self.label, &options)
    }
}

impl LayOutDisk {
    /// What is run, in this order.
    pub fn commands(&self) -> Vec<Cmd> {
        let mut commands: Vec<_> = self.forget().into_iter().chain(self.table_commands()).collect();
        commands.extend(self.file_systems.iter().map(MakeFs::command));
        commands
    }

    fn forget(&self) -> Vec<Cmd> {
        let disk = &self.table.disk;
        match &self.change {
            None if self.has_partitions && is_mapped(disk) => vec![kpartx::delete(disk)],
            Some(_) if is_mapped(disk) => Vec::new(),
            None if self.has_partitions => vec![partx::delete(disk)],
            None => Vec::new(),
            Some(gone) => {
                runs(gone).into_iter().map(|(first, last)| partx::delete_range(disk, first, last)).collect()
            }
        }
    }

    fn table_commands(&self) -> Vec<Cmd> {
        let disk = &self.table.disk;
        let Some(gone) = &self.change else {
            let add = if is_mapped(disk) { kpartx::update(disk) } else { partx::add(disk) };
            return vec![sfdisk::write(&self.table), add];
        };
        let mut commands = Vec::new();
        if !gone.is_empty() {
            commands.push(sfdisk::delete(disk, gone));
        }
        if !self.table.partitions.is_empty() {
            commands.push(sfdisk::append(&self.table));
        }
        if is_mapped(disk) {
            commands.push(kpartx::update(disk));
            return commands;
        }
        let numbers: Vec<_> = self.table.partitions.iter().map(|partition| partition.number).collect();
        commands.extend(runs(&numbers).into_iter().map(|(first, last)| partx::add_range(disk, first, last)));
        commands
    }

    /// Writes the table and makes the file systems.
    ///
    /// # Errors
    /// When the disk has come into use; at the first command that fails, or a partition that does not appear.
    pub fn run(&self, host: &dyn Runner) -> Result<(), LayOutError> {
        self.run_patiently(host, &PAUSES)
    }

    fn run_patiently(&self, host: &dyn Runner, pauses: &[Duration]) -> Result<(), LayOutError> {
        let disk = &self.table.disk;
        let _lock = lock::exclusive(Path::new(disk))?;
        let patiently = |command: &Cmd| patiently(host, disk, command, pauses);
        let mapped = is_mapped(disk);
        if !mapped {
            self.free()?;
        }
        self.forget().iter().try_for_each(patiently)?;
        if mapped {
            // Partitions that are devices of their own have their disk for themselves, so it is looked at without them.
            self.free()?;
        }
        for command in self.table_commands() {
            // udev does not heed the lock of a mapped device, and may be making the same partitions.
            if command.tool() == Tool::Kpartx {
                patiently(&command)?;
            } else {
                host.run(&command)?;
            }
        }
        for partition in &self.table.partitions {
            let device = partition_name(disk, partition.number);
            if !Path::new(&device).exists() {
                return Err(LayOutError::NoNode { disk: disk.clone(), device });
            }
        }
        for fs in &self.file_systems {
            host.run(&fs.command())?;
        }
        Ok(())
    }

    /// Looks that nobody has come since the plan was made. Of a disk whose kept partitions may be in use, those that
    /// go are looked at one by one.
    fn free(&self) -> Result<(), LockError> {
        let disk = &self.table.disk;
        match &self.change {
            None => lock::free(Path::new(disk)),
            Some(gone) => {
                let gone = gone.iter().map(|number| partition_name(disk, *number));
                let made = self.file_systems.iter().map(|fs| fs.device.clone());
                let mut written = gone.chain(made.filter(|device| Path::new(device).exists()));
                written.try_for_each(|device| lock::free(Path::new(&device)))
            }
        }
    }
}

/// Has the kernel forget the partitions of `disk`, though somebody may be looking at one for a moment.
///
/// # Errors
/// When one stays in use.
pub(super) fn forget(host: &dyn Runner, disk: &str) -> Result<(), CommandError> {
    patiently(host, disk, &partx::delete(disk), &PAUSES)
}

/// Runs a command that fails while anybody looks at a partition of `disk`, and again after each of the pauses.
fn patiently(host: &dyn Runner, disk: &str, command: &Cmd, pauses: &[Duration]) -> Result<(), CommandError> {
    let mut pauses = pauses.iter();
    while let Err(error) = host.run(command) {
        // wipefs has the kernel read the table anew when it removes one, where nobody has the disk open.
        if command.tool() == Tool::Partx && is_forgotten(disk) {
            break;
        }
        let Some(pause) = pauses.next() else { return Err(error) };
        thread::sleep(*pause);
    }
    Ok(())
}

/// Whether the kernel knows the disk and no partition of it.
fn is_forgotten(disk: &str) -> bool {
    let kernel = Kernel::default();
    let name = kernel.name(disk);
    kernel.class(&name).exists() && kernel.partitions(&name).is_empty()
}

/// The numbers as runs without gaps: first and last of each.
fn runs(numbers: &[u32]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    runs
}

/// Waits until udev has seen what was done, so that its links and database tell of the new state.
pub fn settle() -> Cmd {
    udevadm::settle()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bareon_host::{
        Script,
        sfdisk::{Label, TablePartition},
    };

    use super::*;

    /// A step for a disk that is a file in `dir`, whose first partition's node is there if `node`.
    fn step(dir: &Path, node: bool) -> LayOutDisk {
        let disk = dir.join("disk").to_string_lossy().into_owned();
        fs::write(&disk, "").unwrap();
        if node {
            fs::write(format!("{disk}1"), "").unwrap();
        }
        let partition = TablePartition {
            number: 1,
            start: 2048,
            size: 2048,
            kind: "0FC63DAF-8483-4772-8E79-3D69D8477DE4".into(),
            name: "/".into(),
            attributes: Vec::new(),
            bootable: false,
        };
        let fs = MakeFs {
            device: format!("{disk}1"),
            fs: FsType::Ext4,
            label: "root".into(),
            options: vec!["-O".into(), "^64bit".into()],
        };
        let table = Table { disk, label: Label::Gpt { first_lba: 2048 }, partitions: vec![partition] };
        LayOutDisk { table, has_partitions: true, change: None, file_systems: vec![fs] }
    }

    /// A host that expects the commands that the step shows, and answers each with success.
    fn host(step: &LayOutDisk, commands: usize) -> Script {
        let lines: Vec<_> = step.commands().iter().map(ToString::to_string).collect();
        lines.iter().take(commands).fold(Script::default(), |host, line| host.ok(line, ""))
    }

    #[test]
    fn what_is_shown_is_what_runs() {
        let dir = tempfile::tempdir().unwrap();
        let step = step(dir.path(), true);
        let programs: Vec<_> = step.commands().iter().map(|cmd| cmd.tool().origin().program).collect();
        assert_eq!(programs, ["partx", "sfdisk", "partx", "mkfs.ext4"]);
        step.run(&host(&step, 4)).unwrap();
    }

    #[test]
    fn a_table_with_kept_partitions_is_changed_and_the_kernel_told_of_the_others_alone() {
        let dir = tempfile::tempdir().unwrap();
        let step = step(dir.path(), true);
        let disk = step.table.disk.clone();
        let lines = |change: &[u32], partitions: &[TablePartition]| {
            let table = Table { partitions: partitions.to_vec(), ..step.table.clone() };
            let step =
                LayOutDisk { table, change: Some(change.to_vec()), file_systems: vec![], ..step.clone() };
            let line = |cmd: &Cmd| cmd.to_string().lines().next().unwrap_or_default().replace(&disk, "DISK");
            step.commands().iter().map(line).collect::<Vec<_>>()
        };
        let carefully = "sfdisk --quiet --no-reread --no-tell-kernel";
        assert_eq!(
            lines(&[1, 4, 5, 6], &step.table.partitions),
            [
                "partx --delete --nr 1:1 DISK",
                "partx --delete --nr 4:6 DISK",
                &format!("{carefully} --delete DISK 1 4 5 6"),
                &format!("{carefully} --wipe never --wipe-partitions always --append DISK <<'END'"),
                "partx --add --nr 1:1 DISK",
            ]
        );
        assert!(lines(&[], &[]).is_empty());
    }

    #[test]
    fn a_partition_that_does_not_appear_ends_the_step_before_anything_is_made_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let step = step(dir.path(), false);
        let error = step.run(&host(&step, 3)).unwrap_err();
        assert!(matches!(error, LayOutError::NoNode { .. }), "{error}");
    }

    #[test]
    fn a_partition_that_stays_open_ends_the_step_before_the_table_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let step = step(dir.path(), true);
        let line = step.commands()[0].to_string();
        let fails = |host: Script| host.fails(&line, 1, "partx: error deleting partition 1");
        let result = step.run_patiently(&fails(fails(Script::default())), &[Duration::ZERO]);
        assert!(matches!(result, Err(LayOutError::Command(_))));
    }

    #[test]
    fn a_partition_that_is_open_for_a_moment_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let step = step(dir.path(), true);
        let commands = step.commands();
        let busy = Script::default().fails(&commands[0].to_string(), 1, "partx: error deleting partition 1");
        let host = commands.iter().fold(busy, |host, command| host.ok(&command.to_string(), ""));
        step.run_patiently(&host, &[Duration::ZERO]).unwrap();
    }
}
