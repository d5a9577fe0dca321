//! The boot loader of a BIOS: what it starts from the first sector of each boot disk.
//!
//! GRUB 2's first sector (`boot.img`) names the sector at which its core image begins; that one lies in the BIOS boot
//! partition of a GPT, or before the first partition of a master boot record, and is the `core.img` beside GRUB's
//! modules. grub-install writes the places of further sectors into the first two sectors of its copy, the rest is the
//! same. GRUB legacy's first sector (`stage1`) names the sector of the next stage.

use std::{io, path::Path};

use super::{
    Check, Finding, Seen,
    table::{Bytes, Table, le32, le64},
};
use crate::{
    objects::partition::BIOS_BOOT_GUID,
    steps::bootloader::{Family, inroot::Root},
};

/// How much of the core image is the disk's own.
const OWN: usize = 1024;

/// How much of its first sector is the same everywhere; the places of further sectors are behind.
const CODE: usize = 0x1f0;

/// Looks at each boot disk.
pub fn check(seen: &Seen<'_>) -> Vec<Finding> {
    if !seen.boot.firmware.bios() {
        return Vec::new();
    }
    let stages = Stages::read(seen.root, seen.boot.disks.len() == 1);
    let disks = seen.boot.disks.iter().map(|disk| disk.disk.as_str());
    disks.filter_map(|disk| on_disk(disk, &stages)).collect()
}

/// The files that a boot loader on a disk is a copy of.
#[derive(Debug, Default)]
struct Stages {
    /// GRUB 2's core image.
    core: Option<Vec<u8>>,
    /// Whether the copy is of the whole of it. With several boot disks, grub-install makes one for each, and the file
    /// is the last disk's.
    whole: bool,
    /// GRUB legacy's next stages.
    legacy: Vec<Vec<u8>>,
}

impl Stages {
    fn read(root: &Root, whole: bool) -> Self {
        let read = |file: String| root.resolve(file).ok().and_then(|path| std::fs::read(path).ok());
        let core = [Family::Debian, Family::Rpm]
            .iter()
            .find_map(|family| read(format!("{}/i386-pc/core.img", family.names().dir)));
        let names = root.names("/boot/grub").into_iter();
        let legacy = names.filter(|name| name == "stage2" || name.ends_with("_stage1_5"));
        Self { core, whole, legacy: legacy.filter_map(|name| read(format!("/boot/grub/{name}"))).collect() }
    }
}

fn on_disk(disk: &str, stages: &Stages) -> Option<Finding> {
    let read = Table::of(Path::new(disk)).and_then(|(table, bytes)| problem(&table, &bytes, stages));
    let problem = match read {
        Ok(problem) => problem?,
        Err(error) => format!("its first sectors cannot be read: {error}"),
    };
    let remedy = format!(
        "run `bareon-provision bootloader`, which installs it again; without that, no machine boots from {disk}"
    );
    Some(Finding::error(Check::BootCode, disk, problem, remedy))
}

/// What is wrong with the boot loader on the disk `bytes`.
fn problem(table: &Table, bytes: &dyn Bytes, stages: &Stages) -> io::Result<Option<String>> {
    let told = |problem: &str| Ok(Some(problem.to_owned()));
    let first = bytes.bytes(0, 512)?;
    if first[510..] != [0x55, 0xaa] || !first.windows(4).any(|four| four == b"GRUB") {
        return told("there is no boot code of GRUB in its first sector");
    }
    if stages.core.is_none() && !stages.legacy.is_empty() {
        return legacy(&first, table, bytes, stages);
    }
    let at = le64(&first, 0x5c);
    let room = if table.gpt {
        table.parts.iter().find(|part| part.kind == BIOS_BOOT_GUID).map(|part| (part.first, part.last))
    } else {
        table.parts.iter().map(|part| part.first).min().map(|first| (1, first.saturating_sub(1)))
    };
    if !room.is_some_and(|(first, last)| first <= at && at <= last) {
        return told("its boot code leads to a sector outside of the place that is kept for GRUB");
    }
    let Some(core) = stages.core.as_ref().filter(|core| core.len() > OWN) else {
        return told("GRUB's core.img is not in /boot, so what was installed cannot be told");
    };
    let installed = bytes.bytes(at.saturating_mul(table.sector as u64), core.len())?;
    let same = installed[..CODE] == core[..CODE] && (!stages.whole || installed[OWN..] == core[OWN..]);
    if same {
        Ok(None)
    } else {
        told("the GRUB that its boot code leads to is not that of the installed system")
    }
}

fn legacy(first: &[u8], table: &Table, bytes: &dyn Bytes, stages: &Stages) -> io::Result<Option<String>> {
    let at = u64::from(le32(first, 0x44));
    let next = bytes.bytes(at.saturating_mul(table.sector as u64), 512)?;
    // Its end holds the places of the sectors that follow.
    let same = |stage: &Vec<u8>| stage.get(..256) == Some(&next[..256]);
    let found = at > 0 && stages.legacy.iter().any(same);
    Ok((!found).then(|| "its boot code does not lead to a stage of GRUB that is in /boot/grub".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::table::Part;

    fn disk(at: u64, core: &[u8]) -> Vec<u8> {
        let mut disk = vec![0; 512 * 200];
        disk[0x180..0x184].copy_from_slice(b"GRUB");
        disk[0x5c..0x64].copy_from_slice(&at.to_le_bytes());
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        let begin = usize::try_from(at).unwrap() * 512;
        disk[begin..begin + core.len()].copy_from_slice(core);
        disk
    }

    fn table(gpt: bool) -> Table {
        let part = |number, kind: &str, first, last| Part { number, kind: kind.into(), first, last };
        let parts = if gpt {
            vec![part(1, BIOS_BOOT_GUID, 40, 99), part(2, "0FC63DAF-8483-4772-8E79-3D69D8477DE4", 100, 199)]
        } else {
            vec![part(1, "83", 100, 199)]
        };
        Table { gpt, sector: 512, parts }
    }

    #[test]
    fn the_first_sector_leads_to_the_core_image_of_the_installed_system() {
        let core: Vec<u8> = (0..5000u32).map(|byte| (byte % 251) as u8).collect();
        let mut copy = core.clone();
        copy[0x1f4] = 1;
        copy[0x210] = 2;
        let mut older = copy.clone();
        older[4000] ^= 1;
        for (gpt, at, installed, whole, told) in [
            (true, 40, &copy, true, None),
            (false, 1, &copy, true, None),
            (true, 1, &copy, true, Some("outside of the place")),
            (false, 120, &copy, true, Some("outside of the place")),
            (true, 40, &older, true, Some("is not that of the installed system")),
            (true, 40, &older, false, None),
            (true, 40, &vec![0; 5000], false, Some("is not that of the installed system")),
        ] {
            let stages = Stages { core: Some(core.clone()), whole, legacy: Vec::new() };
            let problem = problem(&table(gpt), &disk(at, installed), &stages).unwrap();
            match told {
                None => assert_eq!(problem, None),
                Some(told) => assert!(problem.as_ref().is_some_and(|it| it.contains(told)), "{problem:?}"),
            }
        }
        let wiped = problem(&table(true), &vec![0; 1024], &Stages::default()).unwrap().unwrap();
        assert!(wiped.contains("no boot code"), "{wiped}");
    }

    #[test]
    fn grub_legacy_leads_to_its_next_stage() {
        let stage: Vec<u8> = (0..1000u32).map(|byte| (byte % 249) as u8).collect();
        let stages = Stages { core: None, whole: true, legacy: vec![vec![7; 512], stage.clone()] };
        let mut disk = disk(50, &stage);
        disk[0x44..0x48].copy_from_slice(&50u32.to_le_bytes());
        assert_eq!(problem(&table(false), &disk, &stages).unwrap(), None);
        disk[0x44..0x48].copy_from_slice(&51u32.to_le_bytes());
        assert!(problem(&table(false), &disk, &stages).unwrap().unwrap().contains("/boot/grub"));
    }
}
