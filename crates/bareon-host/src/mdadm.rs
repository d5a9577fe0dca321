//! Software RAID: every call of `mdadm(8)` is in this file.

use crate::{Cmd, Tool, cmd::SHORT};

/// An array to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Its device node, such as `/dev/md0`.
    pub device: String,
    /// Its level as mdadm takes it.
    pub level: String,
    /// The version of its superblock; mdadm's own choice where nothing is given.
    pub metadata: Option<String>,
    /// Its members.
    pub members: Vec<String>,
    /// Its spares.
    pub spares: Vec<String>,
    /// Whether it has a bitmap of regions that are being written, so that a member that was away is brought up
    /// to date by those alone. Nothing for a level without redundancy, for which mdadm takes no such option.
    pub bitmap: Option<bool>,
    /// Whether its members are taken to be in step already, so that they are not synchronised first.
    pub assume_clean: bool,
}

/// Makes an array over whatever lies on its members, and starts it.
///
/// `any` as the home host: whichever name the installed system gets, it gives the array this name.
pub fn create(array: &Create) -> Cmd {
    let mut cmd = Tool::Mdadm
        .cmd()
        .time_limit(SHORT)
        .args(["--create", &array.device, "--run", "--homehost=any"])
        .arg(format!("--level={}", array.level));
    // An array of one member is asked about; where there are more, mdadm brings parity in step its quicker way.
    if array.members.len() == 1 {
        cmd = cmd.arg("--force");
    }
    if let Some(metadata) = &array.metadata {
        cmd = cmd.arg(format!("--metadata={metadata}"));
    }
    if let Some(bitmap) = array.bitmap {
        cmd = cmd.arg(if bitmap { "--bitmap=internal" } else { "--bitmap=none" });
    }
    if array.assume_clean {
        cmd = cmd.arg("--assume-clean");
    }
    cmd = cmd.arg(format!("--raid-devices={}", array.members.len()));
    if !array.spares.is_empty() {
        cmd = cmd.arg(format!("--spare-devices={}", array.spares.len()));
    }
    cmd.args(&array.members).args(&array.spares)
}

/// Starts the array with that UUID from `members`, as `device`, also when some are missing.
pub fn assemble(device: &str, uuid: &str, members: &[String]) -> Cmd {
    Tool::Mdadm
        .cmd()
        .time_limit(SHORT)
        .args(["--assemble", device, "--run"])
        .arg(format!("--uuid={uuid}"))
        .args(members)
}

/// Stops arrays.
pub fn stop(devices: &[String]) -> Cmd {
    Tool::Mdadm.cmd().time_limit(SHORT).arg("--stop").args(devices)
}

/// Prints all arrays that the superblocks of all devices tell of, with those devices: whatever `mdadm.conf` says.
pub fn examine_scan() -> Cmd {
    Tool::Mdadm.cmd().time_limit(SHORT).args(["--examine", "--scan", "--verbose", "--config=partitions"])
}

/// An array, or a container of arrays, as superblocks tell of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// The name that mdadm would give it, such as `/dev/md/0`.
    pub name: Option<String>,
    /// Its UUID.
    pub uuid: String,
    /// Its level; nothing for a container and for an array within one.
    pub level: Option<String>,
    /// The version of its superblock; nothing for 0.90 and for an array within a container.
    pub metadata: Option<String>,
    /// How many members it is to have, spares not counted; 0 for a container and an array within one.
    pub raid_devices: u32,
    /// How many of `members` are spares.
    pub spares: u32,
    /// The devices with its superblock; a container that is assembled is among its own.
    pub members: Vec<String>,
    /// The UUID of the container that it lies in, and its number there.
    pub container: Option<(String, String)>,
}

/// Reads what [`examine_scan`] printed.
pub fn parse_examine_scan(text: &str) -> Vec<Examined> {
    let mut arrays: Vec<Examined> = Vec::new();
    for word in text.split_whitespace() {
        if word == "ARRAY" {
            arrays.push(Examined::default());
            continue;
        }
        let Some(array) = arrays.last_mut() else { continue };
        match word.split_once('=') {
            _ if word.starts_with('/') => array.name = Some(word.into()),
            Some(("level", level)) => array.level = Some(level.into()),
            Some(("metadata", version)) => array.metadata = Some(version.into()),
            Some(("num-devices", count)) => array.raid_devices = count.parse().unwrap_or(0),
            Some(("spares", count)) => array.spares = count.parse().unwrap_or(0),
            Some(("UUID", uuid)) => array.uuid = uuid.into(),
            Some(("container", uuid)) => array.container = Some((uuid.into(), String::new())),
            Some(("member", number)) => {
                if let Some((_, member)) = &mut array.container {
                    *member = number.into();
                }
            }
            Some(("devices", devices)) => array.members = devices.split(',').map(Into::into).collect(),
            _ => {}
        }
    }
    arrays
}

/// Prints what a running array is, its UUID among it.
pub fn detail(device: &str) -> Cmd {
    Tool::Mdadm.cmd().time_limit(SHORT).args(["--detail", "--export", device])
}

/// The UUID in the answer to [`detail`].
pub fn parse_detail(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix("MD_UUID=")).map(str::to_owned)
}

/// The UUID that sysfs has in `md/uuid` (older kernels do not have it), as mdadm writes it; `metadata` is what stands in
/// `md/metadata_version`.
///
/// It has zeros where the kernel does not know it. sysfs prints the bytes in their order. mdadm takes those of a superblock 0.90 for four numbers of this machine.
pub fn uuid_in_sysfs(text: &str, metadata: &str) -> Option<String> {
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
    let is_zero = digits.bytes().all(|byte| byte == b'0');
    if is_zero || digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let turned = cfg!(target_endian = "little") && metadata.trim() == "0.90";
    let word = |place: usize| {
        let word = &digits[place * 8..place * 8 + 8];
        let bytes: Vec<_> = (0..4).map(|byte| &word[byte * 2..byte * 2 + 2]).collect();
        if turned { bytes.into_iter().rev().collect() } else { word.to_owned() }
    };
    Some([word(0), word(1), word(2), word(3)].join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_made_in_one_call() {
        let array = Create {
            device: "/dev/md0".into(),
            level: "5".into(),
            metadata: Some("1.2".into()),
            members: ["/dev/sda3", "/dev/sdb3", "/dev/sdc3"].map(Into::into).to_vec(),
            spares: vec!["/dev/sdd3".into()],
            bitmap: Some(true),
            assume_clean: false,
        };
        assert_eq!(
            create(&array).to_string(),
            "mdadm --create /dev/md0 --run --homehost=any --level=5 --metadata=1.2 --bitmap=internal \
             --raid-devices=3 --spare-devices=1 /dev/sda3 /dev/sdb3 /dev/sdc3 /dev/sdd3"
        );
        let mirror = Create {
            level: "mirror".into(),
            metadata: None,
            members: array.members[..2].to_vec(),
            spares: Vec::new(),
            bitmap: Some(false),
            assume_clean: true,
            ..array
        };
        assert_eq!(
            create(&mirror).to_string(),
            "mdadm --create /dev/md0 --run --homehost=any --level=mirror --bitmap=none --assume-clean \
             --raid-devices=2 /dev/sda3 /dev/sdb3"
        );
    }

    #[test]
    fn a_uuid_is_written_as_mdadm_writes_it() {
        let sysfs = "01234567-89ab-cdef-0123-456789abcdef\n";
        let uuid = |metadata| uuid_in_sysfs(sysfs, metadata);
        assert_eq!(uuid("1.2\n").as_deref(), Some("01234567:89abcdef:01234567:89abcdef"));
        assert_eq!(uuid("0.90\n").as_deref(), Some("67452301:efcdab89:67452301:efcdab89"));
        assert_eq!(uuid_in_sysfs("", "1.2"), None);
        assert_eq!(uuid_in_sysfs("00000000-0000-0000-0000-000000000000\n", "1.2"), None);
        let recorded = "MD_LEVEL=raid1\nMD_DEVICES=2\nMD_METADATA=1.2\nMD_UUID=a:b:c:d\nMD_NAME=any:0\n";
        assert_eq!(parse_detail(recorded).as_deref(), Some("a:b:c:d"));
    }

    #[test]
    fn superblocks_of_all_kinds_are_read() {
        let recorded = "ARRAY /dev/md/0  level=raid1 metadata=1.2 num-devices=2 \
                        UUID=bfebcb22:6fcb2b6a:3f82f8a9:35eff0e5 name=any:0\n   devices=/dev/vdb1,/dev/vda1\n\
                        ARRAY /dev/md2 level=raid1 num-devices=2 UUID=4d487fbd:2fbb838a:0002fec5:13a5c7d1\n   \
                        devices=/dev/vdc1\n\
                        ARRAY /dev/md/1  level=raid5 metadata=1.2 num-devices=3 \
                        UUID=6469090e:893395d7:631b3863:feca3833 name=any:1\n   \
                        spares=1   devices=/dev/vdd2,/dev/vdc2,/dev/vdb2,/dev/vda2\n\
                        ARRAY metadata=ddf UUID=d86a4f83:83377523:2173b14e:32bae7ac\n   \
                        devices=/dev/vdf,/dev/vde,/dev/md/imsm0\n\
                        ARRAY /dev/md/vol0 container=d86a4f83:83377523:2173b14e:32bae7ac member=0 \
                        UUID=efeb8e6e:26453ac6:94f88d2e:9d19c00a\n\n";
        let arrays = parse_examine_scan(recorded);
        let [mirror, old, raid5, container, volume] = arrays.as_slice() else { panic!("{arrays:?}") };
        assert_eq!(mirror.members, ["/dev/vdb1", "/dev/vda1"]);
        assert_eq!((mirror.level.as_deref(), mirror.metadata.as_deref()), (Some("raid1"), Some("1.2")));
        assert_eq!((old.metadata.as_deref(), old.raid_devices, old.members.len()), (None, 2, 1));
        assert_eq!((raid5.raid_devices, raid5.spares, raid5.members.len()), (3, 1, 4));
        assert_eq!((container.name.as_deref(), container.metadata.as_deref()), (None, Some("ddf")));
        assert_eq!(volume.container, Some((container.uuid.clone(), "0".into())));
        assert_eq!(volume.uuid, "efeb8e6e:26453ac6:94f88d2e:9d19c00a");
        assert!(parse_examine_scan("").is_empty());
    }
}
