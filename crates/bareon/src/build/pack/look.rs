//! What a file looks like that would else be left to chance and the clock.

use sha2::{Digest, Sha256};

use crate::digest;

/// Ids and times of a file that is packed. The same input and purpose give the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    seed: Vec<u8>,
    /// The latest time that a file may bear, in seconds since 1970.
    pub epoch: u64,
}

impl Look {
    /// From `seed`, which stands for all that is built: other input, other ids. No time is later than `epoch`, in
    /// seconds since 1970.
    pub fn new(seed: impl AsRef<[u8]>, epoch: u64) -> Self {
        // To the tools, 0 means the clock.
        Self { seed: seed.as_ref().to_vec(), epoch: epoch.max(1) }
    }

    /// The look of a part, such as the image of one mount point: its ids differ from those of all others.
    #[must_use]
    pub fn of(&self, part: &str) -> Self {
        Self { seed: self.digest(part).to_vec(), epoch: self.epoch }
    }

    /// The UUID for `purpose`, in small letters. It is of version 8 (RFC 9562), which is for ids that are made of
    /// something.
    pub fn uuid(&self, purpose: &str) -> String {
        digest::uuid(&self.digest(purpose))
    }

    /// 32 bits for `purpose`.
    pub fn number(&self, purpose: &str) -> u32 {
        let digest = self.digest(purpose);
        u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
    }

    fn digest(&self, purpose: &str) -> [u8; 32] {
        let mut sha = Sha256::new();
        sha.update(Sha256::digest(&self.seed));
        sha.update(purpose);
        sha.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hang_on_seed_part_and_purpose_alone() {
        let look = Look::new("a", 5);
        assert_eq!(look.uuid("fs"), Look::new("a", 7).uuid("fs"));
        let others = [look.uuid("disk"), Look::new("b", 5).uuid("fs"), look.of("/").uuid("fs")];
        assert!(others.iter().all(|other| *other != look.uuid("fs")), "{others:?}");
        let id = look.uuid("fs");
        assert_eq!((id.len(), &id[14..15]), (36, "8"));
        assert!("89ab".contains(&id[19..20]), "{id}");
    }
}
