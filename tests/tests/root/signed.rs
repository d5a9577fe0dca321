//! `image_keys`: images that nobody vouches for are refused before anything is written, those of the keys are taken.

use std::io::Cursor;

use bareon_tests::vm::http::Server;
use minisign::KeyPair;

use crate::{
    bench::Bench,
    disk::{Disk, assert_unused},
    document::{self, Part},
    images::{self, HELLO},
};

fn key() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().expect("a key")
}

fn sign(pair: &KeyPair, text: &str) -> String {
    minisign::sign(None, &pair.sk, Cursor::new(text), None, None).expect("a signature").into_string()
}

#[test]
#[ignore = "needs root and loop devices"]
fn only_images_that_are_vouched_for_are_written() {
    let (bench, disk) = (Bench::new(), Disk::new(80));
    let file = images::make(&bench, "ext4", 16);
    images::gzip(&file);
    let server = Server::start().expect("a server");
    server.file("/ext4.img.gz", format!("{file}.gz"));
    let image = document::image(&server.local_url("/ext4.img.gz"), "ext4", "gzip");
    let document = document::simple(&[(&disk, &[Part::fs(60, "/", "ext4", "root")])], &[("/", image)]);
    bench.run(&document, &["partition"]).succeeded();

    let (ours, other) = (key(), key());
    let keys = format!("--image-keys={},{}", key().pk.to_base64(), ours.pk.to_base64());
    let metadata = |sum: &str| format!("images:\n- {{container_name: ext4.img.gz, raw_{sum}}}\n");
    let right = metadata(&format!("sha256: {}", images::sum("sha256sum", &file)));
    let weak = metadata(&format!("md5: \"{}\"", images::sum("md5sum", &file)));
    let before = disk.sum();
    for (text, signature, words) in [
        (None, None, ["ext4.yaml cannot be had", "404"]),
        (Some(&right), None, ["ext4.yaml.minisig cannot be had", "sign_key"]),
        (Some(&right), Some("not found".into()), ["ext4.yaml", "no signature of minisign"]),
        (Some(&right), Some(sign(&other, &right)), ["ext4.yaml", "of another key"]),
        (Some(&right), Some(sign(&ours, &weak)), ["ext4.yaml", "changed after it was signed"]),
        (Some(&weak), Some(sign(&ours, &weak)), ["ext4.img.gz", "raw_sha256"]),
    ] {
        if let Some(text) = text {
            server.bytes("/ext4.yaml", text.as_bytes());
        }
        if let Some(signature) = signature {
            server.bytes("/ext4.yaml.minisig", signature);
        }
        for command in [&["plan"][..], &["copyimage"], &[]] {
            let arguments: Vec<_> = command.iter().copied().chain([&*keys]).collect();
            bench.run(&document, &arguments).failed(&words);
        }
        assert_eq!(disk.sum(), before, "{words:?}");
    }
    server.bytes("/ext4.yaml", right.as_bytes());
    server.bytes("/ext4.yaml.minisig", sign(&ours, &right));
    bench.run(&document, &["plan", &keys]).succeeded();
    bench.run(&document, &["copyimage", &keys]).succeeded();
    assert_eq!(disk.file(1, "hello").0, HELLO);
    assert_unused(&disk);
}

#[test]
#[ignore = "needs root and loop devices"]
fn an_image_that_no_sum_is_known_of_is_written_only_where_that_is_allowed() {
    let (bench, disk) = (Bench::new(), Disk::new(80));
    let file = images::make(&bench, "ext4", 16);
    let image = document::image(&images::gzip(&file), "ext4", "gzip");
    let document = document::simple(&[(&disk, &[Part::fs(60, "/", "ext4", "root")])], &[("/", image)]);
    bench.run(&document, &["partition"]).succeeded();
    let before = disk.sum();
    for command in [&["copyimage", "--noallow-unverified"][..], &["--noallow-unverified"]] {
        bench.run(&document, command).failed(&[
            "/ks_meta/image_data/~1",
            "no sum of this image",
            "raw_sha256",
        ]);
    }
    assert_eq!(disk.sum(), before);
    images::metadata(&file, &format!("  raw_md5: {}\n", images::sum("md5sum", &file)));
    bench.run(&document, &["copyimage", "--noallow-unverified", "--verify=readback"]).succeeded();
    assert!(bench.log().iter().any(|line| line.contains("its only sum is MD5")), "{:?}", bench.log());
    assert_eq!(disk.file(1, "hello").0, HELLO);
    images::metadata(&file, &format!("  container_blake3: \"{}\"\n", "0".repeat(64)));
    bench.run(&document, &["copyimage", "--noallow-unverified"]).failed(&["the container blake3 sum"]);
    assert_eq!(disk.probe(1), "");
}
