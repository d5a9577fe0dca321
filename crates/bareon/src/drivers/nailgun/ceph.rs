//! Ceph's journals: a journal volume is cut into one partition for each OSD that it serves.

use super::spaces::{Disk, Volume};

/// The name of a volume for journals.
pub const JOURNAL: &str = "cephjournal";

/// The name of a volume for an OSD.
const OSD: &str = "ceph";

/// The largest journal in MiB.
const LARGEST: u64 = 10 * 1024;

/// How the journals of the OSDs are dealt to the journal volumes.
#[derive(Debug)]
pub struct Journals {
    /// OSDs for each journal volume, rounded up.
    ratio: u64,
    /// OSDs without a journal yet.
    left: u64,
}

impl Journals {
    /// Counts OSDs and journal volumes over all disks.
    pub fn new(disks: &[Disk]) -> Self {
        let named = |name| {
            let volumes = disks.iter().flat_map(|disk| &disk.volumes);
            let count = volumes.filter(|volume: &&Volume| volume.name.as_deref() == Some(name)).count();
            u64::try_from(count).unwrap_or(u64::MAX)
        };
        let (osds, journals) = (named(OSD), named(JOURNAL));
        if journals > 0 && osds == 0 {
            tracing::warn!("there are Ceph journals and no OSDs: no journal is made");
        }
        Self { ratio: osds.div_ceil(journals.max(1)), left: osds }
    }

    /// How many journals a volume of `size` MiB holds, and how large each is.
    pub fn take(&mut self, size: u64) -> (u64, u64) {
        let count = self.ratio.min(self.left);
        self.left -= count;
        (count, size.checked_div(self.ratio).unwrap_or(0).min(LARGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_are_dealt_until_none_is_left() {
        let mut journals = Journals { ratio: 2, left: 3 };
        assert_eq!(journals.take(9001), (2, 4500));
        assert_eq!(journals.take(100_000), (1, LARGEST));
        assert_eq!(journals.take(9000), (0, 4500));
        assert_eq!(Journals { ratio: 0, left: 0 }.take(9000), (0, 0));
    }
}
