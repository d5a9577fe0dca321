//! A block device, or a regular file that stands for one, written at any place by any thread.
//!
//! A device is opened exclusively (`O_EXCL`): the kernel refuses what is mounted or held by LVM, md and the like,
//! and refuses them while we write. Its data go around the page cache (`O_DIRECT`): on a loop device that took a
//! third of the time and two thirds of the processor time of buffered writes, a fault is reported where it happens,
//! and nothing is left to flush for minutes at the end. What direct I/O cannot take, a last part that is no whole
//! block, and regular files go through the cache, which is flushed every [`FLUSH_EVERY`] bytes.
//!
//! Zeros are never taken for granted: where the image has them, the device is told to make the range read as zeros
//! (`fallocate(2)` on it: `FALLOC_FL_PUNCH_HOLE`, which the kernel only grants where zeros are promised, else
//! `FALLOC_FL_ZERO_RANGE`), and where it can do neither, they are written. A thin volume promises none, so they take room
//! of its pool; that a range reads as zeros already is no reason to leave it, as the other half of a mirror may differ.
//!
//! The first MiB is zeroed in [`Medium::begin`] and held in memory from then on; [`Medium::commit`] writes it last, after
//! all else was flushed, and reads it back.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    ops::Range,
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};

use crate::{
    ImageError, MIB, TargetState,
    pool::{ALIGN, Aligned},
};

/// How many bytes may wait in the page cache.
const FLUSH_EVERY: u64 = 64 * MIB;

/// How much of the beginning is held back until all else is in order, in bytes.
pub const HEAD: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub struct Medium {
    path: PathBuf,
    /// Through the page cache, and what holds the claim.
    cached: File,
    /// Around it, where that can be.
    direct: Option<File>,
    /// The size of a block device; a regular file grows.
    room: Option<u64>,
    /// Whether it can be told to make a range read as zeros.
    zeroes: AtomicBool,
    unflushed: AtomicU64,
    head: Mutex<Vec<u8>>,
    state: Mutex<TargetState>,
}

impl Medium {
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
        let open =
            |path: &Path, flags| OpenOptions::new().read(true).write(true).custom_flags(flags).open(path);
        let exclusive = if kind.is_block_device() { libc::O_EXCL } else { 0 };
        let mut cached = open(path, exclusive).map_err(failed)?;
        let (mut room, mut direct) = (None, None);
        if kind.is_block_device() {
            room = Some(cached.seek(SeekFrom::End(0)).map_err(failed)?);
            // The very device that was claimed, whatever its name stands for by now. Where there is no direct I/O, all
            // goes through the cache.
            let same = format!("/proc/self/fd/{}", cached.as_raw_fd());
            direct = open(Path::new(&same), libc::O_DIRECT).ok();
        }
        Ok(Self {
            path: path.to_owned(),
            cached,
            direct,
            room,
            zeroes: AtomicBool::new(true),
            unflushed: AtomicU64::new(0),
            head: Mutex::new(Vec::new()),
            state: Mutex::new(TargetState::Untouched),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it holds now.
    pub fn state(&self) -> TargetState {
        *lock(&self.state)
    }

    /// The size of a block device in bytes; a regular file grows.
    pub fn room(&self) -> Option<u64> {
        self.room
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

    /// Zeroes the beginning, so that what was there before is no file system any more. To be called before anything
    /// else is written.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self) -> Result<(), ImageError> {
        *lock(&self.state) = TargetState::Doubtful;
        let head = usize::try_from(self.room.unwrap_or(MIB)).unwrap_or(HEAD).min(HEAD);
        self.put(0, &Aligned::new(head))?;
        self.flush()?;
        *lock(&self.state) = TargetState::Cleared;
        Ok(())
    }

    /// Writes `bytes` at `at`; those of the beginning are kept in memory.
    ///
    /// # Errors
    /// When there is no room, or a write fails.
    pub fn write_at(&self, at: u64, bytes: &[u8]) -> Result<(), ImageError> {
        self.check_room(at + bytes.len() as u64, false)?;
        let body = in_head(at, bytes.len());
        if body > 0 {
            let mut head = lock(&self.head);
            // Less than a MiB, so it fits.
            let start = usize::try_from(at).unwrap_or(HEAD);
            let length = head.len().max(start + body);
            head.resize(length, 0);
            head[start..start + body].copy_from_slice(&bytes[..body]);
        }
        self.put(at + body as u64, &bytes[body..])
    }

    /// Makes a range read as zeros.
    ///
    /// # Errors
    /// When there is no room, or a write fails.
    pub fn zero_at(&self, range: Range<u64>) -> Result<(), ImageError> {
        self.check_room(range.end, false)?;
        let mut at = range.start;
        let told = |range: &Range<u64>| Ok(self.zeroes.load(Ordering::Relaxed) && self.tell_zeros(range)?);
        if at >= HEAD as u64 && told(&range)? {
            return Ok(());
        }
        let zeros = Aligned::new(HEAD);
        while at < range.end {
            let length = usize::try_from(range.end - at).unwrap_or(HEAD).min(HEAD);
            // Up to the end of the head, so that the rest begins at a block.
            let length = match in_head(at, length) {
                0 => length,
                within => within,
            };
            self.write_at(at, &zeros[..length])?;
            at += length as u64;
            if at >= HEAD as u64 && at < range.end && told(&(at..range.end))? {
                break;
            }
        }
        Ok(())
    }

    /// Reads what was written: the beginning from memory, and the rest from the medium itself.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_at(&self, at: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        let within = in_head(at, buffer.len());
        self.read_held(at, &mut buffer[..within]);
        self.read_medium(at + within as u64, &mut buffer[within..])
    }

    /// Reads what was written, wherever it is found first: in memory, in the page cache, on the medium.
    ///
    /// # Errors
    /// When it cannot be read.
    #[cfg(feature = "torrent")]
    pub fn read_cached(&self, at: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        let held = self.state() != TargetState::Written;
        let within = if held { in_head(at, buffer.len()) } else { 0 };
        self.read_held(at, &mut buffer[..within]);
        let at = at + within as u64;
        let failed = |source| ImageError::ReadBack { path: self.path.clone(), at, source };
        self.cached.read_exact_at(&mut buffer[within..], at).map_err(failed)
    }

    /// Reads a part of the beginning that is held in memory.
    fn read_held(&self, at: u64, buffer: &mut [u8]) {
        let head = lock(&self.head);
        let start = usize::try_from(at).unwrap_or(HEAD);
        for (byte, place) in buffer.iter_mut().zip(start..) {
            *byte = head.get(place).copied().unwrap_or_default();
        }
    }

    /// Reads what stands on the medium, the beginning also.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_medium(&self, at: u64, buffer: &mut [u8]) -> Result<(), ImageError> {
        let failed = |source| ImageError::ReadBack { path: self.path.clone(), at, source };
        let aligned = at.is_multiple_of(ALIGN as u64) && buffer.as_ptr().align_offset(ALIGN) == 0;
        let whole = if aligned { buffer.len() - buffer.len() % ALIGN } else { 0 };
        let mut done = 0;
        if let Some(direct) = &self.direct {
            match direct.read_exact_at(&mut buffer[..whole], at) {
                Ok(()) => done = whole,
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {}
                Err(e) => return Err(failed(e)),
            }
        }
        if done < buffer.len() {
            // Else what was just written would be found in the page cache. A hint only: not all of it need be gone.
            let _ = posix_fadvise(&self.cached, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
        self.cached.read_exact_at(&mut buffer[done..], at + done as u64).map_err(failed)
    }

    /// Writes a note to where the beginning will stand, which is zero until [`Medium::commit`] writes over it.
    ///
    /// # Errors
    /// When a write fails.
    pub fn note(&self, at: u64, bytes: &[u8]) -> Result<(), ImageError> {
        self.put(at, bytes)
    }

    /// Forgets the first MiB, which an image that begins anew brings again.
    pub fn forget(&self) {
        lock(&self.head).clear();
    }

    /// Flushes, writes the beginning, looks whether it stands there, and flushes again.
    ///
    /// # Errors
    /// When any of these fails; the beginning is zeroed then, where that can be.
    pub fn commit(&self) -> Result<(), ImageError> {
        self.flush()?;
        let head = std::mem::take(&mut *lock(&self.head));
        *lock(&self.state) = TargetState::Doubtful;
        let written = self.write_head(&head);
        if written.is_ok() {
            *lock(&self.state) = TargetState::Written;
        } else if self.through_cache(0, &vec![0; head.len()]).and_then(|()| self.flush()).is_ok() {
            // Half of it may have stood there. Where even this fails, the first error tells more.
            *lock(&self.state) = TargetState::Cleared;
        }
        written
    }

    /// The error for other bytes on the medium than were written.
    pub fn differs(&self) -> ImageError {
        ImageError::Differs { path: self.path.clone() }
    }

    /// Makes sure that what was written stands on the medium.
    ///
    /// # Errors
    /// When the kernel lost some of it.
    pub fn flush(&self) -> Result<(), ImageError> {
        self.unflushed.store(0, Ordering::Relaxed);
        self.cached.sync_all().map_err(|source| ImageError::Flush { path: self.path.clone(), source })
    }

    fn write_head(&self, head: &[u8]) -> Result<(), ImageError> {
        self.through_cache(0, head)?;
        self.flush()?;
        let mut found = Aligned::new(head.len());
        self.read_medium(0, &mut found)?;
        if found[..] == *head { Ok(()) } else { Err(self.differs()) }
    }

    /// False where the device cannot be told so.
    fn tell_zeros(&self, range: &Range<u64>) -> Result<bool, ImageError> {
        let failed = |source| ImageError::Write { path: self.path.clone(), at: range.start, source };
        if self.room.is_none() {
            // What a file has not yet is zeros in any case.
            let size = self.cached.metadata().map_err(failed)?.len();
            if size < range.end {
                self.cached.set_len(range.end).map_err(failed)?;
            }
        }
        let big = |_| failed(io::Error::from_raw_os_error(libc::EFBIG));
        let start = i64::try_from(range.start).map_err(big)?;
        let length = i64::try_from(range.end - range.start).map_err(big)?;
        let kept = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let ways = [FallocateFlags::FALLOC_FL_PUNCH_HOLE, FallocateFlags::FALLOC_FL_ZERO_RANGE];
        // A disk that fails here fails at the writes that take its place, too, and says there what is wrong.
        let told = ways.into_iter().any(|way| fallocate(&self.cached, way | kept, start, length).is_ok());
        if !told {
            self.zeroes.store(false, Ordering::Relaxed);
        }
        Ok(told)
    }

    fn put(&self, at: u64, bytes: &[u8]) -> Result<(), ImageError> {
        let done = self.around_cache(at, bytes)?;
        self.through_cache(at + done as u64, &bytes[done..])
    }

    /// Writes what of `bytes` direct I/O can take, and tells how much that was.
    fn around_cache(&self, at: u64, bytes: &[u8]) -> Result<usize, ImageError> {
        let Some(direct) = &self.direct else { return Ok(0) };
        if !at.is_multiple_of(ALIGN as u64) || bytes.as_ptr().align_offset(ALIGN) != 0 {
            return Ok(0);
        }
        let whole = bytes.len() - bytes.len() % ALIGN;
        match direct.write_all_at(&bytes[..whole], at) {
            Ok(()) => Ok(whole),
            // The device wants it otherwise; the page cache takes it in any case.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(0),
            Err(source) => Err(ImageError::Write { path: self.path.clone(), at, source }),
        }
    }

    fn through_cache(&self, at: u64, bytes: &[u8]) -> Result<(), ImageError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let failed = |source| ImageError::Write { path: self.path.clone(), at, source };
        self.cached.write_all_at(bytes, at).map_err(failed)?;
        let length = bytes.len() as u64;
        if self.unflushed.fetch_add(length, Ordering::Relaxed) + length >= FLUSH_EVERY {
            self.flush()?;
        }
        Ok(())
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many of `length` bytes from `at` on are of the beginning.
fn in_head(at: u64, length: usize) -> usize {
    HEAD.saturating_sub(usize::try_from(at).unwrap_or(HEAD)).min(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(cached: File) -> Medium {
        Medium {
            path: "/dev/no1".into(),
            cached,
            direct: None,
            room: Some(4 * MIB),
            zeroes: AtomicBool::new(true),
            unflushed: AtomicU64::new(0),
            head: Mutex::default(),
            state: Mutex::new(TargetState::Untouched),
        }
    }

    #[test]
    fn a_beginning_that_cannot_be_cleared_is_not_told_as_cleared() {
        let medium = over(OpenOptions::new().read(true).write(true).open("/dev/full").unwrap());
        let error = medium.begin().unwrap_err();
        assert!(matches!(error, ImageError::Write { at: 0, .. }), "{error:?}");
        assert_eq!(medium.state(), TargetState::Doubtful);
    }

    #[test]
    fn a_beginning_that_can_neither_be_written_nor_cleared_again_is_not_told_as_cleared() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4 * MIB).unwrap();
        let medium = over(file.reopen().unwrap());
        medium.begin().unwrap();
        assert_eq!(medium.state(), TargetState::Cleared);
        medium.write_at(0, b"beginning").unwrap();
        // No write of it succeeds from now on.
        let medium = Medium { cached: File::open(file.path()).unwrap(), ..medium };
        medium.commit().unwrap_err();
        assert_eq!(medium.state(), TargetState::Doubtful);
    }

    #[test]
    fn a_target_without_room_below_it_is_told_from_a_disk_that_fails() {
        let path = PathBuf::from("/dev/no1");
        for (number, words) in
            [(libc::ENOSPC, "is full"), (libc::EDQUOT, "is full"), (libc::EIO, "look for disk errors")]
        {
            let source = || io::Error::from_raw_os_error(number);
            let write = ImageError::Write { path: path.clone(), at: 4096, source: source() }.to_string();
            assert!(write.starts_with("writing /dev/no1 at byte 4096; ") && write.contains(words), "{write}");
            let flush = ImageError::Flush { path: path.clone(), source: source() }.to_string();
            assert!(flush.starts_with("flushing /dev/no1: ") && flush.contains(words), "{flush}");
        }
    }
}
