//! The original's own layouts: disks are laid out as documents for it say, and what other tools then find on them is
//! compared with the partition schemes that the original made of the same documents.
//!
//! `layouts.json` has, of each, the part of the document that describes disks and images, the scheme that was recorded,
//! and the mount points whose file systems are images. Disks have the names of virtio disks there, ext3 stands for each
//! xfs of less than 300 MiB, which mkfs.xfs no longer makes, and a type GUID that was none is that of Linux' data.

use std::collections::BTreeMap;

use bareon_tests::vm::{
    document,
    found::Found,
    http::Server,
    machine::{Bus, Firmware},
};
use serde_json::Value;

use crate::case::{Case, ok};

/// Everything that the original lays out differently: boot partitions, arrays, groups, journals, labels, empty volumes.
const LAYOUTS: &str = include_str!("layouts.json");

/// The most disks that one of them has, and a size in MiB that is enough for all.
const DISKS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];
const SIZE: u64 = 80 << 10;

const SCRIPT: &str = "
# lay NAME
lay() {
    # What the layout before left may reach onto disks that this one does not name.
    clean_disks
    bareon-provision --data-driver nailgun --input-data-file /tmp/$1.json --log-file /out/$1.log --debug \\
        --report /out/$1.report --http-max-retries 1 partition 2>/out/$1.said
    echo $? >/out/$1.status
    read_back $1
}
";

/// The name of a layout.
fn name(layout: &Value) -> &str {
    layout["name"].as_str().unwrap_or_default()
}

/// The document of a layout; its images, of which only the metadata are fetched, are `server`'s.
fn document(layout: &Value, server: &Server) -> Value {
    let mut document = document::document(&[], &[], "");
    document["ks_meta"]["pm_data"]["ks_spaces"] = layout["ks_spaces"].clone();
    if layout["profile"].is_string() {
        document["profile"] = layout["profile"].clone();
    }
    let mut images = layout["image_data"].clone();
    for image in images.as_object_mut().into_iter().flat_map(|images| images.values_mut()) {
        let file = image["uri"].as_str().unwrap_or_default();
        image["uri"] = server.url(&format!("/{}/{file}", name(layout))).into();
    }
    let root = images["/"]["uri"].as_str().and_then(|uri| uri.rsplit('/').next()?.split('.').next());
    if let (Some(meta), Some(root)) = (layout["image_meta"].as_str(), root) {
        server.bytes(&format!("/{}/{root}.yaml", name(layout)), meta);
    }
    document["ks_meta"]["image_data"] = images;
    document
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn layouts_of_the_original_are_as_it_made_them() {
    let mut case = Case::bare(Firmware::Bios);
    for serial in DISKS {
        ok(case.machine.add_disk(Bus::Virtio, serial, SIZE));
    }
    let layouts: Vec<Value> = ok(serde_json::from_str(LAYOUTS));
    let documents: BTreeMap<_, _> = layouts
        .iter()
        .map(|layout| (format!("{}.json", name(layout)), document(layout, &case.images)))
        .collect();
    let documents: Vec<_> = documents.iter().map(|(name, document)| (name.as_str(), document)).collect();
    let lines: Vec<_> = layouts.iter().map(|layout| format!("lay {}", name(layout))).collect();
    let outcome = case.run_with("layouts", &documents, &format!("{SCRIPT}{}", lines.join("\n")));
    let mut bad = Vec::new();
    for layout in &layouts {
        let name = name(layout);
        if outcome.file(&format!("{name}.status")).trim() != "0" {
            bad.push(format!("{name}: {}", outcome.file(&format!("{name}.said"))));
            continue;
        }
        let imaged = layout["imaged"].as_array().map_or(&[][..], Vec::as_slice);
        let imaged: Vec<_> = imaged.iter().filter_map(Value::as_str).collect();
        let found = ok(Found::read(&outcome.dir.join(name)));
        let differences = found.differences(&layout["scheme"], &imaged);
        bad.extend(differences.into_iter().map(|difference| format!("{name}: {difference}")));
    }
    assert!(bad.is_empty(), "{bad:#?}\n{outcome}");
}
