//! Runs that are broken: killed in each stage, told to stop, left alone by the image server.

use std::{path::Path, time::Duration};

use bareon_tests::vm::{
    boot::CHECK,
    document::{self, partition, with_kernel_parameter},
    found::Found,
    http::{Fault, Request},
    machine::{Bus, Firmware},
    process::{self, Result},
    scheme::{BOOT, Part, Scheme},
};
use serde_json::Value;

use crate::case::{Case, ok};

/// Starts the program, waits for a line of its log, sends a signal; then nothing may be left.
const BREAK: &str = r#"
arguments=
# break_at LINE SIGNAL NAME
break_at() {
    rm -f /out/log
    bareon-provision --input-data-file /tmp/provision.json --log-file /out/log --report /out/$3.json --debug $arguments &
    pid=$!
    until grep -qF -- "$1" /out/log 2>/dev/null; do
        kill -0 $pid || { echo "$3: ended before '$1'"; return 1; }
        sleep 0.05
    done
    kill -$2 $pid
    wait $pid
    echo "$3: ended with $?"
    mv /out/log /out/$3.log
    # What a killed program started may need a moment to notice.
    for i in $(seq 60); do
        nothing_left >/tmp/left 2>&1 && return 0
        sleep 1
    done
    echo "$3:"; cat /tmp/left
    return 1
}
"#;

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn killed_in_each_stage_then_run_again() {
    let case = Case::new(Firmware::Bios, Bus::Virtio);
    let volumes = vec![partition("/", "ext4", 1400, "system")];
    let document = with_kernel_parameter(case.document(volumes), CHECK);
    let script = format!(
        "{BREAK}
        break_at '--- Partitioning disks' KILL partition || exit 1
        break_at '--- Creating configdrive' KILL configdrive || exit 2
        break_at 'Next chunk: 20' KILL copyimage || exit 3
        break_at 'Next chunk: 40' TERM stopped || exit 4
        break_at '--- Installing bootloader' KILL bootloader || exit 5
        break_at '--- Installing bootloader' TERM stopped-late || exit 6
        provision && nothing_left"
    );
    let outcome = case.run("killed", &document, &script);
    assert_eq!(outcome.status, 0, "{outcome}");
    for stage in ["partition", "configdrive", "copyimage", "bootloader"] {
        assert!(outcome.output.contains(&format!("{stage}: ended with 137")), "{outcome}");
    }
    for stop in ["stopped", "stopped-late"] {
        assert!(outcome.output.contains(&format!("{stop}: ended with 255")), "{outcome}");
        let report: Value = serde_json::from_str(&outcome.file(&format!("{stop}.json"))).unwrap();
        assert_eq!(report["end"]["outcome"], "failure", "{report}");
        assert_eq!(report["end"]["signal"], "SIGTERM", "{report}");
    }
    case.check("boot").mounted("/", "ext4", "");
}

/// Mirrors, one of them below a group, and a group on plain partitions.
fn stacked() -> Scheme {
    let mut scheme = Scheme::default();
    let parts = [BOOT[0], Part::new(60), Part::new(150), Part::new(100)];
    let disks = ["/dev/vda", "/dev/vdb"].map(|disk| scheme.disk(disk, &parts));
    let pair = |number: usize| [disks[0][number].as_str(), disks[1][number].as_str()];
    scheme.md("/dev/md0", "1", "1.0", &pair(1), &[]);
    scheme.md("/dev/md1", "1", "default", &pair(2), &[]);
    scheme.group("os", &["/dev/md1"]);
    let root = scheme.volume("os", "root", 100);
    let srv = scheme.volume("os", "srv", 32);
    scheme.group("data", &pair(3));
    let data = scheme.volume("data", "data", 150);
    scheme.fs("/dev/md0", "/boot", "ext2", "boot");
    scheme.fs(&root, "/", "ext4", "");
    scheme.fs(&srv, "/srv", "ext4", "srv");
    scheme.fs(&data, "/srv/data", "ext4", "data");
    scheme
}

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn killed_while_arrays_and_groups_are_made_then_run_again() {
    let mut case = Case::bare(Firmware::Bios);
    case.machine.assembles = true;
    for serial in ["ONE", "TWO"] {
        ok(case.machine.add_disk(Bus::Virtio, serial, 384));
    }
    case.add_bystander();
    let scheme = stacked();
    let document = document::simple(&scheme, &[("/", case.images.url("/none.img.gz"))], "");
    let places = [
        ("ran: sfdisk", "table"),
        ("ran: partx --add", "partitions"),
        ("ran: mdadm --create /dev/md0", "array"),
        ("ran: mdadm --create /dev/md1", "second-array"),
        ("ran: lvm pvcreate", "pv"),
        ("ran: lvm vgcreate", "vg"),
        ("ran: lvm lvcreate", "lv"),
        ("ran: mkfs.ext4", "file-system"),
        // On top of what the last one left whole.
        ("ran: lvm vgchange", "group-taken-down"),
        ("ran: wipefs", "wiped"),
    ];
    let breaks = places.map(|(line, name)| format!("break_at '{line}' KILL {name} || exit 1\n"));
    let script = format!(
        "{BREAK}
        arguments='--data-driver nailgun_simple --http-max-retries 1 partition'
        {}
        provision $arguments && nothing_left && read_back found && ls /run/udev/rules.d >/out/rules",
        breaks.concat()
    );
    let outcome = case.run("killed", &document, &script);
    assert_eq!(outcome.status, 0, "{outcome}");
    for (_, name) in places {
        assert!(outcome.output.contains(&format!("{name}: ended with 137")), "{name}: {outcome}");
    }
    let found = ok(Found::read(&outcome.dir.join("found")));
    assert_eq!(found.differences(&scheme.value(), &["/"]), Vec::<String>::new(), "{outcome}");
    assert_eq!(outcome.file("rules"), "", "udev is still held off");
}

/// Makes `small.img.gz`, a file system that does not compress, and metadata beside it, in `dir`. The metadata have the
/// checksums of the file `summed`.
pub fn small_image(dir: &Path, summed: &str) -> Result<()> {
    let script = r#"
        cd "$1"; mkdir -p tree; head -c 32M /dev/urandom >tree/data; rm -f small.img
        truncate -s 40M small.img; mkfs.ext4 -q -O ^orphan_file,^metadata_csum_seed -m 0 -d tree small.img
        gzip -1 -c small.img >small.img.gz
        sum() { "$1" <"$2" | cut -d" " -f1; }
        cat >small.yaml <<END
images:
- container_name: small.img.gz
  raw_size: 41943040
  raw_md5: "$(sum md5sum "$2")"
  raw_sha256: "$(sum sha256sum "$2")"
END"#;
    process::output(process::command("sh").args(["-ec", script, "small-image"]).arg(dir).arg(summed))
        .map(drop)
}

/// Lays out the disk and copies the image in stages of their own, which must fail, and leave nothing that mounts.
const FAILS: &str = "
    provision partition || exit 10
    provision --http-max-retries 3 --http-retry-delay 1 copyimage 2>/out/stderr
    echo $? >/out/ended
    nothing_left || exit 11
    udevadm settle
    mkdir -p /tmp/mnt
    mount -o ro /dev/vda3 /tmp/mnt 2>/dev/null && { echo what was copied mounts; ls -l /tmp/mnt; exit 12; }
    exit 0";

#[test]
#[ignore = "needs root and QEMU: contrib/test runs it"]
fn image_server_dies_half_way() {
    let case = Case::new(Firmware::Bios, Bus::Virtio);
    let volumes = vec![partition("/", "ext4", 1400, "system")];

    // It comes back: the run goes on where it stopped.
    case.images.fault(Fault::Dies { after: 60 << 20, back: Some(Duration::from_secs(4)) });
    case.provision("comes-back", &with_kernel_parameter(case.document(volumes.clone()), CHECK));
    let resumed = |request: &Request| {
        let begin =
            request.range.as_deref().and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        request.path == "/image/root.img.gz" && begin.is_some_and(|begin: u64| begin > 30 << 20)
    };
    assert!(case.images.requests().iter().any(resumed), "{:?}", case.images.requests());
    case.check("boot").mounted("/", "ext4", "");

    // The image is not what its metadata say.
    ok(small_image(&case.machine.dir, "small.img.gz"));
    for name in ["small.img.gz", "small.yaml"] {
        case.images.file(&format!("/image/{name}"), case.machine.dir.join(name));
    }
    let layout = [document::disk(case.target(), volumes)];
    let small = [("/", case.images.url("/image/small.img.gz"))];
    let document = document::document(&layout, &small, &case.key.public);
    let outcome = case.run("mismatch", &document, FAILS);
    assert_eq!(outcome.status, 0, "{outcome}");
    assert_eq!(outcome.file("ended").trim(), "255", "{outcome}");
    assert!(outcome.file("stderr").contains("small.img.gz"), "{}", outcome.file("stderr"));

    // It stays away.
    ok(small_image(&case.machine.dir, "small.img"));
    case.images.fault(Fault::Dies { after: 12 << 20, back: None });
    let outcome = case.run("stays-away", &document, FAILS);
    assert_eq!(outcome.status, 0, "{outcome}");
    assert_eq!(outcome.file("ended").trim(), "255", "{outcome}");
    let told = outcome.file("stderr");
    assert!(told.contains("Unexpected error") && told.contains("small.img.gz"), "{told}");
}
