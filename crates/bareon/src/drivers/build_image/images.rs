//! Images: which file systems, in which files.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use super::{Told, given, is_plain_absolute};
use crate::{
    drivers::{Mistake, mistake::pointer, nailgun::metadata::base_name, place::Place},
    objects::build::{Container, DiskImage, ImageFormat, TarImage, TreeImage},
};

/// The images of a document.
#[derive(Debug)]
pub(super) struct Images {
    /// Each file system's, where all is known of it.
    pub images: Vec<TreeImage>,
    /// Their metadata.
    pub metadata: Option<PathBuf>,
}

impl Images {
    /// Refuses that one file is written twice: an image, what lies beside it (`more`, with its place), the metadata.
    pub fn names_differ<'p>(
        &mut self,
        root: &Place<'_>,
        more: impl Iterator<Item = (&'static str, &'p Path)>,
        told: &mut Told,
    ) {
        let mut seen: BTreeMap<&Path, String> = BTreeMap::new();
        if let Some(path) = &self.metadata {
            seen.insert(path, "the metadata of the images".into());
        }
        let images = root.get("image_data").into_iter().flat_map(|data| {
            let path = data.path.clone();
            self.images
                .iter()
                .map(move |image| (pointer(&path, &image.mount.to_string_lossy()), &*image.file))
        });
        for (place, file) in images.chain(more.map(|(place, file)| (place.to_owned(), file))) {
            let uri = format!("{place}/uri");
            if let Some(other) = seen.insert(file, place) {
                let problem = format!("{} is the file of {other}, too", file.display());
                told.deferred.push(Mistake::new(uri, None, problem, "give each its own file name"));
            }
        }
    }
}

/// The images of `image_data`, in files below `output`.
pub(super) fn read(root: &Place<'_>, output: &Path, told: &mut Told) -> Option<Images> {
    let remedy = "write an image for each mount point, for / at least: {\"/\": {\"uri\": …, \"format\": \"ext4\", \
                  \"container\": \"gzip\"}}";
    let data = root.need_object("image_data", remedy, &mut told.mistakes)?;
    if data.get("/").is_none() {
        told.mistakes.push(Mistake::missing(&data.path, "/", "write the image of the root file system"));
    }
    let mut images = Images { images: Vec::new(), metadata: None };
    let mut mounts = BTreeMap::new();
    for (mount, place) in data.entries() {
        place.object("write an object with uri, format and container", &mut told.mistakes);
        let mount = mount_point(mount, &place, &mut mounts, told);
        let image = image(&place, output, told);
        let (Some(mount), Some((uri, file, format, container))) = (mount, image) else { continue };
        if mount == Path::new("/") {
            images.metadata = file.file_name().map(|name| {
                let name = name.to_string_lossy();
                file.with_file_name(format!("{}.yaml", name.split('.').next().unwrap_or_default()))
            });
        }
        images.images.push(TreeImage { mount, uri, file, format, container });
    }
    Some(images)
}

/// The mount point, without doubled and trailing slashes.
fn mount_point(
    mount: &str,
    place: &Place<'_>,
    mounts: &mut BTreeMap<PathBuf, String>,
    told: &mut Told,
) -> Option<PathBuf> {
    let path: PathBuf = Path::new(mount).components().filter(|part| *part != Component::CurDir).collect();
    let odd = mount.contains(char::is_control);
    if odd || !is_plain_absolute(&path) {
        told.defer(place, "this is no mount point", "write it from / on, such as /boot");
        return None;
    }
    if let Some(first) = mounts.insert(path.clone(), place.path.clone()) {
        told.defer(place, format!("{first} is the same mount point"), "write one image for each");
        return None;
    }
    Some(path)
}

type Packed = (String, PathBuf, ImageFormat, Container);

fn image(place: &Place<'_>, output: &Path, told: &mut Told) -> Option<Packed> {
    let file = file(place, output, told);
    let format = place.need("format", "write ext2, ext3, ext4, xfs or btrfs", &mut told.mistakes);
    let format = format.and_then(|format| file_system(&format, told));
    let container = place.need("container", CONTAINERS, &mut told.mistakes);
    let container = container.and_then(|container| self::container(&container, told));
    let (uri, file) = file?;
    Some((uri, file, format?, container?))
}

const CONTAINERS: &str = "write raw, gzip, zstd or xz";

/// The URI, and the file that is written.
fn file(place: &Place<'_>, output: &Path, told: &mut Told) -> Option<(String, PathBuf)> {
    let remedy = "write where nodes will fetch it from; its last part is the name of the file";
    let uri = place.need_text("uri", remedy, &mut told.mistakes)?;
    let name = base_name(uri);
    if matches!(name, "" | "." | "..") || name.contains(char::is_control) {
        if let Some(found) = place.get("uri") {
            told.defer(&found, "this has no file name", remedy);
        }
        return None;
    }
    Some((uri.to_owned(), output.join(name)))
}

fn file_system(place: &Place<'_>, told: &mut Told) -> Option<ImageFormat> {
    let format = ImageFormat::ALL.into_iter().find(|format| place.value == format.name());
    if format.is_none() {
        told.defer(place, "no image is made of such a file system", "write ext2, ext3, ext4, xfs or btrfs");
    }
    format
}

fn container(place: &Place<'_>, told: &mut Told) -> Option<Container> {
    let container = Container::ALL.into_iter().find(|container| place.value == container.name());
    if container.is_none() {
        place.wrong("this is no container that images are packed in", CONTAINERS, &mut told.mistakes);
    }
    container
}

/// The archive of `tar_image`.
pub(super) fn tar(root: &Place<'_>, output: &Path, told: &mut Told) -> Option<TarImage> {
    let place = given(root, "tar_image")?;
    place.object("write an object with uri and container", &mut told.mistakes)?;
    let file = file(&place, output, told);
    let container = optional(&place, "container", container, told);
    let (uri, file) = file?;
    Some(TarImage { container: container?.unwrap_or_else(|| by_name(&file)), uri, file })
}

/// The disk of `disk_image`.
pub(super) fn disk(root: &Place<'_>, output: &Path, told: &mut Told) -> Option<DiskImage> {
    let place = given(root, "disk_image")?;
    place.object("write an object with uri, container, format and kernel_params", &mut told.mistakes)?;
    let file = file(&place, output, told);
    let container = optional(&place, "container", container, told);
    let format = optional(&place, "format", file_system, told);
    let params = given(&place, "kernel_params");
    let params = match &params {
        Some(params) => params.text("write the kernel's parameters in one text", &mut told.mistakes)?,
        None => "",
    };
    let (uri, file) = file?;
    Some(DiskImage {
        container: container?.unwrap_or_else(|| by_name(&file)),
        format: format?.unwrap_or(ImageFormat::Ext4),
        kernel_params: params.split_whitespace().collect::<Vec<_>>().join(" "),
        uri,
        file,
    })
}

/// What stands at `key`: nothing where it is wrong, an inner nothing where it is not given.
#[expect(clippy::option_option, reason = "wrong and not given are two things")]
fn optional<T>(
    place: &Place<'_>,
    key: &str,
    read: fn(&Place<'_>, &mut Told) -> Option<T>,
    told: &mut Told,
) -> Option<Option<T>> {
    match given(place, key) {
        Some(found) => read(&found, told).map(Some),
        None => Some(None),
    }
}

/// The container that a file name tells of.
fn by_name(file: &Path) -> Container {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("gz" | "tgz") => Container::Gzip,
        Some("zst") => Container::Zstd,
        Some("xz") => Container::Xz,
        _ => Container::Raw,
    }
}
