//! Software RAID.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::objects::Bytes;

/// The size of the pieces that data is striped in: mdadm's own choice since 3.1.
const CHUNK: u64 = 512 << 10;

/// An md array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultipleDevice {
    /// The device node, such as `/dev/md0`.
    pub name: String,
    /// The level as mdadm takes it: `mirror`, `raid1`, `1`, …
    #[serde(deserialize_with = "super::parted::text")]
    #[schemars(with = "String")]
    pub level: String,
    /// The member devices.
    #[serde(default)]
    pub devices: Vec<String>,
    /// The spare devices.
    #[serde(default)]
    pub spares: Vec<String>,
    /// What lies on it stays.
    #[serde(default)]
    pub keep_data: bool,
    /// The version of the superblock: `default`, `0.90`, `1.0`, `1.1` or `1.2`.
    #[serde(default = "default_metadata")]
    pub metadata: String,
}

fn default_metadata() -> String {
    "default".into()
}

/// How an array spreads data over its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// One member after the other.
    Linear,
    /// Striped, without redundancy.
    Raid0,
    /// Mirrored.
    Raid1,
    /// Striped, with parity on one member.
    Raid4,
    /// Striped, with parity over all members.
    Raid5,
    /// Striped, with double parity over all members.
    Raid6,
    /// Striped over mirrors.
    Raid10,
}

impl Level {
    /// The level by a name that mdadm takes; nothing for others.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "linear" => Self::Linear,
            "0" | "raid0" | "stripe" => Self::Raid0,
            "1" | "raid1" | "mirror" => Self::Raid1,
            "4" | "raid4" => Self::Raid4,
            "5" | "raid5" => Self::Raid5,
            "6" | "raid6" => Self::Raid6,
            "10" | "raid10" => Self::Raid10,
            _ => return None,
        })
    }

    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Raid0 => "raid0",
            Self::Raid1 => "raid1",
            Self::Raid4 => "raid4",
            Self::Raid5 => "raid5",
            Self::Raid6 => "raid6",
            Self::Raid10 => "raid10",
        }
    }

    /// How many members an array of this level has at least. A mirror of one is mdadm's way to add the other later.
    pub const fn min_members(self) -> usize {
        match self {
            Self::Linear | Self::Raid0 | Self::Raid1 => 1,
            Self::Raid4 | Self::Raid5 | Self::Raid10 => 2,
            Self::Raid6 => 4,
        }
    }

    /// Whether it survives the loss of a member, so that it can have spares and a bitmap.
    pub const fn redundant(self) -> bool {
        !matches!(self, Self::Linear | Self::Raid0)
    }

    /// Whether its members need not be brought in step when it is made: what was never written is never read, and
    /// no parity is computed from it.
    pub const fn mirrors_only(self) -> bool {
        matches!(self, Self::Raid1 | Self::Raid10)
    }
}

impl MultipleDevice {
    /// Its level; nothing for one that is not known.
    pub fn level(&self) -> Option<Level> {
        Level::parse(&self.level)
    }

    /// The version of its superblock; nothing where mdadm chooses.
    pub fn metadata(&self) -> Option<&str> {
        Some(self.metadata.as_str()).filter(|metadata| !["default", ""].contains(metadata))
    }

    /// How large it is at least, of members of these sizes; nothing for a level that is not known.
    ///
    /// mdadm keeps room on each member for the superblock, the bitmap and, before the data, for a later change of
    /// shape: a thousandth of the member, 128 MiB at most.
    pub fn size(&self, members: &[Bytes]) -> Option<Bytes> {
        let level = self.level()?;
        let data = |member: &Bytes| {
            let overhead = match self.metadata() {
                Some("0.90" | "0") => 128 << 10,
                Some("1.0") => 1 << 20,
                _ => (2 << 20) + (member.0 / 1024).clamp(1 << 20, 128 << 20),
            };
            let room = member.0.saturating_sub(overhead);
            if level == Level::Raid1 { room } else { room / CHUNK * CHUNK }
        };
        let count = members.len() as u64;
        let smallest = members.iter().map(data).min()?;
        Some(Bytes(match level {
            Level::Linear | Level::Raid0 => members.iter().map(data).sum(),
            Level::Raid1 => smallest,
            Level::Raid4 | Level::Raid5 => smallest.saturating_mul(count.saturating_sub(1)),
            Level::Raid6 => smallest.saturating_mul(count.saturating_sub(2)),
            Level::Raid10 => smallest.saturating_mul(count) / 2 / CHUNK * CHUNK,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_have_the_names_that_mdadm_takes() {
        for (name, level) in [("mirror", Level::Raid1), ("10", Level::Raid10), ("RAID5", Level::Raid5)] {
            assert_eq!(Level::parse(name), Some(level));
            assert_eq!(Level::parse(level.name()), Some(level));
        }
        assert_eq!(Level::parse("multipath"), None);
    }

    /// An array is never smaller than it is said to be: sizes in KiB that mdadm 4.2 gave to arrays of members of
    /// 1 GiB and of 300,000 MiB.
    #[test]
    fn an_array_has_at_least_the_size_that_is_computed() {
        let (small, large) = (Bytes(1 << 30), Bytes(300_000 << 20));
        for (level, metadata, members, member, shown_kib) in [
            ("raid1", "1.2", 2, small, 1_046_528),
            ("raid1", "1.0", 2, small, 1_048_512),
            ("raid0", "default", 3, small, 3_139_584),
            ("raid4", "1.2", 3, small, 2_093_056),
            ("raid5", "1.2", 3, small, 2_093_056),
            ("raid6", "1.2", 4, small, 2_093_056),
            ("raid10", "1.2", 4, small, 2_093_056),
            ("raid10", "1.2", 3, small, 1_569_792),
            ("raid1", "1.2", 2, large, 307_067_904),
            ("raid1", "0.90", 2, large, 307_199_936),
            ("raid5", "0.90", 3, large, 614_398_976),
            ("raid5", "1.0", 3, large, 614_398_976),
            ("raid10", "1.1", 3, large, 460_601_856),
            ("linear", "1.2", 3, large, 921_203_712),
        ] {
            let array = MultipleDevice {
                name: "/dev/md0".into(),
                level: level.into(),
                devices: Vec::new(),
                spares: Vec::new(),
                keep_data: false,
                metadata: metadata.into(),
            };
            let size = array.size(&vec![member; members]).unwrap().0 >> 10;
            assert!(
                size <= shown_kib && size + 12 * 1024 >= shown_kib,
                "{level} {metadata}: {size} {shown_kib}"
            );
        }
    }
}
