//! How old a system is: its boot loader and kernel must know the features of the file systems it is packed into.
//!
//! GRUB reads nothing with an incompatible feature that it has not heard of, and an old kernel mounts it not. So no
//! feature is taken just because the tools of the build host are new.

use std::{fs, path::Path};

/// What a system's GRUB, kernel and tools know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Era {
    /// Before Debian 9 and Ubuntu 18.04: e2fsprogs before 1.43 knows neither sums of metadata nor more than 32 bits,
    /// kernels before 4.5 know neither shared blocks in XFS nor the free space tree of btrfs.
    Old,
    /// Before Debian 11 and Ubuntu 22.04: kernels before 5.10 know no late times in XFS, GRUB 2.02 no sparse inodes.
    Middle,
    /// Later ones, and those of which nothing is known.
    New,
}

impl Era {
    /// The era of the system in `tree`, by its `os-release(5)`.
    pub fn of(tree: &Path) -> Self {
        let files = ["usr/lib/os-release", "etc/os-release"];
        let text = files.iter().find_map(|file| fs::read_to_string(tree.join(file)).ok());
        text.map_or(Self::New, |text| Self::read(&text))
    }

    fn read(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.map(|value| value.trim().trim_matches(['"', '\'']))
        };
        let major = value("VERSION_ID").and_then(|version| version.split('.').next()?.parse::<u32>().ok());
        match (value("ID"), major) {
            (Some("debian"), Some(..9)) | (Some("ubuntu"), Some(..18)) => Self::Old,
            (Some("debian"), Some(..11)) | (Some("ubuntu"), Some(..22)) => Self::Middle,
            _ => Self::New,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_era_is_told_by_distribution_and_release() {
        for (text, era) in [
            ("NAME=\"Ubuntu\"\nVERSION_ID=\"14.04\"\nID=ubuntu\nID_LIKE=debian\n", Era::Old),
            ("ID=ubuntu\nVERSION_ID=\"20.04\"\n", Era::Middle),
            ("ID=debian\nVERSION_ID=\"12\"\n", Era::New),
            ("ID=debian\nVERSION_ID=\"10\"\n", Era::Middle),
            ("ID=debian\nVERSION_CODENAME=sid\n", Era::New),
            ("", Era::New),
        ] {
            assert_eq!(Era::read(text), era, "{text}");
        }
    }
}
