//! The audit: would this machine boot?
//!
//! It runs at the end of the boot loader's stage, while the installed system is still mounted, and on its own
//! (`audit-boot`), when it mounts the installed system read-only. It changes nothing: what it needs to know it reads
//! from files, from the disks' first sectors, from the kernel, and by one look of blkid(8) at all block devices.
//!
//! Nothing is taken over from what the steps before believe to have done. Each check is a function from facts to
//! [findings](Finding), in a file of its own:
//!
//! - [`boot_code`]: GRUB in the first sector of each boot disk, and what that one leads to
//! - [`esp`]: the EFI system partitions: their files, signatures under Secure Boot, all disks alike
//! - [`grub_cfg`]: file systems, kernels and initramfs that the boot loader's configuration names
//! - [`initramfs`]: what the initramfs holds
//! - [`fstab`]: what the installed system mounts, decrypts and assembles
//! - [`names`]: UUIDs, labels and groups that are there twice, on whatever disk of the machine
//! - [`console`]: whether the installed system talks where this one does
//! - [`nvram`]: the firmware's entries
//!
//! A finding is an error where the machine, or what is left of it when one of its boot disks is gone, would not boot;
//! a warning where it would boot in a way that nobody asked for.

pub mod boot_code;
pub mod console;
pub mod devices;
pub mod esp;
pub mod finding;
pub mod fstab;
pub mod grub_cfg;
pub mod initramfs;
pub mod names;
pub mod nvram;
pub mod running;
pub mod table;

mod look;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;

pub use finding::{Check, Finding, Severity, Unbootable};
pub use look::{AuditError, after, alone, commands};

use crate::steps::bootloader::{Boot, EspFiles, inroot::Root};
use devices::Devices;
use running::Running;

/// What a run does about errors that the audit of what it installed finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// It fails.
    #[default]
    Fail,
    /// It tells them.
    Warn,
    /// Nothing is audited.
    Off,
}

/// What the audit of a layout needs to know beside what the boot loader's step does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The disks that the input names: the only ones that the installed system may depend on.
    pub disks: BTreeSet<String>,
}

/// All that the checks look at.
pub struct Seen<'a> {
    /// What was installed.
    pub boot: &'a Boot,
    /// The layout and what is beside it.
    pub scope: &'a Scope,
    /// The installed system's files.
    pub root: &'a Root,
    /// What is in the EFI system partitions.
    pub esps: &'a [EspFiles],
    /// What lies on all block devices.
    pub devices: &'a Devices,
    /// The system that runs now.
    pub running: &'a Running,
}

impl Seen<'_> {
    /// What lies on the device that the installed system mounts at `mount`.
    fn mounted(&self, mount: &str) -> Option<&devices::Device> {
        let found = self.boot.mounts.iter().find(|one| one.mount == mount)?;
        self.devices.at(&found.device)
    }

    /// What holds `/boot`.
    fn boot_device(&self) -> Option<&devices::Device> {
        self.mounted("/boot").or_else(|| self.mounted("/"))
    }
}

/// All findings, the errors first.
pub fn findings(seen: &Seen<'_>) -> Vec<Finding> {
    let checks = [
        boot_code::check,
        esp::check,
        grub_cfg::check,
        fstab::check,
        names::check,
        console::check,
        nvram::check,
    ];
    let mut found: Vec<_> = checks.iter().flat_map(|check| check(seen)).collect();
    found.sort_by_key(|finding| finding.severity);
    found
}
