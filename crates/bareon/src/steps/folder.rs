//! Folders of ours, such as those in `tmp_path`. Their names are fixed, so that a plan shows the commands that run; in `/tmp`
//! others may have put something there before us, which is neither followed nor used.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};

use bareon_host::mount;

/// Makes the folder `dir`, for us alone, or takes the one that is there if it is ours.
///
/// # Errors
/// When it cannot be made, or when something is there that is no folder of ours.
pub fn make(dir: &Path) -> io::Result<()> {
    if is_ours(dir)? {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(0o700).create(dir)
}

/// Whether `dir` is a folder of ours; no when nothing is there.
///
/// # Errors
/// When something else is there: a link, a folder that somebody else has or may write to.
pub fn is_ours(dir: &Path) -> io::Result<bool> {
    const OTHERS_WRITE: u32 = 0o022;
    let found = match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    let ours =
        found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & OTHERS_WRITE == 0;
    if ours { Ok(true) } else { Err(io::Error::other("it is no folder of ours; remove it, or set tmp_path")) }
}

/// Removes a file; whether it was there.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_file(file: &Path) -> io::Result<bool> {
    match fs::remove_file(file) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes all that a folder holds.
///
/// # Errors
/// When something is mounted there, which would be emptied, too; when something cannot be removed.
pub fn empty(dir: &Path) -> io::Result<()> {
    // The kernel tells of mounts by whole paths without links.
    let dir = &fs::canonicalize(dir)?;
    let table = fs::read_to_string("/proc/thread-self/mountinfo")?;
    if let Some(below) =
        mount::parse_mountinfo(&table).into_iter().find(|mounted| Path::new(&mounted.dir).starts_with(dir))
    {
        return Err(io::Error::other(format!("{} is mounted at {}; unmount it", below.source, below.dir)));
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_is_made_is_for_us_alone_and_is_taken_again() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("a/b");
        make(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        make(&dir).unwrap();
    }

    #[test]
    fn a_file_that_is_gone_need_not_be_removed() {
        let tmp = tempfile::tempdir().unwrap();
        let file = tmp.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(remove_file(&file).unwrap() && !file.exists());
        assert!(!remove_file(&file).unwrap());
        remove_file(tmp.path()).unwrap_err();
    }

    #[test]
    fn what_somebody_else_put_there_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let (link, file, open) = (tmp.path().join("link"), tmp.path().join("file"), tmp.path().join("open"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        symlink(&open, &link).unwrap();
        fs::write(&file, "").unwrap();
        for dir in [link, file, open.clone()] {
            assert!(make(&dir).unwrap_err().to_string().contains("no folder of ours"), "{dir:?}");
        }
        if nix::unistd::geteuid().is_root() {
            fs::set_permissions(&open, fs::Permissions::from_mode(0o700)).unwrap();
            std::os::unix::fs::chown(&open, Some(1), None).unwrap();
            make(&open).unwrap_err();
        }
    }
}
