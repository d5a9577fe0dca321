//! Metadata is put back as it was saved.
//!
//! A disk gets it back only if it is the same one (by serial number, WWN and size), and nobody uses it. What a step
//! wrote over since is noted in the backup: by default nothing is put back then, as a table that leads to destroyed data
//! helps nobody. With `force` the rest is: tables, and all of the partitions that no such step met. Nothing is ever
//! written where such a step may have written.
//!
//! A device is put back once: what differs then from what was saved is somebody's new data. An undo belongs right after
//! the run that it undoes, since what others than our steps write is not noted.
//!
//! Limits: data is not saved, so what a file system, an image or an array was made over is lost. What lay on a volume
//! can only be put back once the volume is there again: the first undo brings back the table and the labels; then
//! arrays are assembled and groups activated (`mdadm --assemble --scan`, `vgchange -ay`), and a second one does the
//! rest. A region that was read with errors was not saved.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bareon_host::{
    CommandError, Runner,
    lock::{self, LockError},
    partx,
};
use serde::Serialize;

use super::{
    contents,
    index::{self, Index, Overwritten, Region, Saved},
};
use crate::{
    digest,
    hardware::{
        Identity,
        usage::{self, Kernel, Usage},
    },
    steps::partitioning,
};

/// Why nothing can be put back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// There is no backup, or it is damaged.
    #[error("reading the backup in {}; is it a folder that a run made in its backup_dir?", .dir.display())]
    Read {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// What was saved is not what is there.
    #[error("{} is damaged: {what} of {device} is not what was saved (by its SHA-256 sum); nothing was written", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The region.
        what: String,
        /// The device.
        device: String,
    },
    /// Some device forbids it; nothing was written.
    #[error("nothing was written: {}", .0.join("; "))]
    Refused(Vec<String>),
    /// The kernel's views cannot be read.
    #[error("reading what is mounted on this machine; is /proc there?")]
    Mounts(#[source] io::Error),
    /// A disk could not be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A device could not be written.
    #[error("putting back what was saved of {device}; mend the cause and run it again")]
    Write {
        /// The device.
        device: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// What would be, or was, put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undo {
    /// The folder of the backup.
    pub dir: PathBuf,
    /// The devices.
    pub devices: Vec<Restored>,
    /// What was written over since.
    pub overwritten: Vec<String>,
    /// What forbids it.
    pub refused: Vec<String>,
}

/// A device in an [`Undo`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// Its node now.
    pub device: String,
    /// Regions that differ from what was saved, and are put back.
    pub writes: Vec<Region>,
    /// Whether it was put back before: what changed since is its user's.
    pub done: bool,
    /// How many regions are as they were saved.
    pub same: usize,
    /// What cannot be put back, since a step wrote over it.
    pub lost: Vec<String>,
    /// Its node in the backup.
    #[serde(skip)]
    saved: String,
    #[serde(skip)]
    file: PathBuf,
    #[serde(skip)]
    is_disk: bool,
}

impl Undo {
    /// Looks what can be put back of the backup in `dir`; writes nothing.
    ///
    /// # Errors
    /// When the backup cannot be read, or is damaged.
    pub fn look(dir: &Path, force: bool, kernel: &Kernel) -> Result<Self, UndoError> {
        let read = |source| UndoError::Read { dir: dir.into(), source };
        let index = Index::read(dir).map_err(read)?;
        if index.version != 1 {
            let error = format!("it is of version {}, this program knows version 1", index.version);
            return Err(read(io::Error::other(error)));
        }
        let noted = Overwritten::read(dir).map_err(read)?;
        let undone = index::undone(dir).map_err(read)?;
        let usage = Usage::read(kernel).map_err(UndoError::Mounts)?;
        let mut undo =
            Self { dir: dir.into(), devices: Vec::new(), overwritten: Vec::new(), refused: Vec::new() };
        for saved in &index.devices {
            undo.device(saved, &noted, &undone, &usage, kernel)?;
        }
        undo.overwritten = noted
            .iter()
            .map(|step| {
                let on: Vec<_> = step.on.iter().map(|extent| extent.disk.as_str()).collect();
                format!("{} ({}, on {})", step.what, step.began, on.join(", "))
            })
            .collect();
        if undo.devices.iter().any(|device| !device.lost.is_empty()) && !force {
            undo.refused.push(
                "data was written over since; `--force` puts back what no such step met, and nothing else"
                    .into(),
            );
        }
        Ok(undo)
    }

    fn device(
        &mut self,
        saved: &Saved,
        noted: &[Overwritten],
        undone: &[String],
        usage: &Usage,
        kernel: &Kernel,
    ) -> Result<(), UndoError> {
        let is_disk = saved.on.is_empty();
        let Some(device) = find(saved, kernel) else {
            if is_disk {
                self.refused.push(format!("{} ({}) is not there", saved.device, saved.identity));
            } else {
                tracing::warn!(
                    "{} is not there: once its array and group are active again, a second undo puts back what lay on it",
                    saved.device
                );
            }
            return Ok(());
        };
        let file = self.dir.join(&saved.file);
        let mut restored = Restored {
            device: device.clone(),
            writes: Vec::new(),
            done: undone.contains(&saved.device),
            same: 0,
            lost: Vec::new(),
            saved: saved.device.clone(),
            file,
            is_disk,
        };
        if restored.done {
            self.devices.push(restored);
            return Ok(());
        }
        let disk =
            File::open(&device).map_err(|source| UndoError::Write { device: device.clone(), source })?;
        for region in &saved.regions {
            let kept = contents(&restored.file, region)
                .map_err(|source| UndoError::Read { dir: self.dir.clone(), source })?;
            if digest::sha256(&kept) != region.sha256 {
                let (file, what) = (restored.file.clone(), region.what.clone());
                return Err(UndoError::Damaged { file, what, device: saved.device.clone() });
            }
            let mut now = vec![0; kept.len()];
            let same = disk.read_exact_at(&mut now, region.offset).is_ok() && now == kept;
            if let Some(step) = noted.iter().find(|step| meets(step, saved, region)) {
                restored.lost.push(format!("{} (by: {})", region.what, step.what));
            } else if same {
                restored.same += 1;
            } else {
                restored.writes.push(region.clone());
            }
        }
        if !restored.writes.is_empty() {
            for used in usage.of(&device) {
                self.refused.push(format!("{} is in use, {}: {}", used.device, used.by, used.remedy));
            }
        }
        self.devices.push(restored);
        Ok(())
    }

    /// Puts it back.
    ///
    /// # Errors
    /// When anything forbids it, and then nothing is written; when a device cannot be written.
    pub fn run(&self, host: &dyn Runner, kernel: &Kernel) -> Result<(), UndoError> {
        if !self.refused.is_empty() {
            return Err(UndoError::Refused(self.refused.clone()));
        }
        for restored in self.devices.iter().filter(|restored| !restored.writes.is_empty()) {
            restored.put_back(host, kernel)?;
            index::note_undone(&self.dir, &restored.saved)
                .map_err(|source| UndoError::Write { device: restored.device.clone(), source })?;
        }
        Ok(())
    }
}

impl Restored {
    fn put_back(&self, host: &dyn Runner, kernel: &Kernel) -> Result<(), UndoError> {
        let device = self.device.clone();
        let _lock = if self.is_disk { Some(lock::exclusive(Path::new(&device))?) } else { None };
        if self.is_disk {
            lock::free(Path::new(&device))?;
            // Else the kernel goes on to show what it has read of the partitions.
            if !kernel.partitions(&kernel.name(&device)).is_empty() {
                partitioning::forget(host, &device)?;
            }
        }
        self.write().map_err(|source| UndoError::Write { device: device.clone(), source })?;
        if self.is_disk
            && let Err(error) = host.run(&partx::add(&device))
        {
            // A disk without a table has no partitions to tell of.
            tracing::warn!("the kernel is told of no partitions of {device}: {error}");
        }
        Ok(())
    }

    /// Writes the regions: tables last, so that nothing leads to what is not there yet.
    fn write(&self) -> io::Result<()> {
        let disk = File::options().write(true).open(&self.device)?;
        let mut regions: Vec<_> = self.writes.iter().collect();
        regions.sort_by_key(|region| region.part.is_none());
        for region in regions {
            disk.write_all_at(&contents(&self.file, region)?, region.offset)?;
        }
        disk.sync_all()
    }
}

/// Whether a step wrote over what `region` of `saved` belongs to.
fn meets(step: &Overwritten, saved: &Saved, region: &Region) -> bool {
    step.on.iter().any(|extent| {
        let of_disk = |offset, length| extent.meets(&saved.identity, offset, length);
        of_disk(region.offset, region.length)
            || region.part.as_ref().is_some_and(|part| of_disk(part.offset, part.length))
            || saved.on.iter().any(|on| extent.meets(&on.identity, on.offset, on.length))
    })
}

/// The node of the device that was saved: its own then, or that of another with its serial number or WWN.
fn find(saved: &Saved, kernel: &Kernel) -> Option<String> {
    let is_it = |device: &str| Identity::of(device, kernel) == saved.identity;
    if is_it(&saved.device) && Path::new(&saved.device).exists() {
        return Some(saved.device.clone());
    }
    // Where nothing but the size is known, another disk of that size is not taken for it.
    if saved.identity.serial.is_none() && saved.identity.wwn.is_none() {
        return None;
    }
    let names = fs::read_dir(kernel.sys.join("class/block")).ok()?;
    let mut nodes: Vec<_> = names
        .filter_map(|entry| Some(usage::node(&entry.ok()?.file_name().into_string().ok()?)))
        .filter(|node| is_it(node))
        .collect();
    nodes.sort();
    match nodes.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Restored { device, writes, done, same, lost, .. } in &self.devices {
            writeln!(f, "{device}{}", if *done { ": put back before" } else { "" })?;
            for region in writes {
                writeln!(
                    f,
                    "  put back: {}, {} at byte {}",
                    region.what,
                    super::Bytes(region.length),
                    region.offset
                )?;
            }
            if *same > 0 {
                writeln!(f, "  as it was: {same} regions")?;
            }
            for lost in lost {
                writeln!(f, "  not put back, written over: {lost}")?;
            }
        }
        if !self.overwritten.is_empty() {
            f.write_str("Written over since\n")?;
        }
        for step in &self.overwritten {
            writeln!(f, "  {step}")?;
        }
        for refused in &self.refused {
            writeln!(f, "Refused: {refused}")?;
        }
        Ok(())
    }
}
