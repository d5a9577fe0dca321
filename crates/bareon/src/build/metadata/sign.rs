//! The signature of the metadata, in the format of minisign (<https://jedisct1.github.io/minisign/>).
//!
//! minisign is Ed25519 over one file, with keys that are a line of text: nothing to look up, no chain, no date, no
//! network, a verifier of a few hundred lines, which `bareon-provision` has in a ramdisk. Anybody checks it by
//! `minisign -Vm root.yaml -p key.pub`.
//!
//! Signing is done by the library of minisign's author and not by the program: that asks for the password of a key on a
//! terminal, where a build has none, and fails only at the end of the build. Here the key is read, decrypted and
//! tried before anything is built. What it costs: the library adds random numbers to each signature (against faults of
//! the processor that would give the key away), so that the `.minisig` is the one file that differs between two builds
//! of the same.
//!
//! A key without a password (`minisign -G -W`) is used as it is; the password of another comes from the environment, in
//! `BAREON_SIGN_PASSWORD`, and never from a command line, where everybody could read it.

use std::{fmt, fs, io::Cursor, path::Path};

use base64::{Engine, prelude::BASE64_STANDARD};
use minisign::{PublicKey, SecretKey};

use super::MetadataError;

/// The variable of the environment that holds the password of a key.
pub const PASSWORD: &str = "BAREON_SIGN_PASSWORD";

/// A secret key that is ready to sign.
pub struct Key(SecretKey);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

impl Key {
    /// Reads the key in the file `path`, with the password of the environment where it has one.
    ///
    /// # Errors
    /// When it cannot be read, is none, or has another password.
    pub fn load(path: &Path) -> Result<Self, MetadataError> {
        Self::load_with(path, std::env::var(PASSWORD).ok())
    }

    /// Reads the key in the file `path` with a password.
    ///
    /// # Errors
    /// When it cannot be read, is none, or has another password.
    fn load_with(path: &Path, password: Option<String>) -> Result<Self, MetadataError> {
        let bad = |why: &str| MetadataError::BadKey { path: path.to_owned(), why: why.into() };
        let text = fs::read_to_string(path)
            .map_err(|source| MetadataError::ReadKey { path: path.to_owned(), source })?;
        // Not by the library's own reader: that refuses a key without a password as minisign 0.11 writes it, without
        // the sum that only the password needs.
        let line = text.lines().nth(1).unwrap_or_default().trim();
        let bytes = BASE64_STANDARD.decode(line).map_err(|_| bad(NO_KEY))?;
        let mut key = SecretKey::from_bytes(&bytes).map_err(|_| bad(NO_KEY))?;
        if key.is_encrypted() {
            // The library would ask on the terminal where it is given none.
            let password = password.ok_or_else(|| {
                bad(&format!("it has a password; give that in the environment, as {PASSWORD}"))
            })?;
            key = SecretKey::from_box(text.into(), Some(password))
                .map_err(|_| bad(&format!("{PASSWORD} is not its password")))?;
        }
        // A damaged key shows by a signature that its own public key does not verify.
        let public = PublicKey::from_secret_key(&key).map_err(|_| bad(NO_KEY))?;
        minisign::sign(Some(&public), &key, Cursor::new(b""), None, None).map_err(|_| bad(NO_KEY))?;
        Ok(Self(key))
    }

    /// The text of the file `<name>.minisig` for `bytes`.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn sign(&self, bytes: &[u8], name: &str) -> Result<String, MetadataError> {
        let trusted = format!("file:{name}\thashed");
        let untrusted = "metadata of images, signed by bareon-build-image";
        minisign::sign(None, &self.0, Cursor::new(bytes), Some(&trusted), Some(untrusted))
            .map(minisign::SignatureBox::into_string)
            .map_err(|error| MetadataError::Sign { name: name.into(), why: error.to_string() })
    }

    /// The public key that goes with it, as a line of text: what nodes are given as `image_keys`.
    ///
    /// # Errors
    /// When there is none.
    pub fn public(&self) -> Result<String, MetadataError> {
        PublicKey::from_secret_key(&self.0)
            .map(|key| key.to_base64())
            .map_err(|error| MetadataError::Sign { name: "the public key".into(), why: error.to_string() })
    }
}

const NO_KEY: &str = "it is no secret key of minisign; make one by `minisign -G`";

#[cfg(test)]
mod tests {
    use minisign::KeyPair;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn what_is_signed_is_verified_by_who_has_the_public_key() {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let file = file(&pair.sk.to_box(None).unwrap().into_string());
        let key = Key::load_with(file.path(), None).unwrap();
        let signature = key.sign(b"os: {}\n", "root.yaml").unwrap();
        let public = minisign_verify::PublicKey::from_base64(&key.public().unwrap()).unwrap();
        assert_eq!(key.public().unwrap(), pair.pk.to_base64());
        let signature = minisign_verify::Signature::decode(&signature).unwrap();
        assert_eq!(signature.trusted_comment(), "file:root.yaml\thashed");
        public.verify(b"os: {}\n", &signature, false).unwrap();
        assert!(public.verify(b"os: {} \n", &signature, false).is_err());
        assert_eq!(format!("{key:?}"), "Key(***)");
    }

    /// As minisign 0.11 wrote it by `-G -W`; it signs nothing.
    const RECORDED: &str = "untrusted comment: minisign encrypted secret key\n\
        RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAyDQ16dC/XaiK/TdtkGv4/HgcPKMZHbIR\
        gR8FzqndKyDKTSxkEaKs7TNrh1hgu9RaQ9swTZrI24g9sigtzFItU6sfk/QWthd+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

    #[test]
    fn the_keys_that_minisign_makes_are_read() {
        let key = Key::load_with(file(RECORDED).path(), None).unwrap();
        assert_eq!(key.public().unwrap(), "RWTINDXp0L9dqDNrh1hgu9RaQ9swTZrI24g9sigtzFItU6sfk/QWthd+");
        let damaged = RECORDED.replace("HgcPKMZ", "HgcPKMY");
        assert!(Key::load_with(file(&damaged).path(), None).is_err());
    }

    #[test]
    fn a_key_that_cannot_be_used_is_told_with_the_remedy() {
        let told = |text: &str, password: Option<&str>| {
            Key::load_with(file(text).path(), password.map(str::to_owned)).unwrap_err().to_string()
        };
        assert!(told("", None).contains("minisign -G"), "{}", told("", None));
        assert!(told("a\nb\n", Some("x")).contains("minisign -G"));
        let error = Key::load_with(Path::new("/nonexistent"), None).unwrap_err();
        assert!(matches!(error, MetadataError::ReadKey { .. }));
    }
}
