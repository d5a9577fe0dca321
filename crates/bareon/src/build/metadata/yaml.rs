//! The metadata themselves: the YAML file that `bareon-provision` and the callers of the original read.
//!
//! It is written by the library that reads it, told to quote every text: a sum of digits alone, or one like `1e5`, or a
//! package called `on`, would be a number or a yes to one reader or another of YAML.

use bareon_image::shown;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Contents, Document, Facts, MetadataError, Package, version};

/// The keys, in the order in which they are written.
#[derive(Serialize)]
struct Metadata<'a> {
    os: Os,
    images: Vec<Image<'a>>,
    repos: Vec<Repo<'a>>,
    /// Those that were asked for.
    packages: &'a [String],
    /// Those that are there, with their versions.
    all_packages: Map<String, Value>,
    documents: Vec<Sum<'a>>,
    input_sha256: &'a str,
    generator: String,
}

#[derive(Serialize)]
struct Os {
    name: String,
    major: Value,
    minor: Value,
    codename: String,
    id: String,
    version: String,
}

#[derive(Serialize)]
struct Image<'a> {
    container: &'static str,
    container_md5: &'a str,
    container_name: String,
    container_sha256: &'a str,
    container_size: u64,
    format: &'a str,
    raw_md5: &'a str,
    /// Callers know the key; the file is gone.
    raw_name: Option<&'a str>,
    raw_sha256: &'a str,
    raw_size: u64,
}

#[derive(Serialize)]
struct Repo<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'a str,
    uri: String,
    suite: &'a str,
    section: &'a str,
    priority: Option<i32>,
    meta: Option<&'a str>,
}

#[derive(Serialize)]
struct Sum<'a> {
    name: &'a str,
    sha256: &'a str,
}

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
    let metadata = Metadata {
        os: Os {
            name: os.known_name(),
            major: os.major(),
            minor: os.minor(),
            codename: os.codename.clone().unwrap_or_else(|| facts.scheme.codename.clone()),
            id: os.id.clone(),
            version: os.full_version().to_owned(),
        },
        images: images(facts),
        repos: repos(facts),
        packages: &facts.scheme.packages,
        all_packages: versions(contents.packages.iter().map(|licensed| &licensed.package)),
        documents: documents.iter().map(|it| Sum { name: &it.name, sha256: &it.sha256 }).collect(),
        input_sha256: facts.input_sha256,
        generator: format!("bareon-build-image {}", version()),
    };
    let options = serde_saphyr::ser_options! { quote_all: true, prefer_block_scalars: false };
    serde_saphyr::to_string_with_options(&metadata, options)
        .map_err(|error| MetadataError::Yaml { why: error.to_string() })
}

fn images<'a>(facts: &Facts<'a>) -> Vec<Image<'a>> {
    let told = |built: &'a super::Built| {
        let packed = &built.packed;
        Image {
            container: built.container.name(),
            container_md5: &packed.container_md5,
            container_name: built.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            container_sha256: &packed.container_sha256,
            container_size: packed.container_size,
            format: &built.format,
            raw_md5: &packed.raw_md5,
            raw_name: None,
            raw_sha256: &packed.raw_sha256,
            raw_size: packed.raw_size,
        }
    };
    facts.images.iter().map(told).collect()
}

fn repos<'a>(facts: &Facts<'a>) -> Vec<Repo<'a>> {
    let told = |repo: &'a crate::objects::build::Repo| Repo {
        kind: "deb",
        name: &repo.name,
        uri: shown(&repo.uri),
        suite: &repo.suite,
        section: &repo.section,
        priority: repo.priority,
        meta: None,
    };
    facts.scheme.repos.iter().map(told).collect()
}

/// The versions of packages by name; one that is there for several architectures is told with each.
pub fn versions<'a>(packages: impl Iterator<Item = &'a Package>) -> Map<String, Value> {
    let mut versions = Map::new();
    for package in packages {
        let name = &package.name;
        let key = if versions.contains_key(name) {
            format!("{name}:{}", package.architecture)
        } else {
            name.clone()
        };
        versions.insert(key, package.version.as_str().into());
    }
    versions
}
