//! A disk that no document names, full of what is easily taken for ours, and byte for byte the same after everything.

use std::{fs, sync::OnceLock};

use bareon_tests::vm::{
    job,
    machine::{Bus, Firmware, Machine},
};
use serde_json::json;

use crate::case::ok;

/// Its size in MiB.
const SIZE: u64 = 64;

/// Makes it: a volume group called as one of ours, an array of two of its partitions, a file system labelled as ours,
/// data without any structure, also before the first partition and after the last.
const MAKE: &str = "
set -e
modprobe dm-mod
dd if=/dev/urandom of=/dev/vda bs=1M count=64 2>/dev/null
wipefs -qa /dev/vda
printf 'label: gpt\nstart=2048,size=24M\nsize=8M\nsize=8M\nsize=12M\n' | sfdisk -q /dev/vda
udevadm settle
lvm pvcreate -qq -y -ff /dev/vda1
lvm vgcreate -qq os /dev/vda1
lvm lvcreate -qq -y -Wy -L 12M -n bystander os
mkfs.ext4 -qF -L system /dev/os/bystander
mdadm --create /dev/md/bystander --run --homehost=any --level=1 --metadata=1.2 --assume-clean --raid-devices=2 \
    /dev/vda2 /dev/vda3
mkfs.ext4 -qF -L root /dev/md/bystander
mkfs.ext4 -qF -L system /dev/vda4
sync
lvm vgchange -qq -an os
mdadm --stop /dev/md/bystander
udevadm settle";

/// Adds it to a machine as the last disk, and answers its place.
pub fn add(machine: &mut Machine) -> usize {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| {
        let dir = ok(tempfile::tempdir());
        let mut maker = ok(Machine::new(dir.path(), Firmware::Bios));
        let place = ok(maker.add_disk(Bus::Virtio, "BYSTANDER", SIZE));
        let outcome = ok(job::run(&maker, "make", &json!({}), MAKE));
        assert_eq!(outcome.status, 0, "{outcome}");
        ok(fs::read(&maker.disks[place].path))
    });
    let place = ok(machine.add_disk(Bus::Virtio, "BYSTANDER", SIZE));
    ok(fs::write(&machine.disks[place].path, bytes));
    place
}
