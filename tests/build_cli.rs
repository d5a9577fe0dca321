//! The command line of the built builder: names, commands, defaults, refusals.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::fs;

use assert_cmd::Command;
use predicates::{prelude::PredicateBooleanExt, str::contains};
use serde_json::{Value, json};
use tempfile::TempDir;

fn program() -> std::path::PathBuf {
    assert_cmd::cargo::cargo_bin!("bareon-build-image").to_path_buf()
}

/// The program under a name, with an environment and a configuration of its own.
fn called(dir: &TempDir, name: &str) -> Command {
    let path = dir.path().join(name);
    if !path.exists() {
        std::os::unix::fs::symlink(program(), &path).unwrap();
    }
    let mut command = Command::new(path);
    let config = dir.path().join("bareon.conf");
    if !config.exists() {
        fs::write(&config, "").unwrap();
    }
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("BAREON_CONFIG_FILE", config);
    command
}

fn builder(dir: &TempDir) -> Command {
    called(dir, "bareon-build-image")
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn document() -> Value {
    json!({
        "codename": "bookworm", "output": "/nonexistent/images",
        "repos": [{"name": "debian", "uri": "http://h/debian", "suite": "bookworm", "section": "main", "priority": null}],
        "image_data": {"/": {"uri": "http://h/root.img.gz", "format": "ext4", "container": "gzip"}},
    })
}

fn plan(command: &mut Command, document: &Value) -> Value {
    let output = command.arg(format!("--input_data={document}")).assert().success().get_output().clone();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn help_shows_the_commands_and_options_of_this_program_alone() {
    let dir = dir();
    let short = builder(&dir).arg("-h").assert().success().get_output().stdout.clone();
    let long = builder(&dir).arg("--help").assert().success().get_output().stdout.clone();
    let (short, long) = (String::from_utf8(short).unwrap(), String::from_utf8(long).unwrap());
    for (text, has) in [
        ("--input-data-file", true),
        ("--bootstrapper <debootstrap|mmdebstrap>", true),
        ("[default: nailgun_build_image]", true),
        ("mkbootstrap", true),
        ("--firmware", false),
        ("ironic-callback", false),
        ("--build-in", false),
    ] {
        assert_eq!(short.contains(text), has, "{text}:\n{short}");
    }
    assert!(
        long.contains("--build-in")
            && !long.contains("--grub-timeout")
            && !long.contains("--sparse-file-size")
    );
    builder(&dir).arg("--version").assert().success().stdout(contains("bareon-build-image 0."));
    let ramdisk = called(&dir, "fa_mkbootstrap").arg("-h").assert().success();
    ramdisk.stdout(contains("[default: bootstrap_build_image]").and(contains("Build the bootstrap ramdisk")));
}

#[test]
fn a_plan_is_what_callers_of_the_original_know() {
    let dir = dir();
    let shown = plan(builder(&dir).args(["plan", "--json"]), &document());
    assert_eq!(shown["image_scheme"][0]["uri"], "file:///nonexistent/images/root.img.gz");
    assert_eq!(shown["operating_system"]["name"], "Debian");
    assert_eq!(plan(called(&dir, "fa_build_image").args(["--dry_run", "--json"]), &document()), shown);
}

#[test]
fn each_name_has_its_driver() {
    let dir = dir();
    for (name, asks) in
        [("bareon-build-image", false), ("fa_build_image", false), ("bareon-mkbootstrap", true)]
    {
        let mut command = called(&dir, name);
        let assert =
            command.args(["--dry-run", "--json"]).arg(format!("--input-data={}", document())).assert();
        if asks {
            assert.code(255).stderr(contains("/bootstrap: the key `bootstrap` is missing"));
        } else {
            assert.success();
        }
    }
    let names = builder(&dir).args(["drivers", "--json"]).assert().success().get_output().stdout.clone();
    let names: Value = serde_json::from_slice(&names).unwrap();
    assert_eq!(
        (&names[0]["name"], &names[1]["name"]),
        (&json!("bootstrap_build_image"), &json!("nailgun_build_image"))
    );
    let assert = builder(&dir).args(["plan", "--data-driver=nailgun"]).assert().code(255);
    assert.stderr(contains(
        "no data driver `nailgun` builds images; known are bootstrap_build_image, nailgun_build_image",
    ));
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place_and_no_secret() {
    let dir = dir();
    let mut document = document();
    document["codename"] = json!(12);
    document["repos"][0].as_object_mut().unwrap().remove("uri");
    document["image_data"]["/"]["container"] = json!("zip");
    document["root_password"] = json!(["s3cret"]);
    for arguments in [&["plan", "--json"][..], &["plan"]] {
        let mut command = builder(&dir);
        let assert = command.args(arguments).arg(format!("--input_data={document}")).assert().code(255);
        let output = assert.get_output().clone();
        let told = String::from_utf8(output.stderr).unwrap();
        for place in
            ["/codename: 12: ", "/repos/0/uri: ", "/image_data/~1/container: \"zip\": ", "/root_password: "]
        {
            assert!(told.contains(place), "{place}:\n{told}");
        }
        assert!(!told.contains("s3cret"), "{told}");
        if arguments.contains(&"--json") {
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(answer["error"]["mistakes"].as_array().unwrap().len(), 4);
        }
    }
}

#[test]
fn what_the_original_took_is_shown_and_not_built() {
    let dir = dir();
    let mut document = document();
    document["repos"] = json!([]);
    let shown = plan(builder(&dir).args(["plan", "--json"]), &document);
    assert_eq!(shown["refusals"][0]["path"], "/repos");
}

#[test]
fn files_that_are_not_here_are_refused_where_the_document_names_them() {
    let dir = dir();
    let mut document = document();
    let gone = |name: &str| dir.path().join(name);
    document["extra_files"] = json!([gone("top")]);
    document["bootstrap"] = json!({
        "extra_files": [dir.path(), gone("one")],
        "post_script_file": gone("post"),
        "certs": gone("cert"),
    });
    let mut command = builder(&dir);
    let shown = plan(command.args(["--data-driver", "bootstrap_build_image", "plan", "--json"]), &document);
    let places: Vec<_> = shown["refusals"].as_array().unwrap().iter().map(|one| &one["path"]).collect();
    for place in
        ["/extra_files/0", "/bootstrap/extra_files/1", "/bootstrap/post_script_file", "/bootstrap/certs"]
    {
        assert!(places.contains(&&json!(place)), "{place}: {places:?}");
    }
    assert!(!places.contains(&&json!("/bootstrap/extra_files/0")), "{places:?}");
}

#[test]
#[ignore = "needs root, as a build runs in namespaces of its own"]
fn a_build_refuses_what_its_plan_says_is_refused() {
    let dir = dir();
    let (mut no_repo, mut no_image) = (document(), document());
    no_repo["repos"] = json!([]);
    no_image["image_data"]["/"]["format"] = json!("zfs");
    for (document, place) in [(no_repo, "/repos: "), (no_image, "/image_data/~1/format: \"zfs\": ")] {
        let assert = builder(&dir).arg(format!("--input_data={document}")).assert().code(255);
        assert.stderr(
            contains("Unexpected error\nthe plan is refused, nothing was built").and(contains(place)),
        );
    }
}

#[test]
fn the_calls_of_fuel_are_taken() {
    let dir = dir();
    let file = dir.path().join("input.json");
    let log = dir.path().join("build.log");
    fs::write(&file, document().to_string()).unwrap();
    let file = file.to_str().unwrap();
    let assert = called(&dir, "fa_build_image")
        .args([
            "--image_build_dir",
            "/tmp",
            "--data_driver",
            "nailgun_build_image",
            "--input_data_file",
            file,
        ])
        .args(["--max_loop_devices_count=128", "--grub_timeout=3", "--dry-run", "--log-file"])
        .arg(&log)
        .assert();
    assert.success();
    let log = fs::read_to_string(log).unwrap();
    for line in [
        "--max-loop-devices-count: max_loop_devices_count has no effect: the kernel is asked for a loop device",
        "--grub-timeout: grub_timeout has no effect: only bareon-provision uses it",
    ] {
        assert_eq!(log.matches(line).count(), 1, "{log}");
    }
    let mut ramdisk = called(&dir, "bareon-mkbootstrap");
    ramdisk.args(["--nouse-syslog", "--data_driver", "bootstrap_build_image", "--nodebug", "-v"]);
    let assert = ramdisk.args(["--input_data_file", file, "--dry-run"]).assert().code(255);
    assert.stderr(contains("/bootstrap: "));
}

#[test]
fn what_is_another_programs_is_wrong_usage() {
    for wrong in
        [&["partition"][..], &["--hardware=f"], &["--json"], &["schema", "--force"], &["--build-in=ram"]]
    {
        builder(&dir()).args(wrong).assert().code(2).stdout("").stderr(contains("error: "));
    }
}

#[test]
fn manual_completions_and_sample_are_printed() {
    let dir = dir();
    builder(&dir).arg("man").assert().success().stdout(contains("bareon\\-mkbootstrap"));
    builder(&dir).args(["completions", "bash"]).assert().success().stdout(contains("--bootstrapper"));
    builder(&dir).arg("sample").assert().success().stdout(contains("#image_build_dir = /tmp"));
    let schema = builder(&dir).arg("schema").assert().success().get_output().stdout.clone();
    let schema: Value = serde_json::from_slice(&schema).unwrap();
    assert!(schema["properties"]["image_data"].is_object());
}
