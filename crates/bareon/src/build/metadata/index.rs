//! The metadata themselves: the YAML file that `bareon-provision` and the callers of the original read.
//!
//! It is written by the library that reads it, told to quote each text: a sum of digits alone, or one like `1e5`, would
//! be a number to one reader or another.

use bareon_image::shown;
use serde_json::{Map, Value, json};

use super::{Built, Contents, Document, Facts, MetadataError, Package, version};
use crate::{digest::sha256, objects::Repo};

/// The text of the metadata.
///
/// # Errors
/// When the library refuses.
pub fn document(
    facts: &Facts<'_>,
    contents: &Contents<'_>,
    documents: &[Document],
) -> Result<String, MetadataError> {
    let os = &contents.os;
    let packages = contents.packages.iter().map(|licensed| &licensed.package);
    let told = |it: &Document| json!({ "name": it.name, "sha256": it.sha256 });
    let metadata = json!({
        "os": {
            "name": os.known_name(),
            "major": os.major(),
            "minor": os.minor(),
            "codename": os.codename.as_ref().unwrap_or(&facts.scheme.codename),
            "id": os.id,
            "version": os.full_version(),
        },
        "images": facts.images.iter().map(image).collect::<Vec<_>>(),
        "repos": facts.scheme.repos.iter().map(repo).collect::<Vec<_>>(),
        // Those that were asked for, as the original has it; then those that are there.
        "packages": facts.scheme.packages,
        "all_packages": versions(packages),
        "documents": documents.iter().map(told).collect::<Vec<_>>(),
        "input_sha256": facts.input_sha256,
        "generator": format!("bareon-build-image {}", version()),
    });
    let options = serde_saphyr::ser_options! { quote_all: true, prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&metadata, options)
        .map_err(|error| MetadataError::Yaml { why: error.to_string() })
}

fn image(built: &Built) -> Value {
    let packed = &built.packed;
    let index = packed.index.as_ref();
    let name = built.file.file_name().unwrap_or_default().to_string_lossy();
    let mut told = json!({
        "container_name": name,
        "container": built.container.name(),
        "container_size": packed.container_size,
        "container_md5": packed.container_md5,
        "container_sha256": packed.container_sha256,
        "format": built.format,
        // Callers know the key; the file is gone.
        "raw_name": null,
        "raw_size": packed.raw_size,
        "raw_md5": packed.raw_md5,
        "raw_sha256": packed.raw_sha256,
        "index_name": index.map(|_| format!("{name}{}", bareon_image::index::SUFFIX)),
        "index_sha256": index.map(|index| sha256(index.to_bytes())),
    });
    if let Some(sum) = &built.torrent_sha256 {
        told["torrent_name"] = format!("{name}.torrent").into();
        told["torrent_sha256"] = sum.as_str().into();
    }
    told
}

fn repo(repo: &Repo) -> Value {
    json!({
        "type": "deb",
        "name": repo.name,
        "uri": shown(&repo.uri),
        "suite": repo.suite,
        "section": repo.section,
        "priority": repo.priority,
        "meta": null,
    })
}

/// The versions of packages by name; of one that is there for several architectures, the later ones are told with
/// theirs: `libc6:i386`.
pub fn versions<'a>(packages: impl Iterator<Item = &'a Package>) -> Map<String, Value> {
    let mut versions = Map::new();
    for package in packages {
        let name = &package.name;
        let again = versions.contains_key(name);
        let key = if again { format!("{name}:{}", package.architecture) } else { name.clone() };
        versions.insert(key, package.version.as_str().into());
    }
    versions
}
