//! One thing that an input asks of a disk: a serial number, a model, a size, …
//!
//! Each is answered with a sentence, whether it holds or not: where no disk matches, or several do, these are what a
//! person sees. Values are compared as people copy them: udev's `_` for a blank, and the prefixes that tools put
//! before a WWN (`0x`, `naa.`, `wwn-0x`), make no difference.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::BlockDevice;
use crate::objects::Bytes;

/// Something that a disk must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Criterion {
    /// The kernel's name, with or without `/dev/`: `sda`, `/dev/mapper/mpatha`.
    Name(String),
    /// One of udev's links, with or without `/dev/`: `disk/by-id/…`.
    Link(String),
    /// Where it is plugged in, as in `/dev/disk/by-path/`; that directory may stand before it.
    Path(String),
    /// The serial number.
    Serial(String),
    /// The world wide name.
    Wwn(String),
    /// The model; `*` stands for any text.
    Model(String),
    /// The vendor; `*` stands for any text.
    Vendor(String),
    /// The size in bytes.
    Size(Comparison, Bytes),
    /// The SCSI address `host:channel:target:lun`.
    Scsi(String),
    /// Whether it rotates.
    Rotational(bool),
}

/// How two sizes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Comparison {
    /// The disk is smaller.
    #[serde(rename = "<")]
    Less,
    /// The disk is not larger.
    #[serde(rename = "<=")]
    AtMost,
    /// The disk has that size to the byte.
    #[serde(rename = "=")]
    Equal,
    /// The disk is not smaller.
    #[serde(rename = ">=")]
    AtLeast,
    /// The disk is larger.
    #[serde(rename = ">")]
    More,
}

/// Whether a disk is what was asked for, in one respect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verdict {
    /// Whether it is.
    pub holds: bool,
    /// Why, as what follows the disk's name in a sentence: `has the serial S1, not S2`.
    pub says: String,
}

impl Comparison {
    /// Takes the comparison off the beginning of a text such as `>= 100GiB`; without one the sizes are equal.
    pub fn split(text: &str) -> (Self, &str) {
        let signs = [
            ("<=", Self::AtMost),
            (">=", Self::AtLeast),
            ("==", Self::Equal),
            ("<", Self::Less),
            (">", Self::More),
            ("=", Self::Equal),
        ];
        let text = text.trim();
        let found =
            signs.iter().find_map(|(sign, this)| Some((*this, text.strip_prefix(sign)?.trim_start())));
        found.unwrap_or((Self::Equal, text))
    }

    fn holds(self, disk: Bytes, asked: Bytes) -> bool {
        match self {
            Self::Less => disk < asked,
            Self::AtMost => disk <= asked,
            Self::Equal => disk == asked,
            Self::AtLeast => disk >= asked,
            Self::More => disk > asked,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Equal => "=",
            Self::AtLeast => ">=",
            Self::More => ">",
        })
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(comparison, size) => write!(f, "size {comparison} {size}"),
            Self::Rotational(true) => f.write_str("rotates"),
            Self::Rotational(false) => f.write_str("does not rotate"),
            Self::Name(value)
            | Self::Link(value)
            | Self::Path(value)
            | Self::Serial(value)
            | Self::Wwn(value)
            | Self::Model(value)
            | Self::Vendor(value)
            | Self::Scsi(value) => write!(f, "{} {value}", self.noun()),
        }
    }
}

impl Criterion {
    /// What of the disk it asks for.
    fn noun(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Link(_) => "link",
            Self::Path(_) => "path",
            Self::Serial(_) => "serial",
            Self::Wwn(_) => "wwn",
            Self::Model(_) => "model",
            Self::Vendor(_) => "vendor",
            Self::Size(..) => "size",
            Self::Scsi(_) => "SCSI address",
            Self::Rotational(_) => "rotation",
        }
    }

    /// Whether `disk` is so.
    pub fn judge(&self, disk: &BlockDevice) -> Verdict {
        match self {
            Self::Size(comparison, asked) => match disk.size() {
                Some(size) if comparison.holds(size, *asked) => {
                    yes(format!("has {size} ({comparison} {asked})"))
                }
                Some(size) => no(format!("has {size} and not {comparison} {asked}")),
                None => no("has no known size".into()),
            },
            Self::Rotational(asked) => match disk.espec.get("rotational").and_then(Value::as_str) {
                Some(rotates) => {
                    let rotates = rotates != "0";
                    let says = if rotates { "rotates" } else { "does not rotate" };
                    Verdict { holds: rotates == *asked, says: says.into() }
                }
                None => no("does not say whether it rotates".into()),
            },
            Self::Name(asked) => {
                let name = asked.strip_prefix("/dev/").unwrap_or(asked);
                if disk.name() == name {
                    yes(format!("has the name {name}"))
                } else {
                    no(format!("is not called {name}"))
                }
            }
            Self::Link(asked) => {
                let link = format!("/dev/{}", asked.strip_prefix("/dev/").unwrap_or(asked));
                if disk.devlinks().contains(&link.as_str()) {
                    yes(format!("has the link {link}"))
                } else {
                    no(format!("has no link {link}"))
                }
            }
            Self::Path(asked) => {
                let path = asked.strip_prefix("/dev/").unwrap_or(asked);
                self.among(path.strip_prefix("disk/by-path/").unwrap_or(path), &paths(disk), |a, b| a == b)
            }
            Self::Serial(asked) => self.among(asked, &serials(disk), |a, b| plain(a) == plain(b)),
            Self::Wwn(asked) => self.among(asked, &wwns(disk), |a, b| wwn(a) == wwn(b)),
            Self::Model(asked) => self.among(asked, &properties(disk, &["ID_MODEL"]), like),
            Self::Vendor(asked) => self.among(asked, &properties(disk, &["ID_VENDOR"]), like),
            Self::Scsi(asked) => {
                let address = disk.espec.get("scsi").and_then(Value::as_str);
                self.among(asked, &Vec::from_iter(address.map(ToOwned::to_owned)), |a, b| a == b)
            }
        }
    }

    /// Whether one of the disk's `values` is what is asked for.
    fn among(&self, asked: &str, values: &[String], same: impl Fn(&str, &str) -> bool) -> Verdict {
        let noun = self.noun();
        match values.iter().find(|value| same(asked.trim(), value)) {
            Some(value) => yes(format!("has the {noun} {value}")),
            None if values.is_empty() => no(format!("has no {noun}")),
            None => no(format!("has the {noun} {}, not {asked}", values.join(" or "))),
        }
    }
}

fn yes(says: String) -> Verdict {
    Verdict { holds: true, says }
}

fn no(says: String) -> Verdict {
    Verdict { holds: false, says }
}

/// The values of those of udev's properties that are there, each once.
fn properties(disk: &BlockDevice, names: &[&str]) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    for value in names.iter().filter_map(|name| disk.property(name)) {
        if !value.trim().is_empty() && !values.iter().any(|known| known == value) {
            values.push(value.into());
        }
    }
    values
}

/// The short serial number that is printed on the disk first, then udev's long one with vendor and model.
fn serials(disk: &BlockDevice) -> Vec<String> {
    let mut serials = properties(disk, &["ID_SERIAL_SHORT", "ID_SCSI_SERIAL", "ID_SERIAL"]);
    let own = disk.identity.as_ref().and_then(|identity| identity.serial.clone());
    serials.extend(own.filter(|own| !serials.iter().any(|known| plain(known) == plain(own))));
    serials
}

fn wwns(disk: &BlockDevice) -> Vec<String> {
    let mut wwns = properties(disk, &["ID_WWN_WITH_EXTENSION", "ID_WWN", "DM_WWN"]);
    let own = disk.identity.as_ref().and_then(|identity| identity.wwn.clone());
    wwns.extend(own.filter(|own| !wwns.iter().any(|known| wwn(known) == wwn(own))));
    wwns
}

fn paths(disk: &BlockDevice) -> Vec<String> {
    let mut paths = properties(disk, &["ID_PATH"]);
    for link in disk.devlinks() {
        let Some(path) = link.strip_prefix("/dev/disk/by-path/") else { continue };
        if !paths.iter().any(|known| known == path) {
            paths.push(path.into());
        }
    }
    paths
}

/// A text as udev writes it into links: without blanks at its ends, and `_` for those within.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join("_")
}

/// A WWN without what tools put before it.
fn wwn(text: &str) -> String {
    let mut text = text.trim().to_ascii_lowercase();
    for prefix in ["wwn-", "nvme-", "naa.", "eui.", "uuid.", "mpath-", "0x"] {
        if let Some(rest) = text.strip_prefix(prefix) {
            text = rest.into();
        }
    }
    text
}

/// Whether `text` is what `pattern` says, in which `*` stands for any text.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (plain(pattern), plain(text));
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn disk() -> BlockDevice {
        serde_json::from_value(json!({
            "device": "/dev/sda", "size": 500_107_862_016_u64,
            "uspec": {
                "DEVLINKS": ["/dev/disk/by-id/ata-X_S1", "/dev/disk/by-path/pci-0000:00:1f.2-ata-1.0"],
                "ID_SERIAL": "Samsung_SSD_860_S1", "ID_SERIAL_SHORT": "S1", "ID_MODEL": "Samsung_SSD_860",
                "ID_WWN": "0x5002538d40a1b2c3", "ID_PATH": "pci-0000:00:1f.2-ata-1",
            },
            "espec": {"rotational": "0", "scsi": "2:0:0:0"},
            "identity": {"serial": "S1", "wwn": "naa.5002538d40a1b2c3", "size": 1},
        }))
        .unwrap()
    }

    #[test]
    fn a_disk_is_compared_as_people_write() {
        use Criterion::{Link, Model, Name, Path, Rotational, Scsi, Serial, Size, Vendor, Wwn};
        let size = |text: &str, bytes| Size(Comparison::split(text).0, Bytes(bytes));
        for (criterion, holds, says) in [
            (Name("/dev/sda".into()), true, "has the name sda"),
            (Name("sdb".into()), false, "is not called sdb"),
            (Link("disk/by-id/ata-X_S1".into()), true, "has the link /dev/disk/by-id/ata-X_S1"),
            (
                Path("/dev/disk/by-path/pci-0000:00:1f.2-ata-1.0".into()),
                true,
                "has the path pci-0000:00:1f.2-ata-1.0",
            ),
            (Path("pci-0000:00:1f.2-ata-1".into()), true, "has the path pci-0000:00:1f.2-ata-1"),
            (Serial(" S1 ".into()), true, "has the serial S1"),
            (Serial("S2".into()), false, "has the serial S1 or Samsung_SSD_860_S1, not S2"),
            (Wwn("wwn-0x5002538D40A1B2C3".into()), true, "has the wwn 0x5002538d40a1b2c3"),
            (Model("Samsung SSD 860".into()), true, "has the model Samsung_SSD_860"),
            (Model("*SSD*0".into()), true, "has the model Samsung_SSD_860"),
            (Model("Samsung".into()), false, "has the model Samsung_SSD_860, not Samsung"),
            (Vendor("*".into()), false, "has no vendor"),
            (Scsi("2:0:0:0".into()), true, "has the SCSI address 2:0:0:0"),
            (Rotational(true), false, "does not rotate"),
            (size(">= 1", 500_107_862_016), true, "has 465.7 GiB (>= 465.7 GiB)"),
            (size("<1", 1 << 30), false, "has 465.7 GiB and not < 1 GiB"),
        ] {
            let verdict = criterion.judge(&disk());
            assert_eq!((verdict.holds, verdict.says.as_str()), (holds, says), "{criterion}");
        }
    }

    #[test]
    fn a_comparison_stands_before_the_size() {
        for (text, comparison, rest) in [
            (">= 10GiB", Comparison::AtLeast, "10GiB"),
            ("<10", Comparison::Less, "10"),
            ("== 1", Comparison::Equal, "1"),
            (" 5 GB ", Comparison::Equal, "5 GB"),
        ] {
            assert_eq!(Comparison::split(text), (comparison, rest));
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, is) in [
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("*", "", true),
            ("ab*ba", "aba", false),
            ("a*b*c", "aXbYc", true),
        ] {
            assert_eq!(like(pattern, text), is, "{pattern} {text}");
        }
    }
}
