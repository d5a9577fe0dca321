//! What the installed system is told by its config drive: name, users, files, network, time.
//!
//! It becomes a cloud-config, as data. Beside what the document says, there are a few things that hold for every
//! system that was laid out here; `cloud_init` of the document may say otherwise.

use std::net::Ipv4Addr;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{
    Document, Report,
    document::{Encoding, File, User},
};
use crate::objects::{CloudInit, ConfigDriveScheme};

/// The keys of the network's description, version 2.
const NETWORK: [&str; 9] =
    ["version", "renderer", "ethernets", "bonds", "bridges", "vlans", "wifis", "tunnels", "vrfs"];

/// What the config drive is made of.
pub fn config_drive(document: &Document, report: &mut Report<'_>) -> ConfigDriveScheme {
    let mut user_data = defaults();
    let own = own(document, report);
    user_data.extend(own.clone());
    user_data.extend(gateway(document).map(|via| ("bootcmd".into(), json!([route(via)]))));
    for (key, value) in document.cloud_init.iter().flatten() {
        if let ("bootcmd", Some(Value::Array(ours)), Value::Array(theirs)) =
            (key.as_str(), user_data.get_mut(key), value)
        {
            ours.extend(theirs.iter().cloned());
            continue;
        }
        if own.contains_key(key) {
            let problem = "the document itself says this already, by its own keys";
            let path = format!("/cloud_init/{}", key.replace('~', "~0").replace('/', "~1"));
            report.wrong(&path, problem, "say it in one of the two places");
        }
        user_data.insert(key.clone(), value.clone());
    }
    let mut meta_data = Map::new();
    if let Some(hostname) = &document.hostname {
        meta_data.insert("local-hostname".into(), json!(hostname));
    }
    let ready = CloudInit { user_data, meta_data, network_config: network(document, report) };
    ConfigDriveScheme { ready: Some(ready), ..ConfigDriveScheme::default() }
}

/// Tells what of the document nobody would read: there is no partition for a config drive, and no system that is set up.
pub fn nobody_reads(document: &Document, report: &mut Report<'_>) {
    for (said, key) in [
        (document.hostname.is_some(), "hostname"),
        (document.timezone.is_some(), "timezone"),
        (!document.ntp.is_empty(), "ntp"),
        (document.kernel_params.is_some(), "kernel_params"),
        (!document.files.is_empty(), "files"),
        (!document.users.is_empty(), "users"),
        (document.network.is_some(), "network"),
        (document.cloud_init.is_some(), "cloud_init"),
    ] {
        if said {
            let problem = "all disks come as images of whole ones, so nothing would read this";
            let remedy = "have the image bring it; or lay out a partition on another disk, where a config drive finds a place";
            report.wrong(&format!("/{key}"), problem, remedy);
        }
    }
}

/// What holds for every system: the layout is as it was asked for, and the file systems fill their partitions.
fn defaults() -> Map<String, Value> {
    let defaults = json!({
        "manage_etc_hosts": "localhost",
        "disable_root": false,
        "ssh_pwauth": false,
        "growpart": {"mode": "off"},
        "resize_rootfs": false,
        "apt": {"preserve_sources_list": true},
    });
    match defaults {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What the document says by its own keys.
fn own(document: &Document, report: &mut Report<'_>) -> Map<String, Value> {
    let mut own = Map::new();
    if let Some(hostname) = &document.hostname {
        own.insert("hostname".into(), json!(hostname.split('.').next()));
        own.insert("fqdn".into(), json!(hostname));
    }
    if let Some(timezone) = &document.timezone {
        own.insert("timezone".into(), json!(timezone));
    }
    if !document.ntp.is_empty() {
        own.insert("ntp".into(), json!({"enabled": true, "servers": document.ntp}));
    }
    if !document.users.is_empty() {
        own.insert("users".into(), document.users.iter().map(user).collect());
    }
    if !document.files.is_empty() {
        let files = document.files.iter().enumerate().map(|(i, it)| file(i, it, &document.users, report));
        own.insert("write_files".into(), files.collect());
    }
    for (i, user) in document.users.iter().enumerate() {
        let first = document.users.iter().position(|other| other.name == user.name);
        if let Some(first) = first.filter(|first| *first < i && user.name.is_some()) {
            report.wrong(&format!("/users/{i}/name"), format!("/users/{first} is the same"), "write it once");
        }
    }
    own
}

/// The gateway of the network's default route, by IPv4.
fn gateway(document: &Document) -> Option<Ipv4Addr> {
    let sections = document.network.iter().flatten().filter_map(|(_, section)| section.as_object());
    let interfaces = sections.flat_map(Map::values);
    let routes = interfaces.filter_map(|interface| interface.get("routes")?.as_array()).flatten();
    let is_default = |route: &&Value| matches!(route["to"].as_str(), Some("default" | "0.0.0.0/0"));
    routes.filter(is_default).find_map(|route| route["via"].as_str()?.parse().ok())
}

/// What sets that route at each boot where nobody did: with ifupdown, cloud-init writes it as a call of route(8),
/// which is of net-tools, and those are often not installed.
fn route(via: Ipv4Addr) -> String {
    format!(
        "if [ -f /etc/network/interfaces.d/50-cloud-init ] && ! command -v route >/dev/null 2>&1 && \
         [ -z \"$(ip -4 route show default)\" ]; then ip -4 route add default via {via} || true; fi"
    )
}

/// A user as cloud-init takes it.
fn user(user: &User) -> Value {
    let root = user.name.as_deref() == Some("root");
    let mut map = Map::new();
    map.insert("name".into(), json!(user.name));
    let shell = user.shell.clone().or_else(|| (!root).then(|| "/bin/bash".to_owned()));
    // Of a user that the image has already, `hashed_passwd` changes the password and `passwd` does not.
    for (key, value) in [
        ("gecos", user.full_name.clone()),
        ("shell", shell),
        ("hashed_passwd", user.hashed_password.clone()),
        ("sudo", (user.sudo == Some(true)).then(|| "ALL=(ALL) NOPASSWD:ALL".to_owned())),
    ] {
        map.extend(value.map(|value| (key.to_owned(), json!(value))));
    }
    map.insert("lock_passwd".into(), json!(user.hashed_password.is_none()));
    for (key, list) in [("ssh_authorized_keys", &user.ssh_keys), ("groups", &user.groups)] {
        if !list.is_empty() {
            map.insert(key.into(), json!(list));
        }
    }
    Value::Object(map)
}

/// A file as cloud-init takes it.
fn file(index: usize, file: &File, users: &[User], report: &mut Report<'_>) -> Value {
    let owner = file.owner.as_deref().unwrap_or("root:root");
    let mut map = Map::new();
    map.insert("path".into(), json!(file.path));
    map.insert("owner".into(), json!(owner));
    map.insert("permissions".into(), json!(file.mode.as_deref().unwrap_or("0644")));
    if file.encoding == Some(Encoding::Base64) {
        let content: String = file.content.iter().flat_map(|text| text.split_whitespace()).collect();
        if BASE64_STANDARD.decode(&content).is_err() {
            let remedy = "write what `base64 FILE` prints, or leave `encoding` out";
            report.wrong(&format!("/files/{index}/encoding"), "`content` is not in base64", remedy);
        }
        map.insert("encoding".into(), json!("b64"));
        map.insert("content".into(), json!(content));
    } else {
        map.insert("content".into(), json!(file.content));
    }
    if file.append == Some(true) {
        map.insert("append".into(), json!(true));
    }
    let name = owner.split(':').next();
    if users.iter().any(|user| user.name.as_deref() == name && name != Some("root")) {
        // cloud-init writes files before it makes users.
        map.insert("defer".into(), json!(true));
    }
    Value::Object(map)
}

/// The network's description, with its version.
fn network(document: &Document, report: &mut Report<'_>) -> Option<Map<String, Value>> {
    let network = document.network.as_ref()?;
    for (key, value) in network {
        let path = format!("/network/{}", key.replace('~', "~0").replace('/', "~1"));
        let remedy = format!("known are {}", NETWORK.join(", "));
        if key == "version" {
            if value != &json!(2) {
                report.wrong(
                    &path,
                    "the network is described by version 2",
                    "write 2, and the network by it",
                );
            }
        } else if !NETWORK.contains(&key.as_str()) {
            report.wrong(&path, format!("the key `{key}` is not known"), remedy);
        } else if key != "renderer" && !value.is_object() {
            report.wrong(&path, "this is not an object", "write an object with an entry for each interface");
        }
    }
    let mut network = network.clone();
    network.shift_insert(0, "version".into(), json!(2));
    Some(network)
}
