//! The driver as a whole: documents in, objects or mistakes out.

mod any;
mod mistakes;
mod objects;

use serde_json::{Value, json};

use super::Bareon;
use crate::{
    drivers::{DataDriver, Deployment, Facts, Mistakes},
    hardware::BlockDevice,
    input,
};

/// Three disks of 100 GiB, the last one with sectors of 4096 bytes.
pub fn devices() -> Vec<BlockDevice> {
    let disk = |name: &str, serial: &str, sector: &str| {
        json!({
            "device": format!("/dev/{name}"), "size": 100_u64 << 30, "bspec": {"ss": sector},
            "uspec": {
                "ID_SERIAL_SHORT": serial, "ID_MODEL": "SLOW_DISK",
                "DEVLINKS": [format!("/dev/disk/by-id/x-{serial}"), format!("/dev/disk/by-path/p-{serial}")],
            },
            "espec": {"rotational": "1"},
        })
    };
    let disks = json!([disk("sda", "A", "512"), disk("sdb", "B", "512"), disk("nvme0n1", "C", "4096")]);
    serde_json::from_value(disks).unwrap()
}

/// What the document comes to.
pub fn read(document: &Value) -> Result<Deployment, Mistakes> {
    read_with(document, &|_| None)
}

/// What the document comes to where there is metadata of images.
pub fn read_with(
    document: &Value,
    metadata: &dyn Fn(&str) -> Option<String>,
) -> Result<Deployment, Mistakes> {
    let facts = Facts {
        devices: &devices(),
        image_metadata: metadata,
        prepare_configdrive: true,
        configdrive_exists: false,
    };
    Bareon.read(document, &facts)
}

/// A document in YAML: `text`, and what is always needed unless it is there.
pub fn yaml(text: &str) -> Value {
    let mut document: Value = input::parse(text).unwrap();
    let map = document.as_object_mut().unwrap();
    map.entry("version").or_insert(json!(1));
    map.entry("images").or_insert(json!([{"target": "/", "url": "http://h/i.img.gz"}]));
    document
}

/// What the document in YAML comes to.
pub fn good(text: &str) -> Deployment {
    read(&yaml(text)).unwrap_or_else(|mistakes| panic!("{text}\n{mistakes}"))
}

/// The mistakes of the document in YAML.
pub fn bad(text: &str) -> Vec<String> {
    match read(&yaml(text)) {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.0.iter().map(ToString::to_string).collect(),
    }
}

/// The smallest document with these partitions.
pub fn disk(partitions: &str) -> String {
    format!("disks: [{{match: {{serial: A}}, partitions: [{partitions}]}}]")
}
