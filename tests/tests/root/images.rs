//! Images: small file systems with one file each.

use std::{fs, path::Path};

use crate::{bench::Bench, disk::sh};

/// What is in the file `hello` of each image.
pub const HELLO: &str = "an installed system\n";

/// Makes a file system of `mib` MiB in a file; gives the file's path.
pub fn make(bench: &Bench, kind: &str, mib: u64) -> String {
    let tree = bench.path("tree");
    fs::create_dir_all(&tree).expect("a directory");
    fs::write(tree.join("hello"), HELLO).expect("a file");
    let image = bench.path(&format!("{kind}.img")).to_string_lossy().into_owned();
    let tree = tree.display();
    sh(&format!("truncate -s {mib}M {image}"));
    match kind {
        "ext4" => sh(&format!("mkfs.ext4 -q -d {tree} {image}")),
        "xfs" => {
            let proto = bench.path("proto");
            let text = format!("/\n0 0\nd--755 0 0\nhello ---644 0 0 {tree}/hello\n$\n");
            fs::write(&proto, text).expect("a file");
            sh(&format!("mkfs.xfs -q -p {} {image}", proto.display()))
        }
        "btrfs" => sh(&format!("mkfs.btrfs -q --rootdir {tree} {image}")),
        other => panic!("no image of {other}"),
    };
    image
}

/// Packs it as several members of gzip, as bgzip and parallel packers do; gives the address.
pub fn gzip(image: &str) -> String {
    sh(&format!(
        "cd $(dirname {image}); rm -f part.*; split -b 5M {image} part.; for f in part.*; do gzip -1c $f; done > {image}.gz; \
         rm part.*; test $(stat -c %s {image}.gz) -gt 0"
    ));
    format!("file://{image}.gz")
}

/// The sum of a file by one of the tools of coreutils.
pub fn sum(tool: &str, file: &str) -> String {
    let text = sh(&format!("{tool} < {file}"));
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

/// Writes the metadata that lie beside a gzip image: `fields` are those of the image.
pub fn metadata(image: &str, fields: &str) {
    let name = Path::new(image).file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().unwrap_or_default();
    let yaml = format!("images:\n- container_name: {name}.gz\n{fields}");
    fs::write(Path::new(image).with_file_name(format!("{stem}.yaml")), yaml).expect("the metadata");
}
