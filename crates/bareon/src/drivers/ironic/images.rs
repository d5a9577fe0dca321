//! The images of a document of 2017: file systems by the mount points that they are for.
//!
//! The original installed several systems side by side, each an image for `/` with volumes of its own. Here one
//! system is installed: one image is for `/`, others are for other mount points of the same system.

use serde_json::Value;

use super::document::flag;
use crate::drivers::{
    mistake::{Mistake, Mistakes},
    nailgun::document::{ImageSource, known_containers},
    place::Place,
};
use bareon_image::Container;

const LIST: &str = "write a list with an object for each image, at least for `/`";

/// The images.
#[derive(Debug, Default)]
pub struct Images {
    /// Where they come from and go to; without the file system within, which is the target's.
    pub sources: Vec<ImageSource>,
    /// Their names, in the same order.
    pub names: Vec<String>,
}

impl Images {
    /// Reads `images`.
    pub fn read(root: &Place<'_>, mistakes: &mut Mistakes) -> Self {
        let mut images = Self::default();
        let Some(list) = root.need("images", LIST, mistakes) else { return images };
        let before = mistakes.0.len();
        for item in list.items(LIST, mistakes).unwrap_or_default() {
            if item.object(LIST, mistakes).is_some() {
                images.add(&item, mistakes);
            }
        }
        if mistakes.0.len() == before && images.of("/").is_none() {
            list.wrong(
                "no image is for /",
                "give the root file system an image, with `target` = `/`",
                mistakes,
            );
        }
        images
    }

    fn add(&mut self, item: &Place<'_>, mistakes: &mut Mistakes) {
        let name = item.need_text("name", "write a name, which volumes call it by in `images`", mistakes);
        let target = item.may_text("target", "write a mount point, such as `/`", mistakes).unwrap_or("/");
        let uri = item.need_text("image_pull_url", "write the image's address", mistakes);
        let boot = flag(item, "boot", mistakes).unwrap_or(false);
        let container = container(item, mistakes);
        let place = |key: &str| item.get(key).unwrap_or_else(|| item.clone());
        if uri == Some("") {
            place("image_pull_url").wrong("`image_pull_url` is empty", "write the image's address", mistakes);
        }
        if boot && target != "/" {
            let remedy = "set it to false, or its `target` to `/`";
            place("boot").wrong("only the image for / can be booted", remedy, mistakes);
        }
        if let Some(first) = self.of(target) {
            let problem =
                format!("{} is for {target}, too; one system is installed, not several", first.path);
            place("target").wrong(problem, "keep the one that is to be installed", mistakes);
        }
        let (Some(name), Some(uri), Some(container)) = (name, uri, container) else { return };
        if self.names.iter().any(|known| known == name) {
            place("name").wrong("another image has this name", "give each image its own", mistakes);
        }
        self.names.push(name.into());
        self.sources.push(ImageSource {
            path: item.path.clone(),
            mount: target.into(),
            uri: uri.into(),
            format: String::new(),
            container,
        });
    }

    /// The image for a mount point.
    pub fn of(&self, mount: &str) -> Option<&ImageSource> {
        self.sources.iter().find(|source| source.mount == mount)
    }

    /// Whether the system that is installed uses a volume for the images `names`, a list at `path`, which all must
    /// be known.
    pub fn root_is_among(&self, names: &[String], path: &str, mistakes: &mut Mistakes) -> bool {
        let mut found = false;
        for (i, name) in names.iter().enumerate() {
            let image = self.names.iter().position(|known| known == name);
            found |= image.is_some_and(|image| self.sources[image].mount == "/");
            if image.is_none() && !self.names.is_empty() {
                let remedy = format!("write the name of one of `images`: {}", self.names.join(", "));
                let value = Value::from(name.as_str());
                let problem = "there is no image of this name";
                mistakes.push(Mistake::new(format!("{path}/{i}"), Some(&value), problem, remedy));
            }
        }
        found
    }
}

/// How an image is packed: as it says, else as its first bytes will tell.
fn container(item: &Place<'_>, mistakes: &mut Mistakes) -> Option<String> {
    let known = known_containers();
    let Some(place) = item.get("container") else { return Some(Container::AUTO.to_owned()) };
    let name = place.text(&known, mistakes)?;
    if Container::announced(name).is_err() {
        place.wrong("this container is not supported", known, mistakes);
        return None;
    }
    Some(name.to_owned())
}
