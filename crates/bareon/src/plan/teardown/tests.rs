use serde_json::json;

use super::{Planned, blocks, of};
use crate::{
    drivers::Origins,
    hardware::{
        Machine, Stack,
        content::Content,
        stack::{Array, Group, Lv, Pv},
        usage::{Holder, Use},
    },
    objects::{Bytes, PartitionScheme},
    steps::teardown::Level,
};

fn array(device: &str, level: &str, members: &[&str]) -> Array {
    Array {
        uuid: Some(format!("uuid of {device}")),
        device: Some(device.into()).filter(|_| !device.is_empty()),
        level: level.into(),
        metadata: "1.2".into(),
        raid_devices: 2,
        members: members.iter().map(ToString::to_string).collect(),
        active: true,
        degraded: false,
        size: None,
    }
}

fn group(name: &str, uuid: &str, pvs: &[&str], active: bool) -> Group {
    let pv = |device: &&str| Pv {
        device: Some((*device).to_owned()).filter(|device| !device.is_empty()),
        uuid: "p".into(),
        size: Bytes(1),
    };
    let device = format!("/dev/mapper/{name}-lv");
    let lv = Lv { name: "lv".into(), uuid: "l".into(), size: Bytes(1), device, active };
    Group {
        name: name.into(),
        uuid: uuid.into(),
        extent: Bytes(4 << 20),
        extents: 1,
        free: 0,
        pvs: pvs.iter().map(pv).collect(),
        lvs: vec![lv],
    }
}

/// A machine with the disks `sda` to `sdd`, each with a table and two partitions, and `stack` on them.
fn machine(arrays: Vec<Array>, groups: Vec<Group>) -> Machine {
    let mut machine = Machine::default();
    let content = |disk: &str, device: String, kind: &str| Content {
        disk: disk.into(),
        device,
        kind: Some(kind.into()),
        size: Bytes(1),
        ..Content::default()
    };
    for disk in ["/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdd"] {
        machine.contents.push(content(disk, disk.into(), "gpt"));
        for number in 1..3 {
            machine.contents.push(content(disk, format!("{disk}{number}"), "ext4"));
        }
    }
    machine.stack = Stack { arrays, groups };
    machine
}

/// A layout of these disks.
fn layout(disks: &[&str]) -> PartitionScheme {
    let parted = |disk: &&str| json!({"name": disk, "label": "gpt"});
    serde_json::from_value(json!({"parteds": disks.iter().map(parted).collect::<Vec<_>>()})).unwrap()
}

fn planned(scheme: &PartitionScheme, machine: &Machine, skip_md_containers: bool) -> Planned {
    of(scheme, &Origins::default(), machine, skip_md_containers)
}

fn levels(disks: &[&str], machine: &Machine) -> Vec<Level> {
    let planned = planned(&layout(disks), machine, true);
    assert!(planned.refusals.is_empty(), "{:?}", planned.refusals);
    planned.step.unwrap().levels
}

fn level(wiped: &[&str], groups: &[&str], arrays: &[&str]) -> Level {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    Level { wiped: owned(wiped), groups: owned(groups), arrays: owned(arrays) }
}

const BOTH: [&str; 2] = ["/dev/sda", "/dev/sdb"];

#[test]
fn what_lies_on_top_ends_first_whatever_it_is() {
    let machine = machine(
        vec![
            array("/dev/md0", "raid1", &["/dev/sda1", "/dev/sdb1"]),
            // An array over volumes of a group, and one that nothing lies on.
            array("/dev/md9", "raid0", &["/dev/mapper/low-lv"]),
            array("/dev/md1", "raid1", &["/dev/sda2", "/dev/sdb2"]),
        ],
        vec![
            group("low", "u-1", &["/dev/md0"], true),
            group("top", "u-2", &["/dev/md9p1"], true),
            group("off", "u-3", &["/dev/md9p2"], false),
        ],
    );
    assert_eq!(
        levels(&BOTH, &machine),
        [
            level(&["/dev/md1"], &["u-2"], &["/dev/md1"]),
            level(&["/dev/md9"], &[], &["/dev/md9"]),
            level(&["/dev/mapper/low-lv"], &["u-1"], &[]),
            level(&["/dev/md0"], &[], &["/dev/md0"]),
        ]
    );
}

#[test]
fn the_commands_are_few_and_wipe_partitions_before_their_disk() {
    let machine = machine(
        vec![array("/dev/md0", "raid1", &["/dev/sda1", "/dev/sdb1"])],
        vec![group("os", "u-1", &["/dev/sda2", "/dev/sdb2"], true), group("os", "u-2", &["/dev/md0"], true)],
    );
    let step = planned(&layout(&BOTH), &machine, true).step.unwrap();
    let lines: Vec<_> = step.commands().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "lvm vgchange --activate n --select 'vg_uuid=u-1||vg_uuid=u-2'",
            "wipefs --all --force --quiet /dev/md0",
            "mdadm --stop /dev/md0",
            "wipefs --all --force --quiet /dev/sda1 /dev/sda2 /dev/sdb1 /dev/sdb2 /dev/sda /dev/sdb",
        ]
    );
    assert_eq!(
        step.what(),
        "take down what lies on /dev/sda, /dev/sdb: 2 volume groups, 1 array, 6 devices with signatures"
    );
}

#[test]
fn what_is_not_up_or_broken_is_not_started_for_its_end() {
    let mut inactive = array("/dev/md127", "raid5", &["/dev/sda1"]);
    inactive.active = false;
    let unassembled = array("", "raid1", &["/dev/sdb1", "/dev/sdb2"]);
    let partial = group("gone", "u-1", &["/dev/sda2", ""], true);
    let off = group("off", "u-2", &["/dev/sdb"], false);
    let machine = machine(vec![inactive, unassembled], vec![partial, off]);
    assert_eq!(levels(&BOTH, &machine), [level(&[], &["u-1"], &["/dev/md127"])]);
}

#[test]
fn other_disks_are_neither_touched_nor_in_the_way() {
    let machine = machine(
        vec![array("/dev/md5", "raid1", &["/dev/sdc1", "/dev/sdd1"])],
        vec![group("os", "u-1", &["/dev/sdc2"], true)],
    );
    let planned = planned(&layout(&["/dev/sda"]), &machine, true);
    assert!(planned.refusals.is_empty());
    let step = planned.step.unwrap();
    assert!(step.levels.is_empty());
    assert_eq!(step.wiped, ["/dev/sda1", "/dev/sda2", "/dev/sda"]);
}

#[test]
fn a_name_that_others_have_is_freed_where_that_writes_nothing_and_refused_where_it_would() {
    let scheme = serde_json::from_value(json!({
        "parteds": [{"name": "/dev/sda", "label": "gpt"}],
        "vgs": [{"name": "os", "pvnames": ["/dev/md0"]}],
        "mds": [{"name": "/dev/md0", "level": "0", "devices": ["/dev/sda1", "/dev/sda2"]}],
    }))
    .unwrap();
    let groups = |active: bool| {
        let others = group("data", "another name", &["/dev/sdc2"], true);
        vec![group("os", "ours", &["/dev/sda1"], true), group("os", "other", &["/dev/sdc1"], active), others]
    };
    let planned_with = |array: &str, members: &[&str], active: bool| {
        planned(&scheme, &machine(vec![self::array(array, "raid1", members)], groups(active)), true)
    };
    let up = planned_with("/dev/md5", &["/dev/sdd1"], true);
    let expected = [level(&[], &["other"], &[]), level(&[], &["ours"], &[])];
    assert_eq!(up.step.unwrap().levels, expected);
    assert!(up.refusals.is_empty());
    let asleep = planned_with("/dev/md5", &["/dev/sdd1"], false);
    assert_eq!(asleep.step.unwrap().levels, expected[1..]);
    let taken = planned_with("/dev/md0", &["/dev/sdd1", "/dev/sdd2"], false);
    let told = taken.refusals[0].mistake.to_string();
    assert!(told.contains("/dev/sdd1, /dev/sdd2") && told.contains("mdadm --stop /dev/md0"), "{told}");
    assert!(planned_with("/dev/md0", &["/dev/sda2"], false).refusals.is_empty());
}

#[test]
fn what_reaches_onto_a_disk_that_is_not_named_is_refused_with_that_disk() {
    let machine = machine(
        vec![array("/dev/md0", "raid1", &["/dev/sda1", "/dev/sdc1"])],
        vec![group("os", "u-1", &["/dev/sdb2", "/dev/sdd"], true), group("deep", "u-2", &["/dev/md0"], true)],
    );
    let refusals = planned(&layout(&BOTH), &machine, true).refusals;
    let texts: Vec<_> = refusals.iter().map(|refusal| refusal.mistake.to_string()).collect();
    assert_eq!(texts.len(), 3, "{texts:#?}");
    for (text, words) in texts.iter().zip([
        [
            "\"/dev/sda\": /dev/md0 ",
            "onto /dev/sdc1 of the disk /dev/sdc,",
            "`mdadm /dev/md0 --fail /dev/sda1 --remove /dev/sda1`",
        ],
        ["\"/dev/sdb\": the volume group os ", "onto the disk /dev/sdd,", "`vgreduce os /dev/sdb2`"],
        ["\"/dev/sda\": the volume group deep ", "of the disk /dev/sdc,", "name /dev/sdc, too"],
    ]) {
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    }
    assert!(
        planned(&layout(&["/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdd"]), &machine, true)
            .refusals
            .is_empty()
    );
}

#[test]
fn what_is_kept_stays_with_all_that_lies_on_it() {
    let machine = machine(
        vec![
            array("/dev/md0", "raid1", &["/dev/sda1", "/dev/sdb1"]),
            array("/dev/md1", "raid1", &["/dev/sda2", "/dev/sdb2"]),
        ],
        vec![group("data", "u-1", &["/dev/md0"], true)],
    );
    let mut scheme = layout(&BOTH);
    scheme.mds = serde_json::from_value(
        json!([{"name": "/dev/md0", "level": "1", "devices": ["/dev/sda1", "/dev/sdb1"], "keep_data": true}]),
    )
    .unwrap();
    let planned = planned(&scheme, &machine, true);
    assert!(planned.refusals.is_empty());
    let step = planned.step.unwrap();
    assert_eq!(step.levels, [level(&["/dev/md1"], &[], &["/dev/md1"])]);
    assert_eq!(step.wiped, ["/dev/sda2", "/dev/sdb2"]);
    assert_eq!(step.stay, [Holder::Array("/dev/md0".into()), Holder::Group("u1".into())]);
}

#[test]
fn a_group_that_lies_on_a_kept_partition_and_on_another_is_refused() {
    let machine = machine(Vec::new(), vec![group("data", "u-1", &["/dev/sda1", "/dev/sda2"], true)]);
    let mut scheme = layout(&["/dev/sda"]);
    let partition = json!([{
        "name": "/dev/sda1", "count": 1, "device": "/dev/sda", "begin": 1, "end": 2, "partition_type": "primary",
        "keep_data": true,
    }]);
    scheme.parteds[0].partitions = serde_json::from_value(partition).unwrap();
    let planned = planned(&scheme, &machine, true);
    assert_eq!(planned.refusals.len(), 1);
    assert!(planned.refusals[0].mistake.problem.ends_with("kept and on /dev/sda2, which is not"));
    let step = planned.step.unwrap();
    assert!(step.levels.is_empty() && step.wiped == ["/dev/sda2"], "{step:?}");
}

#[test]
fn firmware_raid_is_refused_or_taken_down_as_the_setting_says() {
    let mut container = array("/dev/md127", "container", &["/dev/sda", "/dev/sdb"]);
    container.metadata = "imsm".into();
    let volume = array("/dev/md126", "raid1", &["/dev/sda", "/dev/sdb"]);
    let machine = machine(vec![container, volume], Vec::new());
    let refused = planned(&layout(&["/dev/sda"]), &machine, true).refusals;
    let text = refused.last().unwrap().mistake.to_string();
    for word in ["/dev/sda belongs to /dev/md127, a container", "(imsm)", "its volume (/dev/md126)"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let step = planned(&layout(&BOTH), &machine, false).step.unwrap();
    assert_eq!(step.levels, [level(&["/dev/md126"], &[], &["/dev/md126"]), level(&[], &[], &["/dev/md127"])]);
    // The volume as the disk: what it consists of is not looked at.
    let planned = planned(&layout(&["/dev/md126"]), &machine, true);
    assert!(planned.refusals.is_empty() && planned.step.is_none(), "{planned:?}");
}

#[test]
fn the_signature_of_firmware_raid_is_enough_to_refuse() {
    let mut machine = machine(Vec::new(), Vec::new());
    machine.contents[0].kind = Some("ddf_raid_member".into());
    let refusals = planned(&layout(&BOTH), &machine, true).refusals;
    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].mistake.problem.contains("firmware RAID (ddf)"));
    assert!(planned(&layout(&BOTH), &machine, false).refusals.is_empty());
}

#[test]
fn a_mount_blocks_and_what_is_taken_down_does_not() {
    let machine = machine(
        vec![array("/dev/md0", "raid1", &["/dev/sda1"])],
        vec![group("os", "abc-def", &["/dev/sda2"], true)],
    );
    let used = |holder| Use { device: "/dev/sda1".into(), by: "x".into(), remedy: "y".into(), holder };
    for (holder, expected) in [
        (None, true),
        (Some(Holder::Array("/dev/md0".into())), false),
        (Some(Holder::Array("/dev/md7".into())), true),
        (Some(Holder::Group("abcdef".into())), false),
        (Some(Holder::Group("abc".into())), true),
    ] {
        assert_eq!(blocks(&used(holder.clone()), &machine), expected, "{holder:?}");
    }
}
