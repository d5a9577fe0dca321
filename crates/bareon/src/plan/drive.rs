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
    let Some(scheme) = &deployment.configdrive else { return (None, Vec::new()) };
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
