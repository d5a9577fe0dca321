//! What a registry says an artifact consists of: manifests and indexes of OCI and of Docker's second version.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The types of documents that are understood, as they are asked for.
pub const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// Where the name of a file stands.
const TITLE: &str = "org.opencontainers.image.title";

/// The type of what stands where nothing is.
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Something in the registry, by its SHA-256 sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// In hex, lower case.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// Where a document leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leads {
    /// To another document.
    Manifest(Content),
    /// To a file.
    File(Content),
}

#[derive(Deserialize)]
struct Document {
    manifests: Option<Vec<Descriptor>>,
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

impl Descriptor {
    fn content(&self) -> Result<Content, String> {
        let sha256 = sha256(&self.digest).ok_or_else(|| {
            format!(
                "`{}` is no sha256 digest, and no other is understood; push it again so",
                short(&self.digest)
            )
        })?;
        Ok(Content { sha256, size: self.size })
    }

    fn is_for(&self, architecture: &str) -> bool {
        self.platform.as_ref().is_some_and(|p| p.os == "linux" && p.architecture == architecture)
    }

    fn title(&self) -> Option<&str> {
        self.annotations.get(TITLE).map(String::as_str)
    }
}

/// The sum in a digest such as `sha256:…`.
pub fn sha256(digest: &str) -> Option<String> {
    digest.strip_prefix("sha256:").filter(|hex| super::super::part::is_sum(hex)).map(str::to_ascii_lowercase)
}

/// This machine's architecture, as registries call it.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Where a document leads that is looked at for the file called `name`, or the only one.
///
/// # Errors
/// When that cannot be told: why, and what to do.
pub fn leads(document: &[u8], name: Option<&str>, architecture: &str) -> Result<Leads, String> {
    let document: Document = serde_json::from_slice(document).map_err(|e| {
        format!("it is no manifest of OCI or Docker's second version ({e}); push it again as one")
    })?;
    match (&document.manifests, &document.layers) {
        (Some(manifests), None) => one(manifests, architecture)?.content().map(Leads::Manifest),
        (None, Some(layers)) => file(layers, name)?.content().map(Leads::File),
        _ => Err("it is neither a manifest nor an index; push the image as an OCI artifact".to_owned()),
    }
}

/// The only one of an index, or the only one for this machine.
fn one<'a>(manifests: &'a [Descriptor], architecture: &str) -> Result<&'a Descriptor, String> {
    if let [only] = manifests {
        return Ok(only);
    }
    match manifests.iter().filter(|manifest| manifest.is_for(architecture)).collect::<Vec<_>>()[..] {
        [only] => Ok(only),
        [] => Err(format!(
            "its index has nothing for linux/{architecture}; name the one wanted by its @sha256:…"
        )),
        [..] => Err(format!(
            "its index has several for linux/{architecture}; name the one wanted by its @sha256:…"
        )),
    }
}

fn file<'a>(layers: &'a [Descriptor], name: Option<&str>) -> Result<&'a Descriptor, String> {
    let files: Vec<_> = layers.iter().filter(|layer| layer.media_type != EMPTY).collect();
    let wanted = |layer: &&&Descriptor| name.is_none_or(|name| layer.title() == Some(name));
    let names = || {
        let names: Vec<_> =
            files.iter().map(|layer| short(layer.title().unwrap_or("(without a name)"))).collect();
        names.join(", ")
    };
    let found: Vec<_> = files.iter().filter(wanted).collect();
    match (&found[..], name) {
        ([only], _) => Ok(only),
        ([], None) => Err("it holds no file; push the image as an OCI artifact".to_owned()),
        ([..], None) => Err(format!("it holds several files: put #NAME behind the address, of {}", names())),
        ([], Some(name)) => Err(format!("it holds no file `{}`; there are {}", short(name), names())),
        ([..], Some(name)) => {
            Err(format!("it holds several files `{}`; push it again with one", short(name)))
        }
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    use super::*;

    fn digest(digit: char) -> String {
        format!("sha256:{}", String::from(digit).repeat(64))
    }

    fn content(digit: char, size: u64) -> Content {
        Content { sha256: String::from(digit).repeat(64), size }
    }

    fn layer(digit: char, title: &str) -> Value {
        json!({"mediaType": "application/octet-stream", "digest": digest(digit), "size": 5, "annotations": {TITLE: title}})
    }

    fn of(document: &Value, name: Option<&str>) -> Result<Leads, String> {
        leads(document.to_string().as_bytes(), name, "amd64")
    }

    #[test]
    fn a_manifest_leads_to_its_only_file_or_to_the_one_named() {
        let empty = json!({"mediaType": EMPTY, "digest": digest('e'), "size": 2});
        let one = json!({"schemaVersion": 2, "layers": [empty, layer('a', "root.img")]});
        assert_eq!(of(&one, None), Ok(Leads::File(content('a', 5))));
        assert_eq!(of(&one, Some("root.img")), Ok(Leads::File(content('a', 5))));
        let two = json!({"layers": [layer('a', "root.img"), layer('B', "boot.img")]});
        assert_eq!(of(&two, Some("boot.img")), Ok(Leads::File(content('b', 5))));
        for (document, name, part) in [
            (&two, None, "put #NAME behind the address, of root.img, boot.img"),
            (&two, Some("x"), "no file `x`; there are root.img, boot.img"),
            (&json!({"layers": [empty]}), None, "holds no file;"),
            (&json!({"layers": [layer('a', "x"), layer('b', "x")]}), Some("x"), "several files `x`"),
            (&json!({"schemaVersion": 1, "fsLayers": []}), None, "neither a manifest nor an index"),
            (
                &json!({"layers": [{"digest": "sha512:00", "size": 1}]}),
                None,
                "`sha512:00` is no sha256 digest",
            ),
            (&json!({"layers": [{"digest": digest('a'), "size": -1}]}), None, "is no manifest"),
            (&json!("text"), None, "is no manifest"),
        ] {
            let why = of(document, name).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn an_index_leads_to_its_only_manifest_or_to_that_for_this_machine() {
        let manifest = |digit, os: &str, architecture: &str| json!({"digest": digest(digit), "size": 9, "platform": {"os": os, "architecture": architecture}});
        let only = json!({"manifests": [{"digest": digest('c'), "size": 9}]});
        assert_eq!(of(&only, Some("any")), Ok(Leads::Manifest(content('c', 9))));
        let several = json!({"manifests": [
            manifest('a', "linux", "arm64"), manifest('b', "linux", "amd64"), manifest('c', "unknown", "unknown"),
        ]});
        assert_eq!(of(&several, None), Ok(Leads::Manifest(content('b', 9))));
        let why = leads(several.to_string().as_bytes(), None, "s390x").unwrap_err();
        assert!(why.contains("nothing for linux/s390x"), "{why}");
        let twice = json!({"manifests": [manifest('a', "linux", "amd64"), manifest('b', "linux", "amd64")]});
        assert!(of(&twice, None).unwrap_err().contains("several for linux/amd64"));
    }

    proptest! {
        /// A byte changed anywhere gives an error, or leads to something of a right sum all the same.
        #[test]
        fn a_damaged_document_leads_nowhere_else(at: proptest::sample::Index, to in any::<u8>(), cut in any::<bool>()) {
            let sound = json!({"schemaVersion": 2, "layers": [layer('a', "root.img"), layer('b', "boot.img")]});
            let mut bytes = sound.to_string().into_bytes();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = to }
            if let Ok(Leads::File(found)) = leads(&bytes, Some("root.img"), "amd64") {
                assert!(super::super::super::part::is_sum(&found.sha256), "{found:?}");
                assert!(!cut, "{found:?}");
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, name in proptest::option::of(".{0,20}")) {
            assert!(leads(&bytes, name.as_deref(), "amd64").is_err());
        }
    }
}
