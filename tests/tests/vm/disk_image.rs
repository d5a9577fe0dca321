//! A whole-disk image, made of a tree without loop devices, boots by BIOS and by UEFI, also from the larger disk that it was
//! written to.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use bareon::{
    build::pack::{self, Look},
    objects::build::{Container, DiskImage, ImageFormat},
};
use bareon_host::System;
use bareon_image::{
    Silent,
    pack::{Packing, pack as pack_image},
};
use bareon_tests::vm::{
    assets,
    boot::{self, CHECK},
    document::KERNEL_PARAMETER,
    machine::{Bus, Disk, FAST, Firmware, Machine},
    process,
};

use serde_json::json;

use crate::case::{Case, Facts, ok};

/// No file of the image is later.
const EPOCH: u64 = 1_700_000_000;

/// The tree of the image that machines are provisioned with.
fn tree(work: &Path) -> PathBuf {
    let script = r#"gzip -dc "$1" | dd of="$2/root.img" conv=sparse bs=1M status=none
        mkdir "$2/mounted" "$2/tree"
        mount -o loop,ro,noload "$2/root.img" "$2/mounted"
        cp -a "$2/mounted/." "$2/tree"
        umount "$2/mounted"
        rm -r "$2/root.img" "$2/mounted" "$2/tree/lost+found""#;
    let image = ok(assets::assets()).image.join("root.img.gz");
    let mut shell = process::command("sh");
    ok(process::output(shell.args(["-euc", script, "sh"]).arg(image).arg(work)));
    work.join("tree")
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn a_disk_image_boots_by_bios_and_uefi_and_is_the_same_when_it_is_built_again() {
    let work = ok(tempfile::Builder::new().prefix("bareon-vm-").tempdir());
    let tree = tree(work.path());
    let image = DiskImage {
        uri: String::new(),
        file: PathBuf::new(),
        container: Container::Raw,
        format: ImageFormat::Ext4,
        kernel_params: format!("console=ttyS0 {KERNEL_PARAMETER} {FAST} {CHECK}"),
    };
    let build = |name: &str| {
        let raw = work.path().join(name);
        ok(pack::disk(&System::default(), &tree, &image, &Look::new("the input", EPOCH), &raw));
        let size_mib = ok(fs::metadata(&raw)).len() >> 20;
        let serial = "IMAGE".into();
        Disk { path: raw, bus: Bus::Virtio, serial, size_mib, sector: 512, wwn: None, optimal_io: 0 }
    };
    let (disk, again) = (build("disk"), build("again"));
    assert_eq!(ok(disk.sha256()), ok(again.sha256()), "the same tree gives the same bytes");
    ok(fs::remove_file(again.path));
    assert!(!tree.join("boot/grub/grub.cfg").exists(), "the tree is as before");

    for (firmware, name) in [(Firmware::Bios, "BIOS"), (Firmware::Uefi, "UEFI")] {
        let mut machine = ok(Machine::new(work.path(), firmware));
        machine.forgets = true;
        machine.disks.push(disk.clone());
        let facts = Facts::read(&ok(boot::check(&machine, name)));
        assert_eq!(facts.get("firmware"), name, "{facts}");
        facts.has("root", "/dev/vda3 ext4");
        facts.has("mounts", "/boot/efi /dev/vda2 vfat");
        facts.has("cmdline", "root=UUID=");
    }
    onto_a_larger_disk(&disk.path);
}

/// Has a machine fetch the image for its own disk, and start from that.
fn onto_a_larger_disk(raw: &Path) {
    let case = Case::new(Firmware::Bios, Bus::Virtio);
    let file = case.machine.dir.join("disk.img.zst");
    let packed = ok(pack_image(raw, Packing::Zstd, &file, 2, &Silent));
    let beside = case.machine.dir.join("disk.img.zst.bidx");
    ok(fs::write(&beside, ok(packed.index.ok_or("no index")).to_bytes()));
    let told = ok(process::output(process::command("sha256sum").stdin(ok(File::open(&beside)))));
    case.images.file("/disk.img.zst", file);
    case.images.file("/disk.img.zst.bidx", beside);
    let document = json!({
        "version": 1,
        "disks": [{"name": "all", "match": {"path": format!("/dev/{}", case.target().link())}}],
        "images": [{
            "target": "all", "format": "disk", "grow": true,
            "url": case.images.url("/disk.img.zst"), "raw_sha256": packed.raw_sha256,
            "index_sha256": told.split_whitespace().next(),
        }],
    });
    let script = "provision --data-driver bareon && nothing_left || exit 1
        sgdisk --verify /dev/vda >/out/table
        blockdev --getsize64 /dev/vda /dev/vda3 >/out/sizes";
    let outcome = case.run("whole", &document, script);
    assert_eq!(outcome.status, 0, "{outcome}");
    assert!(outcome.file("table").contains("No problems found"), "{outcome}");
    let sizes: Vec<u64> = outcome.file("sizes").lines().map(|size| ok(size.parse())).collect();
    assert!(sizes[1] > packed.raw_size && sizes[1] > sizes[0] - (200 << 20), "{sizes:?}: {outcome}");
    let ranges = case.images.requests().into_iter().filter_map(|request| request.range);
    assert!(ranges.count() > 4, "it comes in pieces: {outcome}");
    let facts = case.check("from-its-disk");
    facts.has("root", "/dev/vda3 ext4");
}
