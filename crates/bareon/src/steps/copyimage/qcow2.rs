//! A disk of QEMU (qcow2), kept in a file until it is unpacked.
//!
//! Its tables lie anywhere in it, so all of it must be there first: in memory, bounded by a file system of its own, or in
//! a folder on a disk. By then its sum was compared, so only what is known is looked at, first by this file (an image
//! may name other files, which qemu-img would open to tell of them), then by `qemu-img info`. What stands on a backing
//! file, keeps its data elsewhere or is encrypted is refused. Then `qemu-img convert` writes the device.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use bareon_host::{Cmd, Runner, mount, qemu_img};
use bareon_image::{Medium, Options, Progress, TargetState, WriteError, Written, shown};

use super::{Content, CopyImageError, WriteImage, disk, tree};
use crate::{
    chain::chain,
    steps::{folder, mounted::Mounted},
};

/// What a qcow2 begins with.
const MAGIC: &[u8] = b"QFI\xfb";
/// How long the header is of which all is looked at.
const HEADER: usize = 104;
/// Bits of its features that a reader must know: not closed, damaged, data in another file.
const FEATURES: [(u64, &str); 3] = [
    (1, "it was not closed by whoever wrote it"),
    (2, "it is marked as corrupt"),
    (4, "its data lie in another file"),
];

/// Where a qcow2 is kept until it is unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// The folder.
    pub dir: PathBuf,
    /// What bounds it there.
    pub room: Room,
}

/// What bounds a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// So many bytes of memory.
    Memory(u64),
    /// The disk that the folder lies on.
    Disk,
}

impl Spool {
    /// The file.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join("image.qcow2")
    }

    /// What is run to unpack it onto `device`.
    pub fn commands(&self, device: &str) -> Vec<Cmd> {
        let file = self.file();
        let convert = [qemu_img::info(&file), qemu_img::convert(&file, device)];
        match self.room {
            Room::Memory(size) => {
                let [info, convert] = convert;
                vec![mount::memory(&self.dir, size), info, convert, mount::umount(&self.dir)]
            }
            Room::Disk => convert.to_vec(),
        }
    }

    /// Fetches the file, and unpacks it onto the device.
    pub(super) fn run(
        &self,
        image: &WriteImage,
        host: &dyn Runner,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Written, CopyImageError> {
        let Room::Memory(size) = self.room else {
            let failed = |source| CopyImageError::Spool { path: self.dir.clone(), source };
            folder::make(&self.dir).map_err(failed)?;
            let done = self.unpack(image, host, options, progress);
            if let Err(error) = fs::remove_file(self.file()).and_then(|()| fs::remove_dir(&self.dir)) {
                tracing::warn!("{} is left: {error}", self.dir.display());
            }
            return done;
        };
        let mut mounted = Mounted::below(host, &self.dir)?;
        mounted.run(&self.dir, &mount::memory(&self.dir, size))?;
        let done = self.unpack(image, host, options, progress);
        if let Err(error) = mounted.close() {
            tracing::warn!("{}", chain(&error));
        }
        done
    }

    fn unpack(
        &self,
        image: &WriteImage,
        host: &dyn Runner,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Written, CopyImageError> {
        let file = self.file();
        let failed = |source| CopyImageError::Spool { path: file.clone(), source };
        File::create_new(&file).map_err(failed)?;
        let fetched = bareon_image::write(&image.request, options, &file, progress);
        // Whatever became of the file, the device was not touched.
        let written = fetched
            .map_err(|error| WriteError { target: TargetState::Untouched, error: error.error })
            .map_err(|error| self.too_small(error))?;
        let uri = || shown(image.request.uris.first().map_or("", String::as_str));
        let refused = |why: String| CopyImageError::Qcow2 { uri: uri(), why };
        let size = look(&file).map_err(failed)?.map_err(refused)?;
        let told = host.run(&qemu_img::info(&file))?.stdout;
        let info =
            qemu_img::parse_info(&told).ok_or_else(|| refused("qemu-img tells no size of it".into()))?;
        if let [first, ..] = &info.hindrances[..] {
            return Err(refused(first.clone()));
        }
        if info.size != size {
            return Err(refused(format!("its header says {size} bytes, qemu-img {}", info.size)));
        }
        self.convert(image, host, size)?;
        tracing::info!("unpacked {size} bytes of {} onto {}", uri(), image.device());
        Ok(written)
    }

    /// Writes the device. Its beginning is zero before that, and again after a failure.
    fn convert(&self, image: &WriteImage, host: &dyn Runner, size: u64) -> Result<(), CopyImageError> {
        let device = image.device();
        if let Content::Disk(_) = &image.content {
            disk::forget(&device, host)?;
        }
        let medium = Medium::open(&image.target)?;
        medium.check_room(size, true)?;
        medium.begin().map_err(|error| WriteError { error, target: medium.state() })?;
        drop(medium);
        let done = host.run(&qemu_img::convert(&self.file(), &device)).map_err(CopyImageError::from);
        let done = done.and_then(|_| match &image.content {
            Content::Disk(whole) => disk::look_at(&image.target, whole.sector),
            _ => Ok(()),
        });
        done.map_err(|error| {
            if let Err(error) = tree::wipe(&device, host) {
                tracing::error!(
                    "{device} may hold a part of the image, and could not be wiped: {}",
                    chain(&error)
                );
            }
            CopyImageError::Unpack { device, source: error.into() }
        })
    }

    /// Says what to do where the memory was too small.
    fn too_small(&self, error: WriteError) -> CopyImageError {
        let full = match &error.error {
            bareon_image::ImageError::Write { source, .. }
            | bareon_image::ImageError::Flush { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            _ => false,
        };
        match self.room {
            Room::Memory(size) if full => CopyImageError::NoMemory { size },
            _ => error.into(),
        }
    }
}

/// The size of the data of the qcow2 in `file`, or why it will not be unpacked.
fn look(file: &Path) -> io::Result<Result<u64, String>> {
    let mut header = Vec::new();
    File::open(file)?.take(HEADER as u64).read_to_end(&mut header)?;
    Ok(read(&header))
}

/// Reads a header (the documentation of QEMU, `docs/interop/qcow2.txt`).
fn read(header: &[u8]) -> Result<u64, String> {
    let word = |at: usize| Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_be_bytes(header.get(at..at + 8)?.try_into().ok()?));
    let short = || "it breaks off in its header".to_owned();
    if !header.starts_with(MAGIC) {
        return Err("it does not begin like one".into());
    }
    let version = word(4).ok_or_else(short)?;
    if !(2..=3).contains(&version) {
        return Err(format!("it is of version {version}, and 2 and 3 are known"));
    }
    if long(8).ok_or_else(short)? != 0 {
        return Err("it is only what differs from its backing file".into());
    }
    if word(32).ok_or_else(short)? != 0 {
        return Err("it is encrypted".into());
    }
    let features = if version == 3 { long(72).ok_or_else(short)? } else { 0 };
    if let Some((_, why)) = FEATURES.iter().find(|(bit, _)| features & bit != 0) {
        return Err((*why).into());
    }
    long(24).ok_or_else(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version: u32, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut header = vec![0; HEADER];
        header[..4].copy_from_slice(MAGIC);
        header[4..8].copy_from_slice(&version.to_be_bytes());
        header[24..32].copy_from_slice(&(64_u64 << 20).to_be_bytes());
        change(&mut header);
        header
    }

    #[test]
    fn an_image_that_does_not_stand_alone_is_told_before_anything_opens_it() {
        for version in [2, 3] {
            assert_eq!(read(&header(version, |_| {})), Ok(64 << 20));
        }
        for (header, word) in [
            (header(3, |header| header[15] = 1), "backing file"),
            (header(2, |header| header[35] = 2), "encrypted"),
            (header(3, |header| header[79] = 1), "not closed"),
            (header(3, |header| header[79] = 2), "corrupt"),
            (header(3, |header| header[79] = 4), "another file"),
            (header(4, |_| {}), "version 4"),
            (header(3, |header| header.truncate(70)), "breaks off"),
            (b"<html>".to_vec(), "does not begin like one"),
        ] {
            let why = read(&header).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
