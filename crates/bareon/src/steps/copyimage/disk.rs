//! An image of a whole disk.
//!
//! Its table says where partitions lie in sectors of the disk that it was made for. So the beginning of the data is looked
//! at before any of it is written: an image for sectors of another size would boot nowhere, and one without a table is
//! for a partition. Once written, the second table of a GPT is moved to where this disk ends, the disk gets a GUID of its
//! own, and the last partition is grown where that was asked for.

use std::path::Path;

use bareon_host::{Cmd, CommandError, Runner, blkid, kpartx, lock, partx, sfdisk, sgdisk};
use bareon_image::{Device, ImageError};

use super::{CopyImageError, grow::Grow};
use crate::{
    hardware::usage::Kernel,
    objects::partition::{is_mapped, partition_name},
    steps::partitioning,
};

/// Where a master boot record has its signature.
const SIGNATURE: usize = 510;
/// Where the types of its four partitions are.
const TYPES: [usize; 4] = [450, 466, 482, 498];
/// The type that stands for a GPT.
const PROTECTIVE: u8 = 0xee;

/// What is done with the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeDisk {
    /// The size of the disk's logical sectors, in bytes.
    pub sector: u64,
    /// Whether the last partition, and its file system, grows to the disk's end.
    pub grow: bool,
}

impl WholeDisk {
    /// The commands that are known before the image is there: if its table is a GPT.
    pub fn commands(&self, disk: &str) -> Vec<Cmd> {
        let add = if is_mapped(disk) { kpartx::update(disk) } else { partx::add(disk) };
        vec![sgdisk::settle_in(disk), add]
    }

    /// Opens the disk for an image of a whole one.
    pub(super) fn open(&self, disk: &Path) -> Result<Device, ImageError> {
        let sector = self.sector;
        Ok(Device::open(disk)?.unless(move |beginning| misfit(beginning, sector)))
    }

    /// Makes the table that was written that of this disk, and grows the last partition where that was asked for.
    pub(super) fn settle_in(
        &self,
        disk: &Path,
        mount_point: &Path,
        host: &dyn Runner,
    ) -> Result<(), CopyImageError> {
        let name = disk.to_string_lossy();
        let grown = {
            let _lock = lock::exclusive(disk)?;
            // udev may have had the kernel read it already.
            forget_partitions(&name, host)?;
            if blkid::probed(&host.run(&blkid::probe(&name))?).table.as_deref() == Some("gpt") {
                host.run(&sgdisk::settle_in(&name))?;
            }
            let grown = if self.grow { grow_last(&name, host)? } else { None };
            // sgdisk has the kernel read the table anew, as it was before the last partition grew.
            forget_partitions(&name, host)?;
            let add = if is_mapped(&name) { kpartx::update(&name) } else { partx::add(&name) };
            host.run(&add)?;
            grown
        };
        let Some(device) = grown.map(|number| partition_name(&name, number)) else { return Ok(()) };
        if !Path::new(&device).exists() {
            return Err(CopyImageError::NoNode { disk: name.into_owned(), device });
        }
        Grow { device: &device, mount_point }.run(host, None)
    }
}

/// Has the kernel forget the partitions that lay there before anything is written.
pub(super) fn forget(disk: &str, host: &dyn Runner) -> Result<(), CopyImageError> {
    forget_partitions(disk, host).map_err(|source| CopyImageError::Held { disk: disk.into(), source })
}

/// Has the kernel forget all partitions that it knows of a disk.
fn forget_partitions(disk: &str, host: &dyn Runner) -> Result<(), CommandError> {
    let kernel = Kernel::default();
    if is_mapped(disk) {
        host.run(&kpartx::delete(disk)).map(drop)
    } else if kernel.partitions(&kernel.name(disk)).is_empty() {
        Ok(())
    } else {
        partitioning::forget(host, disk)
    }
}

/// Lets the last partition reach to the disk's end, and tells its number.
fn grow_last(disk: &str, host: &dyn Runner) -> Result<Option<u32>, CopyImageError> {
    /// Those of a master boot record that hold logical partitions.
    const EXTENDED: [&str; 3] = ["5", "f", "85"];
    let partitions = sfdisk::parse_dump(disk, &host.run(&sfdisk::dump(disk))?.stdout);
    let extended = partitions.iter().any(|partition| EXTENDED.contains(&&*partition.kind));
    match partitions.iter().max_by_key(|partition| partition.start) {
        Some(_) if extended => {
            tracing::warn!("{disk}: the image has logical partitions, so its last partition stays as it is");
            Ok(None)
        }
        Some(last) => {
            host.run(&sfdisk::grow(disk, last.number))?;
            Ok(Some(last.number))
        }
        None => Ok(None),
    }
}

/// Looks at the table of an image of a whole disk that begins so.
///
/// # Errors
/// When it is none for a disk with sectors of `sector` bytes.
pub(super) fn look_at(beginning: &[u8], sector: u64) -> Result<(), ImageError> {
    misfit(beginning, sector).map_or(Ok(()), |why| Err(ImageError::Unfit { why }))
}

/// Why an image that begins so is none for a disk with sectors of `sector` bytes; nothing where it is one.
fn misfit(beginning: &[u8], sector: u64) -> Option<String> {
    let at = |from: usize, bytes: &[u8]| beginning.get(from..).is_some_and(|rest| rest.starts_with(bytes));
    let sizes: Vec<u64> =
        [512, 4096].into_iter().filter(|size| at(usize::try_from(*size).unwrap_or(0), b"EFI PART")).collect();
    if sizes.contains(&sector) {
        return None;
    }
    if let Some(size) = sizes.first() {
        return Some(format!(
            "its partition table is for a disk with sectors of {size} bytes, and this one has {sector}: make the image \
             anew for such sectors, or write the file systems of it to partitions"
        ));
    }
    if !at(SIGNATURE, &[0x55, 0xaa]) {
        return Some(
            "it has no partition table: write it to a partition, with the file system as its format, if it is of one"
                .into(),
        );
    }
    if TYPES.iter().any(|place| beginning.get(*place) == Some(&PROTECTIVE)) {
        return Some("the header of its GPT is missing: make the image anew".into());
    }
    (sector != 512).then(|| {
        format!(
            "its master boot record counts in sectors of 512 bytes, and this disk has {sector}: make the image anew with \
             a GPT for such sectors"
        )
    })
}

#[cfg(test)]
mod tests {
    use bareon_image::{LOOKED_AT, Target, TargetState};

    use super::*;

    fn beginning(signature: bool, kind: u8, header: Option<usize>) -> Vec<u8> {
        let mut bytes = vec![0; LOOKED_AT];
        if signature {
            bytes[SIGNATURE..512].copy_from_slice(&[0x55, 0xaa]);
        }
        bytes[TYPES[0]] = kind;
        if let Some(at) = header {
            bytes[at..at + 8].copy_from_slice(b"EFI PART");
        }
        bytes
    }

    #[test]
    fn a_table_is_for_sectors_of_one_size() {
        for (bytes, sector, word) in [
            (beginning(true, PROTECTIVE, Some(512)), 512, None),
            (beginning(true, PROTECTIVE, Some(4096)), 4096, None),
            (
                beginning(true, PROTECTIVE, Some(512)),
                4096,
                Some("sectors of 512 bytes, and this one has 4096"),
            ),
            (
                beginning(true, PROTECTIVE, Some(4096)),
                512,
                Some("sectors of 4096 bytes, and this one has 512"),
            ),
            (beginning(true, PROTECTIVE, None), 512, Some("header of its GPT is missing")),
            (beginning(true, 0x83, None), 512, None),
            (beginning(true, 0x83, None), 4096, Some("master boot record counts in sectors of 512")),
            (beginning(false, 0, None), 512, Some("no partition table")),
            (Vec::new(), 512, Some("no partition table")),
        ] {
            match (misfit(&bytes, sector), word) {
                (None, None) => {}
                (Some(told), Some(word)) => assert!(told.contains(word), "{told}"),
                other => panic!("{sector}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_does_not_fit_leaves_the_disk_untouched_in_whatever_pieces_it_comes() {
        let tmp = tempfile::NamedTempFile::new().unwrap();
        let (good, bad) = (beginning(true, PROTECTIVE, Some(512)), beginning(true, PROTECTIVE, Some(4096)));
        for size in [1000, LOOKED_AT, 3 * LOOKED_AT] {
            std::fs::write(tmp.path(), vec![7; 4 * LOOKED_AT]).unwrap();
            let disk = WholeDisk { sector: 512, grow: false };
            let mut target = disk.open(tmp.path()).unwrap();
            let written: Result<Vec<()>, _> = bad.chunks(size).map(|piece| target.write(piece)).collect();
            let error = written.unwrap_err().to_string();
            assert!(error.contains("sectors of 4096"), "{error}");
            assert_eq!(target.state(), TargetState::Untouched);
            assert_eq!(std::fs::read(tmp.path()).unwrap(), vec![7; 4 * LOOKED_AT]);

            let mut target = disk.open(tmp.path()).unwrap();
            good.chunks(size).for_each(|piece| target.write(piece).unwrap());
            target.commit().unwrap();
            assert_eq!(std::fs::read(tmp.path()).unwrap()[..LOOKED_AT], good);
        }
    }
}
