//! Images that somebody vouches for: their metadata are signed, and have a SHA-256 sum of each, or a stronger one.
//!
//! With `image_keys` in the settings, the metadata of the images count only when the file beside them, `<metadata>.minisig`,
//! is a signature of minisign by one of these keys. An image is written only if such a sum is in them, or in the
//! input document: that is where orders come from, and who writes it may as well write the sum. All of this is looked at
//! while the plan is made, before anything is written.
//!
//! A signature says who made an image, not when: that an old image is served for a new one goes unseen.

use std::{fs, io};

use bareon_image::{ImageError, shown};
use minisign_verify::{PublicKey, Signature};

use crate::objects::Image;

/// The keys of those who may vouch for images.
#[derive(Debug, Clone, Default)]
pub struct ImageKeys(Vec<PublicKey>);

/// An image that nobody vouches for, or keys that are none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Untrusted {
    /// The setting is wrong.
    #[error(
        "image_keys: `{key}` is neither a public key of minisign (56 letters and digits that begin with RW) nor a file that holds one"
    )]
    Key {
        /// As given.
        key: String,
        /// Why it cannot be read, if it is a file.
        #[source]
        source: Option<io::Error>,
    },
    /// There are no metadata.
    #[error(
        "image_keys asks for images that are vouched for, and their metadata {uri} cannot be had: upload them beside the image with their signature, or run without image_keys; nothing was written"
    )]
    NoMetadata {
        /// Where they should be.
        uri: String,
        /// Why not.
        #[source]
        source: ImageError,
    },
    /// There is no signature.
    #[error(
        "image_keys asks for signed images, and {uri}.minisig cannot be had: build the images with sign_key, or sign the metadata by `minisign -Sm`, and upload it; nothing was written"
    )]
    Unsigned {
        /// The metadata.
        uri: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The signature is not one of these keys over these metadata.
    #[error(
        "{uri} is not what one of image_keys has signed ({why}): upload metadata and signature together, or add the key that signed them; nothing was written"
    )]
    Wrong {
        /// The metadata.
        uri: String,
        /// What is wrong.
        why: String,
    },
    /// There are no sums.
    #[error(
        "image_keys asks for a SHA-256 sum of each image, and none is known of {}: build it by bareon-build-image, or write `raw_sha256` (of a qcow2 `container_sha256`) into its metadata and sign them; nothing was written",
        .images.join(", ")
    )]
    NoSum {
        /// The addresses of the images.
        images: Vec<String>,
    },
}

impl ImageKeys {
    /// Reads the keys that the setting lists: keys themselves, or files with one.
    ///
    /// # Errors
    /// When one is neither.
    pub fn read(listed: &[String]) -> Result<Self, Untrusted> {
        listed.iter().map(|key| public_key(key)).collect::<Result<_, _>>().map(Self)
    }

    /// Whether nobody is asked to vouch for anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks whether one of the keys signed the metadata `text` from `uri`.
    ///
    /// # Errors
    /// When none did.
    pub fn verify(&self, uri: &str, text: &[u8], signature: &str) -> Result<(), Untrusted> {
        let wrong = |why: &str| Untrusted::Wrong { uri: shown(uri), why: why.into() };
        let signature =
            Signature::decode(signature).map_err(|_| wrong("its .minisig is no signature of minisign"))?;
        let mut why = "the signature is of another key";
        for key in &self.0 {
            match key.verify(text, &signature, true) {
                Ok(()) => return Ok(()),
                Err(minisign_verify::Error::UnexpectedKeyId) => {}
                Err(_) => why = "it was changed after it was signed, or the signature was",
            }
        }
        Err(wrong(why))
    }

    /// Looks whether a sum of each image is known that nobody can make another image for.
    ///
    /// # Errors
    /// When one is not.
    pub fn check(&self, images: &[Image]) -> Result<(), Untrusted> {
        let images: Vec<_> =
            images.iter().filter(|image| !image.is_known()).map(|image| shown(&image.uri)).collect();
        if self.is_empty() || images.is_empty() { Ok(()) } else { Err(Untrusted::NoSum { images }) }
    }
}

/// A key that is given as it is, or as a file.
fn public_key(key: &str) -> Result<PublicKey, Untrusted> {
    if let Ok(key) = PublicKey::from_base64(key) {
        return Ok(key);
    }
    let wrong = |source| Untrusted::Key { key: key.to_owned(), source };
    let text = fs::read_to_string(key).map_err(|error| wrong(Some(error)))?;
    // With the comment that minisign writes, or only the line of the key.
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    PublicKey::from_base64(line).map_err(|_| wrong(None))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use minisign::KeyPair;

    use super::*;

    fn sign(pair: &KeyPair, text: &[u8]) -> String {
        minisign::sign(None, &pair.sk, Cursor::new(text), Some("t"), None).unwrap().into_string()
    }

    #[test]
    fn any_of_the_keys_will_do_given_as_such_or_as_a_file() {
        let [one, two] = [(), ()].map(|()| KeyPair::generate_unencrypted_keypair().unwrap());
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), two.pk.to_box().unwrap().into_string()).unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let keys = ImageKeys::read(&[one.pk.to_base64(), path]).unwrap();
        for pair in [&one, &two] {
            keys.verify("u", b"text", &sign(pair, b"text")).unwrap();
        }
        let told = |text: &[u8], signature: &str| keys.verify("u", text, signature).unwrap_err().to_string();
        assert!(told(b"texT", &sign(&one, b"text")).contains("changed after it was signed"));
        let other = KeyPair::generate_unencrypted_keypair().unwrap();
        assert!(told(b"text", &sign(&other, b"text")).contains("of another key"));
        assert!(told(b"text", "<html>").contains("no signature of minisign"));
    }

    #[test]
    fn the_comment_that_is_signed_cannot_be_changed_either() {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let keys = ImageKeys::read(&[pair.pk.to_base64()]).unwrap();
        let changed = sign(&pair, b"text").replace("trusted comment: t\n", "trusted comment: T\n");
        assert!(keys.verify("u", b"text", &changed).is_err());
    }

    #[test]
    fn what_is_no_key_is_named() {
        for wrong in ["RWx", "/nonexistent/key.pub"] {
            let error = ImageKeys::read(&[wrong.into()]).unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(ImageKeys::read(&[file.path().to_str().unwrap().into()]).is_err());
    }

    #[test]
    fn an_image_without_a_sum_is_named_without_its_password() {
        let image = |uri: &str, sha256: Option<&str>| Image {
            uri: uri.into(),
            target_device: "/dev/sda4".into(),
            format: "ext4".into(),
            container: "gzip".into(),
            size: Some(5),
            md5: Some("a".into()),
            sha256: sha256.map(str::to_owned),
            ..Image::default()
        };
        let images = [image("http://h/a.gz", Some("b")), image("http://me:s3cret@h/b.gz", None)];
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let keys = ImageKeys::read(&[pair.pk.to_base64()]).unwrap();
        let error = keys.check(&images).unwrap_err().to_string();
        assert!(
            error.contains("@h/b.gz:") && !error.contains("a.gz") && !error.contains("s3cret"),
            "{error}"
        );
        assert!(keys.check(&images[..1]).is_ok() && ImageKeys::default().check(&images).is_ok());
        let disk = Image { format: "qcow2".into(), ..images[0].clone() };
        assert!(keys.check(std::slice::from_ref(&disk)).is_err());
        assert!(keys.check(&[Image { container_sha256: Some("c".into()), ..disk }]).is_ok());
    }
}
