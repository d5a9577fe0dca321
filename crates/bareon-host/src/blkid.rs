//! What lies on a block device: every call of `blkid(8)` is in this file.
//!
//! `-p` reads the device itself: its answer is never an old one from a cache or from udev, and it is
//! the same in a ramdisk without udev.

use std::collections::BTreeMap;

use crate::{Cmd, Output, Tool, cmd::SHORT};

/// The status of blkid for signatures of several kinds.
const AMBIVALENT: i32 = 8;

/// Reads what lies on `device`; nothing is printed where nothing is known to lie there (status 2), or
/// where there are signatures of several kinds (status 8).
pub fn probe(device: &str) -> Cmd {
    Tool::Blkid.cmd().time_limit(SHORT).args(["-p", "-o", "export", device]).also_ok(2).also_ok(AMBIVALENT)
}

/// Reads what lies on each of `devices`. Where there is nothing on one, or signatures of several kinds, the answer has
/// no word of it, and perhaps none of those after it: they are to be asked for alone, by [`probe`].
pub fn probe_all<'d>(devices: impl IntoIterator<Item = &'d str>) -> Cmd {
    let cmd = Tool::Blkid.cmd().time_limit(SHORT).args(["-p", "-o", "export"]).args(devices);
    cmd.also_ok(2).also_ok(AMBIVALENT)
}

/// Names the devices whose tag (`UUID`, `PARTUUID`) has that value; nothing is printed for none.
pub fn with_tag(tag: &str, value: &str) -> Cmd {
    // A cache of its own nowhere: devices may have changed since one was written.
    Tool::Blkid
        .cmd()
        .time_limit(SHORT)
        .args(["-c", "/dev/null", "-o", "device", "-t"])
        .arg(format!("{tag}={value}"))
        .also_ok(2)
}

/// Reads what lies on all block devices: disks, partitions, arrays, logical volumes. It prints nothing of those
/// that it cannot tell, and status 2 where it knows none at all.
pub fn all() -> Cmd {
    Tool::Blkid.cmd().time_limit(SHORT).args(["-c", "/dev/null", "-o", "export"]).also_ok(2)
}

/// What lies on one of [`all`] devices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tagged {
    /// The device's node.
    pub device: String,
    /// The type of the file system, `swap`, `linux_raid_member`, …
    pub fs_type: Option<String>,
    /// Its UUID; of a member of an array that of the array.
    pub uuid: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// The partition's own GUID, or what stands for it in a master boot record.
    pub partuuid: Option<String>,
    /// The partition's name.
    pub partlabel: Option<String>,
}

/// Reads what [`all`] printed: a paragraph for each device.
pub fn parse_all(text: &str) -> Vec<Tagged> {
    let mut found: Vec<Tagged> = Vec::new();
    for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
        if name == "DEVNAME" {
            found.push(Tagged { device: unescape(value), ..Tagged::default() });
        }
        let Some(last) = found.last_mut() else { continue };
        let field = match name {
            "TYPE" => &mut last.fs_type,
            "UUID" => &mut last.uuid,
            "LABEL" => &mut last.label,
            "PARTUUID" => &mut last.partuuid,
            "PARTLABEL" => &mut last.partlabel,
            _ => continue,
        };
        *field = Some(unescape(value));
    }
    found
}

/// What [`probe`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probed {
    /// The type of the file system, `swap` for swap space.
    pub fs_type: Option<String>,
    /// The kind of partition table: `gpt`, `dos`.
    pub table: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// The partition's own GUID, where the device is a partition of a GPT.
    pub partuuid: Option<String>,
    /// The UUID of the partition table.
    pub table_uuid: Option<String>,
    /// The partition's type: a GUID in a GPT, `0x83` in a master boot record.
    pub part_type: Option<String>,
    /// The partition's name.
    pub part_name: Option<String>,
    /// The partition's number.
    pub part_number: Option<u32>,
    /// How far from the disk's beginning the partition lies, in units of 512 bytes.
    pub part_offset: Option<u64>,
    /// Whether there are signatures of several kinds, so that nobody can tell what lies there;
    /// `wipefs DEVICE` shows them.
    pub ambivalent: bool,
}

/// Reads the answer to [`probe`].
pub fn probed(answer: &Output) -> Probed {
    Probed { ambivalent: answer.status == AMBIVALENT, ..parse_probe(&answer.stdout) }
}

/// Reads the answer to [`probe_all`]: by each device's name, as far as something lies there.
pub fn probed_all(answer: &Output) -> BTreeMap<String, Probed> {
    let named = |block: &str| {
        let device = block.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
        Some((unescape(device), parse_probe(block)))
    };
    answer.stdout.split("\n\n").filter_map(named).filter(|(_, probed)| probed.fs_type.is_some()).collect()
}

/// Reads `NAME=value` lines, with `\` before what a shell would not keep.
fn parse_probe(text: &str) -> Probed {
    let mut probed = Probed::default();
    for line in text.lines() {
        if let Some((name, value)) = line.split_once('=') {
            let field = match name {
                "TYPE" => &mut probed.fs_type,
                "PTTYPE" => &mut probed.table,
                "UUID" => &mut probed.uuid,
                "LABEL" => &mut probed.label,
                "PTUUID" => &mut probed.table_uuid,
                "PART_ENTRY_UUID" => &mut probed.partuuid,
                "PART_ENTRY_TYPE" => &mut probed.part_type,
                "PART_ENTRY_NAME" => &mut probed.part_name,
                "PART_ENTRY_NUMBER" => {
                    probed.part_number = value.parse().ok();
                    continue;
                }
                "PART_ENTRY_OFFSET" => {
                    probed.part_offset = value.parse().ok();
                    continue;
                }
                _ => continue,
            };
            *field = Some(unescape(value));
        }
    }
    probed
}

fn unescape(value: &str) -> String {
    let mut chars = value.chars();
    let mut text = String::new();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_read() {
        let recorded = "DEVNAME=/dev/loop0p1\nLABEL=my\\ root\nUUID=0d6f0a4c-1\nBLOCK_SIZE=4096\n\
                        TYPE=ext4\nUSAGE=filesystem\nPART_ENTRY_UUID=ab-cd\n\
                        PART_ENTRY_TYPE=0fc63daf-8483\nPART_ENTRY_NAME=a\\ b\nPART_ENTRY_NUMBER=3\nPART_ENTRY_OFFSET=2048\n";
        assert_eq!(
            parse_probe(recorded),
            Probed {
                fs_type: Some("ext4".into()),
                uuid: Some("0d6f0a4c-1".into()),
                label: Some("my root".into()),
                partuuid: Some("ab-cd".into()),
                part_type: Some("0fc63daf-8483".into()),
                part_name: Some("a b".into()),
                part_number: Some(3),
                part_offset: Some(2048),
                ..Probed::default()
            }
        );
        assert_eq!(parse_probe(""), Probed::default());
    }

    #[test]
    fn several_devices_are_told_apart() {
        let recorded = "DEVNAME=/dev/sda1\nUUID=a\nTYPE=ext4\n\nDEVNAME=/dev/mapper/os-swap\nUUID=b\nTYPE=swap\n\n\
                        DEVNAME=/dev/sda9\nPTTYPE=dos\n";
        let answer = Output { status: 0, stdout: recorded.into(), stderr: String::new() };
        let found = probed_all(&answer);
        assert_eq!(found.len(), 2);
        assert_eq!(found["/dev/mapper/os-swap"].uuid.as_deref(), Some("b"));
    }

    #[test]
    fn all_devices_are_read() {
        let recorded = "DEVNAME=/dev/vda2\nUUID=AB12-CD34\nBLOCK_SIZE=512\nTYPE=vfat\nPARTLABEL=EFI\\ system\n\
                        PARTUUID=ab-cd\n\nDEVNAME=/dev/vda1\nPARTUUID=ef-01\n";
        let found = parse_all(recorded);
        assert_eq!(
            found[0],
            Tagged {
                device: "/dev/vda2".into(),
                fs_type: Some("vfat".into()),
                uuid: Some("AB12-CD34".into()),
                label: None,
                partuuid: Some("ab-cd".into()),
                partlabel: Some("EFI system".into()),
            }
        );
        assert_eq!((found.len(), found[1].fs_type.as_ref()), (2, None));
        assert!(parse_all("").is_empty());
    }
}
