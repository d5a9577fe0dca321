//! Files of the built tree, reached as the built system reaches them: a link to `/usr/lib` leads into the tree, not to
//! the build host.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::MetadataError;

/// The text of the file `inside` (without a `/` before it); nothing where there is none.
///
/// # Errors
/// When it is there and cannot be read.
pub fn read(tree: &Path, inside: &str) -> Result<Option<String>, MetadataError> {
    match open(tree, inside).and_then(|mut file| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(MetadataError::Tree { tree: tree.to_owned(), inside: inside.to_owned(), source }),
    }
}

fn open(tree: &Path, inside: &str) -> io::Result<File> {
    let root = File::open(tree)?;
    // A pipe somewhere in the tree would keep us waiting.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    Ok(File::from(openat2(&root, inside, how)?))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_lead_into_the_tree() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("usr/lib")).unwrap();
        fs::create_dir_all(tree.path().join("etc")).unwrap();
        fs::write(tree.path().join("usr/lib/os-release"), "ID=x\n").unwrap();
        symlink("/usr/lib/os-release", tree.path().join("etc/os-release")).unwrap();
        symlink("../../../../../usr/lib/os-release", tree.path().join("etc/above")).unwrap();
        symlink("/etc/passwd", tree.path().join("etc/host")).unwrap();
        for inside in ["etc/os-release", "etc/above"] {
            assert_eq!(read(tree.path(), inside).unwrap().as_deref(), Some("ID=x\n"));
        }
        assert_eq!(read(tree.path(), "etc/host").unwrap(), None);
        assert!(read(tree.path(), "etc").is_err());
    }
}
