//! Names that are to be one device's alone, and are there twice, on whatever disks of the machine.
//!
//! A system that looks for its root file system by UUID takes the first one that it finds. A disk that was taken from
//! another machine, or a copy of one, can so be booted, or overwritten, in the place of ours.

use std::collections::BTreeMap;

use super::{
    Check, Finding, Seen,
    devices::{Device, Spec},
    grub_cfg,
};
use crate::steps::bootloader::storage::ForeignPv;

/// By these labels cloud-init finds its data; it takes either.
const CONFIG_DRIVE: [&str; 2] = ["cidata", "config-2"];

/// Looks for all that one of our devices and another one are called by.
pub fn check(seen: &Seen<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (what, name) in NAMES {
        for (value, devices) in twice(seen, name) {
            if !belong_together(seen, what, &devices) {
                found.push(tell(seen, what, &value, &devices));
            }
        }
    }
    found.extend(groups(seen));
    found
}

type Name = fn(&Device) -> Option<String>;

const NAMES: [(&str, Name); 3] = [
    ("UUID", |device| device.tagged.uuid.as_ref().map(|uuid| uuid.to_lowercase())),
    ("PARTUUID", |device| device.tagged.partuuid.as_ref().map(|uuid| uuid.to_lowercase())),
    ("label", label),
];

/// A label; the two that cloud-init looks for are one. Members of arrays carry their array's name.
fn label(device: &Device) -> Option<String> {
    let label = device.tagged.label.as_ref().filter(|_| !device.kind().ends_with("_member"))?;
    let small = label.to_lowercase();
    Some(if CONFIG_DRIVE.contains(&&*small) { CONFIG_DRIVE[0].into() } else { label.clone() })
}

/// What several devices are called by, ours among them.
fn twice<'a>(seen: &'a Seen<'_>, name: Name) -> BTreeMap<String, Vec<&'a Device>> {
    let mut named: BTreeMap<String, Vec<&Device>> = BTreeMap::new();
    for device in seen.devices.iter() {
        if let Some(value) = name(device) {
            named.entry(value).or_default().push(device);
        }
    }
    named.retain(|_, devices| devices.len() > 1 && devices.iter().any(|device| device.ours));
    named
}

/// Members of one array, devices of one btrfs, EFI system partitions that are copies: one thing in several places.
fn belong_together(seen: &Seen<'_>, what: &str, devices: &[&Device]) -> bool {
    let esp = |device: &Device| {
        seen.boot.disks.iter().filter_map(|disk| disk.esp.as_ref()).any(|esp| esp.device == device.node())
    };
    let one =
        |device: &&Device| device.kind().ends_with("_member") || device.kind() == "btrfs" || esp(device);
    what != "PARTUUID" && devices.iter().all(|device| device.ours) && devices.iter().all(one)
}

fn tell(seen: &Seen<'_>, what: &str, value: &str, devices: &[&Device]) -> Finding {
    let ours = devices.iter().find(|device| device.ours).map(|device| device.node()).unwrap_or_default();
    let others: Vec<_> = devices.iter().map(|device| device.node()).filter(|node| *node != ours).collect();
    let problem = format!("its {what} {value} is also that of {}", others.join(", "));
    let remedy = format!(
        "give {} another one (tune2fs -U or -L, xfs_admin, sgdisk -u), clear it by wipefs, or pull its disk",
        others.join(", ")
    );
    let harmless = what == "label" && value != CONFIG_DRIVE[0] && !used(seen, value);
    let severity = if harmless { Finding::warning } else { Finding::error };
    severity(Check::Names, ours.to_owned(), problem, remedy)
}

/// Whether the installed system looks for something by that label.
fn used(seen: &Seen<'_>, label: &str) -> bool {
    let fstab = seen.root.read("/etc/fstab").ok().flatten().unwrap_or_default();
    let words = fstab.lines().filter_map(|line| line.split_whitespace().next().map(ToOwned::to_owned));
    let roots = grub_cfg::kernels(seen.root).into_iter().filter_map(|kernel| {
        kernel.arguments.split_whitespace().find_map(|word| word.strip_prefix("root=").map(ToOwned::to_owned))
    });
    words.chain(roots).any(|word| Spec::read(&word) == Some(Spec::Label(label)))
}

/// LVM finds a volume by the name of its group: two groups of that name, and it may be the other's.
fn groups(seen: &Seen<'_>) -> Vec<Finding> {
    let twin = |pv: &ForeignPv| {
        let remedy =
            "rename the other one (vgrename its UUID, which vgs -o +vg_uuid shows), or pull its disk";
        let problem = format!("a group of that name is also on {}", pv.device);
        Finding::warning(Check::Names, format!("the volume group {}", pv.group), problem, remedy)
    };
    seen.boot.storage.foreign.iter().map(twin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::{Bench, ROOT};

    type Row = (&'static str, &'static str, &'static str, &'static str, &'static str, bool);

    fn found(more: &[Row]) -> Vec<String> {
        let mut bench = Bench::new();
        bench.write("/etc/fstab", "LABEL=srv /srv xfs defaults 0 0\n");
        bench.add(more);
        check(&bench.seen()).iter().map(|finding| format!("{:?} {finding}", finding.severity)).collect()
    }

    #[test]
    fn what_is_there_twice_is_told_with_both_places() {
        for (more, told) in [
            (
                &[("/dev/vdy1", "ext4", ROOT, "", "", false)][..],
                Some("Error /dev/vda2: its UUID ab-cd is also that of /dev/vdy1"),
            ),
            (&[("/dev/vdy1", "", "", "", "P2", false)], Some("Error /dev/vda2: its PARTUUID p2")),
            (&[("/dev/vdy1", "ext4", "1", "root", "", false)], Some("Warning /dev/vda2: its label root")),
            (&[("/dev/vdy1", "ext4", "1", "srv", "", false)], Some("Error /dev/vda3: its label srv")),
            (&[("/dev/vdy1", "ext4", "f0-e1", "other", "pz", false)], None),
            (
                &[
                    ("/dev/vda9", "iso9660", "1", "cidata", "", true),
                    ("/dev/sr0", "iso9660", "2", "config-2", "", false),
                ],
                Some("Error /dev/vda9: its label cidata is also that of /dev/sr0"),
            ),
            (
                &[
                    ("/dev/vda4", "linux_raid_member", "1", "any:0", "", true),
                    ("/dev/vdb4", "linux_raid_member", "1", "any:0", "", true),
                ],
                None,
            ),
            (
                &[
                    ("/dev/vda4", "linux_raid_member", "1", "", "", true),
                    ("/dev/vdz4", "linux_raid_member", "1", "", "", false),
                ],
                Some("Error /dev/vda4: its UUID 1 is also that of /dev/vdz4"),
            ),
        ] {
            let found = found(more);
            match told {
                None => assert!(found.is_empty(), "{found:?}"),
                Some(told) => assert!(found.len() == 1 && found[0].starts_with(told), "{found:?}"),
            }
        }
    }

    #[test]
    fn a_foreign_group_of_our_name_is_told_with_its_disk() {
        let mut bench = Bench::new();
        assert!(check(&bench.seen()).is_empty());
        let (group, uuid, device) = ("os".into(), "p".into(), "/dev/vdz2".into());
        bench.boot.storage.foreign = vec![ForeignPv { group, uuid, device }];
        let found = check(&bench.seen());
        assert!(
            found[0]
                .to_string()
                .starts_with("the volume group os: a group of that name is also on /dev/vdz2")
        );
    }
}
