//! Every layout over what every other left behind, itself included: active, asleep or half destroyed.

use std::collections::BTreeMap;

use bareon_tests::vm::{
    document,
    found::Found,
    machine::{Bus, Firmware},
    scheme::{BOOT, Part, Scheme},
};
use serde_json::Value;

use crate::case::{Case, ok};

const DISKS: [&str; 4] = ["/dev/vda", "/dev/vdb", "/dev/vdc", "/dev/vdd"];

/// What is done to a layout before the next one comes; `$disk` is one of its disks.
const DAMAGES: [(&str, &str); 8] = [
    ("nothing", ":"),
    ("all asleep", "sleep_all"),
    ("a table gone, all active", "sfdisk --delete $disk; wipefs -qaf $disk"),
    (
        "the begin of a disk gone, all asleep",
        "sleep_all; dd if=/dev/zero of=$disk bs=1M count=4; partx -u $disk",
    ),
    ("members failed", "for md in /dev/md[0-9]; do mdadm $md --fail $(member $md); done"),
    ("members without superblocks", "sleep_all; for part in ${disk}?; do wipefs -qaf $part; done"),
    ("arrays half assembled", "sleep_all; for part in ${disk}?; do mdadm --incremental $part; done"),
    ("some volumes asleep", "lvchange -an os/root; mdadm --stop /dev/md1"),
];

const SCRIPT: &str = r#"
sleep_all() {
    lvm vgchange -an --select 'pv_name!~"vde"'
    for md in /dev/md[0-9]; do [ -b $md ] && mdadm --stop $md; done
    udevadm settle
}
member() { mdadm --detail --export $1 2>/dev/null | sed -n 's/^MD_DEVICE_.*_DEV=//p' | head -n 1; }
# lay NUMBER DOCUMENT DISK DAMAGE
lay() {
    disk=$3
    (eval "$4") >/out/$1.damage 2>&1
    udevadm settle
    cat /proc/mdstat >>/out/$1.damage
    bareon-provision --data-driver nailgun_simple --input-data-file /tmp/$2.json --log-file /out/$1.log --debug \
        --http-max-retries 1 --report /out/$1.json partition 2>/out/$1.said
    echo $? >/out/$1.status
    nothing_left >/out/$1.left 2>&1 || echo left >/out/$1.status
    read_back $1.found
}
"#;

fn plain() -> Scheme {
    let mut scheme = Scheme::default();
    for (disk, kinds) in
        DISKS.iter().zip([["ext4", "xfs"], ["swap", "btrfs"], ["ext2", "vfat"], ["ext3", "ext4"]])
    {
        let parts = scheme.disk(disk, &[BOOT[0], Part::new(100), Part::new(320)]);
        for (part, kind) in parts[1..].iter().zip(kinds) {
            let letter = &disk[disk.len() - 1..];
            let mount = match (kind, letter) {
                ("swap", _) => "swap".to_owned(),
                ("ext4", "a") => "/".to_owned(),
                _ => format!("/srv/{letter}{kind}"),
            };
            scheme.fs(part, &mount, kind, "");
        }
    }
    scheme
}

/// Lays `parts` behind GRUB's on each disk and answers the nodes of each place on all of them.
fn alike(scheme: &mut Scheme, parts: &[Part]) -> Vec<Vec<String>> {
    let disks = DISKS.map(|disk| scheme.disk(disk, &[&BOOT[..1], parts].concat()));
    (1..=parts.len()).map(|place| disks.iter().map(|disk| disk[place].clone()).collect()).collect()
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

fn arrays() -> Scheme {
    let mut scheme = Scheme::default();
    let sizes = [50, 60, 60, 50, 50, 100].map(Part::new);
    let parts = alike(&mut scheme, &sizes);
    scheme.md("/dev/md0", "mirror", "0.90", &refs(&parts[0]), &[]);
    scheme.md("/dev/md1", "10", "default", &refs(&parts[1]), &[]);
    scheme.md("/dev/md2", "5", "default", &refs(&parts[2])[..3], &refs(&parts[2])[3..]);
    scheme.md("/dev/md3", "6", "1.2", &refs(&parts[3]), &[]);
    scheme.md("/dev/md4", "4", "1.0", &refs(&parts[4])[1..], &[]);
    scheme.md("/dev/md5", "raid0", "default", &refs(&parts[5]), &[]);
    scheme.fs("/dev/md0", "/boot", "ext2", "");
    scheme.fs("/dev/md1", "/", "ext4", "");
    scheme.fs("/dev/md2", "/srv/five", "ext4", "five");
    scheme.fs("/dev/md3", "/srv/six", "ext2", "six");
    scheme.fs("/dev/md4", "swap", "swap", "");
    scheme.fs("/dev/md5", "/srv/striped", "xfs", "striped");
    scheme
}

/// A group on plain partitions, another on mirrors.
fn groups() -> Scheme {
    let mut scheme = Scheme::default();
    let parts = alike(&mut scheme, &[Part::new(50), Part::new(120), Part::new(220)]);
    scheme.md("/dev/md0", "1", "1.0", &refs(&parts[0]), &[]);
    scheme.md("/dev/md1", "1", "default", &refs(&parts[2])[..2], &[]);
    scheme.md("/dev/md2", "1", "default", &refs(&parts[2])[2..], &[]);
    scheme.group("os", &["/dev/md1", "/dev/md2"]);
    let root = scheme.volume("os", "root", 300);
    let swap = scheme.volume("os", "swap", 64);
    scheme.group("my-data", &refs(&parts[1])[1..]);
    let data = scheme.volume("my-data", "all", 310);
    scheme.fs("/dev/md0", "/boot", "ext2", "");
    scheme.fs(&root, "/", "ext4", "");
    scheme.fs(&swap, "swap", "swap", "");
    scheme.fs(&data, "/srv", "xfs", "data");
    scheme.fs(&parts[1][0], "/srv/plain", "ext2", "");
    scheme
}

fn master_boot_records() -> Scheme {
    let mut scheme = Scheme::default();
    let parts = [Part::flag(60, "boot"), Part::extended(360), Part::logical(150), Part::logical(120)];
    let disks = DISKS.map(|disk| scheme.dos_disk(disk, &parts));
    let all = |place: usize| disks.iter().map(|disk| disk[place].as_str()).collect::<Vec<_>>();
    scheme.md("/dev/md0", "1", "0.90", &all(0), &[]);
    scheme.md("/dev/md1", "10", "default", &all(2), &[]);
    scheme.group("os", &all(3));
    let srv = scheme.volume("os", "srv", 400);
    scheme.fs("/dev/md0", "/boot", "ext2", "");
    scheme.fs("/dev/md1", "/", "ext4", "");
    scheme.fs(&srv, "/srv", "ext4", "");
    scheme
}

/// A walk that goes from each of `count` layouts to each, itself included, once: an Eulerian circuit.
fn walk(count: usize) -> Vec<usize> {
    let mut left = vec![(0..count).rev().collect::<Vec<_>>(); count];
    let (mut open, mut done) = (vec![0], Vec::new());
    while let Some(&at) = open.last() {
        match left[at].pop() {
            Some(next) => open.push(next),
            None => done.extend(open.pop()),
        }
    }
    done.reverse();
    done
}

#[test]
fn the_walk_goes_over_every_pair_once() {
    let walk = walk(4);
    let pairs: std::collections::BTreeSet<_> = walk.windows(2).map(|pair| (pair[0], pair[1])).collect();
    assert_eq!((walk.len(), pairs.len()), (17, 16));
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn each_layout_over_the_leftovers_of_each() {
    let mut case = Case::bare(Firmware::Bios);
    case.machine.assembles = true;
    for serial in ["ONE", "TWO", "THREE", "FOUR"] {
        ok(case.machine.add_disk(Bus::Virtio, serial, 448));
    }
    case.add_bystander();
    let layouts = [
        ("plain", plain()),
        ("arrays", arrays()),
        ("groups", groups()),
        ("master-boot-records", master_boot_records()),
    ];
    // No image is fetched, nor looked up how large it is.
    let image = [("/", case.images.url("/none.img.gz"))];
    let documents: Vec<_> = layouts
        .iter()
        .map(|(name, scheme)| (format!("{name}.json"), document::simple(scheme, &image, "")))
        .collect();
    let documents: Vec<_> = documents.iter().map(|(name, document)| (name.as_str(), document)).collect();
    let steps: Vec<_> = walk(layouts.len())
        .into_iter()
        .enumerate()
        .map(|(number, layout)| {
            let (damage, commands) = if number == 0 { DAMAGES[0] } else { DAMAGES[number % DAMAGES.len()] };
            (format!("{number:02}-{}", layouts[layout].0), layout, damage, DISKS[number % 4], commands)
        })
        .collect();
    let lines = steps.iter().map(|(name, layout, _, disk, commands)| {
        format!("lay {name} {} {disk} '{commands}'\n", layouts[*layout].0)
    });
    let outcome = case.run_with("walk", &documents, &format!("{SCRIPT}{}", lines.collect::<String>()));
    assert_eq!(outcome.status, 0, "{outcome}");
    let mut bad = BTreeMap::new();
    for (name, layout, damage, ..) in &steps {
        let mut wrong = Vec::new();
        if outcome.file(&format!("{name}.status")).trim() != "0" {
            wrong.extend(["said", "left"].map(|what| outcome.file(&format!("{name}.{what}"))));
        }
        let found = ok(Found::read(&outcome.dir.join(format!("{name}.found"))));
        wrong.extend(found.differences(&layouts[*layout].1.value(), &["/"]));
        if !wrong.is_empty() {
            bad.insert(format!("{name} after {damage}"), wrong);
        }
    }
    assert!(bad.is_empty(), "of {}, these failed: {bad:#?}", steps.len());
    let took = |name: &str| {
        let report: Value = ok(serde_json::from_str(&outcome.file(&format!("{name}.json"))));
        report["ms"].as_u64().unwrap_or_default()
    };
    let took: Vec<_> = steps.iter().map(|(name, ..)| took(name)).collect();
    eprintln!("{} runs in {:?}; milliseconds of each: {took:?}", steps.len(), outcome.took);
}
