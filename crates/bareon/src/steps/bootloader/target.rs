//! The installed system, mounted by a guard: see [`Mounted`].

use std::{fs, os::unix::fs::symlink, path::Path};

use bareon_host::{Runner, Tool, mount, udevadm};

use super::{BootError, inroot::Root};
use crate::steps::mounted::Mounted;

/// What of the running system a chroot needs: device nodes, the kernel's tables, udev's database.
pub const BOUND: [&str; 4] = ["/dev", "/proc", "/sys", "/run"];

/// The installed system with all that is mounted in it.
pub struct Target<'h> {
    host: &'h dyn Runner,
    root: Root,
    mounted: Mounted<'h>,
}

impl<'h> Target<'h> {
    /// The directory `dir`, in which nothing is mounted yet; made when missing.
    ///
    /// # Errors
    /// When it cannot be made, is not ours, or something is mounted there.
    pub fn new(host: &'h dyn Runner, dir: &Path) -> Result<Self, BootError> {
        Ok(Self { host, root: Root::new(dir), mounted: Mounted::below(host, dir)? })
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
        let dir = self.root.make_dir(inside)?;
        Ok(self.mounted.mount(device, &dir, fs_type)?)
    }

    /// Shows what [`BOUND`] names in the installed system.
    ///
    /// # Errors
    /// When mount(8) fails.
    pub fn bind(&mut self) -> Result<(), BootError> {
        for from in BOUND {
            let dir = self.root.make_dir(from)?;
            self.mounted.run(&dir, &mount::bind(from, &dir))?;
        }
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
        self.mounted.run(&dir, &mount::mount("tmpfs", &dir, "tmpfs"))?;
        let link = dir.join("by-uuid").join(uuid);
        let node = fs::canonicalize(device).unwrap_or_else(|_| device.into());
        fs::create_dir(dir.join("by-uuid"))
            .and_then(|()| symlink(node, &link))
            .map_err(BootError::file("making the link", link))
    }

    /// Unmounts what was mounted last, also when the run was told to stop.
    ///
    /// # Errors
    /// When it cannot be flushed, or stays busy.
    pub fn unmount_last(&mut self) -> Result<(), BootError> {
        Ok(self.mounted.unmount_last()?)
    }

    /// Unmounts all.
    ///
    /// # Errors
    /// The first failure; all others are logged, and every file system is tried.
    pub fn close(self) -> Result<(), BootError> {
        Ok(self.mounted.close()?)
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
