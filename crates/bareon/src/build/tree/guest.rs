//! A tree that programs run in: `/proc`, `/sys`, `/dev` are there, names are resolved, and no service is started.
//!
//! `/dev` is a tmpfs with the few nodes that packages' scripts use, shown from the build host, as without root no node
//! can be made. Repositories in folders of the build host are shown at their own place. All of it is mounted in the
//! build's own mount namespace; [`Guest::close`] takes it away, with all that programs in the tree mounted, and ends what
//! packages left running.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use bareon_host::{CommandError, Runner, chroot, mount, runner};

use super::within;

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
    /// Where the policy of a package lies meanwhile, if one brought its own.
    policy: Option<PathBuf>,
    /// What the name resolution of the build host was when it was copied in.
    resolv: Option<Vec<u8>>,
}

impl<'h> Guest<'h> {
    /// Makes the tree ready. `shown` are folders of the build host that are seen at their own place.
    ///
    /// # Errors
    /// When something cannot be mounted or written.
    pub fn enter(host: &'h dyn Runner, tree: &Path, shown: &[PathBuf]) -> Result<Self, GuestError> {
        let (mounted, made) = (Vec::new(), Vec::new());
        let mut guest = Self { host, tree: tree.into(), mounted, made, policy: None, resolv: None };
        guest.mount("proc", |dir| mount::mount("proc", dir, "proc"))?;
        guest.mount("sys", |dir| mount::bind_all("/sys", dir))?;
        guest.dev()?;
        for folder in shown {
            guest.show(folder)?;
        }
        guest.resolve()?;
        guest.forbid_services()?;
        Ok(guest)
    }

    /// Puts our policy in the place of one that a package brought, which may be a link.
    fn forbid_services(&mut self) -> Result<(), GuestError> {
        let policy = self.entry(POLICY.0)?;
        if fs::symlink_metadata(&policy).is_ok() {
            let aside = policy.with_file_name(".policy-rc.d.bareon");
            at(&policy, fs::rename(&policy, &aside))?;
            self.policy = Some(aside);
        }
        at(&policy, fs::write(&policy, POLICY.1))?;
        at(&policy, fs::set_permissions(&policy, fs::Permissions::from_mode(0o755)))
    }

    /// Where `inside` of the tree lies itself.
    fn entry(&self, inside: &str) -> Result<PathBuf, GuestError> {
        at(&self.tree.join(inside), within::entry(&self.tree, inside))
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
        let inside = at(folder, within::file(&self.tree, folder))?;
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
        let (link, own) = (self.entry(RESOLVED)?, self.entry("etc/resolv.conf")?);
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
        result = result.and(self.unmount_all());
        for dir in self.made.drain(..).rev() {
            // Packages may have put something there; then it stays.
            let _ = fs::remove_dir(dir);
        }
        result = result.and(self.allow_services());
        if let Some(text) = self.resolv.take() {
            for name in ["etc/resolv.conf", "etc/.resolv.conf.systemd-resolved.bak"] {
                let Ok(path) = self.entry(name) else { continue };
                if !path.is_symlink() && fs::read(&path).is_ok_and(|found| found == text) {
                    result = result.and(at(&path, fs::remove_file(&path)));
                }
            }
        }
        result
    }

    /// Takes away what programs in the tree mounted there: it is no part of the tree, and may be a folder of it twice.
    fn unmount_all(&self) -> Result<(), GuestError> {
        let tree = at(&self.tree, fs::canonicalize(&self.tree))?;
        let table = at(&tree, fs::read_to_string("/proc/thread-self/mountinfo"))?;
        let mut result = Ok(());
        for left in mount::parse_mountinfo(&table).iter().rev() {
            let dir = Path::new(&left.dir);
            if dir.starts_with(&tree) && dir != tree {
                tracing::warn!("{} was left mounted at {}; it is not in the images", left.source, left.dir);
                let detached = self.host.run(&mount::umount_lazily(dir)).map(drop);
                result = result.and(detached.map_err(GuestError::from));
            }
        }
        result
    }

    /// Removes our policy, and puts that of a package back, unless one put its own there meanwhile.
    fn allow_services(&mut self) -> Result<(), GuestError> {
        let policy = self.entry(POLICY.0)?;
        let ours = !policy.is_symlink() && fs::read(&policy).is_ok_and(|text| text == POLICY.1.as_bytes());
        if ours {
            at(&policy, fs::remove_file(&policy))?;
        }
        match self.policy.take() {
            Some(aside) if ours => at(&policy, fs::rename(&aside, &policy)),
            Some(aside) => at(&aside, fs::remove_file(&aside)),
            None => Ok(()),
        }
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::error!("leaving the tree: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;

    /// A guest of which nothing is mounted.
    fn guest<'h>(host: &'h Script, tree: &Path) -> Guest<'h> {
        let (mounted, made) = (Vec::new(), Vec::new());
        Guest { host, tree: tree.into(), mounted, made, policy: None, resolv: None }
    }

    #[test]
    fn a_policy_that_a_package_brought_is_put_back_and_what_it_leads_to_on_the_build_host_is_not_written() {
        let (tmp, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (tree, outside) = (tmp.path(), outside.path().join("policy"));
        fs::create_dir_all(tree.join("usr/sbin")).unwrap();
        let policy = tree.join(POLICY.0);
        symlink(&outside, &policy).unwrap();
        let host = Script::default();
        let mut guest = guest(&host, tree);
        guest.forbid_services().unwrap();
        assert!(!policy.is_symlink() && fs::read_to_string(&policy).unwrap() == POLICY.1);
        guest.close().unwrap();
        assert_eq!(fs::read_link(&policy).unwrap(), outside);
        assert!(!outside.exists() && fs::read_dir(tree.join("usr/sbin")).unwrap().count() == 1);
    }

    #[test]
    fn a_policy_that_comes_meanwhile_stays_and_ours_goes() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir_all(tmp.path().join("usr/sbin")).unwrap();
        let (host, policy) = (Script::default(), tmp.path().join(POLICY.0));
        for (before, meanwhile, after) in
            [(None, None, None), (Some("old"), Some("new"), Some("new")), (None, Some("new"), Some("new"))]
        {
            let _ = fs::remove_file(&policy);
            if let Some(text) = before {
                fs::write(&policy, text).unwrap();
            }
            let mut guest = guest(&host, tmp.path());
            guest.forbid_services().unwrap();
            if let Some(text) = meanwhile {
                fs::write(&policy, text).unwrap();
            }
            guest.close().unwrap();
            assert_eq!(fs::read_to_string(&policy).ok().as_deref(), after);
            let left = fs::read_dir(tmp.path().join("usr/sbin")).unwrap().count();
            assert_eq!(left, usize::from(after.is_some()));
        }
    }
}
