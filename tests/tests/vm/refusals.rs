//! What is refused reaches no disk: stacks that reach beyond the named disks, devices in use.

use bareon_tests::vm::{
    document,
    machine::{Bus, Firmware},
    scheme::{BOOT, Part, Scheme},
};

use crate::case::{Case, ok};

/// A disk with an array's member, a physical volume and `/`.
fn scheme(disks: &[&str]) -> Scheme {
    let mut scheme = Scheme::default();
    let parts = [BOOT[0], Part::new(60), Part::new(60), Part::new(60)];
    let disks: Vec<_> = disks.iter().map(|disk| scheme.disk(disk, &parts)).collect();
    let all = |number: usize| disks.iter().map(|disk| disk[number].as_str()).collect::<Vec<_>>();
    if disks.len() > 1 {
        scheme.md("/dev/md0", "1", "default", &all(1), &[]);
        scheme.group("os", &all(2));
        let data = scheme.volume("os", "data", 80);
        scheme.fs("/dev/md0", "/srv/mirror", "ext4", "");
        scheme.fs(&data, "/srv/data", "ext4", "");
    }
    scheme.fs(&disks[0][3], "/", "ext4", "");
    scheme
}

const SCRIPT: &str = "
# refused NAME DOCUMENT: the run fails, and says why in /out/NAME.
refused() {
    bareon-provision --data-driver nailgun_simple --input-data-file /tmp/$2.json --log-file /out/$1.log --debug \\
        --http-max-retries 1 partition 2>/out/$1 && { echo $1 was not refused; exit 1; }
    nothing_left || exit 2
}
mkdir -p /tmp/mnt
mount -o ro,noload /dev/md0 /tmp/mnt
mounts >/tmp/now
mv /tmp/now /tmp/mounts
refused mounted two
umount /tmp/mnt
mounts >/tmp/now
mv /tmp/now /tmp/mounts
refused both-active one
lvm vgchange -an os
mdadm --stop /dev/md0
udevadm settle
refused both-asleep one";

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn nothing_is_written_where_others_lose_or_use_something() {
    let mut case = Case::bare(Firmware::Bios);
    case.machine.assembles = true;
    for serial in ["ONE", "TWO"] {
        ok(case.machine.add_disk(Bus::Virtio, serial, 256));
    }
    case.add_bystander();
    let image = [("/", case.images.url("/none.img.gz"))];
    let one = document::simple(&scheme(&["/dev/vda"]), &image, "");
    let two = document::simple(&scheme(&["/dev/vda", "/dev/vdb"]), &image, "");
    let made = case.run("made", &two, "provision --data-driver nailgun_simple partition && nothing_left");
    assert_eq!(made.status, 0, "{made}");

    let hashes = || case.machine.disks.iter().map(|disk| ok(disk.sha256())).collect::<Vec<_>>();
    let before = hashes();
    let outcome = case.run_with("refused", &[("one.json", &one), ("two.json", &two)], SCRIPT);
    assert_eq!(outcome.status, 0, "{outcome}");
    for (name, words) in [
        ("both-active", &["/dev/vdb", "os"][..]),
        ("both-asleep", &["/dev/vdb", "os"]),
        ("mounted", &["/dev/md0", "/tmp/mnt"]),
    ] {
        for word in words {
            let said = outcome.file(name);
            assert!(
                said.contains(word) && said.contains("nothing was written"),
                "{name} lacks {word}: {said}"
            );
        }
    }
    assert_eq!(before, hashes(), "something was written: {outcome}");
}
