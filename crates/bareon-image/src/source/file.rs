//! A local file, or a block device.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use super::Source;
use crate::ImageError;

/// See the module. The length is what it was when it was opened.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    open: fs::File,
    length: u64,
    at: u64,
}

impl File {
    /// Opens the file at `path`, to be read from byte `from` on.
    ///
    /// # Errors
    /// When it is not there, cannot be read, is a folder, or ends before `from`.
    pub fn open(path: &Path, from: u64) -> Result<Self, ImageError> {
        let read = |source| ImageError::Read { path: path.to_owned(), source };
        let mut file = fs::File::open(path).map_err(read)?;
        if file.metadata().map_err(read)?.is_dir() {
            return Err(read(io::ErrorKind::IsADirectory.into()));
        }
        // The size in the metadata of a block device is 0; its end is where it ends.
        let length = file.seek(SeekFrom::End(0)).map_err(read)?;
        if from > length {
            return Err(read(io::ErrorKind::UnexpectedEof.into()));
        }
        file.seek(SeekFrom::Start(from)).map_err(read)?;
        Ok(Self { path: path.to_owned(), open: file, length, at: from })
    }
}

impl Source for File {
    fn length(&self) -> Option<u64> {
        Some(self.length)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError> {
        let read = |source| ImageError::Read { path: self.path.clone(), source };
        let left = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        loop {
            match self.open.read(&mut buffer[..wanted]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(read(e)),
                // Somebody cut it while it was read.
                Ok(0) if wanted > 0 => return Err(read(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => {
                    self.at += n as u64;
                    return Ok(n);
                }
            }
        }
    }
}
