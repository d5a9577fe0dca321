//! Partition tables and file systems from the partition scheme: MiB become sectors, uses become types.

use bareon_host::{
    mkfs::FsType,
    sfdisk::{self, Table, TablePartition},
};

use super::keep;
use crate::{
    drivers::Deployment,
    hardware::Machine,
    objects::{
        Mib, PartitionScheme,
        partition::{FileSystem, Kept, Label, Parted, Partition, PartitionType},
    },
    steps::{
        bootloader::Firmware,
        partitioning::{LayOutDisk, MakeFs},
    },
};

/// Type GUIDs of the UEFI specification (chapter 5.3) and of the Linux and GRUB documentation.
mod guid {
    pub use crate::objects::partition::{BIOS_BOOT_GUID as BIOS_BOOT, ESP_GUID as EFI_SYSTEM};

    pub const LINUX: &str = "0FC63DAF-8483-4772-8E79-3D69D8477DE4";
    pub const LVM: &str = "E6D6D379-F507-44C2-A23C-238F2A3DF928";
    pub const MICROSOFT_BASIC_DATA: &str = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7";
    pub const MICROSOFT_RESERVED: &str = "E3C9E316-0B5C-4DB8-817D-F92DF00215AE";
    pub const PREP: &str = "9E1A2D38-C612-4316-AA26-8B49521E5A8B";
    pub const RAID: &str = "A19D880F-05FC-4D3B-A006-743F0F84911E";
    pub const SWAP: &str = "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F";
}

/// What a flag by parted's name is on a GPT.
pub(super) enum Flag {
    /// A type GUID.
    Type(&'static str),
    /// An attribute, by sfdisk's name.
    Attribute(&'static str),
}

/// The meaning of a flag; nothing for one that a GPT does not have.
pub(super) fn flag(name: &str) -> Option<Flag> {
    Some(match name {
        "bios_grub" => Flag::Type(guid::BIOS_BOOT),
        // On a GPT, parted's `boot` is another name of `esp`.
        "boot" | "esp" => Flag::Type(guid::EFI_SYSTEM),
        "lvm" => Flag::Type(guid::LVM),
        "msftdata" => Flag::Type(guid::MICROSOFT_BASIC_DATA),
        "msftres" => Flag::Type(guid::MICROSOFT_RESERVED),
        "prep" => Flag::Type(guid::PREP),
        "raid" => Flag::Type(guid::RAID),
        "swap" => Flag::Type(guid::SWAP),
        "legacy_boot" => Flag::Attribute("LegacyBIOSBootable"),
        "hidden" => Flag::Attribute("RequiredPartition"),
        _ => return None,
    })
}

/// The numbers by which a master boot record knows types, in hexadecimal.
mod number {
    pub const EFI_SYSTEM: &str = "ef";
    pub const EXTENDED: &str = "f";
    pub const LINUX: &str = "83";
    pub const LVM: &str = "8e";
    pub const PREP: &str = "41";
    pub const RAID: &str = "fd";
    pub const SWAP: &str = "82";
}

/// What a flag by parted's name is in a master boot record.
pub(super) enum DosFlag {
    /// A type.
    Type(&'static str),
    /// A bit of its own (`boot`), or what is the rule today (`lba`).
    Other,
}

/// The meaning of a flag; nothing for one that a master boot record does not have.
pub(super) fn dos_flag(name: &str) -> Option<DosFlag> {
    Some(match name {
        "boot" | "lba" => DosFlag::Other,
        "esp" => DosFlag::Type(number::EFI_SYSTEM),
        "lvm" => DosFlag::Type(number::LVM),
        "prep" => DosFlag::Type(number::PREP),
        "raid" => DosFlag::Type(number::RAID),
        "swap" => DosFlag::Type(number::SWAP),
        _ => return None,
    })
}

/// The disks that get a new table, with what is made on them. Disks that the machine does not have are left out: they
/// are refused.
///
/// Where partitions of a disk are kept, its table is changed around them; where nothing changes it is left alone.
pub(super) fn disks(
    deployment: &Deployment,
    machine: &Machine,
    firmware: Firmware,
    kept: &Kept,
) -> Vec<LayOutDisk> {
    let scheme = &deployment.partition_scheme;
    let imaged = |device: &str| deployment.image_scheme.iter().any(|image| image.target_device == device);
    scheme
        .parteds
        .iter()
        .filter(|parted| !imaged(&parted.name))
        .filter_map(|parted| {
            let sector = machine.device(&parted.name)?.sector_size().0;
            // Where the input says what the EFI system partition holds, that alone is made there.
            let described = |device: &str| scheme.fss.iter().any(|fs| fs.device == device);
            let is_fat = |device: &str| {
                machine.contents.iter().any(|on| on.device == device && on.kind.as_deref() == Some("vfat"))
            };
            let stays = |device: &str| kept.data(device) || kept.device(device) && is_fat(device);
            let esps = esps(parted, firmware)
                .filter(|partition| !described(&partition.name) && !stays(&partition.name))
                .map(|partition| esp_fs(partition, sector));
            let file_systems = scheme
                .fss
                .iter()
                .filter(|fs| parted.partitions.iter().any(|partition| partition.name == fs.device))
                .filter(|fs| !imaged(&fs.device) && !kept.data(&fs.device))
                .filter_map(make_fs);
            let mut table = table(parted, scheme, sector, firmware);
            let change = keep::change(deployment, parted, machine, kept);
            if change.is_some() {
                table.partitions.retain(|entry| !kept.device(&parted.partition_name(entry.number)));
            }
            Some(LayOutDisk {
                table,
                has_partitions: machine.has_partitions(&parted.name),
                change,
                file_systems: esps.chain(file_systems).collect(),
            })
        })
        .filter(|disk| disk.change.is_none() || !disk.commands().is_empty())
        .collect()
}

/// What laying out a disk comes to, for people.
pub(super) fn what(disk: &LayOutDisk) -> String {
    let LayOutDisk { table, change, file_systems, .. } = disk;
    let (name, count, made) = (&table.disk, table.partitions.len(), file_systems.len());
    match change {
        None => format!("partition {name} ({count} partitions), make {made} file systems"),
        Some(gone) if gone.is_empty() && count == 0 => format!("make {made} file systems on {name}"),
        Some(gone) => format!(
            "change the partitions of {name} ({} go, {count} come, the others stay), make {made} file systems",
            gone.len()
        ),
    }
}

/// The EFI system partitions of a disk that are made as such: by UEFI alone.
pub(super) fn esps(parted: &Parted, firmware: Firmware) -> impl Iterator<Item = &Partition> {
    let uefi = firmware != Firmware::Bios && parted.install_bootloader;
    parted.partitions.iter().filter(move |partition| partition.esp && uefi)
}

/// The fewest clusters that a FAT32 has: firmware takes a file system with fewer for FAT16, whatever is written in it.
const FAT32_CLUSTERS: u64 = 65525;

fn esp_fs(partition: &Partition, sector: u64) -> MakeFs {
    // Of its sectors some are reserved, and two tables have four bytes for each cluster of at least one sector.
    let sectors = (partition.size().0 << 20) / sector;
    let clusters = sectors.saturating_sub(64) * sector / (sector + 8);
    // FAT32 wherever it is one: firmware need not read other ones from a fixed disk, but reads them. With sectors of
    // 4096 bytes that takes 257 MiB.
    let options = if clusters >= FAT32_CLUSTERS { vec!["-F".into(), "32".into()] } else { Vec::new() };
    MakeFs { device: partition.name.clone(), fs: FsType::Vfat, label: "ESP".into(), options }
}

pub(super) fn make_fs(fs: &FileSystem) -> Option<MakeFs> {
    Some(MakeFs {
        device: fs.device.clone(),
        fs: fs.fs_type.parse().ok()?,
        label: fs.fs_label.clone(),
        options: fs.fs_options.split_whitespace().map(ToOwned::to_owned).collect(),
    })
}

/// The table of a disk with logical sectors of `sector` bytes.
fn table(parted: &Parted, scheme: &PartitionScheme, sector: u64, firmware: Firmware) -> Table {
    let gpt = parted.label == Label::Gpt;
    let attribute = |name: &String| match flag(name) {
        Some(Flag::Attribute(attribute)) if gpt => Some(attribute),
        _ => None,
    };
    let entry = |partition: &Partition| {
        let (begin, end) = (partition.begin.bytes().0 / sector, partition.end.bytes().0 / sector);
        TablePartition {
            number: partition.count,
            start: begin,
            size: end.saturating_sub(begin),
            kind: if gpt { type_guid(partition, scheme, firmware) } else { type_number(partition, scheme) },
            name: gpt_name(partition, scheme),
            attributes: partition.flags.iter().filter_map(attribute).collect(),
            bootable: !gpt && partition.flags.iter().any(|flag| flag == "boot"),
        }
    };
    let label =
        if gpt { sfdisk::Label::Gpt { first_lba: Mib(1).bytes().0 / sector } } else { sfdisk::Label::Dos };
    Table { disk: parted.name.clone(), label, partitions: parted.partitions.iter().map(entry).collect() }
}

/// What lies on a partition, as far as its type tells.
enum Use {
    Raid,
    Lvm,
    Swap,
    Other,
}

fn use_of(partition: &Partition, scheme: &PartitionScheme) -> Use {
    let name = &partition.name;
    if scheme.mds.iter().any(|md| md.devices.contains(name) || md.spares.contains(name)) {
        Use::Raid
    } else if scheme.pvs.iter().any(|pv| &pv.name == name) {
        Use::Lvm
    } else if scheme.fss.iter().any(|fs| &fs.device == name && fs.is_swap()) {
        Use::Swap
    } else {
        Use::Other
    }
}

/// The type in a master boot record: by kind, by flag, else by what lies on it.
fn type_number(partition: &Partition, scheme: &PartitionScheme) -> String {
    let by_use = || match use_of(partition, scheme) {
        Use::Raid => number::RAID,
        Use::Lvm => number::LVM,
        Use::Swap => number::SWAP,
        Use::Other if partition.esp => number::EFI_SYSTEM,
        Use::Other => number::LINUX,
    };
    let by_flag = || {
        partition.flags.iter().find_map(|name| match dos_flag(name) {
            Some(DosFlag::Type(number)) => Some(number),
            _ => None,
        })
    };
    let extended = partition.partition_type == PartitionType::Extended;
    if extended { number::EXTENDED } else { by_flag().unwrap_or_else(by_use) }.to_owned()
}

/// The type: as given, else by flag, else by what lies on it.
fn type_guid(partition: &Partition, scheme: &PartitionScheme, firmware: Firmware) -> String {
    let by_flag = partition.flags.iter().find_map(|name| match flag(name) {
        Some(Flag::Type(guid)) => Some(guid),
        _ => None,
    });
    if let Some(guid) = &partition.guid {
        return guid.to_uppercase();
    }
    let by_use = || match use_of(partition, scheme) {
        _ if partition.esp && firmware != Firmware::Bios => guid::EFI_SYSTEM,
        Use::Raid => guid::RAID,
        Use::Lvm => guid::LVM,
        Use::Swap => guid::SWAP,
        Use::Other => guid::LINUX,
    };
    by_flag.unwrap_or_else(by_use).to_owned()
}

/// A name that tells at a glance, in any tool, what a partition is for.
fn gpt_name(partition: &Partition, scheme: &PartitionScheme) -> String {
    let name = &partition.name;
    if partition.configdrive {
        "config drive".into()
    } else if partition.flags.iter().any(|flag| flag == "bios_grub") {
        "bios_grub".into()
    } else if partition.esp {
        "ESP".into()
    } else if let Some(mount) =
        scheme.fss.iter().find(|fs| &fs.device == name).and_then(|fs| fs.mount.as_ref())
    {
        mount.clone()
    } else if let Some(vg) = scheme.vgs.iter().find(|vg| vg.pvnames.contains(name)) {
        format!("vg {}", vg.name)
    } else if let Some(md) =
        scheme.mds.iter().find(|md| md.devices.contains(name) || md.spares.contains(name))
    {
        md.name.trim_start_matches("/dev/").into()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_esp_is_fat32_only_where_it_has_enough_clusters() {
        let is_32 = |end: u64, sector: u64| {
            let partition = json!({
                "name": "/dev/vda2", "count": 2, "device": "/dev/vda", "begin": 1, "end": end,
                "partition_type": "primary",
            });
            let fs = esp_fs(&serde_json::from_value(partition).unwrap(), sector);
            fs.options == ["-F", "32"]
        };
        assert!(is_32(201, 512) && is_32(65, 512) && is_32(513, 4096) && is_32(259, 4096));
        assert!(!is_32(201, 4096) && !is_32(257, 4096) && !is_32(33, 512));
    }
}
