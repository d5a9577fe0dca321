//! Images and where they go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The images of a deployment, in the order in which they are written.
pub type ImageScheme = Vec<Image>;

/// An image of a file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Where it is fetched from.
    pub uri: String,
    /// Where else it lies: each is tried in turn when the one before could not be fetched or was not the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// The block device that it is written to.
    pub target_device: String,
    /// The file system within.
    pub format: String,
    /// How it is packed: `raw` or `gzip`.
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
}
