//! What only a bootstrap ramdisk has.

use std::path::PathBuf;

use serde_json::Value;

use super::{Told, given};
use crate::{
    digest,
    drivers::{nailgun::metadata::base_name, place::Place},
    objects::build::Bootstrap,
};

/// How initrd and squashfs may be compressed.
const COMPRESSIONS: [&str; 3] = ["xz", "gzip", "zstd"];

/// The ramdisk that stands at `place` of `document`, written to `output`. What is left out is as callers have it.
pub(super) fn read(place: &Place<'_>, document: &Value, output: PathBuf, told: &mut Told) -> Bootstrap {
    let uuid = text(place, "uuid", told).unwrap_or_else(|| digest::uuid_of(&document.to_string()));
    let mut bootstrap = Bootstrap {
        label: text(place, "label", told).unwrap_or_else(|| uuid.clone()),
        extend_kopts: text(place, "extend_kopts", told).unwrap_or_default(),
        uuid,
        output,
        packed: true,
        meta_file: "metadata.yaml".into(),
        kernel_uri: "vmlinuz".into(),
        initrd_uri: "initrd.img".into(),
        initrd_compress: COMPRESSIONS[0].into(),
        rootfs_uri: "root.squashfs".into(),
        rootfs_compress: COMPRESSIONS[0].into(),
    };
    container(place, &mut bootstrap, told);
    modules(place, &mut bootstrap, told);
    bootstrap
}

/// A text of one line, where it is given and not empty.
fn text(place: &Place<'_>, key: &str, told: &mut Told) -> Option<String> {
    let found = given(place, key)?;
    let text = found.text("write a text", &mut told.mistakes)?;
    if text.contains(char::is_control) {
        told.defer(&found, "this text has a line break or the like", "write it in one line");
    }
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn container(place: &Place<'_>, bootstrap: &mut Bootstrap, told: &mut Told) {
    let Some(container) = given(place, "container") else { return };
    let remedy = "write {\"meta_file\": \"metadata.yaml\", \"format\": \"tar.gz\"}";
    container.object(remedy, &mut told.mistakes);
    if let Some(name) = text(&container, "meta_file", told) {
        bootstrap.meta_file = file_name(&container, "meta_file", name, told);
    }
    let Some(format) = given(&container, "format") else { return };
    match format.value.as_str() {
        Some("tar.gz") => bootstrap.packed = true,
        Some("directory") => bootstrap.packed = false,
        _ => told.defer(&format, "a ramdisk is not written in this form", "write tar.gz or directory"),
    }
}

/// A name without a folder, for it becomes one of the archive.
fn file_name(place: &Place<'_>, key: &str, name: String, told: &mut Told) -> String {
    if let Some(found) = place.get(key)
        && (name.contains('/') || matches!(name.as_str(), "." | ".."))
    {
        told.defer(&found, "this is no file name", "write a name without /");
    }
    name
}

fn modules(place: &Place<'_>, bootstrap: &mut Bootstrap, told: &mut Told) {
    let Some(list) = given(place, "modules") else { return };
    let remedy = "write a list of {\"name\": \"kernel\", \"uri\": …}, for kernel, initrd and rootfs";
    for module in list.items(remedy, &mut told.mistakes).unwrap_or_default() {
        if module.object(remedy, &mut told.mistakes).is_none() {
            continue;
        }
        let name = module.need_text("name", "write kernel, initrd or rootfs", &mut told.mistakes);
        let uri = text(&module, "uri", told);
        if let (Some(uri), Some(found)) = (&uri, module.get("uri"))
            && matches!(base_name(uri), "" | "." | "..")
        {
            told.defer(
                &found,
                "this has no file name",
                "write where it is fetched from; its last part is the file",
            );
        }
        let compression = compression(&module, told);
        match name {
            Some("kernel") => bootstrap.kernel_uri = uri.unwrap_or_else(|| bootstrap.kernel_uri.clone()),
            Some("initrd") => {
                bootstrap.initrd_uri = uri.unwrap_or_else(|| bootstrap.initrd_uri.clone());
                bootstrap.initrd_compress = compression.unwrap_or_else(|| bootstrap.initrd_compress.clone());
            }
            Some("rootfs") => {
                bootstrap.rootfs_uri = uri.unwrap_or_else(|| bootstrap.rootfs_uri.clone());
                bootstrap.rootfs_compress = compression.unwrap_or_else(|| bootstrap.rootfs_compress.clone());
            }
            Some(_) => told.defer(&module, "a ramdisk has no such module", "write kernel, initrd or rootfs"),
            None => {}
        }
    }
    let uris =
        [&bootstrap.kernel_uri, &bootstrap.initrd_uri, &bootstrap.rootfs_uri].map(|uri| base_name(uri));
    let mut names = vec![bootstrap.meta_file.as_str()];
    for name in uris {
        if names.contains(&name) {
            told.defer(
                &list,
                format!("two files of the ramdisk are called {name}"),
                "give each its own name",
            );
        }
        names.push(name);
    }
}

fn compression(module: &Place<'_>, told: &mut Told) -> Option<String> {
    let found = given(module, "compress_format")?;
    let known = COMPRESSIONS.into_iter().find(|known| found.value == *known);
    if known.is_none() {
        told.defer(&found, "this is not compressed so", "write xz, gzip or zstd");
    }
    known.map(str::to_owned)
}
