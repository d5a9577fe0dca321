//! The EFI system partition: FAT32, put together in memory, by no program. Nothing in it has a date.

use std::io::{self, Cursor, Write};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};

/// The image of `size` bytes with one program for UEFI, at the path that firmware tries on disks it does not know.
///
/// # Errors
/// When the program does not fit.
pub fn image(size: u64, id: u32, program: &[u8]) -> io::Result<Vec<u8>> {
    let size = usize::try_from(size).map_err(io::Error::other)?;
    let mut image = Cursor::new(vec![0; size]);
    // With 65525 clusters and more it is a FAT32, which every firmware reads.
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(512)
        .volume_label(*b"ESP        ")
        .volume_id(id);
    fatfs::format_volume(&mut image, options)?;
    let fs = FileSystem::new(&mut image, FsOptions::new())?;
    let folder = fs.root_dir().create_dir("EFI")?.create_dir("BOOT")?;
    let mut file = folder.create_file("BOOTX64.EFI")?;
    file.write_all(program)?;
    file.flush()?;
    drop(file);
    drop(folder);
    fs.unmount()?;
    Ok(image.into_inner())
}

/// The id of a FAT as Linux writes it.
pub fn id(number: u32) -> String {
    format!("{:04X}-{:04X}", number >> 16, number & 0xffff)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_program_is_where_firmware_looks_for_it() {
        let program: Vec<u8> = (0..700_000u32).map(|byte| (byte % 251) as u8).collect();
        let made = image(64 << 20, 0x1234_abcd, &program).unwrap();
        assert!(made == image(64 << 20, 0x1234_abcd, &program).unwrap());
        assert_eq!(made[82..90], *b"FAT32   ");
        let fs = FileSystem::new(Cursor::new(made), FsOptions::new()).unwrap();
        assert_eq!(id(fs.volume_id()), "1234-ABCD");
        let mut read = Vec::new();
        fs.root_dir().open_file("EFI/BOOT/BOOTX64.EFI").unwrap().read_to_end(&mut read).unwrap();
        assert!(read == program);
    }
}
