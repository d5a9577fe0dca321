//! A disk of QEMU (qcow2), kept in a file until it is unpacked.
//!
//! Its tables lie anywhere in it, so all of it must be there first: in memory, bounded by a file system of its own, or in
//! a folder on a disk. By then its sum was compared, so only what is known is looked at, first by `header` (an image
//! may name other files, which qemu-img would open to tell of them), then by `qemu-img info`. What stands on a backing
//! file, keeps its data elsewhere or is encrypted is refused.
//!
//! Then `qemu-img dd` takes the first MiB of its data into a file, where the table of a whole disk is looked at, and
//! `qemu-img convert` writes all behind it onto the device. The first MiB of the device, zero since before, gets its
//! content last: after what stands there was compared with the sums of the data, where they are known (else
//! with the file, where `verify` asks for that), and was flushed.

mod header;
#[cfg(test)]
mod tests;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Instant,
};

use bareon_host::{Cmd, Runner, cmd::quoted, mount, qemu_img};
use bareon_image::{
    HEAD, ImageError, Medium, Options, Progress, Sums, TargetState, Verify, WriteError, Written, shown,
};

use super::{Content, CopyImageError, WriteImage, disk};
use crate::{
    chain::chain,
    steps::{folder, mounted::Mounted},
};

/// Where a qcow2 is kept until it is unpacked, and what its data must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// The folder.
    pub dir: PathBuf,
    /// What bounds it there.
    pub room: Room,
    /// The size of its data in bytes, where known.
    pub size: Option<u64>,
    /// The sums of its data, as far as known.
    pub sums: Sums,
}

/// What bounds a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// So many bytes of memory.
    Memory(u64),
    /// The disk that the folder lies on.
    Disk,
}

/// What is known of the data before the device is touched.
struct Data {
    /// In bytes.
    size: u64,
    /// The first MiB of them, or all where there are fewer.
    beginning: Vec<u8>,
    /// What they must be.
    sums: Sums,
}

impl Spool {
    /// The file.
    pub(super) fn file(&self) -> PathBuf {
        self.dir.join("image.qcow2")
    }

    /// The file with the first MiB of the data.
    fn beginning(&self) -> PathBuf {
        self.dir.join("beginning")
    }

    /// What is run to unpack it onto `device`; nothing is converted of an image of a MiB or less. The beginning is
    /// written after all of them but the unmounting, by no command.
    pub fn commands(&self, device: &str) -> Vec<Cmd> {
        let mut commands = vec![self.info(), self.take_beginning(), self.convert(Path::new(device))];
        if let Room::Memory(size) = self.room {
            commands.insert(0, mount::memory(&self.dir, size));
            commands.push(mount::umount(&self.dir));
        }
        commands
    }

    /// What takes the file, and what is done last, by hand.
    pub(super) fn by_hand(&self, device: &str) -> String {
        let [file, beginning] = [self.file(), self.beginning()].map(|path| quoted(&path.to_string_lossy()));
        let device = quoted(device);
        format!(
            "cat >{file} # after qemu-img convert: dd if={beginning} of={device} bs=1M conv=notrunc,fsync"
        )
    }

    fn info(&self) -> Cmd {
        qemu_img::info(&self.file())
    }

    fn take_beginning(&self) -> Cmd {
        qemu_img::dd(&self.file(), HEAD, &self.beginning())
    }

    fn convert(&self, device: &Path) -> Cmd {
        qemu_img::convert(&self.file(), HEAD, device)
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
            folder::make(&self.dir).map_err(|source| self.failed(source))?;
            let done = self.unpack(image, host, options, progress);
            let files = [self.file(), self.beginning()].into_iter().filter(|file| file.exists());
            let removed = files.into_iter().try_for_each(fs::remove_file);
            if let Err(error) = removed.and_then(|()| fs::remove_dir(&self.dir)) {
                tracing::warn!("{} is left: {error}", self.dir.display());
            }
            return done;
        };
        let prepared = |error: CopyImageError| prepare(image, error);
        let mut mounted = Mounted::below(host, &self.dir).map_err(|error| prepared(error.into()))?;
        mounted.run(&self.dir, &mount::memory(&self.dir, size)).map_err(|error| prepared(error.into()))?;
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
        let begun = Instant::now();
        let sums = self.sums.checked()?;
        // Its room is taken before the image can fill all there is.
        fs::write(self.beginning(), vec![0; HEAD]).map_err(|source| self.failed(source))?;
        // A run that was killed may have left another.
        File::create(self.file()).map_err(|source| self.failed(source))?;
        let fetched = bareon_image::write(&image.request, options, &self.file(), progress);
        // Whatever became of the file, the device was not touched.
        let written = fetched
            .map_err(|error| WriteError { target: TargetState::Untouched, error: error.error })
            .map_err(|error| self.too_small(error))?;
        let data = self.look(image, sums, host)?;
        if let Content::Disk(whole) = &image.content {
            disk::look_at(&data.beginning, whole.sector)?;
            disk::forget(&image.device(), host)?;
        }
        let sums = self.fill(image, &data, host, options.verify, progress)?;
        tracing::info!("unpacked {} bytes of {} onto {}", data.size, uri(image), image.device());
        Ok(Written { raw_bytes: data.size, sums, elapsed: begun.elapsed(), ..written })
    }

    /// Looks whether the file is a qcow2 that will be unpacked, of data of the right size.
    fn look(&self, image: &WriteImage, sums: Sums, host: &dyn Runner) -> Result<Data, CopyImageError> {
        let refused = |why: String| CopyImageError::Qcow2 { uri: uri(image), why };
        let run = |cmd: &Cmd| host.run(cmd).map_err(|error| prepare(image, error.into()));
        let found = header::look(&self.file()).map_err(|source| self.failed(source))?;
        let size = found.map_err(refused)?;
        let told = run(&self.info())?.stdout;
        let info =
            qemu_img::parse_info(&told).ok_or_else(|| refused("qemu-img tells no size of it".into()))?;
        if let [first, ..] = &info.hindrances[..] {
            return Err(refused(first.clone()));
        }
        if info.size != size {
            return Err(refused(format!("its header says {size} bytes, qemu-img {}", info.size)));
        }
        if let Some(expected) = self.size.filter(|expected| *expected != size) {
            return Err(ImageError::Size { uri: uri(image), expected, found: size, exact: true }.into());
        }
        run(&self.take_beginning())?;
        let beginning = fs::read(self.beginning()).map_err(|source| self.failed(source))?;
        if beginning.len() as u64 != size.min(HEAD as u64) {
            return Err(refused(format!("qemu-img reads {} bytes at its beginning", beginning.len())));
        }
        Ok(Data { size, beginning, sums })
    }

    /// Writes the device, its first MiB last; gives the sums that were compared.
    fn fill(
        &self,
        image: &WriteImage,
        data: &Data,
        host: &dyn Runner,
        verify: Verify,
        progress: &dyn Progress,
    ) -> Result<Sums, CopyImageError> {
        // Held until the end, so that nobody else takes the device meanwhile.
        let medium = Medium::open(&image.target)?;
        medium.check_room(data.size, true)?;
        let failed = |error| WriteError { error, target: medium.state() };
        medium.begin().map_err(failed)?;
        let run = |cmd: &Cmd| {
            let device = image.device();
            host.run(cmd).map_err(|source| CopyImageError::Unpack { device, source })
        };
        let behind = data.size.saturating_sub(HEAD as u64);
        if behind > 0 {
            run(&self.convert(&image.target))?;
        }
        medium.write_at(0, &data.beginning).map_err(failed)?;
        let mut sums = Sums::default();
        if !data.sums.is_empty() {
            let uri = uri(image);
            sums = bareon_image::compare(&medium, data.size, &data.sums, &uri, progress).map_err(failed)?;
        } else if verify == Verify::Readback && behind > 0 {
            medium.flush().map_err(failed)?;
            let compare = qemu_img::compare(&self.file(), HEAD, behind, &image.target);
            if run(&compare)?.status == qemu_img::DIFFERS {
                return Err(failed(medium.differs()).into());
            }
        }
        medium.commit().map_err(failed)?;
        Ok(sums)
    }

    fn failed(&self, source: io::Error) -> CopyImageError {
        match self.room {
            Room::Memory(size) if source.kind() == io::ErrorKind::StorageFull => {
                CopyImageError::NoMemory { size }
            }
            _ => CopyImageError::Spool { path: self.dir.clone(), source },
        }
    }

    /// Says what to do where the memory was too small.
    fn too_small(&self, error: WriteError) -> CopyImageError {
        let full = match &error.error {
            ImageError::Write { source, .. } | ImageError::Flush { source, .. } => {
                source.kind() == io::ErrorKind::StorageFull
            }
            _ => false,
        };
        match self.room {
            Room::Memory(size) if full => CopyImageError::NoMemory { size },
            _ => error.into(),
        }
    }
}

/// Where the image is fetched from, for messages.
fn uri(image: &WriteImage) -> String {
    shown(image.request.uris.first().map_or("", String::as_str))
}

/// What went wrong before the device was touched.
fn prepare(image: &WriteImage, error: CopyImageError) -> CopyImageError {
    CopyImageError::Prepare { uri: uri(image), source: error.into() }
}
