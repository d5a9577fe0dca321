//! What lies on the devices, read from them before anything is mounted.
//!
//! An image may hold another file system than the layout says: what was found is mounted and goes
//! into fstab.

use bareon_host::{
    Runner,
    blkid::{self, Probed},
};

use super::{Boot, BootError, fstab};

/// What lies on the devices.
pub struct Found(Vec<(String, fstab::Entry, Option<String>)>);

impl Found {
    /// Asks blkid what lies on the devices, on all of them at once.
    ///
    /// # Errors
    /// When one holds nothing that can be mounted, or nothing that has a UUID.
    pub fn probe(host: &dyn Runner, boot: &Boot) -> Result<Self, BootError> {
        let mut known = blkid::probed_all(&host.run(&blkid::probe_all(boot.devices()))?);
        let mut found = Vec::new();
        for device in boot.devices() {
            let probed = match known.remove(device) {
                Some(probed) => probed,
                // blkid has stopped before it, or nothing lies there: its status tells of one device alone.
                None => blkid::probed(&host.run(&blkid::probe(device))?),
            };
            found.push(Self::usable(boot, device, probed)?);
        }
        Ok(Self(found))
    }

    fn usable(
        boot: &Boot,
        device: &str,
        probed: Probed,
    ) -> Result<(String, fstab::Entry, Option<String>), BootError> {
        let mount = boot.mount_point(device);
        if probed.ambivalent {
            return Err(BootError::Ambivalent { device: device.into() });
        }
        let fs_type = probed.fs_type.ok_or_else(|| BootError::NoFileSystem {
            device: device.into(),
            mount: mount.clone().unwrap_or_else(|| "swap".into()),
        })?;
        let uuid = probed.uuid.ok_or_else(|| BootError::NoUuid { device: device.into() })?;
        let line = boot.in_fstab(device);
        Ok((device.to_owned(), fstab::Entry { uuid, mount, fs_type, line }, probed.partuuid))
    }

    /// The line of fstab for `device`.
    ///
    /// # Errors
    /// When it was not asked.
    pub fn entry(&self, device: &str) -> Result<&fstab::Entry, BootError> {
        let found = self.0.iter().find(|(name, ..)| name == device);
        found.map(|(_, entry, _)| entry).ok_or_else(|| BootError::NoUuid { device: device.into() })
    }

    /// The UUIDs of all.
    pub fn uuids(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(_, entry, _)| entry.uuid.clone())
    }

    /// The types of what the initramfs mounts.
    pub fn early_types(&self) -> Vec<&str> {
        let early = |entry: &&fstab::Entry| matches!(entry.mount.as_deref(), Some("/" | "/usr"));
        self.0.iter().map(|(_, entry, _)| entry).filter(early).map(|entry| entry.fs_type.as_str()).collect()
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
