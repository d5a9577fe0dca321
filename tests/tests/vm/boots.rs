//! Machines that are provisioned and boot: by BIOS and UEFI, from virtio and `NVMe`, once and again.

use std::fs;

use bareon_tests::vm::{
    assets::OVMF_VARS,
    boot::CHECK,
    document::{partition, with_kernel_parameter},
    machine::{Bus, Firmware},
};

use crate::case::{Case, Facts, ok};

/// A layout with every type of file system, beside `/`.
fn all_file_systems() -> Vec<serde_json::Value> {
    vec![
        partition("/", "ext4", 1400, "system"),
        partition("swap", "swap", 64, "swapspace"),
        partition("/srv/xfs", "xfs", 320, "data-xfs"),
        partition("/srv/btrfs", "btrfs", 160, "data-btrfs"),
        partition("/srv/vfat", "vfat", 64, "DATAVFAT"),
        partition("/srv/ext3", "ext3", 64, "data-ext3"),
        partition("/srv/ext2", "ext2", 64, "data-ext2"),
    ]
}

fn assert_all_file_systems(facts: &Facts) {
    facts.mounted("/", "ext4", "");
    facts.mounted("/srv/xfs", "xfs", "data-xfs");
    facts.mounted("/srv/btrfs", "btrfs", "data-btrfs");
    facts.mounted("/srv/vfat", "vfat", "DATAVFAT");
    facts.mounted("/srv/ext3", "ext3", "data-ext3");
    facts.mounted("/srv/ext2", "ext2", "data-ext2");
    facts.has("swaps", "partition");
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn bios_virtio_every_file_system_twice_and_a_bystander() {
    let mut case = Case::new(Firmware::Bios, Bus::Virtio);
    case.add_bystander();
    let before: Vec<_> = case.machine.disks.iter().map(|disk| ok(disk.sha256())).collect();
    let document = case.document(all_file_systems());

    let plans = "bareon-provision --input-data-file /tmp/provision.json plan >/out/plan.txt &&
        bareon-provision --input-data-file /tmp/provision.json plan --json >/out/plan.json &&
        bareon-provision --input-data-file /tmp/provision.json --dry-run >/out/dry-run.txt && nothing_left";
    let outcome = case.run("plan", &document, plans);
    assert_eq!(outcome.status, 0, "{outcome}");
    assert!(outcome.file("plan.txt").contains("/srv/btrfs"), "{}", outcome.file("plan.txt"));
    assert_eq!(outcome.file("plan.txt"), outcome.file("dry-run.txt"));
    for (disk, before) in case.machine.disks.iter().zip(&before) {
        assert_eq!(ok(disk.sha256()), *before, "a plan wrote to {}", disk.serial);
    }

    case.provision("first", &document);
    let first = case.boot("first-boot");
    assert_all_file_systems(&first);
    first.has("labels", "swapspace swap");
    let size: u64 = ok(first.get("root-size").parse());
    assert!(size > 1200 << 20, "the root file system was not grown: {first}");

    case.provision("second", &with_kernel_parameter(document, CHECK));
    let second = case.check("second-boot");
    assert_all_file_systems(&second);
    assert_ne!(first.get("fstab"), second.get("fstab"), "file systems made anew have new UUIDs");
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn uefi_nvme_boots_without_its_nvram_too() {
    let case = Case::new(Firmware::Uefi, Bus::Nvme);
    case.provision("provision", &case.document(vec![partition("/", "ext4", 1400, "system")]));
    // As after a new main board: only the removable path leads to the boot loader.
    fs::copy(OVMF_VARS, case.machine.dir.join("vars.fd")).unwrap();
    let facts = case.boot("boot");
    facts.has("root", "/dev/nvme0n1p3");
    facts.has("loader", "/boot/efi/EFI/BOOT/BOOTX64.EFI");
}
