//! Images are written to what they are for, and made to fill it.
//!
//! The writing itself (fetch, unpack, verify, write) is `bareon-image`'s. What an image is of says where its data go and
//! what is done afterwards, in a file each:
//!
//! - `grow`: a file system, grown to its device
//! - `disk`: a whole disk, whose table is mended for the disk that it came to
//! - `tree`: an archive, unpacked into a file system that is made for it
//! - `qcow2`: a disk of QEMU, kept in a file until it is unpacked
//! - `error`: what goes wrong

mod disk;
mod error;
mod grow;
mod qcow2;
mod tree;

use std::path::PathBuf;

use bareon_host::{Cmd, Runner, cmd::quoted, mkfs::FsType, tar::extract};
use bareon_image::{Options, Progress, Request, Target, WriteError, Written, shown};

pub use disk::WholeDisk;
pub use error::CopyImageError;
pub use qcow2::{Room, Spool};

use super::{keep::BringUp, partitioning::MakeFs, place::Ground};
use crate::hardware::usage::Kernel;
use grow::Grow;

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
    /// What it is of.
    pub content: Content,
    /// Where it is kept until it is unpacked, where it is a qcow2.
    pub spool: Option<Spool>,
    /// Where a file system is mounted that only grows while mounted, or that an archive is unpacked into.
    pub mount_point: PathBuf,
    /// Whether it is written only if it is there: the config drive's image, which another stage makes.
    pub if_there: bool,
}

/// What an image is of.
#[derive(Debug, Clone)]
pub enum Content {
    /// Of a file system, which is grown where the input says that it is one that can be.
    FileSystem(Option<FsType>),
    /// Of a disk.
    Disk(WholeDisk),
    /// Of files, for a file system that is made for them.
    Tree(MakeFs),
}

impl WriteImage {
    /// The commands that are run for it, as far as they are known before.
    pub fn commands(&self) -> Vec<Cmd> {
        let device = self.device();
        let mut commands = Vec::new();
        if let Some(spool) = &self.spool {
            commands.extend(spool.commands(&device));
        }
        match &self.content {
            Content::FileSystem(fs) => {
                commands.extend(fs.iter().flat_map(|fs| self.growth(&device).commands(*fs)));
            }
            Content::Disk(disk) => commands.extend(disk.commands(&device)),
            Content::Tree(make) => commands.extend(tree::commands(make, &self.mount_point)),
        }
        commands
    }

    /// The command that takes the data of the image where somebody does by hand what is done here.
    pub fn by_hand(&self) -> String {
        match (&self.spool, &self.content) {
            (Some(spool), _) => format!("cat >{}", quoted(&spool.file().to_string_lossy())),
            (None, Content::Tree(_)) => extract(&self.mount_point).to_string(),
            (None, _) => format!("dd of={} bs=1M conv=fsync", quoted(&self.device())),
        }
    }

    /// The device that is written.
    pub fn device(&self) -> String {
        self.target.to_string_lossy().into_owned()
    }

    /// Writes the image and has it fill its device.
    ///
    /// # Errors
    /// When the target does not lie where the layout has it; when the image cannot be fetched, is not what
    /// was expected, or cannot be written; when its file system cannot be grown.
    pub fn run(
        &self,
        host: &(dyn Runner + Sync),
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
        let device = self.device();
        let written = match (&self.spool, &self.content) {
            (Some(spool), _) => spool.run(self, host, options, progress)?,
            (None, Content::FileSystem(_)) => {
                bareon_image::write(&self.request, options, &self.target, progress)?
            }
            (None, Content::Disk(disk)) => {
                disk::forget(&device, host)?;
                write_to(&self.request, options, &mut disk.target(&self.target)?, progress)?
            }
            (None, Content::Tree(make)) => tree::write(self, make, host, options, progress)?,
        };
        match &self.content {
            Content::FileSystem(Some(fs)) => self.growth(&device).run(host, Some(*fs))?,
            Content::Disk(disk) => disk.settle_in(&self.target, &self.mount_point, host)?,
            Content::FileSystem(None) | Content::Tree(_) => {}
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

    fn growth<'a>(&'a self, device: &'a str) -> Grow<'a> {
        Grow { device, mount_point: &self.mount_point }
    }
}

/// Writes an image to one target, which knows what it holds afterwards.
fn write_to(
    request: &Request,
    options: &Options,
    target: &mut dyn Target,
    progress: &dyn Progress,
) -> Result<Written, WriteError> {
    bareon_image::write_to(request, options, &mut [&mut *target], progress)
        .map_err(|error| WriteError { error, target: target.state() })
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;
    use bareon_image::{Container, TargetState};

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
        let error = write.growth("/dev/no1").run(&host, None).unwrap_err();
        assert!(error.to_string().contains("no space"), "{error}");
        assert_eq!(error.target_state(), TargetState::Written);
    }

    #[test]
    fn several_signatures_are_not_guessed_at() {
        let (_tmp, write) = grown("ext4");
        let host = Script::default().fails("blkid -p -o export /dev/no1", 8, "ambivalent result");
        let error = write.growth("/dev/no1").run(&host, None).unwrap_err().to_string();
        assert!(error.contains("`wipefs /dev/no1`"), "{error}");
    }

    /// An image for a device that does not exist, whose file system is to be grown.
    fn grown(fs: &str) -> (tempfile::TempDir, WriteImage) {
        let tmp = tempfile::tempdir().unwrap();
        let request =
            Request { uris: vec!["/nowhere".into()], container: Some(Container::Raw), ..Request::default() };
        let content = Content::FileSystem(Some(fs.parse().unwrap()));
        let mount_point = tmp.path().into();
        (
            tmp,
            WriteImage {
                request,
                target: "/dev/no1".into(),
                ground: None,
                up: None,
                content,
                spool: None,
                mount_point,
                if_there: false,
            },
        )
    }
}
