//! What is told of the images beside them: metadata, bills of materials, provenance, signature.
//!
//! | file | what | for whom |
//! |---|---|---|
//! | `root.yaml` | sizes and sums of the images and of the files below, operating system, packages, repositories | `bareon-provision`, callers of the original |
//! | `root.yaml.minisig` | the signature of that, where there is a key | `bareon-provision` with `image_keys`, `minisign -V` |
//! | `root.spdx.json` | the packages and their licences, SPDX 2.3 | scanners |
//! | `root.cdx.json` | the same, `CycloneDX` 1.5 | scanners |
//! | `root.provenance.json` | what made the images of what: an in-toto statement with SLSA's predicate | auditors |
//!
//! The one signature is enough: the metadata has the SHA-256 of each image and of each of the other files.
//!
//! All is a function of the tree, the images and the [`Facts`]: no clock, no host name, no random id. Only the signature
//! differs from one time to the next.
//!
//! [`write()`] writes them under temporary names, so that all can be renamed when the images are, the metadata last.

mod copyright;
mod cyclonedx;
mod error;
mod index;
mod licence;
mod os;
mod packages;
mod provenance;
mod purl;
mod sign;
mod spdx;
mod tree_file;

use std::{
    fs,
    path::{Path, PathBuf},
};

use bareon_image::pack::Packed;

pub use copyright::licences;
pub use error::MetadataError;
pub use index::versions;
pub use os::OsRelease;
pub use packages::{Package, installed};
pub use sign::{Key, PASSWORD};

use crate::{
    digest::sha256,
    objects::build::{BuildScheme, Container},
};

/// All that is told of a build.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What was to be built.
    pub scheme: &'a BuildScheme,
    /// The root of the finished tree.
    pub tree: &'a Path,
    /// The images, in the order in which they are told.
    pub images: &'a [Built],
    /// The Release files of the scheme's repositories, in their order.
    pub releases: &'a [Release],
    /// The tools that built it.
    pub tools: &'a [ToolVersion],
    /// The SHA-256 sum of the input document, in hex.
    pub input_sha256: &'a str,
    /// The time that all files tell, in seconds since 1970.
    pub epoch: u64,
    /// What the metadata is signed with; nothing leaves it unsigned.
    pub key: Option<&'a Key>,
}

/// A file that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its final path, of which the last part is told.
    pub file: PathBuf,
    /// The file system within, or `tar` or `disk`.
    pub format: String,
    /// How it is packed.
    pub container: Container,
    /// Its sizes and sums.
    pub packed: Packed,
    /// The SHA-256 sum of its torrent in hex, where one was made.
    pub torrent_sha256: Option<String>,
}

/// The Release file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The SHA-256 sum of its `InRelease` or `Release` when the build began, in hex; empty for a trusted one without.
    pub sha256: String,
}

/// A tool of the build host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolVersion {
    /// Its name, such as `debootstrap`.
    pub name: String,
    /// Its version, as it tells it.
    pub version: String,
}

/// Writes the files into `dir`, which must be on the file system of the output: pairs of where each is and where it
/// belongs, in the order in which they are to be renamed. Who renames them flushes them before. Nothing is written where
/// the scheme names no metadata.
///
/// # Errors
/// When the tree tells no operating system or no packages, or a file cannot be written or signed.
pub fn write(facts: &Facts<'_>, dir: &Path) -> Result<Vec<(PathBuf, PathBuf)>, MetadataError> {
    let Some(metadata) = &facts.scheme.metadata else { return Ok(Vec::new()) };
    let stem = metadata.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let contents = Contents {
        name: &stem,
        os: OsRelease::of(facts.tree)?,
        packages: installed(facts.tree)?
            .into_iter()
            .map(|package| {
                let licences = licences(facts.tree, &package.name);
                Licensed { package, licences }
            })
            .collect(),
    };
    let mut files = Files { dir, folder: metadata.parent().unwrap_or(Path::new(".")), written: Vec::new() };
    let documents = [
        files.add(&format!("{stem}.spdx.json"), spdx::document(facts, &contents).as_bytes())?,
        files.add(&format!("{stem}.cdx.json"), cyclonedx::document(facts, &contents).as_bytes())?,
        files.add(&format!("{stem}.provenance.json"), provenance::document(facts, &contents).as_bytes())?,
    ];
    let name = metadata.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = index::document(facts, &contents, &documents)?;
    if let Some(key) = facts.key {
        files.add(&format!("{name}{SIGNATURE}"), key.sign(text.as_bytes(), &name)?.as_bytes())?;
    }
    files.add(&name, text.as_bytes())?;
    Ok(files.written)
}

/// What the name of a signature adds to that of the metadata.
const SIGNATURE: &str = ".minisig";

/// The file that signs `metadata`, where one does.
pub fn signature_of(metadata: &Path) -> PathBuf {
    let mut name = metadata.as_os_str().to_owned();
    name.push(SIGNATURE);
    name.into()
}

/// What was found in the tree.
struct Contents<'a> {
    /// What the images are called together.
    name: &'a str,
    os: OsRelease,
    packages: Vec<Licensed>,
}

/// A package and the terms that it is given away under.
struct Licensed {
    package: Package,
    /// An SPDX expression; nothing where its copyright file is not for programs.
    licences: Option<String>,
}

/// A file that was written, as the metadata tells it.
struct Document {
    name: String,
    sha256: String,
}

/// The files on their way.
struct Files<'a> {
    dir: &'a Path,
    folder: &'a Path,
    written: Vec<(PathBuf, PathBuf)>,
}

impl Files<'_> {
    /// Writes the file that is to be called `name`.
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<Document, MetadataError> {
        let path = self.dir.join(format!(".{name}.new"));
        fs::write(&path, bytes).map_err(|source| MetadataError::Write { path: path.clone(), source })?;
        self.written.push((path, self.folder.join(name)));
        Ok(Document { name: name.into(), sha256: sha256(bytes) })
    }
}

/// A time as RFC 3339 writes it.
fn time(epoch: u64) -> String {
    let at = i64::try_from(epoch).ok().and_then(|epoch| jiff::Timestamp::from_second(epoch).ok());
    at.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}

/// The version of this program.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[cfg(test)]
mod tests;
