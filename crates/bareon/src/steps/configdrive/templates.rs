//! Templates: where they are looked for, and what they see.

use std::path::Path;

use serde_json::{Map, Value};

use super::ConfigDriveError;
use crate::objects::ConfigDriveScheme;

pub fn context(scheme: &ConfigDriveScheme) -> Map<String, Value> {
    scheme.template_data.clone()
}

pub fn instance_id(_scheme: &ConfigDriveScheme) -> String {
    String::new()
}

pub fn render(
    kind: &'static str,
    names: &[String],
    dir: &Path,
    _data: &Map<String, Value>,
) -> Result<String, ConfigDriveError> {
    Err(ConfigDriveError::NoTemplate { kind, tried: names.to_vec(), dir: dir.into() })
}
