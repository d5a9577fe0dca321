//! The boot loader: a written disk becomes a machine that boots.
//!
//! The file systems of the layout are mounted below one directory, as the installed system will see
//! them, and GRUB 2 *of the image* is configured and installed in a chroot there: a boot loader
//! must fit the system that it starts (its modules, its updates, its signatures), not the ramdisk.
//!
//! 1. [`target`]: what lies on the devices is asked (`blkid -p`), then they are mounted, each by a
//!    guard; whatever happens, also at SIGTERM, all is unmounted again.
//! 2. [`fstab`] and [`udev_rules`] are written, [`defaults`] puts the kernel parameters into
//!    `/etc/default/grub`. Every file goes through [`inroot`], which follows symbolic links as the
//!    installed system would, so that nothing is ever written outside of it.
//!    [`mdadm_conf`], [`lvm_conf`] and [`leftovers`] see to what names arrays, volume groups and devices.
//! 3. [`family`] finds out what the image brings: `grub-*` (Debian's family) or `grub2-*` (the RPM
//!    family), its modules, kernels and initramfs. What is missing is named with its package.
//! 4. BIOS: grub-install for every disk so marked. UEFI: [`efi`] fills each disk's EFI system
//!    partition, the removable fallback path too, and [`nvram`] keeps the firmware's entries. Disks
//!    with their own boot loader let a machine with a mirror boot when one of them is gone;
//!    [`esp_sync`] has the installed system keep them alike.
//! 5. `grub.cfg` is generated and read back by [`grub_cfg`]: it must find the root file system by
//!    UUID, as the device names of the ramdisk need not be those of the installed system. Images
//!    with an entry file for each kernel get theirs rewritten by [`bls`].
//!
//! The initramfs is the image's own where that is enough; see [`early`].

mod block;
pub mod bls;
pub mod defaults;
pub mod early;
pub mod efi;
pub mod error;
pub mod esp_files;
mod esp_sync;
pub mod family;
pub mod found;
pub mod fstab;
pub mod grub_cfg;
pub mod initramfs;
pub mod inroot;
pub mod leftovers;
pub mod legacy;
pub mod lvm_conf;
pub mod mdadm_conf;
pub mod modules;
pub mod nvram;
pub mod run;
mod settle;
pub mod storage;
pub mod target;
pub mod udev_rules;

pub use error::BootError;
pub use esp_files::{EspFile, EspFiles};
pub use run::{commands, run, run_then};
pub use storage::Storage;
pub use udev_rules::check_interfaces;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the machine starts its boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// From the disk's first sector and its `bios_grub` partition.
    Bios,
    /// From the EFI system partition.
    Uefi,
    /// Either.
    Both,
}

impl Firmware {
    /// Whether the BIOS boot loader is installed.
    pub fn bios(self) -> bool {
        self != Self::Uefi
    }

    /// Whether the UEFI boot loader is installed.
    pub fn uefi(self) -> bool {
        self != Self::Bios
    }
}

/// Where the installed system goes in the firmware's boot order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootOrder {
    /// The order stays; a new entry goes to its end, so that a machine that boots from the network
    /// first still does.
    #[default]
    Keep,
    /// Before all others.
    First,
    /// After all others.
    Last,
}

/// The family of the installed system, by the names of its GRUB programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// `grub-install`, `grub-mkconfig`, `/boot/grub`.
    Debian,
    /// `grub2-install`, `grub2-mkconfig`, `/boot/grub2`.
    Rpm,
}

/// A file system and where the installed system mounts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The device.
    pub device: String,
    /// The mount point, absolute.
    pub mount: String,
    /// The type in the layout; what is found on the device counts.
    pub fs_type: String,
    /// Whether an image was written to it, whose type may be another.
    pub image: bool,
    /// Its line in fstab.
    pub fstab: InFstab,
}

/// Swap space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// The device.
    pub device: String,
    /// Its line in fstab.
    pub fstab: InFstab,
}

/// How something stands in fstab.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum InFstab {
    /// With the usual options.
    #[default]
    Usual,
    /// With these options.
    Options(String),
    /// Not at all: the installed system does not mount it by itself.
    Absent,
}

/// The EFI system partition of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Esp {
    /// The partition's device.
    pub device: String,
    /// Its number in the table.
    pub number: u32,
}

/// A disk that gets the boot loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootDisk {
    /// The disk's device.
    pub disk: String,
    /// Its EFI system partition, where it has one.
    pub esp: Option<Esp>,
}

/// All that the boot loader's step needs to know; resolved, nothing is left to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The directory below which the installed system is mounted; made when missing.
    pub target: PathBuf,
    /// The file systems, in an order in which they can be mounted: `/` first. The EFI system
    /// partition need not be among them.
    pub mounts: Vec<Mount>,
    /// The swap spaces.
    pub swaps: Vec<Swap>,
    /// What all of that lies on beyond partitions.
    pub storage: Storage,
    /// The disks that get the boot loader.
    pub disks: Vec<BootDisk>,
    /// What is installed.
    pub firmware: Firmware,
    /// The place of the new entry in NVRAM.
    pub efi_boot_order: BootOrder,
    /// Whether the ramdisk was booted by UEFI, so that NVRAM can be written.
    pub efivars: bool,
    /// Parameters of the kernel's command line.
    pub kernel_params: String,
    /// 1 for GRUB legacy; else 2, and GRUB legacy where the image has no other.
    pub grub_version: u8,
    /// Which kernels GRUB legacy may boot.
    pub kernels: legacy::Kernels,
    /// How long GRUB waits, in seconds.
    pub grub_timeout: u32,
    /// Whether `udev_rules` are written.
    pub fix_udev_net_rules: bool,
    /// MAC address and name of each network interface.
    pub udev_rules: Vec<(String, String)>,
    /// Where udev's rules lie in the installed system.
    pub udev_rules_dir: PathBuf,
}

impl Boot {
    /// The disks that have an EFI system partition to fill.
    pub(crate) fn esps(&self) -> impl Iterator<Item = (&str, &Esp)> {
        let disks = self.disks.iter().filter(|_| self.firmware.uefi());
        disks.filter_map(|disk| Some((disk.disk.as_str(), disk.esp.as_ref()?)))
    }

    /// What is mounted for the whole step: the EFI system partitions are mounted in their turn.
    pub(crate) fn plain_mounts(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| !self.esps().any(|(_, esp)| esp.device == mount.device))
    }

    /// All devices, each once.
    fn devices(&self) -> impl Iterator<Item = &str> {
        let esps = self.esps().map(|(_, esp)| esp.device.as_str());
        self.plain_mounts()
            .map(|mount| mount.device.as_str())
            .chain(esps)
            .chain(self.swaps.iter().map(|swap| swap.device.as_str()))
    }

    /// The file system of `/boot`, where it has one of its own.
    fn own_boot(&self) -> Option<&Mount> {
        self.mounts.iter().find(|mount| mount.mount == "/boot")
    }

    /// What the layout wants of the line of `device` in fstab.
    fn in_fstab(&self, device: &str) -> InFstab {
        let mount = self.mounts.iter().find(|mount| mount.device == device).map(|mount| &mount.fstab);
        let swap = || self.swaps.iter().find(|swap| swap.device == device).map(|swap| &swap.fstab);
        mount.or_else(swap).cloned().unwrap_or_default()
    }

    /// Where the installed system mounts `device`; nowhere for swap.
    fn mount_point(&self, device: &str) -> Option<String> {
        let mount = self.mounts.iter().find(|mount| mount.device == device).map(|mount| mount.mount.clone());
        mount.or_else(|| self.esps().any(|(_, esp)| esp.device == device).then(|| fstab::ESP.to_owned()))
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BootReport {
    /// The family of the installed system.
    pub family: Family,
    /// The versions of its kernels that have an initramfs, the oldest first.
    pub kernels: Vec<String>,
    /// The disks and EFI system partitions that the boot loader was installed onto.
    pub installed: Vec<String>,
    /// The new `/etc/fstab`.
    pub fstab: String,
    /// The entries in NVRAM, `Boot0007 debian`.
    pub nvram: Vec<String>,
    /// What is worth knowing though it is no failure.
    pub warnings: Vec<String>,
}
