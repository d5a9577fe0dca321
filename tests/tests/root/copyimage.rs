//! The stage `copyimage`: an image is written whole, verified and grown, or nothing that can be mounted is left.

use std::fs;

use serde_json::Value;

use crate::{
    bench::Bench,
    disk::{Disk, assert_unused, sh},
    document::{self, Part},
    images::{self, HELLO},
};

/// A disk of two partitions: one for the image, with whatever lay there before, and one beside it.
struct Target {
    bench: Bench,
    disk: Disk,
    document: Value,
}

impl Target {
    /// Lays it out for an image of `kind` of `image` MiB in a partition of `room` MiB.
    fn new(kind: &'static str, image: u64, room: u64) -> (Self, String) {
        let (bench, disk) = (Bench::new(), Disk::new(room + 40));
        let file = images::make(&bench, kind, image);
        let uri = images::gzip(&file);
        let parts = [Part::fs(room, "/", kind, "root"), Part::fs(20, "/beside", "ext4", "beside")];
        let document = document::simple(&[(&disk, &parts)], &[("/", document::image(&uri, kind, "gzip"))]);
        bench.run(&document, &["partition"]).succeeded();
        (Self { bench, disk, document }, file)
    }

    /// What lies beside the image is as it was made.
    fn beside(&self) {
        sh(&format!("e2fsck -fn {}", self.disk.part(2)));
        assert_eq!(self.disk.tag(2, "LABEL"), "beside");
    }

    /// It fails with these words, and leaves nothing that anybody takes for a file system.
    fn fails(&self, words: &[&str]) {
        self.bench.run(&self.document, &["copyimage"]).failed(words);
        assert_eq!(self.disk.probe(1), "");
        let mounted = bareon_host::System::default();
        let mount = bareon_host::mount::mount(&self.disk.part(1), &self.bench.path("tmp"), "auto");
        assert!(bareon_host::Runner::run(&mounted, &mount).is_err(), "a broken image can be mounted");
        assert_unused(&self.disk);
        self.beside();
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn images_of_several_gzip_members_are_written_verified_and_grown() {
    for (kind, image, room) in [("ext4", 16, 100), ("xfs", 300, 400), ("btrfs", 120, 300)] {
        let (target, file) = Target::new(kind, image, room);
        let (md5, sha256) = (images::sum("md5sum", &file), images::sum("sha256sum", &file));
        let packed = images::sum("sha256sum", &format!("{file}.gz"));
        let size = fs::metadata(&file).expect("the image").len();
        images::metadata(
            &file,
            &format!(
                "  raw_size: {size}\n  raw_md5: {md5}\n  raw_sha256: {sha256}\n  container_sha256: {packed}\n"
            ),
        );
        target.bench.run(&target.document, &["copyimage"]).succeeded();
        assert_unused(&target.disk);
        let (hello, grown) = target.disk.file(1, "hello");
        assert_eq!(hello, HELLO, "{kind}");
        // What the file system keeps for itself (XFS 64 MiB for its log) is less than what it was grown by.
        assert!(grown > (room - 70) << 20 && grown <= room << 20, "{kind}: {grown} bytes of {room} MiB");
        target.beside();

        let report = target.bench.report();
        let written = &report["images"][0];
        assert_eq!(written["target"], target.disk.part(1));
        assert_eq!(
            (&written["bytes"], &written["md5"], &written["sha256"]),
            (&size.into(), &md5.into(), &sha256.into())
        );
        assert_eq!(report["end"]["outcome"], "success");
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn an_image_that_is_not_what_its_metadata_say_cannot_be_mounted() {
    let (target, file) = Target::new("ext4", 16, 40);
    for (tool, key) in [("md5sum", "raw_md5"), ("sha256sum", "raw_sha256")] {
        let right = images::sum(tool, &file);
        let wrong = right.chars().rev().collect::<String>();
        images::metadata(&file, &format!("  {key}: {wrong}\n"));
        target.fails(&[&right, &wrong]);
    }
    let packed = images::sum("sha256sum", &format!("{file}.gz"));
    images::metadata(&file, &format!("  container_sha256: {}\n", "f".repeat(64)));
    target.fails(&[&packed, &"f".repeat(64)]);
    let report = target.bench.report();
    assert_eq!(report["end"]["outcome"], "failure");
    assert!(report["end"]["error"].to_string().contains(&packed), "{report}");
    assert!(report["images"].as_array().expect("images").is_empty(), "{report}");

    // With the right ones, the same target takes it.
    images::metadata(&file, &format!("  container_sha256: {packed}\n"));
    target.bench.run(&target.document, &["copyimage"]).succeeded();
    assert_eq!(target.disk.file(1, "hello").0, HELLO);
}

#[test]
#[ignore = "needs root and loop devices"]
fn an_image_without_room_is_refused_whether_its_size_is_known_or_not() {
    let (target, file) = Target::new("ext4", 60, 30);
    let before = target.disk.sum();
    images::metadata(&file, &format!("  raw_size: {}\n", 60 << 20));
    for stages in [&["copyimage"][..], &["partition"], &[]] {
        target.bench.run(&target.document, stages).failed(&["the image has 60 MiB", "has room for 30 MiB"]);
    }
    assert_eq!(target.disk.sum(), before);
    fs::remove_file(target.bench.path("ext4.yaml")).expect("the metadata");
    target.fails(&["make the partition larger"]);
}

#[test]
#[ignore = "needs root and loop devices"]
fn an_image_that_breaks_off_or_is_none_cannot_be_mounted() {
    let (target, file) = Target::new("ext4", 16, 40);
    let packed = fs::read(format!("{file}.gz")).expect("the image");
    for (bytes, word) in [
        (&packed[..packed.len() - 3], "ends in the middle"),
        (&packed[..packed.len() / 2], "ends in the middle"),
        (b"<html>no such image</html>", "gave a page"),
        (b"an image that is not packed", "is not gzip"),
    ] {
        fs::write(format!("{file}.gz"), bytes).expect("the image");
        target.fails(&[word]);
    }
    fs::remove_file(format!("{file}.gz")).expect("the image");
    target.fails(&["ext4.img.gz"]);
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_partition_that_is_not_the_layouts_is_not_written() {
    let (target, _) = Target::new("ext4", 16, 40);
    let before = target.disk.sum();
    // The same names, but elsewhere, as on a machine that was laid out by another input.
    let parts = [Part::flag(10, "bios_grub"), Part::fs(30, "/", "ext4", "root")];
    let uri = target.document["ks_meta"]["image_data"]["/"].clone();
    let other = document::simple(&[(&target.disk, &parts)], &[("/", uri.clone())]);
    target
        .bench
        .run(&other, &["copyimage"])
        .failed(&[&target.disk.part(2), "not the partition of the layout"]);
    let more = [Part::new(40), Part::new(20), Part::fs(10, "/", "ext4", "root")];
    let more = document::simple(&[(&target.disk, &more)], &[("/", uri)]);
    target.bench.run(&more, &["copyimage"]).failed(&[&target.disk.part(3), "knows no such partition"]);
    assert_eq!(target.disk.sum(), before);
}
