//! The config drive: what cloud-init on the installed system reads at its first boot.
//!
//! scheme + templates → [`render`] → [`Rendered`] → [`write()`] → an ISO 9660 image labelled `cidata`
//!
//! It is cloud-init's data source `NoCloud`: `user-data`, a MIME multipart of a boothook and a
//! cloud-config, `meta-data`, and `network-config`. The first three come from Jinja2 templates,
//! a site's own or ours; the last one from the input alone. Rendering touches nothing but
//! templates, so that a planner renders and refuses before a disk is written.

mod error;
mod iso;
pub mod jinja;

mod mime;
mod network;
mod templates;

use std::path::Path;

use serde_json::Value;

pub use error::ConfigDriveError;
pub use iso::{check, commands, staging, write};

use crate::objects::ConfigDriveScheme;

/// The files of a config drive.
///
/// They hold passwords: nothing here is to be logged, so [`Debug`](std::fmt::Debug) shows sizes.
#[derive(Clone, PartialEq, Eq)]
pub struct Rendered {
    /// A MIME multipart message.
    pub user_data: String,
    /// YAML, with `instance-id` and, from our own templates, `local-hostname`.
    pub meta_data: String,
    /// YAML, network-config version 2; absent where the input says nothing of the admin interface.
    pub network_config: Option<String>,
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rendered")
            .field("user_data", &self.user_data.len())
            .field("meta_data", &self.meta_data.len())
            .field("network_config", &self.network_config.as_ref().map(String::len))
            .finish()
    }
}

/// Renders the files of the config drive.
///
/// Templates are looked up in `template_dir` by the names that the scheme gives, in their order; a
/// name that is not there is looked up among those that are built in, after all names failed there.
///
/// # Errors
/// A kind of which no template exists, a template that cannot be read or rendered, network data
/// that is no network data.
pub fn render(scheme: &ConfigDriveScheme, template_dir: &Path) -> Result<Rendered, ConfigDriveError> {
    let names = &scheme.template_names;
    let data = templates::context(scheme);
    let part = |kind, names| templates::render(kind, names, template_dir, &data);
    let boothook = part("boothook", &names.boothook)?;
    let cloud_config = part("cloud_config", &names.cloud_config)?;
    let meta_data = part("meta_data", &names.meta_data)?;
    let common = scheme.template_data.get("common").unwrap_or(&Value::Null);
    Ok(Rendered {
        user_data: mime::multipart(&[
            mime::Part { kind: "cloud-boothook", name: "boothook.sh", text: &boothook },
            mime::Part { kind: "cloud-config", name: "cloud-config.yaml", text: &cloud_config },
        ]),
        meta_data: with_instance_id(meta_data, &templates::instance_id(scheme)),
        network_config: network::config(common)?,
    })
}

/// `meta_data`, with an `instance-id` where a site's template gives none.
fn with_instance_id(mut meta_data: String, id: &str) -> String {
    if !meta_data.contains("instance-id") && !meta_data.trim_start().starts_with('{') {
        if !meta_data.is_empty() && !meta_data.ends_with('\n') {
            meta_data.push('\n');
        }
        meta_data.push_str("instance-id: ");
        meta_data.push_str(id);
        meta_data.push('\n');
    }
    meta_data
}
