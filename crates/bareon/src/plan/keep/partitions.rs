//! Tables, partitions and the file systems on them compared with the layout.

use super::{content, found_place, layout, refusal};
use crate::{
    drivers::Deployment,
    hardware::Machine,
    objects::{
        Mib,
        partition::{ESP_GUID, Kept, Label, Parted, Partition},
    },
    plan::Refusal,
    steps::{
        bootloader::Firmware,
        keep::{Difference, TOLERANCE},
        place::Place,
    },
};

/// The first number of a logical partition in a master boot record.
const FIRST_LOGICAL: u32 = 5;

/// How a kept partition or file system differs from the layout.
pub(super) fn differences(
    deployment: &Deployment,
    kept: &Kept,
    machine: &Machine,
    firmware: Firmware,
) -> Vec<Difference> {
    let compare = Compare { deployment, kept, machine, firmware };
    let parteds = deployment.partition_scheme.parteds.iter().enumerate();
    let mut found: Vec<_> = parteds
        // A disk that the machine does not have is refused as such.
        .filter(|(_, parted)| machine.device(&parted.name).is_some())
        .flat_map(|(i, parted)| compare.disk(i, parted))
        .collect();
    found.extend(compare.file_systems());
    found
}

struct Compare<'a> {
    deployment: &'a Deployment,
    kept: &'a Kept,
    machine: &'a Machine,
    firmware: Firmware,
}

impl Compare<'_> {
    fn disk(&self, i: usize, parted: &Parted) -> Vec<Difference> {
        let path = format!("/partition_scheme/parteds/{i}");
        let partitions = parted.partitions.iter().enumerate();
        let kept: Vec<_> = partitions.filter(|(_, partition)| self.kept.device(&partition.name)).collect();
        if kept.is_empty() {
            return Vec::new();
        }
        let table = content(self.machine, &parted.name).and_then(|table| table.kind.as_deref());
        let label = label(parted.label);
        if table != Some(label) {
            let found = table.map_or("none".to_owned(), |kind| format!("{kind} there"));
            let layout = format!("a table of the kind {label}");
            return vec![difference(format!("{path}/label"), &parted.name, layout, found)];
        }
        kept.into_iter()
            .flat_map(|(j, partition)| self.partition(&format!("{path}/partitions/{j}"), parted, partition))
            .collect()
    }

    fn partition(&self, path: &str, parted: &Parted, partition: &Partition) -> Vec<Difference> {
        let name = &partition.name;
        let Some(found) = content(self.machine, name) else {
            let there = self.machine.contents.iter().filter(|content| content.disk == parted.name);
            let names: Vec<_> =
                there.filter(|there| there.device != there.disk).map(|there| &*there.device).collect();
            let found = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            return vec![difference(path.to_owned(), name, "a partition of that number".into(), found)];
        };
        let mut differences = Vec::new();
        let layout = Place::of(partition);
        if let Some(begin) = found.start
            && begin.0.abs_diff(layout.begin.0) > TOLERANCE.0
        {
            let (layout, found) = (format!("that it begins at {}", layout.begin), begin.to_string());
            differences.push(difference(format!("{path}/begin"), name, layout, found));
        }
        if found.size.0.abs_diff(layout.size.0) > TOLERANCE.0 {
            let (layout, found) = (format!("a size of {}", layout.size), found.size.to_string());
            differences.push(difference(format!("{path}/end"), name, layout, found));
        }
        if let (Some(wanted), Some(kind)) = (self.type_of(parted, partition), &found.part_type)
            && !wanted.eq_ignore_ascii_case(kind)
        {
            let mut differs =
                difference(format!("{path}/guid"), name, format!("the type {wanted}"), kind.clone());
            let Partition { device, count, .. } = partition;
            differs.remedy = Some(format!(
                "`sfdisk --part-type {device} {count} {wanted}` changes its type and nothing else, or correct the layout"
            ));
            differences.push(differs);
        }
        differences
    }

    /// The type that the layout gives a partition, or the firmware asks for; nothing where any will do.
    fn type_of(&self, parted: &Parted, partition: &Partition) -> Option<String> {
        if parted.label != Label::Gpt {
            return None;
        }
        let by_flag = || {
            partition.flags.iter().find_map(|flag| match layout::flag(flag) {
                Some(layout::Flag::Type(guid)) => Some(guid.to_owned()),
                _ => None,
            })
        };
        let esp = || {
            let mut esps = layout::esps(parted, self.firmware);
            esps.any(|esp| esp.name == partition.name).then(|| ESP_GUID.to_owned())
        };
        let given = partition.guid.as_ref().filter(|guid| !guid.is_empty());
        given.map(|guid| guid.to_uppercase()).or_else(by_flag).or_else(esp)
    }

    /// The types of kept file systems, as far as they show before arrays and groups are brought up.
    fn file_systems(&self) -> Vec<Difference> {
        let fss = self.deployment.partition_scheme.fss.iter().enumerate();
        fss.filter(|(_, fs)| self.kept.data(&fs.device))
            .filter_map(|(i, fs)| {
                let found = content(self.machine, &fs.device)?;
                let kind = found.kind.as_deref();
                (kind != Some(fs.fs_type.as_str())).then(|| {
                    let path = format!("/partition_scheme/fss/{i}/fs_type");
                    let found = kind.unwrap_or("nothing that is known").to_owned();
                    difference(path, &fs.device, format!("a file system of type {}", fs.fs_type), found)
                })
            })
            .collect()
    }
}

/// The kernel's and blkid's name of a kind of table.
fn label(label: Label) -> &'static str {
    match label {
        Label::Gpt => "gpt",
        Label::Msdos => "dos",
    }
}

fn difference(path: String, name: &str, layout: String, found: String) -> Difference {
    Difference { path, name: name.to_owned(), layout, found, remedy: None }
}

/// New partitions that lie over kept ones, by their real places; tables that cannot be changed around kept ones.
pub(super) fn overlaps(deployment: &Deployment, kept: &Kept, machine: &Machine) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    for (i, parted) in deployment.partition_scheme.parteds.iter().enumerate() {
        let path = format!("/partition_scheme/parteds/{i}");
        let stays = |partition: &&Partition| kept.device(&partition.name);
        let places: Vec<_> = parted
            .partitions
            .iter()
            .filter(stays)
            .filter_map(|partition| Some((&partition.name, found_place(content(machine, &partition.name)?)?)))
            .collect();
        let changed = parted.partitions.iter().enumerate().filter(|(_, partition)| !stays(partition));
        for (j, partition) in changed {
            let Place { begin, size } = Place::of(partition);
            let over = |place: &Place| {
                begin.0 < place.begin.0.saturating_add(place.size.0)
                    && place.begin.0 < begin.0.saturating_add(size.0)
            };
            if let Some((name, place)) = places.iter().find(|(_, place)| over(place)) {
                let end = Mib((place.begin.0.saturating_add(place.size.0)).div_ceil(1 << 20));
                let problem = format!(
                    "{} lies over {name}, which is kept and takes {} bytes from {} on",
                    partition.name, place.size.0, place.begin.0
                );
                let remedy = format!(
                    "let it end at {} MiB or before, or begin at {end} or later",
                    place.begin.0 >> 20
                );
                let path = format!("{path}/partitions/{j}/begin");
                refusals.extend(refusal(
                    deployment,
                    &path,
                    &partition.begin.0.to_string(),
                    &problem,
                    &remedy,
                ));
            }
        }
        let logical = parted.partitions.iter().any(|partition| partition.count >= FIRST_LOGICAL);
        let partly = parted.partitions.iter().any(|partition| !stays(&partition)) && !places.is_empty();
        if parted.label == Label::Msdos && partly && logical {
            let problem = "logical partitions are numbered anew when one of them goes, so that the kept ones would \
                           get other names";
            let remedy = "keep all partitions of this disk, or none, or only primary ones";
            refusals.extend(refusal(deployment, &path, &parted.name, problem, remedy));
        }
    }
    refusals
}
