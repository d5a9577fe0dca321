//! What mke2fs leaves to be set in the inodes of an ext file system: the times of all files, of which none is later
//! than the epoch and those that only tell of the build are the epoch; and the looks of its top.
//!
//! `debugfs` could do it, with four commands for each of tens of thousands of files; this is one pass over the inodes.
//! The layout is that of the kernel's documentation (Documentation/filesystems/ext4).

use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use super::super::PackError;

const SUPERBLOCK: u64 = 1024;
const MAGIC: u16 = 0xef53;
const INCOMPAT_64BIT: u32 = 0x80;
/// Groups' descriptors in other places, sums with another seed: never asked for.
const INCOMPAT_UNKNOWN: u32 = 0x10 | 0x2000;
const RO_COMPAT_METADATA_CSUM: u32 = 0x400;
const GROUP_INODES_UNUSED: u16 = 1;
/// Where the inode's part of always ends; its further fields are as many as it says itself.
const OLD_INODE: usize = 128;

/// The number of the top's inode.
const TOP: u32 = 2;

/// Sets the times in the file system `raw`, as mke2fs made it, and gives its top the owner, permissions and time of
/// `top`. Times of modification that are earlier than the epoch stay.
pub fn set(raw: &Path, top: &Metadata, epoch: u64) -> Result<(), PackError> {
    let failed = |error| PackError::file("setting times in", raw, error);
    let file = OpenOptions::new().read(true).write(true).open(raw).map_err(failed)?;
    let layout = Layout::read(&file).map_err(failed)?;
    let layout = layout.map_err(|what| PackError::NotExt { path: raw.into(), what })?;
    layout.set(&file, top, epoch).map_err(failed)
}

/// What has to be known of a file system to find its inodes.
struct Layout {
    block: u64,
    inodes: u32,
    inodes_per_group: u32,
    inode: usize,
    descriptors: u64,
    descriptor: usize,
    /// What the sums of metadata begin with, where there are any.
    seed: Option<u32>,
}

impl Layout {
    fn read(file: &File) -> io::Result<Result<Self, String>> {
        let mut head = [0; 1024];
        file.read_exact_at(&mut head, SUPERBLOCK)?;
        let incompat = le32(&head, 0x60);
        let inode = usize::from(le16(&head, 0x58));
        if le16(&head, 0x38) != MAGIC || le32(&head, 0x4c) != 1 {
            return Ok(Err("it has no superblock".into()));
        }
        if incompat & INCOMPAT_UNKNOWN != 0 || inode < OLD_INODE || le32(&head, 0x28) == 0 {
            return Ok(Err(format!("features {incompat:#x}, inodes of {inode} bytes")));
        }
        let block = 1024 << le32(&head, 0x18);
        let sums = le32(&head, 0x64) & RO_COMPAT_METADATA_CSUM != 0;
        Ok(Ok(Self {
            block,
            inodes: le32(&head, 0),
            inodes_per_group: le32(&head, 0x28),
            inode,
            descriptors: (u64::from(le32(&head, 0x14)) + 1) * block,
            descriptor: if incompat & INCOMPAT_64BIT == 0 { 32 } else { usize::from(le16(&head, 0xfe)) },
            seed: sums.then(|| crc32c(!0, &head[0x68..0x78])),
        }))
    }

    fn set(&self, file: &File, top: &Metadata, epoch: u64) -> io::Result<()> {
        let groups = self.inodes.div_ceil(self.inodes_per_group);
        for group in 0..groups {
            let mut descriptor = vec![0; self.descriptor];
            file.read_exact_at(
                &mut descriptor,
                self.descriptors + u64::from(group) * self.descriptor as u64,
            )?;
            if le16(&descriptor, 0x12) & GROUP_INODES_UNUSED != 0 {
                continue;
            }
            let high = if self.descriptor >= 64 { le32(&descriptor, 0x28) } else { 0 };
            let table = (u64::from(high) << 32 | u64::from(le32(&descriptor, 8))) * self.block;
            self.table(file, table, group * self.inodes_per_group + 1, top, epoch)?;
        }
        Ok(())
    }

    /// Sets those of one group, whose first inode is number `first`.
    fn table(&self, file: &File, table: u64, first: u32, top: &Metadata, epoch: u64) -> io::Result<()> {
        let mut bytes = vec![0; self.inodes_per_group as usize * self.inode];
        file.read_exact_at(&mut bytes, table)?;
        for (inode, number) in bytes.chunks_exact_mut(self.inode).zip(first..) {
            // One that nobody uses has nothing in it.
            if inode.iter().any(|&byte| byte != 0) {
                if number == TOP {
                    set_looks(inode, top);
                }
                set_times(inode, epoch);
                if let Some(seed) = self.seed {
                    set_sum(inode, seed, number);
                }
            }
        }
        // Where nothing is used nothing is written, lest the file gets blocks for zeros.
        for (block, at) in bytes.chunks(4096).zip((table..).step_by(4096)) {
            if block.iter().any(|&byte| byte != 0) {
                file.write_all_at(block, at)?;
            }
        }
        Ok(())
    }
}

fn set_times(inode: &mut [u8], epoch: u64) {
    #[expect(clippy::cast_possible_truncation, reason = "the upper two bits of 34 lie elsewhere")]
    let low = epoch as u32;
    // Seconds are signed, and the upper bits count from where that overflows.
    let upper = ((epoch + 0x8000_0000) >> 32 & 3) as u32;
    let extra = inode.len() > OLD_INODE && le16(inode, 0x80) >= 24;
    for (time, more) in [(0x08, 0x8c), (0x0c, 0x84), (0x90, 0x94)] {
        if time < OLD_INODE || extra {
            put32(inode, time, low);
        }
        if extra {
            put32(inode, more, upper);
        }
    }
    let earlier = u64::from(le32(inode, 0x10)) <= epoch;
    if !earlier {
        put32(inode, 0x10, low);
    }
    if extra {
        put32(inode, 0x88, if earlier { 0 } else { upper });
    }
}

/// The owner, permissions and time of modification of `meta`.
fn set_looks(inode: &mut [u8], meta: &Metadata) {
    let [a, b, ..] = meta.mode().to_le_bytes();
    put16(inode, 0, u16::from_le_bytes([a, b]));
    for (id, low, high) in [(meta.uid(), 0x02, 0x78), (meta.gid(), 0x18, 0x7a)] {
        let [a, b, c, d] = id.to_le_bytes();
        put16(inode, low, u16::from_le_bytes([a, b]));
        put16(inode, high, u16::from_le_bytes([c, d]));
    }
    // One that does not fit is later than any epoch, or from before 1970, as on the build host's own file system.
    put32(inode, 0x10, u32::try_from(meta.mtime()).unwrap_or(u32::MAX));
}

/// The sum of the inode `number`: over the file system's id, the number, the generation and the inode without the sum.
fn set_sum(inode: &mut [u8], seed: u32, number: u32) {
    let high = inode.len() > OLD_INODE && le16(inode, 0x80) >= 4;
    put16(inode, 0x7c, 0);
    if high {
        put16(inode, 0x82, 0);
    }
    let sum = crc32c(crc32c(crc32c(seed, &number.to_le_bytes()), &inode[0x64..0x68]), inode);
    let [a, b, c, d] = sum.to_le_bytes();
    put16(inode, 0x7c, u16::from_le_bytes([a, b]));
    if high {
        put16(inode, 0x82, u16::from_le_bytes([c, d]));
    }
}

/// CRC-32C, reflected, without the complement at both ends.
fn crc32c(sum: u32, bytes: &[u8]) -> u32 {
    let step = |sum: u32, &byte: &u8| (sum >> 8) ^ TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)];
    bytes.iter().fold(sum, step)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte: u32 = 0;
    while byte < 256 {
        let mut sum = byte;
        let mut bit = 0;
        while bit < 8 {
            sum = sum >> 1 ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        table[byte as usize] = sum;
        byte += 1;
    }
    table
};

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_known_one() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    }

    #[test]
    fn times_after_2038_have_upper_bits() {
        let mut inode = [0; 256];
        put16(&mut inode, 0x80, 32);
        put32(&mut inode, 0x10, 5);
        set_times(&mut inode, 3_000_000_000);
        assert_eq!((le32(&inode, 0x0c), le32(&inode, 0x84)), (3_000_000_000, 1));
        assert_eq!((le32(&inode, 0x10), le32(&inode, 0x88)), (5, 0));
        set_times(&mut inode, 4);
        assert_eq!((le32(&inode, 0x10), le32(&inode, 0x90), le32(&inode, 0x94)), (4, 4, 0));
    }
}
