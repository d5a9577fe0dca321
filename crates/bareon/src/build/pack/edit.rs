//! Changes of the tree that last while it is packed: a guard.
//!
//! A folder that another image holds is moved aside and an empty one of the same looks put in its place; a file that
//! only the packed tree has is written over another one, which is moved aside. Closing the guard puts all back, the
//! times of folders included. Dropping it, after a failure, does the same and logs.
//!
//! Moved, and not hidden by a mount: this needs no privilege, and mkfs sees one file system. What a killed build
//! leaves half-way is thrown away with its working folder.

use std::{
    fs::{self, File, FileTimes, Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::{PackError, place::within};

/// The permissions of a folder that the tree lacked.
const FOLDER: u32 = 0o755;

/// See the module.
pub struct Edit {
    tree: PathBuf,
    /// What was moved away, beside the tree: moving is renaming.
    aside: Option<TempDir>,
    undo: Vec<Undo>,
}

/// What puts one change back.
enum Undo {
    /// Removes the folder that was made, with what was put into it.
    RemoveFolder(PathBuf),
    /// Removes the file that was written.
    RemoveFile(PathBuf),
    /// Moves a file or folder back.
    MoveBack { aside: PathBuf, place: PathBuf },
    /// Sets the times of a folder.
    Times { folder: PathBuf, times: FileTimes },
}

impl Edit {
    /// No change of `tree` yet.
    ///
    /// # Errors
    /// When no folder can be made beside the tree.
    pub fn new(tree: &Path) -> Result<Self, PackError> {
        let beside = tree.parent().unwrap_or(tree);
        let aside = tempfile::Builder::new().prefix(".aside-").tempdir_in(beside);
        let aside = aside.map_err(|error| PackError::file("making a folder in", beside, error))?;
        Ok(Self { tree: tree.into(), aside: Some(aside), undo: Vec::new() })
    }

    /// Makes sure that the folder `path` of the tree is there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&mut self, path: &Path) -> Result<(), PackError> {
        let mut ancestors: Vec<_> = path.ancestors().collect();
        ancestors.reverse();
        for ancestor in ancestors {
            let place = within(&self.tree, ancestor)?;
            if !place.is_dir() {
                self.keep_times_of_parent(&place)?;
                self.make_folder(&place)?;
                self.restore_times()?;
            }
        }
        Ok(())
    }

    /// Has the folder `path` of the tree be empty; an existing one keeps its owner, permissions, attributes and times.
    ///
    /// # Errors
    /// When it cannot be moved or made.
    pub fn hollow(&mut self, path: &Path) -> Result<(), PackError> {
        let place = within(&self.tree, path)?;
        let Ok(meta) = fs::symlink_metadata(&place) else { return self.folder(path) };
        self.keep_times_of_parent(&place)?;
        let aside = self.move_aside(&place)?;
        self.make_folder(&place)?;
        same_looks(&aside, &meta, &place).map_err(|error| PackError::file("changing", &place, error))?;
        self.restore_times()
    }

    /// Writes the file `path` of the tree, whose folder is there, in place of whatever was there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&mut self, path: &Path, content: &[u8], mode: u32) -> Result<(), PackError> {
        let folder = within(&self.tree, path.parent().unwrap_or(path))?;
        let place = folder.join(path.file_name().unwrap_or_default());
        self.keep_times_of_parent(&place)?;
        if fs::symlink_metadata(&place).is_ok() {
            self.move_aside(&place)?;
        }
        self.undo.push(Undo::RemoveFile(place.clone()));
        let written = fs::write(&place, content)
            .and_then(|()| fs::set_permissions(&place, Permissions::from_mode(mode)));
        written.map_err(|error| PackError::file("writing", &place, error))?;
        self.restore_times()
    }

    /// Puts everything back.
    ///
    /// # Errors
    /// The first failure; what could not be put back stays beside the tree.
    pub fn close(mut self) -> Result<(), PackError> {
        self.put_back()
    }

    fn move_aside(&mut self, place: &Path) -> Result<PathBuf, PackError> {
        let folder = self.aside.as_ref().map_or(self.tree.as_path(), TempDir::path);
        let aside = folder.join(self.undo.len().to_string());
        fs::rename(place, &aside).map_err(|error| PackError::file("moving aside", place, error))?;
        self.undo.push(Undo::MoveBack { aside: aside.clone(), place: place.into() });
        Ok(aside)
    }

    fn make_folder(&mut self, place: &Path) -> Result<(), PackError> {
        self.undo.push(Undo::RemoveFolder(place.into()));
        let made =
            fs::create_dir(place).and_then(|()| fs::set_permissions(place, Permissions::from_mode(FOLDER)));
        made.map_err(|error| PackError::file("making", place, error))
    }

    /// Remembers the times of the folder that `place` is in; they are set when later changes have been undone.
    fn keep_times_of_parent(&mut self, place: &Path) -> Result<(), PackError> {
        let folder = place.parent().unwrap_or(place);
        let times = fs::symlink_metadata(folder).and_then(|meta| times(&meta));
        let times = times.map_err(|error| PackError::file("reading", folder, error))?;
        self.undo.push(Undo::Times { folder: folder.into(), times });
        Ok(())
    }

    /// Sets the times that were remembered last, as the change itself changed them.
    fn restore_times(&self) -> Result<(), PackError> {
        self.undo.iter().rev().find(|undo| matches!(undo, Undo::Times { .. })).map_or(Ok(()), Undo::run)
    }

    fn put_back(&mut self) -> Result<(), PackError> {
        let mut result = Ok(());
        while let Some(undo) = self.undo.pop() {
            if let Err(error) = undo.run() {
                result = result.and(Err(error));
                // What was moved aside would be deleted with it.
                let kept = self.aside.take().map(TempDir::keep);
                tracing::debug!(?kept, "not all could be put back");
            }
        }
        result
    }
}

impl Drop for Edit {
    fn drop(&mut self) {
        if let Err(error) = self.put_back() {
            tracing::warn!("{error}");
        }
    }
}

impl Undo {
    fn run(&self) -> Result<(), PackError> {
        let (doing, path, result) = match self {
            Self::RemoveFolder(folder) => ("removing", folder, fs::remove_dir_all(folder)),
            Self::RemoveFile(file) => ("removing", file, absent_is_fine(fs::remove_file(file))),
            Self::MoveBack { aside, place } => ("putting back", place, fs::rename(aside, place)),
            Self::Times { folder, times } => {
                ("setting the times of", folder, File::open(folder).and_then(|open| open.set_times(*times)))
            }
        };
        result.map_err(|error| PackError::file(doing, path, error))
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn times(meta: &Metadata) -> io::Result<FileTimes> {
    Ok(FileTimes::new().set_accessed(meta.accessed()?).set_modified(meta.modified()?))
}

/// Gives the new folder `new` owner, permissions, attributes and times of `old`.
fn same_looks(old: &Path, meta: &Metadata, new: &Path) -> io::Result<()> {
    chown(new, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(new, Permissions::from_mode(meta.mode() & 0o7777))?;
    for name in xattr::list(old)? {
        if let Some(value) = xattr::get(old, &name)? {
            xattr::set(new, &name, &value)?;
        }
    }
    File::open(new)?.set_times(times(meta)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of a tree: paths, modes, times and contents.
    fn all(dir: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![dir.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                let content = fs::read(&path).unwrap_or_default();
                found.push(format!(
                    "{} {:o} {}.{} {content:?}",
                    path.display(),
                    meta.mode(),
                    meta.mtime(),
                    meta.mtime_nsec()
                ));
                if meta.is_dir() {
                    folders.push(path);
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn everything_is_as_before_when_it_is_closed() {
        let work = tempfile::tempdir().unwrap();
        let tree = work.path().join("tree");
        fs::create_dir_all(tree.join("boot/grub")).unwrap();
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::write(tree.join("boot/grub/old"), "old").unwrap();
        fs::write(tree.join("etc/fstab"), "none").unwrap();
        fs::set_permissions(tree.join("boot"), Permissions::from_mode(0o1710)).unwrap();
        let before = all(&tree);

        let mut edit = Edit::new(&tree).unwrap();
        edit.folder(Path::new("/srv/data")).unwrap();
        edit.hollow(Path::new("/boot")).unwrap();
        let boot = before.iter().find(|line| line.contains("tree/boot ")).unwrap();
        assert!(all(&tree).contains(boot), "the empty folder looks as the full one");
        edit.folder(Path::new("/boot/grub")).unwrap();
        edit.put(Path::new("/boot/grub/grub.cfg"), b"new", 0o600).unwrap();
        edit.put(Path::new("/etc/fstab"), b"new", 0o644).unwrap();
        assert!(!tree.join("boot/grub/old").exists() && tree.join("srv/data").is_dir());
        assert_eq!(fs::read(tree.join("etc/fstab")).unwrap(), b"new");
        edit.close().unwrap();
        assert_eq!(all(&tree), before);
        assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_link_leads_out_of_the_tree() {
        let work = tempfile::tempdir().unwrap();
        let tree = work.path().join("tree");
        fs::create_dir_all(work.path().join("host/log")).unwrap();
        fs::create_dir(&tree).unwrap();
        std::os::unix::fs::symlink("../host", tree.join("var")).unwrap();
        let mut edit = Edit::new(&tree).unwrap();
        for path in ["/var", "/var/log", "/../host"] {
            assert!(matches!(edit.hollow(Path::new(path)), Err(PackError::NoFolder(_))), "{path}");
        }
        drop(edit);
        assert!(work.path().join("host/log").is_dir());
    }
}
