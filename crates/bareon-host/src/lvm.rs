//! Volume groups: every call of `lvm(8)` is in this file.
//!
//! Each call that changes something is told which devices it may look at (`--devices`): a group of the same name
//! on another disk is neither seen nor touched, and no filter of the running system hides ours.

use serde::Deserialize;

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

/// Prints all groups with their physical and logical volumes, as JSON; sizes in bytes. Filters of the running system
/// and its list of devices hide nothing.
pub fn fullreport() -> Cmd {
    lvm("fullreport", &[])
        .args(["--config", r#"devices{filter=["a|.*|"] global_filter=["a|.*|"] use_devicesfile=0}"#])
        .args(["--all", "--reportformat", "json", "--units", "b", "--nosuffix", "--binary"])
        .args(["--configreport", "vg", "--options"])
        .arg("vg_name,vg_uuid,vg_extent_size,vg_extent_count,vg_free_count")
        .args(["--configreport", "pv", "--options", "pv_name,pv_uuid,pv_size,pv_missing"])
        .args(["--configreport", "lv", "--options", "lv_name,lv_uuid,lv_size,lv_active,lv_dm_path"])
        .args(["--configreport", "pvseg", "--options", "pvseg_start"])
        .args(["--configreport", "seg", "--options", "seg_start"])
}

/// A volume group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name; empty for the physical volumes that belong to none.
    pub name: String,
    /// Its UUID; empty for the physical volumes that belong to none.
    pub uuid: String,
    /// The size of an extent in bytes.
    pub extent_size: u64,
    /// How many extents it has.
    pub extents: u64,
    /// How many of them are free.
    pub free_extents: u64,
    /// Its physical volumes.
    pub pvs: Vec<Pv>,
    /// Its logical volumes, without the hidden ones that they are made of.
    pub lvs: Vec<Lv>,
}

/// A physical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pv {
    /// Its device; nothing where it is missing.
    pub device: Option<String>,
    /// Its UUID.
    pub uuid: String,
    /// Its size in bytes; of one in a group, as far as extents use it.
    pub size: u64,
}

/// A logical volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lv {
    /// Its name.
    pub name: String,
    /// Its UUID.
    pub uuid: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its node in `/dev/mapper`, which is there when it is active.
    pub device: String,
    /// Whether it can be used now.
    pub active: bool,
}

/// A report that is not what `lvm fullreport` prints.
#[derive(Debug, thiserror::Error)]
#[error("reading what `lvm fullreport` printed; is this an lvm of 2.02.158 or later?")]
pub struct ReportError(#[from] serde_json::Error);

#[derive(Deserialize)]
struct Report {
    report: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    vg: Vec<VgRow>,
    #[serde(default)]
    pv: Vec<PvRow>,
    #[serde(default)]
    lv: Vec<LvRow>,
}

#[derive(Deserialize, Default)]
struct VgRow {
    #[serde(rename = "vg_name")]
    name: String,
    #[serde(rename = "vg_uuid")]
    uuid: String,
    #[serde(rename = "vg_extent_size")]
    extent_size: String,
    #[serde(rename = "vg_extent_count")]
    extent_count: String,
    #[serde(rename = "vg_free_count")]
    free_count: String,
}

#[derive(Deserialize)]
struct PvRow {
    #[serde(rename = "pv_name")]
    name: String,
    #[serde(rename = "pv_uuid")]
    uuid: String,
    #[serde(rename = "pv_size")]
    size: String,
    #[serde(rename = "pv_missing")]
    missing: String,
}

#[derive(Deserialize)]
struct LvRow {
    #[serde(rename = "lv_name")]
    name: String,
    #[serde(rename = "lv_uuid")]
    uuid: String,
    #[serde(rename = "lv_size")]
    size: String,
    #[serde(rename = "lv_active")]
    active: String,
    #[serde(rename = "lv_dm_path")]
    dm_path: String,
}

/// Reads what [`fullreport`] printed.
///
/// # Errors
/// When it is something else.
pub fn parse_fullreport(text: &str) -> Result<Vec<Group>, ReportError> {
    let report: Report = serde_json::from_str(text)?;
    Ok(report.report.into_iter().filter(|part| !part.pv.is_empty()).map(group).collect())
}

fn group(part: Part) -> Group {
    let number = |text: &str| text.parse().unwrap_or(0);
    let vg = part.vg.into_iter().next().unwrap_or_default();
    let pv = |row: PvRow| Pv {
        device: (row.missing != "1" && row.name.starts_with('/')).then_some(row.name),
        uuid: row.uuid,
        size: number(&row.size),
    };
    let lv = |row: LvRow| Lv {
        name: row.name,
        uuid: row.uuid,
        size: number(&row.size),
        device: row.dm_path,
        active: row.active.starts_with("active"),
    };
    Group {
        name: vg.name,
        uuid: vg.uuid,
        extent_size: number(&vg.extent_size),
        extents: number(&vg.extent_count),
        free_extents: number(&vg.free_count),
        pvs: part.pv.into_iter().map(pv).collect(),
        // LVM puts the names of hidden ones in brackets.
        lvs: part.lv.into_iter().filter(|row| !row.name.starts_with('[')).map(lv).collect(),
    }
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

    #[test]
    fn groups_of_one_name_missing_devices_and_orphans_are_read() {
        let recorded = r#"  {
      "report": [
          {
              "vg": [
                  {"vg_name":"os", "vg_uuid":"q5PvVZ-ju91", "vg_extent_size":"4194304", "vg_extent_count":"15", "vg_free_count":"15"}
              ]
              ,
              "pv": [
                  {"pv_name":"/dev/loop2", "pv_uuid":"Le8xws-E3kd", "pv_size":"62914560", "pv_missing":"0"}
              ]
              ,
              "lv": [
              ]
          }
          ,
          {
              "vg": [
                  {"vg_name":"os", "vg_uuid":"OM5sy8-6ecL", "vg_extent_size":"4194304", "vg_extent_count":"30", "vg_free_count":"25"}
              ]
              ,
              "pv": [
                  {"pv_name":"/dev/loop0", "pv_uuid":"MTjouo-aZPf", "pv_size":"62914560", "pv_missing":"0"},
                  {"pv_name":"[unknown]", "pv_uuid":"VtPdMJ-JyPY", "pv_size":"62914560", "pv_missing":"1"}
              ]
              ,
              "lv": [
                  {"lv_name":"my-lv", "lv_uuid":"oxOpLE-UNCQ", "lv_size":"20971520", "lv_active":"active", "lv_dm_path":"/dev/mapper/os-my--lv"},
                  {"lv_name":"[mir_rmeta_0]", "lv_uuid":"d9ABJm-Z4AE", "lv_size":"4194304", "lv_active":"active", "lv_dm_path":"/dev/mapper/os-mir_rmeta_0"},
                  {"lv_name":"root", "lv_uuid":"dIIibv-2LfB", "lv_size":"20971520", "lv_active":"", "lv_dm_path":"/dev/mapper/os-root"}
              ]
          }
          ,
          {
              "pv": [
                  {"pv_name":"/dev/loop3", "pv_uuid":"3D2Pq3-i7mt", "pv_size":"67108864", "pv_missing":"0"}
              ]
              ,
              "pvseg": [
                  {"pvseg_start":"0"}
              ]
          }
      ]
  }"#;
        let groups = parse_fullreport(recorded).unwrap();
        let [twin, os, orphans] = groups.as_slice() else { panic!("{groups:?}") };
        assert_eq!((&twin.name, twin.extents, twin.free_extents), (&os.name, 15, 15));
        assert_ne!(twin.uuid, os.uuid);
        let devices: Vec<_> = os.pvs.iter().map(|pv| pv.device.as_deref()).collect();
        assert_eq!(devices, [Some("/dev/loop0"), None]);
        let lvs: Vec<_> = os.lvs.iter().map(|lv| (lv.device.as_str(), lv.active)).collect();
        assert_eq!(lvs, [("/dev/mapper/os-my--lv", true), ("/dev/mapper/os-root", false)]);
        assert_eq!((orphans.uuid.as_str(), orphans.pvs[0].size), ("", 64 << 20));
        assert!(parse_fullreport("  WARNING").is_err());
        assert!(parse_fullreport(r#"{"report": []}"#).unwrap().is_empty());
    }
}
