//! How large an ext file system has to be for a folder: computed from what mke2fs lays down.
//!
//! The folder is read whole, as blocks of zeros become holes: so the size hangs on what the files hold, not on how the
//! build host's file system stores them. They are read a moment later by mke2fs, from memory then.

use std::{
    collections::HashSet,
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use super::super::PackError;
use crate::objects::build::ImageFormat;

/// The size of a block in bytes.
const BLOCK: u64 = 4096;
/// The blocks of a group: as many as a block has bits.
const GROUP: u64 = BLOCK * 8;
/// The size of an inode in bytes.
const INODE: u64 = 256;
/// An inode for this many blocks, as mke2fs has it by default.
const BLOCKS_PER_INODE: u64 = 4;
/// The inodes that are no file's.
const OWN_INODES: u64 = 11;
/// The longest target of a link that is stored in its inode.
const SHORT_LINK: u64 = 59;
/// What a block of a directory cannot take at its end: the next name, and the sum of the block.
const DIRECTORY_WASTE: u64 = 264 + 12;
/// The block numbers in a block of ext2.
const POINTERS: u64 = BLOCK / 4;
/// The block numbers in an inode of ext2.
const DIRECT: u64 = 12;
/// The extents in an inode.
const INODE_EXTENTS: u64 = 4;
/// The extents in a block.
const BLOCK_EXTENTS: u64 = 340;
/// The blocks of an extent.
const EXTENT: u64 = 32768;

/// What a folder takes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Blocks of files, directories, long links and attributes.
    pub blocks: u64,
    /// Files of all kinds.
    pub inodes: u64,
}

impl Content {
    /// Reads all of `folder`.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn of(folder: &Path, extents: bool) -> Result<Self, PackError> {
        let mut reader =
            Reader { found: Self::default(), seen: HashSet::new(), extents, buffer: vec![0; 1 << 20] };
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            reader
                .directory(&folder, &mut folders)
                .map_err(|(path, error)| PackError::file("reading", &path, error))?;
        }
        Ok(reader.found)
    }
}

struct Reader {
    found: Content,
    /// The files with several names that were counted: device and inode.
    seen: HashSet<(u64, u64)>,
    extents: bool,
    buffer: Vec<u8>,
}

impl Reader {
    fn directory(&mut self, folder: &Path, folders: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
        let failed = |error| (folder.to_path_buf(), error);
        let mut names = 24;
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            names += 8 + (entry.file_name().as_bytes().len() as u64).next_multiple_of(4);
            let path = entry.path();
            let meta = fs::symlink_metadata(&path).map_err(|error| (path.clone(), error))?;
            if meta.is_dir() {
                folders.push(path);
            } else if meta.nlink() == 1 || self.seen.insert((meta.dev(), meta.ino())) {
                self.file(&path, &meta).map_err(|error| (path.clone(), error))?;
            }
        }
        self.found.inodes += 1;
        let blocks = names.div_ceil(BLOCK - DIRECTORY_WASTE);
        self.found.blocks += blocks + self.mapping(blocks, blocks, 1) + attributes(folder).map_err(failed)?;
        Ok(())
    }

    fn file(&mut self, path: &Path, meta: &Metadata) -> io::Result<()> {
        let kind = meta.file_type();
        if kind.is_socket() {
            return Ok(());
        }
        self.found.inodes += 1;
        if kind.is_symlink() && meta.size() > SHORT_LINK {
            self.found.blocks += 1;
        } else if kind.is_file() && meta.size() > 0 {
            let (data, runs) = self.data(path)?;
            self.found.blocks += data + self.mapping(meta.size().div_ceil(BLOCK), data, runs);
        }
        self.found.blocks += attributes(path)?;
        Ok(())
    }

    /// How many blocks of a file hold something else than zeros, and how many runs these make.
    fn data(&mut self, path: &Path) -> io::Result<(u64, u64)> {
        let mut file = File::open(path)?;
        let (mut blocks, mut runs, mut in_run) = (0, 0, false);
        loop {
            let length = fill(&mut file, &mut self.buffer)?;
            for block in self.buffer[..length].chunks(4096) {
                let data = *block != ZEROS[..block.len()];
                blocks += u64::from(data);
                runs += u64::from(data && !in_run);
                in_run = data;
            }
            if length < self.buffer.len() {
                return Ok((blocks, runs));
            }
        }
    }

    /// The blocks that tell where `data` blocks of a file lie, which ends at block `end`; more rather than less, as
    /// what lies in the way is not known.
    fn mapping(&self, end: u64, data: u64, runs: u64) -> u64 {
        if self.extents {
            let extents = runs + data / EXTENT + 2;
            return if extents <= INODE_EXTENTS { 0 } else { extents.div_ceil(BLOCK_EXTENTS) + 1 };
        }
        let indirect = end.saturating_sub(DIRECT);
        let blocks = indirect.div_ceil(POINTERS);
        let above = if blocks > 1 { 1 + blocks.div_ceil(POINTERS) } else { 0 };
        (blocks + above).min(data * 3)
    }
}

static ZEROS: [u8; 4096] = [0; 4096];

/// Reads until `buffer` is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..])? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

/// A block for attributes, though few do not fit into their inode.
fn attributes(path: &Path) -> io::Result<u64> {
    Ok(u64::from(xattr::list(path)?.next().is_some()))
}

/// How large the file system is made.
#[derive(Debug, PartialEq, Eq)]
pub struct Size {
    /// In blocks of 4096 bytes.
    pub blocks: u64,
    /// Its inodes.
    pub inodes: u64,
    /// Its journal; none has 0.
    pub journal_mib: u64,
}

impl Size {
    /// The size for `content` and `free` bytes. A 20th goes to root's reserve (a 100th) and the kernel's (a 50th), and
    /// to maps that are larger than computed.
    pub fn of(content: &Content, format: ImageFormat, free: u64) -> Self {
        let journal_mib = match (content.blocks * BLOCK) >> 20 {
            _ if format == ImageFormat::Ext2 => 0,
            0..64 => 4,
            64..1024 => 16,
            1024..4096 => 32,
            _ => 64,
        };
        let files = content.inodes + OWN_INODES;
        let used = content.blocks + free / BLOCK + (journal_mib << 20) / BLOCK;
        let wanted = used + used / 20;
        let mut blocks = wanted;
        loop {
            let inodes = (blocks / BLOCKS_PER_INODE).max(files + files / 16);
            let needed = whole_last_group(wanted + overhead(blocks, inodes), inodes);
            if needed <= blocks {
                return Self { blocks, inodes, journal_mib };
            }
            blocks = needed;
        }
    }
}

/// What `blocks` blocks keep for themselves.
fn overhead(blocks: u64, inodes: u64) -> u64 {
    let groups = blocks.div_ceil(GROUP);
    let copies =
        (0..groups).filter(|&group| group < 2 || [3, 5, 7].iter().any(|&n| power(group, n))).count() as u64;
    // The journal's map, lost+found, the map of what is kept for growing.
    let few = 64;
    groups * (2 + inode_table(groups, inodes)) + copies * head(blocks) + few
}

/// The superblock, the groups' descriptors, and what is kept for those of a file system 1024 times as large.
fn head(blocks: u64) -> u64 {
    let descriptors = |blocks: u64| blocks.div_ceil(GROUP).div_ceil(BLOCK / 64);
    1 + descriptors(blocks) + descriptors(blocks.saturating_mul(1024)).min(POINTERS)
}

/// The blocks of a group's inodes.
fn inode_table(groups: u64, inodes: u64) -> u64 {
    inodes.div_ceil(groups).next_multiple_of(16) * INODE / BLOCK
}

/// A last group that is too small for its own tables is dropped by mke2fs: it is made larger.
fn whole_last_group(blocks: u64, inodes: u64) -> u64 {
    let groups = blocks.div_ceil(GROUP);
    let least = 2 + inode_table(groups, inodes) + head(blocks) + 64;
    match blocks % GROUP {
        rest if rest > 0 && rest < least => blocks + least - rest,
        _ => blocks,
    }
}

/// Whether `number` is a power of `base`.
fn power(number: u64, base: u64) -> bool {
    let mut power = base;
    while power < number {
        power *= base;
    }
    power == number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_counted_whatever_it_holds() {
        let work = tempfile::tempdir().unwrap();
        let at = |name: &str| work.path().join(name);
        fs::write(at("empty"), "").unwrap();
        fs::write(at("one"), [1; 4096]).unwrap();
        fs::hard_link(at("one"), at("other name")).unwrap();
        let mut sparse = vec![0; 10 * 4096 + 1];
        sparse[5 * 4096] = 1;
        fs::write(at("zeros"), &sparse).unwrap();
        std::os::unix::fs::symlink("x".repeat(60), at("long")).unwrap();
        std::os::unix::fs::symlink("short", at("short")).unwrap();
        fs::create_dir(at("folder")).unwrap();
        let content = Content::of(work.path(), true).unwrap();
        // Two folders, one block of `one` and of `zeros`, the long link.
        assert_eq!(content, Content { blocks: 2 + 1 + 1 + 1, inodes: 7 });
    }

    #[test]
    fn maps_of_ext2_grow_with_the_file() {
        let reader =
            Reader { found: Content::default(), seen: HashSet::new(), extents: false, buffer: Vec::new() };
        for (blocks, mapping) in [(12, 0), (13, 1), (12 + 1024, 1), (12 + 1025, 4), (300_000, 293 + 2)] {
            assert_eq!(reader.mapping(blocks, blocks, 1), mapping, "{blocks}");
        }
        let reader = Reader { extents: true, ..reader };
        assert_eq!((reader.mapping(9000, 9000, 2), reader.mapping(9000, 5000, 100)), (0, 2));
    }

    #[test]
    fn sizes_hold_their_content_and_are_found_for_any() {
        for format in [ImageFormat::Ext2, ImageFormat::Ext4] {
            for blocks in [0, 1, 1000, 30_000, 32_768, 130_000, 262_000, 5_000_000] {
                for inodes in [1, 20_000, 3_000_000] {
                    let content = Content { blocks, inodes };
                    let size = Size::of(&content, format, 16 << 20);
                    assert!(size.inodes > inodes && size.blocks > blocks, "{content:?} {size:?}");
                    let free = size.blocks - overhead(size.blocks, size.inodes) - size.journal_mib * 256;
                    assert!(free >= blocks, "{content:?} {size:?}");
                }
            }
        }
        assert_eq!(
            [1, 3, 9, 27, 49, 6, 0].map(|n| power(n, 3) || power(n, 7)),
            [false, true, true, true, true, false, false]
        );
    }
}
