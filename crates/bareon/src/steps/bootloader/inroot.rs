//! Files of the installed system, reached as it reaches them.
//!
//! An absolute symbolic link in the image (`/etc/fstab -> /mnt/state/fstab`) means a file of the
//! image, not of the ramdisk. Every path is therefore resolved link by link below the root. Nothing
//! of the image runs meanwhile, so nobody changes a link between the look and the use.
//!
//! Files are replaced, never rewritten: a new one is made, flushed and renamed into its place.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown, symlink},
    path::{Component, Path, PathBuf},
};

use nix::errno::Errno;
use xattr::FileExt;

use super::BootError;

/// How many symbolic links a path may have; the kernel's limit.
const LINKS: usize = 40;

/// The root directory of the installed system.
#[derive(Debug, Clone)]
pub struct Root(PathBuf);

impl Root {
    /// The system whose `/` is `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where `inside` lies, all links followed; what does not exist yet is taken as it is named.
    ///
    /// # Errors
    /// When links lead in a circle.
    pub fn resolve(&self, inside: impl AsRef<Path>) -> Result<PathBuf, BootError> {
        let mut parts = parts(inside.as_ref());
        let mut found = self.0.clone();
        let depth = self.0.components().count();
        let mut links = 0;
        while let Some(part) = parts.pop_front() {
            if part == ".." {
                if found.components().count() > depth {
                    found.pop();
                }
                continue;
            }
            let here = found.join(&part);
            let Ok(link) = fs::read_link(&here) else {
                found = here;
                continue;
            };
            links += 1;
            if links > LINKS {
                return Err(BootError::file("following the links of", here)(Errno::ELOOP.into()));
            }
            if link.is_absolute() {
                found.clone_from(&self.0);
            }
            for part in self::parts(&link).into_iter().rev() {
                parts.push_front(part);
            }
        }
        Ok(found)
    }

    /// Whether `inside` is there.
    pub fn has(&self, inside: impl AsRef<Path>) -> bool {
        self.resolve(inside).is_ok_and(|path| path.exists())
    }

    /// Whether a program of that name is installed.
    pub fn has_program(&self, name: &str) -> bool {
        ["usr/sbin", "usr/bin", "sbin", "bin", "usr/local/sbin"]
            .iter()
            .any(|dir| self.has(Path::new(dir).join(name)))
    }

    /// The text of `inside`; nothing when it is not there.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, inside: impl AsRef<Path>) -> Result<Option<String>, BootError> {
        let path = self.resolve(inside)?;
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BootError::file("reading", path)(error)),
        }
    }

    /// The names in the directory `inside`, sorted; none when it is not there.
    pub fn names(&self, inside: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = self
            .resolve(inside)
            .and_then(|path| fs::read_dir(&path).map_err(BootError::file("reading", path)))
        else {
            return Vec::new();
        };
        let mut names: Vec<_> =
            entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The files below the directory `inside` with their paths from there; none when it is not there.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn files(&self, inside: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, BootError> {
        let mut files = Vec::new();
        let mut dirs = vec![PathBuf::new()];
        while let Some(dir) = dirs.pop() {
            for name in self.names(inside.join(&dir)) {
                let below = dir.join(name);
                let path = self.resolve(inside.join(&below))?;
                if path.is_dir() {
                    dirs.push(below);
                } else {
                    let bytes = fs::read(&path).map_err(BootError::file("reading", path))?;
                    files.push((below, bytes));
                }
            }
        }
        Ok(files)
    }

    /// Makes the directory `inside` and those above it; where it lies.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn make_dir(&self, inside: impl AsRef<Path>) -> Result<PathBuf, BootError> {
        let path = self.resolve(inside)?;
        fs::create_dir_all(&path).map_err(BootError::file("making the directory", &path))?;
        Ok(path)
    }

    /// Puts `content` into the place of `inside`, with its owner, mode and labels if it was there,
    /// else as root's with `0644`.
    ///
    /// # Errors
    /// When a step of that fails; then the old file is still there.
    pub fn write(&self, inside: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Result<(), BootError> {
        let path = self.resolve(inside)?;
        replace(&path, content.as_ref()).map_err(BootError::file("writing", path))
    }

    /// Makes the link `inside` that leads to `target`, in the place of whatever file is there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn link(&self, inside: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<(), BootError> {
        let inside = inside.as_ref();
        self.remove(inside)?;
        let dir = self.make_dir(inside.parent().unwrap_or(Path::new("/")))?;
        let path = dir.join(inside.file_name().unwrap_or_default());
        symlink(target, &path).map_err(BootError::file("making the link", path))
    }

    /// Removes the file `inside` if it is there; a link is removed itself.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, inside: &Path) -> Result<(), BootError> {
        let dir = self.resolve(inside.parent().unwrap_or(Path::new("/")))?;
        let path = dir.join(inside.file_name().unwrap_or_default());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(BootError::file("removing", path)(error))
            }
            _ => Ok(()),
        }
    }
}

/// The parts of a path that mean something.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect()
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir)?;
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".bareon-new");
    let new = dir.join(name);
    // What a run that was killed left.
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
    file.write_all(content)?;
    match File::open(path) {
        Ok(old) => take_after(&file, &old)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    file.sync_all()?;
    fs::rename(&new, path)?;
    File::open(dir)?.sync_all()
}

/// Gives `new` the owner, the mode and the extended attributes (labels of `SELinux`, ACLs) of `old`.
fn take_after(new: &File, old: &File) -> io::Result<()> {
    /// Sums of the old content.
    const OF_CONTENT: [&str; 2] = ["security.ima", "security.evm"];
    let (is, was) = (new.metadata()?, old.metadata()?);
    if (is.uid(), is.gid()) != (was.uid(), was.gid()) {
        fchown(new, Some(was.uid()), Some(was.gid()))?;
    }
    if is.mode() & 0o7777 != was.mode() & 0o7777 {
        new.set_permissions(was.permissions())?;
    }
    let names = match old.list_xattr() {
        Ok(names) => names,
        // FAT has none.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(()),
        Err(error) => return Err(error),
    };
    for name in names.filter(|name| !OF_CONTENT.iter().any(|of| name == of)) {
        if let Some(value) = old.get_xattr(&name)?
            && new.get_xattr(&name)?.as_ref() != Some(&value)
        {
            new.set_xattr(&name, &value)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        fs::create_dir_all(dir.path().join("etc")).unwrap();
        (dir, root)
    }

    #[test]
    fn links_do_not_lead_out_of_the_root() {
        let (dir, root) = root();
        symlink("/state/fstab", dir.path().join("etc/fstab")).unwrap();
        symlink("../../../../../state/deep", dir.path().join("etc/up")).unwrap();
        symlink("/etc", dir.path().join("config")).unwrap();
        assert_eq!(root.resolve("/etc/fstab").unwrap(), dir.path().join("state/fstab"));
        assert_eq!(root.resolve("/etc/up").unwrap(), dir.path().join("state/deep"));
        assert_eq!(root.resolve("/config/fstab").unwrap(), dir.path().join("state/fstab"));
        assert_eq!(root.resolve("../../etc/x").unwrap(), dir.path().join("etc/x"));

        root.write("/etc/fstab", "new").unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("state/fstab")).unwrap(), "new");
        assert!(fs::symlink_metadata(dir.path().join("etc/fstab")).unwrap().is_symlink());
    }

    #[test]
    fn a_circle_of_links_is_an_error() {
        let (dir, root) = root();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("/a", dir.path().join("b")).unwrap();
        assert!(root.resolve("/a/x").unwrap_err().to_string().starts_with("following the links of"));
    }

    #[test]
    fn a_file_keeps_its_mode_and_leaves_nothing_beside_it() {
        let (dir, root) = root();
        let path = dir.path().join("etc/secret");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        root.write("/etc/secret", "new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(root.read("/etc/secret").unwrap().as_deref(), Some("new"));
        assert_eq!(root.names("/etc"), ["secret"]);
    }

    #[test]
    fn a_file_keeps_its_owner_and_its_label() {
        let (dir, root) = root();
        let path = dir.path().join("etc/labelled");
        fs::write(&path, "old").unwrap();
        let name = if nix::unistd::geteuid().is_root() { "security.selinux" } else { "user.label" };
        if let Err(error) = xattr::set(&path, name, b"system_u:object_r:etc_t:s0") {
            eprintln!("SKIPPED: no extended attributes here: {error}");
            return;
        }
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(7), Some(8)).unwrap();
        }
        let before = fs::metadata(&path).unwrap();
        root.write("/etc/labelled", "new").unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(xattr::get(&path, name).unwrap().unwrap(), b"system_u:object_r:etc_t:s0");
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let (_dir, root) = root();
        assert_eq!(root.read("/etc/nothing").unwrap(), None);
        assert!(root.names("/nothing").is_empty() && !root.has("/nothing"));
        root.remove(Path::new("/etc/nothing")).unwrap();
    }
}
