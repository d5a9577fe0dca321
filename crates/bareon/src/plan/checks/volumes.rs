//! Arrays and volume groups: can they be made of these devices, and do their volumes fit?

use std::collections::{BTreeMap, BTreeSet};

use super::{Checks, Stage};
use crate::{
    objects::{
        Bytes,
        partition::{Level, MultipleDevice, VolumeGroup},
    },
    plan::volumes::{self, Built},
    steps::volumes::EXTENT_MIB,
};

/// The longest name of a group or volume, in bytes (`lvm(8)`).
const NAME_LIMIT: usize = 127;

impl Checks<'_> {
    /// The sizes of all devices of the layout; of arrays at least.
    pub(super) fn device_sizes(&self) -> BTreeMap<String, Bytes> {
        let scheme = &self.deployment.partition_scheme;
        let order = volumes::order(scheme);
        let mut sizes = order.sizes;
        // A volume may have been rounded down to fit.
        for vg in &scheme.vgs {
            let lvs = volumes::volumes_of(scheme, vg);
            let wanted: Vec<_> = lvs.iter().map(|lv| lv.size).collect();
            if let Ok(fitted) = volumes::fit(&wanted, volumes::capacity(scheme, vg, &sizes)) {
                let real = |extents: u64| Bytes(extents.saturating_mul(EXTENT_MIB << 20));
                sizes.extend(lvs.iter().map(|lv| lv.device()).zip(fitted.into_iter().map(real)));
            }
        }
        sizes
    }

    pub(super) fn volumes(&mut self) {
        let scheme = &self.deployment.partition_scheme;
        let order = volumes::order(scheme);
        for (i, md) in scheme.mds.iter().enumerate() {
            self.array(&format!("/partition_scheme/mds/{i}"), md);
        }
        for (i, vg) in scheme.vgs.iter().enumerate() {
            self.group(&format!("/partition_scheme/vgs/{i}"), vg, &order.sizes);
        }
        self.logical_volumes();
        self.members();
        for built in &order.left {
            self.not_made(*built, &order.sizes);
        }
    }

    fn array(&mut self, path: &str, md: &MultipleDevice) {
        let mut refuse = |key: &str, value: &str, problem: &str, remedy: &str| {
            self.refuse(&Stage::ALL, &format!("{path}/{key}"), value, problem, remedy);
        };
        let number = md.name.strip_prefix("/dev/md").unwrap_or_default();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            refuse("name", &md.name, "this is no name of an array", "name it /dev/md0, /dev/md1, …");
        }
        let Some(level) = md.level() else {
            let remedy = "use 0, 1, 4, 5, 6, 10 or linear";
            refuse("level", &md.level, "arrays of this level are not made", remedy);
            return;
        };
        let count = md.devices.len();
        if count < level.min_members() {
            let problem =
                format!("{} has at least {} members, not {count}", level.name(), level.min_members());
            refuse("devices", &md.name, &problem, "give it more partitions, or another level");
        }
        if !md.spares.is_empty() && !level.redundant() {
            let problem = format!("{} cannot use spares", level.name());
            refuse("spares", &md.name, &problem, "leave them out, or use a level with redundancy");
        }
        let metadata = md.metadata().unwrap_or("1.2");
        if !["0", "0.90", "1", "1.0", "1.1", "1.2"].contains(&metadata) {
            let remedy = "use default, 0.90, 1.0, 1.1 or 1.2";
            refuse("metadata", metadata, "md has no superblock of this version", remedy);
        } else if metadata.starts_with('0') && matches!(level, Level::Raid0 | Level::Linear) {
            // Linux 5.4 wants to know the layout of a striped array, which this version cannot say.
            let problem = format!("mdadm makes no {} with this version of the superblock", level.name());
            refuse("metadata", metadata, &problem, "use 1.0, which lies at the end as well, or default");
        }
    }

    fn group(&mut self, path: &str, vg: &VolumeGroup, sizes: &BTreeMap<String, Bytes>) {
        let scheme = &self.deployment.partition_scheme;
        self.name(&format!("{path}/name"), &vg.name);
        let same = scheme.vgs.iter().filter(|other| other.name == vg.name).count();
        let pvs: Vec<_> = vg.pvnames.iter().map(|name| volumes::pv(scheme, name)).collect();
        let lvs = volumes::volumes_of(scheme, vg);
        if same > 1 {
            let problem = "there are two groups of this name";
            self.refuse(&Stage::WRITING, &format!("{path}/name"), &vg.name, problem, "give each its own");
        }
        if pvs.is_empty() {
            let remedy = "give it a partition of type pv, or leave the group out";
            self.refuse(&Stage::WRITING, path, &vg.name, "this volume group has no physical volume", remedy);
            return;
        }
        if self.kept.group(&vg.name) {
            // What is there fitted in its time.
            return;
        }
        if pvs.iter().all(|pv| pv.metadatacopies == 0) || pvs.iter().any(|pv| pv.metadatacopies > 2) {
            let problem = "each physical volume has 0, 1 or 2 copies of the metadata, and one of a group has at least 1";
            self.refuse(&Stage::WRITING, path, &vg.name, problem, "set metadatacopies to 1 or 2");
        }
        let capacity = volumes::capacity(scheme, vg, sizes);
        let wanted: Vec<_> = lvs.iter().map(|lv| lv.size).collect();
        let known = vg.pvnames.iter().all(|name| sizes.contains_key(name));
        if let Err(needed) = volumes::fit(&wanted, capacity)
            && known
        {
            let mib = |extents: u64| extents.saturating_mul(EXTENT_MIB);
            let problem = format!(
                "its volumes need {} MiB in extents of {EXTENT_MIB} MiB, its physical volumes have {} MiB beside LVM's metadata",
                mib(needed),
                mib(capacity)
            );
            self.refuse(
                &Stage::WRITING,
                path,
                &vg.name,
                &problem,
                "make its volumes smaller, or its physical volumes larger",
            );
        }
    }

    fn logical_volumes(&mut self) {
        let scheme = &self.deployment.partition_scheme;
        let mut seen = BTreeSet::new();
        for (i, lv) in scheme.lvs.iter().enumerate() {
            let path = format!("/partition_scheme/lvs/{i}");
            self.name(&format!("{path}/name"), &lv.name);
            if !scheme.vgs.iter().any(|vg| vg.name == lv.vgname) {
                let remedy = "describe the group, too";
                let problem = "the layout has no volume group of this name";
                self.refuse(&Stage::ALL, &format!("{path}/vgname"), &lv.vgname, problem, remedy);
            }
            if !seen.insert(lv.device()) {
                let remedy = "give each volume of a group its own name";
                self.refuse(
                    &Stage::ALL,
                    &path,
                    &lv.name,
                    "the group has a volume of this name already",
                    remedy,
                );
            }
            if lv.size.0 == 0 {
                let remedy = "give it a size, or leave it out";
                self.refuse(
                    &[Stage::Partition],
                    &format!("{path}/size"),
                    "0",
                    "this volume is of no size",
                    remedy,
                );
            }
        }
    }

    /// The names that LVM takes for groups and volumes (`lvm(8)`, "Valid names").
    fn name(&mut self, path: &str, name: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
        let reserved = ["snapshot", "pvmove"].iter().any(|word| name.starts_with(word))
            || [
                "_cdata", "_cmeta", "_corig", "_mimage", "_mlog", "_pmspare", "_rimage", "_rmeta", "_tdata",
                "_tmeta",
            ]
            .iter()
            .any(|word| name.contains(word));
        let bad = name.is_empty()
            || name.len() > NAME_LIMIT
            || name.starts_with('-')
            || [".", ".."].contains(&name);
        if bad || reserved || !name.chars().all(plain) {
            let remedy = "use letters, digits, `+`, `_`, `.` and `-`, which does not come first";
            self.refuse(&Stage::ALL, path, name, "LVM takes no such name", remedy);
        }
    }

    /// Each device is used for one thing.
    fn members(&mut self) {
        let scheme = &self.deployment.partition_scheme;
        let mut users: BTreeMap<&str, String> = BTreeMap::new();
        let mut twice = Vec::new();
        let mds = scheme.mds.iter().enumerate().flat_map(|(i, md)| {
            let path = format!("/partition_scheme/mds/{i}");
            md.devices.iter().chain(&md.spares).map(move |device| (device.as_str(), path.clone()))
        });
        let vgs = scheme.vgs.iter().enumerate().flat_map(|(i, vg)| {
            let path = format!("/partition_scheme/vgs/{i}");
            vg.pvnames.iter().map(move |device| (device.as_str(), path.clone()))
        });
        let fss = scheme.fss.iter().enumerate();
        let fss = fss.map(|(i, fs)| (fs.device.as_str(), format!("/partition_scheme/fss/{i}")));
        let special = |device: &str| {
            scheme.partitions().any(|part| {
                part.name == device
                    && (part.configdrive || part.is_bios_boot(crate::objects::partition::Label::Gpt))
            })
        };
        for (device, path) in mds.chain(vgs) {
            if special(device) {
                twice.push((path, device.to_owned(), "the config drive or the boot loader".to_owned()));
            } else if let Some(first) = users.insert(device, path.clone()) {
                twice.push((path, device.to_owned(), self.place(&first)));
            }
        }
        for (device, path) in fss {
            if let Some(first) = users.get(device) {
                twice.push((path, device.to_owned(), self.place(first)));
            }
        }
        for (path, device, first) in twice {
            let problem = format!("this device is for {first} already");
            self.refuse(&Stage::ALL, &path, &device, &problem, "use each device for one thing");
        }
    }

    fn not_made(&mut self, built: Built<'_>, sizes: &BTreeMap<String, Bytes>) {
        let scheme = &self.deployment.partition_scheme;
        let (list, place, name) = match built {
            Built::Array(md) => ("mds", scheme.mds.iter().position(|other| other == md), &md.name),
            Built::Group(vg) => ("vgs", scheme.vgs.iter().position(|other| other == vg), &vg.name),
        };
        let path = format!("/partition_scheme/{list}/{}", place.unwrap_or_default());
        let missing: Vec<_> =
            built.needs().into_iter().filter(|device| !sizes.contains_key(*device)).collect();
        let made_later = |device: &str| {
            scheme.mds.iter().any(|md| md.name == device) || scheme.lvs.iter().any(|lv| lv.device() == device)
        };
        let problem = if missing.iter().all(|device| made_later(device)) {
            format!("it is built on {}, which is built on it", missing.join(", "))
        } else {
            format!("it is built on {}, which the layout does not make", missing.join(", "))
        };
        self.refuse(&Stage::ALL, &path, name, &problem, "name partitions, arrays or volumes of the layout");
    }
}
