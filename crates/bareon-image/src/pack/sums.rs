//! The sums of what is packed.

use std::thread::Scope;

use super::{PackError, blocks::Block};
use crate::{
    Algorithm,
    digest::{self, Bytes, Takers},
};

impl Bytes for Block {
    fn give(&self, take: &mut dyn FnMut(&[u8])) {
        let given: Result<(), std::convert::Infallible> = self.each(|bytes| {
            take(bytes);
            Ok(())
        });
        let Ok(()) = given;
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

/// The threads that compute them.
pub struct Adding<'scope>(digest::Adding<'scope>);

impl Adding<'_> {
    /// The sums of all that was given, after the takers were dropped.
    ///
    /// # Errors
    /// When a thread fell over.
    pub fn sums(self) -> Result<Sums, PackError> {
        let sums = self.0.sums();
        let get = |algorithm| sums.as_ref()?.get(algorithm).map(str::to_owned);
        match (get(Algorithm::Md5), get(Algorithm::Sha256)) {
            (Some(md5), Some(sha256)) => Ok(Sums { md5, sha256 }),
            _ => Err(PackError::Internal { source: None }),
        }
    }
}

/// Starts the threads; so many pieces may wait for each.
///
/// # Errors
/// When a thread cannot be started.
pub fn adding<'scope, T: Bytes + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    ahead: usize,
) -> Result<(Takers<T>, Adding<'scope>), PackError> {
    let started = digest::adding(scope, [Algorithm::Md5, Algorithm::Sha256], ahead);
    let (takers, adding) = started.map_err(|source| PackError::Internal { source: Some(source) })?;
    Ok((takers, Adding(adding)))
}
