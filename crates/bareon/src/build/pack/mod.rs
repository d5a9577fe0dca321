//! From a finished tree to files: images of file systems, a tar archive, a whole disk.
//!
//! | what | by | same tree, same bytes |
//! |---|---|---|
//! | ext2, ext3, ext4 | `mke2fs -d`: no mount, no root | yes; times are set by us, in the file |
//! | xfs | the kernel, on a loop device | no: it lays files where it likes |
//! | btrfs | the kernel, on a loop device; `mkfs.btrfs --rootdir` without root | no: the same, and ids are random |
//! | tar | GNU tar | yes |
//! | disk | sfdisk and GRUB on a plain file | yes, where its file system is ext |
//!
//! The tree is changed for a while where a file must not hold all of it (an image without what lies in others) or
//! more than it (a disk's boot loader): [`edit`] does that and undoes it.
//!
//! All ids are made from what is built ([`Look`]), no time in a file is later than the build's epoch.

mod btrfs;
mod disk;
mod edit;
mod era;
mod error;
mod ext;
mod look;
mod mounted;
mod place;
mod tarball;
mod xfs;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use bareon_host::Runner;

pub use disk::disk;
pub use error::PackError;
pub use look::Look;
pub use tarball::tar;

use self::{edit::Edit, era::Era};
use crate::{
    objects::build::{ImageFormat, TreeImage},
    steps::folder,
};

/// Makes the file `raw`, a file system that holds the tree's folder `image.mount` and no more.
///
/// `others` are the mount points of the other images: those below stay as empty folders. The file is sparse, and as
/// small as its content allows with 16 MiB left free: it is grown where it is installed.
///
/// One call at a time for one tree, as the tree is changed for a while.
///
/// # Errors
/// When the file system needs root and there is none, and what [`PackError`] says.
pub fn file_system(
    host: &dyn Runner,
    tree: &Path,
    image: &TreeImage,
    others: &[PathBuf],
    look: &Look,
    raw: &Path,
) -> Result<(), PackError> {
    let mut edit = Edit::new(tree)?;
    edit.folder(&image.mount)?;
    for other in outermost(&image.mount, others) {
        edit.hollow(other)?;
    }
    let folder = place::within(tree, &image.mount)?;
    let look = look.of(&image.mount.to_string_lossy());
    let source = Source { tree, folder: &folder, free: FREE };
    let made = fill(host, &source, image.format, &look, raw);
    first(made, edit.close())
}

/// What an image of a file system has free, in bytes: enough for a boot before it is grown.
const FREE: u64 = 16 << 20;

/// What the UUID of a file system is made for.
const FILE_SYSTEM: &str = "file system";

/// Whether this process may make images of `format`: to be asked before a build begins.
///
/// # Errors
/// When it needs root and there is none.
pub fn may_make(format: ImageFormat) -> Result<(), PackError> {
    if format == ImageFormat::Xfs && !mounted::possible() {
        return Err(PackError::NeedsRoot { format: format.name() });
    }
    Ok(())
}

/// What a file system is filled with.
struct Source<'t> {
    /// The whole system: it tells which features its programs know.
    tree: &'t Path,
    /// The folder of it that goes into the file system.
    folder: &'t Path,
    /// What is left free for users, in bytes.
    free: u64,
}

/// Makes the file `raw` anew with a file system that holds all of a folder.
fn fill(
    host: &dyn Runner,
    source: &Source<'_>,
    format: ImageFormat,
    look: &Look,
    raw: &Path,
) -> Result<(), PackError> {
    let era = Era::of(source.tree);
    new_file(raw)?;
    match format {
        ImageFormat::Ext2 | ImageFormat::Ext3 | ImageFormat::Ext4 => {
            ext::make(host, source, format, era, look, raw)
        }
        ImageFormat::Xfs => xfs::make(host, source, era, look, raw),
        ImageFormat::Btrfs => btrfs::make(host, source, era, look, raw),
    }
}

/// An empty file in place of whatever is there.
fn new_file(raw: &Path) -> Result<(), PackError> {
    folder::remove_file(raw).map_err(|error| PackError::file("removing", raw, error))?;
    File::create_new(raw).map_err(|error| PackError::file("making", raw, error))?;
    Ok(())
}

/// The mount points below `mount` that lie in no other one of them.
fn outermost<'p>(mount: &Path, others: &'p [PathBuf]) -> Vec<&'p Path> {
    let below = |dir: &Path, top: &Path| dir != top && dir.starts_with(top);
    let inside: Vec<_> = others.iter().map(PathBuf::as_path).filter(|other| below(other, mount)).collect();
    let mut found: Vec<_> =
        inside.iter().copied().filter(|other| !inside.iter().any(|top| below(other, top))).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The first error of two deeds that were both done; the later one is logged.
fn first<T>(made: Result<T, PackError>, closed: Result<(), PackError>) -> Result<T, PackError> {
    match (made, closed) {
        (Ok(made), closed) => closed.map(|()| made),
        (Err(error), closed) => {
            if let Err(second) = closed {
                tracing::warn!("{second}");
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_other_images_is_left_out_once() {
        let all: Vec<_> =
            ["/", "/boot", "/var/log", "/var", "/boot/efi", "/variety"].map(PathBuf::from).into();
        let of = |mount: &str| outermost(Path::new(mount), &all);
        assert_eq!(of("/"), ["/boot", "/var", "/variety"].map(Path::new));
        assert_eq!(of("/var"), ["/var/log"].map(Path::new));
        assert_eq!(of("/var/log"), Vec::<&Path>::new());
    }
}
