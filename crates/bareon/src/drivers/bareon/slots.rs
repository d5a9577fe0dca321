//! The partitions of one disk: which there are, and where they lie.

use std::ops::Range;

use super::{
    Report,
    document::{Disk, Flag, Partition as Described, Table},
    share::units,
    text::{self, Size},
};
use crate::objects::Bytes;

/// Where the first partition begins.
const FIRST: u64 = 1;
/// The partition that GRUB's core image lies in when the machine boots by BIOS.
const BIOS_BOOT: Bytes = Bytes(1 << 20);
/// The EFI system partition: with sectors of 4096 bytes, FAT32 begins at 256 MiB.
const ESP: Bytes = Bytes(512 << 20);
/// The partition of the config drive.
const CONFIG_DRIVE: Bytes = Bytes(20 << 20);
/// A MiB.
const MIB: Bytes = Bytes(1 << 20);

/// A partition that is wanted on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// What it is for.
    pub what: What,
    /// How large it is to be.
    size: Size,
    /// Where it begins, in MiB.
    start: Option<u64>,
}

/// What a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// For GRUB's core image, by BIOS.
    BiosBoot,
    /// The EFI system partition.
    Esp,
    /// The partition of that place in the document.
    Described(usize),
    /// The config drive.
    ConfigDrive,
}

/// The partitions of a disk in their order; nothing where one has no size, which is told.
pub fn slots(
    disk: &Disk,
    index: usize,
    boots: bool,
    drive: bool,
    report: &mut Report<'_>,
) -> Option<Vec<Slot>> {
    let gpt = disk.table != Some(Table::Mbr);
    let described = |kind: &str| disk.partitions.iter().any(|it| it.kind.as_deref() == Some(kind));
    let own = |what, size| Slot { what, size: Size::Fixed(size), start: None };
    let mut slots = Vec::new();
    if boots && gpt && !described("bios_boot") {
        slots.push(own(What::BiosBoot, BIOS_BOOT));
    }
    if boots && gpt && !described("efi") {
        slots.push(own(What::Esp, ESP));
    }
    let (mut whole, mut remaining) = (true, false);
    for (j, partition) in disk.partitions.iter().enumerate() {
        let path = format!("/disks/{index}/partitions/{j}");
        let size = partition.size.as_deref().and_then(|size| text::size(size).ok());
        if size == Some(Size::Remaining) && std::mem::replace(&mut remaining, true) {
            let problem = "another partition of this disk takes what remains";
            report.wrong(
                &format!("{path}/size"),
                problem,
                "give one of the two a size, or both a share such as 50%",
            );
            whole = false;
        }
        let start = partition.start.as_deref().and_then(|start| text::bytes(start).ok());
        if start.is_some_and(|start| !start.0.is_multiple_of(MIB.0)) {
            report.wrong(
                &format!("{path}/start"),
                "partitions begin at whole MiB",
                "write whole MiB, such as 1MiB",
            );
        }
        check_kind(partition, &path, gpt, report);
        match size {
            Some(size) => {
                let start = start.map(|start| start.0 / MIB.0);
                slots.push(Slot { what: What::Described(j), size, start });
            }
            None => whole = false,
        }
    }
    if drive {
        slots.push(own(What::ConfigDrive, CONFIG_DRIVE));
    }
    whole.then_some(slots)
}

/// Whether the table knows such types and flags.
fn check_kind(partition: &Described, path: &str, gpt: bool, report: &mut Report<'_>) {
    let kind = partition.kind.as_deref().unwrap_or_default();
    if !gpt && (kind == "bios_boot" || text::is_guid(kind)) {
        let remedy = "leave it out, or let the disk have a table of kind `gpt`";
        report.wrong(&format!("{path}/type"), "a master boot record has no such type", remedy);
    }
    for (i, flag) in partition.flags.iter().enumerate() {
        let (problem, remedy) = match (flag, gpt) {
            (Flag::Boot, true) => {
                ("a GPT has no active partition", "write `boot: true` at the disk it boots from")
            }
            (Flag::LegacyBoot | Flag::Hidden, false) => {
                ("a master boot record has no such flag", "leave it out")
            }
            _ => continue,
        };
        report.wrong(&format!("{path}/flags/{i}"), problem, remedy);
    }
}

/// Why partitions cannot lie so: the one that it is about, by its place in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misfit {
    /// It begins before this MiB, where the one before it ends.
    Overlap(usize, u64),
    /// Nothing is left for it.
    NothingLeft(usize),
    /// So many MiB are missing.
    Over(u64),
}

/// Where in MiB partitions lie on a disk whose room ends at `end`; from `logical` on each has a MiB before it for its
/// entry in the extended partition.
pub fn place(slots: &[Slot], end: u64, logical: usize) -> Result<Vec<Range<u64>>, Misfit> {
    let gap = |i: usize| u64::from(i >= logical);
    let gaps: u64 = (0..slots.len()).map(gap).sum();
    let own = |slot: &&Slot| !matches!(slot.what, What::Described(_));
    let own: u64 = slots.iter().filter(own).filter_map(|slot| units(slot.size, 0, MIB)).sum();
    let shared = end.saturating_sub(FIRST + own + gaps);
    let sizes: Vec<_> = slots.iter().map(|slot| units(slot.size, shared, MIB)).collect();
    let (mut places, mut cursor) = (Vec::new(), FIRST);
    for (i, slot) in slots.iter().enumerate() {
        let earliest = cursor + gap(i);
        let begin = slot.start.unwrap_or(earliest);
        if begin < earliest {
            return Err(Misfit::Overlap(i, earliest));
        }
        let size = match sizes[i] {
            Some(size) => size,
            None => rest(slots, &sizes, i, begin, end, gap).ok_or(Misfit::NothingLeft(i))?,
        };
        cursor = begin.saturating_add(size);
        places.push(begin..cursor);
    }
    if cursor > end { Err(Misfit::Over(cursor - end)) } else { Ok(places) }
}

/// What remains for the partition `i` that begins at `begin`: up to the next one that has a place of its own, less
/// those in between.
fn rest(
    slots: &[Slot],
    sizes: &[Option<u64>],
    i: usize,
    begin: u64,
    end: u64,
    gap: impl Fn(usize) -> u64,
) -> Option<u64> {
    let next = (i + 1..slots.len()).find(|j| slots[*j].start.is_some());
    let limit = next.and_then(|j| Some(slots[j].start?.saturating_sub(gap(j)))).unwrap_or(end);
    let between = i + 1..next.unwrap_or(slots.len());
    let taken = between.map(|j| sizes[j].unwrap_or(0) + gap(j)).fold(begin, u64::saturating_add);
    limit.checked_sub(taken).filter(|left| *left > 0)
}

/// Tells why the partitions of a disk whose room ends at `end` do not fit.
pub fn tell(misfit: &Misfit, slots: &[Slot], path: &str, disk: &Disk, end: u64, report: &mut Report<'_>) {
    let at = |i: &usize, key: &str| match slots[*i].what {
        What::Described(j) => format!("{path}/partitions/{j}/{key}"),
        _ => format!("{path}/partitions"),
    };
    let name = disk.name.as_deref().map_or("the disk".to_owned(), |name| format!("the disk `{name}`"));
    match misfit {
        Misfit::Overlap(i, earliest) => {
            let problem = format!("the partition before it ends at {earliest} MiB");
            report.wrong(&at(i, "start"), problem, "let it begin there or later, or leave `start` out");
        }
        Misfit::NothingLeft(i) => {
            let problem =
                format!("the other partitions leave nothing of {name}, which has room up to {end} MiB");
            report.wrong(&at(i, "size"), problem, "make the others smaller");
        }
        Misfit::Over(by) => {
            let own: Vec<_> = slots
                .iter()
                .filter_map(|slot| match slot.what {
                    What::BiosBoot => Some("BIOS boot (1 MiB)"),
                    What::Esp => Some("EFI system partition (512 MiB)"),
                    What::ConfigDrive => Some("config drive (20 MiB)"),
                    What::Described(_) => None,
                })
                .collect();
            let own = if own.is_empty() { String::new() } else { format!("; {} among them", own.join(", ")) };
            let problem = format!(
                "the partitions are {by} MiB too large for {name}, which has room up to {end} MiB{own}"
            );
            report.wrong(
                &format!("{path}/partitions"),
                problem,
                "make one smaller, or let one have size `remaining`",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(text: &str) -> Slot {
        let (size, start) = text.split_once('@').unwrap_or((text, ""));
        let start = text::bytes(start).ok().map(|start| start.0 / MIB.0);
        Slot { what: What::Described(0), size: text::size(size).unwrap(), start }
    }

    #[test]
    fn partitions_follow_one_another_unless_they_have_a_place() {
        const NONE: usize = usize::MAX;
        for (texts, logical, want) in [
            (&["10MiB", "1B"][..], NONE, Ok(vec![1..11, 11..12])),
            (&["10MiB@5MiB", "10MiB"], NONE, Ok(vec![5..15, 15..25])),
            (&["remaining", "10MiB@50MiB", "5MiB"], NONE, Ok(vec![1..50, 50..60, 60..65])),
            (&["10MiB", "remaining", "4MiB", "10MiB@50MiB"], NONE, Ok(vec![1..11, 11..46, 46..50, 50..60])),
            (&["10MiB@20MiB", "remaining"], NONE, Ok(vec![20..30, 30..100])),
            (&["10MiB", "5MiB", "remaining"], 1, Ok(vec![1..11, 12..17, 18..100])),
            (&["50%", "50%"], 1, Ok(vec![1..50, 51..100])),
            (&["10MiB", "10MiB@5MiB"], NONE, Err(Misfit::Overlap(1, 11))),
            (&["10MiB", "10MiB@11MiB"], 1, Err(Misfit::Overlap(1, 12))),
            (&["remaining", "99MiB"], NONE, Err(Misfit::NothingLeft(0))),
            (&["99MiB", "2MiB"], NONE, Err(Misfit::Over(2))),
            (&["50MiB@60MiB"], NONE, Err(Misfit::Over(10))),
        ] {
            let slots: Vec<_> = texts.iter().map(|text| slot(text)).collect();
            assert_eq!(place(&slots, 100, logical), want, "{texts:?}");
        }
    }
}
