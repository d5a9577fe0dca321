//! The images in a plan: those of the input, then the config drive's.

use std::collections::BTreeSet;

use bareon_image::{Container, Request, Sums, shown};

use super::{Action, Options, Stage, Step, keep, layout};
use crate::{
    drivers::Deployment,
    hardware::{BlockDevice, Machine},
    objects::{
        Bytes, Image,
        image::{QCOW2, TAR},
        partition::Partition,
    },
    steps::{
        copyimage::{Content, Room, Spool, WholeDisk, WriteImage},
        keep::BringUp,
        place::Ground,
    },
};

/// A step for each image.
pub(super) fn steps(deployment: &Deployment, machine: &Machine, options: &Options) -> Vec<Step> {
    let (scheme, kept) = (&deployment.partition_scheme, keep::kept(deployment));
    let place = |partition: &Partition| keep::place(partition, &kept, machine);
    let write = |request: Request, target: &str, content, spool, if_there| {
        let ground = Ground::of(target, scheme, &place);
        WriteImage {
            disks: disks(target, ground.as_ref(), deployment),
            ground,
            up: BringUp::of_devices(scheme, &[target], &place),
            request,
            target: target.into(),
            content,
            spool,
            mount_point: options.tmp_path.join("grow"),
            if_there,
            along: Vec::new(),
        }
    };
    let mut images: Vec<_> = deployment
        .image_scheme
        .iter()
        .filter_map(|image| {
            let content = content(image, deployment, machine)?;
            let spool = (image.format == QCOW2).then(|| spool(image, options));
            Some(write(request(image)?, &image.target_device, content, spool, false))
        })
        .collect();
    // A format without a config drive may still have a ready-made one written; none that is left over.
    let wanted = deployment.configdrive.is_some() || !options.prepare_configdrive;
    if let Some(device) = deployment.partition_scheme.configdrive_device().filter(|_| wanted) {
        let request = Request {
            uris: vec![options.config_drive_path.to_string_lossy().into_owned()],
            container: Some(Container::Raw),
            ..Request::default()
        };
        images.push(write(request, device, Content::FileSystem(None), None, true));
    }
    // Each is mounted at a place of its own, as several are written at once.
    for (i, image) in images.iter_mut().enumerate().skip(1) {
        image.mount_point.set_file_name(format!("grow-{}", i + 1));
    }
    together(images)
        .into_iter()
        .map(|image| Step {
            stage: Stage::CopyImage,
            what: what(&image.request, &image.devices().join(" and ")),
            action: Action::WriteImage(Box::new(image)),
        })
        .collect()
}

/// The disks that a target lies on; none where one of them is not known.
fn disks(target: &str, ground: Option<&Ground>, deployment: &Deployment) -> BTreeSet<String> {
    let scheme = &deployment.partition_scheme;
    let Some(ground) = ground else {
        return scheme.parteds.iter().map(|disk| disk.name.clone()).filter(|disk| disk == target).collect();
    };
    let disk = |device: &String| {
        let partition = scheme.partitions().find(|partition| partition.name == *device);
        partition.map_or_else(|| device.clone(), |partition| partition.device.clone())
    };
    ground.on.keys().map(disk).collect()
}

/// One step for an image that goes to several disks.
fn together(images: Vec<WriteImage>) -> Vec<WriteImage> {
    let mut steps: Vec<WriteImage> = Vec::new();
    for image in images {
        match steps.iter_mut().find(|step| step.is_same_as(&image)) {
            Some(step) => step.along.push(image),
            None => steps.push(image),
        }
    }
    steps
}

/// What such a step does, for people.
fn what(request: &Request, target: &str) -> String {
    let uris: Vec<_> = request.uris.iter().map(|uri| shown(uri)).collect();
    format!("write {} to {target}", uris.join(", else from "))
}

/// What the image is of; nothing for files without a file system to unpack them into (which is refused).
fn content(image: &Image, deployment: &Deployment, machine: &Machine) -> Option<Content> {
    /// The sectors of a disk that is not there, which is refused.
    const USUAL_SECTOR: Bytes = Bytes(512);
    let target = &image.target_device;
    if is_whole(image, deployment) {
        let sector = machine.device(target).map_or(USUAL_SECTOR, BlockDevice::sector_size).0;
        return Some(Content::Disk(WholeDisk { sector, grow: image.grow }));
    }
    if image.format == TAR {
        let fs = deployment.partition_scheme.fss.iter().find(|fs| &fs.device == target)?;
        return Some(Content::Tree(layout::make_fs(fs)?));
    }
    // What is in a disk of QEMU is what is to lie there.
    let fs = deployment.partition_scheme.fss.iter().find(|fs| &fs.device == target);
    let format = if image.format == QCOW2 { &fs?.fs_type } else { &image.format };
    Some(Content::FileSystem(format.parse().ok()))
}

/// Whether the image is written to a disk as a whole.
pub(super) fn is_whole(image: &Image, deployment: &Deployment) -> bool {
    deployment.partition_scheme.parteds.iter().any(|parted| parted.name == image.target_device)
}

/// Where a disk of QEMU is kept until it is unpacked, and what must be in it.
fn spool(image: &Image, options: &Options) -> Spool {
    let (dir, room) = match &options.download_dir {
        Some(dir) => (dir.join("bareon-image"), Room::Disk),
        None => (options.tmp_path.join("download"), Room::Memory(options.memory_limit.0)),
    };
    Spool { dir, room, size: image.size, sums: image.sums() }
}

/// What is asked of the image stream; nothing where the container is none (which is refused).
fn request(image: &Image) -> Option<Request> {
    let request = Request {
        uris: [&image.uri].into_iter().chain(&image.mirrors).cloned().collect(),
        container: Container::announced(&image.container).ok()?,
        size: image.size,
        sums: image.sums(),
        container_sums: image.container_sums(),
        index_sha256: image.index_sha256.clone(),
        qcow2: false,
    };
    // Of a disk of QEMU only the file is known before it is unpacked.
    let of_file = image.format == QCOW2;
    Some(if of_file {
        Request { size: None, sums: Sums::default(), index_sha256: None, qcow2: true, ..request }
    } else {
        request
    })
}
