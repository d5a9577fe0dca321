//! Running a plan: its steps in their order, each told in the log, on the terminal and in the report. Steps that do not
//! depend on one another run at once: the tables of several disks, the file systems on several volumes.
//!
//! The first step that fails ends the run. What is said then is which step, why, which ones were done
//! before it, and in what state that leaves the disks; nothing is mounted at that point, as steps clean
//! up after themselves.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use bareon_host::{CommandError, Runner, entropy, runner};
use bareon_image::{Algorithm, Options, TargetState, Written, shown};

use crate::{
    audit::{self, Finding, OnError, Severity, Unbootable},
    chain::chain,
    cli::{Context, report},
    hardware::{Identity, identity::Changed, usage::Kernel},
    plan::{Action, InstallBoot, MakeConfigDrive, Plan, Stage, Step},
    steps::{
        backup::{self, BackupError},
        bootloader::{self, BootError},
        configdrive::{self, ConfigDriveError},
        copyimage::{CopyImageError, WriteImage},
        holdoff::{HoldOff, HoldOffError, Udev},
        keep::KeepError,
        moved::MoveError,
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

impl RunError {
    /// What the audit found, where that is why the run failed.
    pub fn findings(&self) -> Vec<Finding> {
        match &*self.source {
            StepError::Unbootable(Unbootable(findings)) => findings.clone(),
            _ => Vec::new(),
        }
    }
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Of the metadata of the disks.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Of udev, which was to be kept off.
    #[error(transparent)]
    HoldOff(#[from] HoldOffError),
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
    /// Of files that are moved.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// Of what is kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// Of a device that is not the layout's.
    #[error(transparent)]
    Elsewhere(#[from] Elsewhere),
    /// Of a disk that is another than the one that was planned for.
    #[error(transparent)]
    Changed(#[from] Changed),
    /// Of the boot loader.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// Of the audit of what was installed.
    #[error(transparent)]
    Unbootable(#[from] Unbootable),
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

/// How many steps run at once where they do not depend on one another: enough to keep disks busy, and few enough that
/// the tools for them, mkfs above all, fit into the memory of a small machine.
const AT_ONCE: usize = 8;

/// How much memory an image is to have at least where several are written at once, in bytes: what `xz -9` needs fits.
const IMAGE_SHARE: u64 = 96 << 20;

/// Runs the steps of `stages`.
///
/// # Errors
/// At the first step that fails.
pub fn run(
    plan: &Plan,
    stages: &[Stage],
    host: &(dyn Runner + Sync),
    images: &Options,
    context: &Context,
) -> Result<(), RunError> {
    let total = plan.steps.iter().filter(|step| stages.contains(&step.stage)).count();
    let run = Run { plan, host, images, context, total };
    let mut done = Vec::new();
    if !entropy::wait() {
        tracing::warn!("the kernel has no random numbers yet: tools that make UUIDs will be slow");
    }
    for &stage in stages {
        tracing::info!("{}", headline(stage));
        let _bar = context.bars.stage(stage.name());
        let steps: Vec<_> = plan.steps.iter().filter(|step| step.stage == stage).collect();
        let held =
            (stage == Stage::Partition && !steps.is_empty()).then(|| run.hold_off(done.len())).transpose()?;
        for batch in batches(&steps) {
            run.batch(&batch, &mut done)?;
        }
        if let Some(Err(error)) = held.map(HoldOff::close) {
            tracing::warn!("udev may not start arrays and groups until the next boot: {}", chain(&error));
        }
    }
    Ok(())
}

/// The steps in groups of those that do not depend on one another.
fn batches<'s>(steps: &[&'s Step]) -> Vec<Vec<&'s Step>> {
    let mut batches: Vec<Vec<&Step>> = Vec::new();
    for step in steps {
        match batches.last_mut() {
            Some(batch) if batch.iter().all(|one| one.independent_of(step)) => batch.push(step),
            _ => batches.push(vec![step]),
        }
    }
    batches
}

/// How many of so many steps run at once, and how images are written then: all of them together take the memory that
/// one alone would have.
fn at_once(batch: &[&Step], images: &Options) -> (usize, Options) {
    let is_image = batch.iter().any(|step| matches!(step.action, Action::WriteImage(_)));
    let most = if is_image {
        usize::try_from(images.memory_limit / IMAGE_SHARE).unwrap_or(AT_ONCE)
    } else {
        AT_ONCE
    };
    let count = batch.len().min(most.clamp(1, AT_ONCE));
    let share = if is_image { images.memory_limit / count.max(1) as u64 } else { images.memory_limit };
    (count, Options { memory_limit: share, ..images.clone() })
}

/// What all steps of a run share.
struct Run<'a> {
    plan: &'a Plan,
    host: &'a (dyn Runner + Sync),
    images: &'a Options,
    context: &'a Context,
    total: usize,
}

impl Run<'_> {
    /// Keeps udev from starting what it finds while disks are laid out.
    fn hold_off(&self, done: usize) -> Result<HoldOff<'_>, RunError> {
        HoldOff::begin(self.host, &Udev::default()).map_err(|error| RunError {
            what: "keep udev from starting arrays and groups".into(),
            number: done + 1,
            total: self.total,
            stage: Stage::Partition,
            state: "nothing was written".into(),
            source: Box::new(error.into()),
        })
    }

    /// Runs steps that do not depend on one another, and adds those that succeeded to `done`. Where one fails, those
    /// that run already come to their end, and no other begins.
    fn batch<'s>(&self, batch: &[&'s Step], done: &mut Vec<&'s Step>) -> Result<(), RunError> {
        let before = done.len();
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let results: Vec<_> = batch.iter().map(|_| OnceLock::new()).collect();
        let (count, images) = at_once(batch, self.images);
        let work = || {
            while let Some((i, step)) = at(batch, &next)
                && !failed.load(Ordering::Relaxed)
            {
                let result = self.step(before + i + 1, step, &images);
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                // Each place is taken once, so it is still empty.
                let _ = results[i].set(result);
            }
        };
        if batch.len() == 1 {
            work();
        } else {
            thread::scope(|scope| (0..count).for_each(|_| drop(scope.spawn(work))));
        }
        let mut error = None;
        for (i, (step, result)) in batch.iter().zip(results).enumerate() {
            match result.into_inner() {
                Some(Ok(())) => done.push(step),
                Some(Err(source)) if error.is_none() => error = Some((i, *step, source)),
                // The first ends the run and is told at its end.
                Some(Err(other)) => tracing::error!("{} failed, too: {}", step.what, chain(&other)),
                None => {}
            }
        }
        error.map_or(Ok(()), |(i, step, source)| {
            Err(RunError {
                what: step.what.clone(),
                number: before + i + 1,
                total: self.total,
                stage: step.stage,
                state: state(done, step, &source),
                source: Box::new(source),
            })
        })
    }

    /// Notes in the backups what the step writes over.
    fn noted(&self, step: &Step) -> Result<(), StepError> {
        let Plan { deployment, backup_dir, .. } = self.plan;
        let scheme = &deployment.partition_scheme;
        let devices = step.overwrites(scheme);
        match backup_dir {
            Some(dir) => Ok(backup::note(dir, &step.what, &devices, scheme, &Kernel::default())?),
            None => Ok(()),
        }
    }

    /// Runs a step, which has that number, and tells of it.
    fn step(&self, number: usize, step: &Step, images: &Options) -> Result<(), StepError> {
        let Self { plan, host, context, total, .. } = *self;
        tracing::info!("step {number} of {total}: {}", step.what);
        let reported = context.report.step_started(step.stage.name(), &*step.what);
        let begun = Instant::now();
        let result = same(&plan.disks)
            .and_then(|()| self.noted(step))
            .and_then(|()| run_step(step, host, images, context));
        context.report.step_ended(reported, result.as_ref().err().map(|error| chain(error)));
        if result.is_ok() {
            tracing::info!("step {number} of {total} done in {} ms", begun.elapsed().as_millis());
        }
        result
    }
}

/// The next of `batch` that nobody has taken.
fn at<'s>(batch: &[&'s Step], next: &AtomicUsize) -> Option<(usize, &'s Step)> {
    let i = next.fetch_add(1, Ordering::Relaxed);
    batch.get(i).map(|step| (i, *step))
}

/// Looks whether the disks are still those that were planned for.
fn same(disks: &BTreeMap<String, Identity>) -> Result<(), StepError> {
    let kernel = Kernel::default();
    disks.iter().try_for_each(|(disk, identity)| Ok(identity.check(disk, &kernel)?))
}

fn run_step(
    step: &Step,
    host: &(dyn Runner + Sync),
    images: &Options,
    context: &Context,
) -> Result<(), StepError> {
    if runner::cancelled() {
        return Err(StepError::Cancelled);
    }
    match &step.action {
        Action::SaveMetadata(save) => context.report.backup(save.run(&Kernel::default())?),
        Action::TearDown(down) => down.run(host, &Kernel::default())?,
        Action::BringUp(up) => up.run(host, &Kernel::default())?,
        Action::ChangeGroup(group) => group.run(host, &Kernel::default())?,
        Action::LayOut(disk) => disk.run(host)?,
        Action::MakeArrays(arrays) => arrays.run(host)?,
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
        Action::MoveFiles(files) => files.run(host)?,
        Action::InstallBoot(install) => {
            if let Some(up) = &install.up {
                up.run(host, &Kernel::default())?;
            }
            for ground in &install.grounds {
                ground.check(&Kernel::default())?;
            }
            install_boot(install, host, context)?;
        }
    }
    Ok(())
}

/// Installs the boot loader, and looks whether the machine would boot before it is unmounted.
fn install_boot(install: &InstallBoot, host: &dyn Runner, context: &Context) -> Result<(), StepError> {
    let InstallBoot { boot, scope, audit, .. } = install;
    let (installed, found) = bootloader::run_then(host, boot, &Kernel::default(), |root, esps| {
        (*audit != OnError::Off).then(|| audit::after(host, boot, scope, root, esps))
    })?;
    for warning in &installed.warnings {
        tracing::warn!("{warning}");
    }
    context.report.boot_loader(installed);
    let Some(found) = found.transpose()? else { return Ok(()) };
    tell(&found);
    context.report.audit(found.clone());
    let result = Unbootable::unless_clean(&found);
    if *audit == OnError::Fail { Ok(result?) } else { Ok(()) }
}

/// Tells in the log what an audit found.
pub fn tell(findings: &[Finding]) {
    for finding in findings {
        match finding.severity {
            Severity::Error => tracing::error!("{finding}"),
            Severity::Warning => tracing::warn!("{finding}"),
        }
    }
    tracing::info!("the audit of the installed system found {} things", findings.len());
}

fn write_image(
    image: &WriteImage,
    host: &(dyn Runner + Sync),
    options: &Options,
    context: &Context,
) -> Result<(), CopyImageError> {
    let uri = image.request.uris.first().map_or("", String::as_str);
    if image.if_there && !Path::new(uri).exists() {
        tracing::warn!("there is no {uri}, so {} stays empty; `configdrive` makes it", image.device());
        return Ok(());
    }
    let progress = context.bars.image(shown(uri).rsplit('/').next().unwrap_or(uri), image.request.size);
    let written = image.run(host, options, &progress)?;
    for device in image.devices() {
        tell_of(&written, device, context);
    }
    Ok(())
}

/// Tells of an image that was written to `device`.
fn tell_of(written: &Written, device: String, context: &Context) {
    let Written { uri, raw_bytes, container_bytes, reused_bytes, sums, elapsed, .. } = written;
    let sum = |algorithm| sums.get(algorithm).map(str::to_owned);
    let sha256 = sum(Algorithm::Sha256);
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        "wrote {raw_bytes} bytes to {device} in {ms} ms, sha256 {}; {container_bytes} bytes were fetched for it, and \
         {reused_bytes} stood there already",
        sha256.as_deref().unwrap_or("unknown")
    );
    context.report.image(report::Image {
        uri: uri.clone(),
        target: device,
        bytes: *raw_bytes,
        bytes_fetched: *container_bytes,
        bytes_kept: *reused_bytes,
        md5: sum(Algorithm::Md5),
        sha256,
        ms,
        bytes_per_second: raw_bytes.saturating_mul(1000) / ms.max(1),
    });
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
        Action::SaveMetadata(_) => "nothing was written".into(),
        Action::TearDown(down) => {
            format!("what lay on {} may be gone in part", down.disks.join(", "))
        }
        Action::BringUp(_) => "nothing was written to the disks".to_owned(),
        Action::ChangeGroup(group) => format!("the volume group {} may lack some of its volumes", group.name),
        Action::LayOut(disk) => format!("{} may hold a part of its new layout", disk.table.disk),
        Action::MakeArrays(arrays) => {
            format!("{} may be there without anything on it", arrays.devices().join(", "))
        }
        Action::MakeGroup(group) => format!("the volume group {} may lack some of its volumes", group.name),
        Action::MakeFs(fs) => format!("{} holds no file system that can be used", fs.device),
        Action::WriteImage(image) => {
            let device = image.devices().join(", ");
            match error {
                StepError::CopyImage(error) => match error.target_state() {
                    TargetState::Untouched => format!("nothing was written to {device}"),
                    TargetState::Doubtful => {
                        format!(
                            "the beginning of {device} could not be cleared: what it held may mount or boot still"
                        )
                    }
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
        Action::MoveFiles(files) => {
            format!("what the image has in /{} may not be where it belongs", files.folder.display())
        }
        Action::InstallBoot(_) => "the installed system may not boot".to_owned(),
        Action::Settle | Action::MakeConfigDrive(_) => {
            "the disks are as the steps before left them".to_owned()
        }
    };
    format!("{done}; {left}; nothing of it is mounted; mend the cause and run it again")
}
