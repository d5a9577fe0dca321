//! Images: where they come from and go to, whether they fit, and whether anything tells that they are the right ones.

use bareon_host::mkfs::FsType;
use bareon_image::{demands_digest, holds_digest, shown};

use super::{Checks, Stage};
use crate::{
    hardware::BlockDevice,
    objects::{
        Bytes, Image,
        image::{DISK, QCOW2, TAR},
    },
};

impl Checks<'_> {
    pub(super) fn images(&mut self) {
        let sizes = self.device_sizes();
        for (i, image) in self.deployment.image_scheme.iter().enumerate() {
            let path = format!("/image_scheme/{i}");
            let target = &image.target_device;
            self.verified(&path, image);
            self.qcow2_verified(&path, image);
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
                } else if demands_digest(uri) && !image.is_known() {
                    let problem = "TFTP does not notice what changes on the way, and no strong sum is known";
                    let remedy = "give the image's sha256, sha512 or blake3 sum, or serve it by HTTP";
                    self.refuse(&[Stage::CopyImage], &path, &shown(uri), problem, remedy);
                }
            }
            self.target(&path, image);
            let whole = || self.machine.device(target).and_then(BlockDevice::size);
            let room = sizes.get(target).copied().or_else(whole);
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

    /// What an image is written to must be made by the layout, and be what its format asks for.
    fn target(&mut self, path: &str, image: &Image) {
        let scheme = &self.deployment.partition_scheme;
        let target = &image.target_device;
        let made = scheme.partitions().any(|partition| &partition.name == target)
            || scheme.mds.iter().any(|md| &md.name == target)
            || scheme.lvs.iter().any(|lv| &lv.device() == target);
        let disk = scheme.parteds.iter().find(|parted| &parted.name == target);
        let fs = scheme.fss.iter().find(|fs| &fs.device == target);
        let format = image.format.as_str();
        let at = format!("{path}/target_device");
        if let Some(disk) = disk {
            if !disk.partitions.is_empty() {
                let problem = "the layout has partitions on this disk, and the image would overwrite them";
                self.refuse(&Stage::ALL, &at, target, problem, "leave either out");
            } else if format != DISK && format != QCOW2 {
                let problem = format!("a whole disk is no place for {format}");
                let remedy = "write it to a partition; an image of a whole disk has the format `disk`";
                self.refuse(&Stage::ALL, &at, target, &problem, remedy);
            }
        } else if !made {
            let remedy = "write the image to a partition of a disk in parteds; other disks are never written";
            self.refuse(&Stage::ALL, &at, target, "the layout makes no such device", remedy);
        } else if format == DISK {
            let remedy = "name a disk of the layout that has no partitions there";
            self.refuse(&Stage::ALL, &at, target, "an image of a whole disk is written to a disk", remedy);
        } else if format == QCOW2 && fs.is_none() {
            let remedy = "say which file system lies there, or name a disk";
            self.refuse(&Stage::ALL, &at, target, "it is not said what the qcow2 is of", remedy);
        } else if format == TAR && fs.is_none_or(|fs| fs.fs_type.parse() == Ok(FsType::Swap)) {
            let problem = "the layout has no file system there that files can be unpacked into";
            let remedy = "say which it is to be, such as ext4";
            self.refuse(&[Stage::CopyImage], &at, target, problem, remedy);
        }
    }

    /// A disk of QEMU is unpacked by another program, which is to see nothing that nobody vouches for.
    fn qcow2_verified(&mut self, path: &str, image: &Image) {
        if !self.allow_unverified && image.format == QCOW2 && image.container_sums().is_empty() {
            let problem =
                "only a sum of the file tells whether a qcow2 is the right one before it is unpacked";
            let remedy = "write `container_sha256`, or run with allow_unverified=true";
            self.refuse(&[Stage::CopyImage], path, &shown(&image.uri), problem, remedy);
        }
    }

    /// An image is to be known by a sum. One that only tells accidents (MD5, SHA-1) will do, and is warned of when the
    /// image is written: the metadata of the original have no other.
    fn verified(&mut self, path: &str, image: &Image) {
        let held = [&image.uri].into_iter().chain(&image.mirrors).all(|uri| holds_digest(uri));
        let held = held || image.format == QCOW2;
        if self.allow_unverified || held || !image.sums().is_empty() || !image.container_sums().is_empty() {
            return;
        }
        let problem = "no sum of this image is known, so nothing tells whether it is whole and the right one";
        let remedy = "write `raw_sha256` into its metadata, which lie beside it (or into an input of the driver \
                      `bareon`), or run with allow_unverified=true";
        self.refuse(&[Stage::CopyImage], path, &shown(&image.uri), problem, remedy);
    }
}
