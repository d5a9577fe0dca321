//! Volume groups: every call of `lvm(8)` is in this file.
//!
//! Each call that changes something is told which devices it may look at (`--devices`): a group of the same name
//! on another disk is neither seen nor touched, and no filter of the running system hides ours.

use crate::{Cmd, Tool, cmd::SHORT};

/// A physical volume to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PvCreate {
    /// The devices that it is made on; one call makes all that are alike.
    pub devices: Vec<String>,
    /// The size of each metadata area in MiB.
    pub metadata_mib: u64,
    /// How many metadata areas each has: 0, 1 or 2.
    pub copies: u8,
}

fn lvm(command: &str, devices: &[String]) -> Cmd {
    let mut cmd = Tool::Lvm.cmd().time_limit(SHORT).arg(command);
    if !devices.is_empty() {
        cmd = cmd.arg("--devices").arg(devices.join(","));
    }
    cmd
}

/// Makes physical volumes over whatever lies on their devices.
pub fn pvcreate(pvs: &PvCreate) -> Cmd {
    lvm("pvcreate", &pvs.devices)
        .args(["--yes", "--force", "--force", "--zero", "y", "--dataalignment", "1m"])
        .arg("--metadatasize")
        .arg(format!("{}m", pvs.metadata_mib))
        .arg("--metadatacopies")
        .arg(pvs.copies.to_string())
        .args(&pvs.devices)
}

/// Makes a volume group of `pvs` with extents of `extent_mib`.
pub fn vgcreate(name: &str, extent_mib: u64, pvs: &[String]) -> Cmd {
    lvm("vgcreate", pvs).arg("--physicalextentsize").arg(format!("{extent_mib}m")).arg(name).args(pvs)
}

/// Makes a logical volume of `extents`, with whatever signature lay there before removed.
pub fn lvcreate(name: &str, extents: u64, group: &str, pvs: &[String]) -> Cmd {
    lvm("lvcreate", pvs)
        .args(["--yes", "--wipesignatures", "y", "--zero", "y"])
        .arg("--extents")
        .arg(extents.to_string())
        .args(["--name", name, group])
}

/// Removes a logical volume of a group that consists of `pvs`.
pub fn lvremove(name: &str, group: &str, pvs: &[String]) -> Cmd {
    lvm("lvremove", pvs).args(["--yes", "--force"]).arg(format!("{group}/{name}"))
}

/// Makes all volumes of the group with that UUID, on `pvs`, usable.
pub fn activate(uuid: &str, pvs: &[String]) -> Cmd {
    lvm("vgchange", pvs).args(["--activate", "y", "--select"]).arg(format!("vg_uuid={uuid}"))
}

/// Makes the volumes of the groups with these UUIDs unusable, the whole groups at once; names may be ambiguous.
/// No device is left out: a group whose disks are partly gone is to be found, too.
pub fn deactivate(uuids: &[String]) -> Cmd {
    let selection: Vec<_> = uuids.iter().map(|uuid| format!("vg_uuid={uuid}")).collect();
    lvm("vgchange", &[]).args(["--activate", "n", "--select"]).arg(selection.join("||"))
}

/// Prints all groups with their physical and logical volumes, as JSON; sizes in bytes.
pub fn fullreport() -> Cmd {
    lvm("fullreport", &[])
        .args(["--all", "--reportformat", "json", "--units", "b", "--nosuffix", "--binary"])
        .args([
            "--configreport",
            "vg",
            "--options",
            "vg_name,vg_uuid,vg_extent_size,vg_extent_count,vg_free_count,vg_missing_pv_count",
        ])
        .args([
            "--configreport",
            "pv",
            "--options",
            "pv_name,pv_uuid,pv_size,dev_size,pv_missing,vg_name,vg_uuid",
        ])
        .args([
            "--configreport",
            "lv",
            "--options",
            "lv_name,lv_uuid,lv_size,lv_active,lv_dm_path,lv_parent,lv_layout",
        ])
        .args(["--configreport", "pvseg", "--options", "pvseg_start"])
        .args(["--configreport", "seg", "--options", "seg_start"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_names_the_devices_that_it_may_look_at() {
        let pvs = ["/dev/sda4".to_owned(), "/dev/sdb4".to_owned()];
        let create = PvCreate { devices: pvs.to_vec(), metadata_mib: 28, copies: 2 };
        for (cmd, line) in [
            (
                pvcreate(&create),
                "lvm pvcreate --devices /dev/sda4,/dev/sdb4 --yes --force --force --zero y --dataalignment 1m --metadatasize 28m \
                 --metadatacopies 2 /dev/sda4 /dev/sdb4",
            ),
            (
                vgcreate("os", 4, &pvs),
                "lvm vgcreate --devices /dev/sda4,/dev/sdb4 --physicalextentsize 4m os /dev/sda4 /dev/sdb4",
            ),
            (
                lvcreate("root", 1000, "os", &pvs),
                "lvm lvcreate --devices /dev/sda4,/dev/sdb4 --yes --wipesignatures y --zero y --extents 1000 \
                 --name root os",
            ),
            (
                lvremove("root", "os", &pvs),
                "lvm lvremove --devices /dev/sda4,/dev/sdb4 --yes --force os/root",
            ),
            (
                activate("ab-cd", &pvs),
                "lvm vgchange --devices /dev/sda4,/dev/sdb4 --activate y --select vg_uuid=ab-cd",
            ),
            (
                deactivate(&["ab-cd".into(), "ef-gh".into()]),
                "lvm vgchange --activate n --select 'vg_uuid=ab-cd||vg_uuid=ef-gh'",
            ),
        ] {
            assert_eq!(cmd.to_string(), line);
        }
    }
}
