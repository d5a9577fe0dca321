//! What the config drive is made of, and who the machine is.
//!
//! The templates' variables are copied as they stand, whatever their type: sites' own templates
//! were written against the original's input.

use serde_json::{Map, Value, json};

use super::system::or_null;
use crate::{
    drivers::{
        AdminInterface, Host, Nic,
        mistake::{Mistake, Mistakes},
        place::{Place, truthy},
    },
    objects::{ConfigDriveScheme, configdrive::TemplateNames},
};

/// The kinds of templates.
const KINDS: [&str; 3] = ["cloud_config", "boothook", "meta_data"];
/// The time zone where the input names none.
const TIMEZONE: &str = "America/Los_Angeles";

/// Reads who the machine is.
pub fn host(root: &Place<'_>, mistakes: &mut Mistakes, deferred: &mut Vec<Mistake>) -> Host {
    let hostname = root.need_text("hostname", "write the machine's name with its domain", mistakes);
    let remedy = "write an object with `netcfg/choose_interface` and `udevrules`";
    let options = root.need_object("kernel_options", remedy, mistakes);
    let nics = options.as_ref().and_then(|options| {
        let rules =
            options.need_text("udevrules", "write `mac_nic,mac_nic,…`, or \"\" for none", mistakes)?;
        Some(nics(rules, &format!("{}/udevrules", options.path), deferred))
    });
    let mac = options.as_ref().and_then(|options| {
        let remedy = "write the hardware address of the interface that the machine is managed through";
        options.need_text("netcfg/choose_interface", remedy, mistakes)
    });
    let remedy = "write an object with `mac_address` and more for each network interface";
    let interfaces = root.need_object("interfaces", remedy, mistakes);
    let admin = match (&interfaces, mac) {
        (Some(interfaces), Some(mac)) => admin(interfaces, mac, mistakes),
        _ => None,
    };
    Host { hostname: hostname.map(str::to_owned), nics: nics.unwrap_or_default(), admin }
}

/// The interface whose hardware address is `mac`.
fn admin(interfaces: &Place<'_>, mac: &str, mistakes: &mut Mistakes) -> Option<AdminInterface> {
    let has = |place: &Place<'_>| {
        place
            .get("mac_address")
            .and_then(|at| at.value.as_str())
            .is_some_and(|at| at.eq_ignore_ascii_case(mac))
    };
    let Some((name, place)) = interfaces.entries().find(|(_, place)| has(place)) else {
        interfaces.wrong(
            format!("no interface has the `mac_address` {mac:?} that `netcfg/choose_interface` names"),
            "add that interface, or correct the address",
            mistakes,
        );
        return None;
    };
    let address = place.need_text("ip_address", "write the interface's IP address", mistakes);
    let netmask = place.need_text("netmask", "write the interface's netmask", mistakes);
    let (address, netmask) = (address?.into(), netmask?.into());
    Some(AdminInterface { name: name.into(), mac: mac.into(), address, netmask })
}

/// The names of network interfaces in `mac_nic,mac_nic,…`.
pub fn nics(rules: &str, path: &str, deferred: &mut Vec<Mistake>) -> Vec<Nic> {
    let mut nics = Vec::new();
    for rule in rules.split(',').map(str::trim).filter(|rule| !rule.is_empty()) {
        match rule.split_once('_') {
            Some((mac, name)) if is_mac(mac) && !name.is_empty() => {
                nics.push(Nic { mac: mac.to_ascii_lowercase(), name: name.into() });
            }
            _ => {
                let value = Value::String(rule.into());
                let problem = "this rule is not a hardware address, `_` and a name";
                deferred.push(Mistake::new(path, Some(&value), problem, "write `08:00:27:79:da:80_eth0,…`"));
            }
        }
    }
    nics
}

fn is_mac(text: &str) -> bool {
    let octets: Vec<_> = text.split(':').collect();
    octets.len() >= 6
        && octets.iter().all(|octet| octet.len() == 2 && octet.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Reads what the config drive is made of.
pub fn scheme(
    root: &Place<'_>,
    ks_meta: &Place<'_>,
    host: &Host,
    mistakes: &mut Mistakes,
) -> ConfigDriveScheme {
    let profile = root.value.get("profile").and_then(Value::as_str).unwrap_or_default();
    let templates = templates(ks_meta, mistakes);
    let names = |kind: &str| template_names(kind, profile, &templates);
    let template_names = TemplateNames {
        cloud_config: names(KINDS[0]),
        boothook: names(KINDS[1]),
        meta_data: names(KINDS[2]),
    };
    let mut template_data = Map::new();
    template_data.insert("common".into(), common(root, ks_meta, host, mistakes));
    template_data.insert("puppet".into(), puppet(ks_meta, mistakes));
    template_data.insert("mcollective".into(), mcollective(ks_meta, mistakes));
    ConfigDriveScheme { profile: profile.into(), templates, template_names, template_data, ready: None }
}

fn templates(ks_meta: &Place<'_>, mistakes: &mut Mistakes) -> Map<String, Value> {
    let Some(place) = ks_meta.get("cloud_init_templates").filter(|place| !place.value.is_null()) else {
        return Map::new();
    };
    let remedy = "write an object: {\"boothook\": \"file name\", …}";
    let templates = place.object(remedy, mistakes).cloned().unwrap_or_default();
    for kind in KINDS {
        place.may_text(kind, "write a template's file name", mistakes);
    }
    templates
}

/// The file names that are tried for a template, the most special first.
fn template_names(kind: &str, profile: &str, templates: &Map<String, Value>) -> Vec<String> {
    let up_to = |separator| profile.split(separator).next().unwrap_or_default();
    let given = templates.get(kind).and_then(Value::as_str).map(str::to_owned);
    let of = [profile, up_to('_'), up_to('-')].map(|name| format!("{kind}_{name}.jinja2"));
    given.into_iter().chain(of).chain([format!("{kind}.jinja2")]).collect()
}

fn common(root: &Place<'_>, ks_meta: &Place<'_>, host: &Host, mistakes: &mut Mistakes) -> Value {
    let top = |key: &str| or_null(root.value.get(key));
    let meta = |key: &str| or_null(ks_meta.value.get(key));
    let remedy = "write an object with `repos`, a list";
    let repos = match ks_meta.get("repo_setup") {
        Some(setup) if setup.object(remedy, mistakes).is_some() => setup.value.get("repos"),
        _ => None,
    };
    let master_url = ks_meta.get("master_ip").and_then(|ip| ip.value.as_str());
    let admin = |of: fn(&AdminInterface) -> &String| host.admin.as_ref().map(|admin| of(admin).clone());
    json!({
        "ssh_auth_keys": keys(ks_meta, mistakes),
        "hostname": host.hostname,
        "fqdn": host.hostname,
        "name_servers": top("name_servers"),
        "search_domain": top("name_servers_search"),
        "master_ip": meta("master_ip"),
        "master_url": master_url.map(|ip| format!("http://{ip}:8000/api")),
        "udevrules": or_null(root.value.pointer("/kernel_options/udevrules")),
        "admin_mac": admin(|admin| &admin.mac),
        "admin_ip": admin(|admin| &admin.address),
        "admin_mask": admin(|admin| &admin.netmask),
        "admin_iface_name": admin(|admin| &admin.name),
        "timezone": ks_meta.value.get("timezone").unwrap_or(&json!(TIMEZONE)),
        "gw": meta("gw"),
        "ks_repos": repos.cloned().unwrap_or_else(|| json!([])),
    })
}

/// The public keys that may log in.
fn keys(ks_meta: &Place<'_>, mistakes: &mut Mistakes) -> Vec<Value> {
    let mut keys = match ks_meta.get("authorized_keys") {
        Some(place) if !place.value.is_null() => {
            let remedy = "write a list of public keys; it may be empty";
            place.texts(remedy, mistakes).unwrap_or_default().into_iter().map(Value::String).collect()
        }
        _ => Vec::new(),
    };
    if let Some(key) = ks_meta.get("auth_key").filter(|key| truthy(key.value)) {
        keys.extend(key.text("write a public key, or \"\"", mistakes).map(|key| Value::String(key.into())));
    }
    keys
}

fn puppet(ks_meta: &Place<'_>, mistakes: &mut Mistakes) -> Value {
    needed_when(ks_meta, "puppet_enable", &["puppet_master"], mistakes);
    let get = |key: &str| or_null(ks_meta.value.get(key));
    json!({"master": get("puppet_master"), "enable": get("puppet_enable")})
}

fn mcollective(ks_meta: &Place<'_>, mistakes: &mut Mistakes) -> Value {
    let needed = ["mco_pskey", "mco_vhost", "mco_host", "mco_user", "mco_password"];
    needed_when(ks_meta, "mco_enable", &needed, mistakes);
    let get = |key: &str| or_null(ks_meta.value.get(format!("mco_{key}")));
    json!({
        "pskey": get("pskey"), "vhost": get("vhost"), "host": get("host"), "user": get("user"),
        "password": get("password"), "connector": get("connector"), "enable": get("enable"),
    })
}

/// Keys that must be there where `switch` is on.
fn needed_when(ks_meta: &Place<'_>, switch: &str, keys: &[&str], mistakes: &mut Mistakes) {
    if ks_meta.get(switch).is_some_and(|on| truthy(on.value)) {
        for key in keys {
            ks_meta.need(key, &format!("write it, or set `{switch}` to 0"), mistakes);
        }
    }
}
