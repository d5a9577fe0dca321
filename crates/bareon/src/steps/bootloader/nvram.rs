//! The entries in NVRAM, kept by the ramdisk's efibootmgr.
//!
//! Entries of earlier installations are removed first: those of our name that start from one of
//! our partitions, or from a partition that this machine no longer has. NVRAM is small, and a board
//! that runs out of it takes no new entry. Nothing here is a reason to fail: without an entry the
//! machine boots by the removable fallback path.

use bareon_host::{
    CommandError, Runner, Tool, blkid,
    efibootmgr::{self, Nvram},
    mount,
};

use super::{BootOrder, efi::Loader};

const EFIVARS: &str = "/sys/firmware/efi/efivars";

/// Enters the boot loaders under the name `id`; the entries (`Boot0007 debian`), or a warning.
///
/// # Errors
/// What is to be told as a warning.
pub fn enter(
    host: &dyn Runner,
    order: BootOrder,
    id: &str,
    loaders: &[Loader],
) -> Result<Vec<String>, CommandError> {
    let before = list(host)?;
    let removed = remove(host, &before, id, loaders)?;
    for (index, loader) in loaders.iter().enumerate() {
        let label = label(id, index);
        host.run(&efibootmgr::create(&loader.disk, loader.esp.number, &label, &loader.file))?;
    }
    let after = list(host)?;
    let added: Vec<_> = (0..loaders.len()).filter_map(|index| find(&after, &label(id, index))).collect();
    let new = new_order(order, &before.order, &removed, &added);
    if new != after.order {
        host.run(&efibootmgr::order(&new))?;
    }
    Ok((0..added.len()).map(|index| format!("Boot{:04X} {}", added[index], label(id, index))).collect())
}

/// The commands of [`enter`] on a machine that knows no entry of ours.
pub fn commands(id: &str, loaders: &[Loader]) -> Vec<bareon_host::Cmd> {
    let mut cmds = vec![efibootmgr::list()];
    cmds.extend(loaders.iter().enumerate().map(|(index, loader)| {
        efibootmgr::create(&loader.disk, loader.esp.number, &label(id, index), &loader.file)
    }));
    cmds
}

/// What the machine's entries are; the directory of variables is mounted where it was forgotten.
fn list(host: &dyn Runner) -> Result<Nvram, CommandError> {
    let output = host.run(&efibootmgr::list()).or_else(|error| {
        if !host.has(Tool::Efibootmgr) {
            return Err(error);
        }
        host.run(&mount::mount("efivarfs", EFIVARS.as_ref(), "efivarfs")).map_err(|_| error)?;
        host.run(&efibootmgr::list())
    })?;
    Ok(efibootmgr::parse(&output.stdout))
}

/// The name of the entry for the boot loader on the disk of that index.
fn label(id: &str, index: usize) -> String {
    if index == 0 { id.to_owned() } else { format!("{id} (disk {})", index + 1) }
}

/// The newest entry of that name; old ones were removed.
fn find(nvram: &Nvram, label: &str) -> Option<u16> {
    nvram.entries.iter().rev().find(|entry| entry.label == label).map(|entry| entry.id)
}

fn remove(host: &dyn Runner, nvram: &Nvram, id: &str, loaders: &[Loader]) -> Result<Vec<u16>, CommandError> {
    let mut removed = Vec::new();
    for entry in &nvram.entries {
        let ours = entry.label == id || entry.label.starts_with(&format!("{id} (disk "));
        let Some(partuuid) = entry.partuuid().filter(|_| ours) else { continue };
        let replaced = loaders.iter().any(|loader| loader.partuuid.as_ref() == Some(&partuuid));
        if replaced || host.run(&blkid::with_tag("PARTUUID", &partuuid))?.stdout.trim().is_empty() {
            host.run(&efibootmgr::delete(entry.id))?;
            removed.push(entry.id);
        }
    }
    Ok(removed)
}

/// The boot order after `removed` were removed and `added` came.
fn new_order(order: BootOrder, before: &[u16], removed: &[u16], added: &[u16]) -> Vec<u16> {
    let stays = |id: &&u16| !removed.contains(id) && !added.contains(id);
    let others: Vec<_> = before.iter().filter(stays).copied().collect();
    let place = match order {
        BootOrder::First => 0,
        BootOrder::Last => others.len(),
        // Where the entry stood that the new one replaces.
        BootOrder::Keep => before
            .iter()
            .position(|id| removed.contains(id))
            .map_or(others.len(), |place| before[..place].iter().filter(stays).count()),
    };
    [&others[..place], added, &others[place..]].concat()
}

#[cfg(test)]
mod tests {
    use bareon_host::Script;

    use super::*;
    use crate::steps::bootloader::{Esp, EspFiles};

    const OURS: &str = "ab3e0c6f-0d8d-4c8e-8a07-0c4b1f3a1d2e";
    const GONE: &str = "11111111-2222-3333-4444-555555555555";
    const OTHER: &str = "99999999-2222-3333-4444-555555555555";

    #[test]
    fn the_order_is_kept_or_led_or_ended() {
        for (order, before, removed, after) in [
            (BootOrder::Keep, &[3, 1][..], &[][..], &[3, 1, 9][..]),
            (BootOrder::Keep, &[3, 7, 1], &[7], &[3, 9, 1]),
            (BootOrder::Keep, &[7, 9, 1], &[7, 9], &[9, 1]),
            (BootOrder::First, &[3, 1], &[], &[9, 3, 1]),
            (BootOrder::Last, &[3, 7, 1], &[7], &[3, 1, 9]),
            (BootOrder::Keep, &[], &[], &[9]),
        ] {
            assert_eq!(new_order(order, before, removed, &[9]), after, "{order:?} {before:?}");
        }
    }

    fn loader() -> Loader {
        Loader {
            disk: "/dev/vda".into(),
            esp: Esp { device: "/dev/vda2".into(), number: 2 },
            partuuid: Some(OURS.into()),
            file: "\\EFI\\debian\\grubx64.efi".into(),
            files: EspFiles::default(),
        }
    }

    fn entry(id: u16, label: &str, partuuid: &str) -> String {
        format!("Boot{id:04X}* {label}\tHD(2,GPT,{partuuid},0x800,0x1000)/File(\\EFI\\x.efi)\n")
    }

    #[test]
    fn stale_entries_go_and_the_network_stays_first() {
        let pxe = "Boot0003* UEFI PXEv4\tPciRoot(0x0)/MAC(525400123456,1)\n";
        let before = "BootCurrent: 0003\nBootOrder: 0003,0001,0002,0004\n".to_owned()
            + pxe
            + &entry(1, "debian", GONE)
            + &entry(2, "debian", OTHER)
            + &entry(4, "Windows Boot Manager", GONE);
        let after = "BootOrder: 0003,0002,0004\n".to_owned()
            + pxe
            + &entry(2, "debian", OTHER)
            + &entry(4, "Windows Boot Manager", GONE)
            + &entry(5, "debian", OURS);
        let host = Script::default()
            .ok("efibootmgr --verbose", &before)
            .ok(&format!("blkid -c /dev/null -o device -t PARTUUID={GONE}"), "")
            .ok("efibootmgr --delete-bootnum --bootnum 0001", "")
            .ok(&format!("blkid -c /dev/null -o device -t PARTUUID={OTHER}"), "/dev/sdz2\n")
            .ok(
                "efibootmgr --create-only --disk /dev/vda --part 2 --label debian --loader '\\EFI\\debian\\grubx64.efi'",
                "",
            )
            .ok("efibootmgr --verbose", &after)
            .ok("efibootmgr --bootorder 0003,0005,0002,0004", "");
        assert_eq!(enter(&host, BootOrder::Keep, "debian", &[loader()]).unwrap(), ["Boot0005 debian"]);
    }

    #[test]
    fn the_variables_are_mounted_where_they_were_not() {
        let host = Script::default()
            .fails("efibootmgr --verbose", 2, "EFI variables are not supported on this system.")
            .fails("mount -t efivarfs efivarfs /sys/firmware/efi/efivars", 32, "unknown filesystem type");
        let error = enter(&host, BootOrder::Keep, "debian", &[loader()]).unwrap_err();
        assert!(error.to_string().contains("not supported on this system"), "{error}");
    }
}
