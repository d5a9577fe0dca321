//! The installed system, mounted: a guard.
//!
//! [`Target::close`] unmounts in the reverse order and says what went wrong; dropping it, after a
//! failure or when the run was told to stop, does the same and logs. What a program of the image
//! left running is ended first, as it would keep the file systems busy. Nothing is ever deleted
//! below the target: a directory there may be a mount point.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use bareon_host::{CommandError, Runner, Tool, chroot, mount, runner, udevadm};

use super::{BootError, inroot::Root};

/// How often a busy file system is unmounted before it is only detached.
const ATTEMPTS: u32 = 5;

/// How long a busy file system is left in peace between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// What of the running system a chroot needs: device nodes, the kernel's tables, udev's database.
pub const BOUND: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];

/// The installed system with all that is mounted in it.
pub struct Target<'h> {
    host: &'h dyn Runner,
    root: Root,
    mounted: Vec<PathBuf>,
}

impl<'h> Target<'h> {
    /// The directory `dir`, in which nothing is mounted yet; made when missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(host: &'h dyn Runner, dir: &Path) -> Result<Self, BootError> {
        fs::create_dir_all(dir).map_err(BootError::file("making the directory", dir))?;
        Ok(Self { host, root: Root::new(dir), mounted: Vec::new() })
    }

    /// The installed system's files.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Mounts `device` at `inside`.
    ///
    /// # Errors
    /// When it is mounted somewhere already, or mount(8) fails.
    pub fn mount(&mut self, device: &str, inside: &str, fs_type: &str) -> Result<(), BootError> {
        let at =
            mount::mounted_at(device).map_err(BootError::file("reading", "/proc/thread-self/mountinfo"))?;
        if let Some(at) = at {
            return Err(BootError::Mounted { device: device.into(), at });
        }
        let dir = self.root.make_dir(inside)?;
        let cmd = mount::mount(device, &dir, fs_type);
        self.keep(dir, &cmd)
    }

    /// Shows what [`BOUND`] names in the installed system.
    ///
    /// # Errors
    /// When mount(8) fails.
    pub fn bind(&mut self) -> Result<(), BootError> {
        for from in BOUND {
            let dir = self.root.make_dir(from)?;
            let cmd = mount::bind(from, &dir);
            self.keep(dir, &cmd)?;
        }
        Ok(())
    }

    /// Runs a mount command and remembers what it mounted.
    fn keep(&mut self, dir: PathBuf, cmd: &bareon_host::Cmd) -> Result<(), BootError> {
        let result = self.host.run(cmd);
        // A mount that was interrupted may have happened all the same.
        if result.is_ok() || mount::is_mounted(&dir).unwrap_or(false) {
            self.mounted.push(dir);
        }
        result?;
        Ok(())
    }

    /// Sees to it that `/dev/disk/by-uuid` names `device` in the chroot: grub-mkconfig writes
    /// `root=UUID=…` only where it does. Without udev, a directory of our own is put there.
    ///
    /// # Errors
    /// When that directory cannot be mounted or filled.
    pub fn name_by_uuid(&mut self, device: &str, uuid: &str) -> Result<(), BootError> {
        let link = Path::new("/dev/disk/by-uuid").join(uuid);
        if self.root.has(&link) {
            return Ok(());
        }
        if self.host.has(Tool::Udevadm) {
            self.host.run(&udevadm::settle())?;
            if self.root.has(&link) {
                return Ok(());
            }
        }
        let dir = self.root.make_dir("/dev/disk")?;
        let cmd = mount::mount("tmpfs", &dir, "tmpfs");
        self.keep(dir.clone(), &cmd)?;
        let link = dir.join("by-uuid").join(uuid);
        let node = fs::canonicalize(device).unwrap_or_else(|_| device.into());
        fs::create_dir(dir.join("by-uuid"))
            .and_then(|()| symlink(node, &link))
            .map_err(BootError::file("making the link", link))
    }

    /// Unmounts what was mounted last.
    ///
    /// # Errors
    /// When it stays busy.
    pub fn unmount_last(&mut self) -> Result<(), BootError> {
        let Some(dir) = self.mounted.pop() else { return Ok(()) };
        self.unmount(&dir)?;
        Ok(())
    }

    /// Unmounts all.
    ///
    /// # Errors
    /// The first failure; all others are logged, and every file system is tried.
    pub fn close(mut self) -> Result<(), BootError> {
        self.unmount_all().map_or(Ok(()), |error| Err(error.into()))
    }

    fn unmount_all(&mut self) -> Option<CommandError> {
        let _shield = runner::shield();
        let mut first = None;
        while let Some(dir) = self.mounted.pop() {
            if let Err(error) = self.unmount(&dir) {
                tracing::warn!("{error}");
                first.get_or_insert(error);
            }
        }
        first
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
            for process in chroot::end_processes(self.root.path()) {
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

impl Drop for Target<'_> {
    fn drop(&mut self) {
        // Each failure is logged where it happens; the reason to stop is what matters to the caller.
        let _ = self.unmount_all();
    }
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;

    fn dir() -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_string_lossy().into_owned();
        (dir, path)
    }

    #[test]
    fn what_is_mounted_is_unmounted_in_the_reverse_order_also_after_a_failure() {
        let (dir, path) = dir();
        let host = Script::default()
            .ok(&format!("mount -t ext4 /dev/no1 {path}"), "")
            .ok(&format!("mount -t xfs /dev/no2 {path}/var"), "")
            .fails(&format!("mount -t xfs /dev/no3 {path}/srv"), 32, "mount: no such device")
            .ok(&format!("umount {path}/var"), "")
            .ok(&format!("umount {path}"), "");
        let mut target = Target::new(&host, dir.path()).unwrap();
        target.mount("/dev/no1", "/", "ext4").unwrap();
        target.mount("/dev/no2", "/var", "xfs").unwrap();
        target.mount("/dev/no3", "/srv", "xfs").unwrap_err();
    }

    #[test]
    fn a_busy_file_system_is_tried_again_and_detached_at_last() {
        let (dir, path) = dir();
        let mut host = Script::default().ok(&format!("mount -t ext4 /dev/no1 {path}"), "");
        for _ in 0..ATTEMPTS {
            host = host.fails(&format!("umount {path}"), 32, "umount: target is busy.");
        }
        let host = host.ok(&format!("umount --lazy {path}"), "");
        let mut target = Target::new(&host, dir.path()).unwrap();
        target.mount("/dev/no1", "/", "ext4").unwrap();
        assert!(target.close().unwrap_err().to_string().contains("target is busy"));
    }

    #[test]
    fn without_udev_a_directory_of_our_own_names_the_device() {
        let (dir, path) = dir();
        let host = Script::default()
            .ok("udevadm settle --timeout=120", "")
            .ok(&format!("mount -t tmpfs tmpfs {path}/dev/disk"), "")
            .ok(&format!("umount {path}/dev/disk"), "");
        let mut target = Target::new(&host, dir.path()).unwrap();
        target.name_by_uuid("/dev/no1", "ab-cd").unwrap();
        assert_eq!(fs::read_link(dir.path().join("dev/disk/by-uuid/ab-cd")).unwrap(), Path::new("/dev/no1"));
        target.close().unwrap();
    }
}
