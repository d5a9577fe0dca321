//! Whole documents through the drivers: layouts that hold together, mistakes that name their
//! place, and never a panic whatever the document is.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    drivers::{DataDriver, Deployment, Facts, Mistakes, drivers, find},
    hardware::BlockDevice,
    objects::{Mib, PartitionScheme},
};

fn devices() -> Vec<BlockDevice> {
    let names = ["sda", "sdb", "sdc", "nvme0n1"];
    names.map(|name| serde_json::from_value(json!({"device": format!("/dev/{name}")})).unwrap()).into()
}

fn read(driver: &str, document: &Value) -> Result<Deployment, Mistakes> {
    let host = bareon_host::Script::default();
    let facts = Facts {
        devices: &devices(),
        image_metadata: &|_| None,
        prepare_configdrive: true,
        configdrive_exists: false,
    };
    find(driver, std::path::Path::new("/nonexistent"), &host).unwrap().read(document, &facts)
}

/// A disk of the input.
fn disk(name: &str, volumes: &Value) -> Value {
    json!({
        "type": "disk", "id": name, "name": name, "size": 100_000, "extra": [], "free_space": 0,
        "volumes": volumes,
    })
}

/// A whole document around a layout.
fn document(spaces: &Value) -> Value {
    json!({
        "profile": "ubuntu_1404_x86_64", "hostname": "node-1.domain.tld",
        "name_servers": "\"10.20.0.2\"", "name_servers_search": "\"domain.tld\"",
        "interfaces": {"eth0": {
            "mac_address": "08:00:27:79:DA:80", "ip_address": "10.20.0.3", "netmask": "255.255.255.0",
        }},
        "kernel_options": {
            "netcfg/choose_interface": "08:00:27:79:da:80",
            "udevrules": "08:00:27:79:DA:80_eth0,nonsense",
        },
        "ks_meta": {
            "auth_key": "a key", "authorized_keys": ["another"], "master_ip": "10.20.0.2",
            "image_data": {"/": {"uri": "http://h/i.img.gz", "format": "ext4", "container": "gzip"}},
            "pm_data": {"kernel_params": " a  b ", "ks_spaces": spaces},
        },
    })
}

fn root_disk() -> Value {
    disk("sda", &json!([{"type": "partition", "size": 1000, "mount": "/", "file_system": "ext4"}]))
}

fn sample() -> Value {
    document(&json!([root_disk()]))
}

/// The paths of all mistakes of a document.
fn paths(driver: &str, document: &Value) -> Vec<String> {
    let mistakes = read(driver, document).err().unwrap_or_default();
    mistakes.0.into_iter().map(|mistake| mistake.path).collect()
}

#[test]
fn the_registered_drivers_are_these() {
    let names: Vec<_> = drivers().into_iter().map(DataDriver::name).collect();
    assert_eq!(names, ["bareon", "ironic", "nailgun", "nailgun_simple"]);
}

#[test]
fn a_document_becomes_a_deployment() {
    let deployment = read("nailgun", &sample()).unwrap();
    assert_eq!(deployment.grub.kernel_params, "a b");
    assert_eq!(deployment.image_scheme[0].target_device, "/dev/sda3");
    assert_eq!(deployment.host.nics[0].mac, "08:00:27:79:da:80");
    assert_eq!(deployment.host.admin.as_ref().unwrap().name, "eth0");
    let paths: Vec<_> = deployment.deferred.iter().map(|mistake| mistake.path.as_str()).collect();
    assert_eq!(paths, ["/kernel_options/udevrules"]);
    let configdrive = deployment.configdrive.unwrap();
    assert_eq!(configdrive.template_data["common"]["ssh_auth_keys"], json!(["another", "a key"]));
    let last = deployment.partition_scheme.partitions().last().unwrap();
    assert!(last.configdrive && last.end.0 - last.begin.0 == 20);
}

#[test]
fn all_mistakes_are_found_in_one_pass() {
    let mut document = sample();
    for (parent, key) in [("", "hostname"), ("/kernel_options", "netcfg/choose_interface")] {
        document.pointer_mut(parent).unwrap().as_object_mut().unwrap().shift_remove(key);
    }
    document["ks_meta"]["mco_enable"] = json!(1);
    document["ks_meta"]["image_data"]["/"]["container"] = json!("tar");
    document["ks_meta"]["pm_data"]["ks_spaces"][0]["size"] = json!("5000");
    document["ks_meta"]["authorized_keys"] = json!([1]);
    let found = paths("nailgun", &document);
    for want in [
        "/hostname",
        "/kernel_options/netcfg~1choose_interface",
        "/ks_meta/mco_password",
        "/ks_meta/image_data/~1/container",
        "/ks_meta/pm_data/ks_spaces/0/size",
        "/ks_meta/authorized_keys/0",
    ] {
        assert!(found.iter().any(|path| path == want), "{want}: {found:?}");
    }
    assert_eq!(paths("nailgun", &sample()), [""; 0]);
}

#[test]
fn secrets_are_not_told() {
    let mut document = sample();
    document["ks_meta"]["auth_key"] = json!(["s3cret"]);
    document["ks_meta"]["authorized_keys"] = json!({"s3cret": 1});
    let message = read("nailgun", &document).unwrap_err().to_string();
    assert!(message.contains("/ks_meta/auth_key") && !message.contains("s3cret"), "{message}");
}

#[test]
fn a_group_without_a_volume_of_its_own_is_named() {
    let lv = json!({"type": "lv", "name": "x", "size": 10});
    let group = json!({"type": "vg", "id": "data", "volumes": [lv]});
    let error = read("nailgun", &document(&json!([root_disk(), group]))).unwrap_err();
    assert_eq!(error.0[0].path, "/ks_meta/pm_data/ks_spaces/1/volumes/0");
    assert!(error.to_string().contains("`data`"), "{error}");
}

#[test]
fn sizes_no_disk_has_are_mistakes_and_not_overflows() {
    for size in [json!(i64::MAX), json!(1_u64 << 44), json!(u64::MAX), json!(1e300)] {
        let volume = json!({"type": "partition", "size": size});
        let mut spaces = json!([root_disk()]);
        spaces[0]["volumes"].as_array_mut().unwrap().extend([volume.clone(), volume]);
        let found = paths("nailgun", &document(&spaces));
        assert!(found.contains(&"/ks_meta/pm_data/ks_spaces/0/volumes/1/size".to_owned()), "{found:?}");
    }
}

#[test]
fn boot_lies_where_a_bios_reads_it() {
    let boot = json!({"type": "raid", "size": 200, "mount": "/boot"});
    let root = json!({"type": "partition", "size": 100, "mount": "/"});
    let other = json!({"type": "partition", "size": 100, "mount": "none"});
    let place = |disks: &[(&str, u64)]| {
        let spaces: Vec<_> = disks
            .iter()
            .enumerate()
            .map(|(i, (name, size))| {
                let mut disk = disk(name, &json!([boot, if i == 0 { &root } else { &other }]));
                disk["size"] = json!(size);
                disk
            })
            .collect();
        let deployment = read("nailgun", &document(&json!(spaces))).unwrap();
        let boots: Vec<_> = deployment
            .partition_scheme
            .fss
            .iter()
            .filter(|fs| fs.mount.as_deref() == Some("/boot"))
            .collect();
        assert_eq!((boots.len(), boots[0].fs_type.as_str()), (1, "ext2"));
        boots[0].device.clone()
    };
    assert_eq!(place(&[("sda", 9000), ("sdb", 9000)]), "/dev/sda3");
    assert_eq!(place(&[("nvme0n1", 9000), ("sdb", 9000)]), "/dev/sdb3");
    assert_eq!(place(&[("sda", 2_097_153), ("sdb", 2_097_152)]), "/dev/sdb3");
    assert_eq!(place(&[("nvme0n1", 9000)]), "/dev/nvme0n1p3");
}

#[test]
fn ironic_needs_no_more_than_disks_and_images() {
    let boot = json!({"type": "partition", "size": 200, "mount": "/boot"});
    let mut disk = root_disk();
    disk["volumes"].as_array_mut().unwrap().insert(0, boot);
    let meta = sample()["ks_meta"].clone();
    let document = json!({"profile": "", "ks_meta": {
        "image_data": meta["image_data"], "pm_data": {"kernel_params": "", "ks_spaces": [disk]},
    }});
    let deployment = read("ironic", &document).unwrap();
    assert!(deployment.configdrive.is_none());
    assert_eq!(deployment.partition_scheme.fss.len(), 1);
    assert_eq!(deployment.partition_scheme.fss[0].device, "/dev/sda3");
}

fn simple(partitioning: &Value) -> Value {
    let mut document = sample();
    document["partitioning"] = partitioning.clone();
    document
}

#[test]
fn simple_shows_odd_values_and_a_run_refuses_them() {
    let partition = json!({
        "name": "/dev/sda1", "count": 1, "device": "/dev/sda", "begin": 1, "end": 201,
        "partition_type": "primary", "guid": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "keep_data": "yes",
    });
    let deployment = read(
        "nailgun_simple",
        &simple(&json!({
            "parteds": [{"name": "/dev/sda", "label": "gpt", "partitions": [partition]}],
            "lvs": [{"name": "a", "vgname": "b", "size": "12"}],
            "fss": [{"device": "/dev/sdz4", "mount": "/", "fs_type": null}],
        })),
    )
    .unwrap();
    let shown = deployment.shown_scheme.unwrap();
    assert_eq!(shown["lvs"][0], json!({"name": "a", "vgname": "b", "size": "12", "keep_data": false}));
    assert_eq!(shown["fss"][0]["fs_type"], json!("xfs"));
    assert!(deployment.skip_partitioning, "the original asks for the truth of `keep_data`");
    assert!(deployment.partition_scheme.lvs.is_empty());
    let paths: Vec<_> = deployment.deferred.iter().map(|mistake| mistake.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/partitioning/parteds/0/partitions/0/keep_data",
            "/partitioning/lvs/0/size",
            "/kernel_options/udevrules"
        ]
    );
}

#[test]
fn simple_tells_the_efi_system_partition() {
    let partition = |more: Value| {
        let mut partition = json!({
            "name": "/dev/sda1", "count": 1, "device": "/dev/sda", "begin": 1, "end": 201,
            "partition_type": "primary",
        });
        partition.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let fss = json!([{"device": "/dev/sdz4", "mount": "/"}]);
        let parted = json!({"name": "/dev/sda", "label": "gpt", "partitions": [partition]});
        let deployment = read("nailgun_simple", &simple(&json!({"parteds": [parted], "fss": fss}))).unwrap();
        deployment.partition_scheme.parteds[0].partitions[0].esp
    };
    assert!(partition(json!({"flags": ["esp"]})) && partition(json!({"flags": ["boot"]})));
    assert!(partition(json!({"guid": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"})));
    assert!(!partition(json!({"flags": ["bios_grub"], "guid": null})));
}

#[test]
fn simple_names_unknown_and_missing_keys() {
    let found = paths(
        "nailgun_simple",
        &simple(&json!({"fss": [{"type": "ext4", "mount": "/"}], "mds": [{"name": "x"}], "lvss": []})),
    );
    assert_eq!(
        found,
        [
            "/partitioning/lvss",
            "/partitioning/mds/0/level",
            "/partitioning/fss/0/type",
            "/partitioning/fss/0/device"
        ]
    );
}

fn deferred(driver: &str, document: &Value) -> Vec<String> {
    let deferred = read(driver, document).unwrap().deferred;
    deferred.into_iter().map(|mistake| mistake.path).filter(|path| !path.starts_with("/kernel")).collect()
}

#[test]
fn what_is_to_be_kept_and_cannot_be_is_refused_by_a_run() {
    let volume = |more: Value| {
        let mut volume = json!({"type": "partition", "size": 100, "mount": "none", "keep_data": true});
        volume.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        volume
    };
    let boot = volume(json!({"mount": "/boot"}));
    let with = |volumes: &[Value]| {
        let mut disk = root_disk();
        disk["volumes"].as_array_mut().unwrap().extend(volumes.iter().cloned());
        document(&json!([disk]))
    };
    let at =
        |disk: usize, volume: usize| format!("/ks_meta/pm_data/ks_spaces/{disk}/volumes/{volume}/keep_data");
    for (lost, found) in [
        (false, volume(json!({}))),
        (false, volume(json!({"type": "raid", "mount": "/srv"}))),
        (false, boot.clone()),
        (true, volume(json!({"name": "cephjournal"}))),
        (true, volume(json!({"size": 0}))),
        (true, volume(json!({"size": -3, "keep_data": 1}))),
        (true, volume(json!({"type": "boot"}))),
    ] {
        let want = if lost { vec![at(0, 1)] } else { Vec::new() };
        assert_eq!(deferred("nailgun", &with(std::slice::from_ref(&found))), want, "{found}");
        assert_eq!(read("nailgun", &with(&[found])).unwrap().skip_partitioning, !lost);
    }
    assert_eq!(deferred("ironic", &with(std::slice::from_ref(&boot))), [at(0, 1)]);
    let mut second = disk("sdb", &json!([boot, volume(json!({"keep_data": false}))]));
    let mut first = root_disk();
    first["volumes"].as_array_mut().unwrap().push(volume(json!({"mount": "/boot", "keep_data": false})));
    assert_eq!(deferred("nailgun", &document(&json!([first, second]))), [at(1, 0)]);
    second["keep_data"] = json!(true);
    let pv = json!({"type": "pv", "vg": "os", "size": 500, "lvm_meta_size": 64});
    let lv = json!({"type": "lv", "name": "x", "size": 10, "keep_data": true});
    first["volumes"].as_array_mut().unwrap().push(pv);
    let group = json!({"type": "vg", "id": "os", "volumes": [lv]});
    assert_eq!(
        deferred("nailgun", &document(&json!([first, second, group]))),
        ["/ks_meta/pm_data/ks_spaces/1/keep_data".to_owned(), at(1, 0), at(2, 0)]
    );
}

#[test]
fn simple_refuses_to_keep_arrays_and_physical_volumes() {
    let scheme = json!({
        "mds": [{"name": "/dev/md0", "level": "1"}, {"name": "/dev/md1", "level": "1", "keep_data": true}],
        "pvs": [{"name": "/dev/sda1", "keep_data": true}],
        "fss": [{"device": "/dev/sda2", "mount": "/"}],
    });
    assert_eq!(
        deferred("nailgun_simple", &simple(&scheme)),
        ["/partitioning/mds/1/keep_data", "/partitioning/pvs/0/keep_data"]
    );
    assert!(!read("nailgun_simple", &simple(&scheme)).unwrap().skip_partitioning);
}

#[test]
fn a_type_guid_makes_an_efi_system_partition_and_an_empty_one_none() {
    let volume = |guid: &str| {
        let volume = json!({"type": "partition", "size": 100, "mount": "none", "partition_guid": guid});
        let mut disk = root_disk();
        disk["volumes"].as_array_mut().unwrap().push(volume);
        let deployment = read("nailgun", &document(&json!([disk]))).unwrap();
        assert_eq!(deployment.deferred.len(), 1, "nothing but the odd rule of the sample");
        assert!(deployment.shown_scheme.is_none());
        let partition = &deployment.partition_scheme.parteds[0].partitions[3];
        (partition.esp, partition.guid.clone())
    };
    assert_eq!(volume(""), (false, None));
    let esp = crate::objects::partition::ESP_GUID;
    assert_eq!(volume(esp), (true, Some(esp.into())));
}

#[test]
fn simple_refuses_flags_that_contradict_the_type() {
    let partition = json!({
        "name": "/dev/sda1", "count": 1, "device": "/dev/sda", "begin": 1, "end": 25, "partition_type": "primary",
        "flags": ["bios_grub"], "guid": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    });
    let parted = json!({"name": "/dev/sda", "label": "gpt", "partitions": [partition]});
    let scheme = json!({"parteds": [parted], "fss": [{"device": "/dev/sda2", "mount": "/"}]});
    assert_eq!(deferred("nailgun_simple", &simple(&scheme)), ["/partitioning/parteds/0/partitions/0/guid"]);
}

#[test]
fn a_disk_that_is_found_by_its_name_alone_is_told() {
    let mut disk = root_disk();
    disk["extra"] = json!(["disk/by-id/x"]);
    let deployment = read("nailgun", &document(&json!([disk]))).unwrap();
    let [found] = deployment.matches.as_slice() else { panic!("{:?}", deployment.matches) };
    assert_eq!(
        (found.disk.as_str(), found.input_path.as_str()),
        ("/dev/sda", "/ks_meta/pm_data/ks_spaces/0")
    );
    assert_eq!((found.by.clone(), found.doubts.len()), (crate::hardware::MatchedBy::Name, 1));
    let deployment = read("nailgun", &sample()).unwrap();
    assert!(deployment.matches[0].doubts.is_empty());
}

#[test]
fn the_image_says_what_it_brings_and_whether_the_boot_loader_is_guessed() {
    let of = |metadata: &str| {
        let host = bareon_host::Script::default();
        let facts = Facts {
            devices: &devices(),
            image_metadata: &|_| Some(metadata.to_owned()),
            prepare_configdrive: true,
            configdrive_exists: false,
        };
        let mut document = sample();
        document["profile"] = json!("centos_8_stream");
        let driver = find("nailgun", std::path::Path::new("/nonexistent"), &host).unwrap();
        let deployment = driver.read(&document, &facts).unwrap();
        (deployment.grub.version, deployment.grub_guessed, deployment.image_os)
    };
    assert_eq!(of("{}"), (Some(1), true, None));
    assert_eq!(of("os: {name: Rocky, major: 9, minor: 1}"), (Some(1), true, Some("Rocky".into())));
    assert_eq!(of("os: {name: Centos, major: 8, minor: 1}"), (Some(2), false, Some("Centos".into())));
}

#[test]
fn an_address_of_another_link_layer_is_no_mistake() {
    let infiniband = "80:00:02:08:fe:80:00:00:00:00:00:00:e4:1d:2d:03:00:4f:8b:11";
    let mut document = sample();
    document["kernel_options"]["udevrules"] = json!(format!("{}_ib0", infiniband.to_uppercase()));
    let deployment = read("nailgun", &document).unwrap();
    assert!(deployment.deferred.is_empty());
    assert_eq!(deployment.host.nics[0].mac, infiniband);
}

/// Whether each disk is filled from its first MiB on without hole or overlap, and each file system
/// and member lies on something that is there.
fn holds_together(scheme: &PartitionScheme) {
    for parted in &scheme.parteds {
        let mut end = Mib(1);
        for (i, partition) in parted.partitions.iter().enumerate() {
            assert_eq!(usize::try_from(partition.count).unwrap(), i + 1);
            assert_eq!(partition.begin, end);
            assert!(partition.end > partition.begin);
            assert_eq!(partition.name, parted.partition_name(partition.count));
            end = partition.end;
        }
        assert_eq!(parted.partitions.iter().filter(|partition| partition.esp).count(), 1);
    }
    assert!(scheme.partitions().filter(|partition| partition.configdrive).count() <= 1);
    let partitions: Vec<_> = scheme.partitions().map(|partition| partition.name.clone()).collect();
    let lvs = scheme.lvs.iter().map(crate::objects::partition::LogicalVolume::device);
    let mds = scheme.mds.iter().map(|md| md.name.clone());
    let devices: Vec<_> = partitions.iter().cloned().chain(lvs).chain(mds).collect();
    assert!(scheme.fss.iter().all(|fs| devices.contains(&fs.device)));
    assert!(scheme.mds.iter().flat_map(|md| &md.devices).all(|member| partitions.contains(member)));
    assert!(scheme.vgs.iter().flat_map(|vg| &vg.pvnames).all(|pv| partitions.contains(pv)));
    assert!(scheme.lvs.iter().all(|lv| scheme.vgs.iter().any(|vg| vg.name == lv.vgname)));
}

fn volume() -> impl Strategy<Value = Value> {
    let mount = prop_oneof![Just("/boot"), Just("/srv"), Just("none"), Just("swap"), Just("/a/b")];
    let name = prop_oneof![Just("ceph"), Just("cephjournal"), Just("x")];
    let kind = prop_oneof![Just("partition"), Just("raid"), Just("pv"), Just("boot"), Just("lvm_meta_pool")];
    (kind, -2_i64..30_000, mount, name, any::<bool>(), 10_i64..200).prop_map(
        |(kind, size, mount, name, keep, meta)| {
            json!({
                "type": kind, "size": size, "mount": mount, "name": name, "keep_data": keep,
                "vg": "os", "lvm_meta_size": meta,
            })
        },
    )
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop_oneof![Just("disk"), Just("vg"), Just("/"), Just("/boot"), Just("raid")].prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        let key =
            prop_oneof![Just("type"), Just("size"), Just("volumes"), Just("mount"), Just("/"), Just("name")];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5)
                .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
        ]
    })
}

/// The places of a document that a random value is put at.
const PLACES: [&str; 16] = [
    "",
    "/profile",
    "/hostname",
    "/interfaces",
    "/interfaces/eth0",
    "/kernel_options",
    "/ks_meta",
    "/ks_meta/image_data",
    "/ks_meta/image_data/~1",
    "/ks_meta/pm_data",
    "/ks_meta/pm_data/ks_spaces",
    "/ks_meta/pm_data/ks_spaces/0",
    "/ks_meta/pm_data/ks_spaces/0/volumes",
    "/ks_meta/pm_data/ks_spaces/0/volumes/0",
    "/partitioning",
    "/partitioning/fss/0",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_layouts_hold_together(
        disks in prop::collection::vec(prop::collection::vec(volume(), 0..8), 1..4),
        lvs in prop::collection::vec((-1_i64..500, any::<bool>()), 0..3),
    ) {
        let names = ["sda", "nvme0n1", "sdb"];
        let mut spaces: Vec<_> = disks.iter().zip(names).map(|(volumes, name)| disk(name, &json!(volumes))).collect();
        spaces.push(disk("sdc", &json!([{"type": "raid", "size": 100, "mount": "/"}])));
        let lvs: Vec<_> = lvs.iter().enumerate().map(|(i, (size, mounted))| {
            let mount = if *mounted { format!("/lv{i}") } else { "none".into() };
            json!({"type": "lv", "name": format!("l-{i}"), "size": size, "mount": mount})
        }).collect();
        spaces.push(json!({"type": "vg", "id": "os", "volumes": lvs}));
        match read("nailgun", &document(&json!(spaces))) {
            Ok(deployment) => holds_together(&deployment.partition_scheme),
            Err(mistakes) => {
                let known = |text: &str| text.contains("no physical volume") || text.contains("do not fit");
                prop_assert!(mistakes.0.iter().all(|mistake| known(&mistake.problem)), "{}", mistakes);
            }
        }
    }

    #[test]
    fn no_document_makes_a_driver_panic(place in 0..PLACES.len(), value in any_json(), driver in 0..3_usize) {
        let mut document = simple(&json!({"fss": [{"device": "/dev/sda1", "mount": "/"}]}));
        if let Some(at) = document.pointer_mut(PLACES[place]) {
            *at = value;
        }
        let driver = ["nailgun", "nailgun_simple", "ironic"][driver];
        if let Err(mistakes) = read(driver, &document) {
            prop_assert!(!mistakes.is_empty());
            prop_assert_eq!(mistakes.to_string().lines().count(), mistakes.0.len());
        }
    }
}

#[test]
fn the_schemas_take_what_the_drivers_take() {
    let documents = [
        ("nailgun", sample()),
        ("ironic", sample()),
        ("nailgun_simple", simple(&json!({"fss": [{"device": "/dev/sda1", "mount": "/"}], "lvs": {}}))),
    ];
    for (name, document) in documents {
        let schema =
            drivers().into_iter().find(|driver| driver.name() == name).map(|driver| driver.schema().unwrap());
        let schema = jsonschema::validator_for(&schema.unwrap()).unwrap();
        let errors: Vec<_> =
            schema.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
        assert!(!schema.is_valid(&json!({})) && !schema.is_valid(&json!(null)));
    }
}

/// Holds the schemas against recorded documents, where those are at hand.
#[test]
fn the_schemas_take_recorded_documents() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/vectors");
    let folder = std::env::var("CONFORMANCE_VECTORS").unwrap_or_else(|_| beside.into());
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: no recorded documents in {folder} (set CONFORMANCE_VECTORS)");
        return;
    };
    let schemas: Vec<_> = drivers()
        .into_iter()
        .map(|driver| (driver.name(), jsonschema::validator_for(&driver.schema().unwrap()).unwrap()))
        .collect();
    let mut checked = 0;
    for entry in entries {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let vector: Value = serde_json::from_str(&text).unwrap();
        // The one whose values have wrong types: a plan shows them, no run takes them.
        let odd = vector["name"] == "simple-values-are-not-type-checked";
        let Some((_, schema)) = schemas.iter().find(|(name, _)| vector["driver"] == *name) else { continue };
        if vector["expect"] != "same" || odd {
            continue;
        }
        let errors = schema.iter_errors(&vector["input"]);
        let errors: Vec<_> = errors.map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", vector["name"]);
        checked += 1;
    }
    assert!(checked > 0, "nothing was checked in {folder}");
}
