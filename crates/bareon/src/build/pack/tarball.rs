//! The tree as a tar archive: GNU tar, whose archives hold attributes and can be sorted.
//!
//! The format is POSIX's, with names of its headers that do not tell of the process, and without the times that only
//! tell of the build. Holes are archived as zeros, as GNU tar names files with holes after its process; they are
//! nothing once they are compressed.

use std::path::Path;

use bareon_host::{Runner, tar as gnu};

use super::PackError;

/// Archives all of `tree`, with its top as `./`, into the new file `out`. No time is later than `epoch`.
///
/// # Errors
/// When something cannot be read, or `out` not be written.
pub fn tar(host: &dyn Runner, tree: &Path, epoch: u64, out: &Path) -> Result<(), PackError> {
    host.run(&gnu::create(tree, epoch.max(1), out)).map_err(PackError::making(out))?;
    Ok(())
}
