//! ext2, ext3 and ext4: `mke2fs -d` fills them without a mount, in the order of names.
//!
//! - Every feature is named, and the host's `mke2fs.conf` not read: the same everywhere, and nothing that GRUB 2.06 or
//!   the system's own e2fsck would refuse. Blocks of 4096 bytes suit disks with such sectors; inodes are as many as a
//!   disk of the usual kind has, as they grow with it in the same proportion.
//! - The size is computed ([`size`]): `resize2fs -M` keeps more for itself than is needed, and moves what lies well.
//! - mke2fs 1.47 takes over all times of a file, of which its last change is the clock's, and not the looks of the
//!   folder itself: [`inodes`] sets both in the file.

mod inodes;
mod size;

use std::{fs, path::Path};

use bareon_host::{Runner, fsck, mke2fs, mkfs::FsType};
use tempfile::NamedTempFile;

pub use size::Content;

use super::{Era, FILE_SYSTEM, Look, PackError, Source};
use crate::objects::build::ImageFormat;

/// Makes `raw`, an empty file, the file system with all of a folder.
pub fn make(
    host: &dyn Runner,
    source: &Source<'_>,
    format: ImageFormat,
    era: Era,
    look: &Look,
    raw: &Path,
) -> Result<(), PackError> {
    let folder = source.folder;
    let content = Content::of(folder, format == ImageFormat::Ext4)?;
    let size = size::Size::of(&content, format, source.free);
    let new = mke2fs::New {
        folder,
        file: raw,
        features: &features(format, era),
        blocks: size.blocks,
        inodes: size.inodes,
        journal_mib: size.journal_mib,
        uuid: &look.uuid(FILE_SYSTEM),
        hash_seed: &look.uuid("hash seed"),
        epoch: look.epoch,
    };
    host.run(&mke2fs::mke2fs(&new)).map_err(PackError::making(raw))?;
    attributes(host, folder, look.epoch, raw)?;
    let top = fs::symlink_metadata(folder).map_err(|error| PackError::file("reading", folder, error))?;
    inodes::set(raw, &top, look.epoch)?;
    check(host, raw)
}

/// Gives the top of the file system the attributes of `folder`.
fn attributes(host: &dyn Runner, folder: &Path, epoch: u64, raw: &Path) -> Result<(), PackError> {
    let failed = |error| PackError::file("reading the attributes of", folder, error);
    let mut names: Vec<_> = xattr::list(folder).map_err(failed)?.collect();
    names.sort_unstable();
    for name in names {
        let Some(value) = xattr::get(folder, &name).map_err(failed)? else { continue };
        let beside = raw.parent().unwrap_or(raw);
        let file = NamedTempFile::new_in(beside);
        let file = file.map_err(|error| PackError::file("making a file in", beside, error))?;
        fs::write(file.path(), value).map_err(|error| PackError::file("writing", file.path(), error))?;
        let cmd = mke2fs::set_attribute(raw, &name.to_string_lossy(), file.path(), epoch);
        let said = host.run(&cmd).map_err(PackError::making(raw))?;
        // Its status is 0 whatever happens; without an error it says its version only.
        if let Some(complaint) = said.stderr.lines().find(|line| !line.starts_with("debugfs ")) {
            return Err(PackError::Unsound { path: raw.into(), complaint: complaint.into() });
        }
    }
    Ok(())
}

/// The file system that mke2fs and we wrote is whole.
fn check(host: &dyn Runner, raw: &Path) -> Result<(), PackError> {
    let Some(cmd) = fsck::check(FsType::Ext4, &raw.to_string_lossy()) else { return Ok(()) };
    match fsck::verdict(FsType::Ext4, &host.run(&cmd)?) {
        fsck::Verdict::Sound => Ok(()),
        fsck::Verdict::NotUnmounted => {
            Err(PackError::Unsound { path: raw.into(), complaint: "its journal is not empty".into() })
        }
        fsck::Verdict::Damaged(complaint) => Err(PackError::Unsound { path: raw.into(), complaint }),
    }
}

/// The features by mke2fs's names; those of ext4 are its defaults of 2016 to 2022.
fn features(format: ImageFormat, era: Era) -> String {
    let mut features =
        vec!["none", "ext_attr", "resize_inode", "dir_index", "filetype", "sparse_super", "large_file"];
    if format != ImageFormat::Ext2 {
        features.push("has_journal");
    }
    if format == ImageFormat::Ext4 {
        features.extend(["extent", "flex_bg", "huge_file", "dir_nlink", "extra_isize"]);
        if era > Era::Old {
            features.extend(["64bit", "metadata_csum"]);
        }
    }
    features.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_feature_is_newer_than_the_system() {
        let of = |format, era| features(format, era);
        assert!(of(ImageFormat::Ext4, Era::New).ends_with("extra_isize,64bit,metadata_csum"));
        assert!(of(ImageFormat::Ext4, Era::Old).ends_with("extra_isize"));
        assert!(of(ImageFormat::Ext3, Era::New).ends_with("large_file,has_journal"));
        assert!(of(ImageFormat::Ext2, Era::New).ends_with("large_file"));
    }
}
