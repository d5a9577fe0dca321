//! LVM volume groups.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A volume group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeGroup {
    /// Its name.
    pub name: String,
    /// The physical volumes that it consists of.
    #[serde(default)]
    pub pvnames: Vec<String>,
    /// What lies on it stays.
    #[serde(default)]
    pub keep_data: bool,
}
