//! Builds by somebody who is not root, with ids of his own from `/etc/subuid`: here `nobody`, who gets some in mount
//! namespaces of the test alone.

use std::{fs, os::unix::fs::chown, path::Path, process::Command};

use crate::bench::{Bench, program, said, sh, succeeded};

/// Debian's ids of `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

#[test]
#[ignore = "needs root, uidmap and Debian's mirror"]
fn somebody_who_is_not_root_builds_the_same_system() {
    let bench = Bench::new();
    let document = bench.document(&["netbase"]);
    let theirs = bench.path("theirs");
    fs::create_dir(&theirs).unwrap();
    let (input, ids) = (theirs.join("input.json"), bench.path("ids"));
    let mut other = document.clone();
    other["output"] = theirs.join("out").to_str().unwrap().into();
    fs::write(&input, other.to_string()).unwrap();
    fs::write(&ids, "nobody:700000:65536\n").unwrap();
    // Where the program was built may be closed to others.
    let copied = theirs.join("bareon-build-image");
    fs::copy(program(), &copied).unwrap();
    for path in [&theirs, &input, &copied, &bench.path("")] {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let in_theirs = |program: &Path| {
        let line = "mount --bind \"$1\" /etc/subuid; mount --bind \"$1\" /etc/subgid; cd \"$2\"; shift 2; \
                    exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-euc", line, "sh"]).args([&ids, &theirs]).arg(program);
        command.env("HOME", &theirs).env_remove("SOURCE_DATE_EPOCH");
        command
    };
    let output = in_theirs(&copied)
        .args(["--bootstrapper", "mmdebstrap", "--build-in", "disk", "--nodebug", "--use-stderr"])
        .args(["--input-data-file", "input.json", "--image-build-dir", "work"])
        .output()
        .unwrap();
    succeeded(&output);
    let left = fs::read_dir(theirs.join("work")).unwrap().count();
    assert_eq!(left, 0, "{}", said(&output));
    bench.assert_nothing_runs();

    // The same packages as root's, whose image has the nodes of /dev beside them.
    succeeded(&bench.build(&document, &[]));
    let packages = |dir: &Path| fs::read(dir.join("root.spdx.json")).unwrap();
    assert!(packages(&theirs.join("out")) == packages(&bench.path("out")));
    // What belongs to root there does so in the image.
    let raw = bench.path("raw");
    sh(&format!("gunzip -c {}/out/root.img.gz >{}", theirs.display(), raw.display()));
    sh(&format!("e2fsck -fn {}", raw.display()));
    let shadow = sh(&format!("debugfs -R 'stat /etc/shadow' {} 2>/dev/null", raw.display()));
    assert!(shadow.contains("User:     0   Group:    42"), "{shadow}");
}
