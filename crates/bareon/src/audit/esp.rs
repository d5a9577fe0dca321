//! The EFI system partitions: the firmware's way to the installed system, one on each boot disk.
//!
//! An entry in NVRAM starts the boot loader in the distribution's directory; without one, firmware starts
//! `EFI/BOOT/BOOTX64.EFI`. Where shim stands before GRUB, the signed GRUB has no configuration within and reads
//! `grub.cfg` in the distribution's directory, which leads to the one in `/boot`.

use std::path::Path;

use super::{Check, Finding, Seen, devices::Device, table::Table};
use crate::{
    objects::partition::ESP_GUID,
    steps::bootloader::{BootDisk, Esp, EspFiles},
};

/// The type of an EFI system partition in a master boot record.
const MBR_TYPE: &str = "EF";

const FALLBACK: &str = "efi/boot/bootx64.efi";

const REMEDY: &str = "run `bareon-provision bootloader`, which fills it again";

/// Looks at each EFI system partition, and whether all hold the same.
pub fn check(seen: &Seen<'_>) -> Vec<Finding> {
    if !seen.boot.firmware.uefi() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for disk in &seen.boot.disks {
        let Some(esp) = &disk.esp else {
            let remedy = "add an EFI system partition to the layout of this disk";
            found.push(Finding::error(
                Check::Esp,
                &*disk.disk,
                "UEFI has nothing to boot from on it",
                remedy,
            ));
            continue;
        };
        found.extend(partition(seen, disk, esp));
        match seen.esps.iter().find(|files| files.device == esp.device) {
            Some(files) => found.extend(content(seen, files)),
            None => found.push(error(&esp.device, "what is in it could not be read".into())),
        }
    }
    found.extend(alike(seen.esps));
    found
}

fn error(place: &str, problem: String) -> Finding {
    Finding::error(Check::Esp, place, problem, REMEDY)
}

/// The partition's type in the table, and the file system in it.
fn partition(seen: &Seen<'_>, disk: &BootDisk, esp: &Esp) -> Vec<Finding> {
    let mut found = Vec::new();
    let number = esp.number;
    match Table::of(Path::new(&disk.disk)) {
        Ok((table, _)) => {
            let kind = table.parts.iter().find(|part| part.number == number).map(|part| part.kind.as_str());
            if kind != Some(if table.gpt { ESP_GUID } else { MBR_TYPE }) {
                let kind = kind.unwrap_or("not there");
                let problem = format!(
                    "its type in the partition table is not that of an EFI system partition ({kind})"
                );
                let remedy = format!("sfdisk --part-type {} {number} {ESP_GUID}", disk.disk);
                found.push(Finding::error(Check::Esp, &*esp.device, problem, remedy));
            }
        }
        Err(cause) => found.push(error(&disk.disk, format!("its partition table cannot be read: {cause}"))),
    }
    let kind = seen.devices.at(&esp.device).map(Device::kind).unwrap_or_default();
    if kind != "vfat" {
        found.push(error(
            &esp.device,
            format!("it is to be vfat, but holds {}", if kind.is_empty() { "nothing" } else { kind }),
        ));
    }
    found
}

/// The files of one partition.
fn content(seen: &Seen<'_>, esp: &EspFiles) -> Vec<Finding> {
    let mut found = Vec::new();
    let place = |file: &str| format!("{}: {file}", esp.device);
    if !esp.files.contains_key(FALLBACK) {
        found.push(error(
            &place(FALLBACK),
            "it is not there, so firmware without an entry for this system finds nothing".into(),
        ));
    }
    let boot = seen.boot_device().map(Device::uuid).unwrap_or_default();
    for (name, file) in &esp.files {
        let dir = name.rsplit_once('/').map_or("", |(dir, _)| dir);
        if Path::new(name).extension().is_some_and(|extension| extension == "efi") {
            match file.program {
                None => found.push(error(&place(name), "it is no program for UEFI".into())),
                Some(program) if seen.running.secure_boot && !program.signed => {
                    let problem = "Secure Boot is on, and it carries no signature".to_owned();
                    let remedy = "put signed boot loaders into the image (shim-signed, grub-efi-amd64-signed; rpm: shim-x64), or turn Secure Boot off";
                    found.push(Finding::error(Check::Esp, place(name), problem, remedy));
                }
                Some(_) => {}
            }
        }
        for uuid in file.searches.iter().filter(|uuid| !boot.is_empty() && !uuid.eq_ignore_ascii_case(boot)) {
            let problem = format!("it searches for the file system {uuid}, but /boot is on {boot}");
            found.push(error(&place(name), problem));
        }
        if let Some(prefix) = &file.prefix
            && !configured(seen, prefix)
        {
            found.push(error(&place(name), format!("it leads to {prefix}/grub.cfg, which is not there")));
        }
        if name.ends_with("/shimx64.efi") && !esp.files.contains_key(&format!("{dir}/grubx64.efi")) {
            found.push(error(&place(name), "there is no grubx64.efi beside it, which it starts".into()));
        }
    }
    let shim = esp.files.keys().any(|name| name.ends_with("/shimx64.efi"));
    let stub = esp.files.keys().any(|name| name.ends_with("/grub.cfg"));
    if shim && !stub {
        found.push(error(
            &esp.device,
            "the signed GRUB finds no grub.cfg in the distribution's directory".into(),
        ));
    }
    found
}

/// Whether there is a configuration in the directory that GRUB calls `prefix` on the file system of `/boot`.
fn configured(seen: &Seen<'_>, prefix: &str) -> bool {
    let own = seen.boot.mounts.iter().any(|mount| mount.mount == "/boot");
    let dir = if own { format!("/boot{prefix}") } else { prefix.to_owned() };
    let below = dir.find("/boot/").map_or(&*dir, |at| &dir[at..]);
    [&*dir, below].iter().any(|dir| seen.root.has(Path::new(dir).join("grub.cfg")))
}

/// Whether all partitions hold the same as the first.
fn alike(esps: &[EspFiles]) -> Vec<Finding> {
    let Some((first, others)) = esps.split_first() else { return Vec::new() };
    let mut found = Vec::new();
    for other in others {
        let names = first.files.keys().chain(other.files.keys());
        let mut differ: Vec<_> = names
            .filter(|name| {
                first.files.get(*name).map(|file| file.sum) != other.files.get(*name).map(|file| file.sum)
            })
            .map(String::as_str)
            .collect();
        differ.sort_unstable();
        differ.dedup();
        if !differ.is_empty() {
            let problem = format!("its files are not those of {}: {}", first.device, differ.join(", "));
            found.push(Finding::warning(Check::Esp, &*other.device, problem, REMEDY));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::tests::{Bench, ROOT},
        steps::bootloader::{EspFile, esp_files::tests::made},
    };

    fn esp(device: &str, files: &[(&str, Vec<u8>)]) -> EspFiles {
        let files = files.iter().map(|(name, content)| ((*name).to_owned(), EspFile::of(name, content)));
        EspFiles { device: device.into(), files: files.collect() }
    }

    fn stub(uuid: &str, dir: &str) -> Vec<u8> {
        format!("search.fs_uuid {uuid} root\nset prefix=($root)'{dir}'\n").into_bytes()
    }

    /// What is found in a partition with these files.
    fn found(secure_boot: bool, files: &[(&str, Vec<u8>)]) -> Vec<String> {
        let mut bench = Bench::new();
        bench.running.secure_boot = secure_boot;
        bench.write("/boot/grub/grub.cfg", "");
        content(&bench.seen(), &esp("/dev/vda1", files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_boot_loader_of_grub_s_own_is_enough_without_secure_boot() {
        let grub = made(false, &format!("search.fs_uuid {ROOT} root\n"));
        let files = [(FALLBACK, grub.clone()), ("efi/debian/grubx64.efi", grub)];
        assert_eq!(found(false, &files), Vec::<String>::new());
        let signed = found(true, &files);
        assert!(signed.len() == 2 && signed[0].contains("no signature; put signed"), "{signed:?}");
    }

    #[test]
    fn shim_has_grub_beside_it_and_that_one_its_configuration() {
        let signed = made(true, "");
        let all = [
            (FALLBACK, signed.clone()),
            ("efi/boot/grubx64.efi", signed.clone()),
            ("efi/debian/shimx64.efi", signed.clone()),
            ("efi/debian/grubx64.efi", signed.clone()),
            ("efi/debian/grub.cfg", stub(ROOT, "/boot/grub")),
        ];
        assert_eq!(found(true, &all), Vec::<String>::new());
        for (change, told) in [
            (Vec::new(), "no grub.cfg in the distribution's directory"),
            (stub("ba-d0", "/boot/grub"), "the file system ba-d0, but /boot is on ab-cd"),
            (stub(ROOT, "/grub"), "it leads to /grub/grub.cfg"),
        ] {
            let mut files = all[..4].to_vec();
            if !change.is_empty() {
                files.push(("efi/debian/grub.cfg", change));
            }
            let found = found(true, &files);
            assert!(found.len() == 1 && found[0].contains(told), "{found:?}");
        }
        let without = [&all[1..3], &all[4..]].concat();
        let told = found(true, &without);
        assert!(
            told[0].contains("bootx64.efi: it is not there") && told[1].contains("no grubx64.efi"),
            "{told:?}"
        );
        let broken = found(false, &[(FALLBACK, b"x".to_vec())]);
        assert!(broken[0].contains("no program for UEFI"), "{broken:?}");
    }

    #[test]
    fn all_partitions_hold_the_same() {
        let one = esp("/dev/vda1", &[(FALLBACK, made(false, "")), ("efi/debian/grub.cfg", b"a".to_vec())]);
        let mut two = EspFiles { device: "/dev/vdb1".into(), ..one.clone() };
        assert!(alike(&[one.clone(), two.clone()]).is_empty());
        two.files.remove("efi/debian/grub.cfg");
        let told = alike(&[one, two])[0].to_string();
        assert!(
            told.starts_with("/dev/vdb1: its files are not those of /dev/vda1: efi/debian/grub.cfg"),
            "{told}"
        );
    }
}
