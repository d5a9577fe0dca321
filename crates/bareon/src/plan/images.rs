//! The images in a plan: those of the input, then the config drive's.

use bareon_host::mkfs::FsType;
use bareon_image::{Container, Request, shown};

use super::{Action, Options, Stage, Step, keep};
use crate::{
    drivers::Deployment,
    hardware::Machine,
    objects::{Image, partition::Partition},
    steps::{copyimage::WriteImage, keep::BringUp, place::Ground},
};

/// A step for each image.
pub(super) fn steps(deployment: &Deployment, machine: &Machine, options: &Options) -> Vec<Step> {
    let (scheme, kept) = (&deployment.partition_scheme, keep::kept(deployment));
    let place = |partition: &Partition| keep::place(partition, &kept, machine);
    let mount_point = options.tmp_path.join("grow");
    let write = |request: Request, target: &str, grow, if_there| Step {
        stage: Stage::CopyImage,
        what: what(&request, target),
        action: Action::WriteImage(Box::new(WriteImage {
            ground: Ground::of(target, scheme, &place),
            up: BringUp::of_devices(scheme, &[target], &place),
            request,
            target: target.into(),
            grow,
            mount_point: mount_point.clone(),
            if_there,
        })),
    };
    let mut steps: Vec<_> = deployment
        .image_scheme
        .iter()
        .filter_map(|image| {
            let grow = image.format.parse::<FsType>().ok();
            Some(write(request(image)?, &image.target_device, grow, false))
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
        steps.push(write(request, device, None, true));
    }
    steps
}

/// What such a step does, for people.
fn what(request: &Request, target: &str) -> String {
    let uris: Vec<_> = request.uris.iter().map(|uri| shown(uri)).collect();
    format!("write {} to {target}", uris.join(", else from "))
}

/// What is asked of the image stream; nothing where the container is none (which is refused).
fn request(image: &Image) -> Option<Request> {
    Some(Request {
        uris: [&image.uri].into_iter().chain(&image.mirrors).cloned().collect(),
        container: Container::announced(&image.container).ok()?,
        size: image.size,
        sums: image.sums(),
        container_sums: image.container_sums(),
        index_sha256: image.index_sha256.clone(),
    })
}
