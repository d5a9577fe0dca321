//! Certificates of authorities for librqbit, which does not start where there are none.
//!
//! A ramdisk may have none at all. Our own HTTP client takes those of Mozilla then, which are compiled in (see
//! `source/client.rs`); librqbit cannot be told to, nor of a file: what it looks for is a file of the system. So where
//! the system has none, in none of the usual places, it gets those compiled in, where Debian keeps its own. Nothing that
//! is there is ever changed.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{ImageError, source::client};

/// Where Debian keeps them all in one file.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Makes sure that there are certificates.
///
/// # Errors
/// When there are none, and none can be written.
pub fn provide() -> Result<(), ImageError> {
    if client::system_trusts_somebody() {
        return Ok(());
    }
    let path = env::var_os("SSL_CERT_FILE").map_or_else(|| BUNDLE.into(), PathBuf::from);
    match write(&path) {
        Ok(()) => {
            tracing::warn!(
                "this system has no certificates of authorities; those compiled in were written to {}",
                path.display()
            );
            Ok(())
        }
        Err(source) => Err(ImageError::TorrentCertificates { path, source }),
    }
}

fn write(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let mut text = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem(&mut text, certificate);
    }
    file.write_all(text.as_bytes())
}

/// Adds a certificate as PEM (RFC 7468) has it.
fn pem(text: &mut String, certificate: &[u8]) {
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let digits = STANDARD.encode(certificate);
    for line in digits.as_bytes().chunks(64) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same_certificates_and_nothing_is_changed_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/bundle.crt");
        write(&path).unwrap();
        let found = reqwest::Certificate::from_pem_bundle(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(found.len(), webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
            reqwest::Certificate::from_der(certificate).unwrap();
        }
        assert_eq!(write(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
