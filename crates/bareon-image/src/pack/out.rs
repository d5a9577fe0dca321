//! The new file: made by us, and removed again unless it came to its end.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::{PackError, blocks::Block};
use crate::zeros::is_zero;

/// The size of what is left out where it holds only zeros, in bytes.
const GRAIN: usize = 1 << 14;

/// See the module.
#[derive(Debug)]
pub struct Out {
    path: PathBuf,
    file: File,
    at: u64,
    whole: bool,
}

impl Out {
    /// Makes the file `path`.
    ///
    /// # Errors
    /// When it is there already or cannot be made.
    pub fn create(path: &Path) -> Result<Self, PackError> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|source| PackError::Create { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), file, at: 0, whole: false })
    }

    /// How many bytes it has.
    pub fn written(&self) -> u64 {
        self.at
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        self.file
            .write_all_at(bytes, self.at)
            .map_err(|source| PackError::write(&self.path, self.at, source))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Adds a block, with holes for its zeros.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_sparse(&mut self, block: &Block) -> Result<(), PackError> {
        let Block::Data(data) = block else {
            self.at += block.len() as u64;
            return Ok(());
        };
        for grain in data.chunks(GRAIN) {
            if is_zero(grain) {
                self.at += grain.len() as u64;
            } else {
                self.write(grain)?;
            }
        }
        Ok(())
    }

    /// Whether the open file `raw` may be renamed to this one.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn may_take(&self, raw: &File) -> Result<bool, PackError> {
        let failed = |source| PackError::Create { path: self.path.clone(), source };
        let (there, here) = (raw.metadata().map_err(failed)?, self.file.metadata().map_err(failed)?);
        Ok(there.is_file() && there.dev() == here.dev())
    }

    /// Puts the file `raw`, which is open, in its place; false when that is on another mount.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn take(&mut self, raw: &Path, opened: &File) -> Result<bool, PackError> {
        let failed = |source| PackError::Create { path: self.path.clone(), source };
        match fs::rename(raw, &self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        self.file = opened.try_clone().map_err(failed)?;
        self.at = opened.metadata().map_err(failed)?.len();
        Ok(true)
    }

    /// Flushes it, and keeps it.
    ///
    /// # Errors
    /// When it cannot be flushed; it is removed then.
    pub fn finish(mut self) -> Result<(), PackError> {
        let flushed = match self.file.metadata() {
            // Where the end is a hole.
            Ok(now) if now.len() != self.at => self.file.set_len(self.at).and_then(|()| self.file.sync_all()),
            Ok(_) => self.file.sync_all(),
            Err(error) => Err(error),
        };
        flushed.map_err(|source| PackError::write(&self.path, self.at, source))?;
        self.whole = true;
        Ok(())
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        if !self.whole
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("{} is not whole, and cannot be removed: {error}", self.path.display());
        }
    }
}
