//! The firmware's boot entries. None of this keeps a machine from booting: firmware that finds no entry starts
//! `EFI/BOOT/BOOTX64.EFI`.

use bareon_host::efibootmgr::{Entry, Nvram};

use super::{Check, Finding, Seen, devices::Device};
use crate::steps::bootloader::BootOrder;

const PLACE: &str = "the firmware's boot entries";

/// Looks for an entry for each EFI system partition, and for its place in the order.
pub fn check(seen: &Seen<'_>) -> Vec<Finding> {
    let Some(nvram) = seen.running.nvram.as_ref().filter(|_| seen.boot.firmware.uefi()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut ours = Vec::new();
    for esp in seen.boot.disks.iter().filter_map(|disk| disk.esp.as_ref()) {
        let partuuid = seen.devices.at(&esp.device).and_then(|one: &Device| one.tagged.partuuid.as_ref());
        let Some(partuuid) = partuuid.map(|uuid| uuid.to_lowercase()) else { continue };
        let entries: Vec<_> =
            nvram.entries.iter().filter(|entry| entry.partuuid().as_ref() == Some(&partuuid)).collect();
        if entries.is_empty() {
            found.push(warning(format!("none starts from {} ({partuuid})", esp.device)));
        }
        found.extend(entries.iter().filter_map(|entry| missing(seen, &esp.device, entry)));
        ours.extend(entries.iter().map(|entry| entry.id));
    }
    found.extend(order(nvram, &ours, seen.boot.efi_boot_order));
    found
}

fn warning(problem: String) -> Finding {
    let remedy = "run `bareon-provision bootloader` in a ramdisk that was booted by UEFI and has efibootmgr";
    Finding::warning(Check::Nvram, PLACE, problem, remedy)
}

/// The file that an entry starts has to be there.
fn missing(seen: &Seen<'_>, device: &str, entry: &Entry) -> Option<Finding> {
    let path = entry.path.to_lowercase().replace('\\', "/");
    // Before version 18 of efibootmgr the path stood in `File(…)`, since then it stands bare.
    let begin = path.find("/efi/")?;
    let end = path[begin..].find(".efi").map(|at| begin + at + 4)?;
    let file = &path[begin + 1..end];
    let esp = seen.esps.iter().find(|esp| esp.device == device)?;
    (!esp.files.contains_key(file)).then(|| {
        warning(format!("Boot{:04X} {} starts {file}, which is not on {device}", entry.id, entry.label))
    })
}

fn order(nvram: &Nvram, ours: &[u16], wanted: BootOrder) -> Option<Finding> {
    let placed: Vec<_> = nvram.order.iter().map(|id| ours.contains(id)).collect();
    let count = placed.iter().filter(|ours| **ours).count();
    let fits = match wanted {
        BootOrder::Keep => count > 0,
        BootOrder::First => count > 0 && placed[..count].iter().all(|ours| *ours),
        BootOrder::Last => count > 0 && placed[placed.len() - count..].iter().all(|ours| *ours),
    };
    let wanted = match wanted {
        BootOrder::Keep => "part of it",
        BootOrder::First => "first (efi_boot_order)",
        BootOrder::Last => "last (efi_boot_order)",
    };
    (!ours.is_empty() && !fits).then(|| {
        let shown: Vec<_> = nvram.order.iter().map(|id| format!("{id:04X}")).collect();
        warning(format!(
            "the boot order is {}, and the installed system's entries are not {wanted}",
            shown.join(",")
        ))
    })
}

#[cfg(test)]
mod tests {
    use bareon_host::efibootmgr;

    use super::*;
    use crate::{
        audit::tests::Bench,
        steps::bootloader::{EspFile, EspFiles, Firmware},
    };

    const GUID: &str = "ab3e0c6f-0d8d-4c8e-8a07-0c4b1f3a1d2e";

    fn found(order: &str, entry: &str, wanted: BootOrder) -> Vec<String> {
        let mut bench = Bench::new();
        bench.boot.firmware = Firmware::Uefi;
        bench.boot.efi_boot_order = wanted;
        bench.boot.disks[0].esp.as_mut().unwrap().device = "/dev/vda5".into();
        let guid = GUID.to_uppercase();
        bench.add(&[("/dev/vda5", "vfat", "1-2", "", &*guid, true)]);
        let files = [("efi/debian/grubx64.efi".to_owned(), EspFile::default())].into();
        bench.esps = vec![EspFiles { device: "/dev/vda5".into(), files }];
        let text = format!("BootOrder: {order}\nBoot0001* PXE\tPciRoot(0x0)/MAC(525400123456,1)\n{entry}");
        bench.running.nvram = Some(efibootmgr::parse(&text));
        check(&bench.seen()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_entry_starts_a_file_that_is_there_and_is_where_it_was_asked_for() {
        let entry =
            format!("Boot0005* debian\tHD(1,GPT,{GUID},0x800,0x1000)/File(\\EFI\\debian\\grubx64.efi)\n");
        for (order, wanted, told) in [
            ("0001,0005", BootOrder::Keep, None),
            ("0005,0001", BootOrder::First, None),
            ("0001,0005", BootOrder::Last, None),
            ("0001,0005", BootOrder::First, Some("not first")),
            ("0005,0001", BootOrder::Last, Some("not last")),
            ("0001", BootOrder::Keep, Some("not part of it")),
        ] {
            let found = found(order, &entry, wanted);
            match told {
                None => assert!(found.is_empty(), "{found:?}"),
                Some(told) => assert!(found.len() == 1 && found[0].contains(told), "{found:?}"),
            }
        }
        let other = entry.replace("grubx64", "shimx64");
        assert!(
            found("0005", &other, BootOrder::Keep)[0]
                .contains("starts efi/debian/shimx64.efi, which is not on")
        );
        assert!(found("0001", "", BootOrder::Keep)[0].contains("none starts from /dev/vda5"));
    }
}
