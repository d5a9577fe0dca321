//! What the documents of the three formats share: profile, kernel parameters, images.

use bareon_image::Container;

use crate::drivers::{
    mistake::Mistakes,
    place::{Place, truthy},
};

/// The parts that all formats have.
#[derive(Debug)]
pub struct Base {
    /// The profile, which names the operating system.
    pub profile: String,
    /// Parameters of the kernel.
    pub kernel_params: String,
    /// Whether a CentOS 6 may boot kernels that are not its own 2.6.
    pub kernel_lt: bool,
    /// The images.
    pub images: Vec<ImageSource>,
}

/// An image as the input names it.
#[derive(Debug, Clone)]
pub struct ImageSource {
    /// Where it stands in the document.
    pub path: String,
    /// The mount point whose file system it is.
    pub mount: String,
    /// Where it is fetched from.
    pub uri: String,
    /// Its file system.
    pub format: String,
    /// How it is packed.
    pub container: String,
}

/// Reads the shared parts; nothing where something of them is missing.
pub fn base(root: &Place<'_>, mistakes: &mut Mistakes) -> Option<Base> {
    root.object("write an object with the keys that `bareon-provision schema` lists", mistakes)?;
    let profile = root.need_text("profile", "write the profile, such as `ubuntu_1404_x86_64`", mistakes);
    let ks_meta = root.need_object("ks_meta", "write the object with the machine's settings", mistakes)?;
    let images = images(&ks_meta, mistakes);
    let pm_data = ks_meta.need_object("pm_data", "write an object with the disks' layout", mistakes);
    let kernel_params = pm_data.and_then(|pm_data| {
        pm_data.need_text("kernel_params", "write the parameters, or \"\" for none", mistakes)
    });
    Some(Base {
        profile: profile?.to_owned(),
        kernel_params: kernel_params?.to_owned(),
        kernel_lt: ks_meta.get("kernel_lt").is_some_and(|lt| truthy(lt.value)),
        images: images?,
    })
}

fn images(ks_meta: &Place<'_>, mistakes: &mut Mistakes) -> Option<Vec<ImageSource>> {
    let remedy = "write an object with an image for each mount point, at least for `/`";
    let data = ks_meta.need_object("image_data", remedy, mistakes)?;
    data.need("/", "give the root file system an image", mistakes);
    let images: Vec<_> = data.entries().map(|(mount, place)| image(mount, &place, mistakes)).collect();
    images.into_iter().collect()
}

/// What to write for a container.
pub fn known_containers() -> String {
    let known = Container::ALL.map(Container::name).join(", ");
    format!("write one of {known}, or {} to have it found by the first bytes", Container::AUTO)
}

fn image(mount: &str, place: &Place<'_>, mistakes: &mut Mistakes) -> Option<ImageSource> {
    place.object("write an object with `uri`, `format` and `container`", mistakes)?;
    let uri = place.need_text("uri", "write the image's address, such as http://host/image.img.gz", mistakes);
    let format = place.need_text("format", "write the file system within, such as `ext4`", mistakes);
    let known = known_containers();
    let container = place.need_text("container", &known, mistakes);
    if let (Some(name), Some(at)) = (container, place.get("container"))
        && Container::announced(name).is_err()
    {
        at.wrong("this container is not supported", known, mistakes);
    }
    if let (Some(""), Some(at)) = (uri, place.get("uri")) {
        at.wrong("`uri` is empty", "write the image's address", mistakes);
    }
    Some(ImageSource {
        path: place.path.clone(),
        mount: mount.into(),
        uri: uri?.into(),
        format: format?.into(),
        container: container?.into(),
    })
}
