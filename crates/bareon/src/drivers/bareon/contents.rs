//! File systems: what lies on partitions, arrays and volumes, and where it is mounted.

use std::collections::BTreeMap;

use bareon_host::mkfs::FsType;

use super::{
    Document, Report,
    document::{Holds, Image},
    keep::Kept,
    names::{At, holders},
    tables::Layout,
};
use crate::objects::{
    image::{QCOW2, TAR},
    partition::FileSystem,
};

/// The mount point of swap space.
const SWAP: &str = "swap";

/// Makes the file systems.
pub fn make(document: &Document, kept: &Kept, layout: &mut Layout, report: &mut Report<'_>) {
    let mut mounts: BTreeMap<&str, At> = BTreeMap::new();
    for (at, holder) in holders(document) {
        if !holder.is_formatted() {
            continue;
        }
        let path = at.path();
        check_form(holder, &path, report);
        if let Some(mount) = holder.mount().filter(|mount| *mount != SWAP)
            && let Some(other) = mounts.insert(mount.trim_end_matches('/'), at)
        {
            let problem = format!("{} is mounted there, too", other.path());
            report.wrong(&format!("{path}/{}", mount_key(holder)), problem, "give each its own mount point");
        }
        let kind = kind(document, at, holder, &path, report);
        if let (Some(kind), Some((device, _))) = (kind, layout.devices.get(&at).cloned()) {
            layout.file_system(at, holder, device, kind, kept);
        }
    }
}

fn mount_key(holder: &dyn Holds) -> &'static str {
    if holder.short().0.is_some() { "mount" } else { "filesystem/mount" }
}

fn kind_key(holder: &dyn Holds) -> &'static str {
    if holder.short().1.is_some() || holder.filesystem().is_none() { "format" } else { "filesystem/type" }
}

/// Whether it is written in one form, and mounted somewhere where something can be.
fn check_form(holder: &dyn Holds, path: &str, report: &mut Report<'_>) {
    if holder.filesystem().is_some() && holder.short() != (None, None) {
        let problem = "`filesystem` says what `mount` and `format` beside it say, too";
        report.wrong(&format!("{path}/filesystem"), problem, "write all of it within `filesystem`");
    }
    let swap = holder.format() == Some(SWAP);
    match holder.mount() {
        Some(mount) if swap && mount != SWAP => {
            let problem = "swap space is not mounted";
            report.wrong(&format!("{path}/{}", mount_key(holder)), problem, "leave `mount` out");
        }
        Some(mount) if !swap && !mount.starts_with('/') => {
            report.wrong(
                &format!("{path}/{}", mount_key(holder)),
                "this is no mount point",
                "write it from / on",
            );
        }
        _ => {}
    }
}

/// The type: as written, else as the image has it.
fn kind(
    document: &Document,
    at: At,
    holder: &dyn Holds,
    path: &str,
    report: &mut Report<'_>,
) -> Option<String> {
    let key = format!("{path}/{}", kind_key(holder));
    let of_image = image_of(document, at, holder).and_then(|image| image.format.as_deref());
    let of_image = of_image.filter(|format| ![TAR, QCOW2].contains(format));
    let Some(kind) = holder.format().or(of_image) else {
        let remedy = "write ext4, xfs, btrfs, ext3, ext2, vfat or swap";
        report.wrong(&key, "it is not said which file system this is", remedy);
        return None;
    };
    if let Err(unknown) = kind.parse::<FsType>() {
        if holder.format().is_some() {
            report.wrong(&key, unknown.to_string(), "write one of them");
        } else if let Some(mount) = holder.mount() {
            let problem = format!("its image is {kind}, which is not mounted at {mount}");
            report.wrong(
                &format!("{path}/{}", mount_key(holder)),
                problem,
                "leave `mount` out, or use another image",
            );
        }
        return None;
    }
    Some(kind.into())
}

/// The image that is written over a file system.
fn image_of<'d>(document: &'d Document, at: At, holder: &dyn Holds) -> Option<&'d Image> {
    let name = match at {
        At::Disk(_) => None,
        At::Partition(disk, j) => document.disks[disk].partitions[j].name.clone(),
        At::Raid(i) => document.raids[i].name.clone(),
        At::Volume(i, j) => {
            let group = &document.volume_groups[i];
            let names = group.name.as_ref().zip(group.logical_volumes[j].name.as_ref());
            names.map(|(group, volume)| format!("{group}/{volume}"))
        }
    };
    document.images.iter().find(|image| {
        let target = image.target.as_deref();
        target.is_some() && (target == holder.mount() || target == name.as_deref())
    })
}

impl Layout {
    fn file_system(&mut self, at: At, holder: &dyn Holds, device: String, kind: String, kept: &Kept) {
        let (path, object) = (at.path(), format!("/partition_scheme/fss/{}", self.scheme.fss.len()));
        let long = |key: &str| format!("{path}/filesystem/{key}");
        for (key, input) in [
            ("fs_type", format!("{path}/{}", kind_key(holder))),
            ("mount", format!("{path}/{}", mount_key(holder))),
            ("fs_label", long("label")),
            ("fs_options", long("options")),
            ("fstab_options", long("mount_options")),
            (
                "keep_data",
                if holder.preserve().is_some() { format!("{path}/preserve") } else { long("preserve") },
            ),
        ] {
            self.origins.at(format!("{object}/{key}"), input);
        }
        self.origins.at(object, path);
        let fs = holder.filesystem();
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        self.scheme.fss.push(FileSystem {
            device,
            mount: if kind == SWAP { Some(SWAP.into()) } else { holder.mount().map(str::to_owned) },
            fs_type: kind,
            fs_options: text(fs.and_then(|fs| fs.options.as_ref())),
            fs_label: text(fs.and_then(|fs| fs.label.as_ref())),
            keep_data: kept.is_kept(at),
            fstab_options: fs.and_then(|fs| fs.mount_options.clone()),
            not_in_fstab: false,
        });
    }
}
