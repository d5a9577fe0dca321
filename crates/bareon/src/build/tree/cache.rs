//! What was fetched by builds before: indexes, packages, and what debootstrap packed up.
//!
//! ```text
//! cache_dir/lock                  held while indexes are copied in or out
//! cache_dir/archives/NAME.deb     packages, each put there whole, by a rename
//! cache_dir/lists/KEY/            apt's indexes of one set of repositories
//! cache_dir/lists/KEY.bootstrap   the packages that the bootstrapper took with them, a name a line
//! cache_dir/bootstrap/KEY.tgz     what debootstrap fetched for one state of a mirror
//! ```
//!
//! Of indexes and packages nothing is trusted: apt compares their sums with those of the Release files, which it fetches
//! and checks each time. What debootstrap packed up was checked before, by the keys that are part of its name; so nobody
//! else may write to the folder. Two builds at once can do no harm: what one of them replaces is the same, or newer.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use crate::{
    digest,
    objects::build::{Repo, SignedBy},
};

/// Where apt keeps packages in a tree.
pub const ARCHIVES: &str = "var/cache/apt/archives";

/// Where apt keeps indexes in a tree.
pub const LISTS: &str = "var/lib/apt/lists";

/// The cache could not be used.
#[derive(Debug, thiserror::Error)]
#[error("using the cache of packages at {}; is it a folder of ours, and not full? It may be deleted at any time", .path.display())]
pub struct CacheError {
    /// What could not be used.
    pub path: PathBuf,
    #[source]
    source: io::Error,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    dir: PathBuf,
    key: String,
}

impl Cache {
    /// The cache in `dir` as a build with these repositories uses it.
    pub fn new(dir: &Path, repos: &[Repo]) -> Self {
        let all = repos.iter().map(|repo| format!("{} {} {}\n", repo.uri, repo.suite, repo.section));
        Self { dir: dir.into(), key: short(&all.collect::<String>()) }
    }

    /// What debootstrap packs up of a mirror in the state that `release` (the sum of its Release file) names, once it was
    /// checked by the keys that the input names, or by none. Nobody checks it again.
    pub fn bootstrap(&self, repo: &Repo, release: &str) -> PathBuf {
        let key = repo.signed_by.as_ref().map(|key| match key {
            SignedBy::Armored(text) => digest::sha256(text),
            SignedBy::File(path) => digest::sha256(fs::read(path).unwrap_or_default()),
        });
        let checked = (repo.trusted, key);
        let state = short(&format!("{} {} {} {release} {checked:?}", repo.uri, repo.suite, repo.section));
        self.dir.join(format!("bootstrap/{}-{state}.tgz", repo.suite.replace('/', "_")))
    }

    /// Makes the folders of the cache.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn prepare(&self) -> Result<(), CacheError> {
        for name in ["archives", "lists", "bootstrap"] {
            let path = self.dir.join(name);
            fs::create_dir_all(&path).map_err(|source| CacheError { path, source })?;
        }
        Ok(())
    }

    /// Copies the indexes that are there to `lists`, and the bootstrapper's packages to `archives`.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn lend(&self, lists: &Path, archives: &Path) -> Result<(), CacheError> {
        let _lock = self.lock()?;
        let at = |path: PathBuf| move |source| CacheError { path, source };
        let from = self.dir.join("lists").join(&self.key);
        copy_files(&from, lists).map_err(at(from))?;
        let names = self.dir.join(format!("lists/{}.bootstrap", self.key));
        let names = fs::read_to_string(names).unwrap_or_default();
        self.lend_packages(names.lines(), archives)
    }

    /// Copies the packages of these names to `archives`, as far as they are there.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn lend_packages<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        archives: &Path,
    ) -> Result<(), CacheError> {
        for name in names.filter(|name| !name.contains('/')) {
            let from = self.dir.join("archives").join(name);
            let to = archives.join(name);
            if to.exists() {
                continue;
            }
            match fs::copy(&from, &to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(CacheError { path: from, source: error });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Keeps the packages that lie in `archives`; those of the bootstrapper are noted as such.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep_packages(&self, archives: &Path, of_bootstrapper: bool) -> Result<(), CacheError> {
        let mut names = Vec::new();
        let entries =
            fs::read_dir(archives).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
        for entry in entries {
            if !is_package(&entry.path()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let kept = self.dir.join("archives").join(&name);
            let size = |path: &Path| fs::metadata(path).map(|found| found.len()).ok();
            if size(&kept).is_none() || size(&kept) != size(&entry.path()) {
                whole(&kept, |temporary| fs::copy(entry.path(), temporary).map(drop))?;
            }
            names.push(name);
        }
        if of_bootstrapper && !names.is_empty() {
            names.sort();
            let list = self.dir.join(format!("lists/{}.bootstrap", self.key));
            whole(&list, |temporary| fs::write(temporary, names.join("\n") + "\n"))?;
        }
        Ok(())
    }

    /// Keeps the indexes that lie in `lists`, in place of those that were kept before.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep_lists(&self, lists: &Path) -> Result<(), CacheError> {
        let _lock = self.lock()?;
        let kept = self.dir.join("lists").join(&self.key);
        let renewed = || {
            if kept.exists() {
                fs::remove_dir_all(&kept)?;
            }
            fs::create_dir_all(&kept)?;
            copy_files(lists, &kept)
        };
        renewed().map_err(|source| CacheError { path: kept.clone(), source })
    }

    /// Keeps what debootstrap packed up at `made` as `kept`, in place of what it packed up of older states.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep_bootstrap(&self, made: &Path, kept: &Path, suite: &str) -> Result<(), CacheError> {
        whole(kept, |temporary| fs::copy(made, temporary).map(drop))?;
        let stem = format!("{}-", suite.replace('/', "_"));
        let entries = fs::read_dir(self.dir.join("bootstrap")).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path() != kept) {
            let old = entry.metadata().and_then(|found| found.modified()).ok();
            let old = old.and_then(|at| at.elapsed().ok()).is_some_and(|age| age.as_secs() > KEPT);
            if old && entry.file_name().to_string_lossy().starts_with(&stem) {
                // Somebody else may have done so.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    fn lock(&self) -> Result<Flock<File>, CacheError> {
        let path = self.dir.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|source| CacheError { path: path.clone(), source })?;
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| CacheError { path, source: errno.into() })
    }
}

/// How long what debootstrap packed up of an older state of a mirror is kept, in seconds: another build may use it.
const KEPT: u64 = 24 * 60 * 60;

/// Whether a file is a package by its name.
pub fn is_package(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "deb")
}

/// Writes `path` under another name first, so that nobody meets half of it.
fn whole(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), CacheError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.part", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = write(&temporary).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&temporary);
        CacheError { path: path.into(), source }
    })
}

/// Copies the files (no folders, no lock) of `from` to `to` with their times, by which apt asks for newer ones.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_file() || entry.file_name() == "lock" {
            continue;
        }
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy)?;
        let modified = entry.metadata()?.modified()?;
        File::options().write(true).open(&copy)?.set_modified(modified)?;
    }
    Ok(())
}

fn short(text: &str) -> String {
    digest::sha256(text)[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo() -> Repo {
        Repo {
            name: "r".into(),
            uri: "http://m".into(),
            suite: "s".into(),
            section: "main".into(),
            priority: None,
            trusted: false,
            signed_by: None,
        }
    }

    #[test]
    fn what_one_build_fetched_the_next_one_finds() {
        let tmp = tempfile::tempdir().unwrap();
        let cache = Cache::new(&tmp.path().join("cache"), &[repo()]);
        cache.prepare().unwrap();
        let (archives, lists) = (tmp.path().join("a"), tmp.path().join("l"));
        for dir in [&archives, &lists] {
            fs::create_dir(dir).unwrap();
        }
        fs::write(archives.join("x_1_amd64.deb"), "x").unwrap();
        fs::write(archives.join("lock"), "").unwrap();
        fs::write(lists.join("m_InRelease"), "r").unwrap();
        cache.keep_packages(&archives, true).unwrap();
        cache.keep_lists(&lists).unwrap();

        let (archives, lists) = (tmp.path().join("a2"), tmp.path().join("l2"));
        for dir in [&archives, &lists] {
            fs::create_dir(dir).unwrap();
        }
        cache.lend(&lists, &archives).unwrap();
        assert_eq!(fs::read(lists.join("m_InRelease")).unwrap(), b"r");
        assert_eq!(fs::read(archives.join("x_1_amd64.deb")).unwrap(), b"x");
        cache.lend_packages(["gone.deb", "../lock"].into_iter(), &archives).unwrap();
        assert_eq!(fs::read_dir(&archives).unwrap().count(), 1);
        let packed = [
            repo(),
            Repo { trusted: true, ..repo() },
            Repo { signed_by: Some(SignedBy::Armored("k".into())), ..repo() },
        ];
        let packed: std::collections::BTreeSet<_> =
            packed.iter().map(|repo| cache.bootstrap(repo, "r")).collect();
        assert_eq!(packed.len(), 3, "{packed:?}");
        let other = Cache::new(&tmp.path().join("cache"), &[Repo { suite: "t".into(), ..repo() }]);
        let empty = tempfile::tempdir().unwrap();
        other.lend(empty.path(), empty.path()).unwrap();
        assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
    }
}
