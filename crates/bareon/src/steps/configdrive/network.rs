//! network-config: the admin interface, by its MAC address, with its fixed address.
//!
//! Version 2, as cloud-init documents it. Three choices are for all of cloud-init's renderers:
//! the interface is matched by its MAC address, as matching by name does nothing with networkd;
//! it is given its name by `set-name`, as ifupdown and sysconfig write files for the name and
//! not for the address; and the default route is a route to `0.0.0.0/0`, as `gateway4` is
//! deprecated and `default` is not understood before cloud-init 23.1.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr},
};

use serde_json::{Value, json};

use super::{
    ConfigDriveError,
    jinja::json::{self, Style},
};

/// The name of the interface where the input has none.
const NAME: &str = "admin0";

/// The longest name of an interface that Linux takes (`IFNAMSIZ` less its end).
const LONGEST_NAME: usize = 15;

/// The network-config of the template data `common`; `None` where it has no admin interface.
pub fn config(common: &Value) -> Result<Option<String>, ConfigDriveError> {
    let (Some(mac), Some(address)) = (text(common, "admin_mac"), text(common, "admin_ip")) else {
        return Ok(None);
    };
    let mac = mac_address(mac)?;
    let address: Ipv4Addr = parsed("common/admin_ip", address)?;
    let mask = text(common, "admin_mask").unwrap_or_default();
    let name = name(text(common, "admin_iface_name").unwrap_or(NAME))?;
    let mut interface = json!({
        "match": {"macaddress": mac},
        "set-name": name,
        "dhcp4": false,
        "addresses": [format!("{address}/{}", prefix(mask)?)],
    });
    if let Some(gateway) = text(common, "gw") {
        let gateway: Ipv4Addr = parsed("common/gw", gateway)?;
        interface["routes"] = json!([{"to": "0.0.0.0/0", "via": gateway.to_string()}]);
    }
    let servers = words(common.get("name_servers"));
    for server in &servers {
        parsed::<IpAddr>("common/name_servers", server)?;
    }
    let domains = words(common.get("search_domain"));
    if !servers.is_empty() || !domains.is_empty() {
        interface["nameservers"] = json!({"addresses": servers, "search": domains});
    }
    Ok(Some(yaml(name, &interface)))
}

/// A YAML document of one entry per line, so that a person can read it on the drive.
fn yaml(name: &str, interface: &Value) -> String {
    let one_line = |value: &Value| json::write(value, Style { indent: None, html_safe: false });
    let mut out = format!("version: 2\nethernets:\n  {}:\n", one_line(&json!(name)));
    for (key, value) in interface.as_object().into_iter().flatten() {
        // Writing to a string does not fail.
        let _ = writeln!(out, "    {key}: {}", one_line(value));
    }
    out
}

/// A string that is there and not empty.
fn text<'a>(common: &'a Value, key: &str) -> Option<&'a str> {
    common.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}

/// The words of a string or of a list of strings; callers send them with quotes and commas.
fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => text
            .split(|c: char| c.is_whitespace() || matches!(c, ',' | '"' | '\''))
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect(),
        Some(Value::Array(list)) => list.iter().flat_map(|item| words(Some(item))).collect(),
        _ => Vec::new(),
    }
}

fn wrong(key: &'static str, value: &str, remedy: &'static str) -> ConfigDriveError {
    ConfigDriveError::Data { key, value: format!("{value:?}"), remedy }
}

fn parsed<T: std::str::FromStr>(key: &'static str, value: &str) -> Result<T, ConfigDriveError> {
    value.parse().map_err(|_| wrong(key, value, "give an IP address, such as 10.20.0.3"))
}

/// Six bytes in hexadecimal with colons, in small letters, as cloud-init compares them.
fn mac_address(value: &str) -> Result<String, ConfigDriveError> {
    let mac = value.to_ascii_lowercase().replace('-', ":");
    let bytes: Vec<&str> = mac.split(':').collect();
    let byte = |byte: &&str| byte.len() == 2 && byte.chars().all(|c| c.is_ascii_hexdigit());
    if bytes.len() == 6 && bytes.iter().all(byte) {
        Ok(mac)
    } else {
        Err(wrong("common/admin_mac", value, "give a MAC address, such as 08:00:27:79:da:80"))
    }
}

fn name(value: &str) -> Result<&str, ConfigDriveError> {
    let good = |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '%');
    if value.len() <= LONGEST_NAME && value.chars().all(good) && !matches!(value, "." | "..") {
        Ok(value)
    } else {
        Err(wrong("common/admin_iface_name", value, "give a name that Linux takes, such as eth0"))
    }
}

/// The length of the network part: of a mask such as 255.255.255.0, or as a number.
fn prefix(mask: &str) -> Result<u32, ConfigDriveError> {
    const KEY: &str = "common/admin_mask";
    if let Ok(length @ 1..=32) = mask.trim_start_matches('/').parse::<u32>() {
        return Ok(length);
    }
    let bits = u32::from(
        parsed::<Ipv4Addr>(KEY, mask)
            .map_err(|_| wrong(KEY, mask, "give a netmask, such as 255.255.255.0"))?,
    );
    if bits != 0 && bits.leading_ones() + bits.trailing_zeros() == 32 {
        Ok(bits.leading_ones())
    } else {
        Err(wrong(KEY, mask, "give a netmask whose ones are all before its zeros, such as 255.255.255.0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common() -> Value {
        json!({
            "admin_mac": "08:00:27:79:DA:80", "admin_ip": "10.20.0.3", "admin_mask": "255.255.254.0",
            "admin_iface_name": "eth0", "gw": "10.20.0.1", "name_servers": "\"10.20.0.2, 10.20.0.4\"",
            "search_domain": "\"domain.tld\"",
        })
    }

    #[test]
    fn the_admin_interface_is_matched_by_its_address() {
        assert_eq!(
            config(&common()).unwrap().unwrap(),
            r#"version: 2
ethernets:
  "eth0":
    match: {"macaddress": "08:00:27:79:da:80"}
    set-name: "eth0"
    dhcp4: false
    addresses: ["10.20.0.3/23"]
    routes: [{"to": "0.0.0.0/0", "via": "10.20.0.1"}]
    nameservers: {"addresses": ["10.20.0.2", "10.20.0.4"], "search": ["domain.tld"]}
"#
        );
    }

    #[test]
    fn what_is_not_given_is_left_out() {
        for key in ["admin_mac", "admin_ip"] {
            let mut common = common();
            common[key] = Value::Null;
            assert_eq!(config(&common).unwrap(), None);
        }
        assert_eq!(config(&Value::Null).unwrap(), None);
        let bare = json!({"admin_mac": "08:00:27:79:da:80", "admin_ip": "10.0.0.1", "admin_mask": "24"});
        let text = config(&bare).unwrap().unwrap();
        assert!(text.contains("set-name: \"admin0\"") && !text.contains("routes"), "{text}");
        assert!(!text.contains("nameservers"), "{text}");
    }

    #[test]
    fn lists_are_taken_as_words_are() {
        let mut common = common();
        common["name_servers"] = json!(["8.8.8.8", "\"8.8.4.4\""]);
        common["search_domain"] = json!(["a", "b"]);
        let text = config(&common).unwrap().unwrap();
        assert!(text.contains(r#"{"addresses": ["8.8.8.8", "8.8.4.4"], "search": ["a", "b"]}"#), "{text}");
    }

    #[test]
    fn data_that_is_no_network_is_refused_by_its_key() {
        for (key, value) in [
            ("admin_mac", "08:00:27:79:da"),
            ("admin_mac", "08:00:27:79:da:8g"),
            ("admin_ip", "10.20.0.256"),
            ("admin_mask", "255.0.255.0"),
            ("admin_mask", "0.0.0.0"),
            ("admin_mask", "33"),
            ("admin_mask", ""),
            ("gw", "router"),
            ("name_servers", "10.20.0.2 x"),
            ("admin_iface_name", "a/b"),
            ("admin_iface_name", "sixteen-letters!"),
        ] {
            let mut common = common();
            common[key] = json!(value);
            let error = config(&common).unwrap_err().to_string();
            assert!(error.starts_with(&format!("the config drive's common/{key} is ")), "{error}");
        }
    }
}
