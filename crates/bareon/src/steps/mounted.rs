//! What is mounted for a while: a guard.
//!
//! [`Mounted::close`] unmounts in the reverse order and says what went wrong; dropping it, after a
//! failure or when the run was told to stop, does the same and logs. What a program of the image
//! left running is ended first, as it would keep the file systems busy. Nothing is ever deleted
//! below: a directory there may be a mount point.
//!
//! umount(8) does not tell of data that could not be written. Each file system is therefore flushed
//! by syncfs(2) before, which does, of all that failed since it was mounted.

use std::{
    fs::File,
    io, mem,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use bareon_host::{Cmd, CommandError, Runner, chroot, mount, runner};
use nix::unistd::syncfs;

use super::folder;

/// How often a busy file system is unmounted before it is only detached.
const ATTEMPTS: u32 = 5;

/// How long a busy file system is left in peace between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Something that could not be mounted, or not be unmounted with all that was written to it.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A device is mounted already.
    #[error("{device} is mounted at {at} already: unmount it (umount {at}) and run this again")]
    Mounted {
        /// The device.
        device: String,
        /// Where it is mounted.
        at: String,
    },
    /// The directory is a mount point already.
    #[error(
        "something is mounted at {0} already: unmount it (umount {0}) and run this again", .dir.display()
    )]
    Occupied {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory cannot be made or used.
    #[error("making the mount point {}", .dir.display())]
    Dir {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What is mounted cannot be found out.
    #[error("reading /proc/thread-self/mountinfo; is /proc mounted?")]
    Table {
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A flush failed: what was written may be lost.
    #[error(
        "flushing the file system at {}: what was written may not be on the disk; look for disk errors in the kernel's log (dmesg)",
        .dir.display()
    )]
    Flush {
        /// Where it is mounted.
        dir: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Something that is mounted.
struct One {
    dir: PathBuf,
    /// Its directory, held open from the beginning: an error that happens meanwhile is told here.
    open: Option<File>,
}

/// See the module.
pub struct Mounted<'h> {
    host: &'h dyn Runner,
    base: PathBuf,
    all: Vec<One>,
}

impl<'h> Mounted<'h> {
    /// Nothing yet, at and below the directory `base`; it is made when missing.
    ///
    /// # Errors
    /// When it cannot be made, is not ours, or something is mounted there.
    pub fn below(host: &'h dyn Runner, base: &Path) -> Result<Self, MountError> {
        if mount::is_mounted(base).unwrap_or(false) {
            return Err(MountError::Occupied { dir: base.into() });
        }
        folder::make(base).map_err(|source| MountError::Dir { dir: base.into(), source })?;
        Ok(Self { host, base: base.into(), all: Vec::new() })
    }

    /// Mounts `device` at `dir`, which is there.
    ///
    /// # Errors
    /// When it is mounted somewhere already, or mount(8) fails.
    pub fn mount(&mut self, device: &str, dir: &Path, fs_type: &str) -> Result<(), MountError> {
        let at = mount::mounted_at(device).map_err(|source| MountError::Table { source })?;
        if let Some(at) = at {
            return Err(MountError::Mounted { device: device.into(), at });
        }
        self.run(dir, &mount::mount(device, dir, fs_type))?;
        self.hold(dir)
    }

    /// Mounts the file system `fs_type` in the file `file`, which is nobody else's, at `dir`, which is there.
    ///
    /// # Errors
    /// When mount(8) fails.
    pub fn mount_file(&mut self, file: &Path, dir: &Path, fs_type: &str) -> Result<(), MountError> {
        self.run(dir, &mount::mount_file(file, dir, fs_type))?;
        self.hold(dir)
    }

    /// Opens what was mounted last.
    fn hold(&mut self, dir: &Path) -> Result<(), MountError> {
        if let Some(last) = self.all.last_mut() {
            let open = File::open(dir).map_err(|source| MountError::Flush { dir: dir.into(), source })?;
            last.open = Some(open);
        }
        Ok(())
    }

    /// Runs a command that mounts at `dir` what has nothing to flush, and remembers it.
    ///
    /// # Errors
    /// When it fails.
    pub fn run(&mut self, dir: &Path, cmd: &Cmd) -> Result<(), MountError> {
        let result = self.host.run(cmd);
        // A mount that was interrupted may have happened all the same.
        if result.is_ok() || mount::is_mounted(dir).unwrap_or(false) {
            self.all.push(One { dir: dir.into(), open: None });
        }
        result?;
        Ok(())
    }

    /// Unmounts what was mounted last, also when the run was told to stop.
    ///
    /// # Errors
    /// When it cannot be flushed, or stays busy; then it is unmounted with the others.
    pub fn unmount_last(&mut self) -> Result<(), MountError> {
        let _shield = runner::shield();
        let Some(last) = self.all.last_mut() else { return Ok(()) };
        let flushed = last.flush();
        let dir = last.dir.clone();
        let unmounted = self.unmount(&dir);
        if unmounted.is_ok() || !mount::is_mounted(&dir).unwrap_or(false) {
            self.all.pop();
        }
        flushed?;
        unmounted?;
        Ok(())
    }

    /// Unmounts all.
    ///
    /// # Errors
    /// The first failure; all others are logged, and every file system is tried.
    pub fn close(mut self) -> Result<(), MountError> {
        self.unmount_all().map_or(Ok(()), Err)
    }

    fn unmount_all(&mut self) -> Option<MountError> {
        let _shield = runner::shield();
        let mut failed: Vec<MountError> = Vec::new();
        let mut left: Vec<_> = mem::take(&mut self.all).into_iter().rev().collect();
        failed.extend(left.iter_mut().filter_map(|one| one.flush().err()));
        // All by one call; what was busy is seen to one by one.
        let all_gone = left.len() > 1 && {
            let result = self.host.run(&mount::umount_all(left.iter().map(|one| &one.dir)));
            left.retain(|one| result.is_err() && mount::is_mounted(&one.dir).unwrap_or(false));
            left.is_empty()
        };
        if !all_gone {
            failed.extend(left.iter().filter_map(|one| self.unmount(&one.dir).err()).map(MountError::from));
        }
        for error in &failed {
            tracing::warn!("{error}");
        }
        failed.into_iter().next()
    }

    fn unmount(&self, dir: &Path) -> Result<(), CommandError> {
        let mut attempt = 1;
        loop {
            let Err(error) = self.host.run(&mount::umount(dir)) else { return Ok(()) };
            if attempt == ATTEMPTS {
                tracing::warn!("{} stays busy and is detached only", dir.display());
                if let Err(error) = self.host.run(&mount::umount_lazily(dir)) {
                    tracing::warn!("{error}");
                }
                return Err(error);
            }
            for process in chroot::end_processes(&self.base) {
                tracing::warn!(
                    "ended {} ({}), which the image's programs left running",
                    process.name,
                    process.pid
                );
            }
            thread::sleep(PAUSE);
            attempt += 1;
        }
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // Each failure is logged where it happens; the reason to stop is what matters to the caller.
        let _ = self.unmount_all();
    }
}

impl One {
    /// Flushes it, once, and lets go of it.
    fn flush(&mut self) -> Result<(), MountError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        syncfs(&open).map_err(|errno| MountError::Flush { dir: self.dir.clone(), source: errno.into() })
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, os::unix::fs::symlink};

    use bareon_host::{Output, Script, Tool};

    use super::*;

    fn dir() -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_string_lossy().into_owned();
        (dir, path)
    }

    #[test]
    fn what_is_mounted_is_unmounted_in_the_reverse_order_also_after_a_failure() {
        let (dir, path) = dir();
        std::fs::create_dir(dir.path().join("var")).unwrap();
        let host = Script::default()
            .ok(&format!("mount -t ext4 /dev/no1 {path}"), "")
            .ok(&format!("mount -t xfs /dev/no2 {path}/var"), "")
            .fails(&format!("mount -t xfs /dev/no3 {path}/srv"), 32, "mount: no such device")
            .ok(&format!("umount {path}/var {path}"), "");
        let mut mounted = Mounted::below(&host, dir.path()).unwrap();
        mounted.mount("/dev/no1", dir.path(), "ext4").unwrap();
        mounted.mount("/dev/no2", &dir.path().join("var"), "xfs").unwrap();
        mounted.mount("/dev/no3", &dir.path().join("srv"), "xfs").unwrap_err();
    }

    #[test]
    fn a_busy_file_system_is_tried_again_and_detached_at_last() {
        let (dir, path) = dir();
        let mut host = Script::default().ok(&format!("mount -t ext4 /dev/no1 {path}"), "");
        for _ in 0..ATTEMPTS {
            host = host.fails(&format!("umount {path}"), 32, "umount: target is busy.");
        }
        let host = host.ok(&format!("umount --lazy {path}"), "");
        let mut mounted = Mounted::below(&host, dir.path()).unwrap();
        mounted.mount("/dev/no1", dir.path(), "ext4").unwrap();
        assert!(mounted.close().unwrap_err().to_string().contains("target is busy"));
    }

    /// Remembers of each command whether it would have run after the run was told to stop.
    struct Shields(RefCell<Vec<(Tool, bool)>>);

    impl Runner for Shields {
        fn run(&self, cmd: &Cmd) -> Result<Output, CommandError> {
            self.0.borrow_mut().push((cmd.tool(), runner::shielded()));
            Ok(Output { status: 0, stdout: String::new(), stderr: String::new() })
        }

        fn has(&self, _: Tool) -> bool {
            true
        }
    }

    #[test]
    fn a_stop_does_not_keep_anything_from_being_unmounted() {
        let (dir, _) = dir();
        let host = Shields(RefCell::default());
        let mut mounted = Mounted::below(&host, dir.path()).unwrap();
        mounted.mount("/dev/no1", dir.path(), "ext4").unwrap();
        mounted.mount("/dev/no2", dir.path(), "ext4").unwrap();
        mounted.mount("/dev/no3", dir.path(), "ext4").unwrap();
        mounted.unmount_last().unwrap();
        mounted.close().unwrap();
        let umounts: Vec<_> =
            host.0.into_inner().into_iter().filter(|(tool, _)| *tool == Tool::Umount).collect();
        assert_eq!(umounts, [(Tool::Umount, true), (Tool::Umount, true)]);
    }

    #[test]
    fn nothing_is_mounted_where_somebody_else_put_a_link_or_something_is_mounted() {
        let (dir, _) = dir();
        let link = dir.path().join("link");
        symlink("/etc", &link).unwrap();
        let host = Script::default();
        let refused = |base: &Path| Mounted::below(&host, base).map(|_| ()).unwrap_err();
        assert!(matches!(refused(&link), MountError::Dir { .. }));
        assert!(matches!(refused(Path::new("/proc")), MountError::Occupied { .. }));
    }
}
