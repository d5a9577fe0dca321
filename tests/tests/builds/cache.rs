//! Packages that are kept between builds: what a repository has by a name it had before is taken from the repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bareon_tests::vm::http::Server;

use crate::{
    bench::{Bench, said, sh, succeeded},
    repository::{over_http, repository},
};

/// The only file of a folder.
fn only(dir: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// Has the cache hold, for the package that `name` begins, another one of the same size, as it would had the package been
/// built again since.
fn exchange(cache: &Path, name: &str) {
    let list = only(&cache.join("bootstraps"));
    let text = fs::read_to_string(&list).unwrap();
    let line = text.lines().find(|line| line.split(' ').nth(2).unwrap().starts_with(name)).unwrap();
    let sum = line.split(' ').next().unwrap();
    let file = |sum: &str| cache.join("files").join(sum.trim_start_matches("SHA256:"));
    let mut package = fs::read(file(sum)).unwrap();
    *package.last_mut().unwrap() ^= 1;
    let other = cache.join("other");
    fs::write(&other, &package).unwrap();
    let other_sum = format!("SHA256:{}", sh(&format!("sha256sum <{} | cut -d' ' -f1", other.display())));
    fs::rename(&other, file(&other_sum)).unwrap();
    fs::write(&list, text.replace(sum, &other_sum)).unwrap();
}

#[test]
#[ignore = "needs root and Debian's mirror"]
fn a_package_that_was_built_again_is_not_taken_from_the_cache_and_others_are() {
    let bench = Bench::new();
    let server = Server::start().unwrap();
    let (cache, out) = (bench.path("cache"), bench.path("out"));
    let built = |dir: &Path| {
        let document = over_http(&bench, &server, dir);
        let output = bench.build(&document, &["--force", "--cache-dir", cache.to_str().unwrap()]);
        succeeded(&output);
        let inside = sh(&format!(
            "cd {}; zcat root.img.gz >../raw; debugfs -R 'cat /usr/share/hello-bareon' ../raw 2>/dev/null | sha256sum",
            out.display()
        ));
        let file = bench.path("hello-bareon/usr/share/hello-bareon");
        assert_eq!(inside, sh(&format!("sha256sum <{}", file.display())));
        (inside, said(&output))
    };
    let (first, _) = built(&repository(&bench, "0.1"));
    exchange(&cache, "tar_");
    let dir = repository(&bench, "0.1");
    let (second, text) = built(&dir);
    assert_ne!(first, second);
    let told = "the repository has other packages than the cache by the names of tar_";
    assert!(text.contains(told), "{text}");

    let before = server.requests().len();
    let (_, text) = built(&dir);
    assert!(!text.contains(told), "{text}");
    let asked: Vec<_> = server.requests().into_iter().skip(before).map(|request| request.path).collect();
    let releases = |path: &String| path.contains("Release");
    assert!(asked.iter().any(releases) && asked.iter().all(releases), "{asked:?}");
}
