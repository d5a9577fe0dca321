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

/// Archives all of `folder` into `archive`, as if root owned it.
pub fn create_as_root(folder: &Path, archive: &Path) -> Cmd {
    Tool::Tar
        .cmd()
        .time_limit(TIME_LIMIT)
        .args(["--create", "--xattrs", "--owner=0", "--group=0", "--numeric-owner", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(folder)
        .arg(".")
}

/// Lays what `archive` (a path within the tree at `root`) holds over that tree, by its own tar, for which its links lead to
/// what they lead to on the installed system. A folder that is there keeps its mode.
pub fn lay_over(root: &Path, archive: &str) -> Cmd {
    Cmd::inside(root, "tar").time_limit(TIME_LIMIT).args([
        "--extract",
        "--xattrs",
        "--xattrs-include=*",
        "--same-permissions",
        "--numeric-owner",
        "--keep-directory-symlink",
        "--no-overwrite-dir",
        "--file",
        archive,
    ])
}

/// Unpacks the archive on standard input into the folder `dir` with all that it tells of each file: owners by number,
/// permissions, attributes (capabilities among them), access lists, devices, holes. A name that leads out of the folder
/// is an error.
pub fn extract(dir: &Path) -> Cmd {
    Tool::Tar
        .cmd()
        .time_limit(TIME_LIMIT)
        .args(["--extract", "--same-permissions", "--same-owner", "--numeric-owner", "--acls"])
        .args(["--xattrs", "--xattrs-include=*", "--file", "-", "--directory"])
        .arg(dir)
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

    #[test]
    fn what_is_unpacked_keeps_all_that_is_told_of_it() {
        assert_eq!(
            extract(Path::new("/w/root")).to_string(),
            "tar --extract --same-permissions --same-owner --numeric-owner --acls --xattrs '--xattrs-include=*' \
             --file - --directory /w/root"
        );
    }

    #[test]
    fn what_is_laid_over_a_tree_belongs_to_root() {
        let pack = create_as_root(Path::new("/files"), Path::new("/t/run/x.tar")).to_string();
        assert!(pack.contains("--owner=0 --group=0") && pack.ends_with("--directory /files ."), "{pack}");
        let unpack = lay_over(Path::new("/t"), "/run/x.tar").to_string();
        assert!(unpack.starts_with("chroot /t ") && unpack.ends_with("--no-overwrite-dir --file /run/x.tar"));
    }
}
