//! `debootstrap(8)`: makes the smallest tree of a suite that apt can go on with.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{Cmd, Tool};

/// How long a slow mirror may take for a few hundred packages.
const LIMIT: Duration = Duration::from_hours(6);

/// What is bootstrapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debootstrap {
    /// The suite, such as `bookworm`.
    pub suite: String,
    /// The root of the tree.
    pub tree: PathBuf,
    /// The mirror's URI.
    pub mirror: String,
    /// The components; none leaves `main`.
    pub components: Vec<String>,
    /// The keyring that signs the suite; nothing leaves debootstrap's own choice.
    pub keyring: Option<PathBuf>,
    /// Whether the signature of the Release file is checked. Without this, nothing is.
    pub check: bool,
    /// The script of another suite, for one that debootstrap does not know by itself.
    pub script: Option<String>,
    /// The proxy of the protocol that the mirror is reached by.
    pub proxy: Option<(String, String)>,
    /// Whether it runs in a user namespace, where no device nodes can be made.
    pub rootless: bool,
}

impl Debootstrap {
    /// Downloads the packages and packs them up at `tarball`; the tree is deleted afterwards.
    pub fn download(&self, tarball: &Path) -> Cmd {
        self.cmd(&format!("--make-tarball={}", tarball.display()))
    }

    /// Makes the tree of what [`download`](Self::download) packed.
    pub fn unpack(&self, tarball: &Path) -> Cmd {
        self.cmd(&format!("--unpack-tarball={}", tarball.display()))
    }

    /// Makes the tree.
    pub fn run(&self) -> Cmd {
        self.cmd("")
    }

    fn cmd(&self, tarball: &str) -> Cmd {
        let mut cmd = Tool::Debootstrap.cmd().time_limit(LIMIT).arg("--variant=minbase");
        if let Some((name, uri)) = &self.proxy {
            cmd = cmd.env(&format!("{name}_proxy"), uri);
        }
        if self.rootless {
            // In a container it shows the nodes of the host in place of making its own.
            cmd = cmd.env("container", "lxc");
        }
        cmd = match (self.check, &self.keyring) {
            (false, _) => cmd.arg("--no-check-gpg"),
            (true, None) => cmd.arg("--force-check-gpg"),
            (true, Some(file)) => cmd.arg("--force-check-gpg").arg(format!("--keyring={}", file.display())),
        };
        if !self.components.is_empty() {
            cmd = cmd.arg(format!("--components={}", self.components.join(",")));
        }
        if !tarball.is_empty() {
            cmd = cmd.arg(tarball);
        }
        cmd = cmd.arg(&self.suite).arg(&self.tree).arg(&self.mirror);
        match &self.script {
            Some(script) => cmd.arg(format!("{SCRIPTS}/{script}")),
            None => cmd,
        }
    }
}

/// Where debootstrap keeps what it knows of each suite.
pub const SCRIPTS: &str = "/usr/share/debootstrap/scripts";

/// The script that suits a suite which debootstrap does not know, by the `Origin` of its Release file. Newer suites
/// of a distribution are bootstrapped like its last ones.
pub fn script_for(origin: &str) -> &'static str {
    if origin == "Ubuntu" { "gutsy" } else { "sid" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bookworm() -> Debootstrap {
        Debootstrap {
            suite: "bookworm".into(),
            tree: "/t".into(),
            mirror: "http://m/debian".into(),
            components: vec!["main".into(), "contrib".into()],
            keyring: None,
            check: true,
            script: None,
            proxy: None,
            rootless: false,
        }
    }

    #[test]
    fn signatures_are_checked_unless_the_repository_is_trusted() {
        assert_eq!(
            bookworm().run().to_string(),
            "debootstrap --variant=minbase --force-check-gpg --components=main,contrib bookworm /t http://m/debian"
        );
        let trusted = Debootstrap { check: false, components: Vec::new(), ..bookworm() };
        assert_eq!(
            trusted.run().to_string(),
            "debootstrap --variant=minbase --no-check-gpg bookworm /t http://m/debian"
        );
    }

    #[test]
    fn packages_are_downloaded_apart_and_unpacked_later() {
        let build = Debootstrap {
            keyring: Some("/k.gpg".into()),
            script: Some("sid".into()),
            proxy: Some(("http".into(), "http://p:3128".into())),
            ..bookworm()
        };
        assert_eq!(
            build.download(Path::new("/c.tgz")).to_string(),
            "http_proxy=http://p:3128 debootstrap --variant=minbase --force-check-gpg --keyring=/k.gpg \
             --components=main,contrib --make-tarball=/c.tgz bookworm /t http://m/debian \
             /usr/share/debootstrap/scripts/sid"
        );
        assert!(build.unpack(Path::new("/c.tgz")).to_string().contains(" --unpack-tarball=/c.tgz bookworm "));
    }
}
