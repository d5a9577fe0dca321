//! What stands on a medium, read again and compared with the sums of an image: one that somebody else wrote there, or one
//! that came in no order.

use std::sync::Arc;

use crate::{
    Algorithm, ImageError, Medium, Progress, Sums,
    digest::{self, Takers},
    pool::{Buffer, Pool},
    shared::Shared,
    target::HEAD,
};

/// How many buffers the reading may be ahead of the slowest sum.
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
    let (shared, told) = Shared::new();
    let goes_on = || shared.goes_on(&told, progress);
    let found = sums(medium, size, expected.algorithms(), HEAD, &shared, &goes_on)?;
    expected.compare(uri, "raw ", &found)?;
    Ok(found)
}

/// The sums of the first `size` bytes of `medium`, by each of `algorithms`. They are read as [`compare`] says, in pieces
/// of `piece` bytes, which is the size of a buffer. Before each of them `goes_on` is asked; where it says no, `shared`
/// tells why.
///
/// # Errors
/// When it cannot be read, or all is to stop.
pub fn sums(
    medium: &Medium,
    size: u64,
    algorithms: impl IntoIterator<Item = Algorithm>,
    piece: usize,
    shared: &Shared,
    goes_on: &dyn Fn() -> bool,
) -> Result<Sums, ImageError> {
    let pool = Pool::new(BUFFERS, piece);
    let read = |takers: &Takers<Arc<Buffer>>| {
        let mut at = 0;
        while at < size {
            if !goes_on() {
                return Err(shared.failure());
            }
            let mut buffer = pool.take(shared).ok_or_else(|| shared.failure())?;
            let length = usize::try_from(size - at).unwrap_or(piece).min(piece);
            medium.read_at(at, &mut buffer.space()[..length])?;
            buffer.grow(length);
            if !takers.give(&Arc::new(buffer)) {
                return Err(ImageError::Internal { source: None });
            }
            at += length as u64;
        }
        Ok(())
    };
    digest::summed(algorithms, BUFFERS, read).map(|((), sums)| sums)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, fs, path::Path};

    use super::*;
    use crate::{Silent, TargetState, pool::ALIGN};

    /// A medium with `bytes`, whose first MiB is written and not committed, and more behind them.
    fn begun(path: &Path, bytes: &[u8]) -> Medium {
        fs::write(path, [bytes, &[7; 1000]].concat()).unwrap();
        let medium = Medium::open(path).unwrap();
        medium.begin().unwrap();
        medium.write_at(0, &bytes[..HEAD]).unwrap();
        medium
    }

    fn bytes() -> Vec<u8> {
        (0..5 * HEAD / 2 + 17).map(|i| u8::try_from(i % 251).unwrap()).collect()
    }

    #[test]
    fn what_stands_there_is_compared_before_its_beginning_does() {
        let (tmp, bytes) = (tempfile::NamedTempFile::new().unwrap(), bytes());
        let medium = begun(tmp.path(), &bytes);
        let size = bytes.len() as u64;
        let (shared, _told) = Shared::new();
        let algorithms = [Algorithm::Md5, Algorithm::Sha256];
        let right = sums(&medium, size, algorithms, HEAD, &shared, &|| true).unwrap();
        let md5 = digest::hex(&fast_md5::digest(&bytes));
        assert_eq!(right.get(Algorithm::Md5), Some(&*md5));
        // In however small pieces they are read.
        assert_eq!(sums(&medium, size, algorithms, 17 * ALIGN, &shared, &|| true).unwrap(), right);
        assert_eq!(compare(&medium, size, &right, "u", &Silent).unwrap(), right);
        let error = compare(&medium, size - 1, &right, "u", &Silent).unwrap_err().to_string();
        assert!(error.starts_with("`u` has the raw md5 sum "), "{error}");
        assert_eq!(medium.state(), TargetState::Cleared);
        assert!(fs::read(tmp.path()).unwrap()[..HEAD].iter().all(|byte| *byte == 0));
        medium.commit().unwrap();
        assert_eq!(fs::read(tmp.path()).unwrap()[..bytes.len()], bytes);
    }

    #[test]
    fn who_is_told_to_stop_between_two_pieces_says_why() {
        struct Stops;

        impl Progress for Stops {
            fn cancelled(&self) -> bool {
                true
            }
        }

        let (tmp, bytes) = (tempfile::NamedTempFile::new().unwrap(), bytes());
        let medium = begun(tmp.path(), &bytes);
        let size = bytes.len() as u64;
        let (shared, _told) = Shared::new();
        let asked = Cell::new(0);
        let goes_on = || {
            asked.set(asked.get() + 1);
            if asked.get() == 2 {
                shared.fail(ImageError::Empty { uri: "u".to_owned() });
            }
            asked.get() < 2
        };
        let error = sums(&medium, size, [Algorithm::Sha256], HEAD, &shared, &goes_on).unwrap_err();
        assert!(matches!(error, ImageError::Empty { .. }), "{error}");
        assert_eq!(asked.get(), 2);
        // It was stopped by somebody else.
        let (shared, _told) = Shared::new();
        shared.fail(ImageError::Cancelled);
        let error = sums(&medium, size, [Algorithm::Sha256], HEAD, &shared, &|| true).unwrap_err();
        assert!(matches!(error, ImageError::Cancelled), "{error}");
        let error = compare(&medium, size, &Sums::default(), "u", &Stops).unwrap_err();
        assert!(matches!(error, ImageError::Cancelled), "{error}");
    }
}
