//! Which disk of the machine a disk of the input is.
//!
//! Kernel names move between boots, so an input names a disk by udev's links as well. A guess
//! would cost somebody's data: where not exactly one disk answers, nothing is taken, and the
//! error says of each disk why it is the one or is not.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BlockDevice,
    criterion::{Criterion, Verdict},
};
use crate::objects::Bytes;

/// How an input names a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// By links, else by name: nailgun's rule.
    Links {
        /// A link below `/dev/`, compared when `extra` is empty.
        id: String,
        /// The kernel's name, such as `sda`.
        name: String,
        /// Links below `/dev/`; those in `disk/by-id/` are compared.
        extra: Vec<String>,
    },
    /// By criteria, all of which hold for one disk and for no other.
    All(Vec<Criterion>),
}

/// A disk that an input asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Where it stands in the input, as a JSON pointer.
    pub input_path: String,
    /// How the input names it.
    pub wanted: Wanted,
    /// How large it is by the input, where that is told beside the name. Exactness is not asked for: it is
    /// compared where there is nothing better than the name.
    pub size: Option<Bytes>,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Links { id, name, extra } if extra.is_empty() => {
                write!(f, "the link {id}, else the name {name}")
            }
            Self::Links { name, extra, .. } => {
                write!(f, "a link of {}, else the name {name}", extra.join(", "))
            }
            Self::All(criteria) if criteria.is_empty() => f.write_str("any disk"),
            Self::All(criteria) => f.write_str(&list(criteria.iter())),
        }
    }
}

fn list(items: impl Iterator<Item = impl fmt::Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// By what a disk of the machine is the wanted one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MatchedBy {
    /// By this link of udev's, such as `/dev/disk/by-id/…`.
    Link(String),
    /// By the kernel's name alone.
    Name,
    /// By these criteria.
    Criteria(Vec<Criterion>),
}

impl fmt::Display for MatchedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(link) => write!(f, "by the link {link}"),
            Self::Name => f.write_str("by its kernel name alone"),
            Self::Criteria(criteria) if criteria.is_empty() => f.write_str("as the only disk"),
            Self::Criteria(criteria) => write!(f, "by {}", list(criteria.iter())),
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
    /// `found` for what was `asked`.
    pub fn new(found: &Found<'_>, asked: &Asked) -> Self {
        let mut doubts = Vec::new();
        if found.by == MatchedBy::Name {
            if let Wanted::Links { id, name, extra } = &asked.wanted
                && (!extra.is_empty() || !["", name.as_str()].contains(&id.as_str()))
            {
                doubts.push("no disk of this machine has a link that the input gives".into());
            }
            let sizes = asked.size.zip(found.disk.size());
            doubts.extend(sizes.and_then(|(input, real)| other_size(input, real)));
        }
        let disk = found.disk.device.clone();
        Self { disk, by: found.by.clone(), input_path: asked.input_path.clone(), doubts }
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
fn other_size(input: Bytes, real: Bytes) -> Option<String> {
    let apart = input.0.abs_diff(real.0) > real.0 / 10;
    apart.then(|| format!("the disk has {real} and the input says {input}"))
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Candidate {
    /// Its device node.
    pub device: String,
    /// Whether it is what was asked for; where several are, a name may still decide between them.
    pub matches: bool,
    /// What was found, one for each thing that was asked for.
    pub verdicts: Vec<Verdict>,
}

impl fmt::Display for Candidate {
    /// The node, and what decided: all that holds, or all that does not.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.verdicts.iter().filter(|verdict| verdict.holds == self.matches);
        write!(f, "{} {}", self.device, list(said.map(|verdict| &verdict.says)))
    }
}

impl NoMatch {
    /// What went wrong, without the candidates.
    pub fn summary(&self) -> &'static str {
        match (self.ambiguous, self.candidates.is_empty()) {
            (_, true) => "this machine has no disks",
            (true, _) => "several disks of this machine match",
            (false, _) => "no disk of this machine matches",
        }
    }
}

impl fmt::Display for NoMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.summary())?;
        for (i, candidate) in self.candidates.iter().enumerate() {
            write!(f, "{} {candidate}", if i == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for NoMatch {}

/// The disk of the machine that `wanted` names.
///
/// By links first: with `extra`, a link of it that lies in `/dev/disk/by-id`; without, the link
/// `id`. Where no disk has such a link, by name. Of several disks that match (two NVMe namespaces
/// may share a WWN) the one with the name is taken. By criteria, the only disk for which all hold.
///
/// # Errors
/// When no disk matches, or several and not one of them has the name.
pub fn find_disk<'d>(wanted: &Wanted, devices: &'d [BlockDevice]) -> Result<Found<'d>, NoMatch> {
    let matching: Vec<_> = distinct(devices)
        .into_iter()
        .filter_map(|disk| Some(Found { disk, by: matched_by(wanted, disk)? }))
        .collect();
    let named = |disk: &BlockDevice| matches!(wanted, Wanted::Links { name, .. } if disk.name() == name);
    let found = match matching.as_slice() {
        [] => distinct(devices)
            .into_iter()
            .find(|disk| disk.path_to.is_none() && named(disk))
            .map(|disk| Found { disk, by: MatchedBy::Name }),
        [found] => Some(found.clone()),
        several => several.iter().find(|found| named(found.disk)).cloned(),
    };
    found.ok_or_else(|| NoMatch { ambiguous: matching.len() > 1, candidates: candidates(wanted, devices) })
}

/// Each disk of the machine, and why it is the wanted one or is not.
pub fn candidates(wanted: &Wanted, devices: &[BlockDevice]) -> Vec<Candidate> {
    let candidate = |disk: &BlockDevice| Candidate {
        device: disk.device.clone(),
        matches: matched_by(wanted, disk).is_some(),
        verdicts: verdicts(wanted, disk),
    };
    distinct(devices).into_iter().map(candidate).collect()
}

/// The devices, each once: a list may name one disk twice (a repeated record).
fn distinct(devices: &[BlockDevice]) -> Vec<&BlockDevice> {
    let mut disks: Vec<&BlockDevice> = Vec::new();
    for device in devices {
        if disks.iter().all(|disk| disk.device != device.device) {
            disks.push(device);
        }
    }
    disks
}

/// By what `disk` is the wanted one; the name as nailgun's last resort does not count here.
fn matched_by(wanted: &Wanted, disk: &BlockDevice) -> Option<MatchedBy> {
    if disk.path_to.is_some() {
        return None;
    }
    match wanted {
        Wanted::Links { id, extra, .. } => {
            shared_link(id, extra, disk).map(|link| MatchedBy::Link(link.to_owned()))
        }
        Wanted::All(criteria) => {
            let all = criteria.iter().all(|criterion| criterion.judge(disk).holds);
            all.then(|| match criteria.as_slice() {
                [Criterion::Name(_)] => MatchedBy::Name,
                criteria => MatchedBy::Criteria(criteria.to_vec()),
            })
        }
    }
}

/// The link by which `disk` is the wanted one.
fn shared_link<'d>(id: &str, extra: &[String], disk: &'d BlockDevice) -> Option<&'d str> {
    disk.devlinks().into_iter().find(|link| {
        let Some(name) = link.strip_prefix("/dev/") else { return false };
        if extra.is_empty() {
            name == id
        } else {
            name.starts_with("disk/by-id") && extra.iter().any(|extra| extra == name)
        }
    })
}

fn verdicts(wanted: &Wanted, disk: &BlockDevice) -> Vec<Verdict> {
    if let Some(whole) = &disk.path_to {
        return vec![Verdict { holds: false, says: format!("is a path to {whole}, which is the disk") }];
    }
    match wanted {
        Wanted::All(criteria) => criteria.iter().map(|criterion| criterion.judge(disk)).collect(),
        Wanted::Links { id, name, extra } => {
            let name = if disk.name() == name { "though it has the name" } else { "and another name" };
            let link = shared_link(id, extra, disk);
            let says = match link {
                Some(link) => format!("has the link {link}"),
                None if extra.is_empty() => format!("has no link /dev/{id} {name}"),
                None => format!("has none of the links of `extra` in /dev/disk/by-id {name}"),
            };
            vec![Verdict { holds: link.is_some(), says }]
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{hardware::criterion::Comparison, objects::Mib};

    fn disk(device: &str, links: &[&str]) -> BlockDevice {
        serde_json::from_value(json!({"device": device, "uspec": {"DEVLINKS": links}})).unwrap()
    }

    fn links(id: &str, name: &str, extra: &[&str]) -> Wanted {
        let extra = extra.iter().map(ToString::to_string).collect();
        Wanted::Links { id: id.into(), name: name.into(), extra }
    }

    fn find(id: &str, name: &str, extra: &[&str], devices: &[BlockDevice]) -> Result<String, NoMatch> {
        find_disk(&links(id, name, extra), devices).map(|found| found.disk.device.clone())
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
            let wanted = links(id, name, extra);
            let asked = Asked { input_path: "/0".into(), wanted, size: Some(Mib(size).bytes()) };
            let found = find_disk(&asked.wanted, &devices).unwrap();
            DiskMatch::new(&found, &asked).to_string()
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

    #[test]
    fn all_criteria_hold_for_one_disk_and_no_other() {
        let mut devices = [disk("/dev/sda", &[]), disk("/dev/sdb", &[]), disk("/dev/dm-0", &[])];
        for (device, (size, serial)) in devices.iter_mut().zip([(10, "A"), (20, "B"), (20, "B")]) {
            device.size = Some(Mib(size).bytes().0);
            device.uspec.insert("ID_SERIAL_SHORT".into(), serial.into());
        }
        devices[1].path_to = Some("/dev/dm-0".into());
        let large = Criterion::Size(Comparison::AtLeast, Mib(20).bytes());
        let serial = |serial: &str| Criterion::Serial(serial.into());
        let find = |criteria: &[Criterion]| {
            let wanted = Wanted::All(criteria.to_vec());
            find_disk(&wanted, &devices).map(|found| format!("{} {}", found.disk.device, found.by))
        };
        assert_eq!(find(&[large.clone(), serial("B")]).unwrap(), "/dev/dm-0 by size >= 20 MiB, serial B");
        assert_eq!(find(&[Criterion::Name("sda".into())]).unwrap(), "/dev/sda by its kernel name alone");
        assert_eq!(
            find(&[large.clone(), serial("A")]).unwrap_err().to_string(),
            "no disk of this machine matches: /dev/sda has 10 MiB and not >= 20 MiB, /dev/sdb is a path to \
             /dev/dm-0, which is the disk, /dev/dm-0 has the serial B, not A"
        );
        let any = Criterion::Size(Comparison::More, Bytes(0));
        assert!(find(&[any]).unwrap_err().ambiguous);
    }
}
