//! LVM logical volumes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::objects::Mib;

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogicalVolume {
    /// Its name within the group.
    pub name: String,
    /// The group that it belongs to.
    pub vgname: String,
    /// Its size in MiB.
    pub size: Mib,
    /// What lies on it stays.
    #[serde(default)]
    pub keep_data: bool,
}

impl LogicalVolume {
    /// The device node: the device mapper doubles each dash of a name.
    pub fn device(&self) -> String {
        format!("/dev/mapper/{}-{}", self.vgname.replace('-', "--"), self.name.replace('-', "--"))
    }
}
