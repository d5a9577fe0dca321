//! btrfs. As root it is filled by the kernel, and shrunk afterwards to what its chunks take.
//!
//! Without root `mkfs.btrfs --rootdir` fills it. It makes devices of no number, and a tree that was made without root
//! has none.
//!
//! Two builds differ in many bytes: the device and the tree of chunks get random ids, which each block of metadata
//! holds. Contents, names, times of modification and the UUID are the same.

use std::{fs::OpenOptions, os::unix::fs::FileExt, path::Path};

use bareon_host::{Runner, btrfs, mkfs, mkfs::FsType};

use super::{Era, FILE_SYSTEM, Look, PackError, Source, ext, mounted};

/// The least that the kernel makes one smaller to.
const LEAST: u64 = 256 << 20;
/// Where the superblock lies, and where in it the size of the file system.
const SUPERBLOCK: u64 = 0x1_0000;
const TOTAL_BYTES: u64 = 0x70;

/// Makes `raw`, an empty file, the file system with all of a folder.
pub fn make(
    host: &dyn Runner,
    source: &Source<'_>,
    era: Era,
    look: &Look,
    raw: &Path,
) -> Result<(), PackError> {
    let folder = source.folder;
    let content = ext::Content::of(folder, true)?;
    let size = size(&content, source.free);
    let file = OpenOptions::new().read(true).write(true).open(raw);
    let failed = |error| PackError::file("making", raw, error);
    let file = file.map_err(failed)?;
    file.set_len(size).map_err(failed)?;

    let mut options = vec!["--quiet".into(), "--uuid".into(), look.uuid(FILE_SYSTEM)];
    if era == Era::Old {
        options.extend(["-O", "^no-holes", "-R", "^free-space-tree"].map(str::to_owned));
    }
    let by_kernel = mounted::possible();
    if !by_kernel {
        options.extend(["--shrink".into(), "--rootdir".into(), folder.to_string_lossy().into_owned()]);
    }
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let made = host.run(&mkfs::mkfs(FsType::Btrfs, &raw.to_string_lossy(), "", &options));
    made.map_err(|error| match error.outputs() {
        Some((_, stderr)) if stderr.contains("non-unique UUID") => {
            PackError::SameUuid { path: raw.into(), uuid: look.uuid(FILE_SYSTEM) }
        }
        _ => PackError::making(raw)(error),
    })?;
    if by_kernel {
        mounted::fill(host, FsType::Btrfs, folder, look, raw, &|dir| {
            shrink(host, dir, raw, size, source.free)
        })?;
        let mut total = [0; 8];
        file.read_exact_at(&mut total, SUPERBLOCK + TOTAL_BYTES).map_err(failed)?;
        file.set_len(u64::from_le_bytes(total)).map_err(failed)?;
    }
    Ok(())
}

/// Room for data, for two copies of metadata, and for the chunks that btrfs takes at once.
fn size(content: &ext::Content, free: u64) -> u64 {
    let data = content.blocks * 4096 * 21 / 20;
    (data + content.inodes * 4096 + free + (192 << 20)).next_multiple_of(1 << 20).max(LEAST)
}

/// Makes the file system of `size` bytes that is mounted at `dir` as small as it says it can be, but for `free` bytes,
/// and gives back what it does not use of `raw`.
fn shrink(host: &dyn Runner, dir: &Path, raw: &Path, size: u64, free: u64) -> Result<(), PackError> {
    let run = |cmd| host.run(&cmd).map_err(PackError::making(raw));
    run(btrfs::sync(dir))?;
    let least = run(btrfs::min_dev_size(dir))?.stdout;
    let least = btrfs::parse_min_dev_size(&least).map_or(size, |least| (least + free).max(LEAST));
    if least < size {
        run(btrfs::resize(dir, least))?;
    }
    run(btrfs::fstrim(dir))?;
    Ok(())
}
