//! The config drive in a plan: it is rendered here, so that a template that cannot be is refused.

use bareon_host::Runner;

use super::{Action, MakeConfigDrive, Options, Refusal, Stage, Step};
use crate::{
    chain::chain,
    drivers::{Deployment, Mistake},
    objects::{Mib, partition::Partition},
    steps::configdrive::{self, ConfigDriveError},
};

/// The config drive's step, and what forbids to make or to use one.
pub(super) fn step(
    deployment: &Deployment,
    options: &Options,
    host: &dyn Runner,
) -> (Option<Step>, Vec<Refusal>) {
    /// The partition's size where the layout has none: what the nailgun layout reserves.
    const USUAL: Mib = Mib(20);
    let Some(scheme) = &deployment.configdrive else { return (None, Vec::new()) };
    let path = &options.config_drive_path;
    let partition = deployment.partition_scheme.partitions().find(|partition| partition.configdrive);
    let max = partition.map_or(USUAL, Partition::size).bytes();
    if !options.prepare_configdrive {
        // Without a ready-made one the layout has no partition for it, and there is nothing to do.
        let checked = partition.map(|_| configdrive::check(path, max));
        let refusals = match checked {
            Some(Err(error)) => refused(&[Stage::CopyImage], &error),
            _ => Vec::new(),
        };
        return (None, refusals);
    }
    let rendered = match configdrive::render(scheme, &options.nc_template_path) {
        Ok(rendered) => rendered,
        Err(error) => return (None, refused(&[Stage::ConfigDrive], &error)),
    };
    let step = Step {
        stage: Stage::ConfigDrive,
        what: format!("make the config drive {}", path.display()),
        action: Action::MakeConfigDrive(MakeConfigDrive {
            rendered,
            path: path.clone(),
            tmp_path: options.tmp_path.clone(),
            max,
            commands: configdrive::commands(host, path, &configdrive::staging(&options.tmp_path)),
        }),
    };
    (Some(step), Vec::new())
}

fn refused(stages: &[Stage], error: &ConfigDriveError) -> Vec<Refusal> {
    let remedy = "mend it, or set prepare_configdrive=false and bring a ready-made one at config_drive_path";
    let mistake = Mistake::new("/configdrive", None, chain(error), remedy);
    stages.iter().map(|stage| Refusal { stage: *stage, mistake: mistake.clone() }).collect()
}
