//! A disk of a machine: a sparse file, and what the machine sees of it.

use std::{fs::File, path::PathBuf};

use super::process::{self, Result};

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// `/dev/vda`, …
    Virtio,
    /// `/dev/nvme0n1`, …
    Nvme,
    /// `/dev/sda`, …, all on one virtio-scsi adapter.
    Scsi,
}

/// A disk. What is not given when it is added to a machine may be set afterwards.
#[derive(Debug, Clone)]
pub struct Disk {
    /// The raw file.
    pub path: PathBuf,
    /// How it is attached.
    pub bus: Bus,
    /// Its serial number, by which the input document names it.
    pub serial: String,
    /// Its size in MiB.
    pub size_mib: u64,
    /// The size of its sectors in bytes, logical and physical: 512 or 4096.
    pub sector: u32,
    /// Its world wide name; only disks at [`Bus::Scsi`] have one.
    pub wwn: Option<u64>,
    /// The I/O size in bytes that it says it likes best, whole sectors; it says nothing where this is 0.
    pub optimal_io: u32,
}

impl Disk {
    /// The udev link below `/dev` that names this disk.
    pub fn link(&self) -> String {
        let serial = &self.serial;
        match (self.bus, self.wwn) {
            (Bus::Virtio, _) => format!("disk/by-id/virtio-{serial}"),
            (Bus::Nvme, _) => format!("disk/by-id/nvme-QEMU_NVMe_Ctrl_{serial}"),
            (Bus::Scsi, None) => format!("disk/by-id/scsi-0QEMU_QEMU_HARDDISK_{serial}"),
            (Bus::Scsi, Some(wwn)) => format!("disk/by-id/wwn-0x{wwn:016x}"),
        }
    }

    /// The SHA-256 of the whole disk, as hexadecimal digits.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn sha256(&self) -> Result<String> {
        process::output(process::command("sha256sum").stdin(File::open(&self.path)?))
    }

    /// QEMU's arguments for this disk, the `place`th of its machine, which `forgets` what is written or does not; the
    /// adapter of [`Bus::Scsi`] is called `scsi`.
    pub(super) fn arguments(&self, place: usize, forgets: bool) -> [String; 4] {
        let file = self.path.display();
        // A full host disk pauses the machine silently unless errors are reported to it.
        let drive = "if=none,format=raw,cache=unsafe,discard=unmap,werror=report,rerror=report";
        let snapshot = if forgets { "on" } else { "off" };
        let (sector, serial) = (self.sector, &self.serial);
        let device = match self.bus {
            Bus::Virtio => "virtio-blk-pci".into(),
            Bus::Nvme => "nvme".into(),
            Bus::Scsi => format!("scsi-hd,bus=scsi.0,scsi-id={place}"),
        };
        let wwn = self.wwn.filter(|_| self.bus == Bus::Scsi);
        let wwn = wwn.map_or_else(String::new, |wwn| format!(",wwn={wwn:#018x}"));
        let optimal = self.optimal_io;
        let device = format!(
            "{device},drive=disk{place},serial={serial},bootindex={},logical_block_size={sector},\
             physical_block_size={sector},opt_io_size={optimal}{wwn}",
            place + 1
        );
        [
            "-drive".into(),
            format!("{drive},snapshot={snapshot},id=disk{place},file={file}"),
            "-device".into(),
            device,
        ]
    }
}
