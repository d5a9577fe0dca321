//! A block device, or a regular file that stands for one.
//!
//! A device is opened exclusively (`O_EXCL`): the kernel refuses what is mounted or held by LVM, md and the like,
//! and refuses them while we write. Its data go around the page cache (`O_DIRECT`): on a loop device that took a
//! third of the time and two thirds of the processor time of buffered writes, a fault is reported where it happens,
//! and nothing is left to flush for minutes at the end. What direct I/O cannot take, a last part that is no whole
//! block, and regular files go through the cache, which is flushed every [`FLUSH_EVERY`] bytes.
//!
//! The first MiB is zeroed before anything else and written last, in [`Device::commit`].

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::{ImageError, MIB, TargetState, pool::ALIGN};

/// How many bytes may wait in the page cache.
const FLUSH_EVERY: u64 = 64 * MIB;

/// How much of the beginning is held back until all else is in order, in bytes.
const HEAD: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    file: File,
    state: TargetState,
    /// The size of a block device; a regular file grows.
    room: Option<u64>,
    /// Whether writes go around the page cache now.
    direct: bool,
    head: Vec<u8>,
    at: u64,
    unflushed: u64,
}

impl Device {
    /// Opens and claims what is at `path`; writes nothing.
    ///
    /// # Errors
    /// When it is not there, is something else, or is in use.
    pub fn open(path: &Path) -> Result<Self, ImageError> {
        let failed = |source: io::Error| match source.raw_os_error() {
            Some(libc::EBUSY) => ImageError::Busy { path: path.to_owned() },
            _ => ImageError::Open { path: path.to_owned(), source },
        };
        let kind = std::fs::metadata(path).map_err(failed)?.file_type();
        if !kind.is_block_device() && !kind.is_file() {
            return Err(ImageError::Kind { path: path.to_owned() });
        }
        let exclusive = if kind.is_block_device() { libc::O_EXCL } else { 0 };
        let mut file =
            OpenOptions::new().read(true).write(true).custom_flags(exclusive).open(path).map_err(failed)?;
        let room =
            if kind.is_block_device() { Some(file.seek(SeekFrom::End(0)).map_err(failed)?) } else { None };
        Ok(Self {
            path: path.to_owned(),
            file,
            state: TargetState::Untouched,
            room,
            direct: false,
            head: Vec::new(),
            at: 0,
            unflushed: 0,
        })
    }

    /// Refuses an image of `needs` bytes (`exact`), or of so many that were seen so far, if it does not fit.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_room(&self, needs: u64, exact: bool) -> Result<(), ImageError> {
        match self.room {
            Some(room) if needs > room => {
                Err(ImageError::NoRoom { path: self.path.clone(), room, needs, exact })
            }
            _ => Ok(()),
        }
    }

    /// How many bytes it was given.
    pub fn written(&self) -> u64 {
        self.at
    }

    /// What it holds now.
    pub fn state(&self) -> TargetState {
        self.state
    }

    /// Zeroes the beginning, so that what was there before is no file system any more.
    fn begin(&mut self) -> Result<(), ImageError> {
        self.state = TargetState::Cleared;
        let head = usize::try_from(self.room.unwrap_or(MIB)).unwrap_or(HEAD).min(HEAD);
        self.put(0, &vec![0; head])?;
        self.flush()?;
        self.set_direct(self.room.is_some());
        Ok(())
    }

    /// Writes the next bytes; those of the beginning are kept.
    ///
    /// # Errors
    /// When there is no room, or a write fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let next = self.at + bytes.len() as u64;
        self.check_room(next, false)?;
        if self.at == 0 {
            self.begin()?;
        }
        let (head, body) = bytes.split_at((HEAD - self.head.len()).min(bytes.len()));
        self.head.extend_from_slice(head);
        if !body.is_empty() {
            self.put(self.at + head.len() as u64, body)?;
        }
        self.at = next;
        Ok(())
    }

    /// Flushes, writes the beginning, and flushes again.
    ///
    /// # Errors
    /// When any of these fails.
    pub fn commit(&mut self) -> Result<(), ImageError> {
        self.flush()?;
        self.set_direct(false);
        let head = std::mem::take(&mut self.head);
        let written = self.put(0, &head).and_then(|()| self.flush());
        if written.is_err() {
            // Half of it may stand there. If even this fails, the first error tells more.
            let _ = self.put(0, &vec![0; head.len()]).and_then(|()| self.flush());
        } else {
            self.state = TargetState::Written;
        }
        written
    }

    fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), ImageError> {
        let mut done = 0;
        if self.direct {
            done = self.put_direct(at, bytes)?;
            if done == bytes.len() {
                return Ok(());
            }
            self.set_direct(false);
        }
        let at = at + done as u64;
        let failed = |source| ImageError::Write { path: self.path.clone(), at, source };
        self.file.write_all_at(&bytes[done..], at).map_err(failed)?;
        self.unflushed += (bytes.len() - done) as u64;
        if self.unflushed >= FLUSH_EVERY {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what of `bytes` direct I/O can take, and tells how much that was.
    fn put_direct(&self, at: u64, bytes: &[u8]) -> Result<usize, ImageError> {
        if !at.is_multiple_of(ALIGN as u64) || bytes.as_ptr().align_offset(ALIGN) != 0 {
            return Ok(0);
        }
        let whole = bytes.len() - bytes.len() % ALIGN;
        match self.file.write_all_at(&bytes[..whole], at) {
            Ok(()) => Ok(whole),
            // The device wants it otherwise; the page cache takes it in any case.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(0),
            Err(source) => Err(ImageError::Write { path: self.path.clone(), at, source }),
        }
    }

    /// Goes around the page cache from now on, or through it. Where there is no direct I/O, it goes through.
    fn set_direct(&mut self, direct: bool) {
        let flags = if direct { OFlag::O_DIRECT } else { OFlag::empty() };
        self.direct = fcntl(&self.file, FcntlArg::F_SETFL(flags)).is_ok() && direct;
    }

    fn flush(&mut self) -> Result<(), ImageError> {
        self.unflushed = 0;
        self.file.sync_all().map_err(|source| ImageError::Flush { path: self.path.clone(), source })
    }
}
