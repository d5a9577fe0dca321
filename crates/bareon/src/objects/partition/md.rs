//! Software RAID.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An md array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultipleDevice {
    /// The device node, such as `/dev/md0`.
    pub name: String,
    /// The level as mdadm takes it: `mirror`, `raid1`, `1`, …
    #[serde(deserialize_with = "super::parted::text")]
    #[schemars(with = "String")]
    pub level: String,
    /// The member devices.
    #[serde(default)]
    pub devices: Vec<String>,
    /// The spare devices.
    #[serde(default)]
    pub spares: Vec<String>,
    /// What lies on it stays.
    #[serde(default)]
    pub keep_data: bool,
    /// The version of the superblock: `default`, `0.90`, `1.0`, `1.1` or `1.2`.
    #[serde(default = "default_metadata")]
    pub metadata: String,
}

fn default_metadata() -> String {
    "default".into()
}
