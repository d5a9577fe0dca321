//! Partition tables and file systems from the partition scheme: MiB become sectors, uses become type GUIDs.

use bareon_host::{
    mkfs::FsType,
    sfdisk::{self, Table, TablePartition},
};

use crate::{
    drivers::Deployment,
    hardware::Machine,
    objects::{
        Mib, PartitionScheme,
        partition::{FileSystem, Label, Parted, Partition},
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

/// The disks that get a new GPT, with what is made on them. Disks that the machine does not have, and
/// other tables, are left out: they are refused.
pub(super) fn disks(deployment: &Deployment, machine: &Machine, firmware: Firmware) -> Vec<LayOutDisk> {
    let scheme = &deployment.partition_scheme;
    let imaged = |device: &str| deployment.image_scheme.iter().any(|image| image.target_device == device);
    scheme
        .parteds
        .iter()
        .filter(|parted| parted.label == Label::Gpt)
        .filter_map(|parted| {
            let sector = machine.device(&parted.name)?.sector_size().0;
            // Where the input says what the EFI system partition holds, that alone is made there.
            let described = |device: &str| scheme.fss.iter().any(|fs| fs.device == device);
            let esps = esps(parted, firmware)
                .filter(|partition| !described(&partition.name))
                .map(|partition| esp_fs(&partition.name));
            let file_systems = scheme
                .fss
                .iter()
                .filter(|fs| parted.partitions.iter().any(|partition| partition.name == fs.device))
                .filter(|fs| !imaged(&fs.device))
                .filter_map(make_fs);
            Some(LayOutDisk {
                table: gpt(parted, scheme, sector, firmware),
                has_partitions: machine.has_partitions(&parted.name),
                change: None,
                file_systems: esps.chain(file_systems).collect(),
            })
        })
        .collect()
}

/// The EFI system partitions of a disk that are made as such: by UEFI alone.
pub(super) fn esps(parted: &Parted, firmware: Firmware) -> impl Iterator<Item = &Partition> {
    let uefi = firmware != Firmware::Bios && parted.install_bootloader;
    parted.partitions.iter().filter(move |partition| partition.esp && uefi)
}

fn esp_fs(device: &str) -> MakeFs {
    // FAT32 even where the partition is small: firmware need not read other ones from a fixed disk.
    MakeFs {
        device: device.into(),
        fs: FsType::Vfat,
        label: "ESP".into(),
        options: vec!["-F".into(), "32".into()],
    }
}

fn make_fs(fs: &FileSystem) -> Option<MakeFs> {
    Some(MakeFs {
        device: fs.device.clone(),
        fs: fs.fs_type.parse().ok()?,
        label: fs.fs_label.clone(),
        options: fs.fs_options.split_whitespace().map(ToOwned::to_owned).collect(),
    })
}

/// The table of a disk with logical sectors of `sector` bytes.
fn gpt(parted: &Parted, scheme: &PartitionScheme, sector: u64, firmware: Firmware) -> Table {
    let partitions = parted
        .partitions
        .iter()
        .map(|partition| {
            let (begin, end) = (partition.begin.bytes().0 / sector, partition.end.bytes().0 / sector);
            TablePartition {
                number: partition.count,
                start: begin,
                size: end.saturating_sub(begin),
                kind: type_guid(partition, scheme, firmware),
                bootable: false,
                name: gpt_name(partition, scheme),
                attributes: partition
                    .flags
                    .iter()
                    .filter_map(|name| match flag(name) {
                        Some(Flag::Attribute(attribute)) => Some(attribute),
                        _ => None,
                    })
                    .collect(),
            }
        })
        .collect();
    let label = sfdisk::Label::Gpt { first_lba: Mib(1).bytes().0 / sector };
    Table { disk: parted.name.clone(), label, partitions }
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
    let name = &partition.name;
    let by_use = || {
        if partition.esp && firmware != Firmware::Bios {
            guid::EFI_SYSTEM
        } else if scheme.mds.iter().any(|md| md.devices.contains(name) || md.spares.contains(name)) {
            guid::RAID
        } else if scheme.pvs.iter().any(|pv| &pv.name == name) {
            guid::LVM
        } else if scheme.fss.iter().any(|fs| &fs.device == name && fs.is_swap()) {
            guid::SWAP
        } else {
            guid::LINUX
        }
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
