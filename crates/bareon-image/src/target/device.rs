//! A block device, or a regular file that stands for one.
//!
//! A device is opened exclusively (`O_EXCL`): the kernel refuses what is mounted or held by LVM, md and the like,
//! and refuses them while we write. Its data go around the page cache (`O_DIRECT`): on a loop device that took a
//! third of the time and two thirds of the processor time of buffered writes, a fault is reported where it happens,
//! and nothing is left to flush for minutes at the end. What direct I/O cannot take, a last part that is no whole
//! block, and regular files go through the cache, which is flushed every [`FLUSH_EVERY`] bytes.
//!
//! Zeros are never taken for granted: where the image has them, the device is told to make the range read as zeros
//! (`fallocate(2)` on it: `FALLOC_FL_PUNCH_HOLE`, which the kernel only grants where zeros are promised, else
//! `FALLOC_FL_ZERO_RANGE`), and where it can do neither, they are written. Runs of them go in one request.
//!
//! The first MiB is zeroed before anything else and written last, in [`Device::commit`], which reads it back.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    ops::Range,
    os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, PosixFadviseAdvice, fallocate, fcntl, posix_fadvise};

use super::Target;
use crate::{
    ImageError, MIB, TargetState,
    pool::{ALIGN, Aligned},
    zeros::is_zero,
};

/// How many bytes may wait in the page cache.
const FLUSH_EVERY: u64 = 64 * MIB;

/// How much of the beginning is held back until all else is in order, in bytes.
const HEAD: usize = 1 << 20;

/// How many zeros go in one request at most, in bytes: some disks take seconds for more.
const ZEROS: u64 = 256 * MIB;

/// In which pieces zeros are looked for, in bytes.
const GRAIN: usize = 64 << 10;

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
    /// Whether it can be told to make a range read as zeros.
    zeroes: bool,
    head: Vec<u8>,
    at: u64,
    /// Zeros before `at` that it was not told of yet.
    pending: u64,
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
            zeroes: true,
            head: Vec::new(),
            at: 0,
            pending: 0,
            unflushed: 0,
        })
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

    /// Writes what comes after the head, or counts its zeros.
    fn body(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        let mut data = 0..0;
        let mut at = 0;
        while at < bytes.len() {
            let piece = at..bytes.len().min(at + GRAIN);
            let next = piece.end;
            // Pieces that are no whole grain are not worth a request of their own.
            if piece.len() == GRAIN && is_zero(&bytes[piece.clone()]) {
                self.data(&bytes[data])?;
                self.pending += GRAIN as u64;
                self.at += GRAIN as u64;
                if self.pending >= ZEROS {
                    self.zero_pending()?;
                }
                data = next..next;
            } else {
                data.end = next;
            }
            at = next;
        }
        self.data(&bytes[data])
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        if !bytes.is_empty() {
            self.zero_pending()?;
            self.put(self.at, bytes)?;
            self.at += bytes.len() as u64;
        }
        Ok(())
    }

    /// Makes the zeros that wait.
    fn zero_pending(&mut self) -> Result<(), ImageError> {
        let zeros = self.at - self.pending..self.at;
        self.pending = 0;
        self.zero(zeros)
    }

    /// Makes a range read as zeros.
    fn zero(&mut self, range: Range<u64>) -> Result<(), ImageError> {
        if range.is_empty() || (self.zeroes && self.tell_zeros(&range)?) {
            return Ok(());
        }
        self.zeroes = false;
        let zeros = Aligned::new(HEAD);
        let mut at = range.start;
        while at < range.end {
            let length = usize::try_from(range.end - at).unwrap_or(HEAD).min(HEAD);
            self.put(at, &zeros[..length])?;
            at += length as u64;
        }
        Ok(())
    }

    /// False where the device cannot be told so.
    fn tell_zeros(&self, range: &Range<u64>) -> Result<bool, ImageError> {
        let failed = |source| ImageError::Write { path: self.path.clone(), at: range.start, source };
        if self.room.is_none() {
            // What a file has not yet is zeros in any case.
            let size = self.file.metadata().map_err(failed)?.len();
            if size < range.end {
                self.file.set_len(range.end).map_err(failed)?;
            }
        }
        let big = |_| failed(io::Error::from_raw_os_error(libc::EFBIG));
        let start = i64::try_from(range.start).map_err(big)?;
        let length = i64::try_from(range.end - range.start).map_err(big)?;
        let kept = FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let ways = [FallocateFlags::FALLOC_FL_PUNCH_HOLE, FallocateFlags::FALLOC_FL_ZERO_RANGE];
        // A disk that fails here fails at the writes that take its place, too, and says there what is wrong.
        Ok(ways.into_iter().any(|way| fallocate(&self.file, way | kept, start, length).is_ok()))
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

    /// Gives a range to `take` as the medium has it; `take` says whether to go on.
    fn reread(&mut self, range: Range<u64>, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), ImageError> {
        let mut buffer = Aligned::new(HEAD);
        let mut at = range.start;
        self.set_direct(self.room.is_some());
        if !self.direct {
            // Else what was just written would be found in the page cache. A hint only: not all of it need be gone.
            let _ = posix_fadvise(&self.file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
        while at < range.end {
            let length = usize::try_from(range.end - at).unwrap_or(HEAD).min(HEAD);
            if !length.is_multiple_of(ALIGN) {
                self.set_direct(false);
            }
            let failed = |source| ImageError::ReadBack { path: self.path.clone(), at, source };
            self.file.read_exact_at(&mut buffer[..length], at).map_err(failed)?;
            if !take(&buffer[..length]) {
                break;
            }
            at += length as u64;
        }
        Ok(())
    }

    /// Writes the beginning, and looks whether it stands there.
    fn write_head(&mut self, head: &[u8]) -> Result<(), ImageError> {
        self.set_direct(false);
        self.put(0, head)?;
        self.flush()?;
        let mut stands = true;
        let mut at = 0;
        self.reread(0..head.len() as u64, &mut |bytes| {
            stands &= head[at..].starts_with(bytes);
            at += bytes.len();
            true
        })?;
        if stands { Ok(()) } else { Err(self.differs()) }
    }
}

impl Target for Device {
    fn check_room(&self, needs: u64, exact: bool) -> Result<(), ImageError> {
        match self.room {
            Some(room) if needs > room => {
                Err(ImageError::NoRoom { path: self.path.clone(), room, needs, exact })
            }
            _ => Ok(()),
        }
    }

    /// Those of the beginning are kept.
    fn write(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.check_room(self.at + bytes.len() as u64, false)?;
        if self.at == 0 && self.head.is_empty() {
            self.begin()?;
        }
        let (head, body) = bytes.split_at((HEAD - self.head.len()).min(bytes.len()));
        self.head.extend_from_slice(head);
        self.at += head.len() as u64;
        self.body(body)
    }

    fn commit(&mut self) -> Result<(), ImageError> {
        self.zero_pending()?;
        self.flush()?;
        let head = std::mem::take(&mut self.head);
        let written = self.write_head(&head);
        if written.is_err() {
            self.set_direct(false);
            // Half of it may stand there. If even this fails, the first error tells more.
            let _ = self.put(0, &vec![0; head.len()]).and_then(|()| self.flush());
        } else {
            self.state = TargetState::Written;
        }
        written
    }

    /// The beginning, which is not there yet, is given as it will be: [`Device::commit`] looks at it.
    fn read_back(&mut self, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool, ImageError> {
        self.zero_pending()?;
        self.flush()?;
        let head = std::mem::take(&mut self.head);
        let read = if take(&head) { self.reread(head.len() as u64..self.at, take) } else { Ok(()) };
        self.head = head;
        read.map(|()| true)
    }

    fn differs(&self) -> ImageError {
        ImageError::Differs { path: self.path.clone() }
    }

    fn state(&self) -> TargetState {
        self.state
    }
}
