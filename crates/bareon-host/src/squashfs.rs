//! Squashfs images: every call of `mksquashfs(1)` is in this file.

use std::{path::Path, time::Duration};

use crate::{Cmd, Tool};

/// xz on one slow core takes its time for a large tree.
const LIMIT: Duration = Duration::from_hours(2);

/// Large blocks are packed better; an emulated processor unpacks them fast enough, and a page fault reads no more.
const BLOCK: &str = "256K";

/// Packs the folder `tree` as `image`, which must not be there yet, compressed as `compress` says (`xz`, `gzip`, `zstd`).
///
/// The same tree gives the same bytes: all times are `epoch`, in seconds since 1970. Left out is what matches a line of
/// the file `exclude`: paths relative to the tree, with wildcards.
pub fn mksquashfs(tree: &Path, image: &Path, compress: &str, epoch: u64, exclude: &Path) -> Cmd {
    let epoch = epoch.to_string();
    let cmd = Tool::Mksquashfs.cmd().time_limit(LIMIT).arg(tree).arg(image);
    let cmd =
        cmd.args(["-noappend", "-no-exports", "-quiet", "-no-progress", "-b", BLOCK, "-comp", compress]);
    cmd.args(["-mkfs-time", &epoch, "-all-time", &epoch, "-wildcards", "-ef"]).arg(exclude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_what_is_left_out_are_given() {
        let cmd = mksquashfs(Path::new("/t"), Path::new("/root.squashfs"), "zstd", 7, Path::new("/x"));
        assert_eq!(
            cmd.to_string(),
            "mksquashfs /t /root.squashfs -noappend -no-exports -quiet -no-progress -b 256K -comp zstd \
             -mkfs-time 7 -all-time 7 -wildcards -ef /x"
        );
    }
}
