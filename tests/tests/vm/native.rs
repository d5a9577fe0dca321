//! The format for people: two disks in a mirror with LVM on it, then the same again with one volume preserved.

use bareon_tests::vm::{
    document::{ADDRESS, HOSTNAME, KERNEL_PARAMETER},
    machine::{Bus, FAST, Firmware, MAC},
};
use serde_json::{Value, json};

use crate::case::{Case, ok};

fn document(case: &Case) -> Value {
    let disk = |serial: &str, names: [&str; 2]| {
        let partitions = names.map(
            |name| json!({"name": name, "size": if name.starts_with("boot") {"300MiB"} else {"remaining"}}),
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

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn a_mirror_with_a_volume_that_is_preserved() {
    let mut case = Case::new(Firmware::Uefi, Bus::Virtio);
    ok(case.machine.add_disk(Bus::Virtio, "SECOND", 3072));
    let mut document = document(&case);
    let keep = "provision --data-driver bareon && nothing_left &&
        mdadm --assemble --scan --run; lvm vgchange -qq -ay os && mount /dev/os/srv /mnt && echo kept >/mnt/kept &&
        umount /mnt && lvm vgchange -qq -an os && mdadm --stop --scan";
    let outcome = case.run("first", &document, keep);
    assert_eq!(outcome.status, 0, "{outcome}");
    document["volume_groups"][0]["logical_volumes"][1]["preserve"] = json!(true);
    let outcome = case.run("again", &document, "provision --data-driver bareon && nothing_left");
    assert_eq!(outcome.status, 0, "{outcome}");
    let facts = case.boot("boot");
    facts.has("root", "/dev/mapper/os-root");
    facts.mounted("/srv", "xfs", "srv");
    facts.has("home", "kept");
    facts.has("home", "from-cloud-init");
    facts.has("home", "op");
}
