//! What is refused, change by change of a deployment that is not.

use bareon_host::Script;
use serde_json::json;

use super::{Stage, refusals};
use crate::{
    drivers::{self, Deployment, Facts, Mistake},
    hardware::{BlockDevice, Machine},
    objects::{
        Mib,
        partition::{
            FileSystem, Label, LogicalVolume, MultipleDevice, PartitionType, PhysicalVolume, VolumeGroup,
        },
    },
    steps::bootloader::Firmware,
};

fn machine() -> Machine {
    let disks = ["/dev/sda", "/dev/sdb"].map(|name| {
        let described = json!({"device": name, "size": 1000_u64 << 20, "bspec": {"ss": "512", "ro": "0"}});
        serde_json::from_value::<BlockDevice>(described).unwrap()
    });
    Machine::recorded(disks.into())
}

/// Two disks; the first has all that a machine boots from.
fn good() -> Deployment {
    let part = |disk: &str, number: u32, begin: u64, end: u64, flags: &[&str]| {
        json!({
            "name": format!("{disk}{number}"), "count": number, "device": disk, "begin": begin, "end": end,
            "partition_type": "primary", "flags": flags,
        })
    };
    let mut document = json!({
        "profile": "debian_12", "hostname": "n", "name_servers": "", "name_servers_search": "",
        "interfaces": {"eth0": {"mac_address": "52:54:00:12:34:56", "ip_address": "1.2.3.4", "netmask": "255.0.0.0"}},
        "kernel_options": {"netcfg/choose_interface": "52:54:00:12:34:56", "udevrules": ""},
        "ks_meta": {
            "auth_key": "k", "master_ip": "1.2.3.5",
            "image_data": {"/": {"uri": "http://h/i.img.gz", "format": "ext4", "container": "gzip"}},
            "pm_data": {"kernel_params": ""},
        },
    });
    document["partitioning"] = json!({
        "parteds": [
            {"name": "/dev/sda", "label": "gpt", "install_bootloader": true, "partitions": [
                part("/dev/sda", 1, 1, 25, &["bios_grub"]), part("/dev/sda", 2, 25, 225, &["esp"]),
                part("/dev/sda", 3, 225, 800, &[]), part("/dev/sda", 4, 800, 820, &[]),
            ]},
            {"name": "/dev/sdb", "label": "gpt", "partitions": [part("/dev/sdb", 1, 1, 999, &[])]},
        ],
        "fss": [
            {"device": "/dev/sda3", "mount": "/", "fs_type": "ext4", "fs_label": "root"},
            {"device": "/dev/sdb1", "mount": "/data", "fs_type": "xfs"},
        ],
    });
    document["partitioning"]["parteds"][0]["partitions"][3]["configdrive"] = json!(true);
    let machine = machine();
    let host = Script::default();
    let facts = Facts {
        devices: &machine.devices,
        image_metadata: &|_| None,
        prepare_configdrive: true,
        configdrive_exists: false,
    };
    let driver = drivers::find("nailgun_simple", std::path::Path::new("/nonexistent"), &host).unwrap();
    driver.read(&document, &facts).unwrap()
}

/// The places of what is refused, with the stages for which it is.
fn refused(deployment: &Deployment, machine: &Machine) -> Vec<(String, Vec<Stage>)> {
    let mut found: Vec<(String, Vec<Stage>)> = Vec::new();
    for refusal in refusals(deployment, machine, Firmware::Both, true) {
        let path = refusal.mistake.path.clone();
        match found.iter_mut().find(|(known, _)| *known == path) {
            Some((_, stages)) => stages.push(refusal.stage),
            None => found.push((path, vec![refusal.stage])),
        }
    }
    found
}

const ALL: &[Stage] = &Stage::ALL;
const LAYOUT: &[Stage] = &[Stage::Partition];
const COPY: &[Stage] = &[Stage::CopyImage];
const BOTH: &[Stage] = &[Stage::Partition, Stage::Bootloader];
const BOOT: &[Stage] = &[Stage::Bootloader];
const WRITING: &[Stage] = &Stage::WRITING;
const DISK: &str = "/partitioning/parteds/0";
const THIRD: &str = "/partitioning/parteds/0/partitions/2";
const ROOT: &str = "/partitioning/fss/0";
const DATA: &str = "/partitioning/fss/1";
const IMAGE: &str = "/ks_meta/image_data/~1";

type Change = fn(&mut Deployment);

/// Each change, where it is told, and what it forbids.
fn changes() -> Vec<(Change, String, &'static [Stage])> {
    macro_rules! at {
        ($place:expr, $key:expr, $stages:expr, $change:expr) => {
            ($change as Change, format!("{}{}", $place, $key), $stages)
        };
    }
    fn third(deployment: &mut Deployment) -> &mut crate::objects::partition::Partition {
        &mut deployment.partition_scheme.parteds[0].partitions[2]
    }
    fn fs(deployment: &mut Deployment, index: usize) -> &mut FileSystem {
        &mut deployment.partition_scheme.fss[index]
    }
    vec![
        at!("/deferred", "", ALL, |d| d.deferred.push(Mistake::new("/deferred", None, "odd", "mend it"))),
        at!("/partitioning/parteds/2", "", LAYOUT, |d| {
            let mut again = d.partition_scheme.parteds[1].clone();
            again.partitions.clear();
            d.partition_scheme.parteds.push(again);
        }),
        at!("/profile", "", BOOT, |d| (d.grub.version, d.grub_guessed) = (Some(1), false)),
        at!("/partitioning/parteds/2", "", WRITING, |d| {
            let mut unknown = d.partition_scheme.parteds[1].clone();
            (unknown.name, unknown.partitions) = ("/dev/sdz".into(), Vec::new());
            d.partition_scheme.parteds.push(unknown);
        }),
        at!("/partitioning/parteds/1/partitions/0", "/end", LAYOUT, |d| {
            d.partition_scheme.parteds[1].partitions[0].end = Mib(1000);
        }),
        at!("/partitioning/parteds/0/partitions/0", "/begin", LAYOUT, |d| {
            d.partition_scheme.parteds[0].partitions[0].begin = Mib(0);
        }),
        at!(THIRD, "/begin", LAYOUT, |d| third(d).begin = Mib(224)),
        at!(THIRD, "/end", LAYOUT, |d| third(d).end = Mib(225)),
        at!(THIRD, "/end", LAYOUT, |d| third(d).end = Mib(3)),
        at!(THIRD, "/name", WRITING, |d| {
            third(d).name = "/dev/sdz3".into();
            fs(d, 0).device = "/dev/sdz3".into();
            d.image_scheme[0].target_device = "/dev/sdz3".into();
        }),
        at!(THIRD, "/partition_type", LAYOUT, |d| third(d).partition_type = PartitionType::Logical),
        at!(THIRD, "/guid", LAYOUT, |d| third(d).guid = Some("0FC63DAF-8483-4772-8E79-3D69D8477DEX".into())),
        at!(THIRD, "/flags", LAYOUT, |d| third(d).flags.push("diag".into())),
        at!(DATA, "/mount", ALL, |d| fs(d, 1).mount = Some("//".into())),
        at!(DATA, "/mount", ALL, |d| fs(d, 1).mount = Some("none".into())),
        at!(DATA, "/device", ALL, |d| fs(d, 1).device = "/dev/sdz1".into()),
        at!(DATA, "/device", ALL, |d| fs(d, 1).device = "/dev/sda3".into()),
        at!(DATA, "/device", WRITING, |d| {
            (fs(d, 1).device, fs(d, 1).fs_type) = ("/dev/sda4".into(), "ext4".into());
        }),
        at!(DATA, "/fs_type", BOTH, |d| {
            (fs(d, 1).device, fs(d, 1).fs_type) = ("/dev/sda2".into(), "ext4".into());
        }),
        at!(DATA, "/fs_type", WRITING, |d| fs(d, 1).fs_type = "zfs".into()),
        at!(DATA, "/fs_type", LAYOUT, |d| d.partition_scheme.parteds[1].partitions[0].end = Mib(300)),
        at!(DATA, "/fs_label", LAYOUT, |d| fs(d, 1).fs_label = "thirteen long".into()),
        at!(DATA, "/fs_options", LAYOUT, |d| fs(d, 1).fs_options = "-m 0 /dev/sdz".into()),
        at!(DATA, "/fs_options", LAYOUT, |d| fs(d, 1).fs_options = "-l logdev=/dev/sdz".into()),
        at!(DATA, "/fs_options", LAYOUT, |d| fs(d, 1).fs_options = "../sdz".into()),
        at!(IMAGE, "/target_device", ALL, |d| d.image_scheme[0].target_device = "/dev/sdz1".into()),
        at!(IMAGE, "/container", COPY, |d| d.image_scheme[0].container = "zip".into()),
        at!(IMAGE, "/uri", COPY, |d| d.image_scheme[0].uri = "gopher://h/i".into()),
        at!(IMAGE, "/size", &[Stage::Partition, Stage::CopyImage], |d| {
            d.image_scheme[0].size = Some((575 << 20) + 1);
        }),
        at!("/partitioning", "/fss", BOOT, |d| fs(d, 0).mount = Some("/srv".into())),
        at!("/partitioning", "/parteds", BOOT, |d| d.partition_scheme.parteds[0].install_bootloader = false),
        at!(DISK, "", BOTH, |d| {
            d.partition_scheme.parteds[0].partitions[0].flags.clear();
        }),
        at!(DISK, "", BOTH, |d| {
            d.partition_scheme.parteds[0].partitions[1].esp = false;
        }),
        at!(ROOT, "/fs_type", WRITING, |d| fs(d, 0).fs_type = String::new()),
    ]
}

#[test]
fn each_change_is_refused_at_its_place_and_for_its_stages() {
    assert_eq!(refused(&good(), &machine()), []);
    for (number, (change, path, stages)) in changes().into_iter().enumerate() {
        let mut deployment = good();
        change(&mut deployment);
        assert_eq!(refused(&deployment, &machine()), [(path, stages.to_vec())], "change {number}");
    }
}

/// The second disk's partition in an array of one, and a group on that with one volume.
fn stacked() -> Deployment {
    let mut deployment = good();
    let scheme = &mut deployment.partition_scheme;
    scheme.fss[1].device = "/dev/mapper/os-data".into();
    scheme.mds.push(MultipleDevice {
        name: "/dev/md0".into(),
        level: "1".into(),
        devices: vec!["/dev/sdb1".into()],
        spares: Vec::new(),
        keep_data: false,
        metadata: "1.2".into(),
    });
    scheme.pvs.push(PhysicalVolume {
        name: "/dev/md0".into(),
        metadatasize: Mib(16),
        metadatacopies: 2,
        keep_data: false,
    });
    scheme.vgs.push(VolumeGroup { name: "os".into(), pvnames: vec!["/dev/md0".into()], keep_data: false });
    scheme.lvs.push(LogicalVolume {
        name: "data".into(),
        vgname: "os".into(),
        size: Mib(960),
        keep_data: false,
    });
    deployment
}

#[test]
fn what_cannot_be_stacked_is_refused_at_its_place() {
    const MD: &str = "/partitioning/mds/0";
    const VG: &str = "/partitioning/vgs/0";
    const LV: &str = "/partitioning/lvs/0";
    fn md(deployment: &mut Deployment) -> &mut MultipleDevice {
        &mut deployment.partition_scheme.mds[0]
    }
    assert_eq!(refused(&stacked(), &machine()), []);
    let changes: Vec<(String, &[Stage], Change)> = vec![
        (format!("{MD}/level"), ALL, |d| md(d).level = "7".into()),
        (format!("{MD}/devices"), ALL, |d| md(d).level = "6".into()),
        (format!("{MD}/metadata"), ALL, |d| md(d).metadata = "2".into()),
        (format!("{MD}/metadata"), ALL, |d| (md(d).level, md(d).metadata) = ("0".into(), "0.90".into())),
        (MD.into(), ALL, |d| md(d).spares.push("/dev/sdb1".into())),
        (MD.into(), ALL, |d| md(d).devices[0] = "/dev/sda1".into()),
        (MD.into(), ALL, |d| md(d).devices.push("/dev/mapper/os-data".into())),
        (VG.into(), WRITING, |d| {
            d.partition_scheme.pvs[0].metadatacopies = 3;
            d.partition_scheme.lvs[0].size = Mib(100);
        }),
        (VG.into(), WRITING, |d| d.partition_scheme.pvs[0].metadatasize = Mib(20)),
        (VG.into(), WRITING, |d| d.partition_scheme.lvs[0].size = Mib(964)),
        (VG.into(), WRITING, |d| {
            d.partition_scheme.vgs[0].pvnames.clear();
        }),
        (format!("{VG}/name"), ALL, |d| {
            d.partition_scheme.vgs[0].name = "-os".into();
            d.partition_scheme.lvs[0].vgname = "-os".into();
            d.partition_scheme.fss[1].device = d.partition_scheme.lvs[0].device();
        }),
        (format!("{LV}/size"), LAYOUT, |d| d.partition_scheme.lvs[0].size = Mib(0)),
        ("/partitioning/lvs/1".into(), ALL, |d| {
            let mut again = d.partition_scheme.lvs[0].clone();
            again.size = Mib(1);
            d.partition_scheme.lvs[0].size = Mib(1);
            d.partition_scheme.lvs.push(again);
        }),
        (DATA.into(), ALL, |d| {
            d.partition_scheme.fss[1].device = "/dev/md0".into();
        }),
    ];
    for (number, (path, stages, change)) in changes.into_iter().enumerate() {
        let mut deployment = stacked();
        change(&mut deployment);
        let found = refused(&deployment, &machine());
        assert!(found.contains(&(path, stages.to_vec())), "change {number}: {found:?}");
    }
}

/// The second disk with a master boot record: two primary partitions, an extended one, two logical ones.
fn with_logical_partitions() -> Deployment {
    let mut deployment = good();
    let parted = &mut deployment.partition_scheme.parteds[1];
    let first = parted.partitions[0].clone();
    let kinds = [
        (1, 1, 100, PartitionType::Primary),
        (2, 100, 200, PartitionType::Primary),
        (4, 200, 900, PartitionType::Extended),
        (5, 201, 400, PartitionType::Logical),
        (6, 401, 900, PartitionType::Logical),
    ];
    parted.partitions = kinds
        .iter()
        .map(|(count, begin, end, kind)| crate::objects::partition::Partition {
            name: format!("/dev/sdb{count}"),
            count: *count,
            begin: Mib(*begin),
            end: Mib(*end),
            partition_type: *kind,
            ..first.clone()
        })
        .collect();
    parted.label = Label::Msdos;
    deployment.partition_scheme.fss[1].fs_type = "ext4".into();
    deployment
}

#[test]
fn a_master_boot_record_has_rules_of_its_own() {
    const PARTS: &str = "/partitioning/parteds/1/partitions";
    fn part(deployment: &mut Deployment, index: usize) -> &mut crate::objects::partition::Partition {
        &mut deployment.partition_scheme.parteds[1].partitions[index]
    }
    assert_eq!(refused(&with_logical_partitions(), &machine()), []);
    let changes: Vec<(String, Change)> = vec![
        (format!("{PARTS}/4/begin"), |d| part(d, 4).begin = Mib(400)),
        (format!("{PARTS}/3/begin"), |d| part(d, 3).begin = Mib(200)),
        (format!("{PARTS}/4/begin"), |d| part(d, 4).end = Mib(901)),
        (format!("{PARTS}/2/count"), |d| part(d, 1).partition_type = PartitionType::Extended),
        (format!("{PARTS}/4/count"), |d| (part(d, 4).count, part(d, 4).name) = (7, "/dev/sdb7".into())),
        (format!("{PARTS}/1/count"), |d| (part(d, 1).count, part(d, 1).name) = (8, "/dev/sdb8".into())),
        (format!("{PARTS}/0/flags"), |d| part(d, 0).flags.push("bios_grub".into())),
        (format!("{PARTS}/0/guid"), |d| {
            part(d, 0).guid = Some("0FC63DAF-8483-4772-8E79-3D69D8477DE4".into());
        }),
    ];
    for (number, (path, change)) in changes.into_iter().enumerate() {
        let mut deployment = with_logical_partitions();
        change(&mut deployment);
        let found = refused(&deployment, &machine());
        assert!(found.contains(&(path, LAYOUT.to_vec())), "change {number}: {found:?}");
    }
}

#[test]
fn an_xfs_is_small_where_it_is_not_made() {
    let mut deployment = good();
    deployment.partition_scheme.parteds[1].partitions[0].end = Mib(301);
    assert_eq!(refused(&deployment, &machine()), []);
    deployment.partition_scheme.parteds[1].partitions[0].end = Mib(300);
    let mut kept = deployment.clone();
    kept.partition_scheme.fss[1].keep_data = true;
    let refusals = refusals(&kept, &machine(), Firmware::Both, true);
    assert!(refusals.iter().all(|refusal| !refusal.mistake.problem.contains("xfs needs")), "{refusals:?}");
    let mut image = deployment.image_scheme[0].clone();
    image.target_device = "/dev/sdb1".into();
    deployment.image_scheme.push(image);
    assert_eq!(refused(&deployment, &machine()), []);
}

#[test]
fn a_partition_number_is_its_own_and_one_that_a_gpt_has() {
    for number in [0, 1, 129] {
        let mut deployment = good();
        let parted = &mut deployment.partition_scheme.parteds[0];
        parted.partitions[3].count = number;
        parted.partitions[3].name = parted.partition_name(number);
        let path = if number == 1 { DISK.to_owned() } else { format!("{DISK}/partitions/3/count") };
        assert_eq!(refused(&deployment, &machine()), [(path, LAYOUT.to_vec())]);
    }
}

#[test]
fn a_disk_that_can_only_be_read_is_not_written() {
    let mut machine = machine();
    machine.devices[1].bspec.insert("ro".into(), json!("1"));
    assert_eq!(refused(&good(), &machine), [("/partitioning/parteds/1".to_owned(), WRITING.to_vec())]);
}

#[test]
fn the_end_of_the_disk_is_the_tables() {
    // 999 MiB end before the backup table of a disk of 999 MiB and 33 sectors, and not one sector less.
    for (sector, odd, fits) in [(512, 33, true), (512, 32, false), (4096, 33, true)] {
        let mut machine = machine();
        machine.devices[1].size = Some((999 << 20) + odd * sector);
        machine.devices[1].bspec.insert("ss".into(), json!(sector.to_string()));
        assert_eq!(refused(&good(), &machine).is_empty(), fits, "{odd} sectors of {sector}");
    }
}

#[test]
fn grub_legacy_reads_boot_from_a_mirror_with_its_superblock_at_the_end_only() {
    let told = |level: &str, metadata: &str, device: &str| {
        let mut deployment = stacked();
        (deployment.grub.version, deployment.grub_guessed) = (Some(1), false);
        let scheme = &mut deployment.partition_scheme;
        (scheme.mds[0].level, scheme.mds[0].metadata) = (level.into(), metadata.into());
        (scheme.fss[1].device, scheme.fss[1].mount) = (device.into(), Some("/boot".into()));
        let checks = refusals(&deployment, &machine(), Firmware::Bios, true);
        let told = checks.iter().map(|refusal| refusal.mistake.to_string());
        told.filter(|told| told.contains("GRUB legacy")).collect::<std::collections::BTreeSet<_>>()
    };
    for (level, metadata, device, problem) in [
        ("1", "0.90", "/dev/md0", None),
        ("1", "1.0", "/dev/md0", None),
        ("1", "1.2", "/dev/md0", Some("/partitioning/mds/0/metadata: ")),
        ("1", "default", "/dev/md0", Some("/partitioning/mds/0/metadata: ")),
        ("0", "1.0", "/dev/md0", Some("/partitioning/mds/0/level: ")),
        ("1", "1.2", "/dev/mapper/os-data", Some("/partitioning/fss/1/device: ")),
    ] {
        let told = told(level, metadata, device);
        assert_eq!(told.len(), usize::from(problem.is_some()), "{level} {metadata}: {told:?}");
        assert!(told.iter().all(|told| problem.is_some_and(|problem| told.starts_with(problem))), "{told:?}");
    }
}

#[test]
fn an_image_that_no_sum_is_known_of_is_refused_before_it_is_written() {
    let mut deployment = good();
    let refused = |deployment: &Deployment| {
        let refusals = refusals(deployment, &machine(), Firmware::Both, false);
        refusals.into_iter().map(|one| (one.stage, one.mistake.to_string())).collect::<Vec<_>>()
    };
    let [(stage, message)] = &refused(&deployment)[..] else { panic!("{:?}", refused(&deployment)) };
    assert_eq!(*stage, Stage::CopyImage);
    assert!(message.starts_with(IMAGE) && message.contains("allow_unverified=true"), "{message}");
    deployment.image_scheme[0].md5 = Some("0".repeat(32));
    assert_eq!(refused(&deployment), []);
    (deployment.image_scheme[0].md5, deployment.image_scheme[0].container_blake3) =
        (None, Some("0".repeat(64)));
    assert_eq!(refused(&deployment), []);
    deployment.image_scheme[0].container_blake3 = None;
    // An address that holds a sum is as good as one beside it, where all of them do.
    deployment.image_scheme[0].uri = format!("oci://registry/a@sha256:{}", "0".repeat(64));
    assert_eq!(refused(&deployment), []);
    deployment.image_scheme[0].mirrors = vec!["oci://registry/a:latest".to_owned()];
    assert_eq!(refused(&deployment).len(), 1);
}

#[test]
fn an_image_by_tftp_needs_a_strong_sum_in_any_case() {
    let mut deployment = good();
    let image = &mut deployment.image_scheme[0];
    (image.md5, image.mirrors) = (Some("0".repeat(32)), vec!["tftp://server/image".to_owned()]);
    let refused = |deployment: &Deployment| {
        let refusals = refusals(deployment, &machine(), Firmware::Both, true);
        refusals.into_iter().map(|one| one.mistake.to_string()).collect::<Vec<_>>()
    };
    let told = refused(&deployment);
    let [message] = &told[..] else { panic!("{told:?}") };
    assert!(message.contains("/mirrors/0") && message.contains("serve it by HTTP"), "{message}");
    deployment.image_scheme[0].sha512 = Some("0".repeat(128));
    assert_eq!(refused(&deployment), Vec::<String>::new());
    // The data of a disk of QEMU are known when it was unpacked.
    deployment.image_scheme[0].format = "qcow2".into();
    assert_eq!(refused(&deployment), [message.as_str()]);
    deployment.image_scheme[0].container_sha256 = Some("0".repeat(64));
    assert_eq!(refused(&deployment), Vec::<String>::new());
}
