//! What goes wrong: it is said, nothing is left, and the next build succeeds.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    panic, thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::bench::{Bench, failed, said, sh, succeeded};

#[test]
#[ignore = "needs root and Debian's mirror"]
fn what_cannot_be_built_is_told_and_leaves_nothing() {
    let bench = Bench::new();
    let mut gone = bench.document(&[]);
    gone["repos"][0]["uri"] = json!("http://127.0.0.1:9/debian");
    let text = failed(&bench.build(&gone, &["--fetch-packages-attempts", "1"]));
    assert!(
        text.contains(
            "the repository `debian` has neither http://127.0.0.1:9/debian/dists/bookworm/InRelease"
        ),
        "{text}"
    );

    let mut missing = bench.document(&[]);
    missing["post_script_file"] = json!("/nonexistent/post");
    let text = failed(&bench.build(&missing, &[]));
    assert!(text.contains("/post_script_file: \"/nonexistent/post\": is no file here"), "{text}");

    let key = bench.path("other.gpg");
    sh(&format!(
        "export GNUPGHOME={home}; mkdir -m 700 $GNUPGHOME; \
         gpg -q --batch --passphrase '' --quick-generate-key other ed25519 sign never 2>/dev/null; \
         gpg -q --export >{key}; gpgconf --kill all",
        home = bench.path("gpg").display(),
        key = key.display()
    ));
    let mut foreign = bench.document(&[]);
    foreign["repos"][0]["signed_by"] = json!(key);
    for bootstrapper in ["debootstrap", "mmdebstrap"] {
        let text = failed(&bench.build(&foreign, &["--bootstrapper", bootstrapper]));
        assert!(text.contains("bootstrapping `bookworm`"), "{text}");
        assert!(text.contains("NO_PUBKEY") || text.contains("Release signed by unknown key"), "{text}");
    }

    let text = failed(&bench.build(&bench.document(&["no-such-package"]), &[]));
    assert!(text.contains("E: Unable to locate package no-such-package"), "{text}");

    let mut script = bench.document(&["mount"]);
    fs::write(bench.path("post"), "#!/bin/sh\necho I give up\nexit 3\n").unwrap();
    script["post_script_file"] = json!(bench.path("post"));
    let text = failed(&bench.build(&script, &[]));
    assert!(text.contains("failed in the tree") && text.contains("I give up"), "{text}");
    assert_eq!(bench.made(), Vec::<String>::new());

    // What a script leaves mounted is neither packed nor in the way of the end.
    let mounts = "#!/bin/sh\nset -e\nmount -t tmpfs tmpfs /mnt\necho x >/mnt/left\necho well done\n";
    fs::write(bench.path("post"), mounts).unwrap();
    let output = bench.build(&script, &[]);
    succeeded(&output);
    assert!(said(&output).contains("tmpfs was left mounted at "), "{}", said(&output));
}

/// Waits until the log has a text.
fn wait_for(bench: &Bench, text: &str) {
    let until = Instant::now() + Duration::from_mins(10);
    while !fs::read_to_string(bench.path("log")).unwrap_or_default().contains(text) {
        assert!(Instant::now() < until, "never: {text}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs root and Debian's mirror"]
fn a_build_that_is_killed_leaves_nothing_that_runs_and_the_next_one_succeeds() {
    let bench = Bench::new();
    let document = bench.document(&["netbase"]);
    for (i, phase) in ["bootstrap bookworm", "install 1 packages", "make "].into_iter().enumerate() {
        let mut build = bench.begin(&document);
        wait_for(&bench, phase);
        thread::sleep(Duration::from_millis(700));
        build.kill().unwrap();
        let status = build.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "phase {i} was over before it was killed");
        // The kernel takes a moment to end what ran in the namespace, and longer where the disk is busy.
        let until = Instant::now() + Duration::from_mins(1);
        while panic::catch_unwind(|| bench.assert_nothing_runs()).is_err() && Instant::now() < until {
            thread::sleep(Duration::from_millis(200));
        }
        bench.assert_nothing_runs();
        assert!(!bench.made().iter().any(|name| name.starts_with("root")), "{:?}", bench.made());
    }
    let output = bench.build(&document, &[]);
    succeeded(&output);

    fs::remove_dir_all(bench.path("out")).unwrap();
    let mut build = bench.begin(&document);
    wait_for(&bench, "bootstrap bookworm");
    sh(&format!("kill -TERM {}", build.id()));
    assert_eq!(build.wait().unwrap().code(), Some(255));
    bench.assert_clean();
}
