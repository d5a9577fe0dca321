//! How the disks are laid out: tables, arrays, volume groups, file systems.

mod fs;
mod kept;
mod lv;
mod md;
mod parted;
mod pv;
mod scheme;
mod vg;

pub use fs::FileSystem;
pub use kept::Kept;
pub use lv::LogicalVolume;
pub use md::{Level, MultipleDevice};
pub use parted::{
    BIOS_BOOT_GUID, ESP_GUID, Label, Parted, Partition, PartitionType, is_mapped, partition_name,
};
pub use pv::PhysicalVolume;
pub use scheme::PartitionScheme;
pub use vg::VolumeGroup;
