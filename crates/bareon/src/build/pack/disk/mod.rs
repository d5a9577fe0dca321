//! A disk as a file: a GPT, GRUB for BIOS and UEFI, one file system with the whole tree. Without loop devices.
//!
//! | partition | | holds |
//! |---|---|---|
//! | 1 | BIOS boot, 1 MiB | GRUB's core image, which the first sector of the disk leads to |
//! | 2 | EFI system, 64 MiB | `EFI/BOOT/BOOTX64.EFI`, the removable path that every firmware tries |
//! | 3 | root, the rest | the tree; it is the last, so that it can be grown |
//!
//! Both of GRUB's images are made by the tree's own grub-mkimage, in a chroot, of its own modules, and find the root by
//! its UUID. In the root there is what grub-install would have put there, so that a later `update-grub` or
//! `grub-install` finds its own.

mod bios;
mod esp;
mod grub;
mod sparse;

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::Path,
};

use bareon_host::{
    Runner,
    sfdisk::{self, Ids, Label, Table, TablePartition},
};
use tempfile::NamedTempFile;

use super::{FILE_SYSTEM, Look, PackError, Source, edit::Edit, fill, first, new_file};
use crate::objects::{
    build::DiskImage,
    partition::{BIOS_BOOT_GUID, ESP_GUID},
};

/// The size of a sector in bytes.
const SECTOR: u64 = 512;
/// What partitions begin and end at.
const MIB: u64 = 1 << 20;
/// The type of a partition with a file system of Linux.
const LINUX_GUID: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
/// What the root has free: nobody may grow it before it is used.
const FREE: u64 = 256 << 20;
/// Where partitions begin, and how large they are, in bytes.
const BIOS_BOOT: (u64, u64) = (MIB, MIB);
const ESP: (u64, u64) = (2 * MIB, 64 * MIB);
const ROOT: u64 = 66 * MIB;

/// Makes the file `raw`, a disk with the whole of `tree` that boots by BIOS and by UEFI.
///
/// # Errors
/// When the tree brings no kernel or no GRUB, and what [`PackError`] says.
pub fn disk(
    host: &dyn Runner,
    tree: &Path,
    image: &DiskImage,
    look: &Look,
    raw: &Path,
) -> Result<(), PackError> {
    let look = look.of("disk");
    let mut edit = Edit::new(tree)?;
    let made = make(host, tree, image, &look, raw, &mut edit);
    first(made, edit.close())
}

fn make(
    host: &dyn Runner,
    tree: &Path,
    image: &DiskImage,
    look: &Look,
    raw: &Path,
    edit: &mut Edit,
) -> Result<(), PackError> {
    let beside = raw.parent().unwrap_or(raw);
    let root = NamedTempFile::new_in(beside);
    let root = root.map_err(|error| PackError::file("making a file in", beside, error))?.into_temp_path();
    let root_look = look.of("root");
    let system = grub::System {
        uuid: root_look.uuid(FILE_SYSTEM),
        esp: esp::id(look.number("esp")),
        format: image.format,
        params: &image.kernel_params,
    };
    let loaders = grub::install(host, tree, &system, edit)?;
    fill(host, &Source { tree, folder: tree, free: FREE }, image.format, &root_look, &root)?;

    let length = fs::metadata(&root).map_err(|error| PackError::file("reading", &root, error))?.len();
    let end = ROOT + length.next_multiple_of(MIB);
    new_file(raw)?;
    let failed = |error| PackError::file("writing", raw, error);
    let disk = OpenOptions::new().read(true).write(true).open(raw).map_err(failed)?;
    disk.set_len(end + MIB).map_err(failed)?;
    let (table, ids) = table(raw, end, look);
    host.run(&sfdisk::write_with_ids(&table, &ids)).map_err(PackError::making(raw))?;

    let esp = esp::image(ESP.1, look.number("esp"), &loaders.uefi).map_err(failed)?;
    write(&disk, &esp, ESP.0).map_err(failed)?;
    bios(&disk, &loaders).map_err(failed)??;
    let root = File::open(&root).map_err(|error| PackError::file("reading", &root, error))?;
    sparse::copy(&root, &disk, ROOT).and_then(|()| disk.sync_all()).map_err(failed)
}

/// Writes GRUB for a BIOS: the code of the first sector, and the core image.
fn bios(disk: &File, loaders: &grub::Loaders) -> std::io::Result<Result<(), PackError>> {
    if loaders.core.len() as u64 > BIOS_BOOT.1 {
        return Ok(Err(PackError::CoreTooLarge { size: loaders.core.len() as u64, room: BIOS_BOOT.1 }));
    }
    let sector = BIOS_BOOT.0 / SECTOR;
    disk.write_all_at(&bios::boot_code(&loaders.boot, sector), 0)?;
    disk.write_all_at(&bios::core(&loaders.core, sector), BIOS_BOOT.0)?;
    Ok(Ok(()))
}

/// The table of the disk, whose root ends at byte `end`.
fn table(raw: &Path, end: u64, look: &Look) -> (Table, Ids) {
    let partition = |number, kind: &str, name: &str, (start, size): (u64, u64)| TablePartition {
        number,
        start: start / SECTOR,
        size: size / SECTOR,
        kind: kind.into(),
        name: name.into(),
        attributes: Vec::new(),
        bootable: false,
    };
    let table = Table {
        disk: raw.to_string_lossy().into_owned(),
        label: Label::Gpt { first_lba: MIB / SECTOR },
        partitions: vec![
            partition(1, BIOS_BOOT_GUID, "bios", BIOS_BOOT),
            partition(2, ESP_GUID, "esp", ESP),
            partition(3, LINUX_GUID, "root", (ROOT, end - ROOT)),
        ],
    };
    let ids = Ids {
        disk: look.uuid("table"),
        partitions: (1..=3).map(|number| look.uuid(&format!("partition {number}"))).collect(),
    };
    (table, ids)
}

/// Writes `bytes` at `offset`, but for their blocks of zeros.
fn write(disk: &File, bytes: &[u8], offset: u64) -> std::io::Result<()> {
    for (at, block) in (offset..).step_by(sparse::BLOCK).zip(bytes.chunks(sparse::BLOCK)) {
        if !sparse::is_zero(block) {
            disk.write_all_at(block, at)?;
        }
    }
    Ok(())
}
