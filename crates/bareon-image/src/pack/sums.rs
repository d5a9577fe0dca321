//! The sums of a stream, each computed by a thread of its own.

use std::{
    sync::Arc,
    thread::{Scope, ScopedJoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use sha2::Digest;

use super::{PackError, blocks::Block, run::start};
use crate::digest;

/// Something that has bytes.
pub trait Bytes: Clone + Send {
    /// Adds them to a digest.
    fn add_to(&self, digest: &mut impl Digest);
}

impl Bytes for Block {
    fn add_to(&self, digest: &mut impl Digest) {
        let added: Result<(), std::convert::Infallible> = self.each(|bytes| {
            digest.update(bytes);
            Ok(())
        });
        let Ok(()) = added;
    }
}

impl Bytes for Arc<Vec<u8>> {
    fn add_to(&self, digest: &mut impl Digest) {
        digest.update(&**self);
    }
}

/// The sums of a whole stream, in hex.
#[derive(Debug, Clone)]
pub struct Sums {
    /// MD5.
    pub md5: String,
    /// SHA-256.
    pub sha256: String,
}

/// The ends at which the two threads are given what comes.
#[derive(Debug)]
pub struct Takers<T>([Sender<T>; 2]);

impl<T: Bytes> Takers<T> {
    /// Gives it to both; false when one of them is gone.
    pub fn give(&self, bytes: &T) -> bool {
        self.0.iter().all(|taker| taker.send(bytes.clone()).is_ok())
    }
}

/// The two threads.
pub struct Adding<'scope> {
    md5: ScopedJoinHandle<'scope, String>,
    sha256: ScopedJoinHandle<'scope, String>,
}

impl Adding<'_> {
    /// The sums of all that was given, after the takers were dropped.
    ///
    /// # Errors
    /// When a thread fell over.
    pub fn sums(self) -> Result<Sums, PackError> {
        let lost = |_| PackError::Internal { source: None };
        Ok(Sums { md5: self.md5.join().map_err(lost)?, sha256: self.sha256.join().map_err(lost)? })
    }
}

/// Starts the two threads; so many pieces may wait for each.
///
/// # Errors
/// When a thread cannot be started.
pub fn adding<'scope, T: Bytes + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    ahead: usize,
) -> Result<(Takers<T>, Adding<'scope>), PackError> {
    let (to_md5, for_md5) = bounded(ahead);
    let (to_sha256, for_sha256) = bounded(ahead);
    let md5 = start(scope, "md5", move || of_all::<md5::Md5, T>(&for_md5))?;
    let sha256 = start(scope, "sha256", move || of_all::<sha2::Sha256, T>(&for_sha256))?;
    Ok((Takers([to_md5, to_sha256]), Adding { md5, sha256 }))
}

fn of_all<D: Digest, T: Bytes>(incoming: &Receiver<T>) -> String {
    let mut digest = D::new();
    for bytes in incoming {
        bytes.add_to(&mut digest);
    }
    digest::finish(digest)
}
