//! The operating system that is installed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The operating system of the root image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatingSystem {
    /// `Centos`, `Ubuntu`, or `OperatingSystem` where it is not known.
    pub name: String,
    /// The major version: a number, or `unknown`.
    pub major: Value,
    /// The minor version: a number, or `unknown`.
    pub minor: Value,
}
