//! Running a plan: its steps in their order, each told in the log, on the terminal and in the report.
//!
//! The first step that fails ends the run. What is said then is which step, why, which ones were done
//! before it, and in what state that leaves the disks; nothing is mounted at that point, as steps clean
//! up after themselves.

use std::{path::Path, time::Instant};

use bareon_host::{CommandError, Runner, entropy, runner};
use bareon_image::{Options, TargetState, Written, shown};

use crate::{
    chain::chain,
    cli::{Context, report},
    hardware::usage::Kernel,
    plan::{Action, MakeConfigDrive, Plan, Stage, Step},
    steps::{
        bootloader::{self, BootError},
        configdrive::{self, ConfigDriveError},
        copyimage::{CopyImageError, WriteImage},
        partitioning::{self, LayOutError},
        place::Elsewhere,
        teardown::TearDownError,
        volumes::VolumesError,
    },
};

/// A step that failed, and where that leaves the machine.
#[derive(Debug, thiserror::Error)]
#[error("{what} (step {number} of {total}, {stage}); {state}")]
pub struct RunError {
    what: String,
    number: usize,
    total: usize,
    stage: Stage,
    state: String,
    #[source]
    source: Box<StepError>,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Of what lay on the disks.
    #[error(transparent)]
    TearDown(#[from] TearDownError),
    /// Of partitioning.
    #[error(transparent)]
    LayOut(#[from] LayOutError),
    /// Of an array or a volume group.
    #[error(transparent)]
    Volumes(#[from] VolumesError),
    /// Of a command.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Of the config drive.
    #[error(transparent)]
    ConfigDrive(#[from] ConfigDriveError),
    /// Of an image.
    #[error(transparent)]
    CopyImage(#[from] CopyImageError),
    /// Of a device that is not the layout's.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
    /// Of the boot loader.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The run was told to stop between two commands.
    #[error("the run was told to stop")]
    Cancelled,
}

/// The line that a stage begins with, by which callers follow a run.
fn headline(stage: Stage) -> &'static str {
    match stage {
        Stage::Partition => "--- Partitioning disks (do_partitioning) ---",
        Stage::ConfigDrive => "--- Creating configdrive (do_configdrive) ---",
        Stage::CopyImage => "--- Copying images (do_copyimage) ---",
        Stage::Bootloader => "--- Installing bootloader (do_bootloader) ---",
    }
}

/// Runs the steps of `stages`.
///
/// # Errors
/// At the first step that fails.
pub fn run(
    plan: &Plan,
    stages: &[Stage],
    host: &dyn Runner,
    images: &Options,
    context: &Context,
) -> Result<(), RunError> {
    let steps: Vec<_> = plan.steps.iter().filter(|step| stages.contains(&step.stage)).collect();
    let mut done = 0;
    if !entropy::wait() {
        tracing::warn!("the kernel has no random numbers yet: tools that make UUIDs will be slow");
    }
    for &stage in stages {
        tracing::info!("{}", headline(stage));
        let _bar = context.bars.stage(stage.name());
        for step in steps.iter().filter(|step| step.stage == stage) {
            tracing::info!("step {} of {}: {}", done + 1, steps.len(), step.what);
            let reported = context.report.step_started(stage.name(), &*step.what);
            let begun = Instant::now();
            let result = run_step(step, host, images, context);
            context.report.step_ended(reported, result.as_ref().err().map(|error| chain(error)));
            if let Err(source) = result {
                return Err(RunError {
                    what: step.what.clone(),
                    number: done + 1,
                    total: steps.len(),
                    stage,
                    state: state(&steps[..done], step, &source),
                    source: Box::new(source),
                });
            }
            done += 1;
            tracing::info!("step {done} of {} done in {} ms", steps.len(), begun.elapsed().as_millis());
        }
    }
    Ok(())
}

fn run_step(step: &Step, host: &dyn Runner, images: &Options, context: &Context) -> Result<(), StepError> {
    if runner::cancelled() {
        return Err(StepError::Cancelled);
    }
    match &step.action {
        Action::TearDown(down) => down.run(host, &Kernel::default())?,
        Action::LayOut(disk) => disk.run(host)?,
        Action::MakeArray(array) => array.run(host)?,
        Action::MakeGroup(group) => group.run(host)?,
        Action::MakeFs(fs) => {
            host.run(&fs.command())?;
        }
        Action::Settle => match host.run(&partitioning::settle()) {
            // The partitions are there, the kernel made them; what udev is busy with may be another device.
            Err(error @ CommandError::Failed { .. }) => {
                tracing::warn!("going on although udev is not done: {error}");
            }
            settled => {
                settled?;
            }
        },
        Action::MakeConfigDrive(MakeConfigDrive { rendered, path, tmp_path, max, format, .. }) => {
            configdrive::write(host, rendered, path, tmp_path, *max, *format)?;
        }
        Action::WriteImage(image) => write_image(image, host, images, context)?,
        Action::InstallBoot(install) => {
            for ground in &install.grounds {
                ground.check(&Kernel::default())?;
            }
            let installed = bootloader::run(host, &install.boot)?;
            context.report.boot_loader(installed.clone());
            for warning in &installed.warnings {
                tracing::warn!("{warning}");
            }
        }
    }
    Ok(())
}

fn write_image(
    image: &WriteImage,
    host: &dyn Runner,
    options: &Options,
    context: &Context,
) -> Result<(), CopyImageError> {
    let uri = &image.request.uri;
    if image.if_there && !Path::new(uri).exists() {
        tracing::warn!("there is no {uri}, so {} stays empty; `configdrive` makes it", image.device());
        return Ok(());
    }
    let progress = context.bars.image(shown(uri).rsplit('/').next().unwrap_or(uri), image.request.size);
    let written = image.run(host, options, &progress)?;
    let Written { uri, raw_bytes, md5, sha256, elapsed, .. } = written;
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    tracing::info!("wrote {raw_bytes} bytes to {} in {ms} ms, sha256 {sha256}", image.device());
    context.report.image(report::Image {
        uri,
        target: image.device(),
        bytes: raw_bytes,
        md5,
        sha256: Some(sha256),
        ms,
        bytes_per_second: raw_bytes.saturating_mul(1000) / ms.max(1),
    });
    Ok(())
}

/// The state of the disks after `done`, when `failed` did not come to its end.
fn state(done: &[&Step], failed: &Step, error: &StepError) -> String {
    let done = match done {
        [] => "nothing was done before it".to_owned(),
        done => {
            let done: Vec<_> = done.iter().map(|step| step.what.as_str()).collect();
            format!("done before it: {}", done.join("; "))
        }
    };
    let left = match &failed.action {
        Action::TearDown(down) => {
            format!("what lay on {} may be gone in part", down.disks.join(", "))
        }
        Action::LayOut(disk) => format!("{} may hold a part of its new layout", disk.table.disk),
        Action::MakeArray(array) => format!("{} may be there without anything on it", array.array.device),
        Action::MakeGroup(group) => format!("the volume group {} may lack some of its volumes", group.name),
        Action::MakeFs(fs) => format!("{} holds no file system that can be used", fs.device),
        Action::WriteImage(image) => {
            let device = image.device();
            match error {
                StepError::CopyImage(error) => match error.target_state() {
                    TargetState::Untouched => format!("nothing was written to {device}"),
                    TargetState::Cleared => {
                        format!("{device} holds nothing that can be mounted or booted")
                    }
                    TargetState::Written => {
                        format!("{device} holds the whole image, whose file system may not fill it")
                    }
                },
                _ => format!("nothing was written to {device}"),
            }
        }
        Action::InstallBoot(_) => "the installed system may not boot".to_owned(),
        Action::Settle | Action::MakeConfigDrive(_) => {
            "the disks are as the steps before left them".to_owned()
        }
    };
    format!("{done}; {left}; nothing of it is mounted; mend the cause and run it again")
}
