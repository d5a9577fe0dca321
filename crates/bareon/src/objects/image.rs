//! Images and where they go.

use bareon_image::{Algorithm, Sums};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The images of a deployment, in the order in which they are written.
pub type ImageScheme = Vec<Image>;

/// An image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Where it is fetched from.
    pub uri: String,
    /// Where else it lies: each in turn takes over where the one before gave up, or begins anew where that one's bytes
    /// were not the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// The block device that it is written to.
    pub target_device: String,
    /// What it is of: a file system by its name; `disk` for a whole one; `tar` for files that are unpacked into a file
    /// system made for them; `qcow2` for a disk of QEMU, of either a file system or a whole disk.
    pub format: String,
    /// Whether the last partition of a whole disk, and its file system, grows to the disk's end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grow: bool,
    /// How it is packed: `raw`, `gzip`, `zstd`, `xz`, `bzip2`, `lz4`, or `auto`: as its first bytes tell.
    pub container: String,
    /// The size of the raw data in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// The MD5 sum of the raw data.
    #[serde(default)]
    pub md5: Option<String>,
    /// The SHA-256 sum of the raw data.
    #[serde(default)]
    pub sha256: Option<String>,
    /// The SHA-256 sum of the file as it is fetched.
    #[serde(default)]
    pub container_sha256: Option<String>,
    /// The SHA-1 sum of the raw data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha1: Option<String>,
    /// The SHA-512 sum of the raw data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<String>,
    /// The BLAKE3 sum of the raw data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// The MD5 sum of the file as it is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_md5: Option<String>,
    /// The SHA-1 sum of the file as it is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_sha1: Option<String>,
    /// The SHA-512 sum of the file as it is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_sha512: Option<String>,
    /// The BLAKE3 sum of the file as it is fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_blake3: Option<String>,
    /// The SHA-256 sum of the chunk index beside the image, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_sha256: Option<String>,
}

/// The format of an image of a whole disk.
pub const DISK: &str = "disk";
/// The format of an archive of files.
pub const TAR: &str = "tar";
/// The format of a disk of QEMU.
pub const QCOW2: &str = "qcow2";

impl Image {
    /// What its raw data must be.
    pub fn sums(&self) -> Sums {
        Sums::default()
            .with(Algorithm::Md5, self.md5.clone())
            .with(Algorithm::Sha1, self.sha1.clone())
            .with(Algorithm::Sha256, self.sha256.clone())
            .with(Algorithm::Sha512, self.sha512.clone())
            .with(Algorithm::Blake3, self.blake3.clone())
    }

    /// Whether a sum is known of it for which nobody can make another image. Of a disk of QEMU that must be one of the
    /// file, which another program reads before its data are known.
    pub fn is_known(&self) -> bool {
        self.container_sums().is_strong() || (self.format != QCOW2 && self.sums().is_strong())
    }

    /// What the file must be as it is fetched.
    pub fn container_sums(&self) -> Sums {
        Sums::default()
            .with(Algorithm::Md5, self.container_md5.clone())
            .with(Algorithm::Sha1, self.container_sha1.clone())
            .with(Algorithm::Sha256, self.container_sha256.clone())
            .with(Algorithm::Sha512, self.container_sha512.clone())
            .with(Algorithm::Blake3, self.container_blake3.clone())
    }
}
