//! Having files appear under their final names.
//!
//! All of them are first brought beside their places, whole and flushed: that may fail, for want of room above all, and then
//! nothing has appeared yet. What is left to do is renaming, in the order in which the files were made. So who reads the
//! metadata, which are the last, finds all that they tell of, also after a power cut.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::steps::folder;

/// Has each of `whole` (where it lies, where it belongs) appear. `staging` is a folder on the file system of the places.
/// Just before the first is renamed, `go` is asked whether to go on.
///
/// # Errors
/// With the place of the file that cannot appear, and why.
pub fn appear(
    whole: &[(PathBuf, PathBuf)],
    staging: &Path,
    go: impl FnOnce() -> bool,
) -> Result<bool, (PathBuf, io::Error)> {
    let mut near = Vec::new();
    for (file, place) in whole {
        near.push((bring(file, place, staging).map_err(|error| (place.clone(), error))?, place));
    }
    if !go() {
        return Ok(false);
    }
    for (file, place) in near {
        fs::rename(file, place)
            .and_then(|()| File::open(beside(place))?.sync_all())
            .map_err(|error| (place.clone(), error))?;
        tracing::info!("made {}", place.display());
    }
    Ok(true)
}

/// Removes `file`, which earlier files had beside them and these have not: it would tell of those.
///
/// # Errors
/// With the file, when it is there and cannot be removed.
pub fn disappear(file: &Path) -> Result<(), (PathBuf, io::Error)> {
    if folder::remove_file(file).map_err(|error| (file.to_owned(), error))? {
        tracing::info!("removed {}, which is of an earlier build", file.display());
    }
    Ok(())
}

fn beside(place: &Path) -> &Path {
    place.parent().unwrap_or(Path::new("/"))
}

/// Brings `file`, which may lie on another file system, to where it can be renamed to `place`, and flushes it.
fn bring(file: &Path, place: &Path, staging: &Path) -> io::Result<PathBuf> {
    if place.is_dir() {
        return Err(io::Error::other("it is a folder; remove it, or choose another name"));
    }
    fs::create_dir_all(beside(place))?;
    let mut near = file.to_owned();
    if file.parent() != Some(staging) {
        near = staging.join(place.file_name().unwrap_or_default());
        match fs::rename(file, &near) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => drop(fs::copy(file, &near)?),
            renamed => renamed?,
        }
    }
    File::open(&near)?.sync_all()?;
    Ok(near)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two new files, one of them outside of the staging folder, of which an older build made the first.
    fn files(dir: &Path) -> [(PathBuf, PathBuf); 2] {
        for name in ["work", "out/.part"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        for (name, text) in [("out/.part/a", "new"), ("work/b", "new"), ("out/a", "old")] {
            fs::write(dir.join(name), text).unwrap();
        }
        [("out/.part/a", "out/a"), ("work/b", "out/b")].map(|(file, place)| (dir.join(file), dir.join(place)))
    }

    #[test]
    fn all_appear_or_none() {
        let tmp = tempfile::tempdir().unwrap();
        let (dir, staging) = (tmp.path(), tmp.path().join("out/.part"));
        let text = |name: &str| fs::read_to_string(dir.join(name)).ok();

        let whole = files(dir);
        fs::create_dir(dir.join("out/b")).unwrap();
        let (place, error) = appear(&whole, &staging, || true).unwrap_err();
        assert!(place == dir.join("out/b") && error.to_string().starts_with("it is a folder"), "{error}");
        assert_eq!(text("out/a").as_deref(), Some("old"));
        fs::remove_dir(dir.join("out/b")).unwrap();

        let whole = files(dir);
        fs::remove_file(dir.join("work/b")).unwrap();
        assert_eq!(appear(&whole, &staging, || true).unwrap_err().0, dir.join("out/b"));
        assert_eq!(text("out/a").as_deref(), Some("old"));

        assert!(!appear(&files(dir), &staging, || false).unwrap());
        assert_eq!((text("out/a").as_deref(), text("out/b")), (Some("old"), None));

        assert!(appear(&files(dir), &staging, || true).unwrap());
        assert_eq!((text("out/a").as_deref(), text("out/b").as_deref()), (Some("new"), Some("new")));
    }
}
