//! Whole documents of 2017: what they come to, what is said of their mistakes, and never a panic.

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::Ironic;
use crate::{
    drivers::{DataDriver, Deployment, Facts, Mistakes},
    hardware::BlockDevice,
    objects::{Bytes, Mib, partition::Partition},
};

/// The size of the machine's disks in MiB.
const DISK: u64 = 10_000;

fn device(name: &str, scsi: &str) -> BlockDevice {
    let links = [format!("/dev/disk/by-path/pci-0000:00:05.0-{name}"), format!("/dev/disk/by-id/ata-{name}")];
    serde_json::from_value(json!({
        "device": format!("/dev/{name}"), "size": DISK << 20, "uspec": {"DEVLINKS": links},
        "bspec": {"ss": "512"}, "espec": {"scsi": scsi},
    }))
    .unwrap()
}

fn read_with(document: &Value, devices: &[BlockDevice], prepare: bool) -> Result<Deployment, Mistakes> {
    let facts =
        Facts { devices, image_metadata: &|_| None, prepare_configdrive: prepare, configdrive_exists: true };
    Ironic.read(document, &facts)
}

fn read(document: &Value) -> Result<Deployment, Mistakes> {
    read_with(document, &[device("sda", "0:0:0:0"), device("sdb", "0:0:1:0")], true)
}

fn disk(name: &str, volumes: &Value) -> Value {
    json!({"type": "disk", "id": {"type": "name", "value": name}, "volumes": volumes})
}

fn document(policy: &str, partitions: &Value) -> Value {
    json!({
        "images": [{"name": "root", "image_pull_url": "http://h/root.img.gz", "target": "/", "boot": true}],
        "partitions_policy": policy,
        "partitions": partitions,
        "deploy_data": {"kernel_params": " quiet  console=tty0 "},
        "image_deploy_flags": {"rsync_flags": "-a"},
    })
}

fn volume(kind: &str, size: &str, mount: &str) -> Value {
    json!({"type": kind, "size": size, "mount": mount, "file_system": "ext4"})
}

/// The sizes of the partitions after the two for booting.
fn sizes(deployment: &Deployment, disk: usize) -> Vec<u64> {
    deployment.partition_scheme.parteds[disk].partitions[2..].iter().map(|part| part.size().0).collect()
}

fn told(document: &Value) -> String {
    read(document).err().map(|mistakes| mistakes.to_string()).unwrap_or_default()
}

#[test]
fn remaining_stands_anywhere_and_percentages_are_of_what_is_left_for_volumes() {
    let volumes = json!([
        volume("partition", "1 GB", "/"),
        {"type": "boot", "size": "300"},
        volume("partition", "remaining", "/srv"),
        volume("partition", "10 %", "/var"),
        {"type": "partition", "size": 100},
    ]);
    let deployment = read(&document("clean", &json!([disk("sda", &volumes)]))).unwrap();
    // 10,000 MiB less the mirror of the table, rounded down, and 225 MiB for booting with the first MiB.
    let room = DISK - 1 - 225;
    assert_eq!(sizes(&deployment, 0), [954, room - 954 - room / 10 - 100, room / 10, 100]);
    let parted = &deployment.partition_scheme.parteds[0];
    assert_eq!(parted.partitions.last().unwrap().end, Mib(DISK - 1));
    assert!(parted.install_bootloader && !parted.partitions.iter().any(|partition| partition.configdrive));
    assert_eq!(deployment.grub.kernel_params, "quiet console=tty0");
    let image = &deployment.image_scheme[0];
    assert_eq!((&*image.target_device, &*image.container, &*image.format), ("/dev/sda3", "auto", "ext4"));
    let origin = |object: &str| deployment.origins.of(&format!("/partition_scheme/{object}"));
    assert_eq!(origin("parteds/0/partitions/3/end"), "/partitions/0/volumes/2/size");
    assert_eq!(origin("fss/1/fs_type"), "/partitions/0/volumes/2/file_system");
    assert_eq!(deployment.origins.of("/image_scheme/0/target_device"), "/images/0/target_device");
}

#[test]
fn the_smaller_of_the_two_sizes_of_a_disk_counts() {
    for (size, end) in [("5 GiB", 5119), ("1 TB", DISK - 1), ("10240000 s", 4999)] {
        let mut sda = disk("sda", &json!([volume("partition", "remaining", "/")]));
        sda["size"] = json!(size);
        let deployment = read(&document("clean", &json!([sda]))).unwrap();
        assert_eq!(deployment.partition_scheme.parteds[0].partitions[2].end, Mib(end), "{size}");
    }
}

#[test]
fn a_group_shares_what_lvm_leaves_in_whole_extents() {
    let pv = |size: &str| json!([{"type": "pv", "size": size, "vg": "os", "lvm_meta_size": "64 MiB"}]);
    let lv = |name: &str, size: &str, mount: &str| json!({"type": "lv", "name": name, "size": size, "mount": mount, "file_system": "ext4"});
    let group = json!({"type": "vg", "id": "os", "volumes": [
        lv("root", "1001 MiB", "/"), lv("srv", "remaining", "/srv"), lv("var", "50%", "/var"),
    ]});
    let partitions = json!([disk("sda", &pv("2 GiB")), disk("sdb", &pv("remaining")), group]);
    let deployment = read(&document("clean", &partitions)).unwrap();
    let scheme = &deployment.partition_scheme;
    // Each physical volume loses 1 MiB at its beginning and two areas of 28 MiB, then what is no whole extent.
    let room = (2048 - 57) / 4 * 4 + (DISK - 226 - 57) / 4 * 4;
    let lvs: Vec<_> = scheme.lvs.iter().map(|lv| lv.size.0).collect();
    assert_eq!(lvs, [1004, room - 1004 - room / 2 / 4 * 4, room / 2 / 4 * 4]);
    assert_eq!(lvs.iter().sum::<u64>(), room);
    assert_eq!(scheme.vgs[0].pvnames, ["/dev/sda3", "/dev/sdb3"]);
    assert_eq!(deployment.image_scheme[0].target_device, "/dev/mapper/os-root");
}

#[test]
fn members_of_a_mirror_go_by_their_mount_point() {
    let volumes = json!([volume("raid", "500 MiB", "/boot"), volume("raid", "remaining", "/")]);
    let partitions = json!([disk("sda", &volumes), disk("sdb", &volumes)]);
    let scheme = read(&document("clean", &partitions)).unwrap().partition_scheme;
    let members: Vec<_> = scheme.mds.iter().map(|md| (&*md.name, md.devices.join(" "))).collect();
    assert_eq!(
        members,
        [("/dev/md0", "/dev/sda3 /dev/sdb3".to_owned()), ("/dev/md1", "/dev/sda4 /dev/sdb4".to_owned())]
    );
    assert_eq!(scheme.fss.len(), 2);
}

#[test]
fn a_policy_decides_what_stays() {
    let kept = |policy: &str, change: &dyn Fn(&mut Value)| {
        let mut volumes = json!([
            volume("partition", "1 GiB", "/"),
            volume("partition", "1 GiB", "/srv"),
            {"type": "partition", "size": "1 GiB", "mount": "/var", "keep_data": false},
            {"type": "partition", "size": "remaining"},
        ]);
        change(&mut volumes);
        let deployment = read(&document(policy, &json!([disk("sda", &volumes)]))).unwrap();
        let scheme = &deployment.partition_scheme;
        let fss: Vec<_> = scheme.fss.iter().map(|fs| fs.keep_data).collect();
        (deployment.skip_partitioning, fss, scheme.parteds[0].partitions[5].keep_data)
    };
    let as_given = |_: &mut Value| {};
    assert_eq!(kept("verify", &as_given), (true, vec![false, true, false], true));
    assert_eq!(kept("nailgun_legacy", &as_given), (true, vec![false, true, false], true));
    assert_eq!(kept("clean", &as_given), (false, vec![false; 3], false));
    let none = |volumes: &mut Value| {
        for volume in volumes.as_array_mut().unwrap() {
            volume["keep_data"] = json!(0);
        }
    };
    assert_eq!(kept("verify", &none), (true, vec![false; 3], false));
    assert_eq!(kept("nailgun_legacy", &none), (false, vec![false; 3], false));
    let root = |volumes: &mut Value| volumes[0]["keep_data"] = json!(true);
    assert_eq!(kept("verify", &root).1, [true, true, false]);
    assert_eq!(kept("clean", &root).1, [false; 3]);
}

#[test]
fn a_kept_physical_volume_keeps_its_group_as_in_nailguns_documents() {
    let kept = |policy| {
        let volumes = json!([
            volume("partition", "1 GiB", "/"), {"type": "pv", "size": "remaining", "vg": "os", "keep_data": true},
        ]);
        let lv = json!({"type": "lv", "name": "a", "size": "remaining", "mount": "/srv", "keep_data": false});
        let partitions = json!([disk("sda", &volumes), {"type": "vg", "id": "os", "volumes": [lv]}]);
        read(&document(policy, &partitions)).unwrap().partition_scheme.fss[1].keep_data
    };
    assert!(kept("nailgun_legacy") && !kept("verify") && !kept("clean"));
}

#[test]
fn fstab_has_what_the_document_says() {
    let mut document = document(
        "clean",
        &json!([disk(
            "sda",
            &json!([
                {"type": "partition", "size": "1 GiB", "mount": "/", "fstab_options": "noatime", "images": ["root"]},
                {"type": "partition", "size": "1 GiB", "mount": "/a", "fstab_enabled": false},
                {"type": "partition", "size": "1 GiB", "mount": "/b", "images": ["b"]},
                {"type": "partition", "size": "1 GiB", "mount": "/c", "images": ["b", "root"], "disk_label": "c"},
            ])
        )]),
    );
    let b = json!({"name": "b", "image_pull_url": "/images/b.img", "target": "/b"});
    document["images"].as_array_mut().unwrap().push(b);
    let deployment = read(&document).unwrap();
    let fss = &deployment.partition_scheme.fss;
    let fstab: Vec<_> = fss.iter().map(|fs| (fs.fstab_options.as_deref(), fs.not_in_fstab)).collect();
    assert_eq!(fstab, [(Some("noatime"), false), (None, true), (None, true), (None, false)]);
    assert_eq!(fss[3].fs_label, "c");
    let image = &deployment.image_scheme[1];
    assert_eq!((&*image.target_device, &*image.container), ("/dev/sda5", "auto"));
}

#[test]
fn a_disk_is_found_by_name_path_link_and_scsi_address() {
    for (kind, value) in [
        ("name", "sdb"),
        ("name", "/dev/sdb"),
        ("name", "disk/by-id/ata-sdb"),
        ("path", "disk/by-path/pci-0000:00:05.0-sdb"),
        ("path", "/dev/disk/by-path/pci-0000:00:05.0-sdb"),
        ("path", "pci-0000:00:05.0-sdb"),
        ("path", "disk/by-id/ata-sdb"),
        ("scsi", "0:0:1:0"),
    ] {
        let mut sdb = disk("", &json!([volume("partition", "1 GiB", "/")]));
        sdb["id"] = json!({"type": kind, "value": value});
        let deployment = read(&document("clean", &json!([sdb]))).unwrap();
        assert_eq!(deployment.partition_scheme.parteds[0].name, "/dev/sdb", "{kind} {value}");
        assert_eq!(deployment.matches[0].disk, "/dev/sdb");
    }
}

#[test]
fn a_ready_made_config_drive_has_a_place_and_none_is_made() {
    let partitions = json!([
        disk("sda", &json!([volume("partition", "remaining", "/")])),
        disk("sdb", &json!([volume("partition", "remaining", "/srv"),]))
    ]);
    let devices = [device("sda", "0:0:0:0"), device("sdb", "0:0:1:0")];
    let deployment = read_with(&document("clean", &partitions), &devices, false).unwrap();
    assert!(deployment.configdrive.is_none());
    let on: Vec<_> = deployment.partition_scheme.partitions().filter(|part| part.configdrive).collect();
    assert_eq!(on.len(), 1);
    assert_eq!((&*on[0].name, on[0].end), ("/dev/sda4", Mib(DISK - 1)));
}

#[test]
fn disks_are_told_although_the_machine_lacks_them() {
    let facts = Facts {
        devices: &[],
        image_metadata: &|_| None,
        prepare_configdrive: true,
        configdrive_exists: false,
    };
    let partitions =
        json!([disk("sdz", &json!([volume("partition", "1 GiB", "/")])), disk("sdy", &json!([]))]);
    let asked = Ironic.disks(&document("clean", &partitions), &facts).unwrap();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].wanted.to_string(), "name sdz");
}

#[test]
fn all_mistakes_are_told_with_place_value_and_remedy() {
    let document = json!({
        "images": [
            {"name": "a", "image_pull_url": "http://h/a"},
            {"name": "a", "image_pull_url": "http://h/b", "target": "/", "container": "tar"},
            {"name": "c", "image_pull_url": "", "target": "/srv", "boot": true},
        ],
        "partitions_policy": "wipe",
        "deploy_data": {"kernel_params": 5},
        "partitions": [
            {"type": "disk", "id": {"type": "serial", "value": "x"}, "size": "50%", "volumes": [
                {"type": "partition", "size": "5 parsecs", "mount": "/"},
                {"type": "partition", "size": -5},
                {"type": "partition", "size": "remaining", "keep_data": "no"},
                {"type": "partition", "size": "remaining", "fstab_options": "a b"},
                {"type": "partition", "size": "remaining"},
                {"type": "partition", "size": "remaining", "mount": "/d"},
                {"type": "pv", "size": 100, "lvm_meta_size": "9 MiB"},
                {"type": "swap", "size": 100},
            ]},
            {"type": "vg", "id": "os", "volumes": [{"type": "lv", "size": 100}]},
            {"type": "tape"},
        ],
    });
    let told = told(&document);
    for want in [
        "/partitions_policy: \"wipe\": this policy is not known; write `clean`",
        "/images/1/container: \"tar\": this container is not supported",
        "/images/2/image_pull_url: \"\": `image_pull_url` is empty",
        "/images/2/boot: true: only the image for / can be booted",
        "/deploy_data/kernel_params: 5: `kernel_params` is not a text",
        "/partitions/0/id/type: \"serial\": a disk is not found by this",
        "/partitions/0/size: \"50%\": the size of a disk is not a part of something",
        "/partitions/0/volumes/0/size: \"5 parsecs\": this unit is not known; write a number with a unit, such as",
        "/partitions/0/volumes/1/size: -5: this is no whole number",
        "/partitions/0/volumes/2/keep_data: \"no\": this says neither yes nor no",
        "/partitions/0/volumes/3/fstab_options: \"a b\": fstab does not take these options",
        "/partitions/0/volumes/5/size: \"remaining\": /partitions/0/volumes/4 has all that is left already",
        "/partitions/0/volumes/6/vg: the key `vg` is missing",
        "/partitions/0/volumes/6/lvm_meta_size: \"9 MiB\": LVM's metadata does not fit",
        "/partitions/0/volumes/7/type: \"swap\": this `type` is not known",
        "/partitions/1/volumes/0/name: the key `name` is missing",
        "/partitions/2/type: \"tape\": this `type` is not known",
    ] {
        assert!(told.contains(want), "{want}\n\n{told}");
    }
}

#[test]
fn what_does_not_fit_the_machine_is_told() {
    let with = |partitions: Value| told(&document("clean", &partitions));
    let root = |size: &str| json!([volume("partition", size, "/")]);
    let error = with(json!([disk("sdz", &root("1 GiB"))]));
    assert!(
        error.contains("/partitions/0/id: \"name sdz\": no disk of this machine matches: /dev/sda is"),
        "{error}"
    );
    let error = with(json!([disk("sda", &root("1 GiB")), disk("disk/by-id/ata-sda", &root("1 GiB"))]));
    assert!(error.contains("/partitions/1/id: this is /dev/sda, which /partitions/0 is already"), "{error}");
    let error = with(json!([disk("sda", &root("9775 MiB"))]));
    assert!(
        error.contains("/partitions/0/volumes: the volumes take 9775 MiB, there is room for 9774 MiB"),
        "{error}"
    );
    assert_eq!(with(json!([disk("sda", &root("9774 MiB"))])), "");
    let two = json!([volume("partition", "9774 MiB", "/"), volume("partition", "remaining", "/a")]);
    let error = with(json!([disk("sda", &two)]));
    assert!(
        error.contains("/partitions/0/volumes/1/size: nothing is left: the others take 9774 MiB of"),
        "{error}"
    );
    let error = with(json!([disk("sda", &root("0"))]));
    assert!(error.contains("/partitions/0/volumes/0/size: this comes to no space at all"), "{error}");
    let group = json!({"type": "vg", "id": "os", "volumes": [{"type": "lv", "name": "a", "size": 4}]});
    let error = with(json!([disk("sda", &root("1 GiB")), group]));
    assert!(error.contains("/partitions/1: the volume group `os` has no physical volume"), "{error}");
    let error = with(json!([disk("sda", &json!([volume("partition", "1 GiB", "/srv")]))]));
    assert!(error.contains("/images/0: this image has no target: no volume is mounted at /;"), "{error}");
    let mut off = volume("partition", "1 GiB", "/");
    off["fstab_enabled"] = json!(false);
    off["images"] = json!(["nobody"]);
    let error = with(json!([disk("sda", &json!([off]))]));
    assert!(error.contains("the root file system is not left out of fstab"), "{error}");
    assert!(error.contains("volumes/0/images/0: \"nobody\": there is no image of this name"), "{error}");
    let mut twice = document("clean", &json!([disk("sda", &root("1 GiB"))]));
    let second = json!({"name": "other", "image_pull_url": "http://h/other", "target": "/"});
    twice["images"].as_array_mut().unwrap().push(second);
    assert!(
        told(&twice).contains("/images/1/target: \"/\": /images/0 is for /, too; one system is installed")
    );
}

#[test]
fn a_disk_of_unknown_size_takes_numbers_only() {
    let nameless: BlockDevice = serde_json::from_value(json!({"device": "/dev/sda"})).unwrap();
    let read = |size: &str, of_disk: Value| {
        let mut sda = disk("sda", &json!([volume("partition", size, "/")]));
        sda["size"] = of_disk;
        if sda["size"].is_null() {
            sda.as_object_mut().unwrap().shift_remove("size");
        }
        read_with(&document("clean", &json!([sda])), std::slice::from_ref(&nameless), true)
    };
    assert!(read("1 GiB", Value::Null).is_ok() && read("remaining", json!("10 GiB")).is_ok());
    let error = read("50 %", Value::Null).unwrap_err().to_string();
    assert!(error.contains("/partitions/0/volumes/0/size: the size of the disk is not known"), "{error}");
}

#[test]
fn the_schema_takes_what_the_driver_takes() {
    let schema = Ironic.schema().unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let case = include_str!("../../../../../tests/transcripts/ironic-2017-raid-lvm.json");
    let case: Value = serde_json::from_str(case).unwrap();
    let errors: Vec<_> = validator.iter_errors(&case["input"]).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    let without = |key: &str| {
        let mut changed = case["input"].clone();
        changed.as_object_mut().unwrap().shift_remove(key);
        changed
    };
    for key in ["images", "partitions"] {
        assert!(
            !validator.is_valid(&without(key)) && told(&without(key)).contains(&format!("/{key}: the key"))
        );
    }
    for (pointer, value) in [
        ("/partitions/0/volumes/0/size", json!("5 parsecs")),
        ("/partitions/0/volumes/0/size", json!(-1)),
        ("/partitions/0/volumes/0/type", json!("tape")),
        ("/partitions/0/id/type", json!("serial")),
        ("/partitions_policy", json!("wipe")),
        ("/images", json!([])),
    ] {
        let mut changed = case["input"].clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert!(!validator.is_valid(&changed), "{pointer}");
    }
    let described = |name: &str| schema["$defs"][name]["description"].as_str().unwrap_or_default().len() > 40;
    assert!(described("Size") && described("Document"));
}

fn holds_together(partitions: &[Partition], device: &BlockDevice) -> bool {
    let mut end = Mib(1);
    let apart = partitions.iter().all(|partition| {
        let sound = partition.begin >= end && partition.end > partition.begin;
        end = partition.end;
        sound
    });
    apart && end.bytes() <= Bytes((DISK << 20) - 33 * 512) && device.device == partitions[0].device
}

proptest! {
    #[test]
    fn random_layouts_stay_on_their_disk(
        sizes in proptest::collection::vec(select(vec![
            "1 B", "700 MiB", "1.5 GB", "3 %", "33.3%", "remaining", "2049 s", "4000", "100 %",
        ]), 1..6),
        last in select(vec!["partition", "pv", "raid"]),
    ) {
        let mut volumes: Vec<_> =
            sizes.iter().enumerate().map(|(i, size)| volume("partition", size, &format!("/{i}"))).collect();
        volumes[0]["mount"] = json!("/");
        volumes.push(json!({"type": last, "size": "64 MiB", "vg": "os"}));
        if let Ok(deployment) = read(&document("clean", &json!([disk("sda", &json!(volumes))]))) {
            let partitions = &deployment.partition_scheme.parteds[0].partitions;
            prop_assert!(holds_together(partitions, &device("sda", "")), "{partitions:?}");
            let filled = partitions.last().is_some_and(|partition| partition.end == Mib(DISK - 1));
            prop_assert!(filled || !sizes.contains(&"remaining"));
        }
    }

    #[test]
    fn no_document_makes_the_driver_panic(
        pointer in select(vec![
            "/images", "/images/0", "/images/0/target", "/partitions", "/partitions/0", "/partitions/0/id",
            "/partitions/0/id/value", "/partitions/0/volumes", "/partitions/0/volumes/0",
            "/partitions/0/volumes/0/size", "/partitions/0/volumes/0/mount", "/partitions/1/volumes/0/size",
        ]),
        value in select(vec![
            json!(null), json!([]), json!({}), json!(""), json!("remaining"), json!("99999999 YB"), json!(u64::MAX),
            json!(-1), json!(0.5), json!([[]]), json!([null]), json!({"type": "vg"}), json!("100%"), json!(true),
        ]),
    ) {
        let volumes = json!([volume("partition", "1 GiB", "/"), {"type": "pv", "size": "remaining", "vg": "os"}]);
        let group = json!({"type": "vg", "id": "os", "volumes": [{"type": "lv", "name": "a", "size": "50%"}]});
        let mut document = document("verify", &json!([disk("sda", &volumes), group]));
        *document.pointer_mut(pointer).unwrap() = value;
        if let Err(mistakes) = read(&document) {
            prop_assert!(!mistakes.is_empty());
        }
    }
}
