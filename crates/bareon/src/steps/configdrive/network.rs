//! network-config: the admin interface, by its MAC address, with its fixed address.

use serde_json::Value;

use super::ConfigDriveError;

/// The network-config of the template data `common`; `None` where it has no admin address.
pub fn config(_common: &Value) -> Result<Option<String>, ConfigDriveError> {
    Ok(None)
}
