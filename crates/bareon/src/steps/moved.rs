//! Files of an image that lie below a mount point of the layout are moved onto the file system that is mounted there.
//!
//! An image of `/` has a `/var`, too. Where the layout has a file system of its own there, without an image, its mount
//! would hide them. So after the images are written both are mounted side by side, the files copied with all that is known
//! of them, and then, when they stand on the disk, removed where they came from. The folder itself stays: it is the mount
//! point.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use bareon_host::{Cmd, CommandError, Runner, blkid, cp, mkfs::FsType, mount};

use super::{
    keep::{BringUp, KeepError},
    mounted::{MountError, Mounted},
    place::{Elsewhere, Ground},
};
use crate::hardware::usage::Kernel;

/// Files that are moved.
#[derive(Debug, Clone)]
pub struct MoveFiles {
    /// Where they lie.
    pub from: Side,
    /// The folder within that file system.
    pub folder: PathBuf,
    /// Where they go.
    pub to: Side,
    /// Where the two are mounted, in folders of their own.
    pub dir: PathBuf,
    /// What brings the two up, where they are arrays or volumes and this stage runs alone on a machine just booted.
    pub up: Option<BringUp>,
}

/// One of the two file systems.
#[derive(Debug, Clone)]
pub struct Side {
    /// Its device.
    pub device: String,
    /// Its type by the layout; what is found counts.
    pub fs_type: String,
    /// What it lies on by the layout.
    pub ground: Option<Ground>,
}

/// Files that could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// A command failed.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A device that is not the layout's.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
    /// An array or a volume that cannot be brought up.
    #[error(transparent)]
    Up(#[from] KeepError),
    /// Something could not be mounted, or not be unmounted with all that was written.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The files could not be copied.
    #[error("copying what the image has in {} onto {device}; is there room enough for it?", .folder.display())]
    Copy {
        /// The folder, as the installed system sees it.
        folder: PathBuf,
        /// Where they go.
        device: String,
        /// Why not.
        #[source]
        source: Box<CommandError>,
    },
    /// The folder could not be read or emptied.
    #[error("moving what the image on {device} has in {}", .folder.display())]
    Folder {
        /// The file system that it lies on.
        device: String,
        /// The folder within.
        folder: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl MoveFiles {
    /// What is run if there is anything to move.
    pub fn commands(&self) -> Vec<Cmd> {
        let (from, to) = (self.dir.join("from"), self.dir.join("to"));
        vec![
            mount::mount(&self.from.device, &from, &self.from.fs_type),
            mount::mount(&self.to.device, &to, &self.to.fs_type),
            self.copy(&self.to.fs_type),
            mount::umount(&to),
            mount::umount(&from),
        ]
    }

    fn source(&self) -> PathBuf {
        self.dir.join("from").join(&self.folder)
    }

    fn copy(&self, fs_type: &str) -> Cmd {
        let (from, to) = (self.source(), self.dir.join("to"));
        // FAT has no owners and permissions that could be kept.
        if fs_type.parse() == Ok(FsType::Vfat) { cp::plain(&from, &to) } else { cp::archive(&from, &to) }
    }

    /// Moves the files; does nothing where there are none.
    ///
    /// # Errors
    /// When they cannot be copied; then all of them are still where they were.
    pub fn run(&self, host: &dyn Runner) -> Result<(), MoveError> {
        let kernel = Kernel::default();
        if let Some(up) = &self.up {
            up.run(host, &kernel)?;
        }
        for ground in [&self.from, &self.to].into_iter().filter_map(|side| side.ground.as_ref()) {
            ground.check(&kernel)?;
        }
        let [from, to] = ["from", "to"].map(|name| self.dir.join(name));
        let failed = |source| MoveError::Folder {
            device: self.from.device.clone(),
            folder: Path::new("/").join(&self.folder),
            source,
        };
        let mut image = Mounted::below(host, &from)?;
        image.mount(&self.from.device, &from, &fs_type(host, &self.from)?)?;
        if is_there(&from, &self.folder).map_err(failed)? {
            let found = fs_type(host, &self.to)?;
            let mut target = Mounted::below(host, &to)?;
            target.mount(&self.to.device, &to, &found)?;
            host.run(&self.copy(&found)).map_err(|source| MoveError::Copy {
                folder: Path::new("/").join(&self.folder),
                device: self.to.device.clone(),
                source: source.into(),
            })?;
            // They must stand there before they go here.
            target.close()?;
            empty(&self.source()).map_err(failed)?;
        } else {
            tracing::info!("the image has nothing in /{}", self.folder.display());
        }
        Ok(image.close()?)
    }
}

/// The type of a file system as it is found, else by the layout.
fn fs_type(host: &dyn Runner, side: &Side) -> Result<String, CommandError> {
    let found = blkid::probed(&host.run(&blkid::probe(&side.device))?);
    Ok(found.fs_type.unwrap_or_else(|| side.fs_type.clone()))
}

/// Whether there is anything in `folder` below `root`. A link on the way is not followed: it leads out of the image.
fn is_there(root: &Path, folder: &Path) -> io::Result<bool> {
    let mut path = root.to_owned();
    for part in folder.components() {
        let Component::Normal(part) = part else { return Ok(false) };
        path.push(part);
        let found = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            found => found?,
        };
        if !found.is_dir() {
            tracing::warn!("/{} is no folder in the image, and nothing of it is moved", folder.display());
            return Ok(false);
        }
    }
    Ok(fs::read_dir(path)?.next().is_some())
}

/// Removes what is in a folder of a file system that we have mounted, and nobody has mounted anything below.
pub(super) fn empty(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_a_folder_holds_is_seen_and_links_are_not_followed() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir_all(tmp.path().join("var/lib/empty")).unwrap();
        fs::create_dir_all(tmp.path().join("srv/data")).unwrap();
        fs::write(tmp.path().join("srv/data/file"), "").unwrap();
        fs::write(tmp.path().join("file"), "").unwrap();
        symlink("srv", tmp.path().join("link")).unwrap();
        for (folder, there) in [
            ("srv", true),
            ("srv/data", true),
            ("var/lib", true),
            ("var/lib/empty", false),
            ("home", false),
            ("link", false),
            ("link/data", false),
            ("file", false),
        ] {
            assert_eq!(is_there(tmp.path(), Path::new(folder)).unwrap(), there, "{folder}");
        }
        empty(&tmp.path().join("srv")).unwrap();
        assert!(!is_there(tmp.path(), Path::new("srv")).unwrap() && tmp.path().join("srv").is_dir());
    }
}
