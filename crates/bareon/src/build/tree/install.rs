//! Packages: apt, run in the tree, brings it up to date and installs the rest.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bareon_host::{Cmd, CommandError, Output, Runner, apt as apt_get};

use super::{
    apt,
    cache::{ARCHIVES, Cache, CacheError, LISTS},
    initrds,
    release::Release,
    told, within,
};
use crate::objects::build::BuildScheme;

/// Packages could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// apt or dpkg failed.
    #[error("{what}{}", told(.why))]
    Apt {
        /// What was being done.
        what: &'static str,
        /// What apt, dpkg and the package's own script say of it.
        why: Vec<String>,
        /// How it ended.
        #[source]
        source: Box<CommandError>,
    },
    /// apt did not fail, but could not fetch all indexes.
    #[error("apt could not fetch all indexes of the repositories{}", told(.why))]
    Indexes {
        /// What it says of it.
        why: Vec<String>,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Another command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file.
    #[error("writing {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// The commands that install, as a plan shows them.
pub fn commands(tree: &Path, scheme: &BuildScheme) -> Vec<Cmd> {
    vec![
        apt_get::update(tree, apt::CONF),
        apt_get::dist_upgrade(tree, apt::CONF),
        apt_get::install(tree, apt::CONF, &scheme.packages),
    ]
}

/// What apt is told lies in the tree: keys, sources, priorities, settings.
///
/// # Errors
/// When a file cannot be written.
pub fn configure(
    tree: &Path,
    scheme: &BuildScheme,
    releases: &[Release],
    attempts: u32,
) -> Result<(), InstallError> {
    let inside = |path: &str| tree.join(path.trim_start_matches('/'));
    let keys = inside(apt::KEYS);
    apt::place_keys(&scheme.repos, &keys).map_err(|(path, source)| InstallError::File { path, source })?;
    // Whatever the bootstrapper put there names the first repository only, and maybe files of the build host.
    for dir in ["etc/apt/sources.list.d", "etc/apt/preferences.d"] {
        for entry in fs::read_dir(inside(dir)).into_iter().flatten().flatten() {
            let path = entry.path();
            fs::remove_file(&path).map_err(|source| InstallError::File { path, source })?;
        }
    }
    let sources = scheme.repos.iter().enumerate();
    let sources: Vec<_> =
        sources.map(|(index, repo)| apt::source_line(index, repo, Path::new(apt::KEYS))).collect();
    for repo in scheme.repos.iter().filter(|repo| repo.trusted) {
        tracing::warn!(
            "NO SIGNATURE of the repository {} is checked, as the input says that it is trusted",
            repo.name
        );
    }
    let pinned: Vec<_> = scheme.repos.iter().cloned().zip(releases.iter().cloned()).collect();
    for (path, text) in [
        (inside("etc/apt/sources.list"), sources.join("\n") + "\n"),
        (inside("etc/apt/preferences"), apt::preferences(&pinned)),
        (inside(apt::CONF), apt::conf(&scheme.proxies, attempts)),
    ] {
        let written = fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)));
        written.map_err(|source| InstallError::File { path, source })?;
    }
    Ok(())
}

/// Brings the tree up to date, and installs the packages of the input. Kernels have no initrd then: see [`initrds`].
///
/// # Errors
/// When apt fails, with what it says.
pub fn run(
    host: &dyn Runner,
    tree: &Path,
    scheme: &BuildScheme,
    cache: Option<&Cache>,
    epoch: u64,
) -> Result<(), InstallError> {
    let at = |inside: &str| {
        within::file(tree, inside).map_err(|source| InstallError::File { path: tree.join(inside), source })
    };
    let (archives, lists) = (at(ARCHIVES)?, at(LISTS)?);
    let packages = &scheme.packages;
    if let Some(cache) = cache {
        cache.lend_lists(&lists)?;
    }
    let call = |what, cmd: Cmd| -> Result<Output, InstallError> {
        let (name, value) = initrds::NOT_YET;
        let cmd = cmd.env_inside("SOURCE_DATE_EPOCH", &epoch.to_string()).env_inside(name, value);
        host.run(&cmd).map_err(|source| {
            let why = source.outputs().map(|(out, err)| apt_get::reasons(out, err)).unwrap_or_default();
            InstallError::Apt { what, why, source: source.into() }
        })
    };
    let updated = call("fetching the indexes of the repositories", apt_get::update(tree, apt::CONF))?;
    if apt_get::uses_older(&updated.stderr) {
        return Err(InstallError::Indexes { why: apt_get::reasons(&updated.stdout, &updated.stderr) });
    }
    if let Some(cache) = cache {
        cache.keep_lists(&lists)?;
    }
    let fetching = |what, cmd: Cmd| -> Result<(), InstallError> {
        let Some(cache) = cache else { return call(what, cmd).map(drop) };
        let wanted = call("finding out which packages are needed", apt_get::print_uris(&cmd))?;
        let wanted = apt_get::parse_uris(&wanted.stdout).into_iter();
        let wanted: Vec<_> =
            wanted.filter_map(|package| Some((package.file, package.sum.parse().ok()?))).collect();
        cache.lend_packages(&wanted, &archives)?;
        let ran = call(what, cmd);
        // What was fetched before a failure need not be fetched again.
        let kept = cache.keep_packages(&wanted, &archives);
        ran?;
        Ok(kept?)
    };
    fetching("bringing the tree up to date", apt_get::dist_upgrade(tree, apt::CONF))?;
    fetching("installing packages", apt_get::install(tree, apt::CONF, packages))?;
    tracing::info!("Running apt-get install completed");
    Ok(())
}
