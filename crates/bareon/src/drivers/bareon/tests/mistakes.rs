//! Mistakes: each where it is, with what to do; all of them at once.

use super::{bad, disk, read, yaml};

/// Asserts that a document has one mistake, at `path`, which says `part`.
fn one(text: &str, path: &str, part: &str) {
    let mistakes = bad(text);
    let [mistake] = mistakes.as_slice() else { panic!("{text}\n{}", mistakes.join("\n")) };
    assert!(mistake.starts_with(&format!("{path}: ")) && mistake.contains(part), "{text}\n{mistake}");
}

const ROOT: &str = "{size: 10GiB, mount: /, format: ext4, name: root}";

#[test]
fn many_mistakes_of_one_document_are_told_at_once() {
    let text = r#"
version: 2
hostnme: node
timezone: here and now
disks:
- match: {serial: A, size: "about 5GB", model: 5}
  tabel: gpt
  boot: maybe
  partitions:
  - {size: 20, mount: srv, format: zfs, luks: {}}
  - {name: a/b, mount: /x, format: ext4, size: 1GiB, fstype: xfs}
- {match: {}, partitions: []}
- nothing
raids: {name: x}
volume_groups:
- {name: "a b", members: [nobody], logical_volumes: [{name: v, size: 10%, format: ext4, preserve: "yes"}]}
images:
- {target: /nowhere, url: ftp://h/i, raw_sha256: abc, sha512: abc, raw_size: 0}
users:
- {name: Root, password: s3cret, ssh_keys: [~/.ssh/id.pub]}
- {name: a, hashed_password: s3cret}
files:
- {path: etc/x, content: 5, mode: 644}
network: {ethernet: {}, version: 1}
cloud_init: []
"#;
    let mistakes = bad(text);
    let places: Vec<_> = mistakes.iter().map(|mistake| mistake.split(": ").next().unwrap()).collect();
    let all = mistakes.join("\n");
    for place in [
        "/version",
        "/hostnme",
        "/timezone",
        "/disks/0/match/size",
        "/disks/0/match/model",
        "/disks/0/tabel",
        "/disks/0/boot",
        "/disks/0/partitions/0/size",
        "/disks/0/partitions/0/mount",
        "/disks/0/partitions/0/format",
        "/disks/0/partitions/0/luks",
        "/disks/0/partitions/1/name",
        "/disks/0/partitions/1/fstype",
        "/disks/1/match",
        "/disks/1/partitions",
        "/disks/2",
        "/raids",
        "/volume_groups/0/name",
        "/volume_groups/0/members/0",
        "/volume_groups/0/logical_volumes/0/preserve",
        "/images/0/target",
        "/images/0/url",
        "/images/0/raw_sha256",
        "/images/0/sha512",
        "/images/0/raw_size",
        "/users/0/name",
        "/users/0/password",
        "/users/0/ssh_keys/0",
        "/users/1/hashed_password",
        "/files/0/path",
        "/files/0/content",
        "/files/0/mode",
        "/network/ethernet",
        "/network/version",
        "/cloud_init",
    ] {
        assert_eq!(places.iter().filter(|found| **found == place).count(), 1, "{place}:\n{all}");
    }
    assert_eq!(places.len(), 35, "{all}");
    assert!(!all.contains("s3cret"), "{all}");
    for line in &mistakes {
        assert!(line.contains("; "), "no remedy: {line}");
    }
}

#[test]
fn a_mistake_is_one_line_with_value_and_remedy() {
    let mistakes = bad(&format!("{}\nhostnme: node", disk("{size: 20G, mount: /, format: ext4}")));
    assert_eq!(
        mistakes,
        [
            "/disks/0/partitions/0/size: \"20G\": `G` may be GiB or GB; write a number with its unit, such as 20GiB \
             or 500GB, or `50%`, or `remaining`",
            "/hostnme: \"node\": the key `hostnme` is not known; did you mean `hostname`? Known are version, hostname, \
             timezone, ntp, kernel_params, disks, raids, volume_groups, images, files, users, network, cloud_init",
        ]
    );
}

#[test]
fn a_number_where_a_text_belongs_is_told_what_it_lacks() {
    one(
        &disk("{size: 20, mount: /, format: ext4}"),
        "/disks/0/partitions/0/size",
        "20: this size has no unit; write",
    );
    let file = format!("{}\nfiles: [{{path: /x, content: x, mode: 644}}]", disk(ROOT));
    one(&file, "/files/0/mode", "put it in quotes");
}

#[test]
fn a_key_that_people_remember_from_elsewhere_is_translated() {
    for (key, meant) in
        [("fstype", "format"), ("Mount_Point", "mount"), ("keep_data", "preserve"), ("sizes", "size")]
    {
        let text = disk(&format!("{{size: 10GiB, mount: /, format: ext4, {key}: x}}"));
        one(&text, &format!("/disks/0/partitions/0/{key}"), &format!("did you mean `{meant}`?"));
    }
    let mistakes = bad(&disk("{size: 10GiB, mount: /, format: ext4, zzz: x}"));
    assert!(mistakes[0].contains("not known; known are name, size"), "{mistakes:?}");
}

#[test]
fn what_is_not_done_is_refused_by_name() {
    let luks = disk("{size: 10GiB, mount: /, format: ext4, luks: {passphrase: s3cret}}");
    one(&luks, "/disks/0/partitions/0/luks", "not supported yet");
    let text = format!("{}\nusers: [{{name: a, password: s3cret}}]", disk(ROOT));
    one(&text, "/users/0/password", "`openssl passwd -6`");
    for url in ["http://h/i.zip", "http://h/i.tar.gz", "http://h/i.TGZ", "http://h/i.qcow2?x"] {
        let text = format!("{}\nimages: [{{target: /, url: \"{url}\"}}]", disk(ROOT));
        one(&text, "/images/0/url", "is not unpacked");
    }
}

#[test]
fn disks_are_exactly_one() {
    let of = |by: &str| format!("disks: [{{match: {by}, partitions: [{ROOT}]}}]");
    one(
        &of("{serial: Z}"),
        "/disks/0/match",
        "no disk of this machine matches: /dev/sda has the serial A, not Z",
    );
    one(&of("{model: \"SLOW*\"}"), "/disks/0/match", "several disks of this machine match");
    one(&of("{serial: A, size: \"> 100GiB\"}"), "/disks/0/match", "and not > 100 GiB");
    one(&of("{}"), "/disks/0/match", "write one of serial, wwn");
    let twice = "disks: [{match: {serial: A}, partitions: [{size: 1GiB}]}, {match: {name: sda}, partitions: [{size: 1GiB, mount: /, format: ext4}]}]";
    one(twice, "/disks/1/match", "which /disks/0 is already");
}

#[test]
fn what_does_not_fit_is_told_before_anything_is_written() {
    let size = "/disks/0/partitions/1/size";
    for (partitions, path, part) in [
        (format!("{ROOT}, {{size: 95GiB}}"), "/disks/0/partitions", "too large for the disk"),
        (
            format!("{ROOT}, {{size: remaining}}, {{size: remaining}}"),
            "/disks/0/partitions/2/size",
            "what remains",
        ),
        ("{size: 100%, mount: /, format: ext4}, {size: remaining}".into(), size, "leave nothing"),
        (format!("{ROOT}, {{size: 1GiB, start: 5GiB}}"), "/disks/0/partitions/1/start", "ends at 10754 MiB"),
        (format!("{ROOT}, {{size: 1GiB, start: 50.5KiB}}"), "/disks/0/partitions/1/start", "whole MiB"),
        (format!("{ROOT}, {{size: 1GiB, type: esp}}"), "/disks/0/partitions/1/type", "no type"),
        (format!("{ROOT}, {{size: 1GiB, flags: [boot]}}"), "/disks/0/partitions/1/flags/0", "active"),
        (
            format!("{ROOT}, {{size: 1GiB, flags: [bot]}}"),
            "/disks/0/partitions/1/flags/0",
            "did you mean `boot`?",
        ),
    ] {
        let mistakes = bad(&disk(&partitions));
        assert!(
            mistakes.iter().any(|it| it.starts_with(&format!("{path}: ")) && it.contains(part)),
            "{mistakes:?}"
        );
    }
    let mbr = |partition: &str| {
        format!("disks: [{{match: {{serial: A}}, table: mbr, partitions: [{ROOT}, {partition}]}}]")
    };
    let partition = "/disks/0/partitions/1";
    one(&mbr("{size: 1GiB, flags: [hidden]}"), &format!("{partition}/flags/0"), "no such flag");
    one(&mbr("{size: 1GiB, type: bios_boot}"), &format!("{partition}/type"), "no such type");
}

#[test]
fn names_mean_one_thing_that_is_there() {
    let base = "disks: [{match: {serial: A}, partitions: [{size: 10GiB, mount: /, format: ext4, name: root}, \
                {size: 1GiB, name: a}, {size: 1GiB, name: b}]}]\n";
    let with = |text: &str| format!("{base}{text}");
    for (text, path, part) in [
        ("raids: [{name: r, level: 1, members: [a, c]}]", "/raids/0/members/1", "write one of a, b, r, root"),
        (
            "raids: [{name: a, level: 1, members: [b]}]",
            "/raids/0/name",
            "/disks/0/partitions/1 has this name",
        ),
        (
            "raids: [{name: r, level: 1, members: [a, a]}]",
            "/raids/0/members/1",
            "/raids/0/members/0 means the same",
        ),
        (
            "raids: [{name: r, level: 1, members: [a, root]}]",
            "/raids/0/members/1",
            "a file system is to lie on",
        ),
        ("raids: [{name: r, level: 6, members: [a, b]}]", "/raids/0/members", "raid6 needs 4 members"),
        ("raids: [{name: r, level: 0, members: [a], spares: [b]}]", "/raids/0/spares", "no use for spares"),
        ("raids: [{name: r, level: 7, members: [a]}]", "/raids/0/level", "write one of raid0, raid1"),
        ("raids: [{name: r, level: 1, members: [a], metadata: 1.3}]", "/raids/0/metadata", "0.90"),
        ("volume_groups: [{name: -g, members: [a]}]", "/volume_groups/0/name", "LVM takes no such name"),
        ("volume_groups: [{name: g, members: []}]", "/volume_groups/0/members", "this list is empty"),
        (
            "volume_groups: [{name: g, members: [a]}, {name: g, members: [b]}]",
            "/volume_groups/1/name",
            "/volume_groups/0 has this name",
        ),
        (
            "volume_groups: [{name: g, members: [a], logical_volumes: [{name: v, size: 1GiB}]}]",
            "/volume_groups/0/logical_volumes",
            "too large for the group, which has 988 MiB",
        ),
        (
            "volume_groups: [{name: g, members: [a], logical_volumes: [{name: v, size: 100%}, {name: w, size: remaining}]}]",
            "/volume_groups/0/logical_volumes/1/size",
            "leave nothing",
        ),
    ] {
        one(&with(text), path, part);
    }
    let nested = with("raids: [{name: r, level: 1, members: [a]}, {name: s, level: 1, members: [r]}]");
    one(&nested, "/raids/1/members/0", "arrays of arrays");
}

#[test]
fn file_systems_and_images_belong_together() {
    for (partitions, images, path, part) in [
        ("{size: 1GiB, mount: /}", "{target: /, url: /i}", "/disks/0/partitions/0/format", "not said"),
        (
            "{size: 1GiB, mount: /, format: ext5}",
            "{target: /, url: /i}",
            "/disks/0/partitions/0/format",
            "ext5",
        ),
        (
            "{size: 1GiB, mount: /, format: swap}",
            "{target: /, url: /i}",
            "/disks/0/partitions/0/mount",
            "not mounted",
        ),
        (
            "{size: 1GiB, mount: /, filesystem: {type: ext4}}",
            "{target: /, url: /i, format: ext4}",
            "/disks/0/partitions/0/filesystem",
            "write all of it within",
        ),
        (
            "{size: 1GiB, mount: /, format: ext4}, {size: 1GiB, mount: /, format: xfs}",
            "{target: /, url: /i}",
            "/disks/0/partitions/1/mount",
            "mounted there, too",
        ),
        (
            "{size: 1GiB, mount: /, format: ext4}",
            "{target: /, url: /i, format: xfs}",
            "/images/0/format",
            "its target is to be ext4",
        ),
        ("{size: 1GiB, mount: /, format: ext4}", "{target: /x, url: /i}", "/images/0/target", "nothing"),
        (
            "{size: 1GiB, mount: /, format: ext4, name: r}",
            "{target: /, url: /i}, {target: r, url: /j}",
            "/images/1/target",
            "/images/0 is written there",
        ),
        (
            "{size: 1GiB, mount: /, format: ext4, preserve: true}",
            "{target: /, url: /i}",
            "/images/0/target",
            "overwrite it",
        ),
        (
            "{size: 1GiB, mount: /, format: ext4}",
            "{target: /, url: /i, container: zip}",
            "/images/0/container",
            "gzip",
        ),
        (
            "{size: 1GiB, mount: /, format: ext4}, {size: 1GiB, name: x}",
            "{target: x, url: /i}",
            "/images/0/format",
            "not said",
        ),
    ] {
        one(&format!("{}\nimages: [{images}]", disk(partitions)), path, part);
    }
}

#[test]
fn what_is_preserved_and_made_anew_is_told() {
    let text = "
disks:
- match: {serial: A}
  partitions:
  - {size: 10GiB, mount: /, format: ext4}
  - {name: p, size: 10GiB, preserve: false}
  - {size: 1GiB, preserve: true, filesystem: {type: ext4, mount: /x, preserve: false}}
  - {name: q, size: 10GiB, preserve: true}
volume_groups:
- name: g
  members: [p]
  preserve: false
  logical_volumes: [{name: v, size: 1GiB, format: xfs, mount: /v, preserve: true}]
- {name: h, members: [q], logical_volumes: [{name: w, size: 1GiB, format: xfs, preserve: false}]}
";
    let mistakes = bad(text);
    for (i, (place, problem)) in [
        ("/disks/0/partitions/1/preserve", "something that lies on it is preserved"),
        ("/disks/0/partitions/2/filesystem/preserve", "preserved with all that lies on it"),
        ("/volume_groups/1/logical_volumes/0/preserve", "preserved with all that lies on it"),
        ("/volume_groups/0/preserve", "something that lies on it is preserved"),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(
            mistakes[i].starts_with(&format!("{place}: false: ")) && mistakes[i].contains(problem),
            "{mistakes:?}"
        );
    }
    assert_eq!(mistakes.len(), 4, "{mistakes:?}");
}

#[test]
fn what_the_system_is_told_is_told_once() {
    let with = |text: &str| format!("{}\n{text}", disk(ROOT));
    for (text, path, part) in [
        ("hostname: node\ncloud_init: {fqdn: m}", "/cloud_init/fqdn", "own keys"),
        ("users: [{name: a}, {name: a}]", "/users/1/name", "/users/0 is the same"),
        ("files: [{path: /x, content: \"%\", encoding: base64}]", "/files/0/encoding", "base64 FILE"),
        ("network: {network: {version: 2}}", "/network/network", "not known"),
        ("network: {ethernets: [eth0]}", "/network/ethernets", "not an object"),
        ("hostname: a_b", "/hostname", "no host name"),
        ("files: [{path: /x}]", "/files/0/content", "missing"),
        ("ntp: server", "/ntp", "not a list"),
    ] {
        one(&with(text), path, part);
    }
}

#[test]
fn a_document_of_another_kind_is_told_what_is_missing() {
    for document in ["[]", "5", "{}", "text"] {
        let document = serde_json::from_str(document).unwrap_or_else(|_| document.into());
        let mistakes = read(&document).unwrap_err().to_string();
        assert!(
            mistakes.contains("this is not an object") || mistakes.contains("`version` is missing"),
            "{mistakes}"
        );
    }
    let mut document = yaml(&disk(ROOT));
    document.as_object_mut().unwrap().shift_remove("version");
    let mistakes = read(&document).unwrap_err().to_string();
    assert_eq!(mistakes, "/version: the key `version` is missing; write it: The version of this format: 1");
}
