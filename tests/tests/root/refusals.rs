//! What is refused: said with its cause, before the first byte is written.

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    disk::{Disk, Mounted, Swap, assert_unused, sh},
    document::{self, Part},
};

/// A disk with an ext4 on the first and room on the second of its two partitions.
fn used_disk(bench: &Bench) -> Disk {
    let disk = Disk::new(64);
    let parts = [Part::fs(20, "/a", "ext4", "precious"), Part::fs(20, "/", "ext4", "")];
    bench.run(&document::simple(&[(&disk, &parts)], &[]), &["partition"]).succeeded();
    disk
}

fn layout(disk: &Disk) -> Value {
    document::simple(&[(disk, &[Part::fs(50, "/", "ext4", "new")])], &[])
}

/// Every way to run is refused with these words, and leaves the disks as they are.
fn refused(bench: &Bench, document: &Value, disks: &[&Disk], words: &[&str]) {
    let before: Vec<_> = disks.iter().map(|disk| disk.sum()).collect();
    for stages in [&["partition"][..], &[]] {
        bench.run(document, stages).failed(words);
        assert!(bench.report()["commands"].as_array().expect("commands").iter().all(|command| {
            let line = command["line"].as_str().expect("a line");
            let looks = ["udevadm ", "blkid ", "lvm fullreport ", "mdadm --examine "];
            looks.iter().any(|look| line.starts_with(look))
        }));
    }
    let after: Vec<_> = disks.iter().map(|disk| disk.sum()).collect();
    assert_eq!(after, before, "a refused run wrote to a disk");
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_mounted_partition_is_named_with_its_mount_point() {
    let bench = Bench::new();
    let (disk, other) = (used_disk(&bench), used_disk(&bench));
    let mounted = Mounted::new(&disk.part(1));
    let point = mounted.path().to_string_lossy().into_owned();
    sh(&format!("sync -f {point}"));
    let parts = [Part::fs(50, "/", "ext4", "new")];
    let more = [Part::fs(50, "/more", "ext4", "more")];
    let document = document::simple(&[(&other, &parts), (&disk, &more)], &[]);
    let words = [disk.part(1), format!("mounted on {point}"), format!("umount {point}")];
    // The disk that nobody uses is not written either.
    refused(&bench, &document, &[&disk, &other], &words.each_ref().map(String::as_str));
    assert_eq!(disk.nodes().len(), 2);
    drop(mounted);
    bench.run(&document, &["partition"]).succeeded();
}

#[test]
#[ignore = "needs root and loop devices"]
fn swap_in_use_is_named() {
    let bench = Bench::new();
    let disk = used_disk(&bench);
    let swap = Swap::new(&disk.part(2));
    let words = [disk.part(2), "used as swap".into(), format!("swapoff {}", disk.part(2))];
    // The kernel may write to its swap space at any time, so the tables are compared and not the whole disk.
    let table = || sh(&format!("sfdisk --dump {}; blkid -p {}", disk.name, disk.part(1)));
    let before = table();
    refused(&bench, &layout(&disk), &[], &words.each_ref().map(String::as_str));
    assert_eq!(table(), before, "a refused run wrote to the disk");
    drop(swap);
    bench.run(&layout(&disk), &["partition"]).succeeded();
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_disk_that_is_held_where_nobody_sees_it_is_refused_too() {
    // The second disk of a btrfs is in no list of mounts.
    let (bench, disks) = (Bench::new(), [Disk::new(128), Disk::new(128)]);
    sh(&format!("mkfs.btrfs -q -f -m raid1 -d raid1 {} {}", disks[0].name, disks[1].name));
    sh(&format!("btrfs device scan {} {}", disks[0].name, disks[1].name));
    let mounted = Mounted::new(&disks[0].name);
    sh(&format!("sync -f {}", mounted.path().display()));
    for disk in &disks {
        refused(&bench, &layout(disk), &[&disks[0], &disks[1]], &[&disk.name, "is in use"]);
    }
    drop(mounted);
    sh("btrfs device scan --forget");
}

#[test]
#[ignore = "needs root and loop devices"]
fn layouts_that_no_disk_can_have_are_refused() {
    let bench = Bench::new();
    let (disk, other) = (used_disk(&bench), used_disk(&bench));
    let both = [&disk, &other];
    let parts = [Part::fs(50, "/", "ext4", "new")];
    let simple = |parts: &[Part]| document::simple(&[(&disk, parts)], &[]);

    let twice = document::simple(&[(&disk, &parts), (&disk, &[Part::new(10)])], &[]);
    refused(&bench, &twice, &both, &["the same disk"]);
    refused(&bench, &simple(&[Part::fs(64, "/", "ext4", "")]), &both, &["ends at 65 MiB", "64 MiB in all"]);
    refused(
        &bench,
        &simple(&[Part::fs(50, "/", "ext4", "far too long a label")]),
        &both,
        &["label has 20 bytes"],
    );

    let mut unknown = simple(&parts);
    unknown["partitioning"]["parteds"][0]["name"] = json!("/dev/nosuch");
    refused(&bench, &unknown, &both, &["/dev/nosuch", "no such disk"]);

    let mut overlapping = simple(&[Part::fs(20, "/", "ext4", ""), Part::new(20)]);
    overlapping["partitioning"]["parteds"][0]["partitions"][1]["begin"] = json!(10);
    refused(&bench, &overlapping, &both, &["begins before the one before it ends"]);

    // Ways to lead a write to a disk that is not named.
    let mut elsewhere = simple(&parts);
    elsewhere["partitioning"]["fss"][0]["device"] = json!(other.part(1));
    refused(&bench, &elsewhere, &both, &[&other.part(1), "the layout makes no such device"]);
    let mut renamed = simple(&parts);
    renamed["partitioning"]["parteds"][0]["partitions"][0]["name"] = json!(other.part(1));
    renamed["partitioning"]["fss"][0]["device"] = json!(other.part(1));
    refused(&bench, &renamed, &both, &[&other.part(1), "no partition of this disk has that name"]);
    let mut options = simple(&parts);
    options["partitioning"]["fss"][0]["fs_options"] = json!(other.name);
    refused(&bench, &options, &both, &[&other.name, "mkfs would take it for the one to write"]);

    for disk in both {
        assert_unused(disk);
    }
}
