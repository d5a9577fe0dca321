//! Images: where each goes, and what is known of it.

use std::collections::BTreeMap;

use bareon_image::Container;

use super::{
    Document, Report,
    document::{self, Holds},
    keep::Kept,
    names::{At, Names, holders},
    tables::Layout,
};
use crate::{
    drivers::{
        Facts,
        nailgun::{
            document::{ImageSource, known_containers},
            metadata::Metadata,
        },
    },
    objects::{Image, ImageScheme},
};

/// The images of a document.
#[derive(Debug, Default)]
pub struct Images {
    /// What is written where.
    pub scheme: ImageScheme,
    /// The operating system's name by the metadata of the root image.
    pub os: Option<String>,
}

/// Reads the images.
pub fn read(
    document: &Document,
    names: &Names,
    kept: &Kept,
    layout: &mut Layout,
    facts: &Facts<'_>,
    report: &mut Report<'_>,
) -> Images {
    let mut sources = Vec::new();
    let mut targets: BTreeMap<At, String> = BTreeMap::new();
    for (i, image) in document.images.iter().enumerate() {
        let path = format!("/images/{i}");
        let container = container(image, &path, report);
        let Some((at, holder)) = target(document, names, image, &path, report) else { continue };
        if let Some(other) = targets.insert(at, path.clone()) {
            report.wrong(
                &format!("{path}/target"),
                format!("{other} is written there, too"),
                "write one image there",
            );
        }
        if kept.is_kept(at) {
            let problem = format!("{} is preserved, and this image would overwrite it", at.path());
            report.wrong(&format!("{path}/target"), problem, "leave the image or `preserve` out");
        }
        let format = format(image, holder, &path, report);
        if let (Some(url), Some(container), Some(format)) = (&image.url, container, format) {
            let mount = holder.mount().unwrap_or_default().to_owned();
            let uri = url.clone();
            sources.push((at, image, ImageSource { path, mount, uri, format, container }));
        }
    }
    layout.images(sources, facts, report)
}

/// How the image is packed, as it says; else its first bytes will tell.
fn container(image: &document::Image, path: &str, report: &mut Report<'_>) -> Option<String> {
    const OTHERS: [&str; 5] = [".zip", ".7z", ".tar", ".tgz", ".qcow2"];
    if let Some(container) = &image.container {
        let known = Container::announced(container).is_ok();
        if !known {
            let problem = "this container is not known";
            report.wrong(&format!("{path}/container"), problem, known_containers());
        }
        return known.then(|| container.clone());
    }
    let url = image.url.as_deref()?;
    let name = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let packed = Container::by_ending(&name).and_then(|_| name.rsplit_once('.'));
    let inside = packed.map_or(&*name, |(inside, _)| inside);
    if let Some(other) = OTHERS.iter().find(|ending| name.ends_with(*ending) || inside.ends_with(*ending)) {
        let problem = format!("an image that ends in `{other}` is not unpacked");
        let remedy = format!("pack the file system itself; or say its `container`: {}", known_containers());
        report.wrong(&format!("{path}/url"), problem, remedy);
        return None;
    }
    Some(Container::AUTO.to_owned())
}

/// What the image is written to.
fn target<'d>(
    document: &'d Document,
    names: &Names,
    image: &document::Image,
    path: &str,
    report: &mut Report<'_>,
) -> Option<(At, &'d dyn Holds)> {
    let target = image.target.as_deref()?;
    let all = holders(document);
    let find = |wanted: At| all.iter().find(|(at, _)| *at == wanted).copied();
    let found = if target.starts_with('/') {
        all.iter().find(|(_, holder)| holder.mount() == Some(target)).copied()
    } else if let Some((group, volume)) = target.split_once('/') {
        let i = document.volume_groups.iter().position(|it| it.name.as_deref() == Some(group));
        i.and_then(|i| {
            let volumes = &document.volume_groups[i].logical_volumes;
            find(At::Volume(i, volumes.iter().position(|it| it.name.as_deref() == Some(volume))?))
        })
    } else {
        names.thing(target).and_then(find)
    };
    if found.is_none() {
        let remedy =
            "write a mount point of the document, the name of a partition or array, or `group/volume`";
        report.wrong(
            &format!("{path}/target"),
            "nothing is mounted there, and nothing has this name",
            remedy,
        );
    }
    found
}

/// The file system within.
fn format(
    image: &document::Image,
    holder: &dyn Holds,
    path: &str,
    report: &mut Report<'_>,
) -> Option<String> {
    match (&image.format, holder.format()) {
        (Some(image), Some(layout)) if image != layout => {
            let problem = format!("its target is to be {layout}");
            report.wrong(
                &format!("{path}/format"),
                problem,
                "write what the image holds, in one of the two places",
            );
            None
        }
        (Some(format), _) => Some(format.clone()),
        (None, Some(format)) => Some(format.to_owned()),
        (None, None) if holder.is_formatted() => None,
        (None, None) => {
            report.wrong(
                &format!("{path}/format"),
                "it is not said which file system this holds",
                "write ext4, …",
            );
            None
        }
    }
}

impl Layout {
    fn images(
        &mut self,
        sources: Vec<(At, &document::Image, ImageSource)>,
        facts: &Facts<'_>,
        report: &mut Report<'_>,
    ) -> Images {
        let told = |image: &document::Image| {
            let image = known(image, Image::default());
            !(image.sums().is_empty() && image.container_sums().is_empty())
        };
        // Where the document has all sums, nothing needs to be fetched; where it has mistakes, nothing is worth it.
        let metadata = if report.mistakes().is_empty() && !sources.iter().all(|(_, image, _)| told(image)) {
            let sources: Vec<_> = sources.iter().map(|(.., source)| source.clone()).collect();
            Metadata::fetch(&sources, facts)
        } else {
            Metadata::default()
        };
        let mut scheme = ImageScheme::new();
        for (at, image, source) in sources {
            let Some((device, _)) = self.devices.get(&at).cloned() else { continue };
            let object = format!("/image_scheme/{}", scheme.len());
            for (key, input) in [
                ("uri", "url"),
                ("target_device", "target"),
                ("size", "raw_size"),
                ("md5", "raw_md5"),
                ("sha1", "raw_sha1"),
                ("sha256", "raw_sha256"),
                ("sha512", "raw_sha512"),
                ("blake3", "raw_blake3"),
            ] {
                self.origins.at(format!("{object}/{key}"), format!("{}/{input}", source.path));
            }
            self.origins.under(object, &*source.path);
            scheme.push(known(image, metadata.image(&source, device)));
        }
        Images { scheme, os: metadata.os_name() }
    }
}

/// What the document knows of an image, and what else is known of it.
fn known(image: &document::Image, other: Image) -> Image {
    let or = |sum: &Option<String>, other: Option<String>| sum.clone().or(other);
    Image {
        mirrors: image.mirrors.clone(),
        size: image.raw_size.or(other.size),
        md5: or(&image.raw_md5, other.md5),
        sha1: or(&image.raw_sha1, other.sha1),
        sha256: or(&image.raw_sha256, other.sha256),
        sha512: or(&image.raw_sha512, other.sha512),
        blake3: or(&image.raw_blake3, other.blake3),
        container_md5: or(&image.container_md5, other.container_md5),
        container_sha1: or(&image.container_sha1, other.container_sha1),
        container_sha256: or(&image.container_sha256, other.container_sha256),
        container_sha512: or(&image.container_sha512, other.container_sha512),
        container_blake3: or(&image.container_blake3, other.container_blake3),
        index_sha256: or(&image.index_sha256, other.index_sha256),
        ..other
    }
}
