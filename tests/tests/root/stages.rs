//! The stages one after the other and all at once: the config drive, the log's lines, the report.

use std::fs;

use serde_json::Value;

use crate::{
    bench::Bench,
    disk::{Disk, Mounted, assert_unused, sh},
    document::{self, Part},
    images::{self, HELLO},
};

const PARTITION: &str = "--- Partitioning disks (do_partitioning) ---";
const CONFIG_DRIVE: &str = "--- Creating configdrive (do_configdrive) ---";
const COPY: &str = "--- Copying images (do_copyimage) ---";
const BOOT: &str = "--- Installing bootloader (do_bootloader) ---";

fn deployment(bench: &Bench) -> (Disk, Value) {
    let disk = Disk::new(120);
    let image = images::gzip(&images::make(bench, "ext4", 16));
    let parts = [Part::flag(24, "bios_grub"), Part::fs(60, "/", "ext4", "root"), Part::config_drive()];
    let document = document::simple(&[(&disk, &parts)], &[("/", document::image(&image, "ext4", "gzip"))]);
    (disk, document)
}

/// The lines of the log that programs follow a run by.
fn progress(bench: &Bench) -> Vec<String> {
    let told = |line: &String| line.starts_with("---") || line.starts_with("Next chunk: ");
    bench.log().into_iter().filter(told).collect()
}

#[test]
#[ignore = "needs root and loop devices"]
fn stages_that_run_one_by_one_do_what_a_whole_run_does() {
    let bench = Bench::new();
    let (disk, document) = deployment(&bench);
    bench.run(&document, &["partition"]).succeeded();
    assert_eq!((disk.probe(2), disk.probe(3)), (String::new(), String::new()));

    // The config drive is not there yet: said, and gone on without.
    bench.run(&document, &["copyimage"]).succeeded();
    assert!(bench.log().iter().any(|line| line.starts_with("there is no ") && line.contains(&disk.part(3))));
    assert_eq!(disk.probe(3), "");

    bench.run(&document, &["configdrive"]).succeeded();
    bench.run(&document, &["copyimage"]).succeeded();
    assert_eq!((disk.tag(3, "TYPE"), disk.tag(3, "LABEL")), ("iso9660".into(), "cidata".into()));
    let drive = fs::read(bench.path("config-drive.img")).expect("the config drive");
    let written = fs::read(disk.part(3)).expect("its partition");
    assert!(written.starts_with(&drive), "the partition is not the config drive");
    assert_eq!(disk.file(2, "hello").0, HELLO);
    assert_eq!(progress(&bench), [PARTITION, COPY, CONFIG_DRIVE, COPY]);
    assert_unused(&disk);
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_whole_run_that_fails_at_its_end_tells_all_that_it_did() {
    let bench = Bench::new();
    let (disk, document) = deployment(&bench);
    // There is no system in the image that a boot loader could be installed for.
    let ended =
        bench.run(&document, &["--debug"]).failed(&["step 6 of 6, bootloader", "done before it: partition"]);
    assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    assert_eq!(disk.file(2, "hello").0, HELLO);
    assert_eq!(disk.tag(3, "LABEL"), "cidata");
    assert_unused(&disk);

    // 16 MiB of an image, then the config drive.
    let told = progress(&bench);
    let heads: Vec<_> = told.iter().filter(|line| line.starts_with("---")).collect();
    assert_eq!(heads, ["--- Provisioning (do_provisioning) ---", PARTITION, CONFIG_DRIVE, COPY, BOOT]);
    let begin = told.iter().position(|line| line == COPY).expect("the headline") + 1;
    let chunks: Vec<_> = (1..=16).map(|number| format!("Next chunk: {number}")).collect();
    assert_eq!(told[begin..begin + 16], chunks);
    assert!(bench.log().iter().any(|line| line.starts_with("Unexpected error: ")));

    let report = bench.report();
    let texts = |list: &str, key: &str| -> Vec<String> {
        let list = report[list].as_array().expect("a list").iter();
        list.map(|one| one[key].as_str().expect("a text").to_owned()).collect()
    };
    let lines = texts("commands", "line");
    for program in ["sfdisk", "partx --add", "udevadm settle", "xorriso", "e2fsck", "resize2fs"] {
        assert!(lines.iter().any(|line| line.contains(program)), "{program} is not in {lines:#?}");
    }
    assert_eq!(texts("images", "target"), [disk.part(2), disk.part(3)]);
    assert_eq!(
        texts("steps", "stage"),
        ["partition", "partition", "configdrive", "copyimage", "copyimage", "bootloader"]
    );
    assert_eq!(report["end"]["outcome"], "failure");
    assert!(report["steps"][5]["error"].is_string() && report["end"]["error"].is_object(), "{report}");
    sh(&format!(
        "sha256sum < {} | grep -q {}",
        bench.path("config-drive.img").display(),
        texts("images", "sha256")[1]
    ));
}

#[test]
#[ignore = "needs root and loop devices"]
fn a_file_system_that_came_into_use_is_not_written() {
    let bench = Bench::new();
    let (disk, document) = deployment(&bench);
    bench.run(&document, &["partition"]).succeeded();
    bench.run(&document, &["copyimage"]).succeeded();
    let mounted = Mounted::new(&disk.part(2));
    let point = mounted.path().to_string_lossy().into_owned();
    sh(&format!("sync -f {point}"));
    let before = disk.sum();
    bench.run(&document, &["copyimage"]).failed(&[&disk.part(2), &point]);
    bench.run(&document, &["bootloader"]).failed(&[&disk.part(2), &point]);
    assert_eq!(disk.sum(), before);
}
