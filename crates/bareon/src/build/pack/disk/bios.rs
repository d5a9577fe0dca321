//! GRUB for a BIOS, as grub-install embeds it: the places in its images that say where on the disk it lies.
//!
//! They are those of GRUB's own assembly, `boot/i386/pc/boot.S` and `diskboot.S`, unchanged since GRUB 2.00. It is
//! embedded without the Reed-Solomon codes that mend it on disks of which other programs overwrite sectors: nobody else
//! writes into a BIOS boot partition.

/// What boot.img may have of the disk's first sector: what is behind is the disk's signature and table.
const CODE: usize = 440;
/// Where the parameters of a file system would be, in a disk's first sector.
const PARAMETERS: std::ops::Range<usize> = 3..0x5a;
/// Where boot.img has the sector that its next part lies at, 8 bytes.
const KERNEL_SECTOR: usize = 0x5c;
/// Where boot.img jumps over a repair of what some BIOSes give as the drive: two bytes.
const DRIVE_CHECK: usize = 0x66;
/// Where the first sector of the core image has the first list of its further sectors: where it begins (8 bytes), how
/// many (2), and the segment that they are read to (2).
const BLOCK_LIST: usize = 0x1f4;

/// The code of the disk's first sector, which leads to the core image at `sector`.
pub fn boot_code(boot: &[u8], sector: u64) -> Vec<u8> {
    let mut code = boot.to_vec();
    code.resize(CODE, 0);
    code[PARAMETERS].fill(0);
    code[KERNEL_SECTOR..][..8].copy_from_slice(&sector.to_le_bytes());
    // A disk is drive 0x80 and up, whatever the BIOS says.
    code[DRIVE_CHECK..][..2].copy_from_slice(&[0x90, 0x90]);
    code
}

/// The core image as it lies at `sector`: all of its other sectors follow the first.
pub fn core(core: &[u8], sector: u64) -> Vec<u8> {
    let mut core = core.to_vec();
    core.resize(core.len().next_multiple_of(512).max(1024), 0);
    // A core image that fits into its partition has at most 2048 sectors.
    let rest = u16::try_from(core.len() / 512 - 1).unwrap_or(u16::MAX);
    core[BLOCK_LIST..][..8].copy_from_slice(&(sector + 1).to_le_bytes());
    core[BLOCK_LIST + 8..][..2].copy_from_slice(&rest.to_le_bytes());
    core
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sector_leads_to_the_core_image_and_that_to_its_rest() {
        let code = boot_code(&[0xee; 512], 2048);
        assert_eq!(code.len(), 440);
        assert_eq!(code[0x5c..0x64], 2048u64.to_le_bytes());
        assert_eq!(
            (code[2], code[3], code[0x59], code[0x66], code[0x67], code[0x68]),
            (0xee, 0, 0, 0x90, 0x90, 0xee)
        );
        let rest = core(&[0xee; 5000], 2048);
        assert_eq!(rest.len(), 5120);
        assert_eq!(rest[0x1f4..0x1fc], 2049u64.to_le_bytes());
        assert_eq!(rest[0x1fc..0x200], [9, 0, 0xee, 0xee]);
    }
}
