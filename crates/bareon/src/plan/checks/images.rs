//! Images: where they come from and go to, whether they fit, and whether anything tells that they are the right ones.

use bareon_image::{demands_digest, holds_digest, shown};

use super::{Checks, Stage};
use crate::objects::{Bytes, Image};

impl Checks<'_> {
    pub(super) fn images(&mut self) {
        let scheme = &self.deployment.partition_scheme;
        let sizes = self.device_sizes();
        for (i, image) in self.deployment.image_scheme.iter().enumerate() {
            let path = format!("/image_scheme/{i}");
            let target = &image.target_device;
            self.verified(&path, image);
            if let Err(error) = bareon_image::Container::announced(&image.container) {
                self.refuse(
                    &[Stage::CopyImage],
                    &format!("{path}/container"),
                    &image.container,
                    &error.to_string(),
                    "repack the image",
                );
            }
            let mirrors = image.mirrors.iter().enumerate();
            let mirrors = mirrors.map(|(j, mirror)| (format!("{path}/mirrors/{j}"), mirror));
            for (path, uri) in [(format!("{path}/uri"), &image.uri)].into_iter().chain(mirrors) {
                if let Err(error) = bareon_image::check_uri(uri) {
                    let problem = error.to_string();
                    self.refuse(&[Stage::CopyImage], &path, uri, &problem, "serve the image so");
                } else if demands_digest(uri)
                    && !image.sums().is_strong()
                    && !image.container_sums().is_strong()
                {
                    let problem = "TFTP does not notice what changes on the way, and no strong sum is known";
                    let remedy = "give the image's sha256, sha512 or blake3 sum, or serve it by HTTP";
                    self.refuse(&[Stage::CopyImage], &path, &shown(uri), problem, remedy);
                }
            }
            let made = scheme.partitions().any(|partition| &partition.name == target)
                || scheme.mds.iter().any(|md| &md.name == target)
                || scheme.lvs.iter().any(|lv| &lv.device() == target);
            if !made {
                self.refuse(
                    &Stage::ALL,
                    &format!("{path}/target_device"),
                    target,
                    "the layout makes no such device",
                    "write the image to a partition of a disk in parteds; other disks are never written",
                );
            }
            let room = sizes.get(target).copied();
            if let (Some(size), Some(room)) = (image.size.map(Bytes), room)
                && size > room
            {
                let problem = format!("the image has {size}, {target} has room for {room}");
                let value = size.0.to_string();
                self.refuse(
                    &[Stage::Partition, Stage::CopyImage],
                    &format!("{path}/size"),
                    &value,
                    &problem,
                    "make the volume larger",
                );
            }
        }
    }

    /// An image is to be known by a sum. One that only tells accidents (MD5, SHA-1) will do, and is warned of when the
    /// image is written: the metadata of the original have no other.
    fn verified(&mut self, path: &str, image: &Image) {
        let held = [&image.uri].into_iter().chain(&image.mirrors).all(|uri| holds_digest(uri));
        if self.allow_unverified || held || !image.sums().is_empty() || !image.container_sums().is_empty() {
            return;
        }
        let problem = "no sum of this image is known, so nothing tells whether it is whole and the right one";
        let remedy = "write `raw_sha256` into its metadata, which lie beside it (or into an input of the driver \
                      `bareon`), or run with allow_unverified=true";
        self.refuse(&[Stage::CopyImage], path, &shown(&image.uri), problem, remedy);
    }
}
