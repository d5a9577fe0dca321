//! What is to be kept: files on a partition while the rest of the layout, or of its disk, is made anew.

use std::fs;

use serde_json::{Value, json};

use crate::{
    bench::{Bench, Ended},
    disk::{Disk, Mounted, assert_unused, sh},
    document,
};

/// A layout of `nailgun`: a root that an image fills, data, and logs that are made anew.
fn spaces(disk: &Disk, data: u64, keep: bool) -> Value {
    let name = disk.name.trim_start_matches("/dev/");
    let volume = |mount: &str, size: u64, kind: &str| json!({"type": "partition", "mount": mount, "size": size, "file_system": kind, "name": mount});
    let mut kept = volume("/data", data, "ext4");
    kept["keep_data"] = json!(keep);
    let volumes = json!([volume("/", 20, "ext4"), kept, volume("/logs", 310, "xfs")]);
    json!([{
        "type": "disk", "id": name, "name": name, "size": 620, "extra": [], "free_space": 0, "volumes": volumes,
    }])
}

/// Puts some files there.
fn fill(device: &str) {
    let mounted = Mounted::new(device);
    let dir = mounted.path().display();
    sh(&format!("mkdir {dir}/a; head -c 300000 /dev/urandom > {dir}/a/file; echo kept > {dir}/note"));
}

/// The sums of all files there.
fn files(device: &str) -> String {
    let mounted = Mounted::new(device);
    sh(&format!("cd {}; find . -type f -exec sha256sum '{{}}' + | sort", mounted.path().display()))
}

fn uuids(disk: &Disk) -> Vec<String> {
    let table = disk.table();
    let rows = table["partitions"].as_array().expect("partitions").iter();
    rows.map(|row| row["uuid"].as_str().expect("a UUID").to_owned()).collect()
}

#[test]
#[ignore = "needs root and loop devices"]
fn kept_files_are_there_after_the_rest_was_made_anew() {
    let (bench, disk) = (Bench::new(), Disk::new(620));
    let run = |data, keep| {
        bench.run_driver("nailgun", &document::nailgun(spaces(&disk, data, keep), &[]), &["partition"])
    };
    run(40, false).succeeded();
    let (data, logs) = (disk.part(4), disk.part(5));
    fill(&data);
    fill(&logs);
    let (before, table) = (files(&data), uuids(&disk));
    let uuid = disk.tag(4, "UUID");
    run(40, true).succeeded();
    assert_eq!(files(&data), before);
    assert_eq!((uuids(&disk), disk.tag(4, "UUID")), (table, uuid));
    assert_eq!(files(&logs), "", "the logs are made anew");
    assert_unused(&disk);

    // A layout that is not the disk's: nothing is written, and both sides are told.
    let sum = disk.sum();
    run(44, true).failed(&[
        "/ks_meta/pm_data/ks_spaces/0/volumes/1/size",
        "44 MiB",
        "40 MiB",
        "nothing was written",
    ]);
    assert_eq!(disk.sum(), sum);
    // A kept file system that is damaged.
    sh(&format!("debugfs -w -R 'clri <12>' {data}"));
    let sum = disk.sum();
    run(40, true).failed(&["which is to be kept, is damaged", "e2fsck -n -f"]);
    assert_eq!(disk.sum(), sum);
}

/// Runs `partition` for a layout in which the second of three partitions may be kept.
fn partly(bench: &Bench, disk: &Disk, parts: &[(u64, u64, &str)], keep: bool) -> Ended {
    let part = |(number, (begin, end, _)): (u32, &(u64, u64, &str))| {
        json!({
            "name": disk.part(number), "count": number, "device": disk.name, "begin": begin, "end": end,
            "partition_type": "primary", "keep_data": keep && number == 2,
        })
    };
    let fs = |(number, (_, _, kind)): (u32, &(u64, u64, &str))| {
        let mount = match (number, *kind) {
            (1, _) => "/".to_owned(),
            (_, "swap") => "swap".to_owned(),
            _ => format!("/{number}"),
        };
        json!({"device": disk.part(number), "mount": mount, "fs_type": kind, "keep_data": keep && number == 2})
    };
    let partitions: Vec<_> = (1..).zip(parts).map(part).collect();
    let answer = json!({
        "partition_scheme": {
            "parteds": [{"name": disk.name, "label": "gpt", "partitions": partitions}],
            "fss": (1..).zip(parts).map(fs).collect::<Vec<_>>(),
        },
        "image_scheme": [], "grub": {}, "operating_system": {"name": "debian", "major": 12, "minor": 0},
        "skip_partitioning": false,
    });
    let drivers = bench.path("drivers");
    fs::create_dir_all(&drivers).expect("a directory");
    fs::write(drivers.join("answer.json"), answer.to_string()).expect("the answer");
    let script = format!("#!/bin/sh\ncat > /dev/null\ncat {}/answer.json\n", drivers.display());
    let folder = drivers.to_string_lossy();
    // No program runs that another process may have open for writing, as those do that tests beside this one start.
    fs::write(drivers.join("text"), script).expect("the driver");
    sh(&format!("install -m 755 {folder}/text {folder}/own"));
    bench.run_driver("own", &json!({}), &["partition", "--drivers-dir", &folder])
}

#[test]
#[ignore = "needs root and loop devices"]
fn one_partition_stays_while_the_others_of_its_disk_are_made_anew() {
    for sector in [512, 4096] {
        let (bench, disk) = (Bench::new(), Disk::with_sectors(200, sector));
        let first = [(1, 41, "ext4"), (41, 81, "ext4"), (81, 121, "ext4"), (121, 161, "swap")];
        partly(&bench, &disk, &first, false).succeeded();
        for number in [1, 2, 3] {
            fill(&disk.part(number));
        }
        let (data, before) = (disk.part(2), files(&disk.part(2)));
        let (entry, label) = (disk.table()["partitions"][1].clone(), disk.table()["id"].clone());
        let others = [(1, 31, "ext4"), (41, 81, "ext4"), (91, 190, "vfat")];
        if sector == 512 {
            // What would lie over it is refused, before anything goes.
            let sum = disk.sum();
            let over = [(1, 31, "ext4"), (41, 81, "ext4"), (80, 190, "vfat")];
            partly(&bench, &disk, &over, true).failed(&["lies over", "81"]);
            let other = [(1, 31, "ext4"), (43, 81, "ext4"), (91, 190, "ext4")];
            partly(&bench, &disk, &other, true).failed(&["begins at 43 MiB", "has 41 MiB"]);
            assert_eq!(disk.sum(), sum);
        }
        partly(&bench, &disk, &others, true).succeeded();
        let table = disk.table();
        assert_eq!((&table["partitions"][1], &table["id"]), (&entry, &label));
        assert_eq!(files(&data), before);
        let mib = 1_048_576 / u64::from(sector);
        let rows = table["partitions"].as_array().expect("partitions").iter();
        let places: Vec<_> = rows
            .map(|row| {
                (row["start"].as_u64().expect("a start") / mib, row["size"].as_u64().expect("a size") / mib)
            })
            .collect();
        assert_eq!(places, [(1, 30), (41, 40), (91, 99)]);
        assert_eq!(disk.nodes(), [1, 2, 3].map(|number| disk.part(number)));
        assert_eq!(disk.tag(3, "TYPE"), others[2].2);
        assert_eq!(files(&disk.part(1)), "");
        sh(&format!("sfdisk --verify {}", disk.name));
        assert_unused(&disk);
    }
}
