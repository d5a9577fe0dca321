//! The command line of the built program: spellings, names, statuses, log, report.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use assert_cmd::Command;
use predicates::{prelude::PredicateBooleanExt, str::contains};
use tempfile::TempDir;

/// The program, with an environment and a configuration of its own.
fn bareon(dir: &TempDir) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("bareon-provision"));
    let config = dir.path().join("bareon.conf");
    if !config.exists() {
        fs::write(&config, "").unwrap();
    }
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("BAREON_CONFIG_FILE", config);
    command
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Arguments that refuse a run at its very beginning: there is no such document.
fn no_document(dir: &TempDir) -> String {
    format!("--input_data_file={}", dir.path().join("nonexistent.json").display())
}

#[test]
fn help_shows_what_one_needs_and_long_help_all() {
    let dir = dir();
    let short = bareon(&dir).arg("-h").assert().success().get_output().stdout.clone();
    let long = bareon(&dir).arg("--help").assert().success().get_output().stdout.clone();
    let (short, long) = (String::from_utf8(short).unwrap(), String::from_utf8(long).unwrap());
    assert!(short.contains("--input-data-file") && !short.contains("--grub-timeout"));
    assert!(long.contains("--grub-timeout") && !long.contains("--udev-empty-rule"));
    assert!(long.find("Options:") < long.find("Advanced:"));
    bareon(&dir).arg("--version").assert().success().stdout(contains("bareon-provision 0."));
}

#[test]
fn wrong_arguments_are_usage_and_status_2() {
    for wrong in [
        &["--nosuch"][..],
        &["nosuch"],
        &["--grub-timeout"],
        &["--json"],
        &["copyimage", "--hardware", "f"],
        &["completions"],
        &["completions", "nosuch"],
        &["ironic-callback", "--dry-run"],
    ] {
        let assert = bareon(&dir()).args(wrong).assert().code(2).stdout("");
        assert.stderr(contains("error: ").and(contains("--help")));
    }
}

#[test]
fn a_bad_flag_is_status_2_and_a_bad_value_elsewhere_255_each_with_its_place() {
    let dir = dir();
    let assert = bareon(&dir).args(["--firmware", "efi"]).assert().code(2);
    assert.stderr(contains("--firmware: firmware = efi: one of auto, bios, uefi, both is expected"));
    let assert = bareon(&dir).env("BAREON_GRUB_TIMEOUT", "x").assert().code(255);
    assert.stderr(contains("Unexpected error\nBAREON_GRUB_TIMEOUT: grub_timeout = x: a whole number"));
    fs::write(dir.path().join("bareon.conf"), "[DEFAULT]\ndebug = maybe\nword\n").unwrap();
    bareon(&dir).assert().code(255).stderr(contains("bareon.conf:3: there is no `=`"));
}

#[test]
fn a_file_that_was_named_has_to_be_there() {
    let assert = bareon(&dir()).args(["--config-file", "/nonexistent/b.conf"]).assert().code(255);
    assert.stderr(contains(
        "Unexpected error\nreading the configuration file /nonexistent/b.conf: No such file",
    ));
}

#[test]
fn a_refusal_in_json_is_one_object_on_standard_output() {
    let dir = dir();
    let assert = bareon(&dir).args(["plan", "--json", &no_document(&dir)]).assert().code(255);
    let output = assert.stderr(contains("Unexpected error\n")).get_output().clone();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer.as_object().unwrap().keys().collect::<Vec<_>>(), ["error"]);
    assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
}

/// The lines of the log of a run with these arguments, without their beginnings.
fn log_of(configure: impl FnOnce(&mut Command)) -> Vec<String> {
    let dir = dir();
    let log = dir.path().join("p.log");
    let mut command = bareon(&dir);
    command.arg("--debug").arg(no_document(&dir)).env("BAREON_LOG_FILE", &log);
    configure(&mut command);
    command.assert().code(255);
    let text = fs::read_to_string(&log).unwrap();
    text.lines().map(|line| line.split_once(" [-] ").unwrap().1.to_owned()).collect()
}

#[test]
fn every_spelling_of_a_flag_is_the_same_flag() {
    for spelling in [
        &["--grub_timeout=7"][..],
        &["--grub-timeout=7"],
        &["--grub_timeout", "7"],
        &["--grub-timeout", "9", "--grub_timeout", "7"],
    ] {
        let log = log_of(|command| {
            command.args(spelling);
        });
        assert!(log.contains(&"grub_timeout = 7 (--grub-timeout)".to_owned()), "{spelling:?}: {log:#?}");
    }
    // Dashes and underscores may be mixed, and values are left as they are.
    let log = log_of(|command| {
        command.arg("--nc_template-path=/a_b-c");
    });
    assert!(log.contains(&"nc_template_path = /a_b-c (--nc-template-path)".to_owned()), "{log:#?}");
}

#[test]
fn of_a_boolean_the_last_spelling_wins_before_and_after_the_command() {
    for (arguments, value) in [
        (&["--fix_udev_net_rules"][..], "true"),
        (&["--nofix_udev_net_rules"], "false"),
        (&["--nofix-udev-net-rules"], "false"),
        (&["--fix-udev-net-rules", "--nofix_udev_net_rules"], "false"),
        (&["--nofix_udev_net_rules", "--fix-udev-net-rules"], "true"),
        (&["--fix-udev-net-rules", "partition", "--nofix_udev_net_rules"], "false"),
        (&["--nofix-udev-net-rules", "partition"], "false"),
        (&["partition", "--nofix-udev-net-rules"], "false"),
    ] {
        let log = log_of(|command| {
            command.args(arguments);
        });
        let want = format!("fix_udev_net_rules = {value} (--fix-udev-net-rules)");
        assert!(log.contains(&want), "{arguments:?}: {log:#?}");
    }
}

#[test]
fn callers_of_the_original_are_understood() {
    let log = log_of(|command| {
        command.args(["--nouse-syslog", "--nouse_syslog", "--data_driver", "ironic", "-v", "-d"]);
    });
    assert!(log.contains(&"data_driver = ironic (--data-driver)".to_owned()), "{log:#?}");
}

#[test]
fn flags_come_before_the_environment_and_that_before_the_file() {
    let conf = |dir: &TempDir| dir.path().join("one.conf");
    for (flag, variable, want) in [
        (Some("3"), Some("2"), "3 (--grub-timeout)"),
        (None, Some("2"), "2 (BAREON_GRUB_TIMEOUT)"),
        (None, None, "1 ("),
    ] {
        let other = dir();
        fs::write(conf(&other), "grub_timeout = 1\n").unwrap();
        let log = log_of(|command| {
            command.arg("--config-file").arg(conf(&other));
            command.args(flag.iter().flat_map(|value| ["--grub-timeout", value]));
            command.envs(variable.map(|value| ("BAREON_GRUB_TIMEOUT", value)));
        });
        let want = format!("grub_timeout = {want}");
        assert!(log.iter().any(|line| line.starts_with(&want)), "{want}: {log:#?}");
    }
}

#[test]
fn an_option_without_effect_and_an_unknown_key_are_said_once() {
    let other = dir();
    let conf = other.path().join("one.conf");
    fs::write(&conf, "nosuch = 1\nread_chunk_size = 5\n").unwrap();
    let log = log_of(|command| {
        command.arg("--config-file").arg(&conf).arg("--udev_empty_rule=x");
    });
    for text in [
        "one.conf:1: there is no option nosuch",
        "one.conf:2: read_chunk_size has no effect",
        "--udev-empty-rule: udev_empty_rule has no effect",
    ] {
        assert_eq!(log.iter().filter(|line| line.contains(text)).count(), 1, "{text}: {log:#?}");
    }
}

#[test]
fn a_log_line_begins_with_time_process_level_and_name() {
    let dir = dir();
    let output = bareon(&dir).arg(no_document(&dir)).assert().code(255).get_output().stderr.clone();
    let form =
        predicates::str::is_match(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+ INFO bareon(\.\w+)+ \[-\] \S")
            .unwrap();
    let text = String::from_utf8(output).unwrap();
    let (log, end) = text.split_once("Unexpected error\n").unwrap();
    assert!(!log.is_empty() && !end.is_empty());
    for line in log.lines() {
        assert!(predicates::Predicate::eval(&form, line), "{line}");
    }
}

#[test]
fn the_log_goes_to_a_file_named_after_the_program_and_ends_with_the_reason() {
    let dir = dir();
    let called = dir.path().join("provision");
    std::os::unix::fs::symlink(assert_cmd::cargo::cargo_bin!("bareon-provision"), &called).unwrap();
    let run = || {
        let mut command = Command::new(&called);
        command.env_clear().arg("--log-dir").arg(dir.path()).arg(no_document(&dir)).assert().code(255)
    };
    run().stderr(predicates::str::starts_with("Unexpected error\n"));
    let once = fs::read_to_string(dir.path().join("provision.log")).unwrap();
    assert!(once.lines().last().unwrap().contains(" ERROR bareon.failure [-] Unexpected error: "), "{once}");
    run();
    let twice = fs::read_to_string(dir.path().join("provision.log")).unwrap();
    assert!(twice.starts_with(&once) && twice.len() > once.len());
}

#[test]
fn the_log_can_be_json() {
    let dir = dir();
    let log = dir.path().join("p.log");
    bareon(&dir)
        .args(["--log-format", "json", "--log-file"])
        .arg(&log)
        .arg(no_document(&dir))
        .assert()
        .code(255);
    for line in fs::read_to_string(&log).unwrap().lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(record["level"].is_string() && record["message"].is_string(), "{line}");
    }
}

#[test]
fn the_report_of_a_failed_run_fits_its_schema_and_shows_no_document() {
    let dir = dir();
    let report = dir.path().join("report.json");
    let secret = "--input_data={\"root_password\": \"s3cret\", broken";
    let log = dir.path().join("p.log");
    bareon(&dir)
        .arg(secret)
        .arg("--report")
        .arg(&report)
        .arg("-d")
        .arg("--log-file")
        .arg(&log)
        .assert()
        .code(255);
    let text = fs::read_to_string(&report).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let schema = serde_json::to_value(bareon::cli::report::schema()).unwrap();
    let faults: Vec<_> =
        jsonschema::validator_for(&schema).unwrap().iter_errors(&document).map(|e| e.to_string()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    assert_eq!(document["end"]["outcome"], "failure");
    for text in [text, fs::read_to_string(log).unwrap()] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    assert_eq!(names(dir.path()), ["bareon.conf", "p.log", "report.json"]);
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

#[test]
fn a_report_that_cannot_be_written_is_told_beside_the_first_failure() {
    let dir = dir();
    let assert =
        bareon(&dir).args(["--report", "/nonexistent/r.json"]).arg(no_document(&dir)).assert().code(255);
    assert
        .stderr(contains("writing the report /nonexistent/r.json").not().and(contains("Unexpected error\n")));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dir = dir();
    for command in ["man", "completions bash", "sample", "--help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        #[expect(clippy::disallowed_methods, reason = "a closed pipe is given to it as standard output")]
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("bareon-provision"))
            .args(command.split(' '))
            .env("BAREON_CONFIG_FILE", dir.path().join("none"))
            .stdout(writer)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""), "{command}");
    }
}

#[test]
fn the_names_of_the_original_do_its_commands() {
    let dir = dir();
    for (name, about) in [
        ("bareon-partition", "Make partitions"),
        ("bareon-configdrive", "Make the config drive"),
        ("bareon-copyimage", "Write the images"),
        ("bareon-bootloader", "Install the boot loader"),
        ("bareon-ironic-callback", "Tell Ironic"),
        ("provision", "Provisions the machine"),
        ("something-else", "Provisions the machine"),
    ] {
        let link = dir.path().join(name);
        std::os::unix::fs::symlink(assert_cmd::cargo::cargo_bin!("bareon-provision"), &link).unwrap();
        let assert = Command::new(&link).env_clear().arg("-h").assert().success();
        assert.stdout(predicates::str::starts_with(about).and(contains("Usage: bareon-provision")));
    }
}

#[test]
fn ironic_is_told_over_http() {
    let dir = dir();
    let kernel = dir.path().join("cmdline");
    fs::write(&kernel, "ro quiet deployment_id=1 BOOTIF=01-00-00-00-00-00-00\n").unwrap();
    let callback = |dir: &TempDir| {
        let mut command = bareon(dir);
        command.args([
            "ironic-callback",
            "--http-max-retries=1",
            "--http_retry_delay=0",
            "--kernel-command-line",
        ]);
        command.arg(&kernel);
        command
    };
    callback(&dir)
        .assert()
        .code(255)
        .stderr(contains("Unexpected error\nthe kernel's command line has no api-url=…"));

    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}/api", server.local_addr().unwrap());
    fs::write(&kernel, format!("api-url={api} deployment_id=1 BOOTIF=01-00-00-00-00-00-00\n")).unwrap();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = server.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut buffer = [0; 1024];
            let n = stream.read(&mut buffer).unwrap();
            assert!(n > 0, "the request broke off");
            request.extend_from_slice(&buffer[..n]);
        }
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        String::from_utf8(request).unwrap()
    });
    let report = dir.path().join("callback.json");
    callback(&dir).arg("--report").arg(&report).assert().success();
    let report: serde_json::Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_eq!(report["end"]["outcome"], "success");
    let request = serving.join().unwrap();
    assert!(
        request.starts_with("POST /api/v1/nodes/1/vendor_passthru/pass_deploy_info HTTP/1.1\r\n"),
        "{request}"
    );
}

#[test]
fn a_document_on_the_command_line_may_begin_with_dashes_and_is_never_shown() {
    let document = "---\nks_meta: {password: s3cret}\n";
    for (arguments, status) in [(&["--input_data", document, "plan"][..], 255), (&[document, "plan"], 2)] {
        let output = bareon(&dir()).args(arguments).assert().code(status).get_output().clone();
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!told.contains("s3cret"), "{told}");
        // It was taken for a document, and refused as one.
        assert_eq!(told.contains("/ks_meta"), status == 255, "{told}");
    }
}

#[test]
fn sigterm_ends_a_run_in_good_order() {
    let dir = dir();
    let kernel = dir.path().join("cmdline");
    // Nobody listens on a port that was just given back; the next try is an hour away.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let words = format!("api-url=http://127.0.0.1:{port} deployment_id=1 BOOTIF=01-00-00-00-00-00-00");
    fs::write(&kernel, words).unwrap();
    #[expect(clippy::disallowed_methods, reason = "it is sent a signal while it runs")]
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin!("bareon-provision"))
        .args(["ironic-callback", "--http-retry-delay=3600", "--kernel-command-line"])
        .arg(&kernel)
        .env("BAREON_CONFIG_FILE", "/dev/null")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("trying again (1)")));
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(lines.collect::<Vec<_>>(), ["Unexpected error", "stopped before Ironic could be told"]);
    assert_eq!(child.wait().unwrap().code(), Some(255));
}
