//! `mmdebstrap(1)`: makes the smallest tree of a suite by apt, faster than debootstrap and from several repositories.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Cmd, Tool, cmd::quoted};

/// How long a slow mirror may take for a few hundred packages.
const LIMIT: Duration = Duration::from_hours(6);

/// What is bootstrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mmdebstrap {
    /// The suite, such as `bookworm`.
    pub suite: String,
    /// The root of the tree.
    pub tree: PathBuf,
    /// Lines of apt's `sources.list`.
    pub sources: Vec<String>,
    /// A file with apt's configuration, in force during the bootstrap.
    pub apt_conf: PathBuf,
    /// Folders of a cache: indexes and packages that are there already.
    pub cache: Option<AptCache>,
    /// Whether the hooks of [`MERGED_USR`] are run; older versions have none.
    pub merged_usr: bool,
}

/// The hooks that make `/bin`, `/lib` and `/sbin` links as debootstrap does, where a suite has them so. Without them the
/// package `usrmerge` does it afterwards, and stays, with all of Perl.
pub const MERGED_USR: &str = "/usr/share/mmdebstrap/hooks/maybe-merged-usr";

/// What apt fetched before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptCache {
    /// Indexes, as in `/var/lib/apt/lists`.
    pub lists: PathBuf,
    /// Packages, as in `/var/cache/apt/archives`.
    pub archives: PathBuf,
}

impl Mmdebstrap {
    /// Makes the tree. The indexes stay in it, and so do the packages that were fetched, so that both can be kept.
    ///
    /// It runs as root, in a process and mount namespace of ours: it needs no own.
    pub fn run(&self) -> Cmd {
        let mut cmd = Tool::Mmdebstrap.cmd().time_limit(LIMIT).args([
            "--mode=root",
            "--variant=apt",
            "--format=directory",
            "--skip=cleanup/apt,cleanup/reproducible,essential/unlink,check/empty,check/signed-by",
        ]);
        cmd = cmd.arg(format!("--aptopt={}", self.apt_conf.display()));
        if let Some(AptCache { lists, archives }) = &self.cache {
            cmd = cmd
                .arg("--skip=download/empty")
                .arg(setup_hook(lists, "var/lib/apt/lists"))
                .arg(setup_hook(archives, "var/cache/apt/archives"));
        }
        if self.merged_usr {
            // It calls apt, whose user may not be allowed to write to the /tmp of this machine.
            cmd = cmd
                .arg(format!("--setup-hook=TMPDIR=\"$1\"/tmp {MERGED_USR}/setup00.sh \"$1\""))
                .arg(format!("--essential-hook={MERGED_USR}/essential00.sh \"$1\""));
        }
        cmd.arg(&self.suite).arg(&self.tree).args(&self.sources)
    }
}

/// Copies what lies in `from` into the tree before apt looks for it.
fn setup_hook(from: &Path, to: &str) -> String {
    let from = quoted(&from.display().to_string());
    format!("--setup-hook=mkdir -p \"$1\"/{to} && cp -a {from}/. \"$1\"/{to}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_copied_in_before_apt_looks_for_it() {
        let mut build = Mmdebstrap {
            suite: "bookworm".into(),
            tree: "/t".into(),
            sources: vec!["deb http://m/debian bookworm main".into()],
            apt_conf: "/w/apt.conf".into(),
            cache: None,
            merged_usr: false,
        };
        let plain = "mmdebstrap --mode=root --variant=apt --format=directory \
             --skip=cleanup/apt,cleanup/reproducible,essential/unlink,check/empty,check/signed-by --aptopt=/w/apt.conf";
        let end = "bookworm /t 'deb http://m/debian bookworm main'";
        assert_eq!(build.run().to_string(), format!("{plain} {end}"));
        build.cache = Some(AptCache { lists: "/c/l".into(), archives: "/c/a".into() });
        build.merged_usr = true;
        let cached = build.run().to_string();
        assert!(cached.starts_with(&format!("{plain} --skip=download/empty ")), "{cached}");
        assert!(
            cached.contains(r#"mkdir -p "$1"/var/lib/apt/lists && cp -a /c/l/. "$1"/var/lib/apt/lists/"#)
        );
        // What is copied in by hooks has to be there for the next ones.
        let setup = cached.find("/maybe-merged-usr/setup00.sh \"$1\"");
        assert!(setup > cached.find("cp -a /c/a/.") && cached.ends_with(end), "{cached}");
    }
}
