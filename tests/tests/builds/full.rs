//! Disks that are full: the one to work on, and the one of the output. It is said, and nothing is left.

use std::{fs, path::Path};

use serde_json::json;
use tempfile::TempDir;

use crate::bench::{Bench, failed, sh, succeeded};

/// A small file system, until dropped.
struct Small(TempDir);

impl Small {
    fn new(size: &str) -> Self {
        let dir = TempDir::new().unwrap();
        sh(&format!("mount -t tmpfs -o size={size},mode=700 tmpfs {}", dir.path().display()));
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn assert_empty(&self) {
        let left: Vec<_> = fs::read_dir(self.path()).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        sh(&format!("umount {}", self.path().display()));
    }
}

#[test]
#[ignore = "needs root and Debian's mirror"]
fn a_full_disk_is_told_leaves_nothing_and_is_enough_once_it_is_larger() {
    let bench = Bench::new();
    let document = bench.document(&[]);
    let small = Small::new("180m");
    let work = small.path().to_str().unwrap();
    let text = failed(&bench.build(&document, &["--image-build-dir", work]));
    assert!(text.contains("could not bootstrap bookworm from "), "{text}");
    let told = "nothing of this build is left; its working folder is full: let image_build_dir name a disk with more room";
    assert!(text.contains(told), "{text}");
    small.assert_empty();
    assert_eq!(bench.made(), Vec::<String>::new());

    let output = Small::new("20m");
    let mut elsewhere = document.clone();
    elsewhere["output"] = json!(output.path());
    let text = failed(&bench.build(&elsewhere, &[]));
    assert!(text.contains("no space left for ") && text.contains("root.img.gz"), "{text}");
    output.assert_empty();

    sh(&format!("mount -o remount,size=2g {work}"));
    succeeded(&bench.build(&document, &["--image-build-dir", work]));
    small.assert_empty();
}
