//! Where a path of the built system lies on the build host.
//!
//! A link in the tree, made by a package, by `extra_files` or by the script of the input, means a file of the tree. To the
//! build host it may mean a file of its own: what is written or removed through it is to stay in the tree.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::steps::bootloader::inroot::Root;

/// Where `inside` lies, with all links followed within the tree; what is not there yet is taken as it is named.
///
/// # Errors
/// When links lead in a circle.
pub fn file(tree: &Path, inside: impl AsRef<Path>) -> io::Result<PathBuf> {
    Root::new(tree).resolve(inside).map_err(io::Error::other)
}

/// Where `inside` lies itself, be it a link: only the links on the way there are followed.
///
/// # Errors
/// When links lead in a circle.
pub fn entry(tree: &Path, inside: impl AsRef<Path>) -> io::Result<PathBuf> {
    let inside = inside.as_ref();
    let folder = file(tree, inside.parent().unwrap_or(Path::new("/")))?;
    Ok(folder.join(inside.file_name().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_lead_into_the_tree() {
        let tree = tempfile::tempdir().unwrap();
        let tree = tree.path();
        fs::create_dir_all(tree.join("srv/log")).unwrap();
        fs::create_dir_all(tree.join("var")).unwrap();
        symlink("/srv/log", tree.join("var/log")).unwrap();
        symlink("../../../etc/wtmp", tree.join("srv/log/wtmp")).unwrap();
        assert_eq!(file(tree, "var/log/wtmp").unwrap(), tree.join("etc/wtmp"));
        assert_eq!(entry(tree, "var/log/wtmp").unwrap(), tree.join("srv/log/wtmp"));
        assert_eq!(entry(tree, "var/log").unwrap(), tree.join("var/log"));
        assert_eq!(file(tree, "/new/one").unwrap(), tree.join("new/one"));
    }
}
