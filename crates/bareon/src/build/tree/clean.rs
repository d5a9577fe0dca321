//! What a build leaves behind in a tree, and what would be the same on every machine that is installed from it: all of it
//! goes. What stays is the same for the same packages: no time after the epoch, no days in `shadow` by which one could
//! tell when it was built.
//!
//! What a folder of `extra_files` brings stays, wherever it lies: it was asked for. Links of the tree are followed within
//! the tree ([`within`]).

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::sys::{
    stat::{UtimensatFlags, utimensat},
    time::TimeSpec,
};

use super::within;

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
        tidy.empty(Path::new(dir))?;
    }
    for file in REMOVED {
        tidy.remove(Path::new(file))?;
    }
    tidy.logs(Path::new("var/log"))?;
    tidy.host_keys(Path::new("etc/ssh"))?;
    tidy.identity()?;
    shadow(&tidy.file("etc/shadow")?, epoch)?;
    mdadm(&tidy.file("etc/mdadm/mdadm.conf")?)?;
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
    /// Where the file `inside` lies, its links followed.
    fn file(&self, inside: impl AsRef<Path>) -> Result<PathBuf, CleanError> {
        let inside = inside.as_ref();
        within::file(self.tree, inside).map_err(failed(&self.tree.join(inside)))
    }

    /// Where `inside` lies itself.
    fn entry(&self, inside: &Path) -> Result<PathBuf, CleanError> {
        within::entry(self.tree, inside).map_err(failed(&self.tree.join(inside)))
    }

    /// Whether the input itself brings what is called `inside`.
    fn asked_for(&self, inside: &Path) -> bool {
        self.extra.iter().any(|folder| fs::symlink_metadata(folder.join(inside)).is_ok())
    }

    /// Removes all that the folder `inside` holds. A link in its place is left alone: it leads somewhere else.
    fn empty(&self, inside: &Path) -> Result<(), CleanError> {
        let dir = self.entry(inside)?;
        if dir.is_symlink() {
            return Ok(());
        }
        let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
        for entry in entries.flatten() {
            let (path, inside) = (entry.path(), inside.join(entry.file_name()));
            match (path.is_dir() && !path.is_symlink(), self.asked_for(&inside)) {
                (true, true) => self.empty(&inside)?,
                (true, false) => fs::remove_dir_all(&path).map_err(failed(&path))?,
                (false, _) => self.remove(&inside)?,
            }
        }
        Ok(())
    }

    fn remove(&self, inside: &Path) -> Result<(), CleanError> {
        if self.asked_for(inside) {
            return Ok(());
        }
        let file = self.entry(inside)?;
        match fs::remove_file(&file) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Err(failed(&file)(error))
            }
            _ => Ok(()),
        }
    }

    fn logs(&self, inside: &Path) -> Result<(), CleanError> {
        for entry in fs::read_dir(self.file(inside)?).into_iter().flatten().flatten() {
            let (path, inside) = (entry.path(), inside.join(entry.file_name()));
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                self.logs(&inside)?;
            } else if TRUNCATED.iter().any(|name| entry.file_name() == *name) {
                fs::File::options().write(true).truncate(true).open(&path).map_err(failed(&path))?;
            } else {
                self.remove(&inside)?;
            }
        }
        Ok(())
    }

    /// Each machine makes its own at its first start.
    fn host_keys(&self, inside: &Path) -> Result<(), CleanError> {
        for entry in fs::read_dir(self.file(inside)?).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
                self.remove(&inside.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    /// Who a machine is: nobody yet. An empty machine-id is filled at the first start.
    fn identity(&self) -> Result<(), CleanError> {
        let hosts = "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost ip6-loopback\n\
                     ff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n";
        for (name, text) in [("etc/hostname", "localhost\n"), ("etc/hosts", hosts)] {
            self.write(Path::new(name), text, 0o644)?;
        }
        let id = self.file("etc/machine-id")?;
        if id.exists() || self.file("lib/systemd/systemd")?.exists() {
            self.write(Path::new("etc/machine-id"), "", 0o444)?;
        }
        // One that leads into /run is of the tree's own resolver; a file can only be that of the build host.
        let resolv = Path::new("etc/resolv.conf");
        if self.entry(resolv)?.is_symlink() { Ok(()) } else { self.remove(resolv) }
    }

    /// Writes the file `inside`, unless the input brings it. A link that leads to nothing is left alone:
    /// what it means is made when the system starts.
    fn write(&self, inside: &Path, text: &str, mode: u32) -> Result<(), CleanError> {
        let path = self.file(inside)?;
        if self.asked_for(inside) || self.entry(inside)?.is_symlink() && !path.exists() {
            return Ok(());
        }
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
            .map_err(failed(&path))
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
    fn nothing_is_written_or_removed_outside_of_the_tree() {
        let (tmp, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (tree, host) = (tmp.path(), host.path());
        for dir in ["etc", "var/lib", "var/cache", "srv/log"] {
            fs::create_dir_all(tree.join(dir)).unwrap();
        }
        fs::write(tree.join("srv/log/boot.log"), "l").unwrap();
        fs::write(host.join("shadow"), "root:*:20500:0:99999:7:::\n").unwrap();
        for file in ["hosts", "machine-id", "syslog", "wtmp", "ssh_host_rsa_key", "archive"] {
            fs::write(host.join(file), "the builder's").unwrap();
        }
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, tree.join(name)).unwrap();
        link(&host.join("hosts"), "etc/hosts");
        link(&host.join("machine-id"), "etc/machine-id");
        link(&host.join("shadow"), "etc/shadow");
        link(host, "etc/ssh");
        link(host, "var/cache/apt");
        link(host, "var/lib/apt");
        link(Path::new("/srv/log"), "var/log");
        let before = fs::read_dir(host).unwrap().count();
        run(tree, &[], 1_000_000_000).unwrap();
        for file in ["hosts", "machine-id", "syslog", "wtmp", "ssh_host_rsa_key", "archive"] {
            assert_eq!(fs::read_to_string(host.join(file)).unwrap(), "the builder's", "{file}");
        }
        assert_eq!(fs::read_to_string(host.join("shadow")).unwrap(), "root:*:20500:0:99999:7:::\n");
        assert_eq!(fs::read_dir(host).unwrap().count(), before);
        assert!(!tree.join("srv/log/boot.log").exists(), "logs are logs where a link leads to them, too");
    }

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
