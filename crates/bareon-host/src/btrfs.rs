//! A mounted btrfs is made as small as it can be: `btrfs(8)`, `fstrim(8)`.

use std::path::Path;

use crate::{Cmd, Tool};

/// Writes all that is in memory of the file system at `dir`.
pub fn sync(dir: &Path) -> Cmd {
    Tool::Btrfs.cmd().args(["filesystem", "sync"]).arg(dir)
}

/// Prints how small the device of the file system at `dir` may be; see [`parse_min_dev_size`].
pub fn min_dev_size(dir: &Path) -> Cmd {
    Tool::Btrfs.cmd().args(["inspect-internal", "min-dev-size"]).arg(dir)
}

/// Reads the answer to [`min_dev_size`], in bytes.
pub fn parse_min_dev_size(text: &str) -> Option<u64> {
    text.strip_suffix('\n').unwrap_or(text).split_once(" bytes")?.0.parse().ok()
}

/// Makes the file system at `dir` `size` bytes large.
pub fn resize(dir: &Path, size: u64) -> Cmd {
    Tool::Btrfs.cmd().args(["filesystem", "resize", &size.to_string()]).arg(dir)
}

/// Tells the device of the file system at `dir` of all space that is not used; a file gets holes there.
pub fn fstrim(dir: &Path) -> Cmd {
    Tool::Fstrim.cmd().arg(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_size_is_read() {
        assert_eq!(parse_min_dev_size("737148928 bytes (703.00MiB)\n"), Some(737_148_928));
        assert_eq!(parse_min_dev_size("ERROR: not a btrfs filesystem"), None);
    }
}
