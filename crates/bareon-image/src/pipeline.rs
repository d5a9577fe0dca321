//! The stages and what ties them together.

use crate::{ImageError, Options, Progress, Request, Written};

/// The most memory in bytes that the buffers of one [`write`] take.
pub fn ceiling(options: &Options) -> usize {
    options.chunk * 16
}

/// Writes an image onto its target.
///
/// # Errors
/// When anything at all is not as it should be; see [`ImageError`].
pub fn write(request: &Request, options: &Options, progress: &dyn Progress) -> Result<Written, ImageError> {
    let _ = (request, options, progress);
    Err(ImageError::Internal { source: None })
}

/// Gets a small file of at most `limit` bytes, with the same care.
///
/// # Errors
/// When it cannot be fetched, is larger, or is a page for people.
pub fn fetch(
    uri: &str,
    options: &Options,
    limit: u64,
    progress: &dyn Progress,
) -> Result<Vec<u8>, ImageError> {
    let _ = (uri, options, limit, progress);
    Err(ImageError::Internal { source: None })
}
