//! Layouts beyond one disk: arrays, volume groups, other tables and sectors; each boots, also without a disk it can miss.

use bareon_tests::vm::{
    boot::CHECK,
    document::{self, group, logical, mirror, physical, with_kernel_parameter},
    found::Found,
    job::Outcome,
    machine::{Bus, Firmware},
    scheme::{BOOT, Part, Scheme},
};
use serde_json::Value;

use crate::case::{Case, Facts, ok};

const SIMPLE: &str = "provision --data-driver nailgun_simple";

/// A machine with disks of that size, called `ONE`, `TWO`, …
fn machine(firmware: Firmware, bus: Bus, disks: usize, size_mib: u64) -> Case {
    let mut case = Case::bare(firmware);
    for serial in &["ONE", "TWO", "THREE", "FOUR"][..disks] {
        ok(case.machine.add_disk(bus, serial, size_mib));
    }
    case
}

/// A document for `scheme` that fetches the images for its mount points, for a machine that is to be
/// [checked](Case::check).
fn checked(case: &Case, scheme: &Scheme) -> Value {
    let boot =
        scheme.value()["fss"].as_array().is_some_and(|fss| fss.iter().any(|fs| fs["mount"] == "/boot"));
    with_kernel_parameter(document::simple(scheme, &case.images(boot), &case.key.public), CHECK)
}

/// Provisions the machine and compares what lies on its disks with `scheme`.
fn provision(case: &Case, document: &Value, scheme: &Value) {
    as_planned(&provisioned(case, document, SIMPLE), scheme);
}

/// Provisions the machine with `command`, and reads its disks back.
fn provisioned(case: &Case, document: &Value, command: &str) -> Outcome {
    let script = format!("{command} || exit 1; nothing_left || exit 2; read_back found");
    let outcome = case.run("provision", document, &script);
    assert_eq!(outcome.status, 0, "{outcome}");
    outcome
}

/// Compares what was read back with `scheme`.
fn as_planned(outcome: &Outcome, scheme: &Value) {
    let found = ok(Found::read(&outcome.dir.join("found")));
    let mut scheme = scheme.clone();
    // These two file systems are the images'.
    if let Some(fss) = scheme["fss"].as_array_mut() {
        fss.retain(|fs| fs["mount"] != "/" && fs["mount"] != "/boot");
    }
    assert_eq!(found.differences(&scheme, &[]), Vec::<String>::new(), "{outcome}");
}

/// Fails unless these are `mirrors` of two devices each, all there. The bystander's array has a number of its own.
fn whole(facts: &Facts, mirrors: usize) {
    let arrays = facts.get("mdstat").split("\nmd").skip(1).filter(|array| !array.starts_with("127 "));
    let whole = arrays.map(|array| array.contains("[2/2] [UU]")).collect::<Vec<_>>();
    assert_eq!(whole, vec![true; mirrors], "{facts}");
}

/// `/boot` and root on mirrors, data in a group on a third.
fn mirrors(disks: [&str; 2]) -> Scheme {
    let mut scheme = Scheme::default();
    let parts = [BOOT[0], BOOT[1], Part::new(220), Part::new(1500), Part::new(700)];
    let first = scheme.disk(disks[0], &[&parts[..], &[Part::config_drive()]].concat());
    let second = scheme.disk(disks[1], &parts);
    let pair = |number: usize| [first[number].as_str(), second[number].as_str()];
    let boot = scheme.md("/dev/md0", "mirror", "1.0", &pair(2), &[]);
    let root = scheme.md("/dev/md1", "raid1", "1.2", &pair(3), &[]);
    let data = scheme.md("/dev/md2", "1", "default", &pair(4), &[]);
    scheme.group("data", &[&data]);
    let swap = scheme.volume("data", "swap", 64);
    let srv = scheme.volume("data", "srv-data", 400);
    scheme.fs(&boot, "/boot", "ext2", "");
    scheme.fs(&root, "/", "ext4", "");
    scheme.fs(&swap, "swap", "swap", "swapspace");
    scheme.fs(&srv, "/srv/data", "xfs", "data");
    scheme
}

fn mirrors_boot_without_either(firmware: Firmware) {
    let mut case = machine(firmware, Bus::Virtio, 2, 3072);
    case.add_bystander();
    let scheme = mirrors(["/dev/vda", "/dev/vdb"]);
    let document = checked(&case, &scheme);
    provision(&case, &document, &scheme.value());
    let facts = case.check("both");
    whole(&facts, 3);
    let same = |facts: &Facts| {
        facts.has("root", "/dev/md1 ext4");
        facts.mounted("/srv/data", "xfs", "data");
        facts.mounted("/boot", "ext2", "");
        facts.has("swaps", "partition");
    };
    same(&facts);
    for (name, pulled) in [("without-first", 0), ("without-second", 1)] {
        let facts = case.check_without(name, &[pulled]);
        same(&facts);
        facts.has("files", "2 /srv/data/boots");
        assert!(facts.get("mdstat").contains("[2/1]"), "{facts}");
    }
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn bios_mirrors_boot_without_either_disk() {
    mirrors_boot_without_either(Firmware::Bios);
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn uefi_mirrors_boot_without_either_disk() {
    mirrors_boot_without_either(Firmware::Uefi);
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn nailgun_root_in_a_group_over_two_nvme_disks_and_a_mirror() {
    let case = machine(Firmware::Uefi, Bus::Nvme, 2, 3072);
    let on = |mib: u64| {
        vec![document::boot(200), mirror("/srv/mirror", "xfs", 400, "mirror"), physical("os", mib)]
    };
    let layout = [
        document::disk(&case.machine.disks[0], on(1000)),
        document::disk(&case.machine.disks[1], on(1300)),
        group("os", &[logical("root", "/", "ext4", 1800), logical("swap", "swap", "swap", 128)]),
    ];
    let document =
        with_kernel_parameter(document::document(&layout, &case.images(true), &case.key.public), CHECK);
    let outcome = provisioned(&case, &document, "provision plan --json >/out/plan.json && provision");
    let plan: Value = ok(serde_json::from_str(&outcome.file("plan.json")));
    as_planned(&outcome, &plan["partition_scheme"]);
    let facts = case.check("boot");
    facts.has("root", "/dev/mapper/os-root ext4");
    facts.mounted("/srv/mirror", "xfs", "mirror");
    facts.mounted("/boot", "ext2", "");
    facts.has("swaps", "partition");
    whole(&facts, 1);
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn scsi_root_on_raid_10_and_data_on_raid_5_with_a_spare() {
    let mut case = machine(Firmware::Bios, Bus::Scsi, 4, 1600);
    for (disk, wwn) in case.machine.disks.iter_mut().zip(0x5000_c500_0000_0001..) {
        disk.wwn = Some(wwn);
        // As some USB bridges and RAID controllers have it.
        disk.optimal_io = 33_553_920;
    }
    let mut scheme = Scheme::default();
    let parts = [BOOT[0], Part::new(900), Part::new(200), Part::config_drive()];
    let disks = ["/dev/sda", "/dev/sdb", "/dev/sdc", "/dev/sdd"].map(|disk| {
        let parts = if disk == "/dev/sda" { &parts[..] } else { &parts[..3] };
        scheme.disk(disk, parts)
    });
    let all = |number: usize| disks.iter().map(|disk| disk[number].as_str()).collect::<Vec<_>>();
    let root = scheme.md("/dev/md0", "10", "1.2", &all(1), &[]);
    let data = scheme.md("/dev/md1", "raid5", "default", &all(2)[..3], &all(2)[3..]);
    scheme.fs(&root, "/", "ext4", "");
    scheme.fs(&data, "/srv/data", "ext4", "data");
    let document = checked(&case, &scheme);
    provision(&case, &document, &scheme.value());
    let same = |facts: &Facts| {
        facts.has("root", "/dev/md0 ext4");
        facts.mounted("/srv/data", "ext4", "data");
    };
    same(&case.check("all"));
    let facts = case.check_without("without-second", &[1]);
    same(&facts);
    facts.has("mdstat", "[4/3]");
    facts.has("files", "2 /srv/data/boots");
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn bios_master_boot_record_with_five_partitions() {
    let case = machine(Firmware::Bios, Bus::Virtio, 1, 3072);
    let mut scheme = Scheme::default();
    let disk = scheme.dos_disk(
        "/dev/vda",
        &[
            Part::flag(220, "boot"),
            Part::config_drive(),
            Part::extended(2400),
            Part::logical(1500),
            Part::logical(128),
            Part::logical(300),
        ],
    );
    scheme.fs(&disk[0], "/boot", "ext2", "");
    scheme.fs(&disk[3], "/", "ext4", "");
    scheme.fs(&disk[4], "swap", "swap", "swapspace");
    scheme.fs(&disk[5], "/srv/data", "ext4", "data");
    let document = checked(&case, &scheme);
    provision(&case, &document, &scheme.value());
    let facts = case.check("boot");
    facts.has("root", "/dev/vda5 ext4");
    facts.mounted("/boot", "ext2", "");
    facts.mounted("/srv/data", "ext4", "data");
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn uefi_sectors_of_4096_bytes() {
    let mut case = machine(Firmware::Uefi, Bus::Virtio, 1, 3072);
    case.machine.disks[0].sector = 4096;
    let volumes = vec![
        document::boot(200),
        document::partition("/", "ext4", 1500, "system"),
        document::partition("/srv/data", "xfs", 400, "data"),
    ];
    let layout = [document::disk(&case.machine.disks[0], volumes)];
    let document = document::document(&layout, &case.images(true), &case.key.public);
    case.provision("provision", &document);
    let facts = case.boot("boot");
    facts.mounted("/", "ext4", "");
    facts.mounted("/srv/data", "xfs", "data");
    facts.has("labels", "cidata vfat");
    facts.has("mounts", "/boot /dev/vda3 ext2");
    facts.has("mounts", "/boot/efi /dev/vda2 vfat");
    facts.has("loader", "grubx64.efi");
    let nvram = facts.get("nvram");
    let current = nvram.lines().find_map(|line| line.strip_prefix("BootCurrent: ")).unwrap_or("none");
    let entry = nvram.lines().find(|line| line.starts_with(&format!("Boot{current}"))).unwrap_or("");
    assert!(entry.contains("debian"), "it did not boot by the entry that was made: {facts}");
}
