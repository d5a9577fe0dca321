//! The stage `partition`: tables and file systems as the layout has them, over an empty disk and over others.

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    disk::{Disk, assert_unused, forget, sh},
    document::{self, Part},
};

const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
const BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";
const SWAP: &str = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F";
const OWN: &str = "CA7D7CCB-63ED-4C53-861C-1742536059CC";

/// Number, start, size, type and name of each partition.
fn rows(disk: &Disk) -> Vec<(String, u64, u64, String, String)> {
    let table = disk.table();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_u64().expect("a number");
    let rows = table["partitions"].as_array().expect("partitions").iter();
    rows.map(|row| {
        (
            text(&row["node"]),
            number(&row["start"]),
            number(&row["size"]),
            text(&row["type"]),
            text(&row["name"]),
        )
    })
    .collect()
}

fn row(
    disk: &Disk,
    number: u32,
    start: u64,
    size: u64,
    kind: &str,
    name: &str,
) -> (String, u64, u64, String, String) {
    (disk.part(number), start, size, kind.into(), name.into())
}

/// One partition of each kind; 604 MiB in all.
fn every_kind() -> Vec<Part> {
    vec![
        Part::flag(24, "bios_grub"),
        Part::fs(20, "/e2", "ext2", "two"),
        Part::fs(20, "/e3", "ext3", ""),
        Part::fs(20, "/e4", "ext4", "my data").options("-O ^64bit -m 0"),
        Part::fs(310, "/x", "xfs", "an xfs"),
        Part::fs(120, "/b", "btrfs", "a btrfs with a long label"),
        Part::fs(40, "/v", "vfat", "MY FAT"),
        Part::fs(16, "swap", "swap", "my swap"),
        Part::fs(4, "", "ext4", "unmounted").guid("ca7d7ccb-63ed-4c53-861c-1742536059cc"),
        // An image is yet to come there, so nothing is made.
        Part::fs(10, "/", "ext4", "root"),
        Part::config_drive(),
    ]
}

#[test]
#[ignore = "needs root and loop devices"]
fn every_file_system_is_made_with_label_and_options_at_its_place() {
    let (bench, disk, bystander) = (Bench::new(), Disk::new(620), Disk::new(16));
    sh(&format!("mkfs.ext4 -q -L bystander {}", bystander.name));
    let before = bystander.sum();
    bench.run(&document::simple(&[(&disk, &every_kind())], &[]), &["partition"]).succeeded();

    let mib = 2048;
    let expected = [
        (24, BIOS_BOOT, "bios_grub"),
        (20, LINUX, "/e2"),
        (20, LINUX, "/e3"),
        (20, LINUX, "/e4"),
        (310, LINUX, "/x"),
        (120, LINUX, "/b"),
        (40, LINUX, "/v"),
        (16, SWAP, "swap"),
        (4, OWN, ""),
        (10, LINUX, "/"),
        (20, LINUX, "config drive"),
    ];
    let mut begin = 1;
    let mut wanted = Vec::new();
    for (number, (size, kind, name)) in (1..).zip(expected) {
        wanted.push(row(&disk, number, begin * mib, size * mib, kind, name));
        begin += size;
    }
    assert_eq!(rows(&disk), wanted);
    assert_eq!(disk.table()["label"], "gpt");
    assert_eq!(disk.nodes().len(), 11);
    sh(&format!("sfdisk --verify {}", disk.name));

    for (number, kind, label) in [
        (2, "ext2", "two"),
        (3, "ext3", ""),
        (4, "ext4", "my data"),
        (5, "xfs", "an xfs"),
        (6, "btrfs", "a btrfs with a long label"),
        (7, "vfat", "MY FAT"),
        (8, "swap", "my swap"),
        (9, "ext4", "unmounted"),
    ] {
        assert_eq!((disk.tag(number, "TYPE"), disk.tag(number, "LABEL")), (kind.into(), label.into()));
    }
    let features = sh(&format!("dumpe2fs -h {} 2>&1", disk.part(4)));
    assert!(!features.contains("64bit"), "{features}");
    assert_eq!([1, 10, 11].map(|number| disk.probe(number)).concat(), "");
    assert_unused(&disk);
    assert_eq!(bystander.sum(), before, "a disk that nobody named was written");
}

#[test]
#[ignore = "needs root and loop devices"]
fn nothing_of_an_old_layout_outlives_a_new_one() {
    let (bench, disk) = (Bench::new(), Disk::new(620));
    bench.run(&document::simple(&[(&disk, &every_kind())], &[]), &["partition"]).succeeded();
    // Larger ones at the same place, and one that begins where an old file system began, left empty.
    let second = [
        Part::flag(24, "bios_grub"),
        Part::fs(60, "/", "ext4", ""),
        Part::fs(310, "/x", "ext4", "new"),
        Part::new(150),
    ];
    bench.run(&document::simple(&[(&disk, &second)], &[]), &["partition"]).succeeded();
    assert_eq!(disk.nodes(), [1, 2, 3, 4].map(|number| disk.part(number)));
    let sizes: Vec<_> = rows(&disk).iter().map(|row| (row.1 / 2048, row.2 / 2048)).collect();
    assert_eq!(sizes, [(1, 24), (25, 60), (85, 310), (395, 150)]);
    assert_eq!([1, 2, 4].map(|number| disk.probe(number)).concat(), "");
    assert_eq!(disk.tag(3, "LABEL"), "new");

    // Over what others left: a table of another kind, a file system and LVM on the whole disk.
    for line in
        ["printf 'label: dos\\nsize=8M\\n' | sfdisk -q --no-reread", "mkfs.xfs -q -f", "pvcreate -q -ff -y"]
    {
        forget(&disk.name);
        sh(&format!("wipefs -aq {0}; {line} {0}", disk.name));
        bench.run(&document::simple(&[(&disk, &second)], &[]), &["partition"]).succeeded();
        assert_eq!(disk.nodes().len(), 4);
        assert_eq!([1, 2, 4].map(|number| disk.probe(number)).concat(), "", "after {line}");
        let whole = sh(&format!("wipefs --noheadings --output TYPE {} | sort -u", disk.name));
        assert!(whole.lines().all(|kind| ["gpt", "PMBR"].contains(&kind.trim())), "after {line}: {whole}");
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_disk_with_large_sectors_has_its_partitions_at_the_same_bytes() {
    let (bench, disk) = (Bench::new(), Disk::with_sectors(400, 4096));
    let parts =
        [Part::flag(24, "bios_grub"), Part::fs(30, "/", "ext4", "root"), Part::fs(310, "/x", "xfs", "x")];
    bench.run(&document::simple(&[(&disk, &parts)], &[]), &["partition"]).succeeded();
    let mib = 256;
    let expected = [
        row(&disk, 1, mib, 24 * mib, BIOS_BOOT, "bios_grub"),
        // The image of the root file system is yet to come, so nothing is made there.
        row(&disk, 2, 25 * mib, 30 * mib, LINUX, "/"),
        row(&disk, 3, 55 * mib, 310 * mib, LINUX, "/x"),
    ];
    assert_eq!(rows(&disk), expected);
    assert_eq!(disk.table()["sectorsize"], 4096);
    assert_eq!(disk.probe(2), "");
    assert_eq!(disk.tag(3, "TYPE"), "xfs");
    sh(&format!("sfdisk --verify {}", disk.name));
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_layout_of_nailgun_is_laid_out_on_two_disks() {
    let (bench, disks) = (Bench::new(), [Disk::new(512), Disk::new(512)]);
    let space = |disk: &Disk, volumes: &Value| {
        let name = disk.name.trim_start_matches("/dev/");
        json!({"type": "disk", "id": name, "name": name, "size": 510, "extra": [], "free_space": 0, "volumes": volumes})
    };
    let root = json!([
        {"type": "boot", "size": 300},
        {"type": "partition", "mount": "/", "size": 100, "file_system": "ext4", "name": "Root", "disk_label": "root"},
        {"type": "lvm_meta_pool", "size": 0},
    ]);
    let data = json!([
        {"type": "partition", "mount": "/data", "size": 120, "file_system": "ext4", "name": "d", "disk_label": "the data"},
        {"type": "partition", "mount": "none", "size": 10, "name": "n"},
        {"type": "partition", "mount": "/none", "size": -3766, "name": "nothing"},
    ]);
    let spaces = json!([space(&disks[0], &root), space(&disks[1], &data)]);
    bench.run_driver("nailgun", &document::nailgun(spaces, &[]), &["partition"]).succeeded();
    let layout = |disk: &Disk| -> Vec<_> {
        rows(disk).into_iter().map(|row| (row.1 / 2048, row.2 / 2048, row.4)).collect()
    };
    let named = |rows: &[(u64, u64, &str)]| -> Vec<_> {
        rows.iter().map(|(start, size, name)| (*start, *size, (*name).to_owned())).collect()
    };
    let first = [(1, 24, "bios_grub"), (25, 200, "ESP"), (225, 100, "/"), (325, 20, "config drive")];
    assert_eq!(layout(&disks[0]), named(&first));
    assert_eq!(
        layout(&disks[1]),
        named(&[(1, 24, "bios_grub"), (25, 200, "ESP"), (225, 120, "/data"), (345, 10, "")])
    );
    assert_eq!(disks[1].tag(3, "LABEL"), "the data");
    assert_eq!(disks[1].probe(4), "");
}
