//! What a build leaves behind in a tree, and what would be the same on every machine that is installed from it: all of it
//! goes. What stays is the same for the same packages: no time after the epoch, no days in `shadow` by which one could
//! tell when it was built.
//!
//! What a folder of `extra_files` brings stays, wherever it lies: it was asked for.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::sys::{
    stat::{UtimensatFlags, utimensat},
    time::TimeSpec,
};

/// Folders that are emptied.
const EMPTIED: [&str; 9] = [
    "etc/apt/sources.list.d",
    "etc/apt/preferences.d",
    "run",
    "tmp",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/tmp",
    "var/lib/dhcp",
    "var/lib/systemd/timers",
];

/// Files that are removed.
const REMOVED: [&str; 27] = [
    "etc/.pwd.lock",
    "etc/apt/preferences",
    "etc/apt/sources.list",
    "etc/group-",
    "etc/gshadow-",
    "etc/hostname",
    // By these an NVMe target tells machines apart; without them the machine's own UUID is taken.
    "etc/nvme/hostid",
    "etc/nvme/hostnqn",
    "etc/passwd-",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "root/.bash_history",
    "root/.wget-hsts",
    "usr/share/info/dir.old",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dbus/machine-id",
    "var/lib/dpkg/available-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/statoverride-old",
    "var/lib/systemd/credential.secret",
    "var/lib/systemd/random-seed",
];

/// Logs that are emptied rather than removed, as nothing makes them anew.
const TRUNCATED: [&str; 4] = ["btmp", "faillog", "lastlog", "wtmp"];

/// A tree could not be cleaned.
#[derive(Debug, thiserror::Error)]
#[error("cleaning {}", .path.display())]
pub struct CleanError {
    /// What could not be.
    pub path: PathBuf,
    #[source]
    source: io::Error,
}

/// Cleans the tree, but for what lies in the folders `extra`, too. Nothing is mounted below it any more.
///
/// # Errors
/// With the first file that cannot be changed.
pub fn run(tree: &Path, extra: &[PathBuf], epoch: u64) -> Result<(), CleanError> {
    let tidy = Tidy { tree, extra };
    for dir in EMPTIED {
        tidy.empty(&tree.join(dir))?;
    }
    for file in REMOVED {
        tidy.remove(&tree.join(file))?;
    }
    tidy.logs(&tree.join("var/log"))?;
    tidy.host_keys(&tree.join("etc/ssh"))?;
    tidy.identity()?;
    shadow(&tree.join("etc/shadow"), epoch)?;
    mdadm(&tree.join("etc/mdadm/mdadm.conf"))?;
    times(tree, epoch)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> CleanError {
    let path = path.to_path_buf();
    move |source| CleanError { path, source }
}

/// What is removed, and what is not.
struct Tidy<'a> {
    tree: &'a Path,
    extra: &'a [PathBuf],
}

impl Tidy<'_> {
    /// Whether the input itself brings what lies at `path`.
    fn asked_for(&self, path: &Path) -> bool {
        let inside = path.strip_prefix(self.tree).unwrap_or(path);
        self.extra.iter().any(|folder| fs::symlink_metadata(folder.join(inside)).is_ok())
    }

    /// Removes all that `dir` holds. A link in its place is left alone: it leads somewhere else.
    fn empty(&self, dir: &Path) -> Result<(), CleanError> {
        if dir.is_symlink() {
            return Ok(());
        }
        let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
        for path in entries.flatten().map(|entry| entry.path()) {
            match (path.is_dir() && !path.is_symlink(), self.asked_for(&path)) {
                (true, true) => self.empty(&path)?,
                (true, false) => fs::remove_dir_all(&path).map_err(failed(&path))?,
                (false, _) => self.remove(&path)?,
            }
        }
        Ok(())
    }

    fn remove(&self, file: &Path) -> Result<(), CleanError> {
        if self.asked_for(file) {
            return Ok(());
        }
        match fs::remove_file(file) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(failed(file)(error))
            }
            _ => Ok(()),
        }
    }

    fn logs(&self, dir: &Path) -> Result<(), CleanError> {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                self.logs(&path)?;
            } else if TRUNCATED.iter().any(|name| entry.file_name() == *name) {
                fs::File::options().write(true).truncate(true).open(&path).map_err(failed(&path))?;
            } else {
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    /// Each machine makes its own at its first start.
    fn host_keys(&self, dir: &Path) -> Result<(), CleanError> {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
                self.remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Who a machine is: nobody yet. An empty machine-id is filled at the first start.
    fn identity(&self) -> Result<(), CleanError> {
        let hosts = "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\n\
                     ff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n";
        for (name, text) in [("etc/hostname", "localhost\n"), ("etc/hosts", hosts)] {
            let path = self.tree.join(name);
            if !self.asked_for(&path) {
                fs::write(&path, text).map_err(failed(&path))?;
            }
        }
        let id = self.tree.join("etc/machine-id");
        let wanted = id.exists() || self.tree.join("lib/systemd/systemd").exists();
        if wanted && !self.asked_for(&id) {
            fs::write(&id, "")
                .and_then(|()| fs::set_permissions(&id, fs::Permissions::from_mode(0o444)))
                .map_err(failed(&id))?;
        }
        // One that leads into /run is of the tree's own resolver; a file can only be that of the build host.
        let resolv = self.tree.join("etc/resolv.conf");
        if resolv.is_symlink() { Ok(()) } else { self.remove(&resolv) }
    }
}

/// The day of each password's last change becomes that of the epoch.
fn shadow(file: &Path, epoch: u64) -> Result<(), CleanError> {
    const DAY: u64 = 24 * 60 * 60;
    let Ok(text) = fs::read_to_string(file) else { return Ok(()) };
    let line = |line: &str| {
        let mut fields: Vec<_> = line.split(':').map(str::to_owned).collect();
        if let Some(changed) = fields.get_mut(2).filter(|changed| !changed.is_empty()) {
            *changed = (epoch / DAY).to_string();
        }
        fields.join(":") + "\n"
    };
    fs::write(file, text.lines().map(line).collect::<String>()).map_err(failed(file))
}

/// The package notes when it made its file, and the arrays of the build host.
fn mdadm(file: &Path) -> Result<(), CleanError> {
    let Ok(text) = fs::read_to_string(file) else { return Ok(()) };
    let kept = text.lines().filter(|line| !line.contains("auto-generated on") && !line.starts_with("ARRAY "));
    fs::write(file, kept.flat_map(|line| [line, "\n"]).collect::<String>()).map_err(failed(file))
}

/// No file of the tree is younger than the epoch.
fn times(dir: &Path, epoch: u64) -> Result<(), CleanError> {
    let limit = i64::try_from(epoch).unwrap_or(i64::MAX);
    let entries = fs::read_dir(dir).map_err(failed(dir))?;
    for entry in entries {
        let entry = entry.map_err(failed(dir))?;
        let path = entry.path();
        let found = fs::symlink_metadata(&path).map_err(failed(&path))?;
        if found.is_dir() {
            times(&path, epoch)?;
        } else {
            clamp(&path, found.mtime(), found.mtime_nsec(), limit)?;
        }
    }
    let found = fs::symlink_metadata(dir).map_err(failed(dir))?;
    clamp(dir, found.mtime(), found.mtime_nsec(), limit)
}

fn clamp(path: &Path, seconds: i64, nanoseconds: i64, limit: i64) -> Result<(), CleanError> {
    let (time, changed) = if seconds >= limit { (limit, true) } else { (seconds, nanoseconds != 0) };
    if !changed {
        return Ok(());
    }
    let time = TimeSpec::new(time, 0);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)
        .map_err(|errno| failed(path)(errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_build_is_left_and_nothing_is_younger_than_the_epoch() {
        let tmp = tempfile::tempdir().unwrap();
        let tree = tmp.path();
        for (name, text) in [
            ("etc/shadow", "root:*:20500:0:99999:7:::\nsshd:!:20600::::::\n"),
            ("etc/shadow-", "x"),
            ("etc/resolv.conf", "nameserver 192.0.2.1\n"),
            ("etc/hostname", "builder\n"),
            ("etc/machine-id", "0123\n"),
            ("etc/nvme/hostnqn", "nqn.2014-08.org.nvmexpress:uuid:0123\n"),
            ("etc/mdadm/mdadm.conf", "HOMEHOST <system>\nARRAY /dev/md0\n# auto-generated on Sat\n"),
            ("etc/ssh/ssh_host_rsa_key", "k"),
            ("etc/ssh/sshd_config", "c"),
            ("var/log/apt/term.log", "l"),
            ("var/log/wtmp", "l"),
            ("var/lib/apt/lists/partial/x", "l"),
            ("run/bareon-keys/0.gpg", "k"),
        ] {
            let path = tree.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        std::os::unix::fs::symlink("nowhere", tree.join("etc/link")).unwrap();
        let extra = tempfile::tempdir().unwrap();
        for name in ["etc/apt/sources.list.d/site.list", "etc/hosts"] {
            for top in [tree, extra.path()] {
                let path = top.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "asked for\n").unwrap();
            }
        }
        fs::write(tree.join("etc/apt/sources.list.d/build.list"), "x").unwrap();
        run(tree, &[extra.path().into()], 1_000_000_000).unwrap();
        let text = |name: &str| fs::read_to_string(tree.join(name)).unwrap();
        assert_eq!(text("etc/shadow"), "root:*:11574:0:99999:7:::\nsshd:!:11574::::::\n");
        assert_eq!((text("etc/hostname").as_str(), text("etc/machine-id").as_str()), ("localhost\n", ""));
        assert_eq!(text("etc/mdadm/mdadm.conf"), "HOMEHOST <system>\n");
        assert_eq!((text("var/log/wtmp").as_str(), text("etc/ssh/sshd_config").as_str()), ("", "c"));
        for kept in ["etc/apt/sources.list.d/site.list", "etc/hosts"] {
            assert_eq!(text(kept), "asked for\n");
        }
        for gone in [
            "etc/apt/sources.list.d/build.list",
            "etc/shadow-",
            "etc/resolv.conf",
            "etc/nvme/hostnqn",
            "etc/ssh/ssh_host_rsa_key",
            "var/log/apt/term.log",
            "var/lib/apt/lists/partial",
            "run/bareon-keys",
        ] {
            assert!(!tree.join(gone).exists(), "{gone}");
        }
        for name in ["etc/shadow", "etc", "etc/link"] {
            assert_eq!(fs::symlink_metadata(tree.join(name)).unwrap().mtime(), 1_000_000_000, "{name}");
        }
    }
}
