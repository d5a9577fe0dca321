//! The config drive in a plan: it is rendered here, so that a template that cannot be is refused.

use bareon_host::Runner;

use super::{Action, MakeConfigDrive, Options, Refusal, Stage, Step};
use crate::{
    chain::chain,
    drivers::{Deployment, Mistake},
    hardware::{BlockDevice, Machine},
    objects::{Bytes, Mib, partition::Partition},
    steps::configdrive::{self, ConfigDriveError, Format},
};

/// The config drive's step, and what forbids to make or to use one.
pub(super) fn step(
    deployment: &Deployment,
    machine: &Machine,
    options: &Options,
    host: &dyn Runner,
) -> (Option<Step>, Vec<Refusal>) {
    /// The partition's size where the layout has none: what the nailgun layout reserves.
    const USUAL: Mib = Mib(20);
    /// The sectors where the disk is not known: whatever is made is mounted from such ones.
    const USUAL_SECTOR: Bytes = Bytes(512);
    let path = &options.config_drive_path;
    let partition = deployment.partition_scheme.partitions().find(|partition| partition.configdrive);
    let max = partition.map_or(USUAL, Partition::size).bytes();
    let disk = partition.and_then(|partition| machine.device(&partition.device));
    let sector = disk.map_or(USUAL_SECTOR, BlockDevice::sector_size);
    if !options.prepare_configdrive {
        // Without a ready-made one the layout has no partition for it, and there is nothing to do.
        let check = |_| configdrive::check(path, max).and_then(|_| configdrive::check_sectors(path, sector));
        let checked = partition.map(check);
        let refusals = match checked {
            Some(Err(error)) => refused(&[Stage::CopyImage], &error),
            _ => Vec::new(),
        };
        return (None, refusals);
    }
    let Some(scheme) = &deployment.configdrive else { return (None, Vec::new()) };
    let rendered = configdrive::render(scheme, &options.nc_template_path);
    let (rendered, format) = match rendered.and_then(|rendered| Ok((rendered, Format::on(sector)?))) {
        Ok(both) => both,
        Err(error) => return (None, refused(&[Stage::ConfigDrive], &error)),
    };
    let step = Step {
        stage: Stage::ConfigDrive,
        what: match format {
            Format::Iso => format!("make the config drive {}", path.display()),
            Format::Vfat(size) => {
                format!("make the config drive {}, FAT with sectors of {size} bytes", path.display())
            }
        },
        action: Action::MakeConfigDrive(MakeConfigDrive {
            rendered,
            path: path.clone(),
            tmp_path: options.tmp_path.clone(),
            max,
            format,
            commands: configdrive::commands(host, path, &configdrive::staging(&options.tmp_path), format),
        }),
    };
    (Some(step), Vec::new())
}

fn refused(stages: &[Stage], error: &ConfigDriveError) -> Vec<Refusal> {
    let remedy = "mend it, or set prepare_configdrive=false and bring a ready-made one at config_drive_path";
    let mistake = Mistake::new("/configdrive", None, chain(error), remedy);
    stages.iter().map(|stage| Refusal { stage: *stage, mistake: mistake.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use bareon_host::Script;
    use serde_json::json;

    use super::*;
    use crate::{
        drivers::{self, Facts},
        plan::tests::options,
    };

    #[test]
    fn a_ready_made_drive_that_the_disk_cannot_mount_is_refused_in_formats_that_make_none_too() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("drive.iso");
        let mut iso = vec![0; 40000];
        iso[32769..32774].copy_from_slice(b"CD001");
        fs::write(&path, iso).unwrap();
        let root = json!({"type": "partition", "size": "1 GiB", "mount": "/"});
        let document = json!({
            "images": [{"name": "a", "image_pull_url": "http://h/a.img"}],
            "partitions": [{"type": "disk", "id": {"type": "name", "value": "sda"}, "volumes": [root]}],
        });
        let refused = |sector: u64| {
            let described =
                json!({"device": "/dev/sda", "size": 1_u64 << 33, "bspec": {"ss": sector.to_string()}});
            let machine = Machine::recorded(vec![serde_json::from_value(described).unwrap()]);
            let facts = Facts {
                devices: &machine.devices,
                image_metadata: &|_| None,
                prepare_configdrive: false,
                configdrive_exists: true,
            };
            let host = Script::default();
            let driver = drivers::find("ironic", Path::new("/nonexistent"), &host).unwrap();
            let deployment = driver.read(&document, &facts).unwrap();
            let options =
                Options { prepare_configdrive: false, config_drive_path: path.clone(), ..options() };
            let (step, refusals) = step(&deployment, &machine, &options, &host);
            assert!(step.is_none());
            refusals.iter().map(|refusal| refusal.mistake.to_string()).collect::<String>()
        };
        assert_eq!(refused(512), "");
        let error = refused(4096);
        assert!(
            error.contains("is ISO 9660, which cannot be mounted from a disk with sectors of 4096"),
            "{error}"
        );
    }
}
