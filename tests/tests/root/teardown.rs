//! What lay on disks before: every signature of it is gone afterwards, at either end of the disks and within.

use serde_json::Value;

use crate::{
    bench::Bench,
    disk::{Disk, sh},
    document::{self, Part},
};

const MIB: u64 = 1 << 20;

/// Writes `bytes`, in the notation of printf(1), at an offset.
fn put(device: &str, offset: u64, bytes: &str) {
    sh(&format!("printf '{bytes}' | dd of={device} bs=1 seek={offset} conv=notrunc,fsync status=none"));
}

/// A superblock of md in version 0.90 at the end of a device of `size` bytes, as a raid1 of two.
fn old_md(device: &str, size: u64) {
    let at = (size & !0xffff) - 0x10000;
    // Magic, version 0.90.0, then UUID and geometry as far as probing looks.
    put(device, at, "\\374\\116\\053\\251\\000\\000\\000\\000\\132\\000\\000\\000\\000\\000\\000\\000");
}

/// The labels of a pool of zfs: uberblocks in the four of them, two at either end.
fn zfs(device: &str, size: u64) {
    let labels = [0, 256 << 10, size - (512 << 10), size - (256 << 10)];
    for label in labels {
        for uberblock in 0..16 {
            put(device, label + (128 << 10) + uberblock * 1024, "\\014\\261\\272\\000\\000\\000\\000\\000");
        }
    }
}

fn signatures(device: &str) -> Vec<String> {
    let list = sh(&format!("wipefs --noheadings --output TYPE {device}"));
    list.lines().map(|line| line.trim().to_owned()).collect()
}

fn layout(disk: &Disk) -> Value {
    document::simple(&[(disk, &[Part::new(20), Part::fs(70, "/", "ext4", "root")])], &[])
}

#[test]
#[ignore = "needs root and loop devices"]
fn signatures_go_from_disks_and_partitions_at_either_end() {
    let (bench, disk, bystander) = (Bench::new(), Disk::new(128), Disk::new(64));
    bench.run(&layout(&disk), &["partition"]).succeeded();
    let (one, two) = (disk.part(1), disk.part(2));
    old_md(&one, 20 * MIB);
    zfs(&two, 70 * MIB);
    sh(&format!("mkfs.ext4 -q {}; pvcreate -q {}", bystander.name, bystander.name.clone() + " -ff -y"));
    let before = bystander.sum();
    assert!(signatures(&one).contains(&"linux_raid_member".to_owned()), "{:?}", signatures(&one));
    assert!(signatures(&two).contains(&"zfs_member".to_owned()), "{:?}", signatures(&two));
    // blkid looks for zfs on devices of 64 MiB and more. The new partition lies over both, and begins as the first.
    let parts = [Part::fs(100, "/", "ext4", "root")];
    bench.run(&document::simple(&[(&disk, &parts)], &[]), &["partition"]).succeeded();
    sh(&format!("partx -d {}", disk.name));
    for (offset, mib) in [(1, 20), (21, 70)] {
        let size = mib * MIB;
        let loops = sh(&format!("losetup -f --show -o {} --sizelimit {size} {}", offset * MIB, disk.name));
        let found = signatures(&loops);
        sh(&format!("losetup -d {loops}"));
        assert!(found.is_empty(), "{found:?} at {offset} MiB");
    }
    assert_eq!(bystander.sum(), before, "a disk that nobody named was written");
}

#[test]
#[ignore = "needs root and loop devices"]
fn groups_on_disks_and_partitions_go_by_device_and_others_of_their_name_stay() {
    let (bench, disk, other, foreign) = (Bench::new(), Disk::new(128), Disk::new(128), Disk::new(128));
    let parts = [Part::new(50), Part::fs(60, "/", "ext4", "root")];
    bench.run(&document::simple(&[(&disk, &parts)], &[]), &["partition"]).succeeded();
    let group = |devices: &[&str]| {
        let devices = devices.join(",");
        let list = devices.replace(',', " ");
        sh(&format!(
            "lvm pvcreate -q -ff -y --devices {devices} {list}; lvm vgcreate -q --devices {devices} twin {list}"
        ));
    };
    group(&[&disk.part(1), &other.name]);
    group(&[&foreign.name]);
    let before = foreign.sum();
    let new = |disks: &[&Disk]| {
        let parts = [[Part::fs(100, "/", "ext4", "root")], [Part::new(100)]];
        let disks: Vec<_> = disks.iter().zip(&parts).map(|(disk, parts)| (*disk, &parts[..])).collect();
        document::simple(&disks, &[])
    };
    // One half of a group is named: nothing is written to either.
    let sums = [disk.sum(), other.sum()];
    bench.run(&new(&[&disk]), &["partition"]).failed(&[
        "the volume group twin",
        &other.name,
        "vgreduce twin",
    ]);
    assert_eq!([disk.sum(), other.sum()], sums);
    bench.run(&new(&[&disk, &other]), &["partition"]).succeeded();
    for disk in [&disk, &other] {
        assert_eq!(disk.probe(1), "");
        assert!(signatures(&disk.name).iter().all(|kind| ["gpt", "PMBR"].contains(&kind.as_str())));
    }
    assert_eq!(foreign.sum(), before, "a group of the same name on another disk was touched");
}
