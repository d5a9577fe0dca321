//! Where a path of the built system lies on the build host.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use super::PackError;

/// The file of the build host at which `path` of the system in `tree` lies. No link is followed on the way: it would
/// lead out of the tree.
///
/// # Errors
/// When a folder on the way is something else.
pub fn within(tree: &Path, path: &Path) -> Result<PathBuf, PackError> {
    let mut place = tree.to_path_buf();
    for part in path.components() {
        match part {
            Component::RootDir | Component::CurDir => continue,
            Component::Normal(name) => place.push(name),
            Component::ParentDir | Component::Prefix(_) => return Err(PackError::NoFolder(path.into())),
        }
        match fs::symlink_metadata(&place) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(PackError::NoFolder(path.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(PackError::file("reading", &place, error)),
        }
    }
    Ok(place)
}
