//! Sums: what is expected of them, and the threads that compute them.
//!
//! Each sum has a thread of its own: MD5 and SHA-512 take longer than unpacking does. Whoever has bytes gives them to
//! all threads at once through [`Takers`]; no byte is copied for it. MD5, which nothing can be done of at once, sets the pace
//! of all images whose metadata have no other sum: so it is a library's with assembly.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    io,
    str::FromStr,
    sync::Arc,
    thread::{Builder, Scope, ScopedJoinHandle, scope},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use sha2::Digest;

use crate::{ImageError, pool::Buffer};

/// How a sum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// MD5 (RFC 1321): tells accidents, no intent.
    Md5,
    /// SHA-1 (FIPS 180-4): tells accidents, no intent.
    Sha1,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
    /// BLAKE3 with its 256 bits.
    Blake3,
}

impl Algorithm {
    /// All there are, the weakest first.
    pub const ALL: [Self; 5] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512, Self::Blake3];

    /// Its name, as [`FromStr`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// How many hexadecimal digits a sum has.
    pub const fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 | Self::Blake3 => 64,
            Self::Sha512 => 128,
        }
    }

    /// Whether nobody can make other data with the same sum.
    pub const fn is_strong(self) -> bool {
        !matches!(self, Self::Md5 | Self::Sha1)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name).ok_or(())
    }
}

/// Sums of the same data, in hex.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums(BTreeMap<Algorithm, String>);

impl Sums {
    /// These, and one more, where there is one.
    #[must_use]
    pub fn with(mut self, algorithm: Algorithm, sum: Option<impl Into<String>>) -> Self {
        self.0.extend(sum.map(|sum| (algorithm, sum.into())));
        self
    }

    /// The sum by this algorithm, where there is one.
    pub fn get(&self, algorithm: Algorithm) -> Option<&str> {
        self.0.get(&algorithm).map(String::as_str)
    }

    /// Which there are.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.0.keys().copied()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them is such that nobody can make other data with it.
    pub fn is_strong(&self) -> bool {
        self.algorithms().any(Algorithm::is_strong)
    }

    /// Which are computed of data of which these are expected, and `more` of the same data, where there are more: all of
    /// them, and SHA-256 in any case.
    pub(crate) fn wanted(&self, more: Option<&Self>) -> BTreeSet<Algorithm> {
        let more = more.into_iter().flat_map(Self::algorithms);
        self.algorithms().chain(more).chain([Algorithm::Sha256]).collect()
    }

    /// Those of them that `wanted` has, too.
    pub(crate) fn only(&self, wanted: &Self) -> Self {
        let both = self.0.iter().filter(|(algorithm, _)| wanted.0.contains_key(algorithm));
        Self(both.map(|(algorithm, sum)| (*algorithm, sum.clone())).collect())
    }

    /// The same in the form in which sums are written here.
    ///
    /// # Errors
    /// When one of them is no sum.
    pub fn checked(&self) -> Result<Self, ImageError> {
        let checked = self.0.iter().map(|(algorithm, given)| Ok((*algorithm, checked(*algorithm, given)?)));
        checked.collect::<Result<_, _>>().map(Self)
    }

    /// Compares all of them with what was found of the data that `of` names.
    ///
    /// # Errors
    /// When one differs, or was not computed.
    pub(crate) fn compare(&self, uri: &str, of: &str, found: &Self) -> Result<(), ImageError> {
        for (algorithm, expected) in &self.0 {
            let found = found.get(*algorithm);
            if found != Some(expected) {
                return Err(ImageError::Digest {
                    uri: uri.to_owned(),
                    kind: format!("{of}{algorithm}"),
                    expected: expected.clone(),
                    found: found.unwrap_or("that was not computed").to_owned(),
                });
            }
        }
        Ok(())
    }
}

fn checked(algorithm: Algorithm, given: &str) -> Result<String, ImageError> {
    let sum = given.trim().to_ascii_lowercase();
    if sum.len() == algorithm.digits() && sum.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(sum)
    } else {
        Err(ImageError::BadDigest {
            kind: algorithm.name(),
            value: given.to_owned(),
            digits: algorithm.digits(),
        })
    }
}

/// Something that has bytes.
pub trait Bytes: Clone + Send {
    /// Calls `take` with them, piece by piece.
    fn give(&self, take: &mut dyn FnMut(&[u8]));
}

impl Bytes for Arc<Buffer> {
    fn give(&self, take: &mut dyn FnMut(&[u8])) {
        take(self);
    }
}

impl Bytes for Arc<Vec<u8>> {
    fn give(&self, take: &mut dyn FnMut(&[u8])) {
        take(self);
    }
}

/// The ends at which everybody is given what comes.
#[derive(Debug)]
pub struct Takers<T>(Vec<Sender<T>>);

impl<T: Clone> Takers<T> {
    /// One more, who gets what comes from `incoming`; so many pieces may wait for it.
    pub fn another(&mut self, ahead: usize) -> Receiver<T> {
        let (taker, incoming) = bounded(ahead);
        self.0.push(taker);
        incoming
    }

    /// Gives it to all; false when one of them is gone.
    pub fn give(&self, piece: &T) -> bool {
        self.0.iter().all(|taker| taker.send(piece.clone()).is_ok())
    }
}

/// The threads that add up.
pub struct Adding<'scope>(Vec<(Algorithm, ScopedJoinHandle<'scope, String>)>);

impl Adding<'_> {
    /// The sums of all that was given, after the takers were dropped; nothing when a thread fell over.
    pub fn sums(self) -> Option<Sums> {
        let joined = self.0.into_iter().map(|(algorithm, thread)| Some((algorithm, thread.join().ok()?)));
        joined.collect::<Option<_>>().map(Sums)
    }
}

/// The sums of all that `give` gives to the takers, and what it makes of that; so many pieces may wait for each sum.
///
/// # Errors
/// What `give` says, or when a thread cannot be started or falls over.
pub fn summed<T: Bytes + 'static, R>(
    algorithms: impl IntoIterator<Item = Algorithm>,
    ahead: usize,
    give: impl FnOnce(&Takers<T>) -> Result<R, ImageError>,
) -> Result<(R, Sums), ImageError> {
    scope(|scope| {
        let (takers, adding) = adding(scope, algorithms, ahead)
            .map_err(|source| ImageError::Internal { source: Some(source) })?;
        let given = give(&takers)?;
        drop(takers);
        Ok((given, adding.sums().ok_or(ImageError::Internal { source: None })?))
    })
}

/// Starts a thread for each sum; so many pieces may wait for each.
///
/// # Errors
/// When a thread cannot be started.
pub fn adding<'scope, T: Bytes + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    algorithms: impl IntoIterator<Item = Algorithm>,
    ahead: usize,
) -> io::Result<(Takers<T>, Adding<'scope>)> {
    let mut takers = Takers(Vec::new());
    let mut threads = Vec::new();
    for algorithm in algorithms {
        let incoming = takers.another(ahead);
        let add = move || match algorithm {
            Algorithm::Md5 => {
                let mut hasher = fast_md5::Md5::new();
                add_all(&incoming, |bytes| hasher.update(bytes));
                hex(&hasher.finalize())
            }
            Algorithm::Sha1 => of_all::<sha1::Sha1, T>(&incoming),
            Algorithm::Sha256 => of_all::<sha2::Sha256, T>(&incoming),
            Algorithm::Sha512 => of_all::<sha2::Sha512, T>(&incoming),
            Algorithm::Blake3 => {
                let mut hasher = blake3::Hasher::new();
                add_all(&incoming, |bytes| {
                    hasher.update(bytes);
                });
                hasher.finalize().to_hex().to_string()
            }
        };
        threads.push((algorithm, Builder::new().name(algorithm.name().to_owned()).spawn_scoped(scope, add)?));
    }
    Ok((takers, Adding(threads)))
}

fn of_all<D: Digest, T: Bytes>(incoming: &Receiver<T>) -> String {
    let mut digest = D::new();
    add_all(incoming, |bytes| digest.update(bytes));
    finish(digest)
}

fn add_all<T: Bytes>(incoming: &Receiver<T>, mut add: impl FnMut(&[u8])) {
    for piece in incoming {
        piece.give(&mut add);
    }
}

/// The digest in hex.
pub fn finish<D: Digest>(digest: D) -> String {
    hex(&digest.finalize())
}

/// Bytes in hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    const EMPTY: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn sums_are_read_in_any_case_and_refused_when_they_are_none() {
        let md5 = |sum: &str| Sums::default().with(Algorithm::Md5, Some(sum)).checked();
        assert_eq!(md5(&EMPTY.to_uppercase()).unwrap().get(Algorithm::Md5), Some(EMPTY));
        for wrong in ["", "x", &EMPTY[1..], "g41d8cd98f00b204e9800998ecf8427e"] {
            assert!(md5(wrong).is_err(), "{wrong}");
        }
        assert!(Sums::default().with(Algorithm::Sha256, Some(EMPTY)).checked().is_err());
        assert!(Sums::default().with(Algorithm::Md5, None::<String>).is_empty());
    }

    #[test]
    fn an_expected_sum_that_was_not_computed_is_no_match() {
        let sums = |md5: Option<&str>| Sums::default().with(Algorithm::Md5, md5);
        assert!(sums(Some("a")).compare("u", "", &sums(None)).is_err());
        assert!(sums(Some("a")).compare("u", "", &sums(Some("b"))).is_err());
        assert!(sums(Some("a")).compare("u", "", &sums(Some("a"))).is_ok());
        assert!(sums(None).compare("u", "", &sums(Some("a"))).is_ok());
    }

    #[test]
    fn what_is_expected_is_computed_once_and_sha256_besides() {
        let sums =
            |all: &[_]| all.iter().fold(Sums::default(), |sums, algorithm| sums.with(*algorithm, Some("")));
        let wanted = |sums: Sums, more: Option<Sums>| Vec::from_iter(sums.wanted(more.as_ref()));
        let (md5, sha256, blake3) = (Algorithm::Md5, Algorithm::Sha256, Algorithm::Blake3);
        assert_eq!(wanted(Sums::default(), None), [sha256]);
        assert_eq!(wanted(sums(&[md5]), None), [md5, sha256]);
        assert_eq!(wanted(sums(&[md5, blake3]), Some(sums(&[md5, sha256]))), [md5, sha256, blake3]);
    }

    proptest! {
        #[test]
        fn md5_is_that_of_another_library_in_whatever_pieces(data: Vec<u8>, repeat in 1_usize..100, piece in 1_usize..200) {
            let data = data.repeat(repeat);
            let given = summed([Algorithm::Md5], 1, |takers| {
                Ok(data.chunks(piece).all(|piece| takers.give(&Arc::new(piece.to_vec()))))
            });
            let (given, sums) = given.unwrap();
            prop_assert!(given);
            prop_assert_eq!(sums.get(Algorithm::Md5).unwrap(), hex(&md5::Md5::digest(&data)));
        }
    }

    #[test]
    fn known_sums_of_abc() {
        let given = summed(Algorithm::ALL, 1, |takers| {
            Ok([b"a".to_vec(), b"bc".to_vec()].map(|piece| takers.give(&Arc::new(piece))))
        });
        let (given, sums) = given.unwrap();
        assert_eq!(given, [true; 2]);
        for (algorithm, starts) in [
            (Algorithm::Md5, "900150983cd24fb0"),
            (Algorithm::Sha1, "a9993e364706816a"),
            (Algorithm::Sha256, "ba7816bf8f01cfea"),
            (Algorithm::Sha512, "ddaf35a193617aba"),
            (Algorithm::Blake3, "6437b3ac38465133"),
        ] {
            let sum = sums.get(algorithm).unwrap();
            assert!(sum.starts_with(starts) && sum.len() == algorithm.digits(), "{algorithm}: {sum}");
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        assert!(sums.is_strong());
        let refused = |_: &Takers<Arc<Vec<u8>>>| Err::<(), _>(ImageError::Cancelled);
        assert!(matches!(summed(Algorithm::ALL, 1, refused), Err(ImageError::Cancelled)));
    }
}
