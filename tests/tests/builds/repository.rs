//! A flat repository that is made here: priorities, trust, and signatures that are wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bareon_tests::vm::http::Server;
use serde_json::{Value, json};

use crate::bench::{Bench, failed, said, sh, succeeded};

/// A repository with the package `hello-bareon`, of 1 MiB that differ each time, and an empty `netbase`. The packages are not
/// compressed: made again, they have the size they had.
pub fn repository(bench: &Bench, netbase: &str) -> PathBuf {
    let dir = bench.path("repository");
    fs::create_dir_all(&dir).unwrap();
    for (name, version) in [("hello-bareon", "1.0"), ("netbase", netbase)] {
        let package = bench.path(name);
        fs::create_dir_all(package.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
        );
        fs::write(package.join("DEBIAN/control"), control).unwrap();
        if name == "hello-bareon" {
            fs::create_dir_all(package.join("usr/share")).unwrap();
            sh(&format!("head -c 1M /dev/urandom >{}/usr/share/hello-bareon", package.display()));
        }
        sh(&format!(
            "dpkg-deb -Znone --root-owner-group -b {} {} >/dev/null",
            package.display(),
            dir.display()
        ));
    }
    sh(&format!(
        "cd {}; for deb in *.deb; do dpkg-deb -f $deb; echo \"Filename: ./$deb\"; stat -c 'Size: %s' $deb; \
         echo SHA256: $(sha256sum <$deb | cut -d' ' -f1); echo; done >Packages; \
         {{ printf 'Origin: Here\\nLabel: Here\\nSuite: mine\\nDate: Thu, 01 Jan 2026 00:00:00 UTC\\nSHA256:\\n'; \
         echo \" $(sha256sum <Packages | cut -d' ' -f1) $(stat -c %s Packages) Packages\"; }} >Release",
        dir.display()
    ));
    dir
}

/// Makes a key, and signs the repository with it; the armoured public key.
fn signed(bench: &Bench, repository: &Path, name: &str) -> String {
    let home = bench.path(&format!("gpg-{name}"));
    sh(&format!(
        "mkdir -m 700 {home}; export GNUPGHOME={home}; \
         gpg -q --batch --passphrase '' --quick-generate-key {name} ed25519 sign never 2>/dev/null; \
         gpg -q --batch --yes --clearsign -o {repository}/InRelease {repository}/Release; \
         gpg -q --armor --export; gpgconf --kill all",
        home = home.display(),
        repository = repository.display(),
    ))
}

fn with(bench: &Bench, uri: &str, priority: u32, more: &Value) -> Value {
    let mut document = bench.document(&["hello-bareon", "netbase"]);
    let mut repo = json!({"name": "here", "uri": uri, "suite": "./", "section": "", "priority": priority});
    for (key, value) in more.as_object().unwrap() {
        repo[key] = value.clone();
    }
    document["repos"].as_array_mut().unwrap().push(repo);
    document
}

/// A document with that repository at `server`, and its package of 1 MiB.
pub fn over_http(bench: &Bench, server: &Server, dir: &Path) -> Value {
    let mut document = bench.document(&["hello-bareon"]);
    let repo = json!({
        "name": "here", "uri": serve(server, dir), "suite": "./", "section": "", "priority": null, "trusted": true,
    });
    document["repos"].as_array_mut().unwrap().push(repo);
    document
}

/// Serves the files of a repository as they are when they are asked for; its address.
fn serve(server: &Server, dir: &Path) -> String {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // apt takes the suite into the address as it is.
        for path in [format!("/here/{name}"), format!("/here/./{name}")] {
            server.file(&path, entry.path());
        }
    }
    server.local_url("/here")
}

fn version_of_netbase(bench: &Bench) -> String {
    sh(&format!(
        "grep -A3 '\"name\": \"netbase\"' {}/root.spdx.json | grep -m1 versionInfo",
        bench.path("out").display()
    ))
}

#[test]
#[ignore = "needs root and Debian's mirror"]
fn priorities_and_signatures_decide_what_is_taken() {
    let bench = Bench::new();
    // Older than Debian's: only its priority speaks for it.
    let repository = repository(&bench, "0.1");
    let key = signed(&bench, &repository, "right");
    let server = Server::start().unwrap();
    let document = with(&bench, &serve(&server, &repository), 1050, &json!({"signed_by": key}));
    succeeded(&bench.build(&document, &[]));
    assert!(version_of_netbase(&bench).contains("\"0.1\""), "{}", version_of_netbase(&bench));

    // That the last build kept what was signed by the right one is no help.
    assert_ne!(signed(&bench, &repository, "wrong"), key);
    let text = failed(&bench.build(&document, &["--force"]));
    assert!(text.contains("NO_PUBKEY") && text.contains("fetching the indexes"), "{text}");

    let folder = format!("file://{}", repository.display());
    let trusted = with(&bench, &folder, 100, &json!({"trusted": true}));
    let output = bench.build(&trusted, &["--force"]);
    succeeded(&output);
    assert!(said(&output).contains("NO SIGNATURE of the repository here is checked"), "{}", said(&output));
    assert!(!version_of_netbase(&bench).contains("\"0.1\""), "{}", version_of_netbase(&bench));
}
