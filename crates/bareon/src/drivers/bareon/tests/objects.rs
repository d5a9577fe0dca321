//! What sound documents come to.

use serde_json::json;

use super::{devices, disk, good, read_with, yaml};
use crate::{
    drivers::{DataDriver, Facts, bareon::Bareon},
    objects::{
        Mib,
        partition::{Label, Parted, PartitionType},
    },
};

/// The partitions of a disk: begin and end in MiB, and what they are.
fn shown(parted: &Parted) -> Vec<String> {
    parted
        .partitions
        .iter()
        .map(|partition| {
            let what = match () {
                () if partition.configdrive => "drive",
                () if partition.esp => "esp",
                () if partition.partition_type == PartitionType::Extended => "extended",
                () if partition.partition_type == PartitionType::Logical => "logical",
                () => partition.flags.first().map_or("", String::as_str),
            };
            format!("{} {}-{} {what}", partition.count, partition.begin.0, partition.end.0)
                .trim_end()
                .to_owned()
        })
        .collect()
}

#[test]
fn partitions_lie_where_they_are_said_to() {
    const ROOT: &str = "{size: 10GiB, mount: /, format: ext4}";
    // 100 GiB are 102400 MiB, of which a GPT leaves 102399.
    for (head, partitions, want) in [
        ("", ROOT.to_owned(), &["1 1-2 bios_grub", "2 2-514 esp", "3 514-10754", "4 10754-10774 drive"][..]),
        (
            "",
            "{size: remaining, mount: /, format: ext4}".into(),
            &["1 1-2 bios_grub", "2 2-514 esp", "3 514-102379", "4 102379-102399 drive"],
        ),
        (
            "",
            "{size: 50%, mount: /, format: ext4}, {size: 50%}".into(),
            &["1 1-2 bios_grub", "2 2-514 esp", "3 514-51446", "4 51446-102378", "5 102378-102398 drive"],
        ),
        (
            "",
            "{size: 1GiB, type: efi}, {size: remaining}, {size: 1GiB, start: 50GiB, mount: /, format: ext4}"
                .into(),
            &["1 1-2 bios_grub", "2 2-1026 esp", "3 1026-51200", "4 51200-52224", "5 52224-52244 drive"],
        ),
        (
            "",
            format!("{{size: 2MiB, type: bios_boot}}, {{size: 1B}}, {ROOT}"),
            &["1 1-513 esp", "2 513-515 bios_grub", "3 515-516", "4 516-10756", "5 10756-10776 drive"],
        ),
        (
            "boot: false, ",
            format!("{ROOT}, {{size: 1GB, type: swap, flags: [legacy_boot]}}"),
            &["1 1-10241", "2 10241-11195 swap", "3 11195-11215 drive"],
        ),
        ("table: mbr, ", ROOT.to_owned(), &["1 1-10241", "2 10241-10261 drive"]),
        (
            "table: mbr, ",
            format!("{ROOT}, {{size: 1GiB, flags: [boot]}}, {{size: 1GiB}}, {{size: remaining}}"),
            &[
                "1 1-10241",
                "2 10241-11265 boot",
                "3 11265-12289",
                "4 12289-102399 extended",
                "5 12290-102378 logical",
                "6 102379-102399 drive",
            ],
        ),
    ] {
        let deployment =
            good(&format!("disks: [{{match: {{serial: A}}, {head}partitions: [{partitions}]}}]"));
        assert_eq!(shown(&deployment.partition_scheme.parteds[0]), want, "{head}{partitions}");
    }
}

#[test]
fn disks_are_found_by_what_they_are() {
    for (by, node) in [
        ("serial: B", "/dev/sdb"),
        ("path: /dev/disk/by-id/x-C", "/dev/nvme0n1"),
        ("path: disk/by-path/p-A", "/dev/sda"),
        ("path: p-B", "/dev/sdb"),
        ("name: sda, model: SLOW DISK, rotational: true, size: \">= 100GB\"", "/dev/sda"),
    ] {
        let text =
            format!("disks: [{{match: {{{by}}}, partitions: [{{size: 1GiB, mount: /, format: ext4}}]}}]");
        let deployment = good(&text);
        assert_eq!(deployment.partition_scheme.parteds[0].name, node, "{by}");
        assert_eq!(
            (deployment.matches[0].disk.as_str(), &*deployment.matches[0].input_path),
            (node, "/disks/0")
        );
    }
    let facts = Facts {
        devices: &[],
        image_metadata: &|_| None,
        prepare_configdrive: true,
        configdrive_exists: false,
    };
    let document = yaml(&disk("{size: 1GiB, mount: /, format: ext4}"));
    let asked = Bareon.disks(&document, &facts).unwrap();
    assert_eq!((asked.len(), asked[0].wanted.to_string()), (1, "serial A".into()));
    assert!(Bareon.disks(&json!({}), &facts).is_err());
}

/// Two disks with everything on them.
const STACKED: &str = "
disks:
- match: {serial: A}
  partitions: [{name: b0, size: 1GiB}, {name: r0, size: 50GiB}, {name: s0, size: remaining}]
- match: {serial: B}
  partitions: [{name: b1, size: 1GiB}, {name: r1, size: 50GiB}, {name: s1, size: 10GiB}]
- match: {serial: C}
  partitions: [{name: d, size: remaining}]
raids:
- {name: boot, level: raid1, members: [b0, b1], metadata: 1.0, mount: /boot, format: ext2}
- {name: root, level: 1, members: [r0, r1]}
volume_groups:
- name: os
  members: [root]
  logical_volumes:
  - {name: root, size: 20GiB, mount: /, format: ext4}
  - {name: swap, size: 1GB, format: swap}
  - {name: srv-1, size: remaining, filesystem: {type: xfs, mount: /srv, label: srv, options: -K, mount_options: noatime}}
- {name: data, members: [s0, d], logical_volumes: [{name: a, size: 50%, format: xfs}]}
images: [{target: /, url: /r.img.gz}, {target: boot, url: /b.img, container: raw}, {target: data/a, url: /a.gz}]
kernel_params: '  quiet   splash '
";

#[test]
fn arrays_and_groups_lie_on_what_they_name() {
    let deployment = good(STACKED);
    let scheme = &deployment.partition_scheme;
    let boots: Vec<_> = scheme.parteds.iter().map(|parted| parted.install_bootloader).collect();
    assert_eq!(boots, [true, true, false], "/ and /boot lie on the first two");
    assert_eq!(scheme.configdrive_device(), Some("/dev/sda6"));
    let [boot, root] = scheme.mds.as_slice() else { panic!("{:?}", scheme.mds) };
    assert_eq!(
        (boot.name.as_str(), boot.level.as_str(), boot.metadata.as_str()),
        ("/dev/md0", "raid1", "1.0")
    );
    assert_eq!(boot.devices, ["/dev/sda3", "/dev/sdb3"]);
    assert_eq!((root.name.as_str(), root.metadata.as_str()), ("/dev/md1", "default"));
    let vgs: Vec<_> = scheme.vgs.iter().map(|vg| (vg.name.as_str(), vg.pvnames.join(" "))).collect();
    assert_eq!(vgs, [("os", "/dev/md1".into()), ("data", "/dev/sda5 /dev/nvme0n1p1".into())]);
    let lvs: Vec<_> = scheme.lvs.iter().map(|lv| (lv.device(), lv.size)).collect();
    assert_eq!(lvs[0], ("/dev/mapper/os-root".into(), Mib(20480)));
    assert_eq!(lvs[1], ("/dev/mapper/os-swap".into(), Mib(956)), "1 GB is 953.7 MiB, so 239 extents");
    // 51200 MiB less what md keeps (52 MiB) and LVM keeps (33 MiB), in extents of 4 MiB.
    assert_eq!(lvs[2], ("/dev/mapper/os-srv--1".into(), Mib(51112 - 20480 - 956)));
    let fs = |mount: &str| scheme.fs_by_mount(mount).unwrap();
    assert_eq!((fs("/boot").device.as_str(), fs("/boot").fs_type.as_str()), ("/dev/md0", "ext2"));
    assert_eq!(fs("swap").device, "/dev/mapper/os-swap");
    let srv = fs("/srv");
    assert_eq!((srv.fs_label.as_str(), srv.fs_options.as_str()), ("srv", "-K"));
    assert_eq!(srv.fstab_options.as_deref(), Some("noatime"));
    assert!(scheme.fss.iter().any(|fs| fs.device == "/dev/mapper/data-a" && fs.mount.is_none()));
    assert_eq!(deployment.grub.kernel_params, "quiet splash");
}

#[test]
fn objects_know_where_they_come_from() {
    let deployment = good(STACKED);
    for (object, place) in [
        ("parteds/0/partitions/2/end", "/disks/0/partitions/0/size"),
        ("parteds/0/partitions/0", "/disks/0"),
        ("parteds/1/label", "/disks/1/table"),
        ("mds/1/devices/0", "/raids/1/members/0"),
        ("mds/0/level", "/raids/0/level"),
        ("pvs/2", "/volume_groups/1/members/1"),
        ("vgs/1/name", "/volume_groups/1/name"),
        ("lvs/1/size", "/volume_groups/0/logical_volumes/1/size"),
        ("lvs/3/keep_data", "/volume_groups/1/logical_volumes/0/preserve"),
        ("fss/0/mount", "/raids/0/mount"),
        ("fss/3/fs_label", "/volume_groups/0/logical_volumes/2/filesystem/label"),
        ("fss/3/fs_type", "/volume_groups/0/logical_volumes/2/filesystem/type"),
    ] {
        assert_eq!(deployment.origins.of(&format!("/partition_scheme/{object}")), place, "{object}");
    }
    assert_eq!(deployment.origins.of("/image_scheme/1/uri"), "/images/1/url");
    assert_eq!(deployment.origins.of("/image_scheme/1/mirrors/0"), "/images/1/mirrors/0");
}

#[test]
fn an_image_is_known_by_its_document_or_by_its_metadata() {
    let deployment = good(STACKED);
    let images: Vec<_> = deployment
        .image_scheme
        .iter()
        .map(|image| (image.target_device.as_str(), image.format.as_str(), image.container.as_str()))
        .collect();
    let root = ("/dev/mapper/os-root", "ext4", "auto");
    assert_eq!(images, [root, ("/dev/md0", "ext2", "raw"), ("/dev/mapper/data-a", "xfs", "auto")]);
    let metadata = |uri: &str| {
        assert_eq!(uri, "http://h/i.yaml");
        let sum = "4355a46b19d348dc2f57c046f8ef63d4538ebb936000f3c9ee954a27460dd865";
        Some(format!(
            "os: {{name: Debian}}\nimages: [{{container_name: i.img.gz, raw_size: 5, raw_sha256: {sum}}}]"
        ))
    };
    let text = disk("{size: 1GiB, mount: /, format: ext4}");
    let deployment = read_with(&yaml(&text), &metadata).unwrap();
    assert_eq!((deployment.image_scheme[0].size, deployment.image_os.as_deref()), (Some(5), Some("Debian")));
    assert!(deployment.image_scheme[0].sha256.is_some());
    let sum = "0".repeat(64);
    let image =
        format!("{{target: /, url: \"http://h/i.gz\", mirrors: [/i.gz], container_sha256: \"{sum}\"}}");
    let text = format!("{}\nimages: [{image}]", disk("{size: 1GiB, mount: /, format: ext4}"));
    let deployment = read_with(&yaml(&text), &|uri| panic!("{uri} is not needed")).unwrap();
    let image = &deployment.image_scheme[0];
    assert_eq!(
        (image.container_sha256.as_ref(), image.mirrors.as_slice()),
        (Some(&sum), &["/i.gz".to_owned()][..])
    );
}

#[test]
fn what_is_preserved_stays_with_all_that_lies_on_it() {
    let kept = |text: &str| {
        let deployment = good(text);
        assert!(!deployment.skip_partitioning, "the rest of the disks is made anew");
        let scheme = deployment.partition_scheme;
        let partitions = scheme.partitions().filter(|it| it.keep_data).map(|it| it.name.clone());
        let mds = scheme.mds.iter().filter(|md| md.keep_data).map(|md| md.name.clone());
        let vgs = scheme.vgs.iter().filter(|vg| vg.keep_data).map(|vg| vg.name.clone());
        let lvs =
            scheme.lvs.iter().filter(|lv| lv.keep_data).map(crate::objects::partition::LogicalVolume::device);
        let fss = scheme.fss.iter().filter(|fs| fs.keep_data).map(|fs| format!("fs {}", fs.device));
        partitions.chain(mds).chain(vgs).chain(lvs).chain(fss).collect::<Vec<_>>()
    };
    let text = STACKED.replace(", {target: data/a, url: /a.gz}", "");
    let (srv, a) = ("/dev/mapper/os-srv--1".to_owned(), "/dev/mapper/data-a".to_owned());
    let volume =
        text.replace("size: remaining, filesystem: {", "size: remaining, preserve: true, filesystem: {");
    assert_eq!(kept(&volume), [srv.clone(), format!("fs {srv}")], "what carries it need not be marked");
    let content =
        text.replace("size: 50%, format: xfs", "size: 50%, filesystem: {type: xfs, preserve: true}");
    assert_eq!(kept(&content), [a.clone(), format!("fs {a}")]);
    let group = text.replace("{name: data, members", "{name: data, preserve: true, members");
    assert_eq!(kept(&group), ["data".into(), a.clone(), format!("fs {a}")]);
    let partition = text.replace("{name: d, size", "{name: d, preserve: true, size");
    assert_eq!(kept(&partition), ["/dev/nvme0n1p1".into(), "data".into(), a.clone(), format!("fs {a}")]);
}

#[test]
fn the_system_is_told_what_it_is() {
    let text = format!(
        "{}\n{}",
        disk("{size: 1GiB, mount: /, format: ext4}"),
        "
hostname: node-1.example.com
timezone: UTC
ntp: [10.0.0.1]
users:
- {name: root, ssh_keys: [ssh-ed25519 AAAA me]}
- {name: op, full_name: Operator, groups: [adm], sudo: true, hashed_password: $6$a$b}
files:
- {path: /etc/a, content: text}
- {path: /home/op/b, content: 'aGkK', encoding: base64, owner: 'op:op', mode: '0600', append: true}
network: {ethernets: {eth0: {dhcp4: true}}}
cloud_init: {packages: [chrony], ssh_pwauth: true}
"
    );
    let deployment = good(&text);
    assert_eq!(deployment.host.hostname.as_deref(), Some("node-1.example.com"));
    let ready = deployment.configdrive.unwrap().ready.unwrap();
    let want = json!({
        "manage_etc_hosts": "localhost", "disable_root": false, "ssh_pwauth": true,
        "growpart": {"mode": "off"}, "resize_rootfs": false, "apt": {"preserve_sources_list": true},
        "hostname": "node-1", "fqdn": "node-1.example.com", "timezone": "UTC",
        "ntp": {"enabled": true, "servers": ["10.0.0.1"]},
        "users": [
            {"name": "root", "lock_passwd": true, "ssh_authorized_keys": ["ssh-ed25519 AAAA me"]},
            {
                "name": "op", "gecos": "Operator", "shell": "/bin/bash", "hashed_passwd": "$6$a$b",
                "sudo": "ALL=(ALL) NOPASSWD:ALL", "lock_passwd": false, "groups": ["adm"],
            },
        ],
        "write_files": [
            {"path": "/etc/a", "owner": "root:root", "permissions": "0644", "content": "text"},
            {
                "path": "/home/op/b", "owner": "op:op", "permissions": "0600", "encoding": "b64", "content": "aGkK",
                "append": true, "defer": true,
            },
        ],
        "packages": ["chrony"],
    });
    assert_eq!(json!(ready.user_data), want);
    assert_eq!(json!(ready.meta_data), json!({"local-hostname": "node-1.example.com"}));
    assert_eq!(json!(ready.network_config), json!({"version": 2, "ethernets": {"eth0": {"dhcp4": true}}}));
}

#[test]
fn the_default_route_is_set_where_ifupdown_cannot() {
    let boot = |text: &str| {
        let text = format!("{}\n{text}", disk("{size: 1GiB, mount: /, format: ext4}"));
        good(&text).configdrive.unwrap().ready.unwrap().user_data.get("bootcmd").cloned()
    };
    let network = "network: {ethernets: {a: {routes: [{to: 10.0.0.0/8, via: 10.0.0.2}, {to: 0.0.0.0/0, via: 10.0.0.1}]}}}";
    let ours = boot(network).unwrap();
    assert!(
        ours[0].as_str().unwrap().contains("; then ip -4 route add default via 10.0.0.1 || true; fi"),
        "{ours}"
    );
    assert_eq!(boot(&format!("{network}\ncloud_init: {{bootcmd: [x]}}")).unwrap(), json!([ours[0], "x"]));
    assert_eq!(
        boot("network: {ethernets: {a: {dhcp4: true}}}\ncloud_init: {bootcmd: [x]}"),
        Some(json!(["x"]))
    );
    assert_eq!(boot("hostname: node"), None);
}

#[test]
fn the_examples_follow_the_schema() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/examples");
    let schema = Bareon.schema().unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let document = crate::input::read(&path).unwrap();
            assert!(jsonschema::is_valid(&schema, &document), "{}", path.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 5);
}

#[test]
fn the_document_in_the_readme_is_one() {
    let readme = include_str!("../../../../../../README.md");
    let section = readme.split("## Writing an input document").nth(1).unwrap();
    let text = section.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let deployment = good(&text.replace("S3Z9NB0K123456", "A").replace("AAAA…", "AAAA"));
    assert_eq!(deployment.image_scheme[0].target_device, "/dev/sda3");
}

#[test]
fn a_disk_may_have_a_master_boot_record() {
    let text = "disks: [{match: {serial: A}, table: mbr, boot: true, partitions: [{size: 1GiB, mount: /, format: ext4}]}]";
    let parted = &good(text).partition_scheme.parteds[0];
    assert_eq!((parted.label, parted.install_bootloader), (Label::Msdos, true));
    assert_eq!(devices().len(), 3);
}
