//! An image onto a device, grown to fill it.
//!
//! Nothing is written to a device that does not lie where the layout has it: the disk then has the
//! table of something else, as when its image is asked for on a machine that was never partitioned.
//!
//! The stream itself (fetch, unpack, verify, write) is `bareon-image`'s. The file system that is grown
//! is the one that is found in the image after it was written, not the one that the layout names: the
//! two differ in real inputs. ext is grown while it is not mounted, after the check that resize2fs asks
//! for; XFS and btrfs only grow while they are mounted, so they are, in our own mount namespace.

use std::path::PathBuf;

use bareon_host::{Cmd, CommandError, Runner, blkid, grow, mkfs::FsType, mount};
use bareon_image::{Options, Progress, Request, TargetState, WriteError, Written, shown};

use super::{
    keep::{BringUp, KeepError},
    mounted::{MountError, Mounted},
    place::{Elsewhere, Ground},
};
use crate::hardware::usage::Kernel;

/// An image that is written.
#[derive(Debug, Clone)]
pub struct WriteImage {
    /// What is fetched, and what is expected of it.
    pub request: Request,
    /// The device that it is written to.
    pub target: PathBuf,
    /// What the target lies on by the layout; nothing for what is not of the layout (which is refused).
    pub ground: Option<Ground>,
    /// What brings the target up, where that is an array or a volume and this stage runs alone on a machine just booted.
    pub up: Option<BringUp>,
    /// The file system that the input says is within; nothing for an image that stays as it is.
    pub grow: Option<FsType>,
    /// Where a file system is mounted that only grows while mounted.
    pub mount_point: PathBuf,
    /// Whether it is written only if it is there: the config drive's image, which another stage makes.
    pub if_there: bool,
}

/// An image that could not be written or grown.
#[derive(Debug, thiserror::Error)]
pub enum CopyImageError {
    /// It could not be written.
    #[error(transparent)]
    Image(#[from] WriteError),
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The target is another partition than the layout's, or none.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
    /// The target is an array or a volume that cannot be brought up.
    #[error(transparent)]
    Up(#[from] KeepError),
    /// It could not be mounted to be grown, or not be unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// What was written cannot be told.
    #[error(
        "{device} has signatures of several file systems, so that nobody can tell which one to grow: look at them by `wipefs {device}`, and make the image anew without the wrong one"
    )]
    Ambivalent {
        /// The device.
        device: String,
    },
}

impl CopyImageError {
    /// What the device holds now. A whole image whose file system was not grown mounts, and lacks room.
    pub fn target_state(&self) -> TargetState {
        match self {
            Self::Image(error) => error.target,
            Self::Elsewhere(_) | Self::Up(_) => TargetState::Untouched,
            _ => TargetState::Written,
        }
    }
}

impl WriteImage {
    /// The commands that grow the file system, if it is what the input says.
    pub fn commands(&self) -> Vec<Cmd> {
        let Some(fs) = self.grow else { return Vec::new() };
        let mut commands = self.offline(fs);
        commands.extend(self.mounted(fs).into_iter().flatten());
        commands
    }

    /// The device that is written.
    pub fn device(&self) -> String {
        self.target.to_string_lossy().into_owned()
    }

    /// Writes the image and grows its file system.
    ///
    /// # Errors
    /// When the target does not lie where the layout has it; when the image cannot be fetched, is not what
    /// was expected, or cannot be written; when its file system cannot be grown.
    pub fn run(
        &self,
        host: &dyn Runner,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Written, CopyImageError> {
        if let Some(up) = &self.up {
            up.run(host, &Kernel::default())?;
        }
        if let Some(ground) = &self.ground {
            ground.check(&Kernel::default())?;
        }
        self.warn_of_weak_sums();
        let written = bareon_image::write(&self.request, options, &self.target, progress)?;
        if self.grow.is_some() {
            self.grow(host)?;
        }
        Ok(written)
    }

    /// Tells where nothing keeps another image from being taken for this one. What this system made itself is its own.
    fn warn_of_weak_sums(&self) {
        let Request { uris, sums, container_sums, .. } = &self.request;
        let uri = uris.first().map(|uri| shown(uri)).unwrap_or_default();
        let held = uris.iter().all(|uri| bareon_image::holds_digest(uri));
        if self.if_there || held || sums.is_strong() || container_sums.is_strong() {
            return;
        }
        if sums.is_empty() && container_sums.is_empty() {
            tracing::warn!("{uri}: no sum of it is known, so it is written as it comes (allow_unverified)");
        } else {
            tracing::warn!(
                "{uri}: its only sum is MD5 or SHA-1, which tells accidents and no intent; give its SHA-256 \
                 (raw_sha256), too"
            );
        }
    }

    fn grow(&self, host: &dyn Runner) -> Result<(), CopyImageError> {
        let device = self.device();
        let found = blkid::probed(&host.run(&blkid::probe(&device))?);
        if found.ambivalent {
            return Err(CopyImageError::Ambivalent { device });
        }
        let Some(fs) = found.fs_type.and_then(|name| name.parse::<FsType>().ok()) else {
            tracing::warn!(
                "{device}: the image is of no file system that can be grown; it stays as large as it is"
            );
            return Ok(());
        };
        if Some(fs) != self.grow {
            tracing::info!("{device}: the image holds {fs}, which is not what the input says");
        }
        for command in self.offline(fs) {
            host.run(&command)?;
        }
        let Some([_, grow, _]) = self.mounted(fs) else { return Ok(()) };
        let mut mounted = Mounted::below(host, &self.mount_point)?;
        mounted.mount(&device, &self.mount_point, &fs.to_string())?;
        host.run(&grow)?;
        Ok(mounted.close()?)
    }

    /// What grows an ext file system, which must not be mounted for it.
    fn offline(&self, fs: FsType) -> Vec<Cmd> {
        let device = self.device();
        if fs.is_ext() { vec![grow::e2fsck(&device), grow::resize2fs(&device)] } else { Vec::new() }
    }

    /// What grows a file system that must be mounted for it.
    fn mounted(&self, fs: FsType) -> Option<[Cmd; 3]> {
        let point = self.mount_point.to_string_lossy();
        let grow = match fs {
            FsType::Xfs => grow::xfs_growfs(&point),
            FsType::Btrfs => grow::btrfs_resize(&point),
            _ => return None,
        };
        let mount = mount::mount(&self.device(), &self.mount_point, &fs.to_string());
        Some([mount, grow, mount::umount(&self.mount_point)])
    }
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;
    use bareon_image::Container;

    use super::*;

    #[test]
    fn what_grows_while_mounted_is_unmounted_also_when_it_fails() {
        let (tmp, write) = grown("btrfs");
        let dir = tmp.path().display();
        let host = Script::default()
            .ok("blkid -p -o export /dev/no1", "TYPE=xfs\n")
            .ok(&format!("mount -t xfs /dev/no1 {dir}"), "")
            .fails(&format!("xfs_growfs -d {dir}"), 1, "no space")
            .fails(&format!("umount {dir}"), 32, "target is busy")
            .ok(&format!("umount {dir}"), "");
        let error = write.grow(&host).unwrap_err();
        assert!(error.to_string().contains("no space"), "{error}");
        assert_eq!(error.target_state(), TargetState::Written);
    }

    #[test]
    fn several_signatures_are_not_guessed_at() {
        let (_tmp, write) = grown("ext4");
        let host = Script::default().fails("blkid -p -o export /dev/no1", 8, "ambivalent result");
        let error = write.grow(&host).unwrap_err().to_string();
        assert!(error.contains("`wipefs /dev/no1`"), "{error}");
    }

    /// An image for a device that does not exist, whose file system is to be grown.
    fn grown(fs: &str) -> (tempfile::TempDir, WriteImage) {
        let tmp = tempfile::tempdir().unwrap();
        let request =
            Request { uris: vec!["/nowhere".into()], container: Some(Container::Raw), ..Request::default() };
        let grow = Some(fs.parse().unwrap());
        let mount_point = tmp.path().into();
        (
            tmp,
            WriteImage {
                request,
                target: "/dev/no1".into(),
                ground: None,
                up: None,
                grow,
                mount_point,
                if_there: false,
            },
        )
    }
}
