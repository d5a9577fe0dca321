//! Many disks, in a machine whose udev never rests: nothing that it assembles by itself gets in the way of a run.

use std::fmt::Write;

use bareon_tests::vm::{
    document,
    found::Found,
    machine::{Bus, Firmware},
    scheme::{BOOT, Part, Scheme},
};

use crate::case::{Case, ok};

/// How many disks; a q35 machine has no room for more virtio disks than these.
const DISKS: usize = 24;

/// The nodes of the disks.
fn nodes() -> impl Iterator<Item = String> {
    ('a'..='z').take(DISKS).map(|letter| format!("/dev/vd{letter}"))
}

/// A root on two disks' mirror, a mirror of each further pair, and a group over all of these, `shift`ed so that two of
/// these layouts have no array of the same members at the same place.
fn scheme(shift: usize) -> Scheme {
    let mut scheme = Scheme::default();
    let space = 8 + 4 * shift as u64;
    let parts = [BOOT[0], Part::new(space), Part::new(52 - space)];
    let mut disks: Vec<_> = nodes().map(|node| scheme.disk(&node, &parts)).collect();
    disks.rotate_left(shift);
    let mirrors: Vec<_> = disks
        .chunks(2)
        .enumerate()
        .map(|(number, pair)| {
            scheme.md(&format!("/dev/md{number}"), "1", "default", &[&pair[0][2], &pair[1][2]], &[])
        })
        .collect();
    let mirrors: Vec<_> = mirrors.iter().map(String::as_str).collect();
    scheme.group("os", &mirrors[1..]);
    let root = scheme.volume("os", "root", 96);
    scheme.fs(mirrors[0], "/boot", "ext2", "");
    scheme.fs(&root, "/", "ext4", "");
    scheme
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn udev_never_gets_in_the_way_of_24_disks() {
    let mut case = Case::bare(Firmware::Bios);
    case.machine.assembles = true;
    case.machine.memory_mib = 1024;
    for number in 0..DISKS {
        ok(case.machine.add_disk(Bus::Virtio, &format!("DISK{number}"), 64));
    }
    let image = [("/", case.images.url("/none.img.gz"))];
    let schemes = [scheme(0), scheme(1)];
    let documents: Vec<_> = schemes
        .iter()
        .enumerate()
        .map(|(number, scheme)| (format!("{number}.json"), document::simple(scheme, &image, "")))
        .collect();
    let documents: Vec<_> = documents.iter().map(|(name, document)| (name.as_str(), document)).collect();
    let mut script = String::from(
        "(while [ ! -e /tmp/enough ]; do
            udevadm trigger --action=add --subsystem-match=block
            udevadm trigger --action=change --subsystem-match=block
            # Else the queue would only grow, and nobody's turn would come.
            udevadm settle --timeout=120
        done) &\n",
    );
    for run in 0..schemes.len() {
        ok(writeln!(
            script,
            "bareon-provision --data-driver nailgun_simple --input-data-file /tmp/{run}.json --debug \
             --http-max-retries 1 --log-file /out/{run}.log --report /out/{run}.json partition || exit 1{run}
             read_back {run}.found"
        ));
    }
    script += "touch /tmp/enough; wait; nothing_left";
    let outcome = case.run_with("crowd", &documents, &script);
    assert_eq!(outcome.status, 0, "{outcome}");
    for (run, scheme) in schemes.iter().enumerate() {
        let found = ok(Found::read(&outcome.dir.join(format!("{run}.found"))));
        let differences = found.differences(&scheme.value(), &["/"]);
        assert_eq!(differences, Vec::<String>::new(), "run {run}: {outcome}");
    }
}
