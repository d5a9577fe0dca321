//! Files under their own sums: what is taken out is compared with the name it has, so neither a power cut nor anybody who
//! wrote to the folder can make a build take one file for another. What is not right goes, as if it had never been there.

use std::{
    fmt,
    fs::{self, File, FileTimes, Permissions},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

use bareon_image::Algorithm;
use sha2::{Digest, Sha256};

use crate::{digest::hex, steps::folder};

/// How long a file that no build asks for is kept.
const KEPT_UNUSED: Duration = Duration::from_hours(30 * 24);

/// A SHA-256 sum, as apt writes it: `SHA256:` and digits in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum(String);

impl Sum {
    /// The sum of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(file: &Path) -> io::Result<Self> {
        summed(&mut File::open(file)?, io::sink())
    }

    /// The sum that digits mean, as an index of packages has them.
    pub fn of_digits(digits: &str) -> Option<Self> {
        let right = digits.len() == Algorithm::Sha256.digits()
            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        right.then(|| Self(digits.to_owned()))
    }
}

impl FromStr for Sum {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.strip_prefix("SHA256:").and_then(Self::of_digits).ok_or(())
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", self.0)
    }
}

/// Copies a file; the sum of what was copied.
fn summed(from: &mut File, mut to: impl Write) -> io::Result<Sum> {
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Ok(Sum(hex(&sha.finalize())));
        }
        sha.update(&buffer[..n]);
        to.write_all(&buffer[..n])?;
    }
}

/// A folder of files under their sums. Any number of builds may use it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store(PathBuf);

impl Store {
    /// The store in `dir`, which need not be there until something is kept.
    pub fn new(dir: PathBuf) -> Self {
        Self(dir)
    }

    /// Copies the file of this sum to `to`; whether it is here, and is what its name says.
    ///
    /// # Errors
    /// When it cannot be read, or `to` cannot be written.
    pub fn lend(&self, sum: &Sum, to: &Path) -> io::Result<bool> {
        let kept = self.0.join(&sum.0);
        let mut from = match File::open(&kept) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let right = summed(&mut from, File::create(to)?)? == *sum;
        if right {
            used(&from);
        } else {
            tracing::warn!("{} is not what its name says: it is removed, and fetched anew", kept.display());
            fs::remove_file(to)?;
            folder::remove_file(&kept)?;
        }
        Ok(right)
    }

    /// Keeps a copy of `file`, which has this sum.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn keep(&self, sum: &Sum, file: &Path) -> io::Result<()> {
        let kept = self.0.join(&sum.0);
        if let Ok(there) = File::open(&kept) {
            used(&there);
            return Ok(());
        }
        whole(&kept, |copy| io::copy(&mut File::open(file)?, copy).map(drop))
    }
}

/// Removes the files of a folder that no build has used in a month, and what a killed one was about to keep there.
///
/// # Errors
/// When the folder cannot be read, or a file not be removed.
pub fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Somebody else may have removed it by now.
        let Ok(facts) = entry.metadata() else { continue };
        let age = facts.modified()?.elapsed().unwrap_or_default();
        if facts.is_file() && age > KEPT_UNUSED {
            folder::remove_file(&entry.path())?;
        }
    }
    Ok(())
}

/// Writes `path` under another name first, so that nobody meets half of it.
pub fn whole(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    // Somebody may have deleted the cache since the build began.
    fs::create_dir_all(dir)?;
    let readable = Permissions::from_mode(0o644);
    let mut file = tempfile::Builder::new().prefix(".part-").permissions(readable).tempfile_in(dir)?;
    write(file.as_file_mut())?;
    file.persist(path)?;
    Ok(())
}

/// Marks a file as used now. Where that is refused it is not kept as long as it could be, which does no harm.
fn used(file: &File) {
    let _ = file.set_times(FileTimes::new().set_modified(SystemTime::now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let tmp = tempfile::tempdir().unwrap();
        let store = Store::new(tmp.path().join("store"));
        (tmp, store)
    }

    #[test]
    fn sums_are_read_as_apt_writes_them() {
        let digits = "0123456789abcdef".repeat(4);
        let sum: Sum = format!("SHA256:{digits}").parse().unwrap();
        assert_eq!(sum.to_string(), format!("SHA256:{digits}"));
        assert_eq!(Sum::of_digits(&digits), Some(sum));
        let none = ["SHA256:ab", "MD5Sum:0123456789abcdef0123456789abcdef", "", "x"];
        for none in none.into_iter().map(str::to_owned).chain([format!("SHA256:../{}", &digits[3..])]) {
            assert_eq!(none.parse::<Sum>(), Err(()), "{none}");
        }
    }

    #[test]
    fn only_what_is_right_is_lent() {
        let (tmp, store) = store();
        let (file, out) = (tmp.path().join("file"), tmp.path().join("out"));
        fs::write(&file, "what was fetched").unwrap();
        let sum = Sum::of(&file).unwrap();
        assert!(!store.lend(&sum, &out).unwrap());
        store.keep(&sum, &file).unwrap();
        assert!(store.lend(&sum, &out).unwrap());
        assert_eq!(fs::read(&out).unwrap(), b"what was fetched");

        // As a power cut leaves it, or a disk.
        let kept = store.0.join(&sum.0);
        for content in ["", "what was Fetched"] {
            fs::write(&kept, content).unwrap();
            assert!(!store.lend(&sum, &out).unwrap());
            assert!(!out.exists() && !kept.exists());
            store.keep(&sum, &file).unwrap();
        }
        assert!(store.lend(&sum, &out).unwrap());
    }

    #[test]
    fn what_nobody_uses_goes_after_a_month() {
        let (tmp, store) = store();
        let files = ["old", "used", "new"].map(|name| tmp.path().join(name));
        let sums = files.each_ref().map(|file| {
            fs::write(file, file.as_os_str().as_encoded_bytes()).unwrap();
            let sum = Sum::of(file).unwrap();
            store.keep(&sum, file).unwrap();
            sum
        });
        let before = SystemTime::now() - KEPT_UNUSED - Duration::from_mins(1);
        for sum in &sums[..2] {
            let kept = File::options().write(true).open(store.0.join(&sum.0)).unwrap();
            kept.set_modified(before).unwrap();
        }
        assert!(store.lend(&sums[1], &tmp.path().join("out")).unwrap());
        sweep(&store.0).unwrap();
        let there = sums.each_ref().map(|sum| store.0.join(&sum.0).exists());
        assert_eq!(there, [false, true, true]);
    }
}
