//! Whether what reads disks back for the other cases can be believed: a layout that is made by hand is as it should be, and
//! another is not.

use bareon_tests::vm::{
    by_hand,
    found::Found,
    machine::{Bus, Firmware},
    scheme::{BOOT, Part, Scheme},
};
use serde_json::json;

use crate::case::{Case, ok};

fn scheme() -> Scheme {
    let mut scheme = Scheme::default();
    let parts = [BOOT[0], BOOT[1], Part::new(64), Part::new(160), Part::new(100)];
    let disks = ["/dev/vda", "/dev/vdb"].map(|disk| scheme.disk(disk, &parts));
    let pair = |number: usize| [disks[0][number].as_str(), disks[1][number].as_str()];
    scheme.md("/dev/md0", "1", "1.0", &pair(2), &[]);
    scheme.md("/dev/md1", "mirror", "default", &pair(3), &[]);
    scheme.group("os", &["/dev/md1"]);
    let root = scheme.volume("os", "root", 100);
    scheme.group("my-data", &pair(4));
    let data = scheme.volume("my-data", "all", 150);
    scheme.fs("/dev/md0", "/boot", "ext4", "boot");
    scheme.fs(&root, "/", "ext4", "");
    scheme.fs(&data, "/srv", "ext2", "data");
    let parts = [Part::new(40), Part::extended(150), Part::logical(50), Part::logical(60)];
    let third = scheme.dos_disk("/dev/vdc", &parts);
    scheme.fs(&third[2], "swap", "swap", "swapspace");
    scheme
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn what_is_made_by_hand_is_read_back() {
    let mut case = Case::bare(Firmware::Bios);
    for (serial, size) in [("ONE", 512), ("TWO", 512), ("THREE", 256)] {
        ok(case.machine.add_disk(Bus::Virtio, serial, size));
    }
    let scheme = scheme().value();
    let script = format!(
        "mark() {{ :; }}; ({}); status=$?; cat /tmp/by-hand; read_back made; exit $status",
        by_hand::script(&scheme, &["/"])
    );
    let outcome = case.run("by-hand", &json!({}), &script);
    assert_eq!(outcome.status, 0, "{outcome}");
    let found = ok(Found::read(&outcome.dir.join("made")));
    assert_eq!(found.differences(&scheme, &["/"]), Vec::<String>::new());

    for (place, other) in [
        ("/parteds/0/partitions/3/begin", json!(150)),
        ("/parteds/1/partitions/1/flags", json!(["bios_grub"])),
        ("/parteds/2/label", json!("gpt")),
        ("/parteds/2/partitions/3/end", json!(150)),
        ("/mds/0/level", json!("raid10")),
        ("/mds/0/metadata", json!("1.2")),
        ("/mds/1/devices/0", json!("/dev/vda5")),
        ("/mds/1/name", json!("/dev/md5")),
        ("/vgs/1/pvnames", json!(["/dev/vda5"])),
        ("/lvs/1/size", json!(160)),
        ("/lvs/0/name", json!("boot")),
        ("/fss/0/fs_label", json!("")),
        ("/fss/1/mount", json!("/else")),
        ("/fss/3/fs_type", json!("ext4")),
    ] {
        let mut scheme = scheme.clone();
        *scheme.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = other;
        assert!(!found.differences(&scheme, &["/"]).is_empty(), "nobody sees {place}");
    }
}
