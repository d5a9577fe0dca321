//! A mirror that stops answering in the middle of a build: it is said which, in a few lines, and nothing is left. The
//! next build, from a whole one, succeeds.

use std::{fs, path::Path};

use bareon_tests::vm::http::{Fault, Server};
use serde_json::json;

use crate::{
    bench::{Bench, MIRROR, failed, sh, succeeded},
    repository::{over_http, repository},
};

/// How many lines somebody reads.
const LINES: usize = 30;

/// The indexes of Debian's mirror, fetched to `dir` and served as a mirror of one's own; the bytes of `InRelease`, and of
/// `Packages.xz`.
fn mirror(server: &Server, dir: &Path) -> (u64, u64) {
    fs::create_dir_all(dir).unwrap();
    let fetched = |name: &str, path: &str| {
        let file = dir.join(name);
        sh(&format!("curl -sSfL --retry 3 -o {} {MIRROR}/dists/bookworm/{path}", file.display()));
        server.file(&format!("/debian/dists/bookworm/{path}"), &file);
        fs::metadata(&file).unwrap().len()
    };
    let release = fetched("InRelease", "InRelease");
    let packages = fetched("Packages.xz", "main/binary-amd64/Packages.xz");
    // It is asked for by its sum, too.
    let file = dir.join("Packages.xz");
    let sum = sh(&format!("sha256sum <{} | cut -d' ' -f1", file.display()));
    server.file(&format!("/debian/dists/bookworm/main/binary-amd64/by-hash/SHA256/{sum}"), &file);
    (release, packages)
}

#[test]
#[ignore = "needs root and Debian's mirror"]
fn a_mirror_that_vanishes_while_a_tree_is_bootstrapped_is_told() {
    let bench = Bench::new();
    for bootstrapper in ["debootstrap", "mmdebstrap"] {
        for with_the_index in [false, true] {
            let server = Server::start().unwrap();
            let (release, packages) = mirror(&server, &bench.path("mirror"));
            // The program and the bootstrapper read the Release file, each on its own.
            let after = if with_the_index { 2 * release + packages } else { 2 * release + packages / 2 };
            server.fault(Fault::Dies { after, back: None });
            let mut document = bench.document(&[]);
            document["repos"][0]["uri"] = json!(server.local_url("/debian"));
            let text = failed(&bench.build(&document, &["--bootstrapper", bootstrapper]));
            let told = format!("bootstrapping `bookworm` from {}", server.local_url("/debian"));
            assert!(text.contains(&told), "{text}");
            assert!(text.contains("Failed to fetch") || text.contains("Couldn't download"), "{text}");
            let (_, said) = text.split_once("Unexpected error").unwrap();
            assert!(said.lines().count() < LINES, "{text}");
            assert_eq!(bench.made(), Vec::<String>::new());
        }
    }
}

/// Bytes: more than the indexes of the repository, and less than the indexes and its package.
const WITHIN_THE_PACKAGE: u64 = 300_000;

#[test]
#[ignore = "needs root and Debian's mirror"]
fn a_repository_that_vanishes_within_a_package_is_told() {
    let bench = Bench::new();
    let dir = repository(&bench, "0.1");
    let server = Server::start().unwrap();
    let document = over_http(&bench, &server, &dir);
    server.fault(Fault::Dies { after: WITHIN_THE_PACKAGE, back: None });
    let text = failed(&bench.build(&document, &["--fetch-packages-attempts", "1"]));
    assert!(text.contains("installing packages"), "{text}");
    assert!(text.contains(&format!("E: Failed to fetch {}", server.local_url("/here"))), "{text}");
    assert_eq!(bench.made(), Vec::<String>::new());

    let server = Server::start().unwrap();
    let document = over_http(&bench, &server, &dir);
    succeeded(&bench.build(&document, &[]));
}
