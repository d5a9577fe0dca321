//! Disks that fail while an image is written to them, and machines that lose their power.

use std::{fs, path::Path, time::Duration};

use bareon_image::pack::{self, Packing};
use bareon_tests::vm::{
    boot::CHECK,
    document::{self, partition, with_kernel_parameter},
    http::Fault,
    job::Outcome,
    machine::{Bus, Firmware},
    process,
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
# How much of the beginning is zero where the image is not whole.
head=1048576
below() { dmsetup load $volume --table "$1" && dmsetup suspend --noflush $volume && dmsetup resume $volume; }
# copy NAME STATUS [ARGUMENT…]: STATUS is what the program is to end with.
copy() {
    name=$1; status=$2; shift 2
    provision $arguments "$@" copyimage 2>/out/$name
    found=$?
    below "$whole"
    nothing_left || exit 11
    mount -o ro /dev/mapper/$volume /tmp/mnt 2>/dev/null
    mounts=$?
    [ $mounts = 0 ] && { sha256sum </tmp/mnt/data >/out/$name.sum; umount /tmp/mnt; }
    [ $found = $status ] || { echo "$name: ended with $found"; cat /out/$name; exit 12; }
    [ $status = 0 ] || [ $mounts != 0 ] || { echo "$name: what was copied mounts"; exit 13; }
    [ $status != 0 ] || [ $mounts = 0 ] || { echo "$name: what was copied does not mount"; exit 14; }
    [ $status = 0 ] || cmp -n $head /dev/zero /dev/mapper/$volume || { echo "$name: it begins with something"; exit 15; }
}
mkdir -p /tmp/mnt
provision $arguments partition || exit 10
linear=$(dmsetup table $volume)
set -- $linear
size=$2 disk=$4 start=$5
whole=$linear
part() { echo "$1 $2 linear $disk $((start + $1))"; }
lies() { echo "0 2048 linear $disk $start
2048 $((size - 2048)) flakey $disk $((start + 2048)) 0 3600 1 drop_writes"; }
modprobe dm-flakey
"#;

/// Puts the volume on a pool of which less is there than the volume has. By their UUIDs its parts belong to the group, as
/// those of LVM's own pools do.
const THIN: &str = r#"
modprobe dm-thin-pool no_space_timeout=3
# part_of_group NAME TABLE
part_of_group() { dmsetup create os-$1 --uuid "$(dmsetup info -c --noheadings -o uuid $volume)-$1" --table "$2"; }
room() { echo "0 $(($1 * 2048)) linear $disk $start"; }
blocks() { echo "0 $(($1 * 2048)) thin-pool /dev/mapper/os-notes /dev/mapper/os-room 128 0 $2"; }
# pool MIB FEATURES: a new one, and nothing in it.
pool() {
    below "$linear"
    for name in pool room notes; do dmsetup remove os-$name 2>/dev/null; done
    part_of_group room "$(room $1)" && part_of_group notes "0 8192 linear $disk $((start + size))" || exit 20
    # Without a beginning it is made anew.
    dd if=/dev/zero of=/dev/mapper/os-notes bs=4096 count=1 2>/dev/null
    part_of_group pool "$(blocks $1 "$2")" && dmsetup message os-pool 0 'create_thin 0' || exit 21
    whole="0 $size thin /dev/mapper/os-pool 0"
    below "$whole" || exit 22
}
# extend MIB
extend() {
    dmsetup load os-room --table "$(room $1)" && dmsetup suspend os-room && dmsetup resume os-room || exit 23
    dmsetup load os-pool --table "$(blocks $1 0)" && dmsetup suspend os-pool && dmsetup resume os-pool || exit 24
}
"#;

/// A machine with a volume for an image, which is served as `small.img.gz`, and the layout of it.
fn with_volume() -> (Case, Scheme) {
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
    (case, scheme)
}

/// Serves the same image in pieces, with an index, as `pieces.img.gz`.
fn serve_pieces(case: &Case) {
    let path = |name: &str| case.machine.dir.join(name);
    let packed =
        ok(pack::pack(&path("small.img"), Packing::Gzip, &path("pieces.img.gz"), 1, &bareon_image::Silent));
    ok(fs::write(path("pieces.img.gz.bidx"), packed.index.map(|index| index.to_bytes()).unwrap_or_default()));
    let sum = ok(sum_of(&path("pieces.img.gz.bidx")));
    let metadata = format!(
        "images: [{{container_name: pieces.img.gz, raw_size: {}, raw_sha256: '{}', index_sha256: '{sum}'}}]",
        packed.raw_size, packed.raw_sha256
    );
    case.images.bytes("/image/pieces.yaml", metadata);
    for name in ["pieces.img.gz", "pieces.img.gz.bidx"] {
        case.images.file(&format!("/image/{name}"), path(name));
    }
}

/// The SHA-256 of a file, as hexadecimal digits.
fn sum_of(file: &Path) -> process::Result<String> {
    let printed = process::output(process::command("sha256sum").arg(file))?;
    Ok(printed.split(' ').next().unwrap_or_default().into())
}

/// Fails unless these runs left what is in the image.
fn whole(case: &Case, outcome: &Outcome, names: &[&str]) {
    let sum = ok(sum_of(&case.machine.dir.join("tree/data")));
    for name in names {
        assert_eq!(outcome.file(&format!("{name}.sum")), format!("{sum}  -\n"), "{name}: {outcome}");
    }
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn a_volume_that_fails_below_an_image() {
    let (case, scheme) = with_volume();
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
        provision $arguments partition && copy again 0 --verify readback

        # What lies there now cannot be cleared.
        below "0 $size flakey $disk $start 0 3600 1 error_writes"
        provision $arguments copyimage 2>/out/refuses && exit 20
        below "$linear"
        nothing_left && mount -o ro /dev/mapper/$volume /tmp/mnt && umount /tmp/mnt"#
    );
    let outcome = case.run("faults", &document, &script);
    assert_eq!(outcome.status, 0, "{outcome}");
    whole(&case, &outcome, &["whole", "again"]);
    let told = |name: &str| outcome.file(name);
    assert!(told("broken").contains("at byte 20971520"), "{}", told("broken"));
    assert!(told("broken").contains("holds nothing that can be mounted or booted"), "{}", told("broken"));
    assert!(told("forgets").contains("other bytes than were written"), "{}", told("forgets"));
    assert!(told("vanished").contains("/dev/mapper/os-root"), "{}", told("vanished"));
    assert!(told("vanished").contains("dmesg"), "{}", told("vanished"));
    assert!(told("refuses").contains("could not be cleared"), "{}", told("refuses"));
    assert!(told("refuses").contains("writing /dev/mapper/os-root at byte 0"), "{}", told("refuses"));
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn a_pool_that_runs_full_below_a_volume() {
    let (case, scheme) = with_volume();
    serve_pieces(&case);
    let document =
        |name: &str| document::simple(&scheme, &[("/", case.images.url(&format!("/image/{name}")))], "");
    let (stream, pieces) = (document("small.img.gz"), document("pieces.img.gz"));
    let script = format!(
        r"{BELOW}{THIN}
        pool 24 '1 error_if_no_space'
        copy full 255
        extend 60
        copy extended 0 --verify readback

        # It waits for more room first, as pools do unless they are told otherwise.
        cp /tmp/pieces.json /tmp/provision.json
        pool 24 0
        # Which pieces stand is noted in the second half of the first MiB.
        head=524288
        copy full-pieces 255
        extend 60
        copy extended-pieces 0"
    );
    let documents = [("provision.json", &stream), ("pieces.json", &pieces)];
    let outcome = case.run_with("full", &documents, &script);
    assert_eq!(outcome.status, 0, "{outcome}");
    whole(&case, &outcome, &["extended", "extended-pieces"]);
    for name in ["full", "full-pieces"] {
        let told = outcome.file(name);
        for words in ["writing /dev/mapper/os-root at byte ", "No space left on device", "is full"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(told.contains("holds nothing that can be mounted or booted"), "{told}");
        assert!(!told.contains("dmesg"), "{told}");
    }
    assert!(outcome.file("log").contains("a run before this one ended after"), "{outcome}");
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
