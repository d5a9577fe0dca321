//! The Release files of the repositories: what pins of priority name, and when the packages were made.
//!
//! They are read before anything is built. What they say steers priorities alone; whether they are signed is looked at
//! by the bootstrapper and by apt, which fetch them again.

use std::{collections::BTreeMap, time::Duration};

use bareon_image::{HttpOptions, ImageError, Options, Progress, ProxyUse, shown};
use jiff::fmt::rfc2822;

use crate::{
    digest,
    objects::build::{Proxies, Repo},
};

/// How large a Release file may be, in bytes; Debian's is 150 KB.
const LIMIT: u64 = 16 << 20;

/// What a Release file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Release {
    fields: BTreeMap<String, String>,
    /// The SHA-256 sum of the file, in hex.
    pub sha256: String,
}

impl Release {
    /// Reads the fields of a Release file, or of one that is signed within (`InRelease`).
    pub fn parse(text: &str) -> Self {
        let body = match text.strip_prefix("-----BEGIN PGP SIGNED MESSAGE-----") {
            Some(signed) => signed.split_once("\n\n").map_or(signed, |(_, body)| body),
            None => text,
        };
        let lines = body.lines().take_while(|line| !line.starts_with("-----BEGIN PGP"));
        let fields = lines.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
        Self { fields, sha256: digest::sha256(text) }
    }

    /// The value of a field such as `Origin`; nothing where it is absent or empty.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// When it was made, in seconds since 1970.
    pub fn date(&self) -> Option<u64> {
        // `UTC` is not among the zones of RFC 2822.
        let date = self.field("Date")?.replace("UTC", "+0000");
        u64::try_from(rfc2822::parse(&date).ok()?.timestamp().as_second()).ok()
    }
}

/// The folder of a repository that its Release file lies in.
pub fn folder(repo: &Repo) -> String {
    let uri = repo.uri.trim_end_matches('/');
    if repo.section.trim().is_empty() {
        let suite = repo.suite.trim_matches('/');
        let suite = suite.strip_prefix("./").unwrap_or(suite);
        if suite.is_empty() || suite == "." { uri.to_owned() } else { format!("{uri}/{suite}") }
    } else {
        format!("{uri}/dists/{}", repo.suite.trim_matches('/'))
    }
}

/// How a URI is reached, by the proxies of the input.
pub fn proxy_use(uri: &str, proxies: &Proxies) -> ProxyUse {
    let host =
        url::Url::parse(uri).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let named =
        |direct: &String| *direct == host || (direct.contains("://") && uri.starts_with(direct.as_str()));
    if proxies.direct.iter().any(named) {
        return ProxyUse::Direct;
    }
    let scheme = uri.split("://").next().unwrap_or_default();
    let through = proxies.protocols.iter().find(|(protocol, _)| protocol == scheme);
    through.map_or(ProxyUse::Environment, |(_, proxy)| ProxyUse::Through(proxy.clone()))
}

/// A Release file that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// Neither form of it.
    #[error(
        "the repository `{name}` has neither {folder}/InRelease nor {folder}/Release; is its uri right, and the mirror up?"
    )]
    Fetch {
        /// The repository.
        name: String,
        /// Where they were looked for.
        folder: String,
        /// Why the latter could not be had.
        #[source]
        source: Box<ImageError>,
    },
}

/// Fetches the Release file of `repo`. A trusted repository may have none.
///
/// # Errors
/// When it cannot be had.
pub fn fetch(
    repo: &Repo,
    proxies: &Proxies,
    attempts: u32,
    progress: &dyn Progress,
) -> Result<Release, ReleaseError> {
    let folder = folder(repo);
    let local = folder.strip_prefix("copy:").map(|rest| format!("file:{rest}"));
    let local = local.as_deref().unwrap_or(&folder);
    let base = local.strip_prefix("file:").filter(|rest| !rest.starts_with("//"));
    let base = base.map_or_else(|| local.to_owned(), |path| format!("file://{path}"));
    let mut last = None;
    for (name, retries) in [("InRelease", attempts), ("Release", 1)] {
        let uri = format!("{base}/{name}");
        let http = HttpOptions {
            max_retries: retries.max(1),
            stall: Duration::from_secs(20),
            proxy: proxy_use(&uri, proxies),
            ..HttpOptions::default()
        };
        match bareon_image::fetch(&uri, &Options { http, ..Options::default() }, LIMIT, progress) {
            Ok(bytes) => {
                let sha256 = digest::sha256(&bytes);
                return Ok(Release { sha256, ..Release::parse(&String::from_utf8_lossy(&bytes)) });
            }
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(source) if !repo.trusted => Err(ReleaseError::Fetch {
            name: repo.name.clone(),
            folder: shown(&folder),
            source: source.into(),
        }),
        _ => {
            tracing::warn!(
                "the trusted repository {} has no Release file; its priority goes by its host",
                repo.name
            );
            Ok(Release::default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nLabel: Debian\n\
        Suite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nComponents: main contrib\nSHA256:\n \
        abc 1 main/x\n-----BEGIN PGP SIGNATURE-----\nNote: x\n";

    fn repo(uri: &str, suite: &str, section: &str) -> Repo {
        let (name, uri, suite, section) = ("r".into(), uri.into(), suite.into(), section.into());
        Repo { name, uri, suite, section, priority: None, trusted: false, signed_by: None }
    }

    #[test]
    fn the_fields_of_a_signed_release_file_are_read() {
        let release = Release::parse(SIGNED);
        assert_eq!(release.field("Codename"), Some("bookworm"));
        assert_eq!(release.field("Hash"), None);
        assert_eq!(release.field("Note"), None);
        assert_eq!(release.date(), Some(1_783_764_997));
        assert_eq!(Release::parse("Origin: x\n").field("Origin"), Some("x"));
    }

    #[test]
    fn release_files_lie_in_dists_or_beside_the_packages() {
        assert_eq!(folder(&repo("http://m/debian/", "bookworm", "main")), "http://m/debian/dists/bookworm");
        assert_eq!(folder(&repo("http://m/flat", "./", "")), "http://m/flat");
        assert_eq!(folder(&repo("http://m/flat", "/", " ")), "http://m/flat");
        assert_eq!(folder(&repo("http://m/flat", "sub/", "")), "http://m/flat/sub");
    }

    #[test]
    fn what_is_named_as_direct_goes_by_no_proxy() {
        let proxies = Proxies {
            protocols: vec![("http".into(), "http://p:3128".into())],
            direct: vec!["10.20.0.2".into(), "http://near/ubuntu".into()],
        };
        let through = ProxyUse::Through("http://p:3128".into());
        assert_eq!(proxy_use("http://far/debian/x", &proxies), through);
        assert_eq!(proxy_use("http://10.20.0.2:8080/x", &proxies), ProxyUse::Direct);
        assert_eq!(proxy_use("http://near/ubuntu/dists", &proxies), ProxyUse::Direct);
        assert_eq!(proxy_use("http://near/debian", &proxies), through);
        assert_eq!(proxy_use("https://far/", &proxies), ProxyUse::Environment);
    }
}
