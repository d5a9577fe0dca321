//! LVM physical volumes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::objects::Mib;

/// A physical volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhysicalVolume {
    /// The device that it lies on.
    pub name: String,
    /// The size of each metadata area in MiB.
    #[serde(default = "default_size")]
    pub metadatasize: Mib,
    /// How many metadata areas it has: 0, 1 or 2.
    #[serde(default = "default_copies")]
    pub metadatacopies: u8,
    /// What lies on it stays.
    #[serde(default)]
    pub keep_data: bool,
}

fn default_size() -> Mib {
    Mib(16)
}

fn default_copies() -> u8 {
    2
}
