//! The same input gives the same bytes, with nothing in them of the machine that built them.

use std::fs;

use serde_json::json;

use crate::bench::{Bench, said, sh, succeeded};

/// A hash that was made elsewhere.
const HASH: &str =
    "$6$abcdefgh$yVfUwsw5T.JApa8POvClA1pQ5peiq97DUNyXCZN5IrF.BMSkiaLQ5kvpuEm/VQ1Tvh/KV2TcaWh8qinoW5dhA1";

#[test]
#[ignore = "needs root and Debian's mirror"]
fn two_builds_give_the_same_bytes_and_hold_nothing_of_the_builder() {
    let (one, two) = (Bench::new(), Bench::new());
    for bench in [&one, &two] {
        let extra = bench.path("extra");
        fs::create_dir_all(extra.join("lib/site")).unwrap();
        fs::write(extra.join("lib/site/motto"), "as it was\n").unwrap();
        fs::create_dir_all(extra.join("etc/apt")).unwrap();
        fs::write(extra.join("etc/apt/sources.list"), "# the site's own\n").unwrap();
        fs::write(
            bench.path("post"),
            "#!/bin/sh\nset -e\ntest -e /lib/site/motto\nsleep 1000 &\necho posted >/etc/posted\n",
        )
        .unwrap();
        let mut document = bench.document(&["openssh-server", "systemd-resolved"]);
        document["extra_files"] = json!([extra]);
        document["post_script_file"] = json!(bench.path("post"));
        document["hashed_root_password"] = json!(HASH);
        document["tar_image"] = json!({"uri": "http://h/root.tar.zst", "container": "zstd"});
        let output = bench.build(&document, &[]);
        succeeded(&output);
        let log = said(&output);
        for line in [
            "--- Building image (do_build_image) ---",
            "Running deboostrap completed",
            "Running apt-get install completed",
            "--- Building image END (do_build_image) ---",
        ] {
            assert!(log.contains(line), "no `{line}` in {log}");
        }
        let again = bench.build(&document, &[]);
        succeeded(&again);
        assert!(said(&again).contains("All necessary images are available."), "{}", said(&again));
    }
    let files = [
        "root.cdx.json",
        "root.img.gz",
        "root.img.gz.bidx",
        "root.provenance.json",
        "root.spdx.json",
        "root.tar.zst",
        "root.tar.zst.bidx",
        "root.yaml",
    ];
    assert_eq!(one.made(), files);
    for file in ["root.img.gz", "root.img.gz.bidx", "root.tar.zst", "root.spdx.json", "root.cdx.json"] {
        let read = |bench: &Bench| fs::read(bench.path("out").join(file)).unwrap();
        assert!(read(&one) == read(&two), "{file} differs");
    }
    nothing_of_the_builder(&one);
}

/// Looks into the image without mounting it.
fn nothing_of_the_builder(bench: &Bench) {
    let raw = bench.path("raw");
    sh(&format!("gunzip -c {}/root.img.gz >{}", bench.path("out").display(), raw.display()));
    sh(&format!("e2fsck -fn {}", raw.display()));
    let tree = bench.path("seen");
    fs::create_dir(&tree).unwrap();
    sh(&format!("zstd -dc {}/root.tar.zst | tar -C {} -xp", bench.path("out").display(), tree.display()));
    let text = |name: &str| fs::read_to_string(tree.join(name)).unwrap();
    assert!(text("etc/shadow").starts_with(&format!("root:{HASH}:")));
    assert_eq!((text("etc/machine-id").as_str(), text("etc/hostname").as_str()), ("", "localhost\n"));
    assert_eq!(
        (text("etc/posted").as_str(), text("usr/lib/site/motto").as_str()),
        ("posted\n", "as it was\n")
    );
    assert!(tree.join("lib").is_symlink(), "extra files took the place of a link");
    assert_eq!(
        fs::read_link(tree.join("etc/resolv.conf")).unwrap().to_str(),
        Some("../run/systemd/resolve/stub-resolv.conf")
    );
    for empty in ["etc/apt/sources.list.d", "etc/apt/preferences.d", "var/lib/apt/lists", "run", "tmp"] {
        assert_eq!(fs::read_dir(tree.join(empty)).unwrap().count(), 0, "{empty}");
    }
    assert_eq!(text("etc/apt/sources.list"), "# the site's own\n");
    for gone in ["etc/apt/preferences", "usr/sbin/policy-rc.d", "var/cache/apt/archives"] {
        assert!(!tree.join(gone).exists(), "{gone}");
    }
    let left = sh(&format!(
        "cd {}; find etc/ssh -name 'ssh_host_*'; find var/log -type f -size +0; find etc/apt/apt.conf.d -name '*bareon*' -o -name '*mmdebstrap*'",
        tree.display()
    ));
    assert_eq!(left, "");
    // Where the same file names a machine, it is this one's name that must not be in it.
    let host = sh("uname -n");
    let named = sh(&format!("grep -rlwF {host} {}/etc || true", tree.display()));
    assert!(host.len() < 4 || named.is_empty(), "{named} names this machine");
}
