//! What was fetched by builds before: indexes, packages, and what debootstrap packed up.
//!
//! ```text
//! cache_dir/files/SHA256    what was fetched, each file under its own sum: see `store`
//! cache_dir/indexes/KEY     apt's indexes of one set of repositories: a line with sum, time and name for each
//! cache_dir/bootstraps/KEY  likewise, the packages that mmdebstrap took of the first of them
//! cache_dir/tarballs/KEY    likewise, what debootstrap fetched for one state of a mirror
//! ```
//!
//! A file is never taken by its name: apt believes each package in its folder that has the right name and size, and each
//! index whose Release file did not change, and asks for no sum again. So packages are lent by the sums that the indexes
//! tell of them, and indexes by those of the day when apt fetched them. What debootstrap packed up was checked by the keys
//! that are part of its name, and is not checked again; so nobody else may write to the folder.
//!
//! Two builds at once can do no harm: files with a sum never change, and lists of them are replaced whole. What no build
//! has asked for in a month goes.

mod store;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use store::Store;
pub use store::Sum;

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
    files: Store,
    /// What stands for all repositories, and for the first alone.
    keys: (String, String),
}

impl Cache {
    /// The cache in `dir` as a build with these repositories uses it.
    pub fn new(dir: &Path, repos: &[Repo]) -> Self {
        let key = |repos: &[Repo]| {
            let lines = repos.iter().map(|repo| format!("{} {} {}\n", repo.uri, repo.suite, repo.section));
            short(&lines.collect::<String>())
        };
        let keys = (key(repos), key(&repos[..repos.len().min(1)]));
        Self { dir: dir.into(), files: Store::new(dir.join("files")), keys }
    }

    /// Makes the folders of the cache, and removes what nobody uses.
    ///
    /// # Errors
    /// When that cannot be done.
    pub fn prepare(&self) -> Result<(), CacheError> {
        for name in ["files", "indexes", "bootstraps", "tarballs"] {
            let path = self.dir.join(name);
            let ready = fs::create_dir_all(&path).and_then(|()| store::sweep(&path));
            ready.map_err(|source| CacheError { path, source })?;
        }
        Ok(())
    }

    /// Copies the indexes that are here to `lists`, but for those that are there already.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn lend_lists(&self, lists: &Path) -> Result<(), CacheError> {
        self.lend(&Entry::read(&self.lists()), lists).map_err(self.failed()).map(drop)
    }

    /// Keeps the indexes that lie in `lists`, but for those of repositories in folders of this machine: apt has links to
    /// them, and with a Release file of before it takes them for fetched.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep_lists(&self, lists: &Path) -> Result<(), CacheError> {
        // The name is the address without its scheme: a folder begins with its slash, which is an underscore here.
        let fetched = |name: &Path| name != Path::new("lock") && !name.to_string_lossy().starts_with('_');
        Entry::all_in(lists, fetched)
            .and_then(|entries| self.keep(&self.lists(), &entries, lists))
            .map_err(self.failed())
    }

    /// Copies the packages that the last bootstrap took to `archives`; whether there are any.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn lend_bootstrap(&self, archives: &Path) -> Result<bool, CacheError> {
        let lent = self.lend(&Entry::read(&self.bootstrap()), archives).map_err(self.failed())?;
        Ok(lent > 0)
    }

    /// The packages in `archives`, with their sums.
    ///
    /// # Errors
    /// When one of the files cannot be read.
    pub fn packages(&self, archives: &Path) -> Result<Vec<Entry>, CacheError> {
        Entry::all_in(archives, is_package).map_err(self.failed())
    }

    /// The names of those of `packages` whose sum no index in `lists` has; none where apt fetched no index.
    ///
    /// # Errors
    /// When one of the indexes cannot be read.
    pub fn strangers<'p>(&self, packages: &'p [Entry], lists: &Path) -> Result<Vec<&'p str>, CacheError> {
        let known = known(lists).map_err(self.failed())?;
        if known.is_empty() {
            return Ok(Vec::new());
        }
        let strangers = packages.iter().filter(|package| !known.contains(&package.sum));
        Ok(strangers.map(|package| &*package.name).collect())
    }

    /// Keeps `packages`, which lie in `archives`, as those that the bootstrap took.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep_bootstrap(&self, packages: &[Entry], archives: &Path) -> Result<(), CacheError> {
        self.keep(&self.bootstrap(), packages, archives).map_err(self.failed())
    }

    /// Copies packages to `archives`, as far as they are here: files by their names and sums.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn lend_packages(&self, packages: &[(String, Sum)], archives: &Path) -> Result<(), CacheError> {
        for (name, sum) in packages.iter().filter(|(name, _)| is_plain(name)) {
            self.files.lend(sum, &archives.join(name)).map_err(self.failed())?;
        }
        Ok(())
    }

    /// Keeps those of these packages that lie in `archives`.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep_packages(&self, packages: &[(String, Sum)], archives: &Path) -> Result<(), CacheError> {
        for (name, sum) in packages.iter().filter(|(name, _)| is_plain(name)) {
            let file = archives.join(name);
            if file.exists() {
                self.files.keep(sum, &file).map_err(self.failed())?;
            }
        }
        Ok(())
    }

    /// Copies to `to` what debootstrap packed up of a mirror in the state that `release` (the sum of its Release file) names,
    /// once it was checked by the keys that the input names, or by none; whether it is here.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn lend_tarball(&self, repo: &Repo, release: &str, to: &Path) -> Result<bool, CacheError> {
        let entries = Entry::read(&self.tarball(repo, release));
        let lent = entries.first().map_or(Ok(false), |entry| self.files.lend(&entry.sum, to));
        lent.map_err(self.failed())
    }

    /// Keeps what debootstrap packed up; see [`Self::lend_tarball`].
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn keep_tarball(&self, repo: &Repo, release: &str, made: &Path) -> Result<(), CacheError> {
        let (dir, name) = (made.parent(), made.file_name());
        let (Some(dir), Some(name)) = (dir, name) else { return Ok(()) };
        let entry = Entry::of(dir, &name.to_string_lossy());
        let kept = entry.and_then(|entry| self.keep(&self.tarball(repo, release), &[entry], dir));
        kept.map_err(self.failed())
    }

    fn lists(&self) -> PathBuf {
        self.dir.join("indexes").join(&self.keys.0)
    }

    fn bootstrap(&self) -> PathBuf {
        self.dir.join("bootstraps").join(&self.keys.1)
    }

    fn tarball(&self, repo: &Repo, release: &str) -> PathBuf {
        let key = repo.signed_by.as_ref().map(|key| match key {
            SignedBy::Armored(text) => digest::sha256(text),
            SignedBy::File(path) => digest::sha256(fs::read(path).unwrap_or_default()),
        });
        let checked = (repo.trusted, key);
        let state = short(&format!("{} {} {} {release} {checked:?}", repo.uri, repo.suite, repo.section));
        self.dir.join("tarballs").join(state)
    }

    /// Copies to `dir` what is not there; how many files.
    fn lend(&self, entries: &[Entry], dir: &Path) -> io::Result<usize> {
        let mut lent = 0;
        for entry in entries {
            let to = dir.join(&entry.name);
            if to.exists() || !self.files.lend(&entry.sum, &to)? {
                continue;
            }
            // By its time apt asks for a newer one.
            File::options().write(true).open(&to)?.set_modified(UNIX_EPOCH + entry.modified)?;
            lent += 1;
        }
        Ok(lent)
    }

    fn keep(&self, list: &Path, entries: &[Entry], dir: &Path) -> io::Result<()> {
        for entry in entries {
            self.files.keep(&entry.sum, &dir.join(&entry.name))?;
        }
        let lines: String = entries.iter().map(Entry::line).collect();
        store::whole(list, |file| file.write_all(lines.as_bytes()))
    }

    fn failed(&self) -> impl FnOnce(io::Error) -> CacheError {
        let path = self.dir.clone();
        move |source| CacheError { path, source }
    }
}

/// A file of a folder that is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    sum: Sum,
    /// Since 1970, in whole seconds.
    modified: Duration,
    name: String,
}

impl Entry {
    fn of(dir: &Path, name: &str) -> io::Result<Self> {
        let path = dir.join(name);
        let modified = fs::metadata(&path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let modified = Duration::from_secs(modified.as_secs());
        Ok(Self { sum: Sum::of(&path)?, modified, name: name.to_owned() })
    }

    /// The files of a folder that `wanted` says yes to, sorted; no folder is an empty one.
    fn all_in(dir: &Path, wanted: impl Fn(&Path) -> bool) -> io::Result<Vec<Self>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir).into_iter().flatten() {
            let entry = entry?;
            let name = entry.file_name();
            // apt writes no other names.
            let Some(name) = name.to_str().filter(|name| wanted(Path::new(name))) else { continue };
            if entry.file_type()?.is_file() {
                entries.push(Self::of(dir, name)?);
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn line(&self) -> String {
        format!("{} {} {}\n", self.sum, self.modified.as_secs(), self.name)
    }

    /// The entries of a list; what is none is left out, as is a list that cannot be read: all of it is fetched then.
    fn read(list: &Path) -> Vec<Self> {
        let text = fs::read_to_string(list).unwrap_or_default();
        text.lines().filter_map(Self::parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let sum = words.next()?.parse().ok()?;
        let modified = Duration::from_secs(words.next()?.parse().ok()?);
        let name = words.next().filter(|name| is_plain(name))?.to_owned();
        Some(Self { sum, modified, name })
    }
}

/// Whether a file is a package by its name.
pub fn is_package(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "deb")
}

/// Whether a name is that of a file in a folder, and leads nowhere else.
fn is_plain(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file == name)
}

/// The sums of all packages that the indexes in `lists` tell of.
fn known(lists: &Path) -> io::Result<BTreeSet<Sum>> {
    let mut known = BTreeSet::new();
    for entry in fs::read_dir(lists).into_iter().flatten() {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().ends_with("_Packages") {
            continue;
        }
        for line in BufReader::new(File::open(entry.path())?).split(b'\n') {
            let line = line?;
            let digits = line.strip_prefix(b"SHA256: ").and_then(|digits| str::from_utf8(digits).ok());
            known.extend(digits.and_then(Sum::of_digits));
        }
    }
    Ok(known)
}

fn short(text: &str) -> String {
    digest::sha256(text)[..16].to_owned()
}

#[cfg(test)]
mod tests;
