//! The md arrays of a machine: what the kernel has assembled, joined with what superblocks tell.
//!
//! The kernel knows which arrays there are now, but of one that is assembled in part neither UUID nor level, and
//! nothing of one that is not assembled. `mdadm --examine` knows superblocks, but not what runs. `/proc/mdstat` is
//! not read: it has no UUIDs, and is not there without the md driver.

use bareon_host::mdadm::{self, Examined};

use super::{
    kernel::{Kernel, names_in, node, size_in},
    stack::Array,
};

/// All arrays; containers come after the arrays in them, so that stopping them in this order works.
pub(super) fn arrays(kernel: &Kernel, examined: &[Examined]) -> Vec<Array> {
    let mut examined = examined.to_vec();
    let mut assembled: Vec<Assembled> = names_in(&kernel.sys.join("class/block"))
        .iter()
        .filter(|name| kernel.is_array(name))
        .filter_map(|name| Assembled::read(kernel, name))
        .collect();
    let containers: Vec<_> = assembled
        .iter()
        .filter(|found| found.array.is_container())
        .filter_map(|found| found.array.device.clone())
        .collect();
    for one in &mut examined {
        one.members = one.members.iter().map(|member| kernel.known_node(member)).collect();
        one.members.retain(|member| !containers.contains(member));
        one.members.sort();
    }
    let told: Vec<Option<Examined>> =
        assembled.iter().map(|found| found.superblock(&assembled, &examined).cloned()).collect();
    let versions: Vec<_> = assembled.iter().map(|found| found.version(&assembled)).collect();
    for (found, version) in assembled.iter_mut().zip(versions) {
        found.array.metadata = version;
    }
    for (found, told) in assembled.iter_mut().zip(&told) {
        if let Some(told) = told {
            found.learn(told);
        }
    }
    let left = examined.iter().filter(|one| !told.iter().flatten().any(|known| known.uuid == one.uuid));
    let mut arrays: Vec<_> = left.map(|one| unassembled(one, &examined)).collect();
    arrays.splice(0..0, assembled.into_iter().map(|found| found.array));
    arrays.sort_by_key(Array::is_container);
    arrays
}

/// An array of the kernel.
struct Assembled {
    array: Array,
    /// The kernel name of the container that it lies in, and its number there.
    container: Option<(String, String)>,
}

impl Assembled {
    /// Reads the array with that kernel name; nothing for a node that no array is behind.
    fn read(kernel: &Kernel, name: &str) -> Option<Self> {
        let text = |file: &str| kernel.text(name, &format!("md/{file}"));
        let number = |file: &str| text(file).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
        let members: Vec<_> = names_in(&kernel.class(name).join("md"))
            .iter()
            .filter_map(|entry| Some(kernel.node(entry.strip_prefix("dev-")?)))
            .collect();
        let state = text("array_state").unwrap_or_default();
        if members.is_empty() && ["", "clear"].contains(&state.as_str()) {
            return None;
        }
        let version = text("metadata_version").unwrap_or_default();
        // `external:imsm` is a container; `external:/md127/0`, or with `-` in place of `/`, an array in one.
        let external = version.strip_prefix("external:");
        let container = external.and_then(|inner| {
            let (container, number) = inner.strip_prefix(['/', '-'])?.split_once('/')?;
            Some((container.to_owned(), number.to_owned()))
        });
        let is_container = external.is_some() && container.is_none();
        let metadata = external.unwrap_or(&version).to_owned();
        let active = !["", "clear", "inactive"].contains(&state.as_str());
        let array = Array {
            uuid: text("uuid")
                .filter(|uuid| !is_zero(uuid))
                .and_then(|uuid| mdadm::uuid_in_sysfs(&uuid, &metadata)),
            device: Some(kernel.node(name)),
            level: if is_container {
                "container".into()
            } else {
                text("level").unwrap_or_else(|| UNKNOWN.into())
            },
            metadata,
            raid_devices: number("raid_disks"),
            members,
            active,
            degraded: number("degraded") > 0,
            size: size_in(&kernel.class(name)).filter(|size| active && size.0 > 0),
        };
        Some(Self { array, container })
    }

    /// The version of its superblock; that of its container where it lies in one.
    fn version(&self, all: &[Self]) -> String {
        let Some((container, _)) = &self.container else { return self.array.metadata.clone() };
        let node = node(container);
        let container = all.iter().find(|found| found.array.device.as_deref() == Some(&node));
        container.map_or_else(|| UNKNOWN.into(), |container| container.array.metadata.clone())
    }

    /// What superblocks tell of it: by UUID, by its place in a container, by the members they have in common.
    fn superblock<'e>(&self, all: &[Self], examined: &'e [Examined]) -> Option<&'e Examined> {
        if let Some((container, number)) = &self.container {
            let node = node(container);
            let container = all.iter().find(|found| found.array.device.as_deref() == Some(&node))?;
            let uuid = &container.superblock(&[], examined)?.uuid;
            return examined
                .iter()
                .find(|one| one.container.as_ref() == Some(&(uuid.clone(), number.clone())));
        }
        let shares = |one: &&Examined| {
            one.level.is_none() == self.array.is_container()
                && one.members.iter().any(|member| self.array.members.contains(member))
        };
        match &self.array.uuid {
            Some(uuid) => examined.iter().find(|one| &one.uuid == uuid),
            None => examined.iter().find(shares),
        }
    }

    /// Adds what the kernel does not know: who else belongs to it, and of one that does not run nearly all.
    fn learn(&mut self, told: &Examined) {
        let array = &mut self.array;
        array.uuid = Some(told.uuid.clone());
        if array.level == UNKNOWN {
            array.level = told.level.clone().unwrap_or_else(|| UNKNOWN.into());
        }
        if array.raid_devices == 0 {
            array.raid_devices = told.raid_devices;
        }
        for member in &told.members {
            if !array.members.contains(member) {
                array.members.push(member.clone());
            }
        }
        if !array.active {
            array.degraded = lacks_members(told);
        }
    }
}

/// What stands where neither the kernel nor mdadm names a level or kind of superblock.
const UNKNOWN: &str = "unknown";

/// An array that only superblocks tell of; one in a container lies on all devices of that.
fn unassembled(one: &Examined, examined: &[Examined]) -> Array {
    let container =
        one.container.as_ref().and_then(|(uuid, _)| examined.iter().find(|other| &other.uuid == uuid));
    let whole = container.unwrap_or(one);
    let level = match (&one.level, &one.container) {
        (Some(level), _) => level.as_str(),
        (None, Some(_)) => UNKNOWN,
        (None, None) => "container",
    };
    Array {
        uuid: Some(one.uuid.clone()),
        device: None,
        level: level.into(),
        metadata: whole.metadata.clone().unwrap_or_else(|| "0.90".into()),
        raid_devices: one.raid_devices,
        members: whole.members.clone(),
        active: false,
        degraded: lacks_members(one),
        size: None,
    }
}

/// What the kernel shows of an array that is not assembled yet, and of one in a container.
fn is_zero(uuid: &str) -> bool {
    uuid.chars().all(|c| c == '0' || c == '-')
}

fn lacks_members(one: &Examined) -> bool {
    let spares = usize::try_from(one.spares).unwrap_or(0);
    let needed = usize::try_from(one.raid_devices).unwrap_or(usize::MAX);
    one.members.len().saturating_sub(spares) < needed
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bareon_host::mdadm::parse_examine_scan;

    use super::*;

    /// A machine with files in the directories of its block devices.
    fn kernel(root: &std::path::Path, files: &[(&str, &str)]) -> Kernel {
        let kernel = Kernel { proc: root.into(), sys: root.into() };
        for (file, text) in files {
            let path = kernel.class("").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{text}\n")).unwrap();
        }
        kernel
    }

    /// An array's node or UUID, level, superblock, count, members, and how it is.
    fn lines(arrays: &[Array]) -> Vec<String> {
        let line = |array: &Array| {
            let state = match (array.active, array.degraded) {
                (true, false) => "active",
                (true, true) => "degraded",
                (false, false) => "inactive",
                (false, true) => "partial",
            };
            let Array { level, metadata, raid_devices, .. } = array;
            format!("{} {level} {metadata} {raid_devices} {} {state}", array.name(), array.members.join(","))
        };
        arrays.iter().map(line).collect()
    }

    const EXAMINED: &str = "ARRAY /dev/md/0  level=raid1 metadata=1.2 num-devices=2 \
         UUID=bfebcb22:6fcb2b6a:3f82f8a9:35eff0e5 name=any:0\n   devices=/dev/vdb1,/dev/vda1\n\
         ARRAY /dev/md2 level=raid1 num-devices=2 UUID=4d487fbd:2fbb838a:0002fec5:13a5c7d1\n   devices=/dev/vdc1\n\
         ARRAY /dev/md/1  level=raid5 metadata=1.2 num-devices=3 UUID=6469090e:893395d7:631b3863:feca3833\n   \
         spares=1   devices=/dev/vdd2,/dev/vdc2,/dev/vdb2,/dev/vda2\n\
         ARRAY metadata=ddf UUID=d86a4f83:83377523:2173b14e:32bae7ac\n   devices=/dev/vdf,/dev/vde,/dev/md127\n\
         ARRAY /dev/md/vol0 container=d86a4f83:83377523:2173b14e:32bae7ac member=0 \
         UUID=efeb8e6e:26453ac6:94f88d2e:9d19c00a\n";

    #[test]
    fn superblocks_alone_make_arrays_that_are_not_assembled() {
        let root = tempfile::tempdir().unwrap();
        let arrays = arrays(&kernel(root.path(), &[]), &parse_examine_scan(EXAMINED));
        assert_eq!(
            lines(&arrays),
            [
                "the array bfebcb22:6fcb2b6a:3f82f8a9:35eff0e5 raid1 1.2 2 /dev/vda1,/dev/vdb1 inactive",
                "the array 4d487fbd:2fbb838a:0002fec5:13a5c7d1 raid1 0.90 2 /dev/vdc1 partial",
                "the array 6469090e:893395d7:631b3863:feca3833 raid5 1.2 3 \
                 /dev/vda2,/dev/vdb2,/dev/vdc2,/dev/vdd2 inactive",
                "the array efeb8e6e:26453ac6:94f88d2e:9d19c00a unknown ddf 0 /dev/md127,/dev/vde,/dev/vdf inactive",
                "the array d86a4f83:83377523:2173b14e:32bae7ac container ddf 0 /dev/md127,/dev/vde,/dev/vdf inactive",
            ]
        );
    }

    #[test]
    fn what_the_kernel_has_is_joined_with_superblocks() {
        let root = tempfile::tempdir().unwrap();
        // As a kernel 6.1 shows them: md0 runs, md1 was assembled in part, md2 has a superblock 0.90, md3 is a node
        // that was left over.
        let kernel = kernel(
            root.path(),
            &[
                ("md0/md/level", "raid1"),
                ("md0/md/metadata_version", "1.2"),
                ("md0/md/array_state", "clean"),
                ("md0/md/raid_disks", "2"),
                ("md0/md/degraded", "0"),
                ("md0/md/uuid", "bfebcb22-6fcb-2b6a-3f82-f8a935eff0e5"),
                ("md0/md/dev-vda1/state", "in_sync"),
                ("md0/md/dev-vdb1/state", "in_sync"),
                ("md0/size", "202752"),
                ("md1/md/level", ""),
                ("md1/md/metadata_version", "1.2"),
                ("md1/md/array_state", "inactive"),
                ("md1/md/raid_disks", ""),
                ("md1/md/uuid", "00000000-0000-0000-0000-000000000000"),
                ("md1/md/dev-vda2/state", "spare"),
                ("md1/size", "0"),
                ("md2/md/level", "raid1"),
                ("md2/md/metadata_version", "0.90"),
                ("md2/md/array_state", "clean"),
                ("md2/md/raid_disks", "2"),
                ("md2/md/degraded", "1"),
                ("md2/md/uuid", "bd7f484d-8a83-bb2f-c5fe-0200d1c7a513"),
                ("md2/md/dev-vdc1/state", "in_sync"),
                ("md3/md/array_state", "clear"),
                ("md127/md/level", ""),
                ("md127/md/metadata_version", "external:ddf"),
                ("md127/md/array_state", "inactive"),
                ("md127/md/dev-vde/state", "spare"),
                ("md127/md/dev-vdf/state", "spare"),
                ("md126/md/level", "raid1"),
                ("md126/md/metadata_version", "external:/md127/0"),
                ("md126/md/array_state", "clean"),
                ("md126/md/raid_disks", "2"),
                ("md126/md/degraded", "0"),
                ("md126/md/uuid", "00000000-0000-0000-0000-000000000000"),
                ("md126/md/dev-vde/state", "in_sync"),
                ("md126/md/dev-vdf/state", "in_sync"),
            ],
        );
        let examined = parse_examine_scan(EXAMINED);
        let found = arrays(&kernel, &examined);
        assert_eq!(
            lines(&found),
            [
                "/dev/md0 raid1 1.2 2 /dev/vda1,/dev/vdb1 active",
                "/dev/md1 raid5 1.2 3 /dev/vda2,/dev/vdb2,/dev/vdc2,/dev/vdd2 inactive",
                "/dev/md126 raid1 ddf 2 /dev/vde,/dev/vdf active",
                "/dev/md2 raid1 0.90 2 /dev/vdc1 degraded",
                "/dev/md127 container ddf 0 /dev/vde,/dev/vdf inactive",
            ]
        );
        let uuids: Vec<_> = found.iter().map(|array| array.uuid.clone().unwrap_or_default()).collect();
        for (uuid, one) in uuids.iter().zip([0, 2, 4, 1, 3]) {
            assert_eq!(uuid, &examined[one].uuid);
        }
        assert_eq!(found[0].size, Some(crate::objects::Bytes(202_752 * 512)));
        // Without mdadm the kernel's own view is what there is.
        assert_eq!(lines(&arrays(&kernel, &[]))[1], "/dev/md1 unknown 1.2 0 /dev/vda2 inactive");
        assert_eq!(found[3].uuid, arrays(&kernel, &[])[3].uuid);
    }
}
