//! Which disk of the machine a disk of the input is.
//!
//! Kernel names move between boots, so an input names a disk by udev's links as well. A guess
//! would cost somebody's data: where not exactly one disk answers, nothing is taken, and the
//! error says of each disk why it is the one or is not.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::BlockDevice;
use crate::objects::{Bytes, Mib};

/// How an input names a disk.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// A link below `/dev/`, compared when `extra` is empty.
    pub id: &'a str,
    /// The kernel's name, such as `sda`.
    pub name: &'a str,
    /// Links below `/dev/`; those in `disk/by-id/` are compared.
    pub extra: &'a [String],
}

/// By what a disk of the machine is the wanted one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MatchedBy {
    /// By this link of udev's, such as `/dev/disk/by-id/…`.
    Link(String),
    /// By the kernel's name alone.
    Name,
}

impl fmt::Display for MatchedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(link) => write!(f, "by the link {link}"),
            Self::Name => f.write_str("by its kernel name alone"),
        }
    }
}

/// The wanted disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<'d> {
    /// The disk of the machine.
    pub disk: &'d BlockDevice,
    /// By what it was found.
    pub by: MatchedBy,
}

/// Which disk of the machine a disk of the input is, for people to check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiskMatch {
    /// The disk's device node.
    pub disk: String,
    /// By what it was found.
    pub by: MatchedBy,
    /// Where the disk stands in the input, as a JSON pointer.
    pub input_path: String,
    /// What speaks against it being the disk that was meant.
    pub doubts: Vec<String>,
}

impl DiskMatch {
    /// `found` for what stands at `input_path` and is `size` large by the input, which is not asked for
    /// exactness: it is compared where there is nothing better than the name.
    pub fn new(found: &Found<'_>, wanted: &Wanted<'_>, size: Mib, input_path: &str) -> Self {
        let mut doubts = Vec::new();
        if found.by == MatchedBy::Name {
            let others = !wanted.extra.is_empty() || ![wanted.name, ""].contains(&wanted.id);
            if others {
                doubts.push("no disk of this machine has a link that the input gives".into());
            }
            doubts.extend(found.disk.size().and_then(|real| other_size(size, real)));
        }
        let disk = found.disk.device.clone();
        Self { disk, by: found.by.clone(), input_path: input_path.into(), doubts }
    }
}

impl fmt::Display for DiskMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}: matched {}", self.input_path, self.disk, self.by)?;
        for doubt in &self.doubts {
            write!(f, ", {doubt}")?;
        }
        Ok(())
    }
}

/// What is to be said where the two sizes are more than a tenth apart.
fn other_size(input: Mib, real: Bytes) -> Option<String> {
    let apart = input.bytes().0.abs_diff(real.0) > real.0 / 10;
    apart.then(|| format!("the disk has {real} and the input says {}", input.bytes()))
}

/// No disk of the machine, or more than one, is the wanted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoMatch {
    /// Whether several disks match.
    pub ambiguous: bool,
    /// Each disk of the machine, and why it is the wanted one or is not.
    pub candidates: Vec<Candidate>,
}

/// A disk that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its device node.
    pub device: String,
    /// What was found.
    pub verdict: String,
}

impl fmt::Display for NoMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.ambiguous, self.candidates.is_empty()) {
            (_, true) => "this machine has no disks",
            (true, _) => "several disks of this machine match",
            (false, _) => "no disk of this machine matches",
        })?;
        for (i, candidate) in self.candidates.iter().enumerate() {
            write!(f, "{} {} {}", if i == 0 { ":" } else { "," }, candidate.device, candidate.verdict)?;
        }
        Ok(())
    }
}

impl std::error::Error for NoMatch {}

/// The disk of the machine that `wanted` names.
///
/// By links first: with `extra`, a link of it that lies in `/dev/disk/by-id`; without, the link
/// `id`. Where no disk has such a link, by name. Of several disks that match (two NVMe namespaces
/// may share a WWN) the one with the name is taken.
///
/// # Errors
/// When no disk matches, or several and not one of them has the name.
pub fn find_disk<'d>(wanted: &Wanted<'_>, devices: &'d [BlockDevice]) -> Result<Found<'d>, NoMatch> {
    let named = |disk: &&BlockDevice| disk.device == format!("/dev/{}", wanted.name);
    let disks = distinct(devices);
    let linked: Vec<_> = disks
        .iter()
        .copied()
        .filter_map(|disk| {
            let by = MatchedBy::Link(shared_link(wanted, disk)?.to_owned());
            Some(Found { disk, by })
        })
        .collect();
    let found = match linked.as_slice() {
        [] => disks.iter().copied().find(named).map(|disk| Found { disk, by: MatchedBy::Name }),
        [found] => Some(found.clone()),
        several => several.iter().find(|found| named(&found.disk)).cloned(),
    };
    found.ok_or_else(|| NoMatch {
        ambiguous: linked.len() > 1,
        candidates: disks
            .iter()
            .map(|disk| Candidate { device: disk.device.clone(), verdict: verdict(wanted, disk) })
            .collect(),
    })
}

/// The devices, each once: a list may name one disk twice (multipath, a repeated record).
fn distinct(devices: &[BlockDevice]) -> Vec<&BlockDevice> {
    let mut disks: Vec<&BlockDevice> = Vec::new();
    for device in devices {
        if disks.iter().all(|disk| disk.device != device.device) {
            disks.push(device);
        }
    }
    disks
}

/// The link by which `disk` is the wanted one.
fn shared_link<'d>(wanted: &Wanted<'_>, disk: &'d BlockDevice) -> Option<&'d str> {
    disk.devlinks().into_iter().find(|link| {
        let Some(name) = link.strip_prefix("/dev/") else { return false };
        if wanted.extra.is_empty() {
            name == wanted.id
        } else {
            name.starts_with("disk/by-id") && wanted.extra.iter().any(|extra| extra == name)
        }
    })
}

fn verdict(wanted: &Wanted<'_>, disk: &BlockDevice) -> String {
    let name = if disk.name() == wanted.name { "though it has the name" } else { "and another name" };
    match shared_link(wanted, disk) {
        Some(link) => format!("has the link {link}"),
        None if wanted.extra.is_empty() => format!("has no link /dev/{} {name}", wanted.id),
        None => format!("has none of the links of `extra` in /dev/disk/by-id {name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn disk(device: &str, links: &[&str]) -> BlockDevice {
        serde_json::from_value(json!({"device": device, "uspec": {"DEVLINKS": links}})).unwrap()
    }

    fn find(id: &str, name: &str, extra: &[&str], devices: &[BlockDevice]) -> Result<String, NoMatch> {
        let extra: Vec<String> = extra.iter().map(ToString::to_string).collect();
        find_disk(&Wanted { id, name, extra: &extra }, devices).map(|found| found.disk.device.clone())
    }

    #[test]
    fn a_by_id_link_wins_over_the_name() {
        let devices = [disk("/dev/sda", &["/dev/disk/by-id/b"]), disk("/dev/sdb", &["/dev/disk/by-id/a"])];
        assert_eq!(find("sda", "sda", &["disk/by-id/x", "disk/by-id/a"], &devices).unwrap(), "/dev/sdb");
    }

    #[test]
    fn only_by_id_links_of_extra_count_and_id_is_then_not_used() {
        let devices = [disk("/dev/sda", &["/dev/disk/by-path/p"])];
        let error = find("disk/by-path/p", "sdq", &["disk/by-path/p"], &devices).unwrap_err();
        assert!(!error.ambiguous);
        assert_eq!(find("disk/by-path/p", "sdq", &[], &devices).unwrap(), "/dev/sda");
    }

    #[test]
    fn the_name_is_the_last_resort_and_decides_between_several() {
        let shared = ["/dev/disk/by-id/wwn"];
        let devices = [disk("/dev/nvme0n1", &shared), disk("/dev/nvme1n1", &shared), disk("/dev/sda", &[])];
        let extra = ["disk/by-id/wwn"];
        assert_eq!(find("x", "sda", &["disk/by-id/none"], &devices).unwrap(), "/dev/sda");
        assert_eq!(find("x", "nvme1n1", &extra, &devices).unwrap(), "/dev/nvme1n1");
        let error = find("x", "sda", &extra, &devices).unwrap_err();
        assert!(error.ambiguous);
        assert_eq!(
            error.to_string(),
            "several disks of this machine match: /dev/nvme0n1 has the link /dev/disk/by-id/wwn, \
             /dev/nvme1n1 has the link /dev/disk/by-id/wwn, \
             /dev/sda has none of the links of `extra` in /dev/disk/by-id though it has the name"
        );
    }

    #[test]
    fn a_match_says_what_it_rests_on() {
        let mut devices = [disk("/dev/sda", &["/dev/disk/by-id/a"]), disk("/dev/sdb", &[])];
        for disk in &mut devices {
            disk.size = Some(Mib(1000).bytes().0);
        }
        let say = |id: &str, name: &str, extra: &[&str], size: u64| {
            let extra: Vec<String> = extra.iter().map(ToString::to_string).collect();
            let wanted = Wanted { id, name, extra: &extra };
            let found = find_disk(&wanted, &devices).unwrap();
            DiskMatch::new(&found, &wanted, Mib(size), "/0").to_string()
        };
        assert_eq!(
            say("x", "sdb", &["disk/by-id/a"], 7),
            "/0 is /dev/sda: matched by the link /dev/disk/by-id/a"
        );
        assert_eq!(say("sdb", "sdb", &[], 1090), "/0 is /dev/sdb: matched by its kernel name alone");
        assert_eq!(
            say("disk/by-path/p", "sdb", &[], 1100),
            "/0 is /dev/sdb: matched by its kernel name alone, no disk of this machine has a link that the \
             input gives"
        );
        assert_eq!(
            say("sda", "sda", &["disk/by-id/x"], 2048),
            "/0 is /dev/sda: matched by its kernel name alone, no disk of this machine has a link that the \
             input gives, the disk has 1000 MiB and the input says 2 GiB"
        );
    }

    #[test]
    fn a_device_listed_twice_is_one_device_and_no_device_is_said_so() {
        let devices = [disk("/dev/sda", &[]), disk("/dev/sda", &[])];
        assert_eq!(find("sda", "sda", &[], &devices).unwrap(), "/dev/sda");
        assert_eq!(find("sda", "sda", &[], &[]).unwrap_err().to_string(), "this machine has no disks");
    }
}
