//! Disks, arrays, volume groups, what lies on them, and the images.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

use crate::drivers::bareon::text::{MD5, PARTITION_TYPE, SHA1, SHA256, SHA512, SIZE, SIZE_TEST, START};

/// A disk.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["match"]))]
pub struct Disk {
    /// The name by which an image of a whole disk means it, and what messages call it.
    pub name: Option<String>,
    /// Which disk of the machine it is: exactly one must be all of this. `bareon-provision hardware` shows them.
    #[serde(rename = "match")]
    pub by: Option<Match>,
    /// The kind of its partition table; `gpt` where not given.
    pub table: Option<Table>,
    /// Whether the machine boots from it: it gets the boot loader, and a BIOS boot partition and an EFI system
    /// partition unless it has them. Where no disk says so, those that `/` and `/boot` lie on.
    pub boot: Option<bool>,
    /// Its partitions, in their order on the disk. One that an image of a whole disk is written to has none here.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub partitions: Vec<Partition>,
}

/// What a disk of the machine must be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Match {
    /// Its serial number.
    pub serial: Option<String>,
    /// Its world wide name.
    pub wwn: Option<String>,
    /// One of its links, such as `/dev/disk/by-id/…`, or where it is plugged in, as in `/dev/disk/by-path`.
    pub path: Option<String>,
    /// Its model; `*` stands for any text.
    pub model: Option<String>,
    /// Its vendor; `*` stands for any text.
    pub vendor: Option<String>,
    /// The kernel's name, such as `sda`. It may be another one after the next boot.
    pub name: Option<String>,
    /// Its size, such as `>= 500GB` or `< 1TiB`.
    #[schemars(extend("format" = "size-test", "pattern" = SIZE_TEST))]
    pub size: Option<String>,
    /// Whether it rotates.
    pub rotational: Option<bool>,
}

/// The kind of a partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Table {
    /// GUID partition table.
    Gpt,
    /// The table in the master boot record, for firmware that knows no other.
    Mbr,
}

/// A partition.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["size"]))]
pub struct Partition {
    /// The name by which arrays, groups and images mean it.
    pub name: Option<String>,
    /// Its size: `20GiB`, `50%` of the disk, or `remaining` (once for each disk).
    #[schemars(extend("format" = "size", "pattern" = SIZE))]
    pub size: Option<String>,
    /// Where it begins, such as `1MiB`; after the one before it where not given.
    #[schemars(extend("format" = "start", "pattern" = START))]
    pub start: Option<String>,
    /// What it is for: `linux`, `efi`, `bios_boot`, `swap`, `raid`, `lvm`, `prep`, `msdata`, or a type GUID; by what
    /// lies on it where not given.
    #[serde(rename = "type")]
    #[schemars(extend("format" = "partition-type", "pattern" = PARTITION_TYPE))]
    pub kind: Option<String>,
    /// Further marks.
    #[serde(default)]
    pub flags: Vec<Flag>,
    /// Where it is mounted, such as `/srv`.
    pub mount: Option<String>,
    /// Its file system: `ext4`, `xfs`, `btrfs`, `ext3`, `ext2`, `vfat` or `swap`.
    pub format: Option<String>,
    /// Its file system, where there is more to say than `mount` and `format`.
    pub filesystem: Option<FileSystem>,
    /// Whether it stays, with what lies on it. It must be there as it is described here.
    pub preserve: Option<bool>,
}

/// A mark of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Flag {
    /// The active one in a master boot record.
    Boot,
    /// A BIOS may boot from it (GPT).
    LegacyBoot,
    /// Systems leave it alone (GPT).
    Hidden,
}

/// A file system, or swap space.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSystem {
    /// `ext4`, `xfs`, `btrfs`, `ext3`, `ext2`, `vfat` or `swap`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Where it is mounted, such as `/srv`; nothing: it is made and not mounted.
    pub mount: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// Further arguments of mkfs.
    pub options: Option<String>,
    /// The options in the installed system's fstab, such as `noatime,nofail`.
    pub mount_options: Option<String>,
    /// Whether it stays as it is, with what it lies on.
    pub preserve: Option<bool>,
}

/// An array of software RAID.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["name", "level", "members"]))]
pub struct Raid {
    /// The name by which groups and images mean it.
    pub name: Option<String>,
    /// The level: `raid0`, `raid1`, `raid4`, `raid5`, `raid6`, `raid10` or `linear`; the number alone will do.
    pub level: Option<Level>,
    /// The names of the partitions that it is made of.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub members: Vec<String>,
    /// The names of the partitions that stand in for one that fails.
    #[serde(default)]
    pub spares: Vec<String>,
    /// The version of its superblock: `0.90`, `1.0`, `1.1` or `1.2`; mdadm's choice where not given.
    pub metadata: Option<Metadata>,
    /// Where it is mounted, such as `/srv`.
    pub mount: Option<String>,
    /// Its file system: `ext4`, `xfs`, `btrfs`, `ext3`, `ext2`, `vfat` or `swap`.
    pub format: Option<String>,
    /// Its file system, where there is more to say than `mount` and `format`.
    pub filesystem: Option<FileSystem>,
    /// Whether it stays, with what lies on it. It must be there as it is described here.
    pub preserve: Option<bool>,
}

/// A RAID level as a text or a number.
#[derive(Debug)]
pub struct Level(pub String);

/// A version of md's superblock as a text or a number.
#[derive(Debug)]
pub struct Metadata(pub String);

macro_rules! text_or_number {
    ($name:ident, $known:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = Value::deserialize(deserializer)?;
                let known: [(&str, Value); _] = $known;
                let found = known.iter().find(|(text, number)| value == *text || value == *number);
                found.map(|(text, _)| Self((*text).to_owned())).ok_or_else(|| D::Error::custom("unknown"))
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let known: [(&str, Value); _] = $known;
                let texts = known.iter().map(|(text, _)| Value::from(*text));
                let numbers = known.iter().filter(|(_, number)| number.is_number());
                let all: Vec<_> = texts.chain(numbers.map(|(_, number)| number.clone())).collect();
                schemars::json_schema!({"enum": all})
            }
        }
    };
}

text_or_number!(
    Level,
    [
        ("raid0", 0.into()),
        ("raid1", 1.into()),
        ("raid4", 4.into()),
        ("raid5", 5.into()),
        ("raid6", 6.into()),
        ("raid10", 10.into()),
        ("linear", "linear".into()),
    ]
);

text_or_number!(
    Metadata,
    [("0.90", 0.9.into()), ("1.0", 1.0.into()), ("1.1", 1.1.into()), ("1.2", 1.2.into())]
);

/// A volume group.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["name", "members"]))]
pub struct Group {
    /// Its name.
    pub name: Option<String>,
    /// The names of the partitions and arrays that it is made of.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub members: Vec<String>,
    /// Its logical volumes.
    #[serde(default)]
    pub logical_volumes: Vec<LogicalVolume>,
    /// Whether it stays, with all its volumes. Where some of them stay and others do not, preserve those.
    pub preserve: Option<bool>,
}

/// A logical volume.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["name", "size"]))]
pub struct LogicalVolume {
    /// Its name. Images mean it by its group's name, a slash, and this.
    pub name: Option<String>,
    /// Its size: `20GiB`, `50%` of the group, or `remaining` (once for each group). It is rounded up to whole extents of
    /// 4 MiB.
    #[schemars(extend("format" = "size", "pattern" = SIZE))]
    pub size: Option<String>,
    /// Where it is mounted, such as `/srv`.
    pub mount: Option<String>,
    /// Its file system: `ext4`, `xfs`, `btrfs`, `ext3`, `ext2`, `vfat` or `swap`.
    pub format: Option<String>,
    /// Its file system, where there is more to say than `mount` and `format`.
    pub filesystem: Option<FileSystem>,
    /// Whether it stays, with what lies on it. It must be there as it is described here.
    pub preserve: Option<bool>,
}

/// An image.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["target", "url"]))]
pub struct Image {
    /// Where it is written to: a mount point such as `/`, the name of a partition or an array, `group/volume`, or the
    /// name of a disk.
    pub target: Option<String>,
    /// Where it is fetched from: `http://…`, `https://…`, `tftp://…`, `oci://…`, `file:///…` or a path.
    #[schemars(extend("format" = "address"))]
    pub url: Option<String>,
    /// Where else it lies: each in turn takes over where the one before gave up.
    #[serde(default)]
    #[schemars(extend("items" = {"type": "string", "format": "address"}))]
    pub mirrors: Vec<String>,
    /// What it is of: a file system, as the target's where not given; `disk`, a whole one; `tar`, files that are unpacked
    /// into the target's file system; `qcow2`, a disk of QEMU that stands alone, for a partition or a disk: its `raw_size`
    /// and `raw_` sums are those of the data in it.
    pub format: Option<String>,
    /// Whether the last partition of a whole disk, and its file system, grows to the disk's end.
    pub grow: Option<bool>,
    /// How it is packed: `gzip`, `zstd`, `xz`, `bzip2`, `lz4` or `raw`; as the first bytes of the file tell where not
    /// given, or `auto`.
    pub container: Option<String>,
    /// Its size unpacked, in bytes.
    #[schemars(range(min = 1))]
    pub raw_size: Option<u64>,
    /// The SHA-256 sum of the unpacked data.
    #[schemars(extend("format" = "sha256", "pattern" = SHA256))]
    pub raw_sha256: Option<String>,
    /// The SHA-512 sum of the unpacked data.
    #[schemars(extend("format" = "sha512", "pattern" = SHA512))]
    pub raw_sha512: Option<String>,
    /// The BLAKE3 sum of the unpacked data.
    #[schemars(extend("format" = "blake3", "pattern" = SHA256))]
    pub raw_blake3: Option<String>,
    /// The SHA-1 sum of the unpacked data.
    #[schemars(extend("format" = "sha1", "pattern" = SHA1))]
    pub raw_sha1: Option<String>,
    /// The MD5 sum of the unpacked data.
    #[schemars(extend("format" = "md5", "pattern" = MD5))]
    pub raw_md5: Option<String>,
    /// The SHA-256 sum of the file as it is fetched: what `sha256sum image.img.gz` prints.
    #[schemars(extend("format" = "sha256", "pattern" = SHA256))]
    pub container_sha256: Option<String>,
    /// The SHA-512 sum of the file as it is fetched.
    #[schemars(extend("format" = "sha512", "pattern" = SHA512))]
    pub container_sha512: Option<String>,
    /// The BLAKE3 sum of the file as it is fetched.
    #[schemars(extend("format" = "blake3", "pattern" = SHA256))]
    pub container_blake3: Option<String>,
    /// The SHA-1 sum of the file as it is fetched.
    #[schemars(extend("format" = "sha1", "pattern" = SHA1))]
    pub container_sha1: Option<String>,
    /// The MD5 sum of the file as it is fetched.
    #[schemars(extend("format" = "md5", "pattern" = MD5))]
    pub container_md5: Option<String>,
    /// The SHA-256 sum of the chunk index beside the image, `<url>.bidx`: with it the image is fetched in pieces, many at
    /// once, and only those that the target lacks.
    #[schemars(extend("format" = "sha256", "pattern" = SHA256))]
    pub index_sha256: Option<String>,
}

/// What a file system may lie on.
pub trait Holds {
    /// Its short form: mount point and type.
    fn short(&self) -> (Option<&str>, Option<&str>);
    /// Its long form.
    fn filesystem(&self) -> Option<&FileSystem>;
    /// Whether this stays.
    fn preserve(&self) -> Option<bool>;

    /// Where it is mounted, in whichever form that is written.
    fn mount(&self) -> Option<&str> {
        self.short().0.or_else(|| self.filesystem()?.mount.as_deref())
    }

    /// Its type, in whichever form that is written.
    fn format(&self) -> Option<&str> {
        self.short().1.or_else(|| self.filesystem()?.kind.as_deref())
    }

    /// Whether a file system is to lie there at all.
    fn is_formatted(&self) -> bool {
        self.short() != (None, None) || self.filesystem().is_some()
    }
}

macro_rules! holds {
    ($($name:ident),+) => {$(
        impl Holds for $name {
            fn short(&self) -> (Option<&str>, Option<&str>) {
                (self.mount.as_deref(), self.format.as_deref())
            }

            fn filesystem(&self) -> Option<&FileSystem> {
                self.filesystem.as_ref()
            }

            fn preserve(&self) -> Option<bool> {
                self.preserve
            }
        }
    )+};
}

holds!(Partition, Raid, LogicalVolume);
