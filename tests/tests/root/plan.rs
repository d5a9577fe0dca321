//! `plan` and `--dry-run`: they show what is there and what would become of it, and change nothing.

use crate::{
    bench::Bench,
    disk::{Disk, assert_unused},
    document::{self, Part},
};

#[test]
#[ignore = "needs root and loop devices"]
fn looking_changes_nothing_and_shows_what_would_be_lost() {
    let (bench, disk) = (Bench::new(), Disk::new(120));
    let parts = [Part::fs(20, "/a", "ext4", "old data"), Part::fs(60, "/", "ext4", "")];
    bench.run(&document::simple(&[(&disk, &parts)], &[]), &["partition"]).succeeded();
    let before = (disk.sum(), disk.nodes());
    let parts = [Part::fs(50, "/", "ext4", "root"), Part::fs(10, "/new", "ext4", "a new one")];
    let document = document::simple(&[(&disk, &parts)], &[]);

    for arguments in [&["plan"][..], &["--dry-run"], &["partition", "--dry-run"]] {
        let shown = bench.run(&document, arguments).succeeded().stdout;
        let destroys = shown.split("\nDestroys\n").nth(1).and_then(|rest| rest.split("\n\n").next());
        let destroys = destroys.unwrap_or_default();
        assert!(
            destroys.contains(&format!("{} (20 MiB): ext4, label \"old data\"", disk.part(1))),
            "{shown}"
        );
        assert!(destroys.contains(&format!("{} (120 MiB): gpt", disk.name)), "{shown}");
        assert!(shown.contains(&format!("mkfs.ext4 -q -F -L 'a new one' {}", disk.part(2))), "{shown}");
    }
    let json = bench.run(&document, &["plan", "--json"]).succeeded().stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["destroys"][1]["label"], "old data");
    assert_eq!((disk.sum(), disk.nodes()), before);
    assert_unused(&disk);
    assert!(!bench.path("config-drive.img").exists());
}

#[test]
#[ignore = "needs root and loop devices"]
fn only_the_plan_that_was_shown_is_run() {
    let (bench, disk) = (Bench::new(), Disk::new(120));
    let layout = |label: &'static str| {
        let parts = [Part::fs(20, "/a", "ext4", label), Part::fs(60, "/", "ext4", "")];
        document::simple(&[(&disk, &parts)], &[])
    };
    let id = |label: &'static str| {
        let json = bench.run(&layout(label), &["partition", "--dry-run", "--json"]).succeeded().stdout;
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        json["plan_id"].as_str().expect("an id").to_owned()
    };
    let (one, other) = (id("one"), id("other"));
    assert_ne!(one, other);
    let before = disk.sum();
    let words = [&*one, &*other, "nothing was written"];
    bench.run(&layout("other"), &["partition", "--plan-id", &one]).failed(&words);
    assert_eq!(disk.sum(), before);
    bench.run(&layout("one"), &["partition", "--plan-id", &one]).succeeded();
    // The same again would destroy something else: what was just made.
    bench.run(&layout("one"), &["partition", "--plan-id", &one]).failed(&[&one]);
    let again = id("one");
    bench.run(&layout("one"), &["partition", "--plan-id", &again]).succeeded();
}
