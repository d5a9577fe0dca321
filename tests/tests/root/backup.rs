//! `undo`: what a run on the wrong disk overwrote of its metadata comes back, and what it wrote over is said.

use std::{fs, path::PathBuf};

use crate::{
    bench::{Bench, Ended},
    disk::{Disk, Mounted, sh},
    document::{self, Part},
};

/// A disk with a file in an ext4, a physical volume with a group, swap, and nothing in its last partition.
fn old_disk(bench: &Bench) -> Disk {
    let disk = Disk::new(256);
    let parts = [Part::new(40), Part::new(60), Part::new(20), Part::fs(100, "/", "ext4", "root")];
    bench.run(&document::simple(&[(&disk, &parts)], &[]), &["partition"]).succeeded();
    sh(&format!("mkfs.ext4 -q -L precious {}", disk.part(1)));
    {
        let mounted = Mounted::new(&disk.part(1));
        fs::write(mounted.path().join("file"), "all of it").expect("the file");
    }
    let pv = disk.part(2);
    sh(&format!("lvm pvcreate -q -ff -y --devices {pv} {pv}; lvm vgcreate -q --devices {pv} old {pv}"));
    sh(&format!("mkswap -q {}; sync", disk.part(3)));
    disk
}

fn newest(bench: &Bench) -> PathBuf {
    let backups = fs::read_dir(bench.path("backup")).expect("backups");
    backups.map(|entry| entry.expect("an entry").path()).max().expect("a backup")
}

fn undo(bench: &Bench, more: &[&str]) -> Ended {
    let dir = newest(bench).to_string_lossy().into_owned();
    let arguments = [&["undo", "--backup", &dir], more].concat();
    bench.run(&serde_json::json!({}), &arguments)
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_table_on_the_wrong_disk_is_undone_byte_by_byte() {
    let bench = Bench::new();
    let disk = old_disk(&bench);
    let (before, nodes) = (disk.sum(), disk.nodes());
    // Tables are written and signatures removed, no file system is made.
    let parts = [Part::new(30), Part::fs(150, "/", "ext4", "root")];
    bench.run(&document::simple(&[(&disk, &parts)], &[]), &["partition"]).succeeded();
    assert_ne!(disk.sum(), before);
    assert_eq!(disk.nodes().len(), 2);
    let report = bench.report();
    assert_eq!(report["backup"]["dir"], newest(&bench).to_string_lossy().as_ref());
    assert!(!report["backup"]["regions"].as_array().expect("regions").is_empty());

    let shown = undo(&bench, &["--dry-run"]).succeeded().stdout;
    assert!(shown.contains("put back: partition table"), "{shown}");
    assert_ne!(disk.sum(), before, "a dry run wrote");
    undo(&bench, &[]).succeeded();
    assert_eq!(disk.sum(), before);
    assert_eq!(disk.nodes(), nodes);
    assert_eq!(disk.file(1, "file").0, "all of it");
    assert_eq!(disk.tag(2, "TYPE"), "LVM2_member");
    // Once more: what was put back is in use again, and has changed since.
    let mounted = Mounted::new(&disk.part(1));
    fs::write(mounted.path().join("file"), "more").expect("the file");
    let shown = undo(&bench, &[]).succeeded().stdout;
    assert!(shown.contains("put back before") && !shown.contains("put back: "), "{shown}");
    drop(mounted);
    undo(&bench, &[]).succeeded();
    assert_eq!(disk.file(1, "file").0, "more");
}

#[test]
#[ignore = "needs root and loop devices"]
fn what_was_written_over_stays_and_the_rest_comes_back_by_force_alone() {
    let bench = Bench::new();
    let disk = old_disk(&bench);
    // The new file system lies within the old fourth partition; the first three are not met.
    let parts = [Part::fs(130, "/", "ext4", "root"), Part::fs(40, "/srv", "ext4", "new")];
    bench.run(&document::simple(&[(&disk, &parts)], &[]), &["partition"]).succeeded();
    let new = disk.sum();
    undo(&bench, &[]).failed(&["nothing was written", "--force"]);
    assert_eq!(disk.sum(), new);
    let shown = undo(&bench, &["--force"]).succeeded().stdout;
    assert!(shown.contains("Written over since") && shown.contains("not put back, written over"), "{shown}");
    assert_eq!(disk.nodes().len(), 4);
    assert_eq!(disk.file(1, "file").0, "all of it");
    assert_eq!(disk.tag(2, "TYPE"), "LVM2_member");
    assert_eq!(disk.tag(3, "TYPE"), "swap");
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_disk_in_use_and_a_damaged_backup_are_refused() {
    let bench = Bench::new();
    let disk = old_disk(&bench);
    let parts = [Part::fs(40, "/a", "ext4", "a"), Part::fs(40, "/", "ext4", "root")];
    bench.run(&document::simple(&[(&disk, &parts)], &[]), &["partition"]).succeeded();
    let mounted = Mounted::new(&disk.part(1));
    let point = mounted.path().to_string_lossy().into_owned();
    undo(&bench, &["--force"]).failed(&["nothing was written", &format!("mounted on {point}")]);
    drop(mounted);
    let before = disk.sum();
    let file = newest(&bench).join(disk.name.trim_start_matches("/dev/"));
    sh(&format!("printf x | dd of={} bs=1 seek=700 conv=notrunc status=none", file.display()));
    undo(&bench, &["--force"]).failed(&["is damaged", "nothing was written"]);
    sh(&format!("rm -r {}", newest(&bench).join("backup.json").display()));
    undo(&bench, &[]).failed(&["reading the backup"]);
    assert_eq!(disk.sum(), before);
}

#[test]
#[ignore = "needs root and loop devices"]
fn logical_partitions_come_back_with_their_boot_records() {
    let (bench, disk) = (Bench::new(), Disk::new(200));
    sh(&format!(
        "printf 'label: dos\\nsize=20M\\ntype=f\\nsize=20M\\nsize=30M\\n' | sfdisk -q --no-reread {0}; partx -a {0}",
        disk.name
    ));
    sh(&format!("mkfs.ext4 -q -L deep {}", disk.part(6)));
    let (before, nodes) = (disk.sum(), disk.nodes());
    bench
        .run(&document::simple(&[(&disk, &[Part::fs(100, "/", "ext4", "root")])], &[]), &["partition"])
        .succeeded();
    undo(&bench, &[]).succeeded();
    assert_eq!((disk.sum(), disk.nodes()), (before, nodes));
    assert_eq!(disk.tag(6, "LABEL"), "deep");
}
