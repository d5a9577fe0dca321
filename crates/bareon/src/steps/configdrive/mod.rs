//! The config drive: what cloud-init on the installed system reads at its first boot.
//!
//! scheme + templates → [`render`] → [`Rendered`] → [`write()`] → an image labelled `cidata`
//!
//! The image is ISO 9660, or FAT where the disk's sectors are too large for that ([`Format`]).
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
mod vfat;

use std::{fmt::Write as _, path::Path};

use serde_json::{Map, Value, json};

pub use error::ConfigDriveError;
pub use iso::{check, check_sectors, commands, staging, write};

use crate::objects::{Bytes, CloudInit, ConfigDriveScheme};
use jinja::json::{self, Style};

/// The blocks of ISO 9660.
const ISO_BLOCK: u64 = 2048;

/// The largest sectors that FAT has.
const LARGEST_SECTOR: u16 = 4096;

/// What kind of file system a config drive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// ISO 9660.
    Iso,
    /// FAT with sectors of so many bytes.
    Vfat(u16),
}

impl Format {
    /// The one that a kernel mounts from a disk with logical sectors of `sector`.
    ///
    /// # Errors
    /// When there is none for sectors as large as that.
    pub fn on(sector: Bytes) -> Result<Self, ConfigDriveError> {
        match u16::try_from(sector.0) {
            _ if sector.0 <= ISO_BLOCK => Ok(Self::Iso),
            Ok(size @ ..=LARGEST_SECTOR) => Ok(Self::Vfat(size)),
            _ => Err(ConfigDriveError::Sectors { sector }),
        }
    }
}

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

impl Rendered {
    /// The files by their names.
    fn files(&self) -> Vec<(&'static str, &str)> {
        let network = self.network_config.as_deref();
        let texts = [Some(&*self.user_data), Some(&*self.meta_data), network];
        iso::FILES.into_iter().zip(texts).filter_map(|(name, text)| Some((name, text?))).collect()
    }
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
    if let Some(ready) = &scheme.ready {
        return Ok(written_out(ready));
    }
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

/// The files of what needs no templates.
fn written_out(ready: &CloudInit) -> Rendered {
    let mut meta_data = ready.meta_data.clone();
    let name = meta_data.get("local-hostname").and_then(Value::as_str).unwrap_or_default();
    let id = templates::id_of(&[name]);
    meta_data.entry("instance-id").or_insert_with(|| id.into());
    Rendered {
        user_data: format!("#cloud-config\n{}", yaml(&ready.user_data)),
        meta_data: yaml(&meta_data),
        network_config: ready.network_config.as_ref().map(yaml),
    }
}

/// A YAML document with a line for each key, so that a person can read it on the drive.
fn yaml(map: &Map<String, Value>) -> String {
    let one_line = |value: &Value| json::write(value, Style { indent: None, html_safe: false });
    let mut text = String::new();
    for (key, value) in map {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}: {}", one_line(&json!(key)), one_line(value));
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_needs_no_templates() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let mut ready = CloudInit {
            user_data: map(json!({"hostname": "n: 1", "users": [{"name": "a"}]})),
            meta_data: map(json!({"local-hostname": "n"})),
            network_config: Some(map(json!({"version": 2, "ethernets": {"eth0": {"dhcp4": true}}}))),
        };
        let render = |ready: &CloudInit| {
            let scheme = ConfigDriveScheme { ready: Some(ready.clone()), ..ConfigDriveScheme::default() };
            render(&scheme, Path::new("/nonexistent")).unwrap()
        };
        let rendered = render(&ready);
        assert_eq!(
            rendered.user_data,
            "#cloud-config\n\"hostname\": \"n: 1\"\n\"users\": [{\"name\": \"a\"}]\n"
        );
        let network = "\"version\": 2\n\"ethernets\": {\"eth0\": {\"dhcp4\": true}}\n";
        assert_eq!(rendered.network_config.as_deref(), Some(network));
        let read: Value = crate::input::parse(&rendered.meta_data).unwrap();
        assert_eq!(read["local-hostname"], json!("n"));
        assert_eq!(read["instance-id"].as_str().map(str::len), Some(36));
        ready.meta_data.insert("instance-id".into(), json!("mine"));
        assert!(render(&ready).meta_data.contains("mine"));
    }

    #[test]
    fn the_sectors_of_the_disk_choose_the_format() {
        for (sector, format) in [
            (512, Some(Format::Iso)),
            (2048, Some(Format::Iso)),
            (4096, Some(Format::Vfat(4096))),
            (8192, None),
            (65536, None),
        ] {
            assert_eq!(Format::on(Bytes(sector)).ok(), format, "{sector}");
        }
    }
}
