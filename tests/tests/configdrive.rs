//! Config drives as other programs see them: cloud-init, Python's mail and YAML readers, blkid,
//! xorriso reading back what it, or genisoimage, wrote, and dosfstools and mtools what we wrote.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use bareon::{
    objects::{Bytes, ConfigDriveScheme},
    steps::configdrive::{self, ConfigDriveError, Format, Rendered},
};
use bareon_host::{Cmd, CommandError, Output, Runner, System, Tool};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

/// The data of a usual node, and what each of the tests changes of it.
fn scheme(profile: &str, change: impl Fn(&mut Value)) -> ConfigDriveScheme {
    let names = |kind| {
        json!([
            format!("{kind}_{profile}.jinja2"),
            format!("{kind}_{}.jinja2", profile.split('_').next().unwrap()),
            format!("{kind}.jinja2"),
        ])
    };
    let mut data = json!({
        "common": {
            "ssh_auth_keys": ["ssh-ed25519 AAAA root@fuel", "ssh-rsa BBBB kéy: \"quoted\" 😀"],
            "hostname": "node-1.domain.tld", "fqdn": "node-1.domain.tld",
            "name_servers": "\"10.20.0.2\"", "search_domain": "\"domain.tld\"",
            "master_ip": "10.20.0.2", "master_url": "http://10.20.0.2:8000/api",
            "udevrules": "08:00:27:79:da:80_eth0,08:00:27:46:43:60_eth1",
            "admin_mac": "08:00:27:79:da:80", "admin_ip": "10.20.0.3", "admin_mask": "255.255.255.0",
            "admin_iface_name": "eth0", "timezone": "America/Los_Angeles", "gw": "10.20.0.1",
            "ks_repos": [],
        },
        "puppet": {"master": "fuel.domain.tld", "enable": 0},
        "mcollective": {
            "pskey": "unset", "vhost": "mcollective", "host": "10.20.0.2", "user": "mcollective",
            "password": "marionette", "connector": "rabbitmq", "enable": 1,
        },
    });
    change(&mut data);
    serde_json::from_value(json!({
        "profile": profile,
        "template_names": {
            "boothook": names("boothook"),
            "cloud_config": names("cloud_config"),
            "meta_data": names("meta_data"),
        },
        "template_data": data,
    }))
    .unwrap()
}

/// The drive with our own templates.
fn render(profile: &str, change: impl Fn(&mut Value)) -> Rendered {
    configdrive::render(&scheme(profile, change), Path::new("/nonexistent")).unwrap()
}

/// Nodes that are out of the ordinary.
fn nodes() -> Vec<(&'static str, Rendered)> {
    let all_on = |data: &mut Value| {
        data["puppet"]["enable"] = json!("1");
        data["mcollective"]["connector"] = json!("stomp");
        data["mcollective"]["password"] = json!(123);
    };
    let odd = |data: &mut Value| {
        data["common"]["hostname"] = json!("nöde.döm");
        data["common"]["fqdn"] = json!("nöde.döm");
        data["common"]["ssh_auth_keys"] = json!([]);
        data["mcollective"]["pskey"] = json!("<a href=\"x\">&'q'</a> {{ x }}: # \\ \u{7f}");
        data["mcollective"]["enable"] = json!(1.0);
        data["puppet"]["enable"] = json!(true);
    };
    let bare = |data: &mut Value| *data = json!({});
    vec![
        ("debian", render("debian-12", |_| {})),
        ("debian, all on", render("debian_12_amd64", all_on)),
        ("ubuntu", render("ubuntu_2404_x86_64", |_| {})),
        ("ubuntu, odd", render("ubuntu_2404_x86_64", odd)),
        ("centos", render("centos_7_x86_64", all_on)),
        ("unknown", render("pro_fi-le", odd)),
        ("no data", render("pro_fi-le", bare)),
    ]
}

fn skipped(test: &str, needs: &str) {
    // Past the capture of output, so that it is seen.
    let _ = writeln!(std::io::stderr(), "skipped: {test}: install {needs}");
}

#[expect(clippy::disallowed_methods, reason = "a test asks other programs")]
fn ask(program: &str, args: &[&str], input: &str) -> Option<(bool, String)> {
    let mut child = Command::new(program)
        .args(args)
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), text.into_owned()))
}

/// The message as Python reads it; nothing without Python's YAML.
fn look(rendered: &Rendered) -> Option<Value> {
    const PYTHON: &str = "/usr/bin/python3";
    if ask(PYTHON, &["-c", "import yaml"], "").is_none_or(|(fine, _)| !fine) {
        skipped("read user-data with Python", "python3-yaml");
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/configdrive/look.py");
    let (fine, text) = ask(PYTHON, &[script], &rendered.user_data).unwrap();
    assert!(fine, "{text}\n{}", rendered.user_data);
    Some(serde_json::from_str(&text).unwrap())
}

#[test]
fn user_data_is_a_message_of_a_boothook_and_a_cloud_config() {
    for (node, rendered) in nodes() {
        let Some(message) = look(&rendered) else { return };
        assert_eq!(message["type"], "multipart/mixed", "{node}");
        assert_eq!(message["parts"].as_array().unwrap().len(), 2, "{node}");
        assert_eq!(message["parts"][0]["type"], "text/cloud-boothook", "{node}");
        assert_eq!(message["parts"][1]["type"], "text/cloud-config", "{node}");
        let boothook = message["parts"][0]["text"].as_str().unwrap();
        let script = boothook.strip_prefix("#cloud-boothook\n").unwrap();
        assert!(script.starts_with("#!/bin/sh\n"), "{node}");
        let (fine, text) = ask("/bin/sh", &["-n"], script).unwrap();
        assert!(fine, "{node}: {text}");
    }
}

#[test]
fn values_reach_cloud_init_as_they_are() {
    let Some(message) = look(&render("debian_12", |_| {})) else { return };
    let config = &message["config"];
    assert_eq!(config["hostname"], "node-1");
    assert_eq!(config["fqdn"], "node-1.domain.tld");
    assert_eq!(config["timezone"], "America/Los_Angeles");
    assert_eq!(config["ssh_authorized_keys"][1], "ssh-rsa BBBB kéy: \"quoted\" 😀");
    assert_eq!(config["ntp"]["servers"], json!(["10.20.0.2"]));
    assert_eq!(config["puppet"], Value::Null);
    let conf = &config["mcollective"]["conf"];
    assert_eq!(conf["plugin.rabbitmq.pool.1.password"], "marionette");
    assert_eq!(conf["plugin.rabbitmq.pool.1.port"], "61613");
    assert_eq!(conf["plugin.rabbitmq.vhost"], "mcollective");

    let odd = "<a href=\"x\">&'q'</a> {{ x }}: # \\ \u{7f}";
    let all_on = render("centos_7", |data| {
        data["mcollective"]["pskey"] = json!(odd);
        data["mcollective"]["connector"] = json!("stomp");
        data["puppet"]["enable"] = json!(1);
    });
    let config = &look(&all_on).unwrap()["config"];
    assert_eq!(config["mcollective"]["conf"]["plugin.psk"], odd);
    assert_eq!(config["mcollective"]["conf"]["plugin.stomp.host"], "10.20.0.2");
    assert_eq!(config["puppet"]["conf"]["agent"]["server"], "fuel.domain.tld");
    assert_eq!(config["apt"], Value::Null);

    let off = render("debian_12", |data| data["mcollective"]["enable"] = json!("0"));
    assert_eq!(look(&off).unwrap()["config"]["mcollective"], Value::Null);
}

#[test]
fn cloud_init_takes_our_cloud_config_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cloud-config");
    for (node, rendered) in nodes() {
        let Some(message) = look(&rendered) else { return };
        fs::write(&path, message["parts"][1]["text"].as_str().unwrap()).unwrap();
        let args = ["schema", "--config-file", path.to_str().unwrap()];
        let Some((fine, text)) = ask("cloud-init", &args, "") else {
            return skipped("cloud-init schema", "cloud-init");
        };
        assert!(fine, "{node}: {text}");
        for word in ["deprecat", "warning", "error", "invalid"] {
            assert!(!text.to_lowercase().contains(word), "{node}: {text}");
        }
    }
}

#[test]
fn the_network_reaches_each_kind_of_system() {
    let dir = tempfile::tempdir().unwrap();
    let network = render("debian", |_| {}).network_config.unwrap();
    let wrapped: String =
        std::iter::once("network:\n".to_owned()).chain(network.lines().map(|l| format!("  {l}\n"))).collect();
    let path = dir.path().join("network-config");
    fs::write(&path, wrapped).unwrap();
    for (distribution, kind, written, expected) in [
        ("debian", "networkd", "systemd/network/10-cloud-init-eth0.network", "Gateway=10.20.0.1"),
        ("debian", "eni", "network/interfaces.d/50-cloud-init", "address 10.20.0.3/24"),
        ("ubuntu", "netplan", "netplan/50-cloud-init.yaml", "via: 10.20.0.1"),
        ("centos", "sysconfig", "sysconfig/network-scripts/ifcfg-eth0", "GATEWAY=10.20.0.1"),
    ] {
        let out = dir.path().join(kind);
        let (from, to) = (path.to_str().unwrap(), out.to_str().unwrap());
        let mac = "ens3,08:00:27:79:da:80";
        let args = ["devel", "net-convert", "-p", from, "-k", "yaml", "-d", to];
        let args = [&args[..], &["-D", distribution, "-O", kind, "-m", mac]].concat();
        let Some((fine, text)) = ask("cloud-init", &args, "") else {
            return skipped("cloud-init devel net-convert", "cloud-init");
        };
        assert!(fine, "{kind}: {text}");
        let text = fs::read_to_string(out.join("etc").join(written)).unwrap();
        assert!(text.contains(expected) && text.contains("10.20.0.3"), "{kind}: {text}");
        assert!(text.contains("domain.tld"), "{kind}: {text}");
    }
}

#[test]
fn meta_data_has_an_instance_id_that_stays() {
    let first = render("debian", |_| {});
    let again = render("debian", |data| data["common"]["ssh_auth_keys"] = json!([]));
    assert_eq!(first.meta_data, again.meta_data);
    assert!(first.meta_data.contains("\nlocal-hostname: \"node-1.domain.tld\""), "{}", first.meta_data);
    let other = render("debian", |data| data["common"]["admin_mac"] = json!("08:00:27:79:da:81"));
    assert_ne!(first.meta_data, other.meta_data);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("meta_data.jinja2"), "local-hostname: {{ common.hostname }}").unwrap();
    let sites = configdrive::render(&scheme("debian", |_| {}), dir.path()).unwrap().meta_data;
    assert!(sites.starts_with("local-hostname: node-1.domain.tld\ninstance-id: "), "{sites}");
}

/// The machine with only one of the programs that make ISO images.
struct Only(Tool);

impl Runner for Only {
    fn run(&self, cmd: &Cmd) -> Result<Output, CommandError> {
        System::default().run(cmd)
    }

    fn has(&self, tool: Tool) -> bool {
        tool == self.0 && System::default().has(tool)
    }
}

fn read_back(iso: &Path, name: &str) -> String {
    let iso = iso.to_str().unwrap();
    let (fine, text) = ask("isoinfo", &["-R", "-x", &format!("/{name}"), "-i", iso], "").unwrap();
    assert!(fine, "{text}");
    text
}

#[test]
fn a_drive_is_found_by_its_label_and_holds_its_files() {
    let rendered = render("debian", |_| {});
    for tool in [Tool::Xorriso, Tool::Genisoimage, Tool::Mkisofs] {
        let program = tool.origin().program;
        if !System::default().has(tool) || !System::default().has(Tool::Blkid) {
            skipped("make a config drive", program);
            continue;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config-drive.img");
        fs::write(&path, "what was there before").unwrap();
        configdrive::write(&Only(tool), &rendered, &path, dir.path(), Bytes(20 * MIB), Format::Iso).unwrap();
        assert!(configdrive::check(&path, Bytes(20 * MIB)).unwrap() < Bytes(MIB));
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["config-drive.img"], "{program} left something");

        let blkid = Tool::Blkid.cmd().args(["-p", "-o", "export"]).arg(&path);
        let export = System::default().run(&blkid).unwrap().stdout;
        assert!(export.contains("\nLABEL=cidata\n") && export.contains("\nTYPE=iso9660\n"), "{export}");
        if ask("isoinfo", &["-version"], "").is_none() {
            skipped("read a config drive back", "genisoimage");
            continue;
        }
        assert_eq!(read_back(&path, "user-data"), rendered.user_data);
        assert_eq!(read_back(&path, "meta-data"), rendered.meta_data);
        assert_eq!(read_back(&path, "network-config"), rendered.network_config.clone().unwrap());
        let iso = path.to_str().unwrap();
        let (_, list) = ask("isoinfo", &["-R", "-l", "-i", iso], "").unwrap();
        assert_eq!(list.matches("-rw-------").count(), 3, "{list}");
        let (_, joliet) = ask("isoinfo", &["-J", "-f", "-i", iso], "").unwrap();
        assert!(joliet.contains("/network-config"), "{joliet}");
    }
}

#[test]
fn a_drive_for_large_sectors_is_sound_for_others_too() {
    let rendered = render("debian", |_| {});
    for sector in [512, 4096] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config-drive.img");
        let format = Format::Vfat(sector);
        configdrive::write(&Only(Tool::Mkswap), &rendered, &path, dir.path(), Bytes(20 * MIB), format)
            .unwrap();
        configdrive::check_sectors(&path, Bytes(sector.into())).unwrap();
        let image = path.to_str().unwrap();

        match ask("blkid", &["-p", "-o", "export", image], "") {
            Some((_, export)) => {
                assert!(export.contains("\nLABEL=cidata\n") && export.contains("\nTYPE=vfat\n"), "{export}");
            }
            None => skipped("find a config drive for large sectors", "util-linux"),
        }
        match ask("fsck.vfat", &["-n", "-v", image], "") {
            Some((fine, text)) => {
                assert!(fine && text.contains(&format!("{sector} bytes per logical sector")), "{text}");
            }
            None => skipped("check a config drive for large sectors", "dosfstools"),
        }
        if ask("mtype", &["-V"], "").is_none() {
            skipped("read a config drive for large sectors back", "mtools");
            continue;
        }
        let network = rendered.network_config.clone().unwrap();
        for (name, want) in [
            ("user-data", &rendered.user_data),
            ("meta-data", &rendered.meta_data),
            ("network-config", &network),
        ] {
            let (fine, text) = ask("mtype", &["-i", image, &format!("::{name}")], "").unwrap();
            assert!(fine && text == *want, "{name}: {text}");
        }
    }
}

#[test]
fn the_same_input_makes_the_same_bytes() {
    if !System::default().has(Tool::Xorriso) {
        return skipped("make a config drive twice", "xorriso");
    }
    let make = || {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("drive");
        let rendered = render("debian", |_| {});
        configdrive::write(&Only(Tool::Xorriso), &rendered, &path, dir.path(), Bytes(20 * MIB), Format::Iso)
            .unwrap();
        fs::read(&path).unwrap()
    };
    assert!(make() == make(), "two drives of the same input differ");
}

#[test]
fn what_a_killed_run_left_is_replaced_and_a_failure_leaves_nothing_new() {
    if !System::default().has(Tool::Xorriso) {
        return skipped("make a config drive again", "xorriso");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drive");
    let staging = configdrive::staging(dir.path());
    fs::create_dir_all(staging.join("tree")).unwrap();
    fs::write(staging.join("tree/user-data"), "half").unwrap();
    fs::write(staging.join("drive.unfinished"), "half").unwrap();
    let bare = render("debian", |data| *data = json!({}));
    configdrive::write(&System::default(), &bare, &path, dir.path(), Bytes(20 * MIB), Format::Iso).unwrap();
    let before = fs::read(&path).unwrap();

    let error = configdrive::write(&System::default(), &bare, &path, dir.path(), Bytes(1000), Format::Iso)
        .unwrap_err();
    assert!(matches!(error, ConfigDriveError::TooLarge { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 1, "something but the drive is left");

    fs::create_dir(&staging).unwrap();
    fs::write(staging.join("somebody's"), "file").unwrap();
    let error = configdrive::write(&System::default(), &bare, &path, dir.path(), Bytes(MIB), Format::Iso)
        .unwrap_err();
    assert!(error.to_string().starts_with("removing what an earlier run left"), "{error}");
    assert!(staging.join("somebody's").exists());
}

#[test]
fn a_ready_made_drive_must_be_there_and_fit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drive");
    let absent = configdrive::check(&path, Bytes(MIB)).unwrap_err();
    assert!(matches!(absent, ConfigDriveError::Absent { .. }), "{absent}");
    fs::write(&path, "ready-made").unwrap();
    assert_eq!(configdrive::check(&path, Bytes(10)).unwrap(), Bytes(10));
    let large = configdrive::check(&path, Bytes(9)).unwrap_err().to_string();
    assert!(large.contains("has 10 B, its partition 9 B"), "{large}");
}
