//! A file system grows to its device.
//!
//! The one that is grown is the one that is found after the image was written, not the one that the layout names: the
//! two differ in real inputs. ext is grown while it is not mounted, after the check that resize2fs asks for; XFS and
//! btrfs only grow while they are mounted, so they are, in our own mount namespace. Others stay as large as they are.

use std::path::Path;

use bareon_host::{Cmd, Runner, blkid, grow, mkfs::FsType, mount};

use super::CopyImageError;
use crate::steps::mounted::Mounted;

/// A device whose file system grows.
#[derive(Debug, Clone, Copy)]
pub struct Grow<'a> {
    /// The device.
    pub device: &'a str,
    /// Where it is mounted if it must be.
    pub mount_point: &'a Path,
}

impl Grow<'_> {
    /// The commands for `fs`.
    pub fn commands(&self, fs: FsType) -> Vec<Cmd> {
        let mut commands = self.offline(fs);
        commands.extend(self.mounted(fs).into_iter().flatten());
        commands
    }

    /// Grows what is found; `expected` is what the input says.
    ///
    /// # Errors
    /// When nobody can tell what is there, or it cannot be grown.
    pub fn run(&self, host: &dyn Runner, expected: Option<FsType>) -> Result<(), CopyImageError> {
        let device = self.device;
        let found = blkid::probed(&host.run(&blkid::probe(device))?);
        if found.ambivalent {
            return Err(CopyImageError::Ambivalent { device: device.into() });
        }
        let Some(name) = found.fs_type else {
            tracing::warn!(
                "{device}: the image is of no file system that is known; it stays as large as it is"
            );
            return Ok(());
        };
        let fs = name.parse::<FsType>().ok();
        if expected.is_some() && fs != expected {
            tracing::info!("{device}: the image holds {name}, which is not what the input says");
        }
        let Some(fs) = fs.filter(|fs| fs.is_ext() || matches!(fs, FsType::Xfs | FsType::Btrfs)) else {
            tracing::warn!(
                "{device}: {name} is nothing that can be grown; it stays as large as the image has it"
            );
            return Ok(());
        };
        for command in self.offline(fs) {
            host.run(&command)?;
        }
        let Some([_, grow, _]) = self.mounted(fs) else { return Ok(()) };
        let mut mounted = Mounted::below(host, self.mount_point)?;
        mounted.mount(device, self.mount_point, &fs.to_string())?;
        host.run(&grow)?;
        Ok(mounted.close()?)
    }

    /// What grows an ext file system, which must not be mounted for it.
    fn offline(&self, fs: FsType) -> Vec<Cmd> {
        let device = self.device;
        if fs.is_ext() { vec![grow::e2fsck(device), grow::resize2fs(device)] } else { Vec::new() }
    }

    /// What grows a file system that must be mounted for it.
    fn mounted(&self, fs: FsType) -> Option<[Cmd; 3]> {
        let point = self.mount_point.to_string_lossy();
        let grow = match fs {
            FsType::Xfs => grow::xfs_growfs(&point),
            FsType::Btrfs => grow::btrfs_resize(&point),
            _ => return None,
        };
        let mount = mount::mount(self.device, self.mount_point, &fs.to_string());
        Some([mount, grow, mount::umount(self.mount_point)])
    }
}
