//! Data that stay across a reinstall: on an array, in a group, in a group on an array, beside what is made anew.

use bareon_tests::vm::{
    document,
    machine::{Bus, Firmware},
    scheme::{BOOT, Part, Scheme},
};
use serde_json::{Value, json};

use crate::case::{Case, ok};

const SCRIPT: &str = r#"
exec >/out/said 2>&1
# lay DOCUMENT: lays it out, and answers the status.
lay() {
    bareon-provision --data-driver "${driver:-nailgun_simple}" --drivers-dir /tmp/drivers --input-data-file /tmp/$1.json \
        --log-file /out/$1.log --debug --http-max-retries 1 --report /out/$1.report partition
    echo "lay $1: $?" | tee -a /out/statuses
}
asleep() {
    udevadm settle
    lvm vgchange -qq -an --select 'pv_name!~"vdc"'
    for md in /dev/md[0-9]*; do [ ! -b $md ] || mdadm --stop $md; done
    udevadm settle
}
up() {
    udevadm settle
    [ -b /dev/md0 ] || mdadm --assemble /dev/md0 --run /dev/vda4 /dev/vdb3
    [ -b /dev/md1 ] || mdadm --assemble /dev/md1 --run /dev/vda6 /dev/vdb5
    lvm vgchange -qq -ay --select 'pv_name!~"vdc"'
}
devices="/dev/md0 /dev/mapper/os-a /dev/mapper/os-b /dev/mapper/top-t"
fill() {
    for device in $devices; do
        mount $device /mnt || return 1
        head -c 200000 /dev/urandom >/mnt/file
        echo $device >/mnt/note
        umount /mnt
    done
}
sums() {
    up
    for device in ${2:-$devices}; do
        mount -o ro,noload $device /mnt && (cd /mnt; find . -type f -exec sha256sum {} + | sort | sed "s,^,$device ,"); umount /mnt
    done >/out/$1.sums
    for md in /dev/md0 /dev/md1; do mdadm --detail --export $md | grep UUID; done >/out/$1.uuids
    lvm lvs --noheadings -o vg_uuid,lv_uuid,lv_name -S 'lv_name!=b && lv_name!=bystander' >>/out/$1.uuids
    blkid -p -s PART_ENTRY_UUID -o value /dev/vda4 /dev/vda5 /dev/vda6 /dev/vdb3 /dev/vdb4 /dev/vdb5 >>/out/$1.uuids
}
disks() { sync; sha256sum /dev/vda /dev/vdb; }

lay first; up; fill; sums first
# All that is kept is asleep, or has another name.
asleep; mdadm --assemble /dev/md127 --run /dev/vda4 /dev/vdb3
lay keep; sums keep
# What differs is refused, with nothing written.
asleep; disks >/out/before
lay differs
disks >/out/after
# What only shows once the array runs is refused, too; the volumes are as they were.
lay differs-above
sums differs
# One member is gone.
asleep; mdadm --assemble /dev/md0 --run /dev/vda4 /dev/vdb3; mdadm /dev/md0 --fail /dev/vdb3; asleep
lay keep-degraded; sums degraded
# The rest of the disks is made anew.
asleep; mkdir /tmp/drivers; printf '#!/bin/sh\ncat >/dev/null; cat /tmp/answer.json\n' >/tmp/drivers/own; chmod 755 /tmp/drivers/own
driver=own; lay rest; driver=; up
sums rest "/dev/md0 /dev/mapper/os-a"
lvm lvs --noheadings --units m --nosuffix -o vg_name,lv_name,lv_size >/out/volumes
sfdisk --dump /dev/vda >/out/vda; sfdisk --dump /dev/vdb >/out/vdb
"#;

/// A root, a mirror, a group on two disks, a group on a mirror.
fn layout() -> Scheme {
    let mut scheme = Scheme::default();
    let sizes = [100, 150, 200].map(Part::new);
    let first = scheme.disk("/dev/vda", &[&BOOT[..], &[Part::new(60)], &sizes].concat());
    let second = scheme.disk("/dev/vdb", &[&BOOT[..], &sizes].concat());
    let pair = |one: usize| [first[one].as_str(), second[one - 1].as_str()];
    let srv = scheme.md("/dev/md0", "mirror", "1.2", &pair(3), &[]);
    let below = scheme.md("/dev/md1", "1", "1.2", &pair(5), &[]);
    scheme.group("os", &pair(4));
    let (a, b) = (scheme.volume("os", "a", 80), scheme.volume("os", "b", 60));
    scheme.group("top", &[&below]);
    let top = scheme.volume("top", "t", 90);
    for (device, mount) in [(&first[2], "/"), (&srv, "/srv"), (&a, "/a"), (&b, "/b"), (&top, "/t")] {
        scheme.fs(device, mount, "ext4", "");
    }
    scheme
}

/// The layout with the marks of file systems at `mounts`, and changed.
fn kept(mounts: &[&str], change: impl Fn(&mut Value)) -> Value {
    let mut scheme = layout().value();
    for fs in scheme["fss"].as_array_mut().into_iter().flatten() {
        if mounts.iter().any(|mount| fs["mount"] == *mount) {
            fs["keep_data"] = json!(true);
        }
    }
    change(&mut scheme);
    scheme
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn kept_data_on_arrays_and_volumes_outlive_a_reinstall() {
    let mut case = Case::bare(Firmware::Bios);
    for serial in ["ONE", "TWO"] {
        ok(case.machine.add_disk(Bus::Virtio, serial, 700));
    }
    case.add_bystander();
    let image = [("/", case.images.url("/none.img.gz"))];
    let document = |scheme: Value| {
        let mut document = document::simple(&Scheme::default(), &image, "");
        document["partitioning"] = scheme;
        document
    };
    let all = ["/srv", "/a", "/t"];
    let keep = document(kept(&all, |_| {}));
    let rest = kept(&["/srv", "/a"], |scheme| {
        // The mirror below a group is no more; its partitions become one file system each, and `b` is smaller.
        scheme["mds"].as_array_mut().map(Vec::pop);
        for list in ["vgs", "pvs", "lvs"] {
            scheme[list].as_array_mut().map(Vec::pop);
        }
        scheme["lvs"][1]["size"] = json!(20);
        scheme["fss"].as_array_mut().map(Vec::pop);
        scheme["parteds"][0]["partitions"][5]["end"] = json!(500);
        let six = json!({"device": "/dev/vda6", "mount": "/six", "fs_type": "ext4", "fs_label": "six"});
        scheme["fss"].as_array_mut().expect("a list").push(six);
    });
    let answer = json!({
        "partition_scheme": rest, "image_scheme": [], "grub": {}, "skip_partitioning": false,
        "operating_system": {"name": "debian", "major": 12, "minor": 0},
    });
    let differs = document(kept(&all, |scheme| scheme["lvs"][0]["size"] = json!(100)));
    let above = document(kept(&all, |scheme| {
        scheme["lvs"][2]["name"] = json!("other");
        scheme["fss"][4]["device"] = json!("/dev/mapper/top-other");
    }));
    let documents = [
        ("first.json", document(layout().value())),
        ("keep.json", keep.clone()),
        ("keep-degraded.json", keep),
        ("differs.json", differs),
        ("differs-above.json", above),
        ("rest.json", json!({})),
        ("answer.json", answer),
    ];
    let documents: Vec<_> = documents.iter().map(|(name, document)| (*name, document)).collect();
    let outcome = case.run_with("keep", &documents, SCRIPT);
    let said = outcome.file("said");
    assert_eq!(outcome.status, 0, "{said}");
    let statuses = outcome.file("statuses");
    let expected = [
        ("first", 0),
        ("keep", 0),
        ("differs", 255),
        ("differs-above", 255),
        ("keep-degraded", 0),
        ("rest", 0),
    ];
    let expected: Vec<_> = expected.iter().map(|(name, status)| format!("lay {name}: {status}\n")).collect();
    let expected = expected.concat();
    assert_eq!(statuses, expected, "{said}");
    for words in
        ["the layout says 100 MiB, the disk has 80 MiB", "a volume other in top, the disk has these: t"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(outcome.file("before"), outcome.file("after"), "{said}");

    // The root waits for its image; `b` was made anew by each run that kept the others.
    let sums = |name: &str, devices: &[&str]| -> Vec<String> {
        let of = |line: &&str| devices.iter().any(|device| line.starts_with(&format!("{device} ")));
        outcome.file(&format!("{name}.sums")).lines().filter(of).map(ToOwned::to_owned).collect()
    };
    let stay = ["/dev/md0", "/dev/mapper/os-a", "/dev/mapper/top-t"];
    let first = sums("first", &stay);
    assert_eq!(first.len(), 6, "{said}");
    for name in ["keep", "differs", "degraded"] {
        assert_eq!(sums(name, &stay), first, "{name}: {said}");
        assert_eq!(outcome.file(&format!("{name}.uuids")), outcome.file("first.uuids"), "{name}: {said}");
        assert!(sums(name, &["/dev/mapper/os-b"]).is_empty(), "{name}: {said}");
    }
    assert_eq!(sums("rest", &stay[..2]), sums("first", &stay[..2]), "{said}");
    let volumes = outcome.file("volumes");
    let volumes: Vec<Vec<_>> = volumes.lines().map(|line| line.split_whitespace().collect()).collect();
    let ours: Vec<_> = volumes.iter().filter(|row| row[1] != "bystander").collect();
    assert_eq!(ours, [&["os", "a", "80.00"], &["os", "b", "20.00"]], "{said}");
}
