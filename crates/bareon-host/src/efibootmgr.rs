//! The boot entries in NVRAM: every call of `efibootmgr(8)` is in this file.

use crate::{Cmd, Tool, cmd::SHORT};

/// Prints all entries with their device paths.
pub fn list() -> Cmd {
    Tool::Efibootmgr.cmd().time_limit(SHORT).arg("--verbose")
}

/// Adds an entry, outside of the boot order, that starts `loader` (`\EFI\debian\grubx64.efi`) from
/// partition `number` of `disk`.
pub fn create(disk: &str, number: u32, label: &str, loader: &str) -> Cmd {
    let number = number.to_string();
    Tool::Efibootmgr.cmd().time_limit(SHORT).args([
        "--create-only",
        "--disk",
        disk,
        "--part",
        &number,
        "--label",
        label,
        "--loader",
        loader,
    ])
}

/// Removes the entry `id`, also from the boot order.
pub fn delete(id: u16) -> Cmd {
    Tool::Efibootmgr.cmd().time_limit(SHORT).args(["--delete-bootnum", "--bootnum"]).arg(format!("{id:04X}"))
}

/// Sets the boot order.
pub fn order(ids: &[u16]) -> Cmd {
    let ids: Vec<_> = ids.iter().map(|id| format!("{id:04X}")).collect();
    Tool::Efibootmgr.cmd().time_limit(SHORT).arg("--bootorder").arg(ids.join(","))
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The number in `Boot0007`.
    pub id: u16,
    /// Its name.
    pub label: String,
    /// What it starts, as a device path; empty when it was not printed.
    pub path: String,
}

impl Entry {
    /// The GUID of the GPT partition that it starts from, in lower case.
    pub fn partuuid(&self) -> Option<String> {
        let (_, node) = self.path.split_once("HD(")?;
        let fields: Vec<_> = node.split(')').next()?.split(',').collect();
        // Since version 12 the kind of table stands before the GUID, the extent behind it; before
        // that, the extent stood before it.
        let guid = if fields.get(1) == Some(&"GPT") { fields.get(2) } else { fields.get(3) };
        guid.filter(|guid| guid.len() == 36).map(|guid| guid.to_lowercase())
    }
}

/// What NVRAM holds about booting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nvram {
    /// The entry that was booted, where the firmware says so.
    pub current: Option<u16>,
    /// The order in which entries are tried.
    pub order: Vec<u16>,
    /// All entries.
    pub entries: Vec<Entry>,
}

/// Reads what [`list`] printed.
///
/// A tab stands between label and device path in all versions, and nothing else tells them apart.
/// Lines of hex that version 18 adds for an entry, and its warnings, do not begin as entries do.
pub fn parse(text: &str) -> Nvram {
    let mut nvram = Nvram::default();
    for line in text.lines() {
        if let Some(id) = line.strip_prefix("BootCurrent: ") {
            nvram.current = hex(id.trim());
        } else if let Some(ids) = line.strip_prefix("BootOrder: ") {
            nvram.order = ids.trim().split(',').filter_map(hex).collect();
        } else if let Some(entry) = entry(line) {
            nvram.entries.push(entry);
        }
    }
    nvram
}

fn entry(line: &str) -> Option<Entry> {
    let rest = line.strip_prefix("Boot")?;
    let id = hex(rest.get(..4)?)?;
    let rest = rest.get(4..)?;
    // `*` marks an active entry; nothing but it or a blank may follow the number.
    let rest = rest.strip_prefix("* ").or_else(|| rest.strip_prefix("  "))?;
    let (label, path) = rest.split_once('\t').unwrap_or((rest, ""));
    Some(Entry { id, label: label.trim_end().into(), path: path.into() })
}

fn hex(digits: &str) -> Option<u16> {
    if digits.len() == 4 { u16::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_17_is_read() {
        let recorded = "BootCurrent: 0003\nTimeout: 0 seconds\nBootOrder: 0003,0001,000A\n\
            Boot0000* UiApp\tFvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(462caa21-7614-4503-836e-8ab6f4662331)\n\
            Boot0001* UEFI QEMU NVMe Ctrl\tPciRoot(0x0)/Pci(0x3,0x0)/NVMe(0x1,00-00)N.....YM....R,Y.\n\
            Boot0003* UEFI PXEv4 (MAC:525400123456)\tPciRoot(0x0)/Pci(0x2,0x0)/MAC(525400123456,1)/IPv4(0.0.0.00.0.0.0,0,0)N.....YM\n\
            Boot000A  debian\tHD(2,GPT,AB3E0C6F-0D8D-4C8E-8A07-0C4B1F3A1D2E,0xc800,0x64000)/File(\\EFI\\debian\\grubx64.efi)\n\
            MirroredPercentageAbove4G: 0.00\n";
        let nvram = parse(recorded);
        assert_eq!((nvram.current, &nvram.order[..]), (Some(3), &[3, 1, 10][..]));
        assert_eq!(nvram.entries.len(), 4);
        assert_eq!(nvram.entries[2].label, "UEFI PXEv4 (MAC:525400123456)");
        assert_eq!(nvram.entries[3].label, "debian");
        assert_eq!(nvram.entries[3].partuuid().as_deref(), Some("ab3e0c6f-0d8d-4c8e-8a07-0c4b1f3a1d2e"));
        assert_eq!(nvram.entries[1].partuuid(), None);
    }

    #[test]
    fn version_18_is_read_without_its_lines_of_hex() {
        let recorded = "BootCurrent: 0001\nTimeout: 1 seconds\nBootOrder: 0002,0001\n\
            Boot0001* Windows Boot Manager\tHD(2,GPT,3c55a653-7f3b-4f30-b402-37b0bb907eb3,0x40800,0x82000)/\\EFI\\Microsoft\\Boot\\bootmgfw.efi57494e444f5753000100\n\
            \x20     dp: 04 01 2a 00 02 00 00 00 / 7f ff 04 00\n\
            \x20   data: 57 49 4e 44\n\
            Boot0002* old Linux\tHD(1,800,f3800,b1a1b6ea-3938-4d00-be43-50f768c6f589)File(\\EFI\\steamos\\grubx64.efi)\n";
        let nvram = parse(recorded);
        assert_eq!(nvram.order, [2, 1]);
        assert_eq!(nvram.entries.len(), 2);
        assert_eq!(nvram.entries[0].partuuid().as_deref(), Some("3c55a653-7f3b-4f30-b402-37b0bb907eb3"));
        assert_eq!(nvram.entries[1].partuuid().as_deref(), Some("b1a1b6ea-3938-4d00-be43-50f768c6f589"));
    }

    #[test]
    fn an_empty_nvram_is_read() {
        assert_eq!(parse("No BootOrder is set; firmware will attempt recovery\n"), Nvram::default());
    }
}
