//! The config drive for disks whose sectors are too large for ISO 9660: a FAT image labelled `cidata`.
//!
//! ISO 9660 has blocks of 2048 bytes, and the kernel mounts it from no disk with larger logical sectors. FAT has
//! sectors as large as the disk's (512 to 4096 bytes), and `NoCloud` looks for its label on FAT as well. The image
//! is put together in memory, by no program: it is as large as its files ask for. The same input gives the same
//! bytes: nothing of it has a date, and its serial number is fixed.

use std::io::{self, Cursor, Write};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

use super::Rendered;

/// The label, filled up with blanks. In lower case, as all versions of cloud-init look for it.
const LABEL: [u8; 11] = *b"cidata     ";

/// The serial number of the file system: nobody looks it up.
const SERIAL: u32 = 0xC1DA_7A00;

/// What the tables, the folder and the ends of clusters take beside the files.
const OVERHEAD: usize = 1 << 20;

/// The image of `rendered` with sectors of `sector` bytes: a whole number of MiB.
///
/// # Errors
/// A sector that FAT does not have.
pub fn image(rendered: &Rendered, sector: u16) -> io::Result<Vec<u8>> {
    let files = rendered.files();
    let content: usize = files.iter().map(|(_, text)| text.len()).sum();
    let size = (content + OVERHEAD).next_multiple_of(1 << 20);
    let mut image = Cursor::new(vec![0; size]);
    let options = FormatVolumeOptions::new().bytes_per_sector(sector).volume_label(LABEL).volume_id(SERIAL);
    fatfs::format_volume(&mut image, options)?;
    let fs = FileSystem::new(&mut image, FsOptions::new())?;
    for (name, text) in files {
        let mut file = fs.root_dir().create_file(name)?;
        file.write_all(text.as_bytes())?;
        file.flush()?;
    }
    fs.unmount()?;
    Ok(image.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_goes_in_comes_out_whatever_its_length() {
        for sector in [512, 4096] {
            for length in [0, 1, usize::from(sector), 3_000_000] {
                let rendered = Rendered {
                    user_data: "u".repeat(length),
                    meta_data: "m".into(),
                    network_config: Some("n".into()),
                };
                let made = image(&rendered, sector).unwrap();
                assert_eq!(made, image(&rendered, sector).unwrap());
                assert_eq!(u16::from_le_bytes([made[11], made[12]]), sector);
                let fs = FileSystem::new(Cursor::new(made), FsOptions::new()).unwrap();
                for (name, text) in rendered.files() {
                    let mut read = String::new();
                    fs.root_dir().open_file(name).unwrap().read_to_string(&mut read).unwrap();
                    assert!(read == text, "{name}: {} bytes of {}", read.len(), text.len());
                }
            }
        }
    }
}
