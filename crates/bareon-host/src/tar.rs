//! Archives: every call of GNU `tar(1)` is in this file.

use std::{path::Path, time::Duration};

use crate::{Cmd, Tool};

/// How long an archive of a whole system may take.
const TIME_LIMIT: Duration = Duration::from_hours(4);

/// Archives all of `folder` into `archive`, such that the same files give the same bytes. No time is later than `epoch`
/// (seconds since 1970).
pub fn create(folder: &Path, epoch: u64, archive: &Path) -> Cmd {
    Tool::Tar
        .cmd()
        .time_limit(TIME_LIMIT)
        .args(["--create", "--format=posix", "--sort=name", "--numeric-owner", "--xattrs", "--acls"])
        .arg("--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime")
        .arg(format!("--mtime=@{epoch}"))
        .arg("--clamp-mtime")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(folder)
        .arg(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_tells_nothing_of_the_process_that_made_it() {
        assert_eq!(
            create(Path::new("/w/tree"), 7, Path::new("/w/tree.tar")).to_string(),
            "tar --create --format=posix --sort=name --numeric-owner --xattrs --acls \
             --pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime --mtime=@7 --clamp-mtime \
             --file /w/tree.tar --directory /w/tree ."
        );
    }
}
