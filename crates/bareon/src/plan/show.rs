//! A plan for people: the disks as they will be, what is destroyed, the steps with their commands.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

use bareon_image::shown;

use super::{Plan, Stage};
use crate::objects::partition::{Label, Parted, Partition};

/// The columns of the table of a disk's partitions.
const COLUMNS: [&str; 7] = ["PARTITION", "BEGIN", "SIZE", "CONTENT", "LABEL", "MOUNT", "IMAGE"];

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disks\n")?;
        for parted in &self.deployment.partition_scheme.parteds {
            self.disk(f, parted)?;
        }
        self.volumes(f)?;
        f.write_str("\nDestroys\n")?;
        if self.destroys.is_empty() {
            f.write_str("  nothing that is known\n")?;
        }
        let mut shown = BTreeSet::new();
        for content in self.destroys.iter().filter(|content| shown.insert(&content.device)) {
            writeln!(f, "  {content}")?;
        }
        f.write_str("\nSteps\n")?;
        self.steps(f)?;
        writeln!(f, "\nPlan {}", self.id())?;
        let refusals = self.refusals_of(&Stage::ALL);
        if !refusals.is_empty() {
            f.write_str("\nA run will be refused\n")?;
            for mistake in refusals {
                writeln!(f, "  {mistake}")?;
            }
        }
        Ok(())
    }
}

impl Plan {
    fn disk(&self, f: &mut fmt::Formatter<'_>, parted: &Parted) -> fmt::Result {
        let boot = if parted.install_bootloader { ", boot loader" } else { "" };
        let label = match parted.label {
            Label::Gpt => "GPT",
            Label::Msdos => "MBR (msdos)",
        };
        writeln!(f, "  {}  {}{boot}", parted.name, label)?;
        if let Some(identity) = self.disks.get(&parted.name) {
            writeln!(f, "    {identity}")?;
        }
        for found in self.deployment.matches.iter().filter(|found| found.disk == parted.name) {
            writeln!(f, "    {found}")?;
        }
        let image = self.image_on(&parted.name);
        if !image.is_empty() {
            writeln!(f, "    as a whole from {image}")?;
            return Ok(());
        }
        let rows: Vec<_> = parted.partitions.iter().map(|partition| self.row(partition)).collect();
        table(f, &rows)
    }

    fn row(&self, partition: &Partition) -> [String; 7] {
        let scheme = &self.deployment.partition_scheme;
        let name = &partition.name;
        let fs = scheme.fss.iter().find(|fs| &fs.device == name);
        let size = partition.size().bytes();
        [
            name.clone(),
            partition.begin.to_string(),
            size.to_string(),
            fs.map_or_else(|| self.use_of(partition), |fs| fs.fs_type.clone()),
            fs.map(|fs| fs.fs_label.clone()).unwrap_or_default(),
            fs.and_then(|fs| fs.mount.clone()).unwrap_or_default(),
            self.image_on(name),
        ]
    }

    /// What a partition without a file system of its own is for.
    fn use_of(&self, partition: &Partition) -> String {
        let scheme = &self.deployment.partition_scheme;
        let name = &partition.name;
        if partition.configdrive {
            "config drive".into()
        } else if partition.esp {
            if self.firmware.uefi() { "EFI system partition".into() } else { "(for UEFI)".into() }
        } else if let Some(md) = scheme.mds.iter().find(|md| md.devices.contains(name)) {
            format!("member of {}", md.name)
        } else if let Some(vg) = scheme.vgs.iter().find(|vg| vg.pvnames.contains(name)) {
            format!("PV of {}", vg.name)
        } else {
            partition.flags.join(", ")
        }
    }

    fn image_on(&self, device: &str) -> String {
        let image = self.deployment.image_scheme.iter().find(|image| image.target_device == device);
        image.map(|image| shown(&image.uri)).unwrap_or_default()
    }

    /// Arrays and logical volumes, with what lies on them.
    fn volumes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = &self.deployment.partition_scheme;
        let line = |f: &mut fmt::Formatter<'_>, device: &str, what: &str| {
            let fs = scheme.fss.iter().find(|fs| fs.device == device);
            let mount = fs.and_then(|fs| fs.mount.as_deref()).unwrap_or("-");
            let kind = fs.map_or("-", |fs| &fs.fs_type);
            writeln!(f, "  {device}  {what}  {kind}  {mount}  {}", self.image_on(device))
        };
        for md in &scheme.mds {
            line(f, &md.name, &format!("{} of {}", md.level, md.devices.join(", ")))?;
        }
        for lv in &scheme.lvs {
            line(f, &lv.device(), &lv.size.to_string())?;
        }
        Ok(())
    }

    fn steps(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps.iter().enumerate() {
            writeln!(f, "  {}. {}: {}", i + 1, step.stage, step.what)?;
            for command in step.commands() {
                for (n, line) in command.lines().enumerate() {
                    writeln!(f, "       {}{line}", if n == 0 { "$ " } else { "" })?;
                }
            }
            if let Some(line) = step.by_hand() {
                writeln!(f, "       by hand: {line}")?;
            }
        }
        Ok(())
    }
}

/// Writes rows below [`COLUMNS`], each column as wide as its widest cell; empty columns are left out.
fn table(f: &mut fmt::Formatter<'_>, rows: &[[String; 7]]) -> fmt::Result {
    let widths: Vec<_> = (0..COLUMNS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |cells: [&str; 7]| {
        let mut line = String::from("   ");
        for ((cell, width), column) in cells.iter().zip(&widths).zip(COLUMNS) {
            if *width > 0 {
                let width = (*width).max(column.len());
                // Writing to a `String` cannot fail.
                let _ = write!(line, " {cell:<width$} ");
            }
        }
        line.trim_end().to_owned()
    };
    writeln!(f, "{}", line(COLUMNS))?;
    for row in rows {
        writeln!(f, "{}", line(row.each_ref().map(String::as_str)))?;
    }
    Ok(())
}
