//! The metadata of the disks is saved before anything is overwritten, so that a run on the wrong disk can be undone.
//!
//! Saved are partition tables, superblocks of md, labels and metadata of LVM, heads and ends of what lies on partitions
//! and volumes ([`regions`]): a few MiB of a disk, as files with an index, so that by hand `dd` can put them back, too.
//! Data itself is not saved. So what a step wrote over is noted in the backup before that step begins ([`index`]), and
//! [`undo`] puts back what lost its metadata alone, and says what did not.
//!
//! All is read and written in this process: blocks of zeros take no room in the files.

pub mod index;
mod regions;
pub mod undo;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    digest,
    hardware::{
        Identity,
        usage::{Kernel, bytes_in, kernel_name},
    },
    objects::{Bytes, PartitionScheme, partition::Partition},
};
use index::{Extent, Index, Overwritten, Part, Region, Saved};
use regions::{Disk, Wanted};

use super::place::{Ground, Place};

/// How much is read at once, in bytes.
const BLOCK: usize = 64 << 10;

/// How much of what was saved goes into the report, in characters.
const REPORTED: usize = 256 << 10;

/// Metadata that is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveMetadata {
    /// The folder of all backups; each gets one of its own in it.
    pub dir: PathBuf,
    /// The disks.
    pub disks: Vec<OldDisk>,
    /// The volumes on them that can be read now.
    pub volumes: Vec<OldVolume>,
}

/// A disk whose metadata is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldDisk {
    /// Its node.
    pub device: String,
    /// The size of its logical sectors.
    pub sector: Bytes,
    /// The partitions that it has.
    pub partitions: Vec<String>,
    /// Where partitions will lie on it.
    pub new: Vec<Place>,
}

/// A volume that lies on disks whose metadata is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldVolume {
    /// Its node.
    pub device: String,
    /// The partitions and disks that it lies on.
    pub on: Vec<String>,
}

/// Metadata that could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The files could not be written.
    #[error(
        "saving the metadata of the disks to {}; make room there, name another place by backup_dir, or do without by an \
         empty backup_dir", .path.display()
    )]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The disk could not be read.
    #[error("reading {device} to save its metadata; is the disk sound? `dmesg` tells more")]
    Read {
        /// The disk.
        device: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// What a report says of a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackupReport {
    /// The folder that it is in, for `undo --backup`.
    pub dir: PathBuf,
    /// As many of the regions as there is room for, tables first.
    pub regions: Vec<ReportedRegion>,
    /// How many regions are in the folder alone.
    pub left_out: usize,
}

/// A saved region in the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedRegion {
    /// The device.
    pub device: String,
    /// What is in it.
    pub what: String,
    /// Where it begins on the device, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
    /// What is in it, compressed by gzip, in base64.
    pub data: String,
}

impl OldDisk {
    /// The partitions as the kernel has them now.
    fn parts(&self, kernel: &Kernel) -> Vec<Part> {
        let part = |device: &String| {
            let dir = kernel.class(&kernel.name(device));
            let (offset, length) = (bytes_in(&dir, "start")?.0, bytes_in(&dir, "size")?.0);
            Some(Part { device: device.clone(), offset, length })
        };
        self.partitions.iter().filter_map(part).collect()
    }
}

impl SaveMetadata {
    /// For people: which disks, and where to.
    pub fn what(&self) -> String {
        let disks: Vec<_> = self.disks.iter().map(|disk| disk.device.as_str()).collect();
        format!("save the metadata of {} to {}", disks.join(", "), self.dir.display())
    }

    /// Saves it to a new folder, and says what is where.
    ///
    /// # Errors
    /// When a disk cannot be read, or a file not be written.
    pub fn run(&self, kernel: &Kernel) -> Result<BackupReport, BackupError> {
        let dir = self.dir.join(Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ").to_string());
        let written = |source| BackupError::Write { path: dir.clone(), source };
        fs::create_dir_all(&dir).map_err(written)?;
        let mut devices = Vec::new();
        for disk in &self.disks {
            devices.push(save_disk(disk, &dir, kernel)?);
        }
        for volume in &self.volumes {
            match self.save_volume(volume, &dir, kernel) {
                // What a broken array carries cannot be read, and is none the less lost.
                Err(BackupError::Read { source, .. }) => {
                    tracing::warn!("the head of {} is not saved: {source}", volume.device);
                }
                saved => devices.push(saved?),
            }
        }
        let made = Timestamp::now().to_string();
        let index = Index { version: 1, made, devices };
        index.write(&dir).map_err(written)?;
        report(&index, &dir).map_err(written)
    }

    fn save_volume(&self, volume: &OldVolume, dir: &Path, kernel: &Kernel) -> Result<Saved, BackupError> {
        let identity = Identity::of(&volume.device, kernel);
        let mut on = Vec::new();
        for disk in &self.disks {
            let identity = Identity::of(&disk.device, kernel);
            let whole = Part { device: disk.device.clone(), offset: 0, length: identity.size.0 };
            for part in disk.parts(kernel).into_iter().chain([whole]) {
                if volume.on.contains(&part.device) {
                    let (disk, identity) = (disk.device.clone(), identity.clone());
                    on.push(Extent { disk, identity, offset: part.offset, length: part.length });
                }
            }
        }
        let size = identity.size.0;
        let source = Source { device: &volume.device, size, sector: 512, parts: &[], new: &[] };
        Ok(Saved { on, ..source.save(dir, identity)? })
    }
}

fn save_disk(disk: &OldDisk, dir: &Path, kernel: &Kernel) -> Result<Saved, BackupError> {
    let identity = Identity::of(&disk.device, kernel);
    let parts = disk.parts(kernel);
    for part in &parts {
        // What was written to a partition's node may still be on its way to the disk.
        if let Err(error) = File::open(&part.device).and_then(|file| file.sync_all()) {
            tracing::debug!("{} is not synced: {error}", part.device);
        }
    }
    let new: Vec<_> = disk.new.iter().map(|place| (place.begin.0, place.size.0)).collect();
    let (size, sector) = (identity.size.0, disk.sector.0);
    Source { device: &disk.device, size, sector, parts: &parts, new: &new }.save(dir, identity)
}

/// A device that regions are saved of.
struct Source<'a> {
    device: &'a str,
    size: u64,
    sector: u64,
    parts: &'a [Part],
    new: &'a [(u64, u64)],
}

impl Source<'_> {
    fn save(&self, dir: &Path, identity: Identity) -> Result<Saved, BackupError> {
        let device = self.device.to_owned();
        let read = |source| BackupError::Read { device: device.clone(), source };
        let disk = File::open(self.device).map_err(read)?;
        // What was written beside this node, by that of a partition, is not seen in pages that were read before.
        let _ = disk.sync_all();
        let _ = posix_fadvise(&disk, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        let Self { size, sector, parts, new, .. } = *self;
        let wanted = Disk { file: &disk, size, sector, device: &device }.regions(parts, new).map_err(read)?;
        let file = kernel_name(&device).replace(['!', '/'], "_");
        let path = dir.join(&file);
        let mut regions = Vec::new();
        let mut at = 0;
        let mut copy =
            File::create_new(&path).map_err(|source| BackupError::Write { path: path.clone(), source })?;
        for Wanted { what, offset, length, part } in wanted {
            let sha256 = match copied(&disk, offset, length, &mut copy, at) {
                Err(Copy::Read(source)) => {
                    // A bad sector need not be where the new layout goes, and is no reason to keep the old one.
                    tracing::warn!(
                        "{what} on {device} is not saved, the disk cannot be read there: {source}"
                    );
                    continue;
                }
                Err(Copy::Write(source)) => return Err(BackupError::Write { path, source }),
                Ok(sha256) => sha256,
            };
            regions.push(Region { what, offset, length, at, sha256, part });
            at += length;
        }
        let synced = copy.set_len(at).and_then(|()| copy.sync_all());
        synced.map_err(|source| BackupError::Write { path, source })?;
        Ok(Saved { device, identity, on: Vec::new(), file, regions })
    }
}

/// Which side of a copy failed.
enum Copy {
    Read(io::Error),
    Write(io::Error),
}

/// Copies a region to `at` in a file, without its zeros; gives its SHA-256 sum.
fn copied(disk: &File, offset: u64, length: u64, file: &mut File, at: u64) -> Result<String, Copy> {
    let mut sum = Sha256::new();
    let mut block = vec![0; BLOCK];
    let mut done = 0;
    while done < length {
        let take = usize::try_from(length - done).unwrap_or(BLOCK).min(BLOCK);
        disk.read_exact_at(&mut block[..take], offset + done).map_err(Copy::Read)?;
        sum.update(&block[..take]);
        if block[..take].iter().any(|byte| *byte != 0) {
            file.write_all_at(&block[..take], at + done).map_err(Copy::Write)?;
        }
        done += take as u64;
    }
    Ok(digest::hex(&sum.finalize()))
}

/// Puts into the report what fits, tables first.
fn report(index: &Index, dir: &Path) -> io::Result<BackupReport> {
    let mut regions: Vec<_> = index
        .devices
        .iter()
        .flat_map(|saved| saved.regions.iter().map(move |region| (saved, region)))
        .collect();
    regions.sort_by_key(|(_, region)| region.part.is_some());
    let mut report = BackupReport { dir: dir.into(), ..BackupReport::default() };
    let mut room = REPORTED;
    for (saved, region) in regions {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&contents(&dir.join(&saved.file), region)?)?;
        let data = STANDARD.encode(packed.finish()?);
        if data.len() > room {
            report.left_out += 1;
            continue;
        }
        room -= data.len();
        let Region { what, offset, length, .. } = region;
        let (device, what) = (saved.device.clone(), what.clone());
        report.regions.push(ReportedRegion { device, what, offset: *offset, length: *length, data });
    }
    Ok(report)
}

/// What was saved of a region.
fn contents(file: &Path, region: &Region) -> io::Result<Vec<u8>> {
    let length = usize::try_from(region.length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    File::open(file)?.read_exact_at(&mut bytes, region.at)?;
    Ok(bytes)
}

/// Notes in all backups in `dir` that a step which writes over `devices` of the layout begins.
///
/// # Errors
/// When that cannot be written down.
pub fn note(
    dir: &Path,
    what: &str,
    devices: &[String],
    scheme: &PartitionScheme,
    kernel: &Kernel,
) -> Result<(), BackupError> {
    let mut on = Vec::new();
    for device in devices {
        let Some(ground) = Ground::of(device, scheme, &Place::of) else { continue };
        for (leaf, place) in ground.on {
            let of = |partition: &&Partition| partition.name == leaf;
            let disk = scheme.partitions().find(of).map_or(&leaf, |partition| &partition.device);
            let identity = Identity::of(disk, kernel);
            let (offset, length) = place.map_or((0, identity.size.0), |place| (place.begin.0, place.size.0));
            on.push(Extent { disk: disk.clone(), identity, offset, length });
        }
    }
    if on.is_empty() {
        return Ok(());
    }
    let overwritten = Overwritten { began: Timestamp::now().to_string(), what: what.into(), on };
    overwritten.note(dir).map_err(|source| BackupError::Write { path: dir.into(), source })
}
