//! ISO 9660 images: `xorriso(1)` in its mkisofs mode, or `genisoimage(1)`, or `mkisofs(1)`.
//!
//! All three take the same arguments, so that whichever the ramdisk has will do.

use std::path::Path;

use crate::{Cmd, Runner, Tool};

/// The first program that is installed of those that can make an ISO image; xorriso where none is,
/// so that the error names the package to install.
pub fn maker(host: &dyn Runner) -> Tool {
    [Tool::Xorriso, Tool::Genisoimage, Tool::Mkisofs]
        .into_iter()
        .find(|tool| host.has(*tool))
        .unwrap_or(Tool::Xorriso)
}

/// Makes the image `iso` of the directory `tree`, with the volume label `label`.
///
/// Joliet and Rock Ridge names, owner root, the files' modes as they are. `epoch` (seconds since
/// 1970) is the image's date. xorriso makes the same bytes of the same tree; genisoimage still
/// writes when each file was created.
pub fn mkisofs(maker: Tool, label: &str, epoch: u64, tree: &Path, iso: &Path) -> Cmd {
    let mode: &[&str] = if maker == Tool::Xorriso { &["-as", "mkisofs"] } else { &[] };
    maker
        .cmd()
        .env("SOURCE_DATE_EPOCH", &epoch.to_string())
        .args(mode)
        .args(["-quiet", "-V", label, "-J", "-R", "-uid", "0", "-gid", "0", "-o"])
        .arg(iso)
        .arg(tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommandError, Output};

    struct Only(&'static [Tool]);

    impl Runner for Only {
        fn run(&self, cmd: &Cmd) -> Result<Output, CommandError> {
            panic!("`{cmd}` ran")
        }

        fn has(&self, tool: Tool) -> bool {
            self.0.contains(&tool)
        }
    }

    #[test]
    fn the_first_program_that_is_there_is_taken() {
        assert_eq!(maker(&Only(&[Tool::Mkisofs, Tool::Genisoimage, Tool::Xorriso])), Tool::Xorriso);
        assert_eq!(maker(&Only(&[Tool::Mkisofs, Tool::Genisoimage])), Tool::Genisoimage);
        assert_eq!(maker(&Only(&[Tool::Mkisofs])), Tool::Mkisofs);
        assert_eq!(maker(&Only(&[])), Tool::Xorriso);
    }

    #[test]
    fn all_programs_get_the_same_arguments() {
        let line = |tool| mkisofs(tool, "cidata", 7, Path::new("/tmp/d"), Path::new("/tmp/i")).to_string();
        assert_eq!(
            line(Tool::Xorriso),
            "SOURCE_DATE_EPOCH=7 xorriso -as mkisofs -quiet -V cidata -J -R -uid 0 -gid 0 -o /tmp/i /tmp/d"
        );
        assert_eq!(
            line(Tool::Genisoimage),
            "SOURCE_DATE_EPOCH=7 genisoimage -quiet -V cidata -J -R -uid 0 -gid 0 -o /tmp/i /tmp/d"
        );
    }
}
