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

/// The rules for pairs of a MAC address and a name.
///
/// # Errors
/// When one of a pair cannot be what it should be; it would be read as part of the rule.
pub fn rules(pairs: &[(String, String)]) -> Result<String, BootError> {
    let mut text = String::from("# Names of network interfaces, written when this system was installed.\n");
    for (mac, name) in pairs {
        if !is_mac(mac) || !is_name(name) {
            return Err(BootError::BadInterface { mac: mac.clone(), name: name.clone() });
        }
        // DRIVERS keeps bridges, bonds and VLANs out, which have the address of an interface below.
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "SUBSYSTEM==\"net\", ACTION==\"add\", DRIVERS==\"?*\", ATTR{{address}}==\"{}\", \
             ATTR{{type}}==\"1\", NAME=\"{name}\"",
            mac.to_lowercase()
        );
    }
    Ok(text)
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<_> = text.split(':').collect();
    parts.len() == 6
        && parts.iter().all(|part| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit()))
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
            rules(&pairs).unwrap().lines().last(),
            Some(
                r#"SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="52:54:00:ab:cd:01", ATTR{type}=="1", NAME="eth0""#
            )
        );
    }

    #[test]
    fn what_would_break_a_rule_is_refused() {
        for (mac, name) in [
            ("52:54:00:ab:cd", "eth0"),
            ("52:54:00:ab:cd:0\"", "eth0"),
            ("52:54:00:ab:cd:01", "eth0\", RUN+=\"/bin/x"),
            ("52:54:00:ab:cd:01", ""),
            ("52:54:00:ab:cd:01", "a-name-far-too-long"),
        ] {
            assert!(rules(&[(mac.into(), name.into())]).is_err(), "{mac} {name}");
        }
    }
}
