//! The metadata of images: a YAML file beside the root image that its builder wrote.
//!
//! It comes over the network, so nothing of it is trusted to have the right shape: what is odd is
//! logged and left out, and the deployment goes on without it.

use serde_json::Value;

use super::document::ImageSource;
use crate::{
    drivers::Facts,
    input,
    objects::{Image, OperatingSystem},
};

/// The names of operating systems that the boot loader's step knows.
const SYSTEMS: [&str; 3] = ["Centos", "Ubuntu", "OperatingSystem"];

/// The metadata, empty where there is none.
#[derive(Debug, Default)]
pub struct Metadata(Value);

impl Metadata {
    /// Fetches and reads the metadata that belongs to the root image.
    pub fn fetch(images: &[ImageSource], facts: &Facts<'_>) -> Self {
        let Some(root) = images.iter().find(|image| image.mount == "/") else { return Self::default() };
        let uri = address(&root.uri);
        match (facts.image_metadata)(&uri).map(|text| input::parse(&text)) {
            Some(Ok(value @ Value::Object(_))) => Self(value),
            Some(Ok(_)) => ignored(&uri, "it holds no keys"),
            Some(Err(error)) => ignored(&uri, &error.to_string()),
            None => {
                tracing::debug!("there is no image metadata at {}", bareon_image::shown(&uri));
                Self::default()
            }
        }
    }

    /// The operating system of the root image.
    pub fn os(&self) -> Option<OperatingSystem> {
        let os = self.0.get("os")?;
        if let Some(name) = self.os_name().filter(|name| !SYSTEMS.contains(&name.as_str())) {
            tracing::info!(
                "image metadata: the image brings {name}; what its name does not tell, the profile does"
            );
            return None;
        }
        let found = || {
            let name = os.get("name")?.as_str().filter(|name| SYSTEMS.contains(name))?;
            let (major, minor) = (version(os.get("major")?)?, version(os.get("minor")?)?);
            Some(OperatingSystem { name: name.into(), major, minor })
        };
        let found = found();
        if found.is_none() {
            tracing::warn!("image metadata: `os` is left out: it lacks `name`, `major` or `minor`");
        }
        found
    }

    /// The name of the operating system, whether rules are known for it or not.
    pub fn os_name(&self) -> Option<String> {
        const LONGEST: usize = 64;
        let name = self.0.get("os")?.get("name")?.as_str()?.trim();
        let plain = !name.is_empty() && name.len() <= LONGEST && !name.contains(char::is_control);
        plain.then(|| name.to_owned())
    }

    /// An image as the input has it, with what the metadata knows of it.
    pub fn image(&self, source: &ImageSource, target_device: String) -> Image {
        let known = self.known(&source.uri);
        let get = |key: &str| known.and_then(|image| image.get(key)).filter(|value| !value.is_null());
        let size = get("raw_size").and_then(|size| odd("raw_size", size, size.as_u64()));
        let text = |key: &str| get(key).and_then(|sum| odd(key, sum, sum.as_str().map(str::to_owned)));
        let image = Image {
            uri: source.uri.clone(),
            target_device,
            format: source.format.clone(),
            container: source.container.clone(),
            size,
            md5: text("raw_md5"),
            sha1: text("raw_sha1"),
            sha256: text("raw_sha256"),
            sha512: text("raw_sha512"),
            blake3: text("raw_blake3"),
            container_sha256: text("container_sha256"),
            container_sha512: text("container_sha512"),
            container_blake3: text("container_blake3"),
            index_sha256: text("index_sha256"),
            ..Image::default()
        };
        if image.sums().is_empty() && image.container_sums().is_empty() {
            // They say no more than any other, and computing them takes time.
            return Image {
                container_md5: text("container_md5"),
                container_sha1: text("container_sha1"),
                ..image
            };
        }
        image
    }

    fn known(&self, uri: &str) -> Option<&Value> {
        let images = self.0.get("images")?;
        let Some(images) = images.as_array() else {
            tracing::warn!("image metadata: `images` is left out: it is no list");
            return None;
        };
        // A torrent is called after its image.
        let name = base_name(uri);
        let name = name.strip_suffix(".torrent").unwrap_or(name);
        images.iter().find(|image| image.get("container_name").and_then(Value::as_str) == Some(name))
    }
}

fn ignored(uri: &str, why: &str) -> Metadata {
    let uri = bareon_image::shown(uri);
    tracing::warn!("the image metadata at {uri} is left out: {why}");
    Metadata::default()
}

/// `read`, with a line in the log where it is nothing.
fn odd<T>(key: &str, value: &Value, read: Option<T>) -> Option<T> {
    if read.is_none() {
        tracing::warn!("image metadata: `{key}` is left out: {value} is not of its type");
    }
    read
}

/// A part of a version: a number, or a text of digits.
fn version(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(digits) => digits.parse::<u64>().ok().map(Value::from),
        _ => None,
    }
}

/// Where the metadata lies: in the root image's folder or its artifact in a registry, by its name up to the first dot.
fn address(uri: &str) -> String {
    if let Some((artifact, name)) = in_artifact(uri) {
        return format!("{artifact}#{}.yaml", name.split('.').next().unwrap_or_default());
    }
    let path = without_query(uri);
    let name = base_name(uri);
    let stem = name.split('.').next().unwrap_or_default();
    format!("{}{stem}.yaml", &path[..path.len() - name.len()])
}

/// An artifact in a registry, and the name of a file that is told apart in it.
fn in_artifact(uri: &str) -> Option<(&str, &str)> {
    uri.split_once('#').filter(|(artifact, _)| artifact.starts_with("oci:") || artifact.starts_with("oci+"))
}

/// The last part of a URI's path.
pub fn base_name(uri: &str) -> &str {
    if let Some((_, name)) = in_artifact(uri) {
        return name;
    }
    let path = without_query(uri);
    let from = path.find("://").map_or(0, |at| at + 3);
    match path[from..].rfind('/') {
        Some(slash) => &path[from + slash + 1..],
        None if from > 0 => "",
        None => path,
    }
}

fn without_query(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::prop_assert, proptest, sample::select};
    use serde_json::json;

    use super::*;

    /// What metadata are made of, and what they had better not be.
    const WORDS: [&str; 32] = [
        "images:\n",
        "os:\n",
        "- ",
        "  ",
        "\n",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "&a ",
        "*a",
        "<<: ",
        "!!int ",
        "!!binary ",
        "container_name: i.img.gz",
        "raw_size: ",
        "raw_md5: ",
        "container_sha256: ",
        "name: ",
        "major: ",
        "minor: ",
        "5",
        "-1",
        "1e99",
        "18446744073709551616",
        "0x1f",
        "~",
        "'aa'",
        "\"\\e[2J\"",
        "|\n",
    ];

    proptest! {
        #[test]
        fn any_metadata_are_survived(words in vec(select(WORDS.as_slice()), 0..60)) {
            let metadata = read(&words.concat());
            let found = metadata.image(&image("http://h/a/i.img.gz"), "/dev/sda4".into());
            prop_assert!(found.target_device == "/dev/sda4");
            if let Some(os) = metadata.os() {
                prop_assert!(SYSTEMS.contains(&os.name.as_str()));
            }
            // It goes to consoles.
            prop_assert!(metadata.os_name().is_none_or(|name| !name.contains(char::is_control)));
        }
    }

    fn image(uri: &str) -> ImageSource {
        let (format, container) = ("ext4".into(), "gzip".into());
        ImageSource { path: String::new(), mount: "/".into(), uri: uri.into(), format, container }
    }

    fn read(text: &str) -> Metadata {
        let fetch = |_: &str| Some(text.to_owned());
        let facts = Facts {
            devices: &[],
            image_metadata: &fetch,
            prepare_configdrive: true,
            configdrive_exists: false,
        };
        Metadata::fetch(&[image("http://h/a/i.img.gz")], &facts)
    }

    #[test]
    fn metadata_lies_beside_the_image() {
        for (uri, want) in [
            ("http://h/a/env_1.img.gz", "http://h/a/env_1.yaml"),
            ("http://h:80/a/img.img.gz?x=1.2/y#z", "http://h:80/a/img.yaml"),
            ("file:///var/img.img.gz", "file:///var/img.yaml"),
            ("tftp://h/var/img.img.gz", "tftp://h/var/img.yaml"),
            ("oci://h:5000/a/b:1#img.img.gz", "oci://h:5000/a/b:1#img.yaml"),
            ("images/img.img.gz", "images/img.yaml"),
            ("img", "img.yaml"),
            ("http://h/a/", "http://h/a/.yaml"),
            ("http://h/a/.img.gz", "http://h/a/.yaml"),
            ("http://h", "http://h.yaml"),
            ("", ".yaml"),
        ] {
            assert_eq!(address(uri), want, "{uri}");
        }
    }

    #[test]
    fn sums_and_sizes_are_taken_from_the_first_image_of_that_name() {
        let metadata = read(
            "images:\n- {container_name: i.img.gz, raw_size: 5, raw_sha256: aa, container_sha256: bb}\n\
             - {container_name: i.img.gz, raw_size: 6, raw_md5: x}\n",
        );
        let found = metadata.image(&image("http://h/a/i.img.gz"), "/dev/sda4".into());
        assert_eq!((found.size, found.md5.as_deref()), (Some(5), None));
        assert_eq!((found.sha256.as_deref(), found.container_sha256.as_deref()), (Some("aa"), Some("bb")));
        assert_eq!(metadata.image(&image("http://h/a/j.img.gz"), String::new()).size, None);
    }

    #[test]
    fn what_is_odd_is_left_out() {
        for text in [
            "",
            "- a",
            "a: [1",
            "images: {a: b}",
            "images: [7]",
            "images:\n- {container_name: i.img.gz, raw_size: '12', raw_md5: 5}",
        ] {
            let found = read(text).image(&image("http://h/a/i.img.gz"), String::new());
            assert_eq!((found.size, found.md5), (None, None), "{text}");
        }
        for text in [
            "os: Ubuntu",
            "os: {}",
            "os: {name: Debian, major: 8, minor: 2}",
            "os: {name: Ubuntu, major: 14}",
            "os: !!python/object/apply:os.getcwd []",
        ] {
            assert_eq!(read(text).os(), None, "{text}");
        }
        for (text, name) in [
            ("os: {name: Debian, major: 8, minor: 2}", Some("Debian")),
            ("os: {name: Ubuntu}", Some("Ubuntu")),
            ("os: {name: \"a\\nb\"}", None),
            ("os: {name: 7}", None),
            ("os: Debian", None),
        ] {
            assert_eq!(read(text).os_name().as_deref(), name, "{text}");
        }
        let os = read("os: {name: Centos, major: '6', minor: 5}").os().unwrap();
        assert_eq!((os.name.as_str(), os.major), ("Centos", json!(6)));
    }
}
