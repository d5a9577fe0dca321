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

use std::{collections::BTreeSet, path::PathBuf};

use bareon_host::{Cmd, Runner, cmd::quoted, mkfs::FsType, tar::extract};
use bareon_image::{Device, Options, Progress, Request, Target, TargetState, WriteError, Written, shown};

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
    /// The disks that the target lies on; none where that is not known.
    pub disks: BTreeSet<String>,
    /// Other targets of the same image on other disks, so that it is fetched once.
    pub along: Vec<WriteImage>,
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
        self.all().flat_map(Self::own_commands).collect()
    }

    fn own_commands(&self) -> Vec<Cmd> {
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
            (Some(spool), _) => spool.by_hand(&self.device()),
            (None, Content::Tree(_)) => extract(&self.mount_point).to_string(),
            (None, _) if self.along.is_empty() => {
                format!("dd of={} bs=1M conv=fsync", quoted(&self.device()))
            }
            (None, _) => {
                let devices: Vec<_> = self.devices().iter().map(|device| quoted(device)).collect();
                format!("tee {} >/dev/null && sync", devices.join(" "))
            }
        }
    }

    /// The device that is written.
    pub fn device(&self) -> String {
        self.target.to_string_lossy().into_owned()
    }

    /// All devices that are written.
    pub fn devices(&self) -> Vec<String> {
        self.all().map(Self::device).collect()
    }

    /// This, and what is written along.
    fn all(&self) -> impl Iterator<Item = &Self> {
        [self].into_iter().chain(&self.along)
    }

    /// Whether both can be written at once: they lie on different disks, and neither is kept in memory meanwhile.
    pub fn is_apart_from(&self, other: &Self) -> bool {
        let disks = |image: &Self| image.all().flat_map(|one| one.disks.clone()).collect::<BTreeSet<_>>();
        let known = [self, other]
            .iter()
            .all(|image| image.spool.is_none() && image.all().all(|one| !one.disks.is_empty()));
        known && disks(self).is_disjoint(&disks(other))
    }

    /// Whether the data of both come in one go: it is the same image, and it is written as it comes.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let as_it_comes = |image: &Self| !image.if_there && !matches!(image.content, Content::Tree(_));
        self.request == other.request && as_it_comes(self) && as_it_comes(other) && self.is_apart_from(other)
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
        for one in self.all() {
            if let Some(up) = &one.up {
                up.run(host, &Kernel::default())?;
            }
            if let Some(ground) = &one.ground {
                ground.check(&Kernel::default())?;
            }
        }
        self.warn_of_weak_sums();
        let written = self.write(host, options, progress)?;
        for one in self.all() {
            one.finish(host)?;
        }
        Ok(written)
    }

    /// Writes all targets at once.
    fn write(
        &self,
        host: &(dyn Runner + Sync),
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Written, CopyImageError> {
        match (&self.spool, &self.content) {
            (Some(spool), _) => return spool.run(self, host, options, progress),
            (None, Content::Tree(make)) => return tree::write(self, make, host, options, progress),
            (None, _) => {}
        }
        let mut devices = Vec::new();
        for one in self.all() {
            devices.push(match &one.content {
                Content::Disk(disk) => {
                    disk::forget(&one.device(), host)?;
                    disk.open(&one.target)?
                }
                _ => Device::open(&one.target)?,
            });
        }
        let written = bareon_image::write_devices(&self.request, options, &mut devices, progress);
        Ok(written.map_err(|error| WriteError { error, target: state(&devices) })?)
    }

    /// Has the image fill its device.
    fn finish(&self, host: &dyn Runner) -> Result<(), CopyImageError> {
        let device = self.device();
        match &self.content {
            Content::FileSystem(Some(fs)) => self.growth(&device).run(host, Some(*fs))?,
            Content::Disk(disk) => disk.settle_in(&self.target, &self.mount_point, host)?,
            Content::FileSystem(None) | Content::Tree(_) => {}
        }
        Ok(())
    }

    /// Tells where nothing keeps another image from being taken for this one. What this system made itself is its own.
    fn warn_of_weak_sums(&self) {
        let Request { uris, sums, container_sums, .. } = &self.request;
        let sums = self.spool.as_ref().map_or(sums, |spool| &spool.sums);
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

/// What can be said of all devices that an image was written to.
fn state(devices: &[Device]) -> TargetState {
    let states: Vec<_> = devices.iter().map(Target::state).collect();
    match states[..] {
        _ if states.contains(&TargetState::Doubtful) => TargetState::Doubtful,
        [first, ref rest @ ..] if rest.iter().all(|state| *state == first) => first,
        _ => TargetState::Cleared,
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
                disks: BTreeSet::new(),
                along: Vec::new(),
            },
        )
    }
}
