//! What of an image is moved: the files below mount points of other file systems of the layout.

use std::path::PathBuf;

use bareon_image::shown;

use super::{Action, Options, Stage, Step, checks::file_systems::normal, keep};
use crate::{
    drivers::Deployment,
    hardware::Machine,
    objects::{
        Image,
        partition::{FileSystem, Partition},
    },
    steps::{
        bootloader::Firmware,
        keep::BringUp,
        moved::{MoveFiles, Side},
        place::Ground,
    },
};

/// A step for each file system that something of an image may lie below the mount point of, the outermost first.
pub(super) fn steps(
    deployment: &Deployment,
    machine: &Machine,
    options: &Options,
    firmware: Firmware,
) -> Vec<Step> {
    let (scheme, kept) = (&deployment.partition_scheme, keep::kept(deployment));
    let place = |partition: &Partition| keep::place(partition, &kept, machine);
    let side = |fs: &FileSystem| Side {
        device: fs.device.clone(),
        fs_type: fs.fs_type.clone(),
        ground: Ground::of(&fs.device, scheme, &place),
    };
    let mut steps = Vec::new();
    for fs in scheme.fs_by_depth() {
        let hidden = image_on(deployment, &fs.device).is_some() || kept.data(&fs.device) || fs.is_swap();
        // The boot loader's files come there when it is installed.
        let esp = scheme.partitions().any(|partition| partition.name == fs.device && partition.esp);
        if hidden || esp && firmware.uefi() {
            continue;
        }
        let Some((outer, folder)) = outer(deployment, fs) else { continue };
        let Some(image) = image_below(deployment, outer) else { continue };
        let what = format!("move what {} has in {} onto {}", shown(&image.uri), mount(fs), fs.device);
        let action = Action::MoveFiles(Box::new(MoveFiles {
            from: side(outer),
            folder,
            to: side(fs),
            dir: options.tmp_path.join("move"),
            up: BringUp::of_devices(scheme, &[&outer.device, &fs.device], &place),
        }));
        steps.push(Step { stage: Stage::CopyImage, what, action });
    }
    steps
}

fn mount(fs: &FileSystem) -> String {
    normal(fs.mount.as_deref().unwrap_or_default())
}

fn image_on<'d>(deployment: &'d Deployment, device: &str) -> Option<&'d Image> {
    deployment.image_scheme.iter().find(|image| image.target_device == device)
}

/// The file system that the mount point of `fs` lies on, and the folder within it.
fn outer<'d>(deployment: &'d Deployment, fs: &FileSystem) -> Option<(&'d FileSystem, PathBuf)> {
    let inner = mount(fs);
    let others = deployment.partition_scheme.fss.iter().filter(|other| !other.is_swap());
    let outside = others.filter_map(|other| {
        let at = normal(other.mount.as_deref()?);
        let folder =
            if at == "/" { inner.strip_prefix('/')? } else { inner.strip_prefix(&at)?.strip_prefix('/')? };
        (!folder.is_empty()).then(|| (other, PathBuf::from(folder)))
    });
    outside.min_by_key(|(_, folder)| folder.as_os_str().len())
}

/// The image whose files lie on `fs`: its own, or one that they were moved from.
fn image_below<'d>(deployment: &'d Deployment, fs: &'d FileSystem) -> Option<&'d Image> {
    let mut fs = fs;
    loop {
        if let Some(image) = image_on(deployment, &fs.device) {
            return Some(image);
        }
        // Of what is kept nothing is moved, nor onto it.
        if fs.keep_data {
            return None;
        }
        fs = outer(deployment, fs)?.0;
    }
}
