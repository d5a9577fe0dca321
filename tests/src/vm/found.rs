//! What lies on a machine's disks, as other tools than those that made it see it, and how that differs from a layout.
//!
//! The job's `read_back` keeps what sfdisk, sgdisk, mdadm, lvm, blkid and the kernel say; this reads it. A layout is a
//! partition scheme as `plan --json` shows it, which is also how the recorded ones of the original look.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

use super::process::Result;

const MIB: u64 = 1 << 20;
const BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";
const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Partition tables as `sfdisk --json` shows them, by the disk's node.
    pub tables: BTreeMap<String, Value>,
    /// What sgdisk says of the same disks.
    pub checked: BTreeMap<String, String>,
    /// What `mdadm --detail --export` says, by the array's node.
    pub arrays: BTreeMap<String, BTreeMap<String, String>>,
    /// Volume groups, physical and logical volumes as `lvm fullreport` has them.
    pub groups: Vec<Value>,
    /// What blkid says of each device that it knows something of, by its node.
    pub contents: BTreeMap<String, BTreeMap<String, String>>,
    /// Where the kernel has each partition, by its node: the first byte, the size in bytes.
    pub kernel: BTreeMap<String, (u64, u64)>,
}

impl Found {
    /// Reads what `read_back` kept in `dir`.
    ///
    /// # Errors
    /// When something is not there, or not as the tools write it.
    pub fn read(dir: &Path) -> Result<Self> {
        let mut found = Self::default();
        for entry in fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = || fs::read_to_string(&path);
            let node = format!("/dev/{stem}");
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("sfdisk") if fs::metadata(&path)?.len() > 0 => {
                    found.tables.insert(node, serde_json::from_str(&text()?)?);
                }
                Some("sgdisk") => drop(found.checked.insert(node, text()?)),
                Some("mdadm") => drop(found.arrays.insert(node, pairs(&text()?))),
                _ => {}
            }
        }
        let lvm: Value = serde_json::from_str(&fs::read_to_string(dir.join("lvm.json"))?)?;
        found.groups = list(&lvm["report"]).to_vec();
        for block in fs::read_to_string(dir.join("blkid"))?.split("\n\n") {
            let block = pairs(block);
            if let Some(node) = block.get("DEVNAME").cloned() {
                found.contents.insert(node, block);
            }
        }
        let kernel: Value = serde_json::from_str(&fs::read_to_string(dir.join("kernel.json"))?)?;
        for device in list(&kernel["blockdevices"]).iter().filter(|device| device["type"] == "part") {
            let place = (number(&device["start"]) * 512, number(&device["size"]));
            found.kernel.insert(text(&device["path"]), place);
        }
        Ok(found)
    }

    /// How what was found differs from the layout `scheme`, where the file systems at the mount points `imaged` are
    /// not made, as an image follows. Nothing where all is as it should be.
    pub fn differences(&self, scheme: &Value, imaged: &[&str]) -> Vec<String> {
        let mut told = Differences::default();
        for parted in list(&scheme["parteds"]) {
            self.table(parted, &mut told);
        }
        for array in list(&scheme["mds"]) {
            self.array(array, &mut told);
        }
        for pv in list(&scheme["pvs"]) {
            self.physical_volume(pv, &mut told);
        }
        for group in list(&scheme["vgs"]) {
            self.group(group, list(&scheme["lvs"]), &mut told);
        }
        for fs in list(&scheme["fss"]) {
            self.file_system(fs, imaged, &mut told);
        }
        told.0
    }

    fn table(&self, parted: &Value, told: &mut Differences) {
        let disk = text(&parted["name"]);
        let Some(table) = self.tables.get(&disk).map(|table| &table["partitiontable"]) else {
            return told.say(format!("{disk} has no partition table"));
        };
        let label = if parted["label"] == "msdos" { "dos" } else { "gpt" };
        told.same(&format!("label of {disk}"), label, &table["label"]);
        let checked = self.checked.get(&disk).map_or("", String::as_str);
        if label == "gpt" && !checked.contains("No problems found") {
            told.say(format!("sgdisk does not like {disk}: {checked}"));
        }
        let sector = table["sectorsize"].as_u64().unwrap_or(512);
        let rows = list(&table["partitions"]);
        let names = rows.iter().map(|row| text(&row["node"]));
        let wanted: Vec<_> =
            list(&parted["partitions"]).iter().map(|partition| partition["name"].clone()).collect();
        told.sets(&format!("partitions of {disk}"), &wanted, names);
        for row in rows {
            let (node, place) =
                (text(&row["node"]), (number(&row["start"]) * sector, number(&row["size"]) * sector));
            let kernel = self.kernel.get(&node).copied().unwrap_or_default();
            // Of an extended partition the kernel shows two sectors.
            if kernel != place && kernel != (place.0, 1024) {
                told.say(format!("the kernel has {node} at {kernel:?}, the table at {place:?}"));
            }
        }
        for partition in list(&parted["partitions"]) {
            if let Some(row) = rows.iter().find(|row| row["node"] == partition["name"]) {
                let place =
                    (number(&row["start"]) * sector, (number(&row["start"]) + number(&row["size"])) * sector);
                partition_differs(partition, place, &text(&row["type"]), told);
            }
        }
    }

    fn array(&self, array: &Value, told: &mut Differences) {
        let name = text(&array["name"]);
        let Some(found) = self.arrays.get(&name) else {
            return told.say(format!("there is no {name}"));
        };
        let get = |key: &str| Value::from(found.get(key).map_or("", String::as_str));
        told.same(&format!("level of {name}"), &level(&text(&array["level"])), &get("MD_LEVEL"));
        if array["metadata"] != "default" {
            told.same(&format!("metadata of {name}"), &text(&array["metadata"]), &get("MD_METADATA"));
        }
        let members = |spare: bool| {
            found.iter().filter_map(move |(key, role)| {
                let device = key.strip_suffix("_ROLE")?;
                ((role == "spare") == spare).then(|| found.get(&format!("{device}_DEV")).cloned()).flatten()
            })
        };
        told.same(
            &format!("members of {name}"),
            &list(&array["devices"]).len().to_string(),
            &get("MD_DEVICES"),
        );
        // An array of parity counts the member that is being brought up to date among its spares.
        let all: Vec<_> = list(&array["devices"]).iter().chain(list(&array["spares"])).cloned().collect();
        told.sets(&format!("devices of {name}"), &all, members(true).chain(members(false)));
    }

    fn physical_volume(&self, pv: &Value, told: &mut Differences) {
        let name = text(&pv["name"]);
        let rows = self.groups.iter().flat_map(|report| list(&report["pv"]));
        let Some(found) = rows.into_iter().find(|row| row["pv_name"] == pv["name"]) else {
            return told.say(format!("{name} is no physical volume"));
        };
        told.same(&format!("metadata areas of {name}"), &text(&pv["metadatacopies"]), &found["pv_mda_count"]);
        let (want, have) = (number(&pv["metadatasize"]) * MIB, number(&found["pv_mda_size"]));
        if have + MIB < want || have > want + 2 * MIB {
            told.say(format!("the metadata areas of {name} have {have} bytes, not {want}"));
        }
    }

    fn group(&self, group: &Value, volumes: &[Value], told: &mut Differences) {
        let (name, pvs) = (text(&group["name"]), list(&group["pvnames"]));
        // There may be others of that name.
        let ours = |report: &&Value| {
            let mut found = list(&report["pv"]).iter();
            report["vg"][0]["vg_name"] == group["name"] && found.any(|pv| pvs.contains(&pv["pv_name"]))
        };
        let Some(found) = self.groups.iter().find(ours) else {
            return told.say(format!("there is no group {name} on {pvs:?}"));
        };
        let have = list(&found["pv"]).iter().map(|pv| text(&pv["pv_name"]));
        told.sets(&format!("physical volumes of {name}"), pvs, have);
        let wanted: Vec<_> = volumes.iter().filter(|lv| lv["vgname"] == group["name"]).collect();
        let names: Vec<_> = wanted.iter().map(|lv| lv["name"].clone()).collect();
        let have = list(&found["lv"]).iter().map(|lv| text(&lv["lv_name"]));
        told.sets(&format!("volumes of {name}"), &names, have);
        let extent = number(&found["vg"][0]["vg_extent_size"]);
        for lv in wanted {
            let Some(row) = list(&found["lv"]).iter().find(|row| row["lv_name"] == lv["name"]) else {
                continue;
            };
            let lv_name = format!("{name}/{}", text(&lv["name"]));
            let (want, have) = (number(&lv["size"]) * MIB, number(&row["lv_size"]));
            if want.abs_diff(have) > extent {
                told.say(format!("{lv_name} has {have} bytes, not {want}"));
            }
            told.same(&format!("state of {lv_name}"), "active", &row["lv_active"]);
        }
    }

    fn file_system(&self, fs: &Value, imaged: &[&str], told: &mut Differences) {
        let (device, mount) = (text(&fs["device"]), text(&fs["mount"]));
        let found = self.contents.get(&device);
        let get = |key: &str| Value::from(found.and_then(|found| found.get(key)).map_or("", String::as_str));
        if imaged.contains(&mount.as_str()) {
            return told.same(&format!("content of {device}, which an image follows to"), "", &get("TYPE"));
        }
        told.same(&format!("file system on {device}"), &text(&fs["fs_type"]), &get("TYPE"));
        told.same(&format!("label on {device}"), &text(&fs["fs_label"]), &get("LABEL"));
    }
}

/// Compares a partition with what lies at these bytes with this type.
fn partition_differs(partition: &Value, place: (u64, u64), kind: &str, told: &mut Differences) {
    let name = text(&partition["name"]);
    let want = (number(&partition["begin"]) * MIB, number(&partition["end"]) * MIB);
    // What describes a logical partition lies before it; the end of a disk is its table's.
    let room = if partition["partition_type"] == "logical" { 2 * MIB } else { 0 };
    if want.0.abs_diff(place.0) > room || want.1.abs_diff(place.1) > MIB {
        told.say(format!("{name} lies at bytes {place:?}, not at {want:?}"));
    }
    let flagged = |flag: &str| list(&partition["flags"]).iter().any(|have| have == flag);
    let wanted = match partition["guid"].as_str() {
        Some(guid) => Some(guid.to_uppercase()),
        None if flagged("bios_grub") => Some(BIOS_BOOT.into()),
        None if flagged("esp") => Some(ESP.into()),
        None => None,
    };
    if let Some(wanted) = wanted {
        told.same(&format!("type of {name}"), &wanted, &kind.to_uppercase().into());
    }
}

/// The level as the kernel calls it.
fn level(level: &str) -> String {
    match level {
        "mirror" => "raid1".into(),
        "stripe" => "raid0".into(),
        level if level.chars().all(|c| c.is_ascii_digit()) => format!("raid{level}"),
        level => level.into(),
    }
}

#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn say(&mut self, difference: String) {
        self.0.push(difference);
    }

    fn same(&mut self, what: &str, want: &str, have: &Value) {
        let have = text(have);
        if want != have {
            self.say(format!("{what}: {have:?}, not {want:?}"));
        }
    }

    fn sets(&mut self, what: &str, want: &[Value], have: impl Iterator<Item = String>) {
        let mut want: Vec<_> = want.iter().map(text).collect();
        let mut have: Vec<_> = have.collect();
        want.sort();
        have.sort();
        if want != have {
            self.say(format!("{what}: {have:?}, not {want:?}"));
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A string or a number as text; nothing for null.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A number, which some tools write as a string; 0 where it is none.
fn number(value: &Value) -> u64 {
    text(value).parse().unwrap_or(0)
}

/// Lines of `KEY=value`.
fn pairs(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}
