//! Disks that fail while an image is written to them, and machines that lose their power.

use std::time::Duration;

use bareon_tests::vm::{
    boot::CHECK,
    document::{self, partition, with_kernel_parameter},
    http::Fault,
    machine::{Bus, Firmware},
    scheme::{BOOT, Part, Scheme},
};

use crate::{
    breaks::small_image,
    case::{Case, ok},
};

/// Puts something else below the volume that the image goes to, has it copied, and looks what is left of it.
const BELOW: &str = r#"
arguments='--data-driver nailgun_simple --http-max-retries 2 --http-retry-delay 1'
volume=os-root
sectors=$(($(blockdev --getsize64 /dev/vda) / 512))
below() { dmsetup load $volume --table "$1" && dmsetup suspend --noflush $volume && dmsetup resume $volume; }
# copy NAME STATUS [ARGUMENT…]: STATUS is what the program is to end with.
copy() {
    name=$1; status=$2; shift 2
    provision $arguments "$@" copyimage 2>/out/$name
    found=$?
    below "$linear"
    nothing_left || exit 11
    mount -o ro /dev/mapper/$volume /tmp/mnt 2>/dev/null
    mounts=$?
    [ $mounts = 0 ] && umount /tmp/mnt
    [ $found = $status ] || { echo "$name: ended with $found"; cat /out/$name; exit 12; }
    [ $status = 0 ] || [ $mounts != 0 ] || { echo "$name: what was copied mounts"; exit 13; }
    [ $status != 0 ] || [ $mounts = 0 ] || { echo "$name: what was copied does not mount"; exit 14; }
}
mkdir -p /tmp/mnt
provision $arguments partition || exit 10
linear=$(dmsetup table $volume)
set -- $linear
size=$2 disk=$4 start=$5
part() { echo "$1 $2 linear $disk $((start + $1))"; }
lies() { echo "0 2048 linear $disk $start
2048 $((size - 2048)) flakey $disk $((start + 2048)) 0 3600 1 drop_writes"; }
modprobe dm-flakey
"#;

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn a_volume_that_fails_below_an_image() {
    let mut case = Case::bare(Firmware::Bios);
    ok(case.machine.add_disk(Bus::Virtio, "ONE", 256));
    case.add_bystander();
    let mut scheme = Scheme::default();
    let parts = scheme.disk("/dev/vda", &[BOOT[0], Part::new(200)]);
    scheme.group("os", &[&parts[1]]);
    let root = scheme.volume("os", "root", 100);
    scheme.fs(&root, "/", "ext4", "");
    ok(small_image(&case.machine.dir, "small.img"));
    for name in ["small.img.gz", "small.yaml"] {
        case.images.file(&format!("/image/{name}"), case.machine.dir.join(name));
    }
    let document = document::simple(&scheme, &[("/", case.images.url("/image/small.img.gz"))], "");
    // The image server pauses where the volume is to vanish.
    case.images.fault(Fault::Stalls { after: 12 << 20, lasts: Duration::from_secs(8) });
    let script = format!(
        r#"{BELOW}
        # It vanishes while the server is quiet.
        rm -f /out/log
        {{
            until grep -qF 'Next chunk: 5' /out/log 2>/dev/null; do sleep 0.1; done
            sleep 1
            below "0 $size error"
        }} &
        copy vanished 255

        below "$(part 0 40960)
40960 2048 error
$(part 43008 $((size - 43008)))"
        copy broken 255

        below "$(lies)"
        copy forgets 255 --verify readback

        copy whole 0
        provision $arguments partition && copy again 0 --verify readback"#
    );
    let outcome = case.run("faults", &document, &script);
    assert_eq!(outcome.status, 0, "{outcome}");
    let told = |name: &str| outcome.file(name);
    assert!(told("broken").contains("at byte 20971520"), "{}", told("broken"));
    assert!(told("broken").contains("holds nothing that can be mounted or booted"), "{}", told("broken"));
    assert!(told("forgets").contains("other bytes than were written"), "{}", told("forgets"));
    assert!(told("vanished").contains("/dev/mapper/os-root"), "{}", told("vanished"));
    assert!(told("vanished").contains("dmesg"), "{}", told("vanished"));
}

/// Waits for a line of the log of a run that is under way, and cuts the power then.
fn cut_at(line: &str) -> String {
    format!(
        "bareon-provision --input-data-file /tmp/provision.json --log-file /out/log --debug &
        until grep -qF -- '{line}' /out/log 2>/dev/null; do sleep 0.05; done
        power_cut"
    )
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn power_cut_in_each_stage_then_run_again() {
    let mut case = Case::new(Firmware::Bios, Bus::Virtio);
    case.add_bystander();
    let layout = [document::disk(case.target(), vec![partition("/", "ext4", 1400, "system")])];
    let images = [("/", case.images.url("/indexed/root.img.gz"))];
    let document = with_kernel_parameter(document::document(&layout, &images, &case.key.public), CHECK);
    for (stage, line) in [
        ("partition", "ran: sfdisk"),
        ("bootloader", "--- Installing bootloader"),
        ("copyimage", "Next chunk: 120"),
    ] {
        case.cut_off(stage, &document, &cut_at(line));
    }
    let outcome = case.provision("again", &document);
    let log = outcome.file("log");
    assert!(log.contains("a run before this one ended after"), "{log}");
    case.check("boot").mounted("/", "ext4", "");
}
