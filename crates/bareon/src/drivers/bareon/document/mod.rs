//! The document: every key that may be written, with the description that its schema, an editor and a mistake give.
//!
//! The schema is made of these types, and `shape` reads by the schema. So a key that the schema requires is optional
//! here all the same: where it is missing or wrong, that is told, and the rest of the document is looked at without it.
//! A `format` of the schema names a rule in `text`; the `pattern` beside it is the same rule for editors, roughly.

mod storage;
mod system;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use storage::{Disk, Flag, Group, Holds, Image, Match, Partition, Raid, Table};
pub use system::{Encoding, File, User};

/// How one machine is installed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["version", "disks", "images"]), title = "bareon")]
pub struct Document {
    /// The version of this format: 1.
    #[schemars(extend("const" = 1))]
    #[expect(dead_code, reason = "the shape lets no other through")]
    pub version: Option<u64>,
    /// The machine's name, with its domain where it has one: `node-1.example.com`.
    #[schemars(extend("format" = "host-name", "pattern" = "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$"))]
    pub hostname: Option<String>,
    /// The time zone, such as `Europe/Berlin`; as the image has it where not given.
    #[schemars(extend("format" = "time-zone", "pattern" = "^[A-Za-z0-9_+/-]+$"))]
    pub timezone: Option<String>,
    /// Time servers, by name or address.
    #[serde(default)]
    pub ntp: Vec<String>,
    /// Parameters of the kernel's command line, such as `console=ttyS0,115200 console=tty0`.
    pub kernel_params: Option<String>,
    /// The disks that are laid out. What lies on them is lost, but for what is preserved; other disks are not touched.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub disks: Vec<Disk>,
    /// Arrays of software RAID (md), made of partitions.
    #[serde(default)]
    pub raids: Vec<Raid>,
    /// Volume groups of LVM, made of partitions and arrays.
    #[serde(default)]
    pub volume_groups: Vec<Group>,
    /// The images that are written, in this order.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub images: Vec<Image>,
    /// Files that are written into the installed system at its first boot.
    #[serde(default)]
    pub files: Vec<File>,
    /// Users of the installed system. Where none are given, those of the image.
    #[serde(default)]
    pub users: Vec<User>,
    /// The network as netplan and cloud-init describe it (network-config version 2): `ethernets`, `bonds`, `bridges`,
    /// `vlans`. DHCP on the first interface where not given.
    pub network: Option<Map<String, Value>>,
    /// More for cloud-init: keys of a cloud-config, such as `packages` or `runcmd`.
    pub cloud_init: Option<Map<String, Value>>,
}

/// The JSON Schema of a document.
pub fn schema() -> Value {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Document>().to_value();
    cleaned(&mut schema);
    schema
}

/// Takes `null` and `default` out of a schema (a key that has no value is left out of a document, and a value that
/// stands for it is told in its description), and line breaks out of descriptions.
fn cleaned(schema: &mut Value) {
    let is_null = |schema: &Value| {
        schema.is_null() || schema == "null" || schema.get("type").is_some_and(|kind| kind == "null")
    };
    match schema {
        Value::Array(list) => list.iter_mut().for_each(cleaned),
        Value::Object(map) => {
            map.retain(|key, value| key != "default" || value.is_object());
            for key in ["type", "anyOf", "enum"] {
                let Some(Value::Array(list)) = map.get_mut(key) else { continue };
                list.retain(|alternative| !is_null(alternative));
                if let ([only], true) = (list.as_slice(), key != "enum") {
                    let only = only.clone();
                    map.shift_remove(key);
                    match only {
                        Value::Object(only) => only.into_iter().for_each(|(key, value)| {
                            map.entry(key).or_insert(value);
                        }),
                        only => {
                            map.insert(key.into(), only);
                        }
                    }
                }
            }
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            map.values_mut().for_each(cleaned);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_schema_in_contrib_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/bareon.schema.json");
        let schema = format!("{:#}\n", schema());
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(path, &schema).unwrap();
        }
        let kept = fs::read_to_string(path).unwrap_or_default();
        assert!(kept == schema, "{path} is out of date; run this test with UPDATE_GENERATED=1");
    }

    #[test]
    fn every_key_has_a_description_and_no_more_keys_are_taken() {
        let schema = schema();
        let objects = schema["$defs"].as_object().unwrap().values().chain([&schema]);
        let mut keys = 0;
        for object in objects.filter(|object| object["type"] == "object") {
            assert_eq!(object["additionalProperties"], false, "{object}");
            for (key, value) in object["properties"].as_object().unwrap() {
                let about = value["description"].as_str().unwrap_or_default();
                assert!(about.ends_with('.') && !about.contains("null"), "{key}: {about:?}");
                keys += 1;
            }
        }
        assert!(keys > 60 && !schema.to_string().contains("null"), "{keys}");
    }
}
