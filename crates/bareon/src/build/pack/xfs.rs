//! XFS. It can be made larger, never smaller: its size is estimated from what it will hold.
//!
//! Two builds of one tree differ in most of their bytes: where the kernel lays a file hangs on the moment at which it
//! writes it back, each new inode has a random generation, and its change the time of the clock. Contents, names,
//! owners, attributes, times of modification, the size and the UUID are the same.

use std::{fs::OpenOptions, path::Path};

use bareon_host::{Runner, mkfs, mkfs::FsType};

use super::{Era, FILE_SYSTEM, Look, PackError, Source, ext, may_make, mounted};
use crate::objects::build::ImageFormat;

/// The least that mkfs.xfs makes.
const LEAST: u64 = 300 << 20;

/// Makes `raw`, an empty file, the file system with all of a folder.
pub fn make(
    host: &dyn Runner,
    source: &Source<'_>,
    era: Era,
    look: &Look,
    raw: &Path,
) -> Result<(), PackError> {
    may_make(ImageFormat::Xfs)?;
    let content = ext::Content::of(source.folder, true)?;
    let file = OpenOptions::new().write(true).open(raw);
    file.and_then(|file| file.set_len(size(&content, source.free)))
        .map_err(|error| PackError::file("making", raw, error))?;
    let options = options(&look.uuid(FILE_SYSTEM), era);
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    host.run(&mkfs::mkfs(FsType::Xfs, &raw.to_string_lossy(), "", &options))
        .map_err(PackError::making(raw))?;
    mounted::fill(host, FsType::Xfs, source.folder, look, raw, &|_| Ok(()))
}

/// Its log has 64 MiB, the kernel keeps 5 % or 32 MiB for itself, and each inode takes 512 bytes.
fn size(content: &ext::Content, free: u64) -> u64 {
    let data = (content.blocks * 4096 + content.inodes * 768) * 21 / 20;
    (data + free + (112 << 20)).next_multiple_of(1 << 20).max(LEAST)
}

/// Two allocation groups and not four: they stay as large as they are when it is grown, and get too many.
fn options(uuid: &str, era: Era) -> Vec<String> {
    let features = match era {
        Era::Old => ",finobt=0,reflink=0,bigtime=0,inobtcount=0",
        Era::Middle => ",bigtime=0,inobtcount=0",
        Era::New => "",
    };
    let mut options = vec!["-d".into(), "agcount=2".into(), "-m".into(), format!("uuid={uuid}{features}")];
    if era < Era::New {
        options.extend(["-i", "sparse=0"].map(str::to_owned));
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_smaller_than_mkfs_takes() {
        assert_eq!(size(&ext::Content { blocks: 10, inodes: 10 }, 0), LEAST);
        assert!(size(&ext::Content { blocks: 250_000, inodes: 30_000 }, 0) > (976 + 64) << 20);
    }
}
