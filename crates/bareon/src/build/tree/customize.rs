//! What the input asks for beside packages: answers to debconf before they are installed; afterwards the password of
//! root, keys, certificates, folders that are laid over the tree ([`run`]), and a script that is run in it at the very end
//! ([`post_script`]).

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bareon_host::{Cmd, CommandError, Runner, tar};
use sha_crypt::{PasswordHasher, ShaCrypt};
use sha2::{Digest, Sha256};

use super::{last_of_both, told, within};
use crate::objects::build::{Customization, RootPassword};

/// Where in the tree the script lies while it runs.
const SCRIPT: &str = "/run/bareon-post-script";

/// Where in the tree a folder of `extra_files` lies, packed, while it is laid over the tree.
const EXTRA: &str = "/run/bareon-extra.tar";

/// What the input asks for could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CustomizeError {
    /// A command of ours.
    #[error("{what}")]
    Command {
        /// What was being done.
        what: &'static str,
        /// How it ended.
        #[source]
        source: Box<CommandError>,
    },
    /// The script of the input.
    #[error("the script {} failed in the tree{}", .path.display(), told(.said))]
    Script {
        /// The script on the build host.
        path: PathBuf,
        /// The last lines of what it said.
        said: Vec<String>,
        /// How it ended.
        #[source]
        source: Box<CommandError>,
    },
    /// A file of the input, or of the tree.
    #[error("{what} {}", .path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The password cannot be hashed.
    #[error("hashing the password of root: {0}")]
    Hash(String),
}

fn failed(what: &'static str, source: CommandError) -> CustomizeError {
    CustomizeError::Command { what, source: source.into() }
}

/// Answers debconf's questions before the packages that ask them are installed.
///
/// # Errors
/// When `debconf-set-selections` does not take them.
pub fn preseed(host: &dyn Runner, tree: &Path, answers: &[String]) -> Result<(), CustomizeError> {
    if answers.is_empty() {
        return Ok(());
    }
    // They may hold passwords.
    let cmd = Cmd::inside(tree, "debconf-set-selections").stdin(answers.join("\n") + "\n").private();
    host.run(&cmd).map(drop).map_err(|error| failed("answering debconf's questions", error))
}

/// Does all but the script. `seed` is a text that tells this build from others, and holds no secret.
///
/// # Errors
/// With the first thing that cannot be done.
pub fn run(host: &dyn Runner, tree: &Path, custom: &Customization, seed: &str) -> Result<(), CustomizeError> {
    password(host, tree, &custom.root_password, seed)?;
    if let Some(file) = &custom.root_ssh_authorized_file {
        authorize(tree, file)?;
    }
    if !custom.certs.is_empty() {
        certify(host, tree, &custom.certs)?;
    }
    custom.extra_files.iter().try_for_each(|folder| lay_over(host, tree, folder))
}

/// Sets the password of root, or locks it. A hash is handed over on standard input: nobody sees it in a list of processes.
fn password(
    host: &dyn Runner,
    tree: &Path,
    password: &RootPassword,
    seed: &str,
) -> Result<(), CustomizeError> {
    let hash = match password {
        RootPassword::Locked => "*".to_owned(),
        RootPassword::Hashed(hash) => hash.clone(),
        RootPassword::Plain(text) => hashed(text, seed)?,
    };
    let cmd = Cmd::inside(tree, "chpasswd").arg("-e").stdin(format!("root:{hash}\n")).private();
    host.run(&cmd).map(drop).map_err(|error| failed("setting the password of root", error))
}

/// The SHA-512 hash of a password, as `crypt(5)` describes it. Twelve random bytes make the 16 characters of salt that
/// crypt(3) looks at; with more, nobody could log in.
///
/// The salt comes from what is built, so that the same input gives the same image, and not from the password, which it
/// would help to guess.
fn hashed(text: &str, seed: &str) -> Result<String, CustomizeError> {
    let salt = &Sha256::digest(format!("bareon's salt for {seed}"))[..12];
    let hash = ShaCrypt::SHA512.hash_password_with_salt(text.as_bytes(), salt);
    hash.map(|hash| hash.to_string()).map_err(|error| CustomizeError::Hash(error.to_string()))
}

/// Lets the keys of `file` log in as root.
fn authorize(tree: &Path, file: &Path) -> Result<(), CustomizeError> {
    let unusable = |what, path: &Path| {
        let path = path.to_path_buf();
        move |source| CustomizeError::File { what, path, source }
    };
    let keys = fs::read(file).map_err(unusable("reading the ssh keys of root in", file))?;
    let at = |inside| within::file(tree, inside).map_err(unusable("finding", &tree.join(inside)));
    let (dir, to) = (at("root/.ssh")?, at("root/.ssh/authorized_keys")?);
    let written = || {
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
        fs::write(&to, &keys)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600))
    };
    written().map_err(unusable("writing", &to))
}

/// Has the tree trust the authorities of `certs`.
fn certify(host: &dyn Runner, tree: &Path, certs: &[PathBuf]) -> Result<(), CustomizeError> {
    const DIR: &str = "usr/local/share/ca-certificates";
    let unusable = |source| CustomizeError::File { what: "finding", path: tree.join(DIR), source };
    let dir = within::file(tree, DIR).map_err(unusable)?;
    for cert in certs {
        let stem = cert.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let to = dir.join(format!("{stem}.crt"));
        fs::create_dir_all(&dir).and_then(|()| fs::copy(cert, &to)).map_err(|source| {
            CustomizeError::File { what: "copying the certificate", path: cert.clone(), source }
        })?;
    }
    host.run(&Cmd::inside(tree, "update-ca-certificates")).map(drop).map_err(|error| {
        failed("trusting the certificates of `certs`; is ca-certificates among the packages?", error)
    })
}

/// Lays what `folder` holds over the tree, owned by root. tar does it within the tree, where its links lead to what
/// they lead to on the installed system; a folder that is there keeps its mode.
fn lay_over(host: &dyn Runner, tree: &Path, folder: &Path) -> Result<(), CustomizeError> {
    let packed = tree.join(EXTRA.trim_start_matches('/'));
    let run = |cmd| host.run(&cmd);
    let result = run(tar::create_as_root(folder, &packed)).and_then(|_| run(tar::lay_over(tree, EXTRA)));
    let _ = fs::remove_file(&packed);
    result.map(drop).map_err(|error| failed("laying a folder of `extra_files` over the tree", error))
}

/// Runs the script of the input in the tree, and removes it.
///
/// # Errors
/// When it cannot be copied there, and when it fails.
pub fn post_script(host: &dyn Runner, tree: &Path, script: &Path) -> Result<(), CustomizeError> {
    let inside = tree.join(SCRIPT.trim_start_matches('/'));
    let copied = fs::copy(script, &inside)
        .and_then(|_| fs::set_permissions(&inside, fs::Permissions::from_mode(0o755)));
    copied.map_err(|source| CustomizeError::File {
        what: "copying the script",
        path: script.into(),
        source,
    })?;
    let result = host.run(&Cmd::inside_with(tree, &["HOME=/root", "DEBIAN_FRONTEND=noninteractive"], SCRIPT));
    let _ = fs::remove_file(&inside);
    result.map(drop).map_err(|source| {
        let said = source.outputs().map(|(out, err)| last_of_both(out, err)).unwrap_or_default();
        CustomizeError::Script { path: script.into(), said, source: source.into() }
    })
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;

    #[test]
    fn nobody_logs_in_by_a_password_unless_one_is_given() {
        let line = "chroot /t /usr/bin/env -i LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
                    chpasswd -e < …";
        let host = Script::default().ok(line, "");
        password(&host, Path::new("/t"), &RootPassword::Locked, "x").unwrap();
    }

    #[test]
    fn a_password_is_hashed_as_crypt_reads_it_and_the_same_for_the_same_build() {
        let one = hashed("secret", "a").unwrap();
        assert_eq!(one, hashed("secret", "a").unwrap());
        assert_ne!(one, hashed("secret", "b").unwrap());
        let parts: Vec<_> = one.split('$').collect();
        assert_eq!(parts[1], "6");
        let salt = parts[parts.len() - 2];
        assert_eq!((salt.len(), parts[parts.len() - 1].len()), (16, 86), "{one}");
    }
}
