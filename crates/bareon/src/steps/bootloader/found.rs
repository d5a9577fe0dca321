//! What lies on the devices, read from them before anything is mounted.
//!
//! An image may hold another file system than the layout says: what was found is mounted and goes
//! into fstab.

use bareon_host::{Runner, blkid};

use super::{Boot, BootError, fstab};

/// What lies on the devices.
pub struct Found(Vec<(String, fstab::Entry, Option<String>)>);

impl Found {
    /// Asks each device, with blkid.
    ///
    /// # Errors
    /// When one holds nothing that can be mounted, or nothing that has a UUID.
    pub fn probe(host: &dyn Runner, boot: &Boot) -> Result<Self, BootError> {
        let mut found = Vec::new();
        for device in boot.devices() {
            let mount = boot.mount_point(device);
            let probed = blkid::probed(&host.run(&blkid::probe(device))?);
            if probed.ambivalent {
                return Err(BootError::Ambivalent { device: device.into() });
            }
            let place = || mount.clone().unwrap_or_else(|| "swap".into());
            let fs_type = probed
                .fs_type
                .ok_or_else(|| BootError::NoFileSystem { device: device.into(), mount: place() })?;
            let uuid = probed.uuid.ok_or_else(|| BootError::NoUuid { device: device.into() })?;
            found.push((device.to_owned(), fstab::Entry { uuid, mount, fs_type }, probed.partuuid));
        }
        Ok(Self(found))
    }

    /// The line of fstab for `device`.
    ///
    /// # Errors
    /// When it was not asked.
    pub fn entry(&self, device: &str) -> Result<&fstab::Entry, BootError> {
        let found = self.0.iter().find(|(name, ..)| name == device);
        found.map(|(_, entry, _)| entry).ok_or_else(|| BootError::NoUuid { device: device.into() })
    }

    /// The GUID of the partition `device`, in lower case.
    pub fn partuuid(&self, device: &str) -> Option<String> {
        let found = self.0.iter().find(|(name, ..)| name == device);
        found.and_then(|(_, _, partuuid)| partuuid.as_ref()).map(|guid| guid.to_lowercase())
    }

    /// The text of fstab: of several EFI system partitions, the first one only.
    pub fn fstab(&self) -> String {
        let mut entries: Vec<fstab::Entry> = Vec::new();
        for (_, entry, _) in &self.0 {
            if entry.mount.is_none() || !entries.iter().any(|other| other.mount == entry.mount) {
                entries.push(entry.clone());
            }
        }
        fstab::fstab(&entries)
    }
}
