//! The names of network interfaces, as a udev rule for each.
//!
//! A rule, not a systemd.link(5) file: all versions of udev read rules, old ones read nothing else,
//! and in today's `NAME=` of a rule still goes before the policy of link files
//! (`80-net-setup-link.rules` acts only where no name was given). A name such as `eth0` may be one
//! that the kernel gave to another interface; udev can rename only when that one has got its own
//! name, so names outside of the kernel's are the safer ones. They are the document's to choose.

use std::fmt::Write;

use super::BootError;

/// The file in udev's directory of rules, where the system's own generator looks as well.
pub const FILE: &str = "70-persistent-net.rules";

/// The longest name that the kernel takes (`IFNAMSIZ` less the final zero).
const LONGEST: usize = 15;

/// Checks pairs of a MAC address and a name; what to warn of.
///
/// Addresses that are none of Ethernet (`InfiniBand` has 20 octets) get no rule and a warning.
///
/// # Errors
/// When one of a pair cannot be what it should be; it would be read as part of the rule.
pub fn check_interfaces(pairs: &[(String, String)]) -> Result<Vec<String>, BootError> {
    let mut warnings = Vec::new();
    for (mac, name) in pairs {
        if !is_address(mac) || !is_name(name) {
            return Err(BootError::BadInterface { mac: mac.clone(), name: name.clone() });
        }
        if !is_ethernet(mac) {
            warnings.push(format!(
                "the interface {name} keeps the name that the installed system gives it: `{mac}` is no address of Ethernet"
            ));
        }
    }
    Ok(warnings)
}

/// The rules for pairs of a MAC address and a name that [`check_interfaces`] has passed.
pub fn rules(pairs: &[(String, String)]) -> String {
    let mut text = String::from("# Names of network interfaces, written when this system was installed.\n");
    for (mac, name) in pairs.iter().filter(|(mac, _)| is_ethernet(mac)) {
        // DRIVERS keeps bridges, bonds and VLANs out, which have the address of an interface below.
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{{address}}==\"{}\", \
             ATTR{{type}}==\"1\", NAME=\"{name}\"",
            mac.to_lowercase()
        );
    }
    text
}

/// Whether it is a hardware address of any kind of network.
fn is_address(text: &str) -> bool {
    text.split(':').all(|part| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit()))
}

fn is_ethernet(address: &str) -> bool {
    address.split(':').count() == 6
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !text.is_empty() && text.len() <= LONGEST && text.chars().all(plain) && text != "." && text != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_each_pair() {
        let pairs = [("52:54:00:AB:cd:01".to_owned(), "eth0".to_owned())];
        assert_eq!(
            rules(&pairs).lines().last(),
            Some(
                r#"SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="52:54:00:ab:cd:01", ATTR{type}=="1", NAME="eth0""#
            )
        );
    }

    #[test]
    fn an_address_of_another_kind_of_network_gets_no_rule() {
        let infiniband = format!("80:00:02:08{}", ":ab".repeat(16));
        let pairs = [(infiniband, "ib0".to_owned()), ("52:54:00:ab:cd:01".to_owned(), "lan0".to_owned())];
        let warnings = check_interfaces(&pairs).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains("ib0"), "{warnings:?}");
        let rules = rules(&pairs);
        assert!(rules.contains("lan0") && !rules.contains("ib0"), "{rules}");
    }

    #[test]
    fn what_would_break_a_rule_is_refused() {
        for (mac, name) in [
            ("52:54:00:ab:cd:", "eth0"),
            ("", "eth0"),
            ("52:54:00:ab:cd:0\"", "eth0"),
            ("52:54:00:ab:cd:01", "eth0\", RUN+=\"/bin/x"),
            ("52:54:00:ab:cd:01", ""),
            ("52:54:00:ab:cd:01", "a-name-far-too-long"),
        ] {
            assert!(check_interfaces(&[(mac.into(), name.into())]).is_err(), "{mac} {name}");
        }
    }
}
