//! Copies of folders: every call of `cp(1)` is in this file.

use std::{path::Path, time::Duration};

use crate::{Cmd, Tool};

/// How long a whole system may take.
const TIME_LIMIT: Duration = Duration::from_hours(4);

/// Copies all of `from` into the folder `to`, which gets its looks: owners, permissions, attributes, times, hard links,
/// devices. Blocks of zeros become holes.
pub fn archive(from: &Path, to: &Path) -> Cmd {
    Tool::Cp
        .cmd()
        .time_limit(TIME_LIMIT)
        .args(["--archive", "--sparse=always", "--no-target-directory"])
        .arg(from)
        .arg(to)
}

/// Copies what is in `from` into the folder `to`, which is there, onto a file system that knows times and nothing else.
pub fn plain(from: &Path, to: &Path) -> Cmd {
    Tool::Cp
        .cmd()
        .time_limit(TIME_LIMIT)
        .args(["--recursive", "--preserve=timestamps", "--no-target-directory"])
        .arg(from)
        .arg(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_of_everything() {
        assert_eq!(
            archive(Path::new("/a"), Path::new("/b")).to_string(),
            "cp --archive --sparse=always --no-target-directory /a /b"
        );
        assert_eq!(
            plain(Path::new("/a"), Path::new("/b")).to_string(),
            "cp --recursive --preserve=timestamps --no-target-directory /a /b"
        );
    }
}
