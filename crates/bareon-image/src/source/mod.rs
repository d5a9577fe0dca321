//! Where bytes come from. A transport is a [`Source`] in a file of its own, and a line in [`open_at`].

pub mod client;
mod file;
mod http;
mod mirrors;
pub mod oci;
mod part;
pub mod ranged;
pub mod retry;
pub mod tftp;

use std::{path::PathBuf, sync::Arc};

use url::Url;

pub use mirrors::Mirrors;
pub use part::Version;

use crate::{ImageError, Options, watch::Watch};

/// A stream of bytes, read to its end.
pub trait Source: Send {
    /// The length in bytes of all there is, what lies before the first byte that is read included; where known.
    fn length(&self) -> Option<u64>;

    /// Reads some bytes into `buffer`, which is not empty; 0 is the end.
    ///
    /// A source that knows its length gives exactly so many bytes, or an error.
    ///
    /// # Errors
    /// When there is no way to go on. Whatever can be tried again was tried before.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ImageError>;

    /// How often it was taken up again after it had broken off.
    fn resumes(&self) -> u32 {
        0
    }

    /// What tells this file from another of the same length.
    fn version(&self) -> Version {
        Version::default()
    }

    /// The SHA-256 sum in hex that the whole must have, where the address itself leads to one.
    fn vouched(&self) -> Option<String> {
        None
    }

    /// Whether others are still to be given more of it, now that it stands on its targets. Asked again and again.
    fn giving(&mut self) -> bool {
        false
    }
}

/// What an address names.
enum Place {
    File(PathBuf),
    Http(Url),
    Tftp(tftp::Address),
    Oci(oci::Address),
    /// A link that names a torrent by its digest.
    Magnet,
}

/// Whether `uri` is of a torrent, which names an image rather than being one.
pub fn is_torrent(uri: &str) -> bool {
    uri.starts_with("magnet:")
        || Url::parse(uri).map_or_else(|_| uri.ends_with(".torrent"), |url| url.path().ends_with(".torrent"))
}

fn place(uri: &str) -> Result<Place, ImageError> {
    if uri.starts_with('/') {
        return Ok(Place::File(uri.into()));
    }
    let bad = |why: String| ImageError::BadUri { uri: shown(uri), why };
    let url = Url::parse(uri).map_err(|e| bad(e.to_string()))?;
    match url.scheme() {
        "file" => url.to_file_path().map(Place::File).map_err(|()| bad("it names a host".to_owned())),
        "http" | "https" => Ok(Place::Http(url)),
        "magnet" => Ok(Place::Magnet),
        "tftp" => tftp::Address::of(&url).map(Place::Tftp).map_err(bad),
        scheme if scheme == "oci" || scheme.starts_with("oci+") => {
            oci::Address::of(&url).map(Place::Oci).map_err(bad)
        }
        scheme => Err(ImageError::Scheme { uri: shown(uri), scheme: scheme.to_owned() }),
    }
}

/// Looks whether `uri` is an address of a known transport, without going there.
///
/// # Errors
/// When it is not.
pub fn check_uri(uri: &str) -> Result<(), ImageError> {
    place(uri).map(|_| ())
}

/// Whether what comes from `uri` may be changed on the way without anybody's intent or notice, so that nothing is to
/// be taken from there without a strong sum to compare with.
pub fn demands_digest(uri: &str) -> bool {
    matches!(place(uri), Ok(Place::Tftp(_)))
}

/// Whether `uri` itself says by a strong sum which bytes it names: an image in a registry, named by its digest.
pub fn holds_digest(uri: &str) -> bool {
    matches!(place(uri), Ok(Place::Oci(address)) if address.pinned())
}

/// Opens what `uri` names, to be read from byte `from` on.
///
/// # Errors
/// When it is no address, or cannot be opened.
pub fn open_at(
    uri: &str,
    from: u64,
    options: &Options,
    watch: Arc<dyn Watch>,
) -> Result<Box<dyn Source>, ImageError> {
    check_uri(uri)?;
    if !is_torrent(uri) {
        return open_plain(uri, from, options, watch);
    }
    #[cfg(feature = "torrent")]
    return Ok(Box::new(crate::torrent::Stream::open(uri, from, options, watch)?));
    #[cfg(not(feature = "torrent"))]
    Err(ImageError::NoTorrents { uri: shown(uri) })
}

/// Opens the very file that `uri` names, which may be a torrent's, to be read from byte `from` on.
///
/// # Errors
/// When it is no address of a file, or cannot be opened.
pub fn open_plain(
    uri: &str,
    from: u64,
    options: &Options,
    watch: Arc<dyn Watch>,
) -> Result<Box<dyn Source>, ImageError> {
    let http = &options.http;
    match place(uri)? {
        Place::File(path) => Ok(Box::new(file::File::open(&path, from)?)),
        Place::Http(url) => Ok(Box::new(http::Http::open(url, from, http, http::Access::default(), watch)?)),
        Place::Tftp(address) => Ok(Box::new(tftp::Tftp::open(shown(uri), address, from, http, watch)?)),
        Place::Oci(address) => Ok(Box::new(oci::open(&shown(uri), &address, from, http, watch)?)),
        Place::Magnet => Err(ImageError::Scheme { uri: shown(uri), scheme: "magnet".to_owned() }),
    }
}

/// `uri` without what may be a secret: a user's name and password, and the query.
pub fn shown(uri: &str) -> String {
    let Ok(mut url) = Url::parse(uri) else { return without_credentials(uri) };
    if !url.username().is_empty() || url.password().is_some() {
        // Only an address without a host refuses these, and it has none of them.
        let _ = url.set_username("***");
        let _ = url.set_password(None);
    }
    if url.scheme() == "magnet" {
        return magnet(&url);
    }
    if url.query().is_some() {
        url.set_query(Some("***"));
    }
    // In a registry it names a file; elsewhere it says nothing.
    if !url.scheme().starts_with("oci") {
        url.set_fragment(None);
    }
    url.into()
}

/// A magnet link without its trackers, whose addresses may hold a key.
fn magnet(url: &Url) -> String {
    let shown = url.query_pairs().filter(|(key, _)| key == "xt" || key == "dn");
    let shown: Vec<_> = shown.map(|(key, value)| format!("{key}={value}")).collect();
    format!("magnet:?{}", shown.join("&"))
}

/// What is no address, without what would be a user and a query if it were one.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, "?***"),
        None => (rest, ""),
    };
    let host = rest.split(['/', '#']).next().unwrap_or_default();
    match host.rfind('@') {
        Some(at) => format!("{scheme}://***{}{query}", &rest[at..]),
        None => format!("{scheme}://{rest}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Alone;

    impl Watch for Alone {
        fn retried(&self, _: &str, _: u32) {}

        fn stopped(&self) -> bool {
            false
        }
    }

    fn refusal(uri: &str) -> String {
        match open_at(uri, 0, &Options::default(), Arc::new(Alone)) {
            Ok(_) => panic!("`{uri}` was opened"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn other_transports_are_refused_by_name() {
        let message = refusal("ftp://server/image.gz");
        assert!(
            message.contains("no transport `ftp`; there are file, http, https, tftp and oci"),
            "{message}"
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for uri in ["image.img", "", "http://", "file://host/image"] {
            assert!(refusal(uri).contains("is no address"), "{uri}: {}", refusal(uri));
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(shown("http://me:secret@host/a?sig=secret#x"), "http://***@host/a?***");
        assert_eq!(shown("https://host/a.gz"), "https://host/a.gz");
        assert_eq!(shown("/srv/a.gz"), "/srv/a.gz");
        assert_eq!(shown("oci://me:secret@host/a:1#b"), "oci://***@host/a:1#b");
        assert_eq!(shown("http://me:secret@ho st/a@b?sig=secret"), "http://***@ho st/a@b?***");
        let magnet = "magnet:?xt=urn:btih:0123&tr=http://t/secret/announce&dn=root.img";
        assert_eq!(shown(magnet), "magnet:?xt=urn:btih:0123&dn=root.img");
        assert_eq!(shown("http://me:secret@host:port/a"), "http://***@host:port/a");
    }
}
