//! The HTTP client: who is trusted, and what its errors mean.
//!
//! A ramdisk may have no certificates of authorities at all; then those of Mozilla, which are compiled in, are
//! used. Without them the client could not even be made, and plain HTTP would fail, too.

use std::{error::Error, fs, io, path::Path};

use reqwest::{
    Certificate, Identity, Proxy,
    blocking::{Client, ClientBuilder},
};

use crate::{HttpOptions, ImageError, ProxyUse};

/// A client for `uri`, by the system's authorities, the certificates and the proxy that `options` name.
///
/// # Errors
/// When a certificate cannot be used, or there is no way to make a client.
pub fn build(uri: &str, options: &HttpOptions) -> Result<Client, ImageError> {
    // Only the first call of a process has an effect, and any provider that was chosen before will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let own = options.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
    let identity = identity(options.client_cert.as_deref(), options.client_key.as_deref())?;
    let unusable = |source: reqwest::Error| ImageError::Client { uri: uri.to_owned(), source: source.into() };
    let proxy = match &options.proxy {
        ProxyUse::Through(proxy) => Some(Proxy::all(proxy).map_err(unusable)?),
        ProxyUse::Environment | ProxyUse::Direct => None,
    };
    let settings = || match &identity {
        Some(identity) => settings(options).identity(identity.clone()),
        None => settings(options),
    };
    let builder = || match (&options.proxy, &proxy) {
        (ProxyUse::Environment, _) => settings(),
        (_, None) => settings().no_proxy(),
        (_, Some(proxy)) => settings().no_proxy().proxy(proxy.clone()),
    };
    if let Ok(client) = builder().tls_certs_merge(own.clone()).build() {
        return Ok(client);
    }
    // Worth knowing where it decides whom to trust; plain HTTP asks nobody.
    if uri.starts_with("https:") {
        tracing::warn!("this system has no certificates of authorities; those compiled in are used");
    }
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let built_in = built_in.filter_map(|der| Certificate::from_der(der).ok());
    let client = builder().tls_certs_only(built_in.chain(own)).build();
    client.map_err(unusable)
}

/// Whether this system has certificates of authorities, as a client that was told of none would find them.
#[cfg(feature = "torrent")]
pub fn system_trusts_somebody() -> bool {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().is_ok()
}

fn settings(options: &HttpOptions) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("bareon-image/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .referer(false)
        .connect_timeout(options.stall)
        // For the blocking client this limits the wait for the headers, and then each read; not their sum.
        .timeout(options.stall)
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, ImageError> {
    let unusable =
        |source: Box<dyn Error + Send + Sync>| ImageError::CaFile { path: path.to_owned(), source };
    let pem = fs::read(path).map_err(|e| unusable(e.into()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|e| unusable(e.into()))?;
    if found.is_empty() { Err(unusable("it holds no certificate".into())) } else { Ok(found) }
}

/// The certificate that shows who we are, and its key, which may stand in the same file.
fn identity(cert: Option<&Path>, key: Option<&Path>) -> Result<Option<Identity>, ImageError> {
    let unusable = |path: &Path, source: Box<dyn Error + Send + Sync>| ImageError::ClientCert {
        path: path.to_owned(),
        source,
    };
    let cert = match (cert, key) {
        (Some(cert), _) => cert,
        (None, Some(key)) => return Err(unusable(key, "there is a key, but no certificate".into())),
        (None, None) => return Ok(None),
    };
    let mut pem = Vec::new();
    for path in [Some(cert), key].into_iter().flatten() {
        pem.extend(fs::read(path).map_err(|e| unusable(path, e.into()))?);
        pem.push(b'\n');
    }
    // An error of the parser does not quote what it read.
    Identity::from_pem(&pem).map(Some).map_err(|e| unusable(cert, e.into()))
}

/// Whether a request failed because the server does not take us for who we say we are, or wants to be told.
pub fn distrusted(error: &reqwest::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let alerts = [
        Alert::CertificateRequired,
        // So servers with TLS 1.2 say it, and those with no cipher in common.
        Alert::HandshakeFailure,
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
        Alert::UnknownCA,
        Alert::AccessDenied,
    ];
    causes(error).any(
        |cause| matches!(cause.downcast_ref(), Some(rustls::Error::AlertReceived(alert)) if alerts.contains(alert)),
    )
}

/// Whether a request failed because the server's certificate did not convince.
pub fn distrusts(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))))
}

/// An error and all its causes, on one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<_> = causes(error).map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

/// An I/O error that wraps another speaks by its words, and as its cause names only that one's cause.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let this = next?;
        let wrapped = this.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| this.source());
        Some(this)
    })
}
