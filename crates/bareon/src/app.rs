//! What the commands do: the way from settings to a plan, and from a plan to a run.

use std::{cell::RefCell, fs, io, path::Path};

use bareon_host::{System, mount, runner};
use bareon_image::{ImageError, Progress};
use serde_json::{Value, json};

use crate::{
    audit::{self, OnError, Unbootable},
    cli::{self, Command, Context, Failure, Invocation, Settings, ironic_callback, value},
    drivers::{self, DataDriver, Deployment, Facts, Mistakes},
    hardware::{BlockDevice, Machine, explain, usage::Kernel},
    image_keys::{ImageKeys, Untrusted},
    plan::{self, Action, Plan, Stage},
    run,
    steps::{
        backup::undo::Undo,
        bootloader::{BootOrder, Firmware},
        holdoff::{HoldOff, Udev},
    },
};

/// How large the metadata of an image may be, in bytes.
const METADATA_LIMIT: u64 = 1 << 20;

/// How large a signature may be, in bytes.
const SIGNATURE_LIMIT: u64 = 1 << 12;

/// How often the metadata of an image is asked for again. It can be done without, so not as often
/// as for an image.
const METADATA_RETRIES: u32 = 2;

/// Does what `invocation` says.
///
/// # Errors
/// When it cannot be done, with all that is known of why.
pub fn run(invocation: &Invocation, context: &Context) -> Result<(), Failure> {
    let host = System::observed(context.report.observer());
    let call = Call { invocation, settings: &invocation.settings, context, host: &host };
    match &invocation.command {
        Command::Run { stage, plan_id } => call.run(&stages(*stage), plan_id.as_deref()),
        Command::Plan { stage, .. } => call.show_plan(&stages(*stage)),
        Command::AuditBoot => call.audit_boot(),
        Command::Hardware => call.show_hardware(),
        Command::ExplainDisk { .. } => call.explain_disks(),
        Command::Schema => call.show_schema(),
        Command::Drivers => call.show_drivers(),
        Command::Undo { backup, dry_run, force } => call.undo(backup, *dry_run, *force),
        Command::IronicCallback { kernel_command_line } => {
            Ok(ironic_callback::run(kernel_command_line, &invocation.settings)?)
        }
    }
}

fn stages(stage: cli::Stage) -> Vec<Stage> {
    match stage {
        cli::Stage::All => Stage::ALL.to_vec(),
        cli::Stage::Partition => vec![Stage::Partition],
        cli::Stage::ConfigDrive => vec![Stage::ConfigDrive],
        cli::Stage::CopyImage => vec![Stage::CopyImage],
        cli::Stage::BootLoader => vec![Stage::Bootloader],
    }
}

struct Call<'a> {
    invocation: &'a Invocation,
    settings: &'a Settings,
    context: &'a Context,
    host: &'a System,
}

impl Call<'_> {
    /// Gives this run mounts of its own.
    fn own_mounts() -> Result<(), Failure> {
        mount::private_namespace().map_err(|error| {
            let remedy = match error.raw_os_error() {
                Some(nix::libc::EPERM) => "run it as root",
                _ => "is / a mount point here, and not a chroot?",
            };
            Failure::new(format!("giving this run mounts of its own: {error}; {remedy}"))
        })
    }

    fn run(&self, stages: &[Stage], plan_id: Option<&str>) -> Result<(), Failure> {
        let whole = stages == Stage::ALL;
        if whole {
            tracing::info!("--- Provisioning (do_provisioning) ---");
        }
        Self::own_mounts()?;
        let plan = self.plan()?;
        refuse(&plan, stages)?;
        is_planned(&plan, stages, plan_id)?;
        run::run(&plan, stages, self.host, &self.image_options(), self.context).map_err(|error| {
            let findings = error.findings();
            Failure::from(error).with_findings(findings)
        })?;
        if whole {
            tracing::info!("--- Provisioning END (do_provisioning) ---");
        }
        Ok(())
    }

    fn show_plan(&self, stages: &[Stage]) -> Result<(), Failure> {
        let plan = self.plan()?.only(stages);
        self.answer(&plan.to_json(), || plan.to_string())
    }

    /// Looks at the disks as they are; an error among the findings fails it, unless only a warning was asked for.
    fn audit_boot(&self) -> Result<(), Failure> {
        Self::own_mounts()?;
        let plan = self.plan()?;
        refuse(&plan, &[Stage::Bootloader])?;
        let install = plan.steps.iter().find_map(|step| match &step.action {
            Action::InstallBoot(install) => Some(install),
            _ => None,
        });
        let Some(install) = install else { return Err(Failure::new("the layout has nothing to boot")) };
        for ground in &install.grounds {
            ground.check(&Kernel::default())?;
        }
        let found = audit::alone(self.host, &install.boot, &install.scope)?;
        self.context.report.audit(found.clone());
        if install.audit != OnError::Warn
            && let Err(error) = Unbootable::unless_clean(&found)
        {
            run::tell(&found);
            return Err(Failure::from(error).with_findings(found));
        }
        self.answer(&json!({ "findings": found }), || match found.as_slice() {
            [] => "the installed system would boot: nothing was found\n".into(),
            found => lines(found.iter().map(|finding| format!("{}: {finding}", finding.severity))),
        })
    }

    fn show_hardware(&self) -> Result<(), Failure> {
        let devices = self.machine()?.record();
        self.answer(&json!(devices), || lines(devices.iter().map(ToString::to_string)))
    }

    /// Shows which disk each disk of the document is, also where the document cannot be planned.
    fn explain_disks(&self) -> Result<(), Failure> {
        let machine = self.machine()?;
        let facts = self.facts(&machine, &|_| None);
        let asked = self.driver()?.disks(&self.settings.document()?, &facts).map_err(mistaken)?;
        let explained = explain::explain(&asked, &machine.devices);
        self.answer(&json!(explained), || lines(explained.iter().map(ToString::to_string)))?;
        let missed = explained.iter().filter(|one| one.found.is_none());
        let missed: Vec<_> = missed.map(|one| one.input_path.as_str()).collect();
        if missed.is_empty() {
            return Ok(());
        }
        let missed = missed.join(", ");
        Err(Failure::new(format!("no disk is taken for {missed}; name it by what exactly one candidate has")))
    }

    fn show_schema(&self) -> Result<(), Failure> {
        let schema = self.driver()?.schema()?;
        self.answer(&schema, || format!("{schema:#}\n"))
    }

    fn show_drivers(&self) -> Result<(), Failure> {
        let drivers = drivers::list(&self.settings.drivers_dir);
        self.answer(&json!(drivers), || lines(drivers.iter().map(ToString::to_string)))
    }

    /// Puts back what a run saved of its disks before it overwrote them.
    fn undo(&self, backup: &Path, dry_run: bool, force: bool) -> Result<(), Failure> {
        let kernel = Kernel::default();
        let undo = Undo::look(backup, force, &kernel)?;
        if !dry_run {
            let held = HoldOff::begin(self.host, &Udev::default())?;
            undo.run(self.host, &kernel)?;
            held.close()?;
        }
        self.answer(&json!(undo), || undo.to_string())
    }

    /// Prints an answer in the form that was asked for.
    fn answer(&self, json: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        self.context.answer(self.invocation.json, json, text)
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let mut machine = self.machine()?;
        let deployment = self.deployment(&machine)?;
        // The image's metadata may have been long in coming.
        machine.look_again(&Kernel::default())?;
        Ok(plan::plan(deployment, &machine, &self.plan_options(), self.host))
    }

    /// The file with the hardware of another machine that is planned for.
    fn recorded_hardware(&self) -> Option<&Path> {
        match &self.invocation.command {
            Command::Plan { hardware, .. } | Command::ExplainDisk { hardware } => hardware.as_deref(),
            _ => None,
        }
    }

    /// Whether the plan is made without the metadata of the images, as it is for another machine.
    fn is_without_metadata(&self) -> bool {
        matches!(
            &self.invocation.command,
            Command::Plan { hardware: Some(_), image_metadata: None, .. } | Command::AuditBoot
        )
    }

    fn machine(&self) -> Result<Machine, Failure> {
        match self.recorded_hardware() {
            Some(path) => recorded(path).map(Machine::recorded),
            None => Ok(Machine::look(self.host, &Kernel::default())?),
        }
    }

    fn driver(&self) -> Result<Box<dyn DataDriver + '_>, Failure> {
        Ok(drivers::find(&self.settings.data_driver, &self.settings.drivers_dir, self.host)?)
    }

    fn facts<'a>(
        &self,
        machine: &'a Machine,
        image_metadata: &'a dyn Fn(&str) -> Option<String>,
    ) -> Facts<'a> {
        Facts {
            devices: &machine.devices,
            image_metadata,
            prepare_configdrive: self.settings.prepare_configdrive,
            configdrive_exists: self.settings.config_drive_path.exists(),
        }
    }

    fn deployment(&self, machine: &Machine) -> Result<Deployment, Failure> {
        let document = self.settings.document()?;
        // An audit writes nothing, and the image may be long gone.
        let keys = match &self.invocation.command {
            Command::AuditBoot => ImageKeys::default(),
            _ => ImageKeys::read(&self.settings.image_keys.0)?,
        };
        let untrusted = RefCell::new(None);
        let metadata = |uri: &str| match self.metadata(uri, &keys) {
            Ok(text) => text,
            Err(error) => {
                untrusted.borrow_mut().get_or_insert(error);
                None
            }
        };
        let read = self.driver()?.read(&document, &self.facts(machine, &metadata));
        if let Some(failure) = untrusted.take() {
            return Err(failure);
        }
        let deployment = read.map_err(mistaken)?;
        keys.check(&deployment.image_scheme)?;
        Ok(deployment)
    }

    /// The metadata of the images, which belong to `uri`; signed, where there are keys.
    fn metadata(&self, uri: &str, keys: &ImageKeys) -> Result<Option<String>, Failure> {
        if let Command::Plan { image_metadata: Some(path), .. } = &self.invocation.command {
            let text = read("the image metadata", path)?;
            if !keys.is_empty() {
                let uri = path.display().to_string();
                let signature = fs::read_to_string(format!("{uri}.minisig"));
                let unsigned =
                    |source: io::Error| Untrusted::Unsigned { uri: uri.clone(), source: source.into() };
                keys.verify(&uri, text.as_bytes(), &signature.map_err(unsigned)?)?;
            }
            return Ok(Some(text));
        }
        if keys.is_empty() {
            return Ok(self.fetch_metadata(uri));
        }
        if self.recorded_hardware().is_some() {
            return Err(Failure::new(
                "image_keys asks for signed metadata, and with recorded hardware nothing is fetched: give them by \
                 --image-metadata, with their signature beside them",
            ));
        }
        let options = self.image_options();
        let missing = |source| Untrusted::NoMetadata { uri: bareon_image::shown(uri), source };
        let text = bareon_image::fetch(uri, &options, METADATA_LIMIT, &Heard).map_err(missing)?;
        let signature = bareon_image::fetch(&format!("{uri}.minisig"), &options, SIGNATURE_LIMIT, &Heard);
        let unsigned =
            |source: ImageError| Untrusted::Unsigned { uri: bareon_image::shown(uri), source: source.into() };
        keys.verify(uri, &text, &String::from_utf8_lossy(&signature.map_err(unsigned)?))?;
        tracing::info!("the metadata {} are signed by one of image_keys", bareon_image::shown(uri));
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// The metadata of an image that nobody has to vouch for. With recorded hardware the plan is for another machine,
    /// and is to reach for no network.
    fn fetch_metadata(&self, uri: &str) -> Option<String> {
        if self.recorded_hardware().is_some() {
            return None;
        }
        let mut options = self.image_options();
        options.http.max_retries = options.http.max_retries.clamp(1, METADATA_RETRIES);
        match bareon_image::fetch(uri, &options, METADATA_LIMIT, &Heard) {
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => {
                tracing::warn!(
                    "going on without the metadata of the image, so without its checksums: {error}"
                );
                None
            }
        }
    }

    fn image_options(&self) -> bareon_image::Options {
        bareon_image::Options {
            http: self.settings.http(),
            torrent: self.settings.torrent(),
            verify: match self.settings.verify {
                value::Verify::Stream => bareon_image::Verify::Stream,
                value::Verify::Readback => bareon_image::Verify::Readback,
            },
            reimage: match self.settings.reimage {
                value::Reimage::Full => bareon_image::Reimage::Full,
                value::Reimage::Differential => bareon_image::Reimage::Differential,
            },
            memory_limit: self.settings.memory_limit.0,
            ..bareon_image::Options::default()
        }
    }

    fn plan_options(&self) -> plan::Options {
        let settings = self.settings;
        plan::Options {
            firmware: match settings.firmware {
                value::Firmware::Auto => None,
                value::Firmware::Bios => Some(Firmware::Bios),
                value::Firmware::Uefi => Some(Firmware::Uefi),
                value::Firmware::Both => Some(Firmware::Both),
            },
            efi_boot_order: match settings.efi_boot_order {
                value::EfiBootOrder::Keep => BootOrder::Keep,
                value::EfiBootOrder::First => BootOrder::First,
                value::EfiBootOrder::Last => BootOrder::Last,
            },
            prepare_configdrive: settings.prepare_configdrive,
            config_drive_path: settings.config_drive_path.clone(),
            nc_template_path: settings.nc_template_path.clone(),
            tmp_path: settings.tmp_path.clone(),
            grub_timeout: u32::try_from(settings.grub_timeout).unwrap_or(u32::MAX),
            fix_udev_net_rules: settings.fix_udev_net_rules,
            udev_rules_dir: settings.udev_rules_dir.clone(),
            audit_boot: match settings.audit_boot {
                value::AuditBoot::Fail => OnError::Fail,
                value::AuditBoot::Warn => OnError::Warn,
                value::AuditBoot::Off => OnError::Off,
            },
            backup_dir: settings.backup_dir.clone(),
            skip_md_containers: settings.skip_md_containers,
            // Metadata that were not fetched may well have the sums.
            allow_unverified: settings.allow_unverified || self.is_without_metadata(),
            download_dir: settings.download_dir.clone(),
            memory_limit: settings.memory_limit,
        }
    }
}

fn mistaken(mistakes: Mistakes) -> Failure {
    Failure::of_input(mistakes.0)
}

/// Stops a small transfer when the run is told to stop.
struct Heard;

impl Progress for Heard {
    fn retried(&self, why: &str, attempt: u32) {
        tracing::warn!("the metadata of the image: {why}; trying again ({attempt})");
    }

    fn cancelled(&self) -> bool {
        runner::cancelled()
    }
}

/// A text of these lines.
fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.flat_map(|line| [line, "\n".into()]).collect()
}

/// The devices that `hardware --json` recorded.
fn recorded(path: &Path) -> Result<Vec<BlockDevice>, Failure> {
    let text = read("the recorded hardware", path)?;
    serde_json::from_str(&text).map_err(|error| {
        let path = path.display();
        Failure::new(format!("the recorded hardware {path} is not what `hardware --json` prints: {error}"))
    })
}

fn read(what: &str, path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error: io::Error| Failure::new(format!("reading {what} {}: {error}", path.display())))
}

/// Ends a run that is refused, with all that is refused.
fn refuse(plan: &Plan, stages: &[Stage]) -> Result<(), Failure> {
    let refusals = plan.refusals_of(stages);
    if refusals.is_empty() {
        return Ok(());
    }
    Err(Failure::new("the plan is refused, nothing was written").with_mistakes(refusals.into_iter().cloned()))
}

/// Ends a run whose plan is not the one that was asked for.
fn is_planned(plan: &Plan, stages: &[Stage], wanted: Option<&str>) -> Result<(), Failure> {
    let Some(wanted) = wanted else { return Ok(()) };
    let id = plan.clone().only(stages).id();
    if id == wanted {
        return Ok(());
    }
    Err(Failure::new(format!(
        "this is not the plan {wanted} any more, it is {id}: the input, an image's metadata, the program, a disk or \
         what lies on one has changed; nothing was written; look at it again by `plan`"
    )))
}
