//! Images of ext2, ext3 and ext4 that are filled as they are made: `mke2fs(8)` with `-d`, and `debugfs(8)`.
//!
//! It reads a folder in the order of names, keeps owners, permissions, attributes, hard links, devices and holes, and
//! needs neither root nor a mount.

use std::path::Path;

use crate::{Cmd, Tool};

/// A file system to be made in a file.
#[derive(Debug, Clone, Copy)]
pub struct New<'a> {
    /// The folder that it is filled with.
    pub folder: &'a Path,
    /// The file, which is made as large as it must be.
    pub file: &'a Path,
    /// The features, by mke2fs's names and separated by commas.
    pub features: &'a str,
    /// Its size in blocks of 4096 bytes.
    pub blocks: u64,
    /// How many files it has room for.
    pub inodes: u64,
    /// The size of its journal; 0 where it has none.
    pub journal_mib: u64,
    /// Its UUID.
    pub uuid: &'a str,
    /// What the order in its directories is mixed by, as a UUID.
    pub hash_seed: &'a str,
    /// What it takes for the time, in seconds since 1970.
    pub epoch: u64,
}

/// Makes and fills it. The host's settings of mke2fs are not read: those that it has built in count. The journal is not
/// zeroed, as the file has only zeros yet; mke2fs itself does not give the top its looks, see [`set_attribute`].
pub fn mke2fs(new: &New<'_>) -> Cmd {
    let mut cmd = Tool::Mke2fs
        .cmd()
        .env("MKE2FS_CONFIG", "/dev/null")
        .env("E2FSPROGS_FAKE_TIME", &new.epoch.to_string())
        .args(["-q", "-F", "-b", "4096", "-I", "256", "-m", "1", "-O", new.features])
        .args(["-N", &new.inodes.to_string(), "-U", new.uuid])
        .arg("-E")
        .arg(format!("hash_seed={},lazy_itable_init=0,lazy_journal_init=1", new.hash_seed));
    if new.journal_mib > 0 {
        cmd = cmd.arg("-J").arg(format!("size={}", new.journal_mib));
    }
    cmd.arg("-d").arg(new.folder).arg(new.file).arg(new.blocks.to_string())
}

/// Gives the top of the file system in `file` the attribute `name`, whose value is the content of `value`.
pub fn set_attribute(file: &Path, name: &str, value: &Path, epoch: u64) -> Cmd {
    // In debugfs's words a quotation mark is written twice.
    let value = value.to_string_lossy().replace('"', "\"\"");
    Tool::Debugfs
        .cmd()
        .env("E2FSPROGS_FAKE_TIME", &epoch.to_string())
        .args(["-w", "-R", &format!("ea_set -f \"{value}\" / {name}")])
        .arg(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_the_host_or_the_clock() {
        let new = New {
            folder: Path::new("/w/tree"),
            file: Path::new("/w/root.raw"),
            features: "none,filetype",
            blocks: 5000,
            inodes: 1250,
            journal_mib: 4,
            uuid: "u",
            hash_seed: "h",
            epoch: 7,
        };
        assert_eq!(
            mke2fs(&new).to_string(),
            "MKE2FS_CONFIG=/dev/null E2FSPROGS_FAKE_TIME=7 mke2fs -q -F -b 4096 -I 256 -m 1 -O none,filetype -N 1250 \
             -U u -E hash_seed=h,lazy_itable_init=0,lazy_journal_init=1 -J size=4 -d /w/tree /w/root.raw 5000"
        );
        assert!(!mke2fs(&New { journal_mib: 0, ..new }).to_string().contains("-J"));
    }

    #[test]
    fn an_attribute_is_read_from_a_file() {
        let cmd = set_attribute(Path::new("/w/raw"), "user.a", Path::new("/w/a \"b\""), 7);
        assert_eq!(
            cmd.to_string(),
            "E2FSPROGS_FAKE_TIME=7 debugfs -w -R 'ea_set -f \"/w/a \"\"b\"\"\" / user.a' /w/raw"
        );
    }
}
