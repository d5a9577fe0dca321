//! An image kept as an OCI artifact in a registry: `oci://registry[:port]/repository:tag`, or `@sha256:…` in place
//! of the tag; `#name` behind it names the file where an artifact has several.
//!
//! ```text
//! oras push registry:5000/images/debian:12 root.img.gz           makes   oci://registry:5000/images/debian:12
//! oras push registry:5000/images/node:3 root.img.gz boot.img.gz  makes   oci://registry:5000/images/node:3#boot.img.gz
//! ```
//!
//! The registry is asked for the manifest, which names its file by its SHA-256 sum; the file is then fetched as any by
//! HTTP, also where the registry sends one elsewhere for it, and goes on where it broke off: what is named by its sum
//! does not change. The sum is compared at the end. Named by a tag, whatever the registry has under it is taken; named
//! by `@sha256:`, the manifest itself must have that sum, and so must the image.
//!
//! It is HTTPS, but for registries of this machine, and `oci+http://`. A name and a password in the address are given
//! to the registry, or to whom it sends us to for a token.

pub mod auth;
pub mod manifest;

use std::{net::IpAddr, sync::Arc};

use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use url::Url;

use self::manifest::{ACCEPT, Content, Leads};
use super::{
    Source, Version,
    http::{Access, Credentials, Http},
};
use crate::{HttpOptions, ImageError, digest, watch::Watch};

/// The most bytes of a manifest, as registries have it.
const LIMIT: usize = 4 << 20;

/// A file in a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Of the registry's repository, with a slash at its end.
    base: Url,
    /// The tag, or the digest.
    reference: String,
    user: Option<(String, String)>,
    name: Option<String>,
}

impl Address {
    /// What an address names.
    ///
    /// # Errors
    /// When it names nothing that a registry has: why not.
    pub fn of(url: &Url) -> Result<Self, String> {
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it names no registry")?;
        let scheme = match url.scheme() {
            "oci" if is_here(host) => "http",
            "oci" | "oci+https" => "https",
            "oci+http" => "http",
            _ => return Err("there are oci, oci+http and oci+https".to_owned()),
        };
        let path = url.path().strip_prefix('/').unwrap_or_default();
        let (repository, reference) = match path.split_once('@') {
            Some((name, digest)) => {
                let sum =
                    manifest::sha256(digest).ok_or("behind @ stands sha256: and 64 hexadecimal digits")?;
                // What a tag says beside a digest has no weight.
                (without_tag(name).0, format!("sha256:{sum}"))
            }
            None => match without_tag(path) {
                (name, Some(tag)) => (name, tag.to_owned()),
                (name, None) => (name, "latest".to_owned()),
            },
        };
        let sound = |text: &str, more: &str| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
                && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        };
        if url.query().is_some()
            || !repository.split('/').all(|part| sound(part, "._-"))
            || !sound(&reference, "._-:")
        {
            return Err("it is no name of an artifact, such as registry/repository:tag".to_owned());
        }
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let base = format!("{scheme}://{host}{port}/v2/{repository}/");
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let password = url.password().map(decoded).unwrap_or_default();
        Ok(Self {
            base: Url::parse(&base).map_err(|e| e.to_string())?,
            reference,
            user: (!url.username().is_empty()).then(|| (decoded(url.username()), password)),
            name: url.fragment().map(decoded),
        })
    }

    /// Whether the address holds the sum of what it names.
    pub fn pinned(&self) -> bool {
        self.digest().is_some()
    }

    fn digest(&self) -> Option<String> {
        manifest::sha256(&self.reference)
    }

    fn at(&self, kind: &str, reference: &str) -> Result<Url, ImageError> {
        let place = format!("{kind}/{reference}");
        let bad = |e: url::ParseError| ImageError::BadUri { uri: self.base.to_string(), why: e.to_string() };
        // As a path: a digest alone would be read as an address with the scheme sha256.
        self.base.join(&place).map_err(bad)
    }
}

fn is_here(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A name, and the tag behind it.
fn without_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((name, tag)) => (name, Some(tag)),
        None => (name, None),
    }
}

/// See the module.
pub struct Oci {
    blob: Http,
    sha256: String,
}

/// Opens the file that `address` names, to be read from byte `from` on; `uri` is as it may be shown.
///
/// # Errors
/// When there is none, or it is not what the registry says it is.
pub fn open(
    uri: &str,
    address: &Address,
    from: u64,
    options: &HttpOptions,
    watch: Arc<dyn Watch>,
) -> Result<Oci, ImageError> {
    let mut asking = Asking::new(uri, address, options, watch);
    let Content { sha256, size } = asking.content()?;
    let blob = asking.open("blobs", &format!("sha256:{sha256}"), from, true)?;
    match blob.length() {
        Some(length) if length != size => Err(asking
            .wrong(format!("its file has {length} bytes, not {size} as its manifest says; push it again"))),
        _ => Ok(Oci { blob, sha256 }),
    }
}

/// Where a file in a registry is to be had by HTTP, and who lets us in there.
pub struct Located {
    /// Its address.
    pub url: Url,
    /// Asked for what is sent along, and for another where that is refused.
    pub credentials: Option<Box<dyn Credentials>>,
}

/// Asks the registry where the file is that `address` names; `uri` is as it may be shown.
///
/// # Errors
/// When there is none, or it is not what the registry says it is.
pub fn locate(
    uri: &str,
    address: &Address,
    options: &HttpOptions,
    watch: Arc<dyn Watch>,
) -> Result<Located, ImageError> {
    let mut asking = Asking::new(uri, address, options, watch);
    let Content { sha256, .. } = asking.content()?;
    let url = address.at("blobs", &format!("sha256:{sha256}"))?;
    Ok(Located { url, credentials: asking.access.take().and_then(|access| access.credentials) })
}

/// One who asks a registry for several things.
struct Asking<'a> {
    uri: &'a str,
    address: &'a Address,
    options: &'a HttpOptions,
    watch: Arc<dyn Watch>,
    access: Option<Access>,
}

impl<'a> Asking<'a> {
    fn new(uri: &'a str, address: &'a Address, options: &'a HttpOptions, watch: Arc<dyn Watch>) -> Self {
        let visitor = auth::Visitor {
            uri: uri.to_owned(),
            user: address.user.clone(),
            secret: address.base.scheme() == "https",
            options: options.clone(),
            header: None,
        };
        Self { uri, address, options, watch, access: Some(Access::by(visitor)) }
    }

    fn wrong(&self, why: String) -> ImageError {
        ImageError::Registry { uri: self.uri.to_owned(), why }
    }

    /// What the registry says of the file.
    fn content(&mut self) -> Result<Content, ImageError> {
        let address = self.address;
        let leads = |asking: &Self, document: &[u8]| {
            manifest::leads(document, address.name.as_deref(), manifest::architecture())
                .map_err(|why| asking.wrong(why))
        };
        let document = self.document(&address.reference, address.digest().as_deref())?;
        let one = match leads(self, &document)? {
            Leads::File(found) => return Ok(found),
            Leads::Manifest(one) => one,
        };
        let digest = format!("sha256:{}", one.sha256);
        let document = self.document(&digest, Some(&one.sha256))?;
        match leads(self, &document)? {
            Leads::File(found) => Ok(found),
            Leads::Manifest(_) => {
                let why = "its index holds an index; name the one wanted by its @sha256:…";
                Err(self.wrong(why.to_owned()))
            }
        }
    }

    fn open(&mut self, kind: &str, reference: &str, from: u64, addressed: bool) -> Result<Http, ImageError> {
        let access = Access { addressed, ..self.access.take().unwrap_or_default() };
        let access = Access { accept: (kind == "manifests").then_some(ACCEPT), ..access };
        let url = self.address.at(kind, reference)?;
        Http::open(url, from, self.options, access, Arc::clone(&self.watch))
    }

    /// A manifest or an index, which must have the sum that is expected.
    fn document(&mut self, reference: &str, expected: Option<&str>) -> Result<Vec<u8>, ImageError> {
        let mut http = self.open("manifests", reference, 0, expected.is_some())?;
        let (mut document, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            match http.read(&mut buffer)? {
                0 => break,
                read if document.len() + read > LIMIT => {
                    return Err(self.wrong("its manifest is larger than a manifest may be".to_owned()));
                }
                read => document.extend_from_slice(&buffer[..read]),
            }
        }
        self.access = Some(http.into_access());
        let found = digest::finish(Sha256::new_with_prefix(&document));
        match expected {
            Some(expected) if found != *expected => {
                let why = format!("its manifest has the sha256 sum {found}, not {expected}; push it again");
                Err(self.wrong(why))
            }
            _ => Ok(document),
        }
    }
}

impl Source for Oci {
    fn length(&self) -> Option<u64> {
        self.blob.length()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError> {
        self.blob.read(buffer)
    }

    fn resumes(&self) -> u32 {
        self.blob.resumes()
    }

    fn version(&self) -> Version {
        Version { sha256: Some(self.sha256.clone()), ..Version::default() }
    }

    fn vouched(&self) -> Option<String> {
        Some(self.sha256.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(uri: &str) -> Result<Address, String> {
        Address::of(&Url::parse(uri).unwrap())
    }

    #[test]
    fn addresses_name_a_registry_a_repository_and_what_is_wanted_of_it() {
        let sum = "0123456789abcdef".repeat(4);
        for (uri, base, reference) in [
            ("oci://registry.lan/debian:12", "https://registry.lan/v2/debian/", "12".to_owned()),
            ("oci://registry.lan:5000/a/b_c/d", "https://registry.lan:5000/v2/a/b_c/d/", "latest".to_owned()),
            ("oci://localhost:5000/a:b", "http://localhost:5000/v2/a/", "b".to_owned()),
            ("oci://[::1]/a", "http://[::1]/v2/a/", "latest".to_owned()),
            ("oci+http://registry.lan/a", "http://registry.lan/v2/a/", "latest".to_owned()),
            ("oci+https://127.0.0.1/a", "https://127.0.0.1/v2/a/", "latest".to_owned()),
            (&format!("oci://r/a:1@sha256:{sum}"), "https://r/v2/a/", format!("sha256:{sum}")),
        ] {
            let address = address(uri).unwrap();
            assert_eq!((address.base.as_str(), &address.reference), (base, &reference), "{uri}");
            assert_eq!(address.pinned(), uri.contains('@'));
            assert!((address.name, address.user) == (None, None));
            let url = address.base.join(&format!("blobs/{reference}")).unwrap();
            assert_eq!(url.as_str(), format!("{base}blobs/{reference}"));
        }
        let full = address("oci://me:pass%40word@registry/a#root%20img").unwrap();
        assert_eq!(full.user, Some(("me".into(), "pass@word".into())));
        assert_eq!(full.name.as_deref(), Some("root img"));
    }

    #[test]
    fn what_is_no_artifact_is_refused() {
        for uri in [
            "oci://registry",
            "oci://registry/",
            "oci:image",
            "oci:///a",
            "oci://registry/a:",
            "oci://registry/a//b",
            "oci://registry/a/.b",
            "oci://registry/a:b c",
            "oci://registry/a@sha256:12",
            "oci://registry/a@md5:12",
            "oci://registry/a?x",
            "oci+ftp://registry/a",
        ] {
            assert!(address(uri).is_err(), "{uri}");
        }
    }
}
