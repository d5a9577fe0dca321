//! A layout of which something is kept: what forbids the run, and what is done in place of a new layout.
//!
//! What is kept is compared with what is there; `partitions` does it with tables, partitions and the file systems on
//! them, `steps::keep` with arrays and groups. Where no table is written at all (`skip_partitioning`), all of the
//! layout is compared, as all of it is used.

pub(super) mod group;
mod partitions;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::{Action, Refusal, Stage, Step, layout};
use crate::{
    drivers::{Deployment, Mistake},
    hardware::{Machine, content::Content},
    objects::partition::{Kept, Parted, Partition, VolumeGroup},
    steps::{
        bootloader::Firmware,
        keep::{self, BringUp, Difference},
        place::Place,
    },
};

/// The highest number that the kernel gives a partition.
const LAST: u32 = 256;

/// What of the layout is kept.
pub(super) fn kept(deployment: &Deployment) -> Kept {
    Kept::of(&deployment.partition_scheme, deployment.skip_partitioning)
}

/// Where a partition lies: as the machine has it where it is kept, as the layout may be a little off there.
pub(super) fn place(partition: &Partition, kept: &Kept, machine: &Machine) -> Place {
    let found = content(machine, &partition.name).filter(|_| kept.device(&partition.name));
    found.and_then(found_place).unwrap_or_else(|| Place::of(partition))
}

fn content<'a>(machine: &'a Machine, device: &str) -> Option<&'a Content> {
    machine.contents.iter().find(|content| content.device == device)
}

fn found_place(content: &Content) -> Option<Place> {
    Some(Place { begin: content.start?, size: content.size })
}

/// What forbids to keep what is to be kept.
pub(super) fn refusals(deployment: &Deployment, machine: &Machine, firmware: Firmware) -> Vec<Refusal> {
    let kept = kept(deployment);
    if !kept.any() {
        return Vec::new();
    }
    let scheme = &deployment.partition_scheme;
    let mut differences = partitions::differences(deployment, &kept, machine, firmware);
    differences.extend(keep::volumes(scheme, &kept, &machine.stack));
    let mut refusals: Vec<_> = differences.iter().flat_map(|found| differs(deployment, found)).collect();
    refusals.extend(partitions::overlaps(deployment, &kept, machine));
    refusals.extend(groups(deployment, &kept, machine));
    refusals.extend(images(deployment, &kept));
    refusals
}

fn refusal(deployment: &Deployment, path: &str, value: &str, problem: &str, remedy: &str) -> Vec<Refusal> {
    let value = Some(Value::from(value)).filter(|_| !value.is_empty());
    let mistake = Mistake::new(deployment.origins.of(path), value.as_ref(), problem, remedy);
    Stage::WRITING.map(|stage| Refusal { stage, mistake: mistake.clone() }).to_vec()
}

fn differs(deployment: &Deployment, difference: &Difference) -> Vec<Refusal> {
    refusal(deployment, &difference.path, "", &difference.problem(), &difference.remedy())
}

/// Volumes that are made anew and find no room in their kept group.
fn groups(deployment: &Deployment, kept: &Kept, machine: &Machine) -> Vec<Refusal> {
    let scheme = &deployment.partition_scheme;
    let kept_groups = scheme.vgs.iter().enumerate().filter(|(_, vg)| kept.group(&vg.name));
    let short =
        kept_groups.filter_map(|(i, vg)| Some((i, vg, group::lacks_room(scheme, vg, machine, kept)?)));
    let refuse = |(i, vg, (needs, room)): (usize, &VolumeGroup, (u64, u64))| {
        let problem = format!(
            "the volumes that are made anew need {needs} extents, and the kept group {} has room for {room}, without \
             what is kept in it and what the layout does not name",
            vg.name
        );
        refusal(deployment, &format!("/partition_scheme/vgs/{i}"), &vg.name, &problem, "make them smaller")
    };
    short.flat_map(refuse).collect()
}

/// Images for devices whose data are to be kept.
fn images(deployment: &Deployment, kept: &Kept) -> Vec<Refusal> {
    let images = deployment.image_scheme.iter().enumerate();
    let on_kept = images.filter(|(_, image)| kept.data(&image.target_device));
    let refuse = |(i, image): (usize, &crate::objects::Image)| {
        let problem = "what lies there is to be kept, and the image would overwrite it";
        let remedy =
            "set keep_data of that file system (and of what it lies on) to false, or leave the image out";
        refusal(
            deployment,
            &format!("/image_scheme/{i}/target_device"),
            &image.target_device,
            problem,
            remedy,
        )
    };
    on_kept.flat_map(refuse).collect()
}

/// The step that comes before all that writes: what is kept is brought up and looked at.
pub(super) fn check(deployment: &Deployment, machine: &Machine, kept: &Kept) -> Option<Step> {
    if !kept.any() {
        return None;
    }
    let place = |partition: &Partition| place(partition, kept, machine);
    let up = BringUp::of_kept(&deployment.partition_scheme, kept, &machine.stack, &place);
    Some(Step { stage: Stage::Partition, what: up.what(), action: Action::BringUp(Box::new(up)) })
}

/// The numbers of the partitions that go from a disk of which others stay; nothing where none stays, so that the disk
/// gets a new table.
pub(super) fn change(
    deployment: &Deployment,
    parted: &Parted,
    machine: &Machine,
    kept: &Kept,
) -> Option<Vec<u32>> {
    if deployment.skip_partitioning {
        return Some(Vec::new());
    }
    if !parted.partitions.iter().any(|partition| kept.device(&partition.name)) {
        return None;
    }
    let there = machine.contents.iter().filter(|content| content.disk == parted.name);
    let goes = there.filter(|content| content.device != content.disk && !kept.device(&content.device));
    let number = |device: &str| (1..=LAST).find(|number| parted.partition_name(*number) == device);
    let mut numbers: Vec<_> = goes.filter_map(|content| number(&content.device)).collect();
    numbers.sort_unstable();
    Some(numbers)
}
