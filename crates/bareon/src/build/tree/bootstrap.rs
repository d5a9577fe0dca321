//! The smallest tree: by debootstrap or by mmdebstrap, both from the first repository of the input.
//!
//! Where packages are kept, debootstrap downloads first and unpacks then, so that what it downloaded is taken again as long
//! as the mirror's Release file is the same; else it does both at once, as packing up what it downloaded takes its time.
//! mmdebstrap takes indexes and packages as apt keeps them; as apt believes what has the right name and size, it is
//! compared with the indexes afterwards. Signatures are checked unless the repository is trusted.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bareon_host::{
    Cmd, CommandError, Runner,
    debootstrap::{self, Debootstrap},
    mmdebstrap::{self, AptCache, Mmdebstrap},
};
use nix::unistd::geteuid;

use super::{
    apt,
    cache::{ARCHIVES, Cache, CacheError, LISTS, is_package},
    last,
    release::{Release, proxy_use},
    told, within,
};
use crate::{
    cli::value::Bootstrapper,
    objects::build::{BuildScheme, Repo},
    steps::folder,
};

/// The smallest tree could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The bootstrapper failed.
    #[error("bootstrapping `{suite}` from {uri}{}", told(.why))]
    Tool {
        /// The suite.
        suite: String,
        /// The mirror.
        uri: String,
        /// What it, or apt, says of it.
        why: Vec<String>,
        /// How it ended.
        #[source]
        source: Box<CommandError>,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file of the working folder.
    #[error("writing {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A bootstrap as a plan shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// By whom.
    pub by: Bootstrapper,
    /// The root of the tree.
    pub tree: PathBuf,
    /// The build's working folder, for what is fetched.
    pub work: PathBuf,
    /// What earlier builds fetched.
    pub cache: Option<Cache>,
}

impl Bootstrap {
    /// The command that does it, for a plan; what is in a cache is not known yet.
    pub fn commands(&self, scheme: &BuildScheme) -> Vec<Cmd> {
        match self.by {
            Bootstrapper::Debootstrap => {
                let (build, tarball) = (self.debootstrap(scheme, &Release::default()), self.tarball());
                match self.cache {
                    Some(_) => vec![build.download(&tarball), build.unpack(&tarball)],
                    None => vec![build.run()],
                }
            }
            Bootstrapper::Mmdebstrap => vec![self.mmdebstrap(scheme, None).run()],
        }
    }

    /// Makes the tree.
    ///
    /// # Errors
    /// When the bootstrapper fails, with what it says.
    pub fn run(
        &self,
        host: &dyn Runner,
        scheme: &BuildScheme,
        releases: &[Release],
    ) -> Result<(), BootstrapError> {
        let repo = first(scheme);
        if repo.trusted {
            tracing::warn!(
                "NO SIGNATURE of the repository {} is checked, as the input says that it is trusted",
                repo.name
            );
        }
        apt::place_keys(&scheme.repos[..1], &self.keys())
            .map_err(|(path, source)| BootstrapError::File { path, source })?;
        if let Some(cache) = &self.cache {
            cache.prepare()?;
        }
        let release = releases.first().cloned().unwrap_or_default();
        match self.by {
            Bootstrapper::Debootstrap => self.run_debootstrap(host, scheme, &release)?,
            Bootstrapper::Mmdebstrap => self.run_mmdebstrap(host, scheme)?,
        }
        self.forget()
    }

    /// Removes the bootstrapper's own settings of apt, and the packages that are unpacked already: apt would believe them.
    fn forget(&self) -> Result<(), BootstrapError> {
        let mut gone = vec![self.inside("etc/apt/apt.conf.d/99mmdebstrap")?];
        let packages = fs::read_dir(self.inside(ARCHIVES)?).into_iter().flatten().flatten();
        gone.extend(packages.map(|entry| entry.path()).filter(|path| is_package(path)));
        gone.iter().try_for_each(|path| folder::remove_file(path).map(drop).map_err(failed(path)))
    }

    fn run_debootstrap(
        &self,
        host: &dyn Runner,
        scheme: &BuildScheme,
        release: &Release,
    ) -> Result<(), BootstrapError> {
        let build = self.debootstrap(scheme, release);
        let Some(cache) = &self.cache else { return self.tool(host, &build.run(), scheme) };
        let (repo, tarball) = (first(scheme), self.tarball());
        if cache.lend_tarball(repo, &release.sha256, &tarball)? {
            tracing::info!("the mirror is as it was: debootstrap takes what the cache holds");
        } else {
            self.tool(host, &build.download(&tarball), scheme)?;
            cache.keep_tarball(repo, &release.sha256, &tarball)?;
        }
        self.tool(host, &build.unpack(&tarball), scheme)?;
        // The next step needs the room.
        let _ = fs::remove_file(&tarball);
        Ok(())
    }

    fn run_mmdebstrap(&self, host: &dyn Runner, scheme: &BuildScheme) -> Result<(), BootstrapError> {
        let attempts = 3;
        write(&self.apt_conf(), &apt::conf(&scheme.proxies, attempts))?;
        let Some(cache) = &self.cache else {
            return self.tool(host, &self.mmdebstrap(scheme, None).run(), scheme);
        };
        let ours = AptCache { lists: self.work.join("lists"), archives: self.work.join("archives") };
        for dir in [&ours.lists, &ours.archives] {
            fs::create_dir_all(dir).map_err(failed(dir))?;
        }
        cache.lend_lists(&ours.lists)?;
        let lent = cache.lend_bootstrap(&ours.archives)?;
        let build = self.mmdebstrap(scheme, Some(ours.clone())).run();
        let made = match self.tool(host, &build, scheme) {
            Err(error) if !lent => return Err(error),
            made => made,
        };
        let (archives, lists) = (self.inside(ARCHIVES)?, self.inside(LISTS)?);
        let mut packages = cache.packages(&archives)?;
        let strangers = if lent { cache.strangers(&packages, &lists)? } else { Vec::new() };
        if strangers.is_empty() {
            made?;
        } else {
            tracing::warn!(
                "the repository has other packages than the cache by the names of {}: the tree is made anew without the cache's",
                strangers.join(", ")
            );
            for dir in [&self.tree, &ours.archives] {
                folder::empty(dir).map_err(failed(dir))?;
            }
            self.tool(host, &build, scheme)?;
            packages = cache.packages(&archives)?;
        }
        cache.keep_bootstrap(&packages, &archives)?;
        for dir in [ours.lists, ours.archives] {
            let _ = fs::remove_dir_all(dir);
        }
        Ok(())
    }

    fn tool(&self, host: &dyn Runner, cmd: &Cmd, scheme: &BuildScheme) -> Result<(), BootstrapError> {
        match host.run(cmd) {
            Ok(_) => Ok(()),
            Err(source) => {
                let repo = first(scheme);
                let mut why = source.outputs().map(|(out, err)| said(out, err)).unwrap_or_default();
                // debootstrap says no more than where it wrote down what the packages' scripts said.
                let log =
                    fs::read_to_string(self.tree.join("debootstrap/debootstrap.log")).unwrap_or_default();
                why.extend(telling(&log));
                Err(BootstrapError::Tool {
                    suite: repo.suite.clone(),
                    uri: bareon_image::shown(&repo.uri),
                    why,
                    source: source.into(),
                })
            }
        }
    }

    fn debootstrap(&self, scheme: &BuildScheme, release: &Release) -> Debootstrap {
        let repo = first(scheme);
        let known = Path::new(debootstrap::SCRIPTS).join(&repo.suite).exists();
        let script = debootstrap::script_for(release.field("Origin").unwrap_or("Debian"));
        let proxy = match proxy_use(&repo.uri, &scheme.proxies) {
            bareon_image::ProxyUse::Through(proxy) => {
                Some((repo.uri.split(':').next().unwrap_or_default().to_owned(), proxy))
            }
            _ => None,
        };
        Debootstrap {
            suite: repo.suite.clone(),
            tree: self.tree.clone(),
            mirror: repo.uri.clone(),
            components: repo.section.split_whitespace().map(str::to_owned).collect(),
            keyring: self.keyring(repo),
            check: !repo.trusted,
            script: (!known).then(|| script.to_owned()),
            proxy,
            rootless: !really_root(),
        }
    }

    fn mmdebstrap(&self, scheme: &BuildScheme, cache: Option<AptCache>) -> Mmdebstrap {
        let repo = first(scheme);
        let line = apt::source_line(0, repo, &self.keys());
        Mmdebstrap {
            suite: repo.suite.clone(),
            tree: self.tree.clone(),
            sources: vec![line],
            apt_conf: self.apt_conf(),
            cache,
            merged_usr: Path::new(mmdebstrap::MERGED_USR).is_dir(),
        }
    }

    /// Where a path of the tree lies.
    fn inside(&self, path: &str) -> Result<PathBuf, BootstrapError> {
        within::file(&self.tree, path).map_err(failed(&self.tree.join(path)))
    }

    fn keyring(&self, repo: &Repo) -> Option<PathBuf> {
        repo.signed_by.as_ref().map(|_| self.keys().join(apt::key_file(0)))
    }

    fn keys(&self) -> PathBuf {
        self.work.join("keys")
    }

    fn apt_conf(&self) -> PathBuf {
        self.work.join("apt.conf")
    }

    fn tarball(&self) -> PathBuf {
        self.work.join("debootstrap.tgz")
    }
}

/// The repository that is bootstrapped from; a driver gives at least one.
fn first(scheme: &BuildScheme) -> &Repo {
    &scheme.repos[0]
}

/// Whether nodes can be made and ids are those of the machine, rather than of a user namespace.
pub fn really_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    geteuid().is_root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn write(path: &Path, text: &str) -> Result<(), BootstrapError> {
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> BootstrapError {
    let path = path.to_path_buf();
    move |source| BootstrapError::File { path, source }
}

/// How lines begin that say why a bootstrapper failed.
const TELLING: [&str; 2] = ["E:", "W: GPG error"];

/// The lines that say why a bootstrapper failed, else the last of all.
fn said(stdout: &str, stderr: &str) -> Vec<String> {
    let all: Vec<_> = stdout.lines().chain(stderr.lines()).map(str::trim).collect();
    let errors = all.iter().filter(|line| TELLING.iter().any(|start| line.starts_with(start)));
    let errors: Vec<_> = errors.map(|line| (*line).to_owned()).collect();
    if errors.is_empty() { telling(&all.join("\n")) } else { errors }
}

/// The last lines of debootstrap and its wget that do not say of something that it went well.
fn telling(text: &str) -> Vec<String> {
    let chatter = |line: &str| line.starts_with("I: ") || line.contains(" URL:");
    let rest: Vec<_> = text.lines().filter(|line| !chatter(line)).collect();
    last(&rest.join("\n"))
}
