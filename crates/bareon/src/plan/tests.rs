//! Random layouts over random disks: whatever plan is not refused stays within the disks that the
//! input names, and whatever input there is, a plan can be made and shown.

use std::collections::{BTreeMap, BTreeSet};

use bareon_host::{Script, sfdisk::Table};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::{Action, Options, Plan, Stage, Step, plan};
use crate::{
    audit::OnError,
    drivers::{self, Facts},
    hardware::{BlockDevice, Machine},
    objects::partition::partition_name,
    steps::{
        bootloader::{BootOrder, Firmware},
        partitioning::LayOutDisk,
    },
};

/// The disks of the machine; of the last no input speaks unless it is broken.
const DISKS: [&str; 4] = ["/dev/sda", "/dev/nvme0n1", "/dev/sdab", "/dev/sdz"];

/// The configuration as it is without a file.
pub(super) fn options() -> Options {
    Options {
        firmware: None,
        efi_boot_order: BootOrder::Keep,
        prepare_configdrive: true,
        config_drive_path: "/tmp/config-drive.img".into(),
        nc_template_path: "/nonexistent".into(),
        tmp_path: "/tmp".into(),
        grub_timeout: 5,
        audit_boot: OnError::Fail,
        fix_udev_net_rules: true,
        udev_rules_dir: "/etc/udev/rules.d".into(),
        backup_dir: None,
        skip_md_containers: true,
        allow_unverified: true,
        download_dir: None,
        memory_limit: crate::objects::Bytes(256 << 20),
    }
}

/// The plan for a document; nothing where the driver refuses it.
fn planned(driver: &str, document: &Value, machine: &Machine, firmware: Firmware) -> Option<Plan> {
    let host = Script::default();
    let facts = Facts {
        devices: &machine.devices,
        image_metadata: &|_| None,
        prepare_configdrive: true,
        configdrive_exists: false,
    };
    let options = Options { firmware: Some(firmware), ..options() };
    let driver = drivers::find(driver, std::path::Path::new("/nonexistent"), &host).unwrap();
    let deployment = driver.read(document, &facts).ok()?;
    Some(plan(deployment, machine, &options, &host))
}

/// Disks of random sizes, of which the last bytes may be no whole MiB.
fn machine() -> impl Strategy<Value = Machine> {
    let disk = (40..4000_u64, 0..200_u64, select(vec![512_u64, 4096]));
    prop::collection::vec(disk, DISKS.len()).prop_map(|disks| {
        let devices = DISKS.iter().zip(disks).map(|(name, (mib, odd, sector))| {
            let size = (mib << 20) + odd * 4096;
            let described = json!({"device": name, "size": size, "bspec": {"ss": sector.to_string()}});
            serde_json::from_value::<BlockDevice>(described).unwrap()
        });
        Machine::recorded(devices.collect())
    })
}

fn firmware() -> impl Strategy<Value = Firmware> {
    select(vec![Firmware::Bios, Firmware::Uefi, Firmware::Both])
}

fn document() -> Value {
    json!({
        "profile": "debian_12", "hostname": "n", "name_servers": "", "name_servers_search": "",
        "interfaces": {"eth0": {"mac_address": "52:54:00:12:34:56", "ip_address": "1.2.3.4", "netmask": "255.0.0.0"}},
        "kernel_options": {"netcfg/choose_interface": "52:54:00:12:34:56", "udevrules": ""},
        "ks_meta": {
            "auth_key": "k", "master_ip": "1.2.3.5",
            "image_data": {"/": {"uri": "http://h/i.img.gz", "format": "ext4", "container": "gzip"}},
            "pm_data": {"kernel_params": "", "ks_spaces": []},
        },
    })
}

prop_compose! {
    /// A partition: what lies before it, its size, flag, file system.
    fn partition()(
        gap in prop_oneof![4 => Just(0_u64), 1 => 0..9_u64],
        size in prop_oneof![20 => 1..200_u64, 1 => 0..4000_u64],
        flag in prop_oneof![
            9 => Just(""), 9 => select(vec!["bios_grub", "esp", "boot", "legacy_boot"]), 1 => Just("nonsense"),
        ],
        fs in prop_oneof![20 => select(vec!["", "ext4", "xfs", "vfat", "btrfs"]), 1 => select(vec!["nofs", "swap"])],
        options in prop_oneof![
            20 => select(vec!["", "-m 0"]), 1 => select(vec!["/dev/sdz", "-l logdev=/dev/sdz"]),
        ],
        drive in prop::bool::weighted(0.05),
    ) -> (u64, u64, &'static str, &'static str, &'static str, bool) {
        // What a flag is for, mostly: nothing lies where the boot loader does, vfat on an ESP.
        let fs = match (flag, size % 16) {
            (_, 0) => fs,
            ("bios_grub", _) => "",
            ("esp" | "boot", _) => "vfat",
            _ => fs,
        };
        // Mostly one that is large enough.
        let size = if fs == "xfs" && size % 8 > 0 { size + 300 } else { size };
        (gap, size, flag, fs, options, drive)
    }
}

/// A document of `nailgun_simple` over the first disks.
fn simple() -> impl Strategy<Value = Value> {
    let disk = (prop::bool::weighted(0.3), prop::collection::vec(partition(), 1..7));
    prop::collection::vec(disk, 1..DISKS.len()).prop_map(|disks| {
        let (mut parteds, mut fss) = (Vec::new(), Vec::new());
        for (name, (boot, parts)) in DISKS.iter().zip(disks) {
            let mut end = 1;
            let mut partitions = Vec::new();
            for (number, (gap, size, flag, fs, options, drive)) in (1..).zip(parts) {
                let (begin, device) = (end + gap, partition_name(name, number));
                end = begin + size;
                let flags: Vec<_> = Some(flag).filter(|flag| !flag.is_empty()).into_iter().collect();
                partitions.push(json!({
                    "name": device, "count": number, "device": name, "begin": begin, "end": end,
                    "partition_type": "primary", "flags": flags, "configdrive": drive,
                }));
                if !fs.is_empty() {
                    let mount = if fss.is_empty() { "/".into() } else { format!("/{}", fss.len()) };
                    fss.push(json!({"device": device, "mount": mount, "fs_type": fs, "fs_options": options}));
                }
            }
            parteds.push(
                json!({"name": name, "label": "gpt", "install_bootloader": boot, "partitions": partitions}),
            );
        }
        let mut document = document();
        document["partitioning"] = json!({"parteds": parteds, "fss": fss});
        document
    })
}

/// A document of `nailgun` over the first disks.
fn nailgun() -> impl Strategy<Value = Value> {
    let volume = (prop_oneof![5 => 1..500_i64, 1 => -9..1_i64], select(vec!["ext4", "xfs", "btrfs"]));
    let disk = prop::collection::vec(volume, 1..5);
    prop::collection::vec(disk, 1..DISKS.len()).prop_map(|disks| {
        let mut mounted = 0;
        let spaces = DISKS.iter().zip(disks).map(|(name, volumes)| {
            let name = name.trim_start_matches("/dev/");
            let volumes: Vec<_> = volumes
                .into_iter()
                .map(|(size, fs)| {
                    let mount = if mounted == 0 { "/".into() } else { format!("/{mounted}") };
                    mounted += 1;
                    json!({"type": "partition", "size": size, "mount": mount, "file_system": fs, "name": "v"})
                })
                .collect();
            json!({
                "type": "disk", "id": name, "name": name, "size": 1000, "extra": [], "free_space": 0,
                "volumes": volumes,
            })
        });
        let spaces: Vec<_> = spaces.collect();
        let mut document = document();
        document["ks_meta"]["pm_data"]["ks_spaces"] = json!(spaces);
        document
    })
}

/// Puts something else in the place of some values of a layout.
fn broken(mut layout: Value, changes: &[(prop::sample::Index, Value)]) -> Value {
    for (at, value) in changes {
        let mut paths = Vec::new();
        leaves(&layout, String::new(), &mut paths);
        if let Some(leaf) = layout.pointer_mut(&paths[at.index(paths.len())]) {
            *leaf = value.clone();
        }
    }
    layout
}

fn leaves(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            // A label may be any text.
            if key != "fs_label" {
                leaves(value, format!("{path}/{key}"), paths);
            }
        }),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| leaves(value, format!("{path}/{i}"), paths));
        }
        _ => {}
    }
    paths.push(path);
}

/// What takes the place of a value.
fn anything() -> impl Strategy<Value = Value> {
    select(vec![
        json!(0),
        json!(1),
        json!(3),
        json!(-1),
        json!(u64::MAX),
        json!((1_u64 << 43) - 1),
        json!(null),
        json!(""),
        json!([]),
        json!({}),
        json!(true),
        json!("/dev/sdz"),
        json!("/dev/sdz1"),
        json!("/dev/sda1"),
        json!("/dev/sda"),
        json!("sdz"),
        json!("../sdz"),
        json!("msdos"),
        json!("esp"),
        json!("swap"),
        json!("/"),
    ])
}

fn laid_out(plan: &Plan) -> Vec<&LayOutDisk> {
    let disks = plan.steps.iter().filter_map(|step| match &step.action {
        Action::LayOut(disk) => Some(disk),
        _ => None,
    });
    disks.collect()
}

/// A table lies within its disk, and its partitions beside each other.
fn fits(table: &Table, machine: &Machine) {
    let device = machine.device(&table.disk).expect("a disk of the machine");
    let (sector, size) = (device.sector_size().0, device.size().expect("a size").0);
    // 128 entries of 128 bytes and a header, at the beginning behind a protective MBR (UEFI 2.10, 5.3).
    let entries = 128 * 128 / sector;
    let (first, end) = (2 + entries, size / sector - entries - 1);
    let mut parts: Vec<_> = table.partitions.iter().collect();
    parts.sort_by_key(|partition| partition.start);
    let mut free = first.max((1 << 20) / sector);
    for partition in parts {
        assert!(partition.start >= free, "{partition:?} begins before {free}");
        assert!(partition.size > 0 && partition.start + partition.size <= end, "{partition:?} beyond {end}");
        assert!((partition.start * sector).is_multiple_of(1 << 20), "{partition:?}");
        free = partition.start + partition.size;
    }
    let numbers: BTreeSet<_> = table.partitions.iter().map(|partition| partition.number).collect();
    assert_eq!(numbers.len(), table.partitions.len());
    assert!(numbers.iter().all(|number| (1..=128).contains(number)));
}

/// What a plan that is not refused must hold to.
fn holds(plan: &Plan, machine: &Machine) {
    let scheme = &plan.deployment.partition_scheme;
    let disks: BTreeSet<_> = scheme.parteds.iter().map(|parted| parted.name.clone()).collect();
    let mut own = disks.clone();
    if plan.refusals_of(&[Stage::Partition]).is_empty() {
        let mut made: BTreeMap<&str, usize> = BTreeMap::new();
        let laid_out = laid_out(plan);
        assert_eq!(laid_out.len(), disks.len(), "each disk once");
        for LayOutDisk { table, file_systems, .. } in laid_out {
            fits(table, machine);
            let parts: Vec<_> =
                table.partitions.iter().map(|part| partition_name(&table.disk, part.number)).collect();
            for fs in file_systems {
                assert!(parts.contains(&fs.device), "{} is not of {}", fs.device, table.disk);
                *made.entry(&fs.device).or_default() += 1;
            }
        }
        assert!(made.values().all(|times| *times == 1), "made more than once: {made:?}");
        let imaged = |device: &str| plan.deployment.image_scheme.iter().any(|i| i.target_device == device);
        for fs in &scheme.fss {
            assert_eq!(made.contains_key(&*fs.device), !imaged(&fs.device), "{}", fs.device);
        }
    }
    for parted in &scheme.parteds {
        own.extend(parted.partitions.iter().map(|partition| parted.partition_name(partition.count)));
    }
    for step in plan.steps.iter().filter(|step| plan.refusals_of(&[step.stage]).is_empty()) {
        for device in devices(step) {
            assert!(own.contains(&device), "{device} is not of a disk that is named: {:?}", step.commands());
        }
    }
}

/// Each device that a step names to a command or writes itself.
fn devices(step: &Step) -> Vec<String> {
    let calls = step.calls();
    let arguments = calls.iter().flat_map(bareon_host::Cmd::arguments);
    let words = arguments.map(|argument| argument.to_string_lossy().into_owned());
    // What has `/dev/` elsewhere is a mount point below the target's, or a script for a shell.
    let devices = words.filter_map(|word| {
        let value = word.rsplit('=').next().unwrap_or_default();
        (value.starts_with("/dev/") && value != "/dev/null").then(|| value.to_owned())
    });
    devices.chain(step.image_targets()).collect()
}

proptest! {
    #[test]
    fn a_layout_that_is_not_refused_stays_within_its_disks(
        document in simple(), machine in machine(), firmware in firmware(),
    ) {
        holds(&planned("nailgun_simple", &document, &machine, firmware).unwrap_or_else(|| {
            // The root file system is missing where no partition has one.
            planned("nailgun_simple", &with_root(&document), &machine, firmware).unwrap()
        }), &machine);
    }

    #[test]
    fn a_layout_of_nailgun_that_is_not_refused_stays_within_its_disks(
        document in nailgun(), machine in machine(), firmware in firmware(),
    ) {
        // A root without a size is the driver's to refuse.
        if let Some(plan) = planned("nailgun", &document, &machine, firmware) {
            holds(&plan, &machine);
        }
    }

    #[test]
    fn a_broken_layout_is_shown_and_writes_to_no_other_disk(
        (simple, nailgun) in (simple(), nailgun()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), anything()), 1..4),
        machine in machine(), firmware in firmware(),
    ) {
        for (driver, mut document, pointer) in [
            ("nailgun_simple", with_root(&simple), "/partitioning"),
            ("nailgun", nailgun, "/ks_meta/pm_data/ks_spaces"),
        ] {
            let layout = document.pointer_mut(pointer).unwrap();
            *layout = broken(layout.take(), &changes);
            let Some(plan) = planned(driver, &document, &machine, firmware) else { continue };
            prop_assert!(!plan.to_string().is_empty());
            prop_assert!(plan.to_json().is_object());
            holds(&plan, &machine);
        }
    }
}

/// The properties say something: of random layouts, many are not refused.
#[test]
fn many_random_layouts_are_taken() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    for (driver, documents) in [("nailgun_simple", simple().boxed()), ("nailgun", nailgun().boxed())] {
        let mut taken = 0;
        for _ in 0..200 {
            let document = documents.new_tree(&mut runner).unwrap().current();
            let machine = machine().new_tree(&mut runner).unwrap().current();
            let plan = planned(driver, &document, &machine, Firmware::Bios);
            taken += usize::from(plan.is_some_and(|plan| plan.refusals_of(&[Stage::Partition]).is_empty()));
        }
        assert!(taken >= 20, "only {taken} of 200 layouts of {driver} were taken");
    }
}

#[test]
fn an_id_changes_with_what_is_done_what_is_lost_and_whose_disks_they_are() {
    let part = json!({
        "name": "/dev/sda1", "count": 1, "device": "/dev/sda", "begin": 1, "end": 900, "partition_type": "primary",
    });
    let mut document = document();
    document["partitioning"] = json!({
        "parteds": [{"name": "/dev/sda", "label": "gpt", "partitions": [part]}],
        "fss": [{"device": "/dev/sda1", "mount": "/", "fs_type": "ext4"}],
    });
    let content = json!({"disk": "/dev/sda", "device": "/dev/sda", "kind": "gpt", "size": 1_048_576_000});
    let disk = json!({
        "device": "/dev/sda", "size": 1_048_576_000, "contents": [content],
        "identity": {"serial": "S1", "wwn": null, "size": 1_048_576_000},
    });
    let id = |document: &Value, disk: &Value| {
        let machine = Machine::recorded(vec![serde_json::from_value(disk.clone()).unwrap()]);
        planned("nailgun_simple", document, &machine, Firmware::Bios).unwrap().id()
    };
    let same = id(&document, &disk);
    assert_eq!((same.len(), id(&document, &disk)), (16, same.clone()));
    let changed = |value: &Value, pointer: &str, to: Value| {
        let mut value = value.clone();
        *value.pointer_mut(pointer).unwrap() = to;
        value
    };
    for (pointer, to) in [
        ("/partitioning/fss/0/fs_type", json!("xfs")),
        ("/partitioning/parteds/0/partitions/0/end", json!(800)),
        ("/ks_meta/pm_data/kernel_params", json!("quiet")),
        ("/ks_meta/auth_key", json!("another")),
    ] {
        assert_ne!(id(&changed(&document, pointer, to), &disk), same, "{pointer}");
    }
    for (pointer, to) in [("/identity/serial", json!("S2")), ("/contents/0/kind", json!("dos"))] {
        assert_ne!(id(&document, &changed(&disk, pointer, to)), same, "{pointer}");
    }
}

/// The document with a root file system on its first partition, if it has none.
fn with_root(document: &Value) -> Value {
    let mut document = document.clone();
    let fss = document["partitioning"]["fss"].as_array_mut().unwrap();
    if fss.is_empty() {
        fss.push(json!({"device": "/dev/sda1", "mount": "/", "fs_type": "ext4"}));
    }
    document
}
