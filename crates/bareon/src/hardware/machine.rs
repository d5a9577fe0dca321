//! The machine as a planner sees it: its disks, what lies on them, who uses them, its firmware.

use std::{io, path::Path};

use bareon_host::{
    CommandError, Runner,
    lock::{self, LockError},
    udevadm,
};

use super::{
    BlockDevice,
    content::{self, Content},
    scan,
    usage::{Kernel, Usage, Use},
};

/// A machine, this one or one that was recorded.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Its disks.
    pub devices: Vec<BlockDevice>,
    /// What lies on them; nothing is known of a recorded machine.
    pub contents: Vec<Content>,
    /// Whether it was booted by UEFI.
    pub uefi: bool,
    usage: Option<Usage>,
}

/// A machine that cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A command failed.
    #[error("looking at the block devices of this machine")]
    Command(#[from] CommandError),
    /// The kernel's views cannot be read.
    #[error("reading what is mounted on this machine; is /proc there?")]
    Mounts(#[source] io::Error),
}

impl Machine {
    /// A machine of which only the disks are known.
    pub fn recorded(devices: Vec<BlockDevice>) -> Self {
        Self { devices, ..Self::default() }
    }

    /// This machine.
    ///
    /// # Errors
    /// When udev's database or `/proc` cannot be read.
    pub fn look(host: &dyn Runner, kernel: &Kernel) -> Result<Self, MachineError> {
        let known = udevadm::parse_export_db(&host.run(&udevadm::export_db())?.stdout);
        let devices = scan::disks(kernel, &known);
        let contents = content::contents(host, kernel, &known, &devices)?;
        let usage = Usage::read(kernel).map_err(MachineError::Mounts)?;
        let uefi = kernel.sys.join("firmware/efi").is_dir();
        Ok(Self { devices, contents, uefi, usage: Some(usage) })
    }

    /// Whether this is the machine that the program runs on, not one that was recorded.
    pub fn is_this(&self) -> bool {
        self.usage.is_some()
    }

    /// Looks again at who uses the disks: time has passed.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn look_again(&mut self, kernel: &Kernel) -> Result<(), MachineError> {
        if self.is_this() {
            self.usage = Some(Usage::read(kernel).map_err(MachineError::Mounts)?);
        }
        Ok(())
    }

    /// The disk with that device node.
    pub fn device(&self, node: &str) -> Option<&BlockDevice> {
        self.devices.iter().find(|device| device.device == node)
    }

    /// Whether the kernel knows partitions of the disk.
    pub fn has_partitions(&self, disk: &str) -> bool {
        self.contents.iter().any(|content| content.disk == disk && content.device != disk)
    }

    /// Who uses the disk; nobody is known of a recorded machine.
    pub fn uses(&self, disk: &str) -> Vec<Use> {
        let Some(usage) = &self.usage else { return Vec::new() };
        let uses = usage.of(disk);
        match lock::free(Path::new(disk)) {
            Err(LockError::Claimed { .. }) if uses.is_empty() => vec![Use {
                device: disk.into(),
                by: "somebody has it, or a partition of it, for himself, and the kernel does not name him"
                    .into(),
                remedy: format!("`lsblk {disk}`, `fuser -v {disk}` may show who; end that use"),
            }],
            _ => uses,
        }
    }
}
