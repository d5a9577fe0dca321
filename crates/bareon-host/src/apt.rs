//! `apt-get(8)`, run in a tree: every call is in this file, and what its output says.
//!
//! Its settings come from one file in the tree, named by `APT_CONFIG`, so that no trace of them is left in
//! `/etc/apt`; debconf asks nothing, as nobody is there to answer.

use std::{path::Path, time::Duration};

use crate::Cmd;

/// How long a slow mirror, or a package's own scripts, may take.
const LIMIT: Duration = Duration::from_hours(6);

/// A call of apt-get in the tree at `root`, with the settings of the tree's file `conf`.
fn apt_get(root: &Path, conf: &str) -> Cmd {
    let conf = format!("APT_CONFIG={conf}");
    let environment = [conf.as_str(), "DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true"];
    Cmd::inside_with(root, &environment, "apt-get").time_limit(LIMIT).arg("--yes")
}

/// Fetches the indexes, and fails where one of them cannot be had. An apt before 2.1.16 does not know that option: see
/// [`uses_older`].
pub fn update(root: &Path, conf: &str) -> Cmd {
    apt_get(root, conf).args(["--option", "APT::Update::Error-Mode=any", "update"])
}

/// Whether an `update` that succeeded had to leave indexes as they were before, or out.
pub fn uses_older(stderr: &str) -> bool {
    stderr.contains("They have been ignored, or old ones used instead")
}

/// Brings all packages up to date, and installs nothing that they only recommend.
pub fn dist_upgrade(root: &Path, conf: &str) -> Cmd {
    apt_get(root, conf).args(["--no-install-recommends", "dist-upgrade"])
}

/// Installs `packages` with what they need, and nothing that they only recommend.
pub fn install(root: &Path, conf: &str, packages: &[String]) -> Cmd {
    apt_get(root, conf).args(["--no-install-recommends", "install"]).args(packages)
}

/// Shows what `call` would fetch, and does nothing of it; see [`parse_uris`]. Unless it is told which, apt shows MD5 sums, or none
/// where the index has no MD5.
pub fn print_uris(call: &Cmd) -> Cmd {
    call.clone().args(["--print-uris", "--option", "Acquire::ForceHash=SHA256"])
}

/// A package that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Its name in `/var/cache/apt/archives`.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its sum, `SHA256:` and digits; empty where the index has none.
    pub sum: String,
}

/// Reads `--print-uris`: lines of a quoted URI, a file name, a size in bytes and a digest.
pub fn parse_uris(text: &str) -> Vec<Fetched> {
    text.lines()
        .filter_map(|line| {
            let (_, rest) = line.strip_prefix('\'')?.split_once("' ")?;
            let mut words = rest.split(' ');
            let file = words.next()?.to_owned();
            let size = words.next()?.parse().ok()?;
            Some(Fetched { file, size, sum: words.next().unwrap_or_default().to_owned() })
        })
        .collect()
}

/// The lines of apt's and dpkg's output that say why it failed: what apt calls an error, what dpkg says of a package,
/// and the last lines of the script of the package that failed.
pub fn reasons(stdout: &str, stderr: &str) -> Vec<String> {
    /// How much of a script's own words is shown.
    const BEFORE: usize = 5;
    let mut reasons = Vec::new();
    let lines: Vec<_> = stdout.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if stderr.contains("dpkg: error processing") || stdout.contains("dpkg: error processing") {
        // What the script said before dpkg noticed is at the end of what was being set up.
        let from =
            lines.iter().rposition(|line| line.starts_with("Setting up ") || line.starts_with("Unpacking "));
        if let Some(from) = from {
            let until = lines[from..].iter().position(|line| line.starts_with("Errors were encountered"));
            let said = &lines[from..until.map_or(lines.len(), |until| from + until)];
            reasons.push(said[0].to_owned());
            reasons.extend(said[1..].iter().rev().take(BEFORE).rev().map(|line| (*line).to_owned()));
        }
    }
    for line in stderr.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let noise = line.starts_with("debconf: ") || line.starts_with("W: Download is performed unsandboxed");
        if !noise && !reasons.iter().any(|said| said == line) {
            reasons.push(line.to_owned());
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_is_called_in_the_tree_with_its_own_settings() {
        assert_eq!(
            install(Path::new("/t"), "/run/x.conf", &["ssh".into()]).to_string(),
            "chroot /t /usr/bin/env -i LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
             APT_CONFIG=/run/x.conf DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true \
             apt-get --yes --no-install-recommends install ssh"
        );
    }

    #[test]
    fn an_update_that_fails_is_told_from_one_that_succeeds() {
        assert!(
            update(Path::new("/t"), "/run/x.conf")
                .to_string()
                .ends_with(" APT::Update::Error-Mode=any update")
        );
        assert!(uses_older(
            "W: GPG error: http://m ./ InRelease: NO_PUBKEY 0\n\
             W: Some index files failed to download. They have been ignored, or old ones used instead.\n"
        ));
        assert!(!uses_older("W: Download is performed unsandboxed as root\n"));
    }

    #[test]
    fn uris_are_read_among_what_else_apt_prints() {
        let text =
            "Reading package lists...\n'http://m/debian/pool/a%3a1.deb' a_1%3a1_amd64.deb 1234 SHA256:ab\n";
        let fetched = Fetched { file: "a_1%3a1_amd64.deb".into(), size: 1234, sum: "SHA256:ab".into() };
        assert_eq!(parse_uris(text), [fetched]);
        let shown = print_uris(&dist_upgrade(Path::new("/t"), "/run/x.conf")).to_string();
        assert!(shown.contains(" dist-upgrade --print-uris --option "), "{shown}");
    }

    #[test]
    fn the_words_of_the_package_that_failed_are_told() {
        let stdout = "Setting up fine (1) ...\nSetting up bad (1.0) ...\nbad: cannot find my config\n\
                      Errors were encountered while processing:\n bad\n";
        let stderr = "debconf: delaying package configuration\ndpkg: error processing package bad (--configure):\n \
                      installed bad package post-installation script subprocess returned error exit status 1\n\
                      E: Sub-process /usr/bin/dpkg returned an error code (1)\n";
        assert_eq!(
            reasons(stdout, stderr),
            [
                "Setting up bad (1.0) ...",
                "bad: cannot find my config",
                "dpkg: error processing package bad (--configure):",
                "installed bad package post-installation script subprocess returned error exit status 1",
                "E: Sub-process /usr/bin/dpkg returned an error code (1)",
            ]
        );
        let gone = reasons("Err:1 http://m x InRelease\n", "E: Failed to fetch http://m/x\n");
        assert_eq!(gone, ["E: Failed to fetch http://m/x"]);
    }
}
