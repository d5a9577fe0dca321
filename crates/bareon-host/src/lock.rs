//! An exclusive lock on a block device, by the protocol of systemd's `BLOCK_DEVICE_LOCKING`.
//!
//! udev takes a shared lock on a whole disk while it probes it or its partitions. Who holds an
//! exclusive one is left alone: nothing is probed, assembled or re-read while the disk is rewritten.
//! See <https://systemd.io/BLOCK_DEVICE_LOCKING/>.

use std::{
    fs::File,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::runner;

/// How long somebody else's lock is waited for; udev holds its own for a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is tried again.
const POLL: Duration = Duration::from_millis(50);

/// A disk that could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else keeps it locked.
    #[error("locking {}: another program has kept it locked for {} s; `lslocks` shows which", .device.display(), PATIENCE.as_secs())]
    Held {
        /// The disk.
        device: PathBuf,
    },
    /// Somebody has it for himself: a mount, swap, a device on top of it, a program.
    #[error(
        "{} is in use by somebody who has it for himself; `lsblk`, `fuser -v {}` and `grep -l {} /proc/*/mountinfo` \
         may show who", .device.display(), .device.display(), .device.display()
    )]
    Claimed {
        /// The disk.
        device: PathBuf,
    },
    /// The run was told to stop while the lock was waited for.
    #[error("locking {} was given up, because the run was told to stop", .device.display())]
    Cancelled {
        /// The disk.
        device: PathBuf,
    },
    /// It cannot be opened or locked at all.
    #[error("locking {}", .device.display())]
    Io {
        /// The disk.
        device: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Looks whether nobody has `device` (a whole disk), or a partition of it, for himself: the kernel gives an
/// exclusive opener to one at a time, whatever its mount namespace.
///
/// # Errors
/// When somebody has, or it cannot be opened.
pub fn free(device: &Path) -> Result<(), LockError> {
    let opened = File::options().read(true).custom_flags(nix::libc::O_EXCL).open(device);
    match opened {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) => {
            Err(LockError::Claimed { device: device.into() })
        }
        Err(source) => Err(LockError::Io { device: device.into(), source }),
    }
}

/// A lock; it ends when this value does.
#[derive(Debug)]
pub struct DeviceLock(#[expect(dead_code, reason = "held for its lock alone")] Flock<File>);

/// Locks `device`, which must be a whole disk.
///
/// It is opened for reading only: closing a node that was open for writing makes udev look at it.
///
/// # Errors
/// When it cannot be opened, another program keeps its lock, or the run is told to stop meanwhile.
pub fn exclusive(device: &Path) -> Result<DeviceLock, LockError> {
    lock(device, runner::cancelled)
}

fn lock(device: &Path, cancelled: impl Fn() -> bool) -> Result<DeviceLock, LockError> {
    let failed = |source| LockError::Io { device: device.into(), source };
    let mut file = File::open(device).map_err(failed)?;
    let until = Instant::now() + PATIENCE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(DeviceLock(lock)),
            Err((_, Errno::EWOULDBLOCK)) if cancelled() => {
                return Err(LockError::Cancelled { device: device.into() });
            }
            Err((back, Errno::EWOULDBLOCK)) if Instant::now() < until => file = back,
            Err((_, Errno::EWOULDBLOCK)) => return Err(LockError::Held { device: device.into() }),
            Err((_, errno)) => return Err(failed(errno.into())),
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_a_lock_hears_that_the_run_is_to_stop() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let held = lock(file.path(), || true).unwrap();
        assert!(matches!(lock(file.path(), || true), Err(LockError::Cancelled { .. })));
        drop(held);
        assert!(lock(file.path(), || true).is_ok());
    }
}
