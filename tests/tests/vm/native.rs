//! The format for people: two disks in a mirror with LVM on it, then the same again with one volume preserved. It boots to
//! a login, also without a disk, and its EFI system partitions stay alike.

use bareon_tests::vm::{
    document::{ADDRESS, HOSTNAME, KERNEL_PARAMETER},
    machine::{Bus, FAST, Firmware, MAC},
};
use serde_json::{Value, json};

use crate::case::{Case, ok};

fn document(case: &Case) -> Value {
    let disk = |serial: &str, names: [&str; 2]| {
        let partitions = names.map(
            |name| json!({"name": name, "size": if name.starts_with("boot") {"220MiB"} else {"remaining"}}),
        );
        json!({"match": {"path": format!("/dev/disk/by-id/virtio-{serial}")}, "boot": true, "partitions": partitions})
    };
    let images = case.images(true);
    let image =
        |(target, url): &(&str, String)| json!({"target": target, "url": url, "mirrors": ["/nowhere"]});
    json!({
        "version": 1,
        "hostname": HOSTNAME,
        "timezone": "Etc/UTC",
        "kernel_params": format!("console=ttyS0,115200 loglevel=4 {KERNEL_PARAMETER} {FAST}"),
        "disks": [disk("TARGET", ["boot0", "pv0"]), disk("SECOND", ["boot1", "pv1"])],
        "raids": [
            {"name": "boot", "level": 1, "members": ["boot0", "boot1"], "metadata": "1.0", "mount": "/boot", "format": "ext2"},
            {"name": "pv", "level": "raid1", "members": ["pv0", "pv1"]},
        ],
        "volume_groups": [{"name": "os", "members": ["pv"], "logical_volumes": [
            {"name": "root", "size": "1600MiB", "mount": "/", "format": "ext4"},
            {"name": "srv", "size": "remaining", "filesystem": {"type": "xfs", "mount": "/srv", "label": "srv"}},
        ]}],
        "images": images.iter().map(image).collect::<Vec<_>>(),
        "users": [
            {"name": "root", "ssh_keys": [case.key.public]},
            {"name": "op", "sudo": true, "hashed_password": "$6$salt$hash"},
        ],
        "files": [{"path": "/srv/from-cloud-init", "content": "text"}],
        "network": {"ethernets": {"eth0": {
            "match": {"macaddress": MAC}, "set-name": "eth0", "addresses": [ADDRESS],
            "routes": [{"to": "0.0.0.0/0", "via": "10.0.2.2"}],
        }}},
    })
}

/// Lays the disks out, and leaves a file on the volume that is to be preserved. The bystander's group is called as ours.
const FILL: &str = r#"
provision --data-driver bareon partition && nothing_left || exit 1
[ -b /dev/mapper/os-srv ] || lvm vgchange -qq -ay --select 'vg_name=os && pv_name!~"vdc"'
mount /dev/mapper/os-srv /mnt && head -c 3000000 /dev/urandom >/mnt/kept || exit 2
sha256sum </mnt/kept >/out/sum
umount /mnt"#;

/// Changes a file on each EFI system partition, the second time on the one that is not mounted, and looks what becomes
/// of it on the other. The timer is stopped: what changes at `/boot/efi` is seen by itself.
const ESPS: &str = r#"
fact kept sh -c 'sha256sum </srv/kept'
fact mdstat cat /proc/mdstat
fact units systemctl is-active bareon-esp-sync.path bareon-esp-sync.timer
systemctl stop bareon-esp-sync.timer
other=$(lsblk -nrpo PATH,PARTTYPE | sed -n 's/ c12a7328-f81f-11d2-ba4b-00a0c93ec93b$//p' |
    grep -vx "$(findmnt -no SOURCE /boot/efi)")
fact other echo "$other"
echo first >/boot/efi/EFI/debian/changed
for second in $(seq 120); do
    journalctl -qu bareon-esp-sync | grep -q 'copied .*/changed' && break
    sleep 1
done
while [ "$(systemctl is-active bareon-esp-sync)" = activating ]; do sleep 1; done
mount "$other" /mnt
fact alike diff -r /boot/efi /mnt
fact first cat /mnt/EFI/debian/changed
echo second >/mnt/EFI/debian/changed
umount /mnt
systemctl start bareon-esp-sync
fact second cat /boot/efi/EFI/debian/changed
fact said journalctl -qu bareon-esp-sync
fact result systemctl show -P Result bareon-esp-sync
"#;

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn a_mirror_with_a_volume_that_is_preserved() {
    let mut case = Case::new(Firmware::Uefi, Bus::Virtio);
    ok(case.machine.add_disk(Bus::Virtio, "SECOND", 3072));
    // It has a group `os`, too: neither the run nor the installed system may mistake it for its own.
    case.add_bystander();
    let mut document = document(&case);
    let first = case.run("first", &document, FILL);
    assert_eq!(first.status, 0, "{first}");
    document["volume_groups"][0]["logical_volumes"][1]["preserve"] = json!(true);
    let outcome = case.run("again", &document, "provision --data-driver bareon && nothing_left");
    assert_eq!(outcome.status, 0, "{outcome}");

    let facts = case.boot_and_ask("both", ESPS);
    facts.has("root", "/dev/mapper/os-root ext4");
    facts.mounted("/srv", "xfs", "srv");
    facts.mounted("/boot", "ext2", "");
    facts.is("kept", first.file("sum").trim());
    facts.has("home", "from-cloud-init");
    facts.has("home", "op");
    facts.is("units", "active\nactive");
    facts.has("other", "/dev/vd");
    facts.is("alike", "");
    facts.is("first", "first");
    facts.is("second", "second");
    facts.is("result", "success");

    // The config drive lies on the first.
    let facts = case.boot_without("without-second", &[1]);
    facts.has("root", "/dev/mapper/os-root ext4");
    facts.mounted("/srv", "xfs", "srv");
    facts.has("mounts", "/boot/efi");
}
