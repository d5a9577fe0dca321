//! Disks of QEMU: what lies on the target is what was packed, or nothing that mounts, whatever lay there before.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    bench::Bench,
    disk::{Disk, assert_unused, sh},
    formats::{document, whole},
    images::{self, HELLO},
};

/// How long anything here is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a disk holds before, which is nothing that an image brings.
const GARBAGE: &str = "tr '\\0' '\\245' </dev/zero";

/// Packs a file; gives the address and the sum of the qcow2.
fn packed(raw: &str, options: &str) -> (String, String) {
    sh(&format!("qemu-img convert -q {options} -O qcow2 {raw} {raw}.qcow2"));
    (format!("file://{raw}.qcow2"), images::sum("sha256sum", &format!("{raw}.qcow2")))
}

/// How many bytes of the first MiB of a device are not zero.
fn beginning(device: &str) -> String {
    sh(&format!("head -c 1M {device} | tr -d '\\0' | wc -c"))
}

#[test]
#[ignore = "needs root, loop devices and qemu-img"]
fn a_disk_of_qemu_is_unpacked_onto_a_partition_and_a_disk() {
    let (bench, disk) = (Bench::new(), Disk::new(200));
    let (part, whole) = (images::make(&bench, "ext4", 20), whole(&bench));
    let partitions = json!([{"name": "data", "size": "100MiB", "format": "ext4"}]);
    let downloads = format!("--download-dir={}", bench.path("downloads").display());
    for (options, flag) in
        [("", "--verify=readback"), ("-c", &*downloads), ("-o compat=0.10", "--verify=stream")]
    {
        let (url, sum) = packed(&part, options);
        let image = json!([{"target": "data", "format": "qcow2", "url": url, "container_sha256": sum}]);
        let document = document(&disk, Some(partitions.clone()), &image);
        bench.run_driver("bareon", &document, &["partition"]).succeeded();
        bench.run_driver("bareon", &document, &["copyimage", flag]).succeeded();
        let (hello, size) = disk.file(1, "hello");
        assert!(hello == HELLO && size > 60 << 20, "{options}: {size}");
        let compared = bench.report().to_string().contains("qemu-img compare ");
        assert_eq!(compared, flag == "--verify=readback");
        assert_unused(&disk);
    }
    let (url, sum) = packed(&whole, "");
    let image = |sum: &str| json!([{"target": "disk", "format": "qcow2", "url": url, "container_sha256": sum, "grow": true}]);
    let before = disk.sum();
    let wrong = document(&disk, None, &image(&"0".repeat(64)));
    bench.run_driver("bareon", &wrong, &["copyimage"]).failed(&["sha256 sum", "nothing was written to"]);
    let right = document(&disk, None, &image(&sum));
    bench
        .run_driver("bareon", &right, &["copyimage", "--memory-limit=256KiB"])
        .failed(&["raise memory_limit"]);
    assert_eq!(disk.sum(), before);
    bench.run_driver("bareon", &right, &[]).succeeded();
    let (hello, size) = disk.file(2, "hello");
    assert!(hello == HELLO && size > 150 << 20, "{size}");
    assert!(!bench.path("downloads/bareon-image").exists());
}

#[test]
#[ignore = "needs root, loop devices and qemu-img"]
fn a_disk_of_qemu_that_does_not_stand_alone_is_refused() {
    let (bench, disk) = (Bench::new(), Disk::new(100));
    let raw = whole(&bench);
    let before = disk.sum();
    let file = bench.path("odd.qcow2").to_string_lossy().into_owned();
    let unverified = json!([{"target": "disk", "format": "qcow2", "url": format!("file://{file}")}]);
    for (make, word) in [
        (format!("qemu-img create -q -f qcow2 -F raw -b {raw} {file}"), "backing file"),
        (format!("qemu-img create -q -f qcow2 -o data_file={file}.data {file} 60M"), "another file"),
        (
            format!(
                "qemu-img create -q -f qcow2 {file} 10M; printf '\\2' | dd of={file} bs=1 seek=35 conv=notrunc status=none"
            ),
            "encrypted",
        ),
        (format!("cp {raw} {file}"), "does not begin like one"),
    ] {
        sh(&make);
        let document = document(&disk, None, &unverified);
        bench.run_driver("bareon", &document, &["copyimage"]).failed(&[word, "nothing was written"]);
        bench
            .run_driver("bareon", &document, &["copyimage", "--noallow-unverified"])
            .failed(&["/images/0", "container_sha256"]);
    }
    assert_eq!(disk.sum(), before);
}

#[test]
#[ignore = "needs root, loop devices and qemu-img"]
fn each_byte_of_a_disk_of_qemu_is_written_over_what_lay_there() {
    let (bench, raw) = (Bench::new(), "raw,img");
    let raw = bench.path(raw).to_string_lossy().into_owned();
    let downloads = format!("--download-dir={}", bench.path("down,loads").display());
    for (sector, size, options) in [
        (512, 200 << 10, ""),
        (512, 1 << 20, "-c"),
        (512, (1 << 20) + 512, ""),
        (512, (9 << 20) + 1536, "-o compat=0.10"),
        (512, 20 << 20, "-o preallocation=full"),
        (4096, (9 << 20) + 1536, ""),
        (4096, 20 << 20, "-c"),
    ] {
        let disk = Disk::with_sectors(64, sector);
        // A FAT stays as large as it is, so that each byte can be compared.
        let partitions = json!([{"name": "data", "size": "30MiB", "format": "vfat"}]);
        // Data, a hole, data, a hole, and zeros that are data.
        sh(&format!(
            "rm -f {raw}; truncate -s {size} {raw}; seq 20000 | dd of={raw} conv=notrunc status=none; \
             for at in 150000 1048000 7000000; do test $at -ge {size} || \
             echo here | dd of={raw} bs=1 seek=$at conv=notrunc status=none; done; \
             dd if=/dev/zero of={raw} bs=4096 seek=3 count=2 conv=notrunc status=none"
        ));
        let (url, sum) = packed(&raw, options);
        let mut image = json!({"target": "data", "format": "qcow2", "url": url, "container_sha256": sum});
        image["raw_sha256"] = json!(images::sum("sha256sum", &raw));
        image["raw_md5"] = json!(images::sum("md5sum", &raw));
        image["raw_size"] = json!(size);
        let document = document(&disk, Some(partitions), &json!([image]));
        bench.run_driver("bareon", &document, &["partition"]).succeeded();
        let part = disk.part(1);
        for flag in ["--verify=stream", &*downloads] {
            sh(&format!("{GARBAGE} | head -c 30M >{part}; sync {part}"));
            bench.run_driver("bareon", &document, &["copyimage", flag]).succeeded();
            sh(&format!("cmp -n {size} {raw} {part}"));
            assert_unused(&disk);
        }
        let report = bench.report();
        let told = &report["images"][0];
        assert_eq!((&told["bytes"], &told["sha256"]), (&json!(size), &image["raw_sha256"]), "{report}");
    }
    assert!(!bench.path("down,loads/bareon-image").exists());
}

#[test]
#[ignore = "needs root, loop devices and qemu-img"]
fn what_the_plan_shows_for_a_disk_of_qemu_can_be_done_by_hand() {
    let (bench, disk) = (Bench::new(), Disk::new(100));
    let raw = whole(&bench);
    let (url, sum) = packed(&raw, "");
    let image = json!([{"target": "disk", "format": "qcow2", "url": url, "container_sha256": sum}]);
    let downloads = bench.path("down,loads");
    let flag = format!("--download-dir={}", downloads.display());
    let ended = bench.run_driver("bareon", &document(&disk, None, &image), &["plan", "--json", &flag]);
    let plan: Value = serde_json::from_str(&ended.succeeded().stdout).expect("JSON");
    let steps = plan["steps"].as_array().expect("steps");
    let step = steps.iter().find(|step| step["stage"] == "copyimage").expect("the image");
    let by_hand = step["by_hand"].as_str().expect("a line");
    let (_, last) = by_hand.split_once("convert: ").expect("what is done last");
    sh(&format!(
        "{GARBAGE} | head -c 100M >{0}; sync {0}; mkdir -p {1}/bareon-image",
        disk.name,
        downloads.display()
    ));
    sh(by_hand);
    let commands =
        step["commands"].as_array().expect("commands").iter().map(|line| line.as_str().expect("a line"));
    commands.filter(|line| line.starts_with("qemu-img ")).for_each(|line| drop(sh(line)));
    assert_ne!(sh(&format!("cmp -s {raw} {} || echo differs", disk.name)), "");
    sh(last);
    sh(&format!("cmp -n {} {raw} {}", 60 << 20, disk.name));
}

#[test]
#[ignore = "needs root, loop devices and qemu-img"]
fn a_disk_of_qemu_with_other_data_than_is_told_leaves_nothing_that_mounts() {
    let (bench, disk) = (Bench::new(), Disk::new(100));
    let raw = images::make(&bench, "ext4", 20);
    let (url, sum) = packed(&raw, "");
    let partitions = json!([{"name": "data", "size": "60MiB", "format": "ext4"}]);
    let run = |more: Value| {
        let mut image = json!({"target": "data", "format": "qcow2", "url": url, "container_sha256": sum});
        more.as_object().expect("an object").iter().for_each(|(key, value)| image[key] = value.clone());
        let document = document(&disk, Some(partitions.clone()), &json!([image]));
        bench.run_driver("bareon", &document, &["partition"]).succeeded();
        sh(&format!("mkfs.ext4 -qF {}", disk.part(1)));
        let before = disk.probe(1);
        assert!(before.contains("TYPE=ext4"), "{before}");
        (bench.run_driver("bareon", &document, &["copyimage"]), before)
    };
    let (ended, before) = run(json!({"raw_size": 19 << 20}));
    ended.failed(&["has 20971520 bytes, not 19922944", "nothing was written to"]);
    assert_eq!(disk.probe(1), before);
    for sum in ["raw_md5", "raw_sha256", "raw_blake3"] {
        let digits = if sum == "raw_md5" { 32 } else { 64 };
        let (ended, _) = run(json!({sum: "0".repeat(digits)}));
        ended.failed(&[&sum.replace('_', " "), "holds nothing that can be mounted"]);
        assert_eq!((disk.probe(1), beginning(&disk.part(1))), (String::new(), "0".into()));
        assert_unused(&disk);
    }
}

#[test]
#[ignore = "needs root, loop devices and qemu-img"]
fn a_disk_of_qemu_that_is_none_for_the_disk_is_told_before_anything_is_written() {
    let (bench, disk) = (Bench::new(), Disk::with_sectors(100, 4096));
    sh(&format!("{GARBAGE} | head -c 100M >{0}; sync {0}", disk.name));
    let before = disk.sum();
    let file_system = images::make(&bench, "ext4", 20);
    for (raw, word) in [(whole(&bench), "sectors of 512 bytes"), (file_system, "no partition table")] {
        let (url, sum) = packed(&raw, "");
        let image = json!([{"target": "disk", "format": "qcow2", "url": url, "container_sha256": sum}]);
        let ended = bench.run_driver("bareon", &document(&disk, None, &image), &["copyimage"]);
        ended.failed(&[word, "nothing was written to"]);
        assert_eq!(disk.sum(), before);
    }
}

/// The process that writes `device` now, where there is one.
fn converting(device: &str) -> Option<u32> {
    fs::read_dir("/proc").expect("/proc").find_map(|entry| {
        let entry = entry.ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let found = line.contains("qemu-img\0convert\0") && line.contains(device);
        entry.file_name().to_str()?.parse().ok().filter(|_| found)
    })
}

#[test]
#[ignore = "needs root, loop devices and qemu-img"]
fn a_disk_of_qemu_whose_writer_is_killed_leaves_nothing_that_mounts_and_is_written_anew() {
    const SIZE: u64 = 300 << 20;
    /// Where it is seen that it was begun.
    const BEHIND: u64 = 8 << 20;
    let (bench, disk) = (Bench::new(), Disk::new(340));
    let raw = bench.path("raw.img").to_string_lossy().into_owned();
    sh(&format!("yes and so on | head -c {SIZE} >{raw}"));
    let (url, sum) = packed(&raw, "-c");
    let raw_sum = images::sum("sha256sum", &raw);
    let partitions = json!([{"name": "data", "size": "310MiB", "format": "vfat"}]);
    let image = json!([{
        "target": "data", "format": "qcow2", "url": url, "container_sha256": sum, "raw_sha256": raw_sum
    }]);
    let document = document(&disk, Some(partitions), &image);
    bench.run_driver("bareon", &document, &["partition"]).succeeded();
    let part = disk.part(1);
    sh(&format!("{GARBAGE} | head -c 310M >{part}; sync {part}"));
    let downloads = format!("--download-dir={}", bench.path("downloads").display());
    let mut child =
        bench.command("bareon", &document, &["copyimage", &downloads]).spawn().expect("the program");
    let since = Instant::now();
    let device = fs::File::open(&part).expect("the partition");
    let (mut wanted, mut stands) = (vec![0; 4096], vec![0; 4096]);
    fs::File::open(&raw).expect("the image").read_exact_at(&mut wanted, BEHIND).expect("the image");
    let writer = loop {
        device.read_exact_at(&mut stands, BEHIND).expect("the partition");
        if let Some(writer) = converting(&part).filter(|_| stands == wanted) {
            break writer;
        }
        assert!(since.elapsed() < PATIENCE, "nothing is unpacked");
        thread::sleep(Duration::from_millis(1));
    };
    child.kill().expect("it is killed");
    child.wait().expect("its status");
    while fs::exists(format!("/proc/{writer}")).expect("/proc") {
        assert!(since.elapsed() < PATIENCE, "qemu-img goes on");
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!((disk.probe(1), beginning(&part)), (String::new(), "0".into()));
    let last =
        sh(&format!("cmp -s -n 1048576 -i {} {raw} {part} && echo all || echo some", SIZE - (1 << 20)));
    assert_eq!(last, "some", "it came to its end before it was killed");

    bench.run_driver("bareon", &document, &["copyimage", &downloads]).succeeded();
    sh(&format!("cmp -n {SIZE} {raw} {part}"));
    assert!(!bench.path("downloads/bareon-image").exists());
    assert_unused(&disk);
}
