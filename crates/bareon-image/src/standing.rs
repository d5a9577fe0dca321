//! What stands on a medium, compared with the sums of an image that somebody else wrote there.

use std::{io, sync::Arc, thread};

use crate::{
    Algorithm, ImageError, Medium, Progress, Sums,
    digest::{self, Adding},
    pool::{Buffer, Pool},
    shared::Shared,
    target::HEAD,
};

/// How many buffers of a MiB the reading may be ahead of the slowest sum.
const BUFFERS: usize = 4;

/// Compares the first `size` bytes of `medium` with the sums that are expected of them, and gives those. The beginning is
/// taken as it will be when it is committed, all else is read from the medium itself. `uri` is for messages.
///
/// # Errors
/// When a sum differs, it cannot be read, or `progress` says to stop.
pub fn compare(
    medium: &Medium,
    size: u64,
    expected: &Sums,
    uri: &str,
    progress: &dyn Progress,
) -> Result<Sums, ImageError> {
    let expected = expected.checked()?;
    let found = sums(medium, size, expected.algorithms(), progress)?;
    expected.compare(uri, "raw ", &found)?;
    Ok(found)
}

fn sums(
    medium: &Medium,
    size: u64,
    algorithms: impl Iterator<Item = Algorithm>,
    progress: &dyn Progress,
) -> Result<Sums, ImageError> {
    let internal = |source: Option<io::Error>| ImageError::Internal { source };
    thread::scope(|scope| {
        let (takers, adding): (_, Adding<'_>) = digest::adding::<Arc<Buffer>>(scope, algorithms, BUFFERS)
            .map_err(|source| internal(Some(source)))?;
        let pool = Pool::new(BUFFERS, HEAD);
        let (watch, _told) = Shared::new();
        let mut at = 0;
        while at < size {
            if progress.cancelled() {
                return Err(ImageError::Cancelled);
            }
            let mut buffer = pool.take(&*watch).ok_or_else(|| internal(None))?;
            let length = usize::try_from(size - at).unwrap_or(HEAD).min(HEAD);
            medium.read_at(at, &mut buffer.space()[..length])?;
            buffer.grow(length);
            if !takers.give(&Arc::new(buffer)) {
                return Err(internal(None));
            }
            at += length as u64;
        }
        drop(takers);
        adding.sums().ok_or_else(|| internal(None))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{Silent, TargetState};

    #[test]
    fn what_stands_there_is_compared_before_its_beginning_does() {
        let tmp = tempfile::NamedTempFile::new().unwrap();
        let bytes: Vec<u8> = (0..5 * HEAD / 2 + 17).map(|i| u8::try_from(i % 251).unwrap()).collect();
        // More stands behind it.
        fs::write(tmp.path(), [&bytes[..], &[7; 1000]].concat()).unwrap();
        let medium = Medium::open(tmp.path()).unwrap();
        medium.begin().unwrap();
        medium.write_at(0, &bytes[..HEAD]).unwrap();
        let size = bytes.len() as u64;
        let algorithms = || [Algorithm::Md5, Algorithm::Sha256].into_iter();
        let right = sums(&medium, size, algorithms(), &Silent).unwrap();
        let md5 = digest::hex(&fast_md5::digest(&bytes));
        assert_eq!(right.get(Algorithm::Md5), Some(&*md5));
        assert_eq!(compare(&medium, size, &right, "u", &Silent).unwrap(), right);
        let error = compare(&medium, size - 1, &right, "u", &Silent).unwrap_err().to_string();
        assert!(error.starts_with("`u` has the raw md5 sum "), "{error}");
        assert_eq!(medium.state(), TargetState::Cleared);
        assert!(fs::read(tmp.path()).unwrap()[..HEAD].iter().all(|byte| *byte == 0));
        medium.commit().unwrap();
        assert_eq!(fs::read(tmp.path()).unwrap()[..bytes.len()], bytes);
    }
}
