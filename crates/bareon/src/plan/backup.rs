//! What of the disks' metadata is saved before they are laid out.

use std::path::Path;

use crate::{
    drivers::Deployment,
    hardware::Machine,
    objects::{
        Bytes,
        partition::{Parted, PartitionType},
    },
    steps::{
        backup::{OldDisk, OldVolume, SaveMetadata},
        place::Place,
    },
};

/// The room before a logical partition that its boot record may lie in.
const RECORD: u64 = 1 << 20;

/// Plans to save it to `dir`; nothing where the disks of the layout are empty.
pub(super) fn plan(deployment: &Deployment, machine: &Machine, dir: &Path) -> Option<SaveMetadata> {
    if deployment.skip_partitioning {
        return None;
    }
    let parteds = &deployment.partition_scheme.parteds;
    let disks: Vec<_> = parteds.iter().filter_map(|parted| disk(parted, machine)).collect();
    let is_saved =
        |device: &String| disks.iter().any(|disk| &disk.device == device || disk.partitions.contains(device));
    let volumes = machine
        .stack
        .groups
        .iter()
        .flat_map(|group| &group.lvs)
        .filter(|lv| lv.active)
        .map(|lv| (lv, machine.stack.below(&lv.device)))
        .filter(|(_, on)| on.iter().any(is_saved))
        .map(|(lv, on)| OldVolume { device: lv.device.clone(), on: on.into_iter().collect() })
        .collect();
    (!disks.is_empty()).then(|| SaveMetadata { dir: dir.into(), disks, volumes })
}

fn disk(parted: &Parted, machine: &Machine) -> Option<OldDisk> {
    let contents = || machine.contents.iter().filter(|content| content.disk == parted.name);
    contents().next()?;
    let mut new = Vec::new();
    for partition in parted.partitions.iter().filter(|partition| !partition.keep_data) {
        let place = Place::of(partition);
        if partition.partition_type == PartitionType::Logical {
            let begin = Bytes(place.begin.0.saturating_sub(RECORD));
            new.push(Place { begin, size: Bytes(RECORD) });
        }
        new.push(place);
    }
    Some(OldDisk {
        device: parted.name.clone(),
        sector: machine.device(&parted.name)?.sector_size(),
        partitions: contents()
            .map(|content| content.device.clone())
            .filter(|device| device != &parted.name)
            .collect(),
        new,
    })
}
