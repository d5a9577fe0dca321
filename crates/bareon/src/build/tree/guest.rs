//! A tree that programs run in: `/proc`, `/sys`, `/dev` are there, names are resolved, and no service is started.
//!
//! `/dev` is a tmpfs with the few nodes that packages' scripts use, shown from the build host, as without root no node
//! can be made. Repositories in folders of the build host are shown at their own place. All of it is mounted in the
//! build's own mount namespace; [`Guest::close`] takes it away and ends what packages left running.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use bareon_host::{CommandError, Runner, chroot, mount, runner};

/// The nodes of `/dev` that are shown in the tree.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What programs that would start services ask first, and what it answers: not now (status 101).
const POLICY: (&str, &str) = ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");

/// Where systemd-resolved's link leads to.
const RESOLVED: &str = "run/systemd/resolve/stub-resolv.conf";

/// A tree that could not be made ready for programs, or not be left.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// A mount.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file.
    #[error("preparing {} for programs", .path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, GuestError> {
    result.map_err(|source| GuestError::File { path: path.into(), source })
}

/// See the module. Dropping it does what [`close`](Self::close) does, and logs what goes wrong.
pub struct Guest<'h> {
    host: &'h dyn Runner,
    tree: PathBuf,
    mounted: Vec<PathBuf>,
    /// Folders that were made for mounts, the outermost first.
    made: Vec<PathBuf>,
    /// What the name resolution of the build host was when it was copied in.
    resolv: Option<Vec<u8>>,
}

impl<'h> Guest<'h> {
    /// Makes the tree ready. `shown` are folders of the build host that are seen at their own place.
    ///
    /// # Errors
    /// When something cannot be mounted or written.
    pub fn enter(host: &'h dyn Runner, tree: &Path, shown: &[PathBuf]) -> Result<Self, GuestError> {
        let mut guest = Self { host, tree: tree.into(), mounted: Vec::new(), made: Vec::new(), resolv: None };
        guest.mount("proc", |dir| mount::mount("proc", dir, "proc"))?;
        guest.mount("sys", |dir| mount::bind_all("/sys", dir))?;
        guest.dev()?;
        for folder in shown {
            guest.show(folder)?;
        }
        guest.resolve()?;
        let policy = tree.join(POLICY.0);
        at(&policy, fs::write(&policy, POLICY.1))?;
        at(&policy, fs::set_permissions(&policy, fs::Permissions::from_mode(0o755)))?;
        Ok(guest)
    }

    fn mount(&mut self, name: &str, cmd: impl FnOnce(&Path) -> bareon_host::Cmd) -> Result<(), GuestError> {
        let dir = self.tree.join(name);
        at(&dir, fs::create_dir_all(&dir))?;
        self.host.run(&cmd(&dir))?;
        self.mounted.push(dir);
        Ok(())
    }

    fn dev(&mut self) -> Result<(), GuestError> {
        self.mount("dev", |dir| mount::mount("tmpfs", dir, "tmpfs"))?;
        let dev = self.tree.join("dev");
        at(&dev, fs::set_permissions(&dev, fs::Permissions::from_mode(0o755)))?;
        for name in NODES {
            let node = dev.join(name);
            at(&node, fs::write(&node, ""))?;
            self.host.run(&mount::bind(&format!("/dev/{name}"), &node))?;
            self.mounted.push(node);
        }
        for (name, target) in [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("ptmx", "pts/ptmx"),
        ] {
            at(&dev.join(name), symlink(target, dev.join(name)))?;
        }
        self.mount("dev/shm", |dir| mount::mount("tmpfs", dir, "tmpfs"))?;
        self.mount("dev/pts", mount::own_ptys)
    }

    /// Shows a folder of the build host at its own place.
    fn show(&mut self, folder: &Path) -> Result<(), GuestError> {
        let inside = self.tree.join(folder.strip_prefix("/").unwrap_or(folder));
        let missing: Vec<_> =
            inside.ancestors().take_while(|dir| !dir.exists()).map(Path::to_owned).collect();
        at(&inside, fs::create_dir_all(&inside))?;
        self.made.extend(missing.into_iter().rev());
        self.host.run(&mount::bind(&folder.display().to_string(), &inside))?;
        self.mounted.push(inside);
        Ok(())
    }

    /// Has names resolved as on the build host, also once systemd-resolved was installed in the tree.
    fn resolve(&mut self) -> Result<(), GuestError> {
        let Ok(text) = fs::read("/etc/resolv.conf") else { return Ok(()) };
        let (link, own) = (self.tree.join(RESOLVED), self.tree.join("etc/resolv.conf"));
        for path in [&link, &own] {
            if path.is_symlink() && *path == own {
                continue;
            }
            let dir = path.parent().unwrap_or(path);
            at(dir, fs::create_dir_all(dir))?;
            at(path, fs::write(path, &text))?;
        }
        self.resolv = Some(text);
        Ok(())
    }

    /// Ends what runs in the tree, and takes away all that was mounted and written for it.
    ///
    /// # Errors
    /// With the first thing that goes wrong.
    pub fn close(mut self) -> Result<(), GuestError> {
        self.leave()
    }

    fn leave(&mut self) -> Result<(), GuestError> {
        let _shield = runner::shield();
        let left = chroot::end_processes(&self.tree);
        if !left.is_empty() {
            let names: Vec<_> = left.iter().map(|process| process.name.as_str()).collect();
            tracing::debug!("ended what packages left running: {}", names.join(", "));
        }
        let mut result = Ok(());
        while let Some(dir) = self.mounted.pop() {
            let unmounted = self.host.run(&mount::umount_below(&dir)).map(drop);
            if unmounted.is_err() {
                // Nobody outside sees it, but nothing below may be packed or deleted.
                let detached = self.host.run(&mount::umount_lazily(&dir)).map(drop);
                result = result.and(detached.map_err(GuestError::from));
            }
        }
        for dir in self.made.drain(..).rev() {
            // Packages may have put something there; then it stays.
            let _ = fs::remove_dir(dir);
        }
        let policy = self.tree.join(POLICY.0);
        if fs::read(&policy).is_ok_and(|text| text == POLICY.1.as_bytes()) {
            result = result.and(at(&policy, fs::remove_file(&policy)));
        }
        if let Some(text) = self.resolv.take() {
            for name in ["etc/resolv.conf", "etc/.resolv.conf.systemd-resolved.bak"] {
                let path = self.tree.join(name);
                if !path.is_symlink() && fs::read(&path).is_ok_and(|found| found == text) {
                    result = result.and(at(&path, fs::remove_file(&path)));
                }
            }
        }
        result
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::error!("leaving the tree: {error}");
        }
    }
}
