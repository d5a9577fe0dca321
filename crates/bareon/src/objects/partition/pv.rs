//! LVM physical volumes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::objects::{Bytes, Mib};

/// What lvm reserves at the beginning of a device beside the metadata, as its data begins at whole MiB.
const HEAD: Mib = Mib(1);

/// A physical volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhysicalVolume {
    /// The device that it lies on.
    pub name: String,
    /// The size of each metadata area in MiB.
    #[serde(default = "default_size")]
    pub metadatasize: Mib,
    /// How many metadata areas it has: 0, 1 or 2.
    #[serde(default = "default_copies")]
    pub metadatacopies: u8,
    /// What lies on it stays.
    #[serde(default)]
    pub keep_data: bool,
}

impl PhysicalVolume {
    /// How much of a device of `size` is left for extents: the first metadata area lies behind the label, the second
    /// at the device's end. With `--dataalignment 1m` this is exact; `lvm.conf(5)` says where the areas lie.
    pub fn usable(&self, size: Bytes) -> Bytes {
        let areas = Mib(self.metadatasize.0.max(1).saturating_mul(u64::from(self.metadatacopies)));
        let whole = size.0 >> 20;
        Mib(whole.saturating_sub(HEAD.0).saturating_sub(areas.0)).bytes()
    }
}

fn default_size() -> Mib {
    Mib(16)
}

fn default_copies() -> u8 {
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `pvs -o pe_start,pv_size` of LVM 2.03 showed for devices of these sizes, in groups with extents of 4 MiB.
    #[test]
    fn the_usable_part_is_what_lvm_leaves() {
        for (size, metadatasize, metadatacopies, extents) in [
            (100, 28, 2, 10),
            (101, 28, 2, 11),
            (103, 1, 2, 25),
            (102, 1, 2, 24),
            (103, 5, 1, 24),
            (100, 16, 2, 16),
            (1024, 28, 1, 248),
            (5000, 28, 2, 1235),
            (100_000, 28, 2, 24985),
        ] {
            let pv = PhysicalVolume {
                name: "/dev/sda1".into(),
                metadatasize: Mib(metadatasize),
                metadatacopies,
                keep_data: false,
            };
            assert_eq!(
                pv.usable(Mib(size).bytes()).0 / (4 << 20),
                extents,
                "{size} {metadatasize} {metadatacopies}"
            );
        }
    }
}
