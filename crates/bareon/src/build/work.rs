//! The folders of a build: one to work in, one beside the output for files that are to appear there.
//!
//! Both have names that follow from the output alone, so that a plan shows commands as they will run, two builds of the
//! same output meet, and what a killed build left is found by the next one.
//!
//! The working folder is locked as long as its build lives (flock(2): the kernel lets go of it, however the build ends).
//! Whoever begins a build removes all working folders in `image_build_dir` that nobody holds. The folder beside the output
//! is locked, too, as two builds of it may have working folders in different places (a service has a `/tmp` of its own).
//! With enough memory the working folder is a tmpfs in the build's own mount namespace, and there is nothing to remove.

use std::{
    fs::{self, File},
    io, mem,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use bareon_host::{CommandError, Runner, mount, runner};
use nix::fcntl::{Flock, FlockArg};

use super::plan::Options;
use crate::{cli::value::BuildIn, digest, steps::folder};

/// How the names of working folders begin.
const PREFIX: &str = "bareon-";

/// With so many bytes of free memory a tree of a server, its packages and its image find room there.
const ENOUGH: u64 = 10 << 30;

/// With less room than this in a folder, whatever failed did so for want of room, in bytes.
const FULL: u64 = 32 << 20;

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// Another build makes the same.
    #[error("another build of {} runs already, in {}; wait for it", .output.display(), .dir.display())]
    Busy {
        /// What it makes.
        output: PathBuf,
        /// Where it works.
        dir: PathBuf,
    },
    /// A mount.
    #[error("using memory for the working folder; build_in=disk does without")]
    Memory(#[source] CommandError),
    /// A file or folder.
    #[error("{what} {}", .path.display())]
    Io {
        /// What was being done.
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WorkError {
    let path = path.to_path_buf();
    move |source| WorkError::Io { what, path, source }
}

/// Where things lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The working folder.
    pub work: PathBuf,
    /// The folder beside the output, for files that are not whole yet.
    pub staging: PathBuf,
}

impl Places {
    /// The places of a build whose main product is `output`.
    pub fn of(output: &Path, options: &Options) -> Self {
        let key = &digest::sha256(output.as_os_str().as_encoded_bytes())[..16];
        let name = format!("{PREFIX}{key}{}", options.image_build_suffix);
        let beside = output.parent().unwrap_or(Path::new("/"));
        Self {
            work: options.image_build_dir.join(name),
            staging: beside.join(format!(".{PREFIX}{key}.part")),
        }
    }

    /// The root of the tree.
    pub fn tree(&self) -> PathBuf {
        self.work.join("tree")
    }

    /// A raw image that is to be packed.
    pub fn raw(&self) -> PathBuf {
        self.work.join("raw")
    }
}

/// The folders, made and held. Dropping it removes them.
pub struct Work<'h> {
    host: &'h dyn Runner,
    places: Places,
    in_memory: bool,
    left: bool,
    /// Of the working folder, and of the one beside the output where its file system has locks.
    _locks: (Flock<File>, Option<Flock<File>>),
}

impl<'h> Work<'h> {
    /// Makes the folders, after all that nobody holds was removed.
    ///
    /// # Errors
    /// When another build has them, or they cannot be made.
    pub fn open(
        host: &'h dyn Runner,
        places: &Places,
        output: &Path,
        options: &Options,
    ) -> Result<Self, WorkError> {
        let dir = &options.image_build_dir;
        fs::create_dir_all(dir).map_err(failed("making the folder image_build_dir", dir))?;
        sweep(dir, &options.image_build_suffix, &places.work);
        folder::make(&places.work).map_err(failed("making the working folder", &places.work))?;
        let lock = hold(&places.work).map_err(failed("locking the working folder", &places.work))?;
        let Some(lock) = lock else {
            return Err(WorkError::Busy { output: output.into(), dir: places.work.clone() });
        };
        folder::empty(&places.work).map_err(failed("emptying the working folder", &places.work))?;
        let staging = &places.staging;
        let beside = fs::create_dir_all(staging).and_then(|()| hold_where_possible(staging));
        let beside = beside.map_err(failed("making a folder beside the output", staging))?;
        let Some(beside) = beside else {
            let _ = fs::remove_dir(&places.work);
            return Err(WorkError::Busy { output: output.into(), dir: staging.clone() });
        };
        folder::empty(staging).map_err(failed("removing what an earlier build left in", staging))?;
        let memory = match options.build_in {
            BuildIn::Memory => Some(available_memory()),
            BuildIn::Disk => None,
            BuildIn::Auto => Some(available_memory()).filter(|free| *free >= ENOUGH),
        };
        if let Some(free) = memory {
            host.run(&mount::memory(&places.work, free / 10 * 9)).map_err(WorkError::Memory)?;
            tracing::debug!("working in memory: {} MiB are free", free >> 20);
        }
        let in_memory = memory.is_some();
        Ok(Self { host, places: places.clone(), in_memory, left: false, _locks: (lock, beside) })
    }

    fn remove_staging(&self) -> Result<(), WorkError> {
        match fs::remove_dir_all(&self.places.staging) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("removing the folder beside the output", &self.places.staging)(error))
            }
            _ => Ok(()),
        }
    }

    /// What else to say of a step that failed where there was no room to work in.
    pub fn what_is_full(&self) -> Option<String> {
        let more = if self.in_memory { ", and build_in=disk" } else { " with more room" };
        full(&self.places.work)
            .then(|| format!("; its working folder is full: let image_build_dir name a disk{more}"))
    }

    /// Removes the folders.
    ///
    /// # Errors
    /// When something keeps them busy.
    pub fn close(mut self) -> Result<(), WorkError> {
        self.leave()
    }

    fn leave(&mut self) -> Result<(), WorkError> {
        if mem::replace(&mut self.left, true) {
            return Ok(());
        }
        let _shield = runner::shield();
        let work = &self.places.work;
        let staging = self.remove_staging();
        if self.in_memory {
            self.host.run(&mount::umount_lazily(work)).map_err(WorkError::Memory)?;
        }
        if work.exists() {
            folder::empty(work)
                .and_then(|()| fs::remove_dir(work))
                .map_err(failed("removing the working folder", work))?;
        }
        staging
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::error!("{}", crate::chain::chain(&error));
        }
    }
}

/// Takes the lock on a folder; nothing where somebody else has it, or has removed the folder meanwhile.
fn hold(dir: &Path) -> io::Result<Option<Flock<File>>> {
    match Flock::lock(File::open(dir)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) if lock.metadata()?.nlink() == 0 => Ok(None),
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno.into()),
    }
}

/// The same on a file system that may have no locks for folders, such as NFS: an inner nothing then.
#[expect(clippy::option_option, reason = "held by another one and not to be held are two things")]
fn hold_where_possible(dir: &Path) -> io::Result<Option<Option<Flock<File>>>> {
    use nix::errno::Errno;
    const NO_LOCKS: [Errno; 5] =
        [Errno::EBADF, Errno::EINVAL, Errno::ENOLCK, Errno::ENOSYS, Errno::EOPNOTSUPP];
    match hold(dir) {
        Err(error) if NO_LOCKS.iter().any(|none| error.raw_os_error() == Some(*none as i32)) => {
            tracing::debug!("{} cannot be locked: {error}", dir.display());
            Ok(Some(None))
        }
        held => Ok(held?.map(Some)),
    }
}

/// Removes the working folders in `dir` that nobody holds, beside `own`.
fn sweep(dir: &Path, suffix: &str, own: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let ours = name.starts_with(PREFIX) && name.ends_with(suffix) && path != own;
        if !ours || !folder::is_ours(&path).unwrap_or(false) {
            continue;
        }
        let removed = || -> io::Result<bool> {
            let Some(_lock) = hold(&path)? else { return Ok(false) };
            folder::empty(&path)?;
            fs::remove_dir(&path)?;
            Ok(true)
        };
        match removed() {
            Ok(true) => tracing::info!("removed {}, which a build that was killed had left", path.display()),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!("{} is left of another build and cannot be removed: {error}", path.display());
            }
        }
    }
}

fn full(dir: &Path) -> bool {
    let room =
        |found: nix::sys::statvfs::Statvfs| found.blocks_available().saturating_mul(found.fragment_size());
    nix::sys::statvfs::statvfs(dir).map(room).is_ok_and(|room| room < FULL)
}

/// How much memory can be had without swapping, in bytes.
fn available_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;

    fn options(dir: &Path) -> Options {
        Options { image_build_dir: dir.into(), build_in: BuildIn::Disk, ..Options::default() }
    }

    #[test]
    fn two_builds_of_one_output_meet_and_what_a_dead_one_left_is_removed() {
        let tmp = tempfile::tempdir().unwrap();
        let (host, options) = (Script::default(), options(&tmp.path().join("build")));
        let output = tmp.path().join("out/root.yaml");
        let places = Places::of(&output, &options);
        let dead = Places::of(&tmp.path().join("out/other.yaml"), &options).work;
        for left in [dead.join("tree/etc"), places.work.join("tree/etc"), places.staging.join("x")] {
            fs::create_dir_all(left).unwrap();
        }
        for dir in [&dead, &places.work] {
            fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        let work = Work::open(&host, &places, &output, &options).unwrap();
        assert!(!dead.exists() && fs::read_dir(&places.work).unwrap().next().is_none());
        assert!(fs::read_dir(&places.staging).unwrap().next().is_none());
        let second = Work::open(&host, &places, &output, &options).map(drop).unwrap_err();
        assert!(second.to_string().starts_with("another build of "), "{second}");
        assert!(places.work.exists());

        // Nor does one meet it that works elsewhere.
        let whole = places.staging.join("root.img");
        fs::write(&whole, "").unwrap();
        let elsewhere = self::options(&tmp.path().join("other"));
        let there = Places::of(&output, &elsewhere);
        let third = Work::open(&host, &there, &output, &elsewhere).map(drop).unwrap_err();
        assert!(third.to_string().starts_with("another build of "), "{third}");
        assert!(whole.exists() && !there.work.exists());
        work.close().unwrap();
        assert!(!places.work.exists() && !places.staging.exists());
    }
}
