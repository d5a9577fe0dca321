//! What is kept and differs, one difference after the other, of a machine that is as the layout has it.

use bareon_host::Script;
use serde_json::{Value, json};

use super::{kept, refusals};
use crate::{
    drivers::{self, Deployment, Facts},
    hardware::{
        BlockDevice, Machine,
        content::Content,
        stack::{Array, Group, Lv, Pv, Stack},
    },
    objects::{Bytes, Image, Mib},
    plan::{Action, Step, layout_steps},
    steps::bootloader::Firmware,
};

const LINUX: &str = "0fc63daf-8483-4772-8e79-3d69d8477de4";
const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
const BIOS_BOOT: &str = "21686148-6449-6e6f-744e-656564454649";

/// Number, begin, end, flags of the partitions of the first disk; the second has one.
const PARTITIONS: [(u32, u64, u64, &str); 6] = [
    (1, 1, 25, "bios_grub"),
    (2, 25, 225, "esp"),
    (3, 225, 425, ""),
    (4, 425, 825, ""),
    (5, 825, 1025, ""),
    (6, 1025, 1225, ""),
];

/// A root that is made anew beside kept data on a partition, an array and a volume.
fn deployment() -> Deployment {
    let part = |disk: &str, (number, begin, end, flag): (u32, u64, u64, &str)| {
        let flags: Vec<_> = Some(flag).filter(|flag| !flag.is_empty()).into_iter().collect();
        json!({
            "name": format!("{disk}{number}"), "count": number, "device": disk, "begin": begin, "end": end,
            "partition_type": "primary", "flags": flags,
        })
    };
    let fs = |device: &str, mount: &str, fs_type: &str, keep: bool| json!({"device": device, "mount": mount, "fs_type": fs_type, "keep_data": keep});
    let document = json!({
        "profile": "debian_12", "hostname": "n", "name_servers": "", "name_servers_search": "",
        "interfaces": {"eth0": {"mac_address": "52:54:00:12:34:56", "ip_address": "1.2.3.4", "netmask": "255.0.0.0"}},
        "kernel_options": {"netcfg/choose_interface": "52:54:00:12:34:56", "udevrules": ""},
        "ks_meta": {
            "auth_key": "k", "master_ip": "1.2.3.5", "pm_data": {"kernel_params": ""},
            "image_data": {"/": {"uri": "http://h/i.img.gz", "format": "ext4", "container": "gzip"}},
        },
        "partitioning": {
            "parteds": [
                {"name": "/dev/sda", "label": "gpt", "install_bootloader": true,
                 "partitions": PARTITIONS.map(|row| part("/dev/sda", row))},
                {"name": "/dev/sdb", "label": "gpt", "partitions": [part("/dev/sdb", (1, 1, 201, ""))]},
            ],
            "mds": [{"name": "/dev/md0", "level": "mirror", "devices": ["/dev/sda5", "/dev/sdb1"], "metadata": "1.2"}],
            "pvs": [{"name": "/dev/sda6", "metadatasize": 28}],
            "vgs": [{"name": "os", "pvnames": ["/dev/sda6"]}],
            "lvs": [{"name": "a", "vgname": "os", "size": 50}, {"name": "b", "vgname": "os", "size": 40}],
            "fss": [
                fs("/dev/sda3", "/", "ext4", false), fs("/dev/sda4", "/data", "xfs", true),
                fs("/dev/md0", "/srv", "ext4", true), fs("/dev/mapper/os-a", "/a", "ext4", true),
                fs("/dev/mapper/os-b", "/b", "xfs", false),
            ],
        },
    });
    let devices = machine().devices;
    let host = Script::default();
    let facts = Facts {
        devices: &devices,
        image_metadata: &|_| None,
        prepare_configdrive: true,
        configdrive_exists: false,
    };
    let driver = drivers::find("nailgun_simple", std::path::Path::new("/nonexistent"), &host).unwrap();
    driver.read(&document, &facts).unwrap()
}

/// The machine that this layout was made on.
fn machine() -> Machine {
    let disk = |name: &str| -> BlockDevice {
        serde_json::from_value(json!({"device": name, "size": 2000_u64 << 20, "bspec": {"ss": "512"}}))
            .unwrap()
    };
    let table = |disk: &str| Content {
        disk: disk.into(),
        device: disk.into(),
        kind: Some("gpt".into()),
        size: Bytes(2000 << 20),
        ..Content::default()
    };
    let part = |disk: &str, number: u32, begin: u64, end: u64, kind: Option<&str>, guid: &str| Content {
        disk: disk.into(),
        device: format!("{disk}{number}"),
        kind: kind.map(Into::into),
        size: Mib(end - begin).bytes(),
        start: Some(Mib(begin).bytes()),
        part_type: Some(guid.into()),
        ..Content::default()
    };
    let kinds =
        [None, Some("vfat"), Some("ext4"), Some("xfs"), Some("linux_raid_member"), Some("LVM2_member")];
    let guids = [BIOS_BOOT, ESP, LINUX, LINUX, LINUX, LINUX];
    let mut machine = Machine::recorded(vec![disk("/dev/sda"), disk("/dev/sdb")]);
    machine.contents.push(table("/dev/sda"));
    for (((number, begin, end, _), kind), guid) in PARTITIONS.into_iter().zip(kinds).zip(guids) {
        machine.contents.push(part("/dev/sda", number, begin, end, kind, guid));
    }
    machine.contents.push(table("/dev/sdb"));
    machine.contents.push(part("/dev/sdb", 1, 1, 201, Some("linux_raid_member"), LINUX));
    let lv = |name: &str, mib: u64| Lv {
        name: name.into(),
        uuid: format!("lv-{name}"),
        size: Mib(mib).bytes(),
        device: format!("/dev/mapper/os-{name}"),
        active: false,
    };
    machine.stack = Stack {
        arrays: vec![Array {
            uuid: Some("u:u:i:d".into()),
            device: Some("/dev/md127".into()),
            level: "raid1".into(),
            metadata: "1.2".into(),
            raid_devices: 2,
            members: vec!["/dev/sdb1".into(), "/dev/sda5".into()],
            active: true,
            degraded: false,
            size: None,
        }],
        groups: vec![Group {
            name: "os".into(),
            uuid: "vg-uuid".into(),
            extent: Bytes(4 << 20),
            extents: 35,
            free: 2,
            pvs: vec![Pv { device: Some("/dev/sda6".into()), uuid: "pv".into(), size: Bytes(140 << 20) }],
            lvs: vec![lv("a", 52), lv("b", 40), lv("other", 40)],
        }],
    };
    machine
}

fn refused(deployment: &Deployment, machine: &Machine) -> Vec<String> {
    let mut found = Vec::new();
    for refusal in refusals(deployment, machine, Firmware::Both) {
        let message = refusal.mistake.to_string();
        if !found.contains(&message) {
            found.push(message);
        }
    }
    found
}

fn whole() -> Deployment {
    let deployment = deployment();
    assert!(deployment.skip_partitioning);
    deployment
}

type Change = fn(&mut Deployment, &mut Machine);

/// Each change, where it is told, and what is told: what the layout says, and what is there.
fn changes() -> Vec<(Change, &'static str, &'static [&'static str])> {
    fn on<'a>(machine: &'a mut Machine, device: &str) -> &'a mut Content {
        machine.contents.iter_mut().find(|content| content.device == device).unwrap()
    }
    vec![
        (|_, m| on(m, "/dev/sda").kind = Some("dos".into()), "parteds/0/label", &["kind gpt", "has dos"]),
        (|_, m| on(m, "/dev/sda").kind = None, "parteds/0/label", &["kind gpt", "has none"]),
        (
            |_, m| m.contents.retain(|on| on.device != "/dev/sda3"),
            "parteds/0/partitions/2",
            &["a partition of that number", "/dev/sda1, /dev/sda2, /dev/sda4"],
        ),
        (
            |_, m| on(m, "/dev/sda3").start = Some(Mib(227).bytes()),
            "parteds/0/partitions/2/begin",
            &["begins at 225 MiB", "227 MiB"],
        ),
        (
            |_, m| on(m, "/dev/sda4").size = Mib(398).bytes(),
            "parteds/0/partitions/3/end",
            &["size of 400 MiB", "398 MiB"],
        ),
        (
            |_, m| on(m, "/dev/sda1").part_type = Some(LINUX.into()),
            "parteds/0/partitions/0/guid",
            &["21686148-6449-6E6F-744E-656564454649", LINUX, "sfdisk --part-type /dev/sda 1 21686148"],
        ),
        (
            |d, _| d.partition_scheme.parteds[0].partitions[3].guid = Some(ESP.into()),
            "parteds/0/partitions/3/guid",
            &["C12A7328", LINUX],
        ),
        (
            |_, m| on(m, "/dev/sda4").kind = Some("ext4".into()),
            "fss/1/fs_type",
            &["file system of type xfs", "has ext4"],
        ),
        (|_, m| on(m, "/dev/sda4").kind = None, "fss/1/fs_type", &["xfs", "nothing that is known"]),
        (|_, m| m.stack.arrays.clear(), "mds/0", &["an array of /dev/sda5, /dev/sdb1", "no array"]),
        (|_, m| m.stack.arrays[0].level = "raid0".into(), "mds/0/level", &["raid1", "has raid0"]),
        (|_, m| m.stack.arrays[0].metadata = "0.90".into(), "mds/0/metadata", &["version 1.2", "0.90"]),
        (|_, m| m.stack.arrays[0].raid_devices = 3, "mds/0/devices", &["2 members", "has 3"]),
        (
            |_, m| drop(m.stack.arrays[0].members.pop()),
            "mds/0/devices",
            &["members /dev/sda5, /dev/sdb1", "has /dev/sdb1"],
        ),
        (|_, m| m.stack.arrays[0].members.push("/dev/sdz1".into()), "mds/0/devices", &["/dev/sdz1"]),
        (
            |_, m| {
                let device = Some("/dev/md0".into());
                let members = vec!["/dev/sdy1".into()];
                m.stack.arrays.push(Array { device, members, ..m.stack.arrays[0].clone() });
            },
            "mds/0/name",
            &["another array there, of /dev/sdy1", "mdadm --stop /dev/md0"],
        ),
        (|_, m| m.stack.groups.clear(), "vgs/0", &["a group on /dev/sda6", "no group"]),
        (
            |_, m| m.stack.groups[0].name = "data".into(),
            "vgs/0/name",
            &["the name os", "has data", "vgrename vg-uuid os"],
        ),
        (
            |_, m| {
                m.stack.groups[0].pvs.push(Pv { device: None, uuid: "gone".into(), size: Bytes(1) });
            },
            "vgs/0/pvnames",
            &["physical volumes on /dev/sda6", "others that are missing"],
        ),
        (|_, m| drop(m.stack.groups[0].lvs.remove(0)), "lvs/0", &["a volume a in os", "these: b, other"]),
        (|_, m| m.stack.groups[0].lvs[0].size = Mib(56).bytes(), "lvs/0/size", &["50 MiB", "56 MiB"]),
        (
            |d, _| {
                let image: Value = json!({"uri": "http://h/d", "target_device": "/dev/sda4", "format": "xfs", "container": "raw"});
                d.image_scheme.push(serde_json::from_value::<Image>(image).unwrap());
            },
            "/image_scheme/1/target_device",
            &["is to be kept, and the image would overwrite it"],
        ),
    ]
}

#[test]
fn a_machine_that_is_as_the_layout_has_it_is_not_refused() {
    let (deployment, mut machine) = (whole(), machine());
    assert_eq!(refused(&deployment, &machine), Vec::<String>::new());
    // Older tools put partitions elsewhere within a MiB; a degraded array is one all the same.
    machine.contents[4].start = Some(Bytes((425 << 20) + 512));
    machine.contents[4].size = Bytes((400 << 20) - 17 * 512);
    machine.stack.arrays[0].degraded = true;
    machine.stack.arrays[0].members.pop();
    assert_eq!(refused(&deployment, &machine), Vec::<String>::new());
}

#[test]
fn each_difference_is_refused_at_its_place_with_both_sides() {
    for (i, (change, path, words)) in changes().into_iter().enumerate() {
        let (mut deployment, mut machine) = (whole(), machine());
        change(&mut deployment, &mut machine);
        let found = refused(&deployment, &machine);
        assert_eq!(found.len(), 1, "{i}: {found:#?}");
        for word in words.iter().chain([&path]) {
            assert!(found[0].contains(word), "{i}: {word:?}: {}", found[0]);
        }
    }
}

#[test]
fn what_cannot_be_seen_yet_is_left_to_the_run() {
    let (mut deployment, mut machine) = (whole(), machine());
    // The group lies on the array, which nobody assembled.
    deployment.partition_scheme.vgs[0].pvnames = vec!["/dev/md0".into()];
    machine.stack.arrays[0].active = false;
    machine.stack.groups.clear();
    assert_eq!(refused(&deployment, &machine), Vec::<String>::new());
    // It runs, under another name, and there is no group.
    machine.stack.arrays[0].active = true;
    assert!(refused(&deployment, &machine)[0].contains("a group on /dev/md127"));
}

fn shown(steps: &[Step]) -> Vec<String> {
    let mut lines = Vec::new();
    for step in steps {
        lines.extend(step.commands().iter().map(|line| line.lines().next().unwrap_or_default().to_owned()));
    }
    lines
}

#[test]
fn where_all_structure_stays_only_file_systems_are_made() {
    let (deployment, machine) = (whole(), machine());
    let check = super::check(&deployment, &machine, &kept(&deployment)).unwrap();
    assert_eq!(
        shown(&[check]),
        [
            "mdadm --stop /dev/md127",
            "mdadm --assemble /dev/md0 --run --uuid=u:u:i:d /dev/sdb1 /dev/sda5",
            "lvm vgchange --devices /dev/sda6 --activate y --select vg_uuid=vg-uuid",
            "blkid -p -o export /dev/sda4",
            "xfs_repair -n /dev/sda4",
            "blkid -p -o export /dev/md0",
            "e2fsck -n -f /dev/md0",
            "blkid -p -o export /dev/mapper/os-a",
            "e2fsck -n -f /dev/mapper/os-a",
        ]
    );
    let made = layout_steps(&deployment, &machine, Firmware::Both, &kept(&deployment));
    // The root's image is yet to come; the EFI system partition is FAT already.
    assert_eq!(shown(&made), ["mkfs.xfs -q -f /dev/mapper/os-b", "udevadm settle --timeout=120"]);
}

#[test]
fn one_partition_stays_while_the_others_of_its_disk_are_made_anew() {
    let (mut deployment, mut machine) = (whole(), machine());
    deployment.skip_partitioning = false;
    let made = layout_steps(&deployment, &machine, Firmware::Both, &kept(&deployment));
    let tables: Vec<_> = made
        .iter()
        .filter_map(|step| match &step.action {
            Action::LayOut(disk) => {
                let numbers: Vec<_> = disk.table.partitions.iter().map(|entry| entry.number).collect();
                Some((disk.table.disk.as_str(), disk.change.clone(), numbers))
            }
            _ => None,
        })
        .collect();
    // The members of the array and the group's volume stay; nothing changes on the second disk.
    assert_eq!(tables, [("/dev/sda", Some(vec![1, 2, 3]), vec![1, 2, 3])]);
    let lines = shown(&made);
    for line in [
        "lvm lvremove --devices /dev/sda6 --yes --force os/b",
        "lvm lvcreate --devices /dev/sda6 --yes --wipesignatures y --zero y --extents 10 --name b os",
        "mkfs.xfs -q -f /dev/mapper/os-b",
    ] {
        assert!(lines.contains(&line.to_owned()), "{lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("mdadm") || line.contains("pvcreate")), "{lines:#?}");
    assert_eq!(refused(&deployment, &machine), Vec::<String>::new());
    // More than what goes and what is free.
    deployment.partition_scheme.lvs[1].size = Mib(49);
    assert!(
        refused(&deployment, &machine)[0].contains("need 13 extents, and the kept group os has room for 12")
    );
    deployment.partition_scheme.lvs[1].size = Mib(48);
    // A new one would lie over a kept one, which begins a little earlier than the layout says.
    machine.contents[4].start = Some(Bytes((425 << 20) - 512));
    let found = refused(&deployment, &machine);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("parteds/0/partitions/2/begin"), "{found:#?}");
    assert!(found[0].contains("let it end at 424 MiB or before"), "{found:#?}");
}
