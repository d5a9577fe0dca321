//! Documents, and what they come to.

use std::path::Path;

use serde_json::{Value, json};

use super::{Blueprint, drivers, find};
use crate::objects::build::{Container, ImageFormat, RootPassword, SignedBy};

fn document() -> Value {
    json!({
        "codename": "bookworm", "output": "/srv/images",
        "repos": [
            {"name": "debian", "uri": "http://h/debian", "suite": "bookworm", "section": "main contrib", "priority": null,
             "type": "deb"},
            {"name": "ours", "uri": "http://h/ours", "suite": "./", "section": "", "priority": "1050"},
        ],
        "image_data": {
            "/": {"uri": "http://h/a/root.img.gz?x=1", "format": "ext4", "container": "gzip"},
            "/boot": {"uri": "http://h/a/boot.img", "format": "ext2", "container": "raw"},
        },
        "unknown": {"key": 1},
    })
}

fn ramdisk() -> Value {
    let mut document = document();
    document["output"] = json!("/srv/ramdisk.tar.gz");
    document["bootstrap"] = json!({});
    document
}

fn read(driver: &str, document: &Value) -> Blueprint {
    find(driver).unwrap().read(document).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn images(document: &Value) -> Blueprint {
    let blueprint = read("nailgun_build_image", document);
    assert_eq!(blueprint.deferred, []);
    blueprint
}

/// A document with one value changed.
fn with(mut document: Value, place: &str, value: Value) -> Value {
    let (parent, key) = place.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/");
    match document.pointer_mut(parent).unwrap() {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        parent => parent[key] = value,
    }
    document
}

fn without(mut document: Value, place: &str) -> Value {
    let (parent, key) = place.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(&key.replace("~1", "/")).unwrap();
    document
}

#[test]
fn images_and_repositories_are_what_the_document_says() {
    let scheme = images(&document()).scheme;
    assert_eq!(scheme.metadata.as_deref(), Some(Path::new("/srv/images/root.yaml")));
    let rows: Vec<_> =
        scheme.images.iter().map(|i| (i.mount.to_str(), i.file.to_str(), i.format, i.container)).collect();
    assert_eq!(
        rows,
        [
            (Some("/"), Some("/srv/images/root.img.gz"), ImageFormat::Ext4, Container::Gzip),
            (Some("/boot"), Some("/srv/images/boot.img"), ImageFormat::Ext2, Container::Raw),
        ]
    );
    assert_eq!(scheme.repos.iter().map(|repo| repo.priority).collect::<Vec<_>>(), [None, Some(1050)]);
    assert!(scheme.repos.iter().all(|repo| !repo.trusted && repo.signed_by.is_none()));
    assert_eq!(scheme.custom.root_password, RootPassword::Locked);
    assert!(scheme.tar.is_none() && scheme.disk.is_none() && scheme.bootstrap.is_none());
}

#[test]
fn a_plan_shows_values_as_they_were_given() {
    let document = with(document(), "/codename", json!("Bookworm"));
    let scheme = images(&document).scheme;
    assert_eq!(scheme.codename, "bookworm");
    let os = &scheme.shown["operating_system"];
    assert_eq!((&os["name"], &os["major"]), (&json!("Debian"), &json!(12)));
    assert_eq!(os["repos"][1]["priority"], "1050");
    assert_eq!(os["packages"], json!(scheme.packages));
    assert_eq!(scheme.shown["image_scheme"][0]["uri"], "file:///srv/images/root.img.gz");
    assert_eq!(scheme.shown["partition_scheme"]["fss"][1]["mount"], "/boot");
    assert_eq!(scheme.shown["metadata_uri"], "file:///srv/images/root.yaml");
}

#[test]
fn keys_of_ours_are_read() {
    let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----";
    let mut document = with(document(), "/repos/0/signed-by", json!(key));
    document["repos"][1]["trusted"] = json!(true);
    for (name, value) in [
        ("debconf", json!("# a comment\ntzdata tzdata/Areas select Europe\n\n")),
        ("extra_files", json!("/srv/overlay")),
        ("post_script_file", json!("/srv/post.sh")),
        ("hashed_root_password", json!("$6$salt$hash")),
        ("root_password", json!("s3cret")),
        ("root_ssh_authorized_file", json!("")),
        ("certs", json!(["/srv/a.crt", "/srv/b.crt"])),
        ("tar_image", json!({"uri": "http://h/a/tree.tar.xz"})),
        (
            "disk_image",
            json!({"uri": "http://h/a/disk.img", "container": "zstd", "kernel_params": " quiet  a=b "}),
        ),
        ("packages", json!(["bash=5.2~rc1-1", "libc6:amd64"])),
        (
            "proxies",
            json!({"protocols": {"http": "http://p:3128", "https": null}, "direct_repo_addr_list": ["h"]}),
        ),
    ] {
        document[name] = value;
    }
    let scheme = images(&document).scheme;
    assert_eq!(scheme.repos[0].signed_by, Some(SignedBy::Armored(format!("{key}\n"))));
    assert!(scheme.repos[1].trusted);
    let custom = &scheme.custom;
    assert_eq!(custom.debconf, ["tzdata tzdata/Areas select Europe"]);
    assert_eq!(custom.extra_files, [Path::new("/srv/overlay")]);
    assert_eq!(custom.post_script_file.as_deref(), Some(Path::new("/srv/post.sh")));
    assert_eq!(custom.root_password, RootPassword::Hashed("$6$salt$hash".into()));
    assert_eq!((custom.root_ssh_authorized_file.as_ref(), custom.certs.len()), (None, 2));
    let tar = scheme.tar.unwrap();
    assert_eq!((tar.file.to_str(), tar.container), (Some("/srv/images/tree.tar.xz"), Container::Xz));
    let disk = scheme.disk.unwrap();
    assert_eq!(
        (disk.container, disk.format, &*disk.kernel_params),
        (Container::Zstd, ImageFormat::Ext4, "quiet a=b")
    );
    assert_eq!(scheme.packages.len(), 2);
    assert_eq!(scheme.proxies.protocols, [("http".to_owned(), "http://p:3128".to_owned())]);
    assert_eq!(scheme.proxies.direct, ["h"]);
}

#[test]
fn a_ramdisk_is_what_its_document_says_or_a_usual_one() {
    let scheme = read("bootstrap_build_image", &ramdisk()).scheme;
    let usual = scheme.bootstrap.unwrap();
    assert_eq!((scheme.images.len(), scheme.metadata), (0, None));
    assert!(usual.packed && usual.uuid == usual.label && usual.uuid.len() == 36, "{usual:?}");
    assert_eq!((&*usual.kernel_uri, &*usual.meta_file), ("vmlinuz", "metadata.yaml"));
    assert_eq!(usual.output, Path::new("/srv/ramdisk.tar.gz"));
    let given = with(
        ramdisk(),
        "/bootstrap",
        json!({
            "uuid": "u", "label": "l", "extend_kopts": "biosdevname=0", "post_script_file": "/srv/post",
            "container": {"meta_file": "meta.yaml", "format": "directory"}, "extra_files": ["/srv/over"], "certs": null,
            "modules": [
                {"name": "kernel", "uri": "http://h/u/kernel", "mask": "kernel"},
                {"name": "initrd", "uri": "http://h/u/initrd", "compress_format": "zstd"},
                {"name": "rootfs", "compress_format": "gzip"},
            ],
        }),
    );
    let scheme = read("bootstrap_build_image", &given).scheme;
    assert_eq!(scheme.custom.post_script_file.as_deref(), Some(Path::new("/srv/post")));
    let given = scheme.bootstrap.unwrap();
    assert_eq!(
        (&*given.uuid, &*given.label, given.packed, &*given.meta_file),
        ("u", "l", false, "meta.yaml")
    );
    assert_eq!((&*given.kernel_uri, &*given.initrd_uri), ("http://h/u/kernel", "http://h/u/initrd"));
    assert_eq!((&*given.initrd_compress, &*given.rootfs_compress), ("zstd", "gzip"));
    assert_eq!(given.rootfs_uri, "root.squashfs");
}

/// The places of all that is told of a document, deferred or not.
fn told(driver: &str, document: &Value) -> Vec<String> {
    match find(driver).unwrap().read(document) {
        Ok(blueprint) => blueprint.deferred.into_iter().map(|mistake| mistake.path).collect(),
        Err(mistakes) => mistakes.0.into_iter().map(|mistake| mistake.path).collect(),
    }
}

#[test]
fn each_mistake_is_told_at_its_place_and_whether_a_plan_shows_it() {
    let armour = json!({"name": "r", "uri": "http://h", "suite": "s", "section": "m", "trusted": true, "signed_by": "/k"});
    let flat = json!({"name": "r", "uri": "http://h", "suite": "./", "section": ""});
    for (place, value, at, is_shown) in [
        ("/codename", json!(""), "/codename", false),
        ("/codename", json!("../x"), "/codename", false),
        ("/codename", json!("plan9"), "/packages", true),
        ("/output", json!(null), "/output", false),
        ("/output", json!("images"), "/output", true),
        ("/repos", json!({}), "/repos", false),
        ("/repos", json!([]), "/repos", true),
        ("/repos", json!([flat]), "/repos/0", true),
        ("/repos/0", json!(1), "/repos/0", false),
        ("/repos/0", armour, "/repos/0", false),
        ("/repos/0/uri", json!("ftp://h/debian"), "/repos/0/uri", true),
        ("/repos/0/uri", json!("http://h/a b"), "/repos/0/uri", true),
        ("/repos/0/suite", json!("a\nb"), "/repos/0/suite", true),
        ("/repos/0/section", json!("main [x]"), "/repos/0/section", true),
        ("/repos/0/priority", json!("high"), "/repos/0/priority", true),
        ("/repos/0/priority", json!(0), "/repos/0/priority", true),
        ("/repos/0/trusted", json!("yes"), "/repos/0/trusted", false),
        ("/repos/0/signed_by", json!("key.gpg"), "/repos/0/signed_by", false),
        ("/image_data", json!({}), "/image_data/~1", false),
        ("/image_data/~1", json!("x"), "/image_data/~1", false),
        ("/image_data/~1/format", json!("zfs"), "/image_data/~1/format", true),
        ("/image_data/~1/container", json!("zip"), "/image_data/~1/container", false),
        ("/image_data/~1/uri", json!("http://h/a/"), "/image_data/~1/uri", true),
        ("/image_data/~1/uri", json!("http://h/boot.img"), "/image_data/~1boot/uri", true),
        ("/image_data/~1/uri", json!("http://h/root.yaml"), "/image_data/~1/uri", true),
        (
            "/image_data/boot",
            json!({"uri": "u", "format": "ext4", "container": "raw"}),
            "/image_data/boot",
            true,
        ),
        (
            "/image_data/~1boot~1",
            json!({"uri": "u", "format": "ext4", "container": "raw"}),
            "/image_data/~1boot~1",
            true,
        ),
        ("/packages", json!("bash"), "/packages", true),
        ("/packages", json!(["bash", "--force"]), "/packages/1", true),
        ("/proxies", json!({"protocols": {"socks": "socks://p"}}), "/proxies/protocols/socks", true),
        ("/proxies", json!({"protocols": {"http": "http://p\"; x"}}), "/proxies/protocols/http", true),
        ("/proxies", json!({"direct_repo_addr_list": "h"}), "/proxies/direct_repo_addr_list", false),
        ("/hashed_root_password", json!("plain"), "/hashed_root_password", true),
        ("/root_password", json!("a\nb"), "/root_password", true),
        ("/debconf", json!(["short"]), "/debconf/0", false),
        ("/extra_files", json!(["over"]), "/extra_files/0", true),
        ("/post_script_file", json!("../x"), "/post_script_file", true),
        ("/tar_image", json!({"uri": "http://h/root.img.gz"}), "/tar_image/uri", true),
        (
            "/disk_image",
            json!({"uri": "http://h/d.img", "container": "qcow2"}),
            "/disk_image/container",
            false,
        ),
    ] {
        let document = with(document(), place, value.clone());
        assert_eq!(told("nailgun_build_image", &document), [at], "{place}: {value}");
        let read = find("nailgun_build_image").unwrap().read(&document);
        assert_eq!(read.is_ok(), is_shown, "{place}: {value}");
    }
}

#[test]
fn mistakes_of_a_ramdisk_are_told_at_their_places() {
    for (value, at) in [
        (json!(null), "/bootstrap"),
        (json!({"uuid": 5}), "/bootstrap/uuid"),
        (json!({"container": {"format": "zip"}}), "/bootstrap/container/format"),
        (json!({"container": {"meta_file": "a/b"}}), "/bootstrap/container/meta_file"),
        (json!({"modules": {}}), "/bootstrap/modules"),
        (json!({"modules": [{"name": "firmware"}]}), "/bootstrap/modules/0"),
        (json!({"modules": [{"name": "kernel", "uri": "http://h/"}]}), "/bootstrap/modules/0/uri"),
        (
            json!({"modules": [{"name": "initrd", "compress_format": "lha"}]}),
            "/bootstrap/modules/0/compress_format",
        ),
        (json!({"modules": [{"name": "kernel", "uri": "http://h/initrd.img"}]}), "/bootstrap/modules"),
        (json!({"post_script_file": "post"}), "/bootstrap/post_script_file"),
    ] {
        let told = told("bootstrap_build_image", &with(ramdisk(), "/bootstrap", value.clone()));
        assert_eq!(told, [at], "{value}");
    }
}

#[test]
fn a_key_that_is_missing_is_named_whatever_else_is_wrong() {
    for place in [
        "/codename",
        "/output",
        "/repos",
        "/repos/0/name",
        "/repos/0/uri",
        "/repos/0/suite",
        "/repos/0/section",
        "/image_data",
        "/image_data/~1/uri",
        "/image_data/~1/format",
        "/image_data/~1/container",
    ] {
        let document = with(without(document(), place), "/debconf", json!(5));
        assert_eq!(told("nailgun_build_image", &document), [place, "/debconf"]);
    }
    assert_eq!(told("nailgun_build_image", &without(document(), "/repos/0/priority")), [] as [&str; 0]);
}

#[test]
fn no_mistake_shows_a_secret() {
    let mut document = document();
    document["root_password"] = json!(["s3cret"]);
    document["hashed_root_password"] = json!("s3cret");
    document["debconf"] = json!(["s3cret"]);
    let mistakes = find("nailgun_build_image").unwrap().read(&document).unwrap_err();
    assert_eq!(mistakes.0.len(), 3, "{mistakes}");
    assert!(!mistakes.to_string().contains("s3cret"), "{mistakes}");
}

#[test]
fn suites_have_names_versions_and_packages_where_they_are_known() {
    for (codename, name, major, minor, packages) in [
        ("trusty", "Ubuntu", json!(14), json!(4), &["grub-pc", "mcollective"][..]),
        ("noble", "Ubuntu", json!(24), json!(4), &["linux-image-generic", "netplan.io", "systemd-resolved"]),
        (
            "bookworm",
            "Debian",
            json!(12),
            json!("unknown"),
            &["linux-image-amd64", "grub-pc-bin", "cloud-init", "netplan.io"],
        ),
        ("stable", "Debian", json!("unknown"), json!("unknown"), &["linux-image-amd64", "systemd-timesyncd"]),
        ("plan9", "OperatingSystem", json!("unknown"), json!("unknown"), &[]),
    ] {
        let os = super::suites::operating_system(codename);
        assert_eq!((os.name.as_str(), os.major, os.minor), (name, major, minor), "{codename}");
        let list = super::suites::server(codename).unwrap_or_default();
        assert!(packages.iter().all(|package| list.contains(package)), "{codename}: {list:?}");
    }
    assert!(!super::suites::server("bullseye").unwrap().contains(&"systemd-resolved"));
    assert!(super::suites::ramdisk("trixie").unwrap().contains(&"xorriso"));
}

#[test]
fn the_schemas_take_what_the_drivers_take() {
    for (name, document) in [("nailgun_build_image", document()), ("bootstrap_build_image", ramdisk())] {
        let schema = jsonschema::validator_for(&find(name).unwrap().schema()).unwrap();
        let faults: Vec<_> =
            schema.iter_errors(&document).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(faults.is_empty(), "{name}: {faults:#?}");
        assert!(!schema.is_valid(&json!({})) && !schema.is_valid(&json!([])));
    }
}

/// Holds the schemas against recorded documents, where those are at hand.
#[test]
fn the_schemas_take_recorded_documents() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/conformance/vectors");
    let folder = std::env::var("CONFORMANCE_VECTORS").unwrap_or_else(|_| beside.into());
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: no recorded documents in {folder} (set CONFORMANCE_VECTORS)");
        return;
    };
    let mut checked = 0;
    for entry in entries {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let vector: Value = serde_json::from_str(&text).unwrap();
        let Some(driver) = drivers().into_iter().find(|driver| vector["driver"] == driver.name()) else {
            continue;
        };
        if vector["expect"] == "same" {
            let schema = jsonschema::validator_for(&driver.schema()).unwrap();
            let faults: Vec<_> = schema.iter_errors(&vector["input"]).map(|e| e.to_string()).collect();
            assert!(faults.is_empty(), "{}: {faults:#?}", vector["name"]);
            checked += 1;
        }
    }
    assert!(checked > 0, "nothing was checked in {folder}");
}

#[test]
fn the_example_is_read_and_fits_its_schema() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/build/debian-server.yaml");
    let document = crate::input::read(Path::new(path)).unwrap();
    let read = images(&document).scheme;
    assert_eq!((read.images.len(), read.repos.len()), (1, 3));
    assert!(read.packages.iter().any(|package| package == "cloud-init"));
    let schema = jsonschema::validator_for(&find("nailgun_build_image").unwrap().schema()).unwrap();
    assert!(schema.is_valid(&document));
}

#[test]
fn the_schemas_in_contrib_are_these() {
    for driver in drivers() {
        let path = format!("{}/../../contrib/{}.schema.json", env!("CARGO_MANIFEST_DIR"), driver.name());
        let schema = format!("{:#}\n", driver.schema());
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, &schema).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == schema, "{path} is out of date; run this test with UPDATE_GENERATED=1");
    }
}
