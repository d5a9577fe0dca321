//! The original's own layouts: documents whose partition schemes were recorded from it are laid out, and what other tools
//! then find on the disks is compared with what was recorded.
//!
//! The documents are vectors of `../shared/conformance`, beside this repository. Their disks are called `sda`, … and
//! have the names of virtio disks here; their images, of which only the metadata are fetched, come from our server.

use std::path::Path;

use bareon_tests::vm::{
    found::Found,
    http::Server,
    machine::{Bus, Firmware},
};
use serde_json::Value;

use crate::case::{Case, ok};

/// Everything that the original lays out differently: boot partitions, arrays, groups, journals, labels, empty volumes.
const VECTORS: [&str; 13] = [
    "layout-one-disk-plain-partitions",
    "layout-partition-guid-on-raid-and-pv-is-ignored",
    "images-three-with-meta",
    "ceph-3-journals-4-osds",
    "ceph-osd-with-a-mount",
    "lvm-dashes-in-names",
    "lvm-meta-size-11",
    "lvm-vg-over-three-disks",
    "raid-root-over-3-disks",
    "raid-three-arrays-names",
    "test-nailgun-ceph",
    "test-nailgun-md-metadata-centos",
    "test-nailgun-provision-sample",
];

/// Those with an xfs of less than 300 MiB, which mkfs.xfs no longer makes; ext3 stands in for it.
const SMALL_XFS: [&str; 3] = ["ceph-osd-with-a-mount", "lvm-dashes-in-names", "lvm-meta-size-11"];

/// The most disks that one of them has, and a size in MiB that is enough for all.
const DISKS: usize = 8;
const SIZE: u64 = 80 << 10;

const SCRIPT: &str = "
# lay NAME
lay() {
    # What the vector before left may reach onto disks that this one does not name.
    clean_disks
    bareon-provision --data-driver nailgun --input-data-file /tmp/$1.json --log-file /out/$1.log --debug \\
        --report /out/$1.report --http-max-retries 1 partition 2>/out/$1.said
    echo $? >/out/$1.status
    read_back $1
}
";

/// A vector, with what cannot be had here replaced: disks, the addresses of images, a type GUID that is none.
fn vector(name: &str, text: &str, server: &Server) -> Value {
    let text =
        text.replace("fake_guid", "0FC63DAF-8483-4772-8E79-3D69D8477DE4").replace("/dev/sd", "/dev/vd");
    let mut vector: Value = ok(serde_json::from_str(&text));
    if SMALL_XFS.contains(&name) {
        without_xfs(&mut vector);
    }
    let input = &mut vector["input"];
    for space in input["ks_meta"]["pm_data"]["ks_spaces"].as_array_mut().into_iter().flatten() {
        if space["type"] == "disk" {
            let name = space["name"].as_str().unwrap_or_default().replacen("sd", "vd", 1);
            (space["id"], space["name"], space["extra"]) =
                (name.clone().into(), name.into(), Value::Array(vec![]));
        }
    }
    for image in
        input["ks_meta"]["image_data"].as_object_mut().into_iter().flat_map(|images| images.values_mut())
    {
        let uri = image["uri"].as_str().unwrap_or_default();
        let file = uri.rsplit('/').next().unwrap_or_default();
        image["uri"] = server.url(&format!("/{name}/{file}")).into();
    }
    if let (Some(meta), Some(root)) = (vector["image_meta"].as_str(), input_root(&vector["input"])) {
        server.bytes(&format!("/{name}/{}.yaml", root.split('.').next().unwrap_or_default()), meta);
    }
    vector
}

/// Replaces xfs, which also stands where nothing is said, unless it is for `/boot`.
fn without_xfs(vector: &mut Value) {
    let spaces = vector["input"]["ks_meta"]["pm_data"]["ks_spaces"].as_array_mut();
    for space in spaces.into_iter().flatten() {
        for volume in space["volumes"].as_array_mut().into_iter().flatten() {
            let unsaid = volume["file_system"].is_null() && volume["mount"] != "/boot";
            if volume["mount"].is_string() && (unsaid || volume["file_system"] == "xfs") {
                volume["file_system"] = "ext3".into();
            }
        }
    }
    for fs in vector["expected"]["partition_scheme"]["fss"].as_array_mut().into_iter().flatten() {
        if fs["fs_type"] == "xfs" {
            fs["fs_type"] = "ext3".into();
        }
    }
}

/// The file name of the image for `/`.
fn input_root(input: &Value) -> Option<&str> {
    input["ks_meta"]["image_data"]["/"]["uri"].as_str()?.rsplit('/').next()
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn layouts_of_the_original_are_as_it_made_them() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance/vectors");
    if !dir.exists() {
        eprintln!("SKIPPED: there is no {}", dir.display());
        return;
    }
    let mut case = Case::bare(Firmware::Bios);
    for serial in ["A", "B", "C", "D", "E", "F", "G", "H"] {
        ok(case.machine.add_disk(Bus::Virtio, serial, SIZE));
    }
    assert_eq!(case.machine.disks.len(), DISKS);
    let vectors: Vec<_> = VECTORS
        .iter()
        .map(|name| (*name, ok(std::fs::read_to_string(dir.join(format!("{name}.json"))))))
        .map(|(name, text)| (name, vector(name, &text, &case.images)))
        .collect();
    let documents: Vec<_> =
        vectors.iter().map(|(name, vector)| (format!("{name}.json"), &vector["input"])).collect();
    let documents: Vec<_> = documents.iter().map(|(name, document)| (name.as_str(), *document)).collect();
    let lines: Vec<_> = VECTORS.iter().map(|name| format!("lay {name}")).collect();
    let outcome = case.run_with("vectors", &documents, &format!("{SCRIPT}{}", lines.join("\n")));
    let mut bad = Vec::new();
    for (name, vector) in &vectors {
        if outcome.file(&format!("{name}.status")).trim() != "0" {
            bad.push(format!("{name}: {}", outcome.file(&format!("{name}.said"))));
            continue;
        }
        let written = vector["expected"]["image_scheme"].as_array().cloned().unwrap_or_default();
        let schema = &vector["expected"]["partition_scheme"];
        let imaged = |fs: &&Value| written.iter().any(|image| image["target_device"] == fs["device"]);
        let fss = schema["fss"].as_array().map_or(&[][..], Vec::as_slice);
        let imaged: Vec<_> = fss.iter().filter(imaged).filter_map(|fs| fs["mount"].as_str()).collect();
        let found = ok(Found::read(&outcome.dir.join(name)));
        bad.extend(
            found.differences(schema, &imaged).into_iter().map(|difference| format!("{name}: {difference}")),
        );
    }
    assert!(bad.is_empty(), "{bad:#?}\n{outcome}");
}
