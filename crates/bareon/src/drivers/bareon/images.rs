//! Images: where each goes, and what is known of it.

use std::collections::BTreeMap;

use bareon_image::Container;

use super::{
    Document, Report,
    document::{self, Holds},
    keep::Kept,
    names::{At, Names, holders, whole_disks},
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
    objects::{
        Image, ImageScheme,
        image::{DISK, QCOW2, TAR},
    },
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
    let whole = whole_disks(document, names);
    for (i, image) in document.images.iter().enumerate() {
        let path = format!("/images/{i}");
        let container = container(image, &path, report);
        let disk = whole.iter().find(|(_, image)| **image == i).map(|(disk, _)| At::Disk(*disk));
        let found = match disk {
            Some(at) => Some((at, None)),
            None => target(document, names, image, &path, report).map(|(at, holder)| (at, Some(holder))),
        };
        let Some((at, holder)) = found else { continue };
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
        let format = match holder {
            Some(holder) => format(image, holder, &path, report),
            None => whole_format(image, &path, report),
        };
        if image.grow.is_some() && holder.is_some() {
            let problem = "only the last partition of a whole disk is asked about";
            report.wrong(
                &format!("{path}/grow"),
                problem,
                "leave it out: a file system fills its device anyhow",
            );
        }
        if let (Some(url), Some(container), Some(format)) = (&image.url, container, format) {
            // The metadata are those of the image that the machine boots from.
            let mount = holder.map_or("/", |holder| holder.mount().unwrap_or_default()).to_owned();
            let uri = url.clone();
            sources.push((at, image, ImageSource { path, mount, uri, format, container }));
        }
    }
    layout.images(sources, facts, report)
}

/// How the image is packed, as it says; else its first bytes will tell.
fn container(image: &document::Image, path: &str, report: &mut Report<'_>) -> Option<String> {
    const OTHERS: [&str; 5] = [".zip", ".7z", ".tar", ".tgz", ".qcow2"];
    let format = image.format.as_deref().unwrap_or_default();
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
        let meant = match *other {
            ".tar" | ".tgz" => Some(TAR),
            ".qcow2" => Some(QCOW2),
            _ => None,
        };
        if meant == Some(format) {
            return Some(Container::AUTO.to_owned());
        }
        let problem = format!("an image that ends in `{other}` is not unpacked unless its `format` says so");
        let remedy = match meant {
            Some(meant) => format!("write `format: {meant}`; or say its `container`: {}", known_containers()),
            None => format!("pack the file system itself; or say its `container`: {}", known_containers()),
        };
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
        let remedy = "write a mount point of the document, the name of a partition, an array or a disk, or `group/volume`";
        report.wrong(
            &format!("{path}/target"),
            "nothing is mounted there, and nothing has this name",
            remedy,
        );
    }
    found
}

/// What an image for a whole disk is of.
fn whole_format(image: &document::Image, path: &str, report: &mut Report<'_>) -> Option<String> {
    let format = image.format.as_deref();
    if let Some(format @ (DISK | QCOW2)) = format {
        return Some(format.to_owned());
    }
    let problem = format.map_or("it is not said what this is of".to_owned(), |format| {
        format!("{format} is for a partition, and its target is a disk")
    });
    report.wrong(
        &format!("{path}/format"),
        problem,
        "write `disk` or `qcow2`, or name a partition as `target`",
    );
    None
}

/// The file system within.
fn format(
    image: &document::Image,
    holder: &dyn Holds,
    path: &str,
    report: &mut Report<'_>,
) -> Option<String> {
    match (&image.format, holder.format()) {
        (Some(files), Some(_)) if files == TAR || files == QCOW2 => Some(files.clone()),
        (Some(files), None) if files == TAR || files == QCOW2 => {
            let problem = format!("it is not said which file system the {files} is for");
            report.wrong(&format!("{path}/target"), problem, "write the `format` of the partition or volume");
            None
        }
        (Some(disk), _) if disk == DISK => {
            let problem = "an image of a whole disk is written to a disk";
            report.wrong(&format!("{path}/target"), problem, "write the `name` of a disk");
            None
        }
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
        grow: image.grow.unwrap_or(false),
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
