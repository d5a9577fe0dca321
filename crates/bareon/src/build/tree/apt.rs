//! What apt is told while a tree is built: sources, priorities, settings. All of it is pure text; none of it is left
//! in the tree.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::release::Release;
use crate::objects::build::{Proxies, Repo, SignedBy};

/// Where in the tree apt's settings of the build lie; `/run` is emptied at the end.
pub const CONF: &str = "/run/bareon-apt.conf";

/// Where in the tree the keys that sign repositories lie.
pub const KEYS: &str = "/run/bareon-keys";

/// The file of `KEYS` that holds the key of the repository with this `index`. By the name's end apt takes it for binary.
pub fn key_file(index: usize) -> String {
    format!("{index}.gpg")
}

/// Writes the keys of `repos` to the folder `dir`, each under the name of its [`key_file`]; without armour, which gpgv, of
/// debootstrap, does not read.
///
/// # Errors
/// With the file that could not be read or written.
pub fn place_keys(repos: &[Repo], dir: &Path) -> Result<(), (PathBuf, io::Error)> {
    fs::create_dir_all(dir).map_err(|error| (dir.to_path_buf(), error))?;
    for (index, repo) in repos.iter().enumerate() {
        let Some(key) = &repo.signed_by else { continue };
        let file = dir.join(key_file(index));
        let key = match key {
            SignedBy::Armored(text) => text.clone().into_bytes(),
            SignedBy::File(path) => fs::read(path).map_err(|error| (path.clone(), error))?,
        };
        let key = if key.windows(ARMOR.len()).any(|part| part == ARMOR.as_bytes()) {
            unarmored(&String::from_utf8_lossy(&key)).ok_or_else(|| {
                let damaged = format!("the armour of the key of the repository {} is damaged", repo.name);
                (file.clone(), io::Error::other(damaged))
            })?
        } else {
            key
        };
        fs::write(&file, key).map_err(|error| (file, error))?;
    }
    Ok(())
}

/// How an armoured key begins (RFC 9580, 6.2), but for the hyphens around it.
const ARMOR: &str = "BEGIN PGP PUBLIC KEY BLOCK";

/// The keys of a text without their armour, one after the other; nothing where it is damaged.
fn unarmored(text: &str) -> Option<Vec<u8>> {
    let mut keys = Vec::new();
    for block in text.split(ARMOR).skip(1) {
        let (body, _) = block.strip_prefix("-----")?.split_once("-----END PGP PUBLIC KEY BLOCK")?;
        // Neither a header nor the checksum.
        let data = body.lines().map(str::trim).filter(|line| !line.contains(':') && !line.starts_with('='));
        keys.extend(BASE64_STANDARD.decode(data.collect::<String>()).ok()?);
    }
    Some(keys).filter(|keys| !keys.is_empty())
}

/// The line of `sources.list` for a repository; `keys` is the folder with [`key_file`]s as apt sees it.
pub fn source_line(index: usize, repo: &Repo, keys: &Path) -> String {
    let mut options = Vec::new();
    if repo.trusted {
        options.push("trusted=yes".to_owned());
    }
    if repo.signed_by.is_some() {
        options.push(format!("signed-by={}", keys.join(key_file(index)).display()));
    }
    let options = if options.is_empty() { String::new() } else { format!("[{}] ", options.join(" ")) };
    let section = repo.section.split_whitespace().collect::<Vec<_>>().join(" ");
    let slash = if section.is_empty() && !repo.suite.ends_with('/') { "/" } else { "" };
    format!("deb {options}{} {}{slash} {section}", repo.uri, repo.suite).trim_end().to_owned()
}

/// The `preferences` of all repositories that have a priority: each is named by what its Release file says of it, as
/// repositories on one host differ in nothing else.
pub fn preferences(repos: &[(Repo, Release)]) -> String {
    repos.iter().filter_map(|(repo, release)| Some(pins(repo, release, repo.priority?))).collect()
}

fn pins(repo: &Repo, release: &Release, priority: i32) -> String {
    let named = [("o", "Origin"), ("l", "Label"), ("a", "Suite"), ("n", "Codename")];
    // To apt a comma ends the value.
    let value = |name| release.field(name).filter(|value| !value.contains(','));
    let named = named.iter().filter_map(|(key, name)| Some(format!("{key}={}", value(name)?)));
    let named: Vec<_> = named.collect();
    let pin = |of: String| format!("Package: *\nPin: {of}\nPin-Priority: {priority}\n\n");
    if named.is_empty() {
        let host = url::Url::parse(&repo.uri).ok().and_then(|url| url.host_str().map(str::to_owned));
        return pin(format!("origin \"{}\"", host.unwrap_or_default()));
    }
    let named = named.join(",");
    let components: Vec<_> = repo.section.split_whitespace().collect();
    if components.is_empty() {
        return pin(format!("release {named}"));
    }
    components.iter().map(|component| pin(format!("release {named},c={component}"))).collect()
}

/// apt's settings. `attempts`: how often a file is fetched until it comes.
pub fn conf(proxies: &Proxies, attempts: u32) -> String {
    let mut lines = vec![
        format!("Acquire::Retries \"{}\";", attempts.saturating_sub(1)),
        "Acquire::http::Timeout \"30\";".into(),
        "Acquire::https::Timeout \"30\";".into(),
        "Acquire::Languages \"none\";".into(),
        // Only this program may use the working folder, so apt's own user could not.
        "APT::Sandbox::User \"root\";".into(),
        "APT::Color \"0\";".into(),
        "Dpkg::Use-Pty \"0\";".into(),
        // The tree is flushed as a whole when its images are written.
        "Dpkg::Options:: \"--force-unsafe-io\";".into(),
        "Dpkg::Options:: \"--force-confnew\";".into(),
    ];
    for (protocol, proxy) in &proxies.protocols {
        lines.push(format!("Acquire::{protocol}::Proxy \"{}\";", plain(proxy)));
    }
    for direct in &proxies.direct {
        let host = url::Url::parse(direct).ok().and_then(|url| url.host_str().map(str::to_owned));
        let host = host.unwrap_or_else(|| direct.clone());
        for (protocol, _) in &proxies.protocols {
            lines.push(format!("Acquire::{protocol}::Proxy::{} \"DIRECT\";", plain(&host)));
        }
    }
    lines.join("\n") + "\n"
}

/// Text without what would end a quoted value of apt's.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && *c != '"').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(section: &str, suite: &str) -> Repo {
        Repo {
            name: "r".into(),
            uri: "http://m/debian".into(),
            suite: suite.into(),
            section: section.into(),
            priority: Some(1050),
            trusted: false,
            signed_by: None,
        }
    }

    #[test]
    fn sources_say_who_signs_them() {
        let keys = Path::new(KEYS);
        assert_eq!(
            source_line(0, &repo("main  contrib", "sid"), keys),
            "deb http://m/debian sid main contrib"
        );
        let flat = Repo { trusted: true, ..repo("", ".") };
        assert_eq!(source_line(0, &flat, keys), "deb [trusted=yes] http://m/debian ./");
        let signed = Repo { signed_by: Some(SignedBy::Armored("x".into())), ..repo("main", "sid") };
        assert_eq!(
            source_line(3, &signed, keys),
            "deb [signed-by=/run/bareon-keys/3.gpg] http://m/debian sid main"
        );
    }

    #[test]
    fn keys_are_written_without_armour_whatever_their_files_are_called() {
        let dir = tempfile::tempdir().unwrap();
        let block = |head: &str, data: &str| {
            format!(
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\n{head}\n{data}\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
            )
        };
        // "first key" and "second"
        let armored = block("Version: 1\nComment: a\n", "Zmlyc3Qg\r\na2V5") + &block("", "c2Vjb25k");
        let (text, binary) = (dir.path().join("vendor.gpg"), dir.path().join("vendor.asc"));
        fs::write(&text, &armored).unwrap();
        fs::write(&binary, [0x99, 0xff, 0]).unwrap();
        let signed = |key| Repo { signed_by: Some(key), ..repo("main", "sid") };
        let repos = [
            signed(SignedBy::Armored(armored)),
            repo("main", "sid"),
            signed(SignedBy::File(text)),
            signed(SignedBy::File(binary)),
        ];
        let keys = dir.path().join("keys");
        place_keys(&repos, &keys).unwrap();
        let key = |index| fs::read(keys.join(key_file(index))).ok();
        let both = Some(b"first keysecond".to_vec());
        assert_eq!([key(0), key(1), key(2), key(3)], [both.clone(), None, both, Some(vec![0x99, 0xff, 0])]);
        let damaged = [signed(SignedBy::Armored(block("", "c2Vj!")))];
        let (_, error) = place_keys(&damaged, &keys).unwrap_err();
        assert!(error.to_string().contains("the key of the repository r is damaged"), "{error}");
    }

    #[test]
    fn priorities_are_pinned_by_what_the_release_file_says() {
        let release = Release::parse("Origin: MOS\nLabel: mos\nSuite: mos6.1\nCodename: Six, One\n");
        let pins = preferences(&[
            (repo("main restricted", "mos6.1"), release),
            (Repo { priority: None, ..repo("main", "x") }, Release::parse("Origin: D\n")),
        ]);
        let one =
            |c: &str| format!("Package: *\nPin: release o=MOS,l=mos,a=mos6.1,c={c}\nPin-Priority: 1050\n\n");
        assert_eq!(pins, one("main") + &one("restricted"));
        let nameless = preferences(&[(repo("", "/"), Release::default())]);
        assert_eq!(nameless, "Package: *\nPin: origin \"m\"\nPin-Priority: 1050\n\n");
    }

    #[test]
    fn proxies_and_direct_hosts_are_apt_settings() {
        let proxies = Proxies {
            protocols: vec![("http".into(), "http://p:3128".into())],
            direct: vec!["10.20.0.2".into(), "http://near:8080/x".into()],
        };
        let conf = conf(&proxies, 10);
        assert!(conf.contains("Acquire::Retries \"9\";\n"), "{conf}");
        assert!(conf.contains("Acquire::http::Proxy \"http://p:3128\";\n"), "{conf}");
        assert!(conf.contains("Acquire::http::Proxy::10.20.0.2 \"DIRECT\";\n"), "{conf}");
        assert!(conf.contains("Acquire::http::Proxy::near \"DIRECT\";\n"), "{conf}");
    }
}
