//! All files of a small tree together.

use std::{collections::BTreeMap, fs, path::Path};

use minisign::KeyPair;
use serde_json::{Value, json};

use super::*;
use crate::{
    input,
    objects::{
        OperatingSystem,
        build::{Customization, Proxies, Repo},
    },
};

const STATUS: &str = "\
Package: 0ad
Status: install ok installed
Architecture: amd64
Version: 1e5
Maintainer: A \"B\" C <a@example.org>

Package: on
Status: install ok installed
Architecture: amd64
Version: 12

Package: libstdc++6
Status: install ok installed
Architecture: amd64
Source: gcc-12 (12.2.0-14)
Version: 1:12.2.0-14
Homepage: http://gcc.gnu.org/
Description: GNU Standard C++ Library v3: caf\u{e9}

Package: libstdc++6
Status: install ok installed
Architecture: i386
Version: 1:12.2.0-14
";

fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for (path, text) in [
        (
            "etc/os-release",
            "ID=debian\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
        ),
        ("etc/debian_version", "12.8\n"),
        ("var/lib/dpkg/status", STATUS),
        (
            "usr/share/doc/on/copyright",
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
             Files: *\nCopyright: A\nLicense: GPL-2+ and public-domain\n",
        ),
    ] {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    tree
}

fn scheme(output: &Path) -> BuildScheme {
    let repo = |name: &str, uri: &str, priority, trusted| Repo {
        name: name.into(),
        uri: uri.into(),
        suite: "bookworm".into(),
        section: "main".into(),
        priority,
        trusted,
        signed_by: None,
    };
    BuildScheme {
        codename: "bookworm".into(),
        operating_system: OperatingSystem { name: "Debian".into(), major: json!(12), minor: json!(0) },
        repos: vec![
            repo("debian", "http://deb.example.org/debian", None, false),
            repo("own", "https://me:s3cret@example.org/own?token=s3cret", Some(1050), true),
        ],
        packages: vec!["on".into(), "0ad".into()],
        proxies: Proxies::default(),
        custom: Customization::default(),
        images: Vec::new(),
        tar: None,
        disk: None,
        torrents: None,
        metadata: Some(output.join("root.yaml")),
        bootstrap: None,
        shown: Value::Null,
    }
}

fn built() -> Vec<Built> {
    let packed = Packed {
        raw_size: 1 << 30,
        raw_md5: "12345678901234567890123456789012".into(),
        raw_sha256: "1234567890123456789012345678901234567890123456789012345678901e99".into(),
        container_size: 5,
        container_md5: "0x345678901234567890123456789012".into(),
        container_sha256: "b".repeat(64),
        index: None,
    };
    let file = "/srv/root.img.gz".into();
    vec![Built { file, format: "ext4".into(), container: Container::Gzip, packed, torrent_sha256: None }]
}

/// What is written with these facts, by final name.
fn written(key: Option<&Key>) -> BTreeMap<String, String> {
    let (tree, output) = (tree(), tempfile::tempdir().unwrap());
    let (scheme, images) = (scheme(Path::new("/srv")), built());
    let facts = Facts {
        scheme: &scheme,
        tree: tree.path(),
        images: &images,
        releases: &[Release { sha256: "c".repeat(64) }, Release { sha256: String::new() }],
        tools: &[ToolVersion { name: "debootstrap".into(), version: "1.0.128".into() }],
        input_sha256: &"d".repeat(64),
        epoch: 1_700_000_000,
        key,
    };
    let files = write(&facts, output.path()).unwrap();
    let last = &files.last().unwrap().1;
    assert_eq!(last, Path::new("/srv/root.yaml"), "the metadata appear last");
    let read = |(now, then): &(PathBuf, PathBuf)| {
        assert_eq!(now.parent(), Some(output.path()));
        (then.strip_prefix("/srv").unwrap().to_str().unwrap().to_owned(), fs::read_to_string(now).unwrap())
    };
    files.iter().map(read).collect()
}

#[test]
fn the_metadata_are_what_the_reader_and_callers_know() {
    let files = written(None);
    let yaml = input::parse(&files["root.yaml"]).unwrap();
    assert_eq!(
        yaml["os"],
        json!({"name": "Debian", "major": 12, "minor": 8, "codename": "bookworm", "id": "debian", "version": "12.8"})
    );
    let (one, image) = (&built()[0].packed, &yaml["images"][0]);
    assert_eq!(image["container_name"], "root.img.gz");
    assert_eq!((&image["format"], &image["container"]), (&json!("ext4"), &json!("gzip")));
    assert_eq!((&image["raw_size"], &image["container_size"]), (&json!(1 << 30), &json!(5)));
    for (key, sum) in [
        ("raw_md5", &one.raw_md5),
        ("raw_sha256", &one.raw_sha256),
        ("container_md5", &one.container_md5),
        ("container_sha256", &one.container_sha256),
    ] {
        assert_eq!(image[key], sum.as_str());
    }
    assert!(image["raw_name"].is_null() && image.get("raw_name").is_some());
    assert_eq!(yaml["packages"], json!(["on", "0ad"]));
    assert_eq!(
        yaml["all_packages"],
        json!({"0ad": "1e5", "libstdc++6": "1:12.2.0-14", "libstdc++6:i386": "1:12.2.0-14", "on": "12"})
    );
    assert_eq!(yaml["repos"][1]["priority"], 1050);
    assert_eq!(yaml["repos"][0]["type"], "deb");
    for document in yaml["documents"].as_array().unwrap() {
        let text = &files[document["name"].as_str().unwrap()];
        assert_eq!(document["sha256"], sha256(text.as_bytes()));
    }
}

#[test]
fn no_secret_is_told_and_nothing_differs_the_next_time() {
    let files = written(None);
    assert_eq!(files.len(), 4);
    assert!(files.values().all(|text| !text.contains("s3cret")));
    assert_eq!(written(None), files);
}

#[test]
fn the_metadata_are_signed_where_there_is_a_key() {
    let pair = KeyPair::generate_unencrypted_keypair().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), pair.sk.to_box(None).unwrap().into_string()).unwrap();
    let files = written(Some(&Key::load(file.path()).unwrap()));
    let public = minisign_verify::PublicKey::from_base64(&pair.pk.to_base64()).unwrap();
    let signature = minisign_verify::Signature::decode(&files["root.yaml.minisig"]).unwrap();
    public.verify(files["root.yaml"].as_bytes(), &signature, false).unwrap();
}

#[test]
fn the_bills_of_materials_name_each_package_once() {
    let files = written(None);
    let spdx: Value = serde_json::from_str(&files["root.spdx.json"]).unwrap();
    let packages = spdx["packages"].as_array().unwrap();
    let ids: std::collections::BTreeSet<_> =
        packages.iter().map(|it| it["SPDXID"].as_str().unwrap()).collect();
    assert_eq!((packages.len(), ids.len()), (5, 5));
    assert!(ids.contains("SPDXRef-Package-libstdc.plus.plus6-i386"));
    assert_eq!(spdx["creationInfo"]["created"], "2023-11-14T22:13:20Z");
    let on = packages.iter().find(|it| it["name"] == "on").unwrap();
    assert_eq!(on["licenseDeclared"], "GPL-2.0-or-later AND LicenseRef-public-domain");
    assert_eq!(spdx["hasExtractedLicensingInfos"][0]["licenseId"], "LicenseRef-public-domain");
    let ad = packages.iter().find(|it| it["name"] == "0ad").unwrap();
    assert_eq!(ad["supplier"], "Organization: A \"B\" C (a@example.org)");
    assert_eq!(ad["licenseDeclared"], "NOASSERTION");
    let cdx: Value = serde_json::from_str(&files["root.cdx.json"]).unwrap();
    assert_eq!(cdx["components"].as_array().unwrap().len(), 4);
    assert_eq!(cdx["components"][3]["licenses"][0]["expression"], on["licenseDeclared"]);
    assert!(cdx["serialNumber"].as_str().unwrap().starts_with("urn:uuid:"));
}

#[test]
fn the_provenance_names_what_was_built_of_what() {
    let files = written(None);
    let statement: Value = serde_json::from_str(&files["root.provenance.json"]).unwrap();
    assert_eq!(statement["subject"], json!([{"name": "root.img.gz", "digest": {"sha256": "b".repeat(64)}}]));
    let definition = &statement["predicate"]["buildDefinition"];
    assert_eq!(definition["externalParameters"]["input"]["digest"]["sha256"], "d".repeat(64));
    assert_eq!(definition["internalParameters"]["tools"]["debootstrap"], "1.0.128");
    let [debian, own] = definition["resolvedDependencies"].as_array().unwrap().as_slice() else { panic!() };
    assert_eq!(debian["digest"]["sha256"], "c".repeat(64));
    assert_eq!(own["annotations"]["signatureChecked"], false);
    assert!(own.get("digest").is_none(), "{own}");
}

#[test]
fn nothing_is_written_where_no_metadata_are_named() {
    let (tree, output) = (tree(), tempfile::tempdir().unwrap());
    let scheme = BuildScheme { metadata: None, ..scheme(Path::new("/srv")) };
    let facts = Facts {
        scheme: &scheme,
        tree: tree.path(),
        images: &[],
        releases: &[],
        tools: &[],
        input_sha256: "",
        epoch: 0,
        key: None,
    };
    assert!(write(&facts, output.path()).unwrap().is_empty());
    assert_eq!(fs::read_dir(output.path()).unwrap().count(), 0);
}
