//! Where a torrent that is streamed is kept, by its length: in memory up to `memory_limit`, else on a disk that was
//! named for it. There is no third way: it is refused.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use nix::fcntl::{FallocateFlags, fallocate};

use super::store::{Memory, Region, Store};
use crate::{ImageError, Options, Spare, pipeline::ceiling};

/// A place for `length` bytes of the torrent `uri`.
///
/// # Errors
/// When there is none.
pub fn place(uri: &str, length: u64, options: &Options) -> Result<Arc<dyn Store>, ImageError> {
    let memory = options.memory_limit.saturating_sub(ceiling(options) as u64);
    if length <= memory {
        return Ok(Arc::new(Memory::new(length)));
    }
    if let Some(folder) = &options.torrent.spool {
        let full = |source| ImageError::TorrentSpool { path: folder.clone(), length, source };
        let file = reserved(folder, length).map_err(full)?;
        return Ok(Arc::new(Region { path: folder.clone(), file, from: 0 }));
    }
    if let Some(Spare { path, from, end }) = &options.torrent.spare
        && end.saturating_sub(*from) >= length
    {
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let file = opened.map_err(|source| ImageError::Open { path: path.clone(), source })?;
        return Ok(Arc::new(Region { path: path.clone(), file, from: end - length }));
    }
    Err(ImageError::TorrentRoom { uri: uri.to_owned(), length, memory })
}

/// A file of `length` bytes in `folder` that is gone when it is closed. Its blocks are there from the beginning.
fn reserved(folder: &Path, length: u64) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".bareon-torrent-{}-{number}", process::id()));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    let size = i64::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
    match fallocate(&file, FallocateFlags::empty(), 0, size) {
        // A file system that cannot reserve reports a lack of room when it is there.
        Ok(()) | Err(nix::Error::EOPNOTSUPP) => Ok(file),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TorrentOptions;

    fn options(torrent: TorrentOptions) -> Options {
        Options { memory_limit: 20 << 20, torrent, ..Options::default() }
    }

    #[test]
    fn what_is_too_large_for_memory_goes_where_was_said_or_nowhere() {
        let none = options(TorrentOptions::default());
        let free = none.memory_limit - ceiling(&none) as u64;
        assert!(place("u", free, &none).is_ok());
        let message = place("u", free + 1, &none).err().unwrap().to_string();
        assert!(message.contains("memory_limit") && message.contains("torrent_spool"), "{message}");

        let folder = tempfile::tempdir().unwrap();
        let spool = TorrentOptions { spool: Some(folder.path().into()), ..TorrentOptions::default() };
        let store = place("u", free + 1, &options(spool.clone())).unwrap();
        store.write_at(free, &[7]).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(place("u", 1 << 60, &options(spool)).is_err());
    }

    #[test]
    fn the_end_of_the_target_is_used_where_it_is_large_enough() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        let spare = |end| Some(Spare { path: disk.path().into(), from: 1000, end });
        let with = |end| options(TorrentOptions { spare: spare(end), ..TorrentOptions::default() });
        let length = 30 << 20;
        place("u", length, &with(length + 2000)).unwrap().write_at(5, b"x").unwrap();
        assert_eq!(fs::read(disk.path()).unwrap().len(), 2006);
        assert!(place("u", length, &with(length + 999)).is_err());
    }
}
