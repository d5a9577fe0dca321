//! What the importer of a bootstrap ramdisk reads: its id and label, its files with their sums, what it is made of.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use fast_md5::Md5;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{Facts, RamdiskError};
use crate::{digest, objects::Bootstrap};

/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;

/// A file of the ramdisk.
pub(super) struct Module<'a> {
    /// `kernel`, `initrd` or `rootfs`.
    pub name: &'static str,
    /// The URI that the input gives it.
    pub uri: &'a str,
    /// The name of the file.
    pub file: &'a str,
}

/// The metadata of the files `modules` in the folder `dir`, as YAML.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn metadata(
    dir: &Path,
    modules: &[Module<'_>],
    bootstrap: &Bootstrap,
    facts: &Facts<'_>,
) -> Result<String, RamdiskError> {
    let mut described = Map::new();
    for module in modules {
        let path = dir.join(module.file);
        let sums = Sums::of(&path).map_err(|source| RamdiskError::io("reading", &path, source))?;
        let entry = json!({
            "raw_md5": sums.md5,
            "raw_sha256": sums.sha256,
            "raw_size": sums.size,
            "file": module.file,
            "uri": module.uri,
        });
        described.insert(module.name.into(), entry);
    }
    let repos: Vec<_> = facts.repos.iter().map(repo).collect();
    let metadata = json!({
        "uuid": bootstrap.uuid,
        "label": bootstrap.label,
        "extend_kopts": bootstrap.extend_kopts,
        "os": facts.operating_system,
        "modules": described,
        "repos": repos,
        "all_packages": facts.packages,
    });
    // Every text is quoted: a sum of digits alone, or a package called `on`, is something else to one reader or another.
    let options = serde_saphyr::ser_options! { quote_all: true, prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&metadata, options)
        .map_err(|error| RamdiskError::Yaml { why: error.to_string() })
}

fn repo(repo: &crate::objects::Repo) -> Value {
    json!({
        "type": "deb",
        "name": repo.name,
        "uri": bareon_image::shown(&repo.uri),
        "suite": repo.suite,
        "section": repo.section,
        "priority": repo.priority,
        "meta": null,
    })
}

/// The sums of a file.
struct Sums {
    md5: String,
    sha256: String,
    size: u64,
}

impl Sums {
    fn of(path: &Path) -> io::Result<Self> {
        let (mut md5, mut sha256) = (Md5::new(), Sha256::new());
        let mut file = File::open(path)?;
        let (mut buffer, mut size) = (vec![0; CHUNK], 0);
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            md5.update(&buffer[..read]);
            sha256.update(&buffer[..read]);
            size += read as u64;
        }
        Ok(Self { md5: digest::hex(&md5.finalize()), sha256: digest::hex(&sha256.finalize()), size })
    }
}
