//! The plan: what a run does, in order, as a value.
//!
//! The planner takes the objects of a driver and the machine, and makes an ordered list of typed
//! [steps](Step). The plan that is printed is the one that runs: `plan`, `--dry-run` and a run differ
//! in nothing but who consumes the value. Making it writes nothing.
//!
//! All that can be refused is refused here, before the first byte is written, and all at once: a
//! [`Refusal`] names the place in the input, the value, and what to do. A plan with refusals can be
//! looked at (it shows what would be done, and why it will not be), but does not run. Each refusal
//! belongs to the [`Stage`] that it forbids, since a stage that runs alone is not to fail for what only
//! another needs.
//!
//! - `layout`: partition tables and file systems from the partition scheme
//! - `checks`: what is refused; `contradictions`: parts that exclude each other
//! - `boot`: where the boot loader goes, by which firmware
//! - `show`: a plan for people; `json`: a plan for programs

mod boot;
mod checks;
mod contradictions;
mod json;
mod layout;
mod show;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use bareon_host::{Cmd, Runner, Tool, mkfs::FsType, tool::Origin};
use bareon_image::{Container, Request};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    drivers::{Deployment, Mistake},
    hardware::{Machine, content::Content},
    objects::{Bytes, Image, Mib},
    steps::{
        bootloader::{self, Boot, BootOrder, Family, Firmware},
        configdrive::{self, ConfigDriveError, Rendered},
        copyimage::{Place, WriteImage},
        partitioning::{self, LayOutDisk},
    },
};

/// A part of a run that can be asked for alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Tables and file systems.
    Partition,
    /// The config drive's image is made.
    ConfigDrive,
    /// Images are written, the config drive's among them.
    CopyImage,
    /// The boot loader is installed.
    Bootloader,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Partition, Self::ConfigDrive, Self::CopyImage, Self::Bootloader];

    /// Its command.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::ConfigDrive => "configdrive",
            Self::CopyImage => "copyimage",
            Self::Bootloader => "bootloader",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What of the configuration the planner needs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The firmware to install for; as the machine booted where not given.
    pub firmware: Option<Firmware>,
    /// Where our entry goes in the firmware's boot order.
    pub efi_boot_order: BootOrder,
    /// Whether the config drive is made, or a ready-made one is used.
    pub prepare_configdrive: bool,
    /// The config drive's image.
    pub config_drive_path: PathBuf,
    /// Where templates are looked up.
    pub nc_template_path: PathBuf,
    /// Where temporary files and mount points go.
    pub tmp_path: PathBuf,
    /// How long GRUB waits, in seconds.
    pub grub_timeout: u32,
    /// Whether network interfaces get the names that the input gives them.
    pub fix_udev_net_rules: bool,
    /// Where udev's rules lie in the installed system.
    pub udev_rules_dir: PathBuf,
}

/// One thing that is done.
#[derive(Debug, Clone)]
pub struct Step {
    /// The stage that it belongs to.
    pub stage: Stage,
    /// What it does, for people.
    pub what: String,
    /// What it does.
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Writes a disk's table and makes the file systems on it.
    LayOut(LayOutDisk),
    /// Lets udev see what was done.
    Settle,
    /// Makes the config drive's image.
    MakeConfigDrive(MakeConfigDrive),
    /// Writes an image.
    WriteImage(WriteImage),
    /// Installs the boot loader.
    InstallBoot(Box<InstallBoot>),
}

/// The config drive's image and what it is made from.
#[derive(Debug, Clone)]
pub struct MakeConfigDrive {
    /// Its files.
    pub rendered: Rendered,
    /// The image.
    pub path: PathBuf,
    /// Where it is put together.
    pub tmp_path: PathBuf,
    /// How large it may be: as its partition.
    pub max: Bytes,
    /// What makes it.
    pub commands: Vec<Cmd>,
}

/// The boot loader's step.
#[derive(Debug, Clone)]
pub struct InstallBoot {
    /// What is installed.
    pub boot: Boot,
    /// The family that the image is taken to be of while the plan is shown; what is found counts.
    pub family: Family,
}

/// Why a run will not be made.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Refusal {
    /// The stage that cannot run.
    pub stage: Stage,
    /// Where, what and what to do.
    #[serde(flatten)]
    pub mistake: Mistake,
}

/// What is done, what it destroys, and why not.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the driver made of the input.
    pub deployment: Deployment,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// What lies on the disks that are written, and is lost.
    pub destroys: Vec<Content>,
    /// What forbids to run it.
    pub refusals: Vec<Refusal>,
    /// What the boot loader is installed for.
    pub firmware: Firmware,
}

/// Makes the plan. The machine is looked at, nothing is written.
pub fn plan(deployment: Deployment, machine: &Machine, options: &Options, host: &dyn Runner) -> Plan {
    let firmware = options.firmware.unwrap_or(if machine.uefi { Firmware::Uefi } else { Firmware::Bios });
    let mut steps = Vec::new();
    // Where something is kept no table is written: what a kept layout asks for is refused as a whole.
    if !deployment.skip_partitioning {
        steps.extend(layout_steps(&deployment, machine, firmware));
    }
    let (drive, drive_refusals) = configdrive_step(&deployment, options, host);
    steps.extend(drive);
    steps.extend(image_steps(&deployment, options));
    steps.extend(boot::install(&deployment, machine, options, firmware).map(|install| Step {
        stage: Stage::Bootloader,
        what: boot::what(&install.boot),
        action: Action::InstallBoot(Box::new(install)),
    }));
    let mut refusals = checks::refusals(&deployment, machine, firmware);
    refusals.extend(contradictions::refusals(&deployment, options, firmware));
    refusals.extend(drive_refusals);
    if machine.is_this() {
        refusals.extend(missing_programs(&steps, host));
    }
    let destroys = destroyed(&deployment, machine);
    Plan { deployment, steps, destroys, refusals, firmware }
}

impl Plan {
    /// The plan of some stages alone.
    #[must_use]
    pub fn only(mut self, stages: &[Stage]) -> Self {
        self.steps.retain(|step| stages.contains(&step.stage));
        self.refusals.retain(|refusal| stages.contains(&refusal.stage));
        if !stages.contains(&Stage::Partition) {
            let targets: BTreeSet<_> = self.steps.iter().filter_map(Step::image_target).collect();
            self.destroys.retain(|content| targets.contains(&content.device));
        }
        self
    }

    /// The refusals that forbid any of these stages.
    pub fn refusals_of(&self, stages: &[Stage]) -> Vec<&Mistake> {
        let mut seen = BTreeSet::new();
        self.refusals
            .iter()
            .filter(|refusal| stages.contains(&refusal.stage))
            .map(|refusal| &refusal.mistake)
            .filter(|mistake| seen.insert(mistake.to_string()))
            .collect()
    }
}

impl Step {
    /// The command lines that it runs, as far as they are known before it runs.
    pub fn commands(&self) -> Vec<String> {
        self.calls().iter().map(ToString::to_string).collect()
    }

    fn calls(&self) -> Vec<Cmd> {
        match &self.action {
            Action::LayOut(disk) => disk.commands(),
            Action::Settle => vec![partitioning::settle()],
            Action::MakeConfigDrive(drive) => drive.commands.clone(),
            Action::WriteImage(image) => image.commands(),
            Action::InstallBoot(install) => bootloader::commands(&install.boot, install.family),
        }
    }

    /// The device that an image is written to, where the step does that.
    fn image_target(&self) -> Option<String> {
        match &self.action {
            Action::WriteImage(image) => Some(image.device()),
            _ => None,
        }
    }

    /// What does the same by hand where no command is run for it.
    pub fn by_hand(&self) -> Option<String> {
        let Action::WriteImage(image) = &self.action else { return None };
        let Request { uri, container, target, .. } = &image.request;
        let unpack = match container {
            Container::Raw => "",
            Container::Gzip => " | gunzip -c",
        };
        let fetch = if uri.contains("://") { format!("curl -fL '{uri}'") } else { format!("cat '{uri}'") };
        Some(format!("{fetch}{unpack} | dd of={} bs=1M conv=fsync", target.display()))
    }
}

fn layout_steps(deployment: &Deployment, machine: &Machine, firmware: Firmware) -> Vec<Step> {
    let scheme = &deployment.partition_scheme;
    let mut steps: Vec<_> = layout::disks(deployment, machine, firmware)
        .into_iter()
        .map(|disk| Step {
            stage: Stage::Partition,
            what: format!(
                "partition {} ({} partitions), make {} file systems",
                disk.gpt.disk,
                disk.gpt.partitions.len(),
                disk.file_systems.len()
            ),
            action: Action::LayOut(disk),
        })
        .collect();
    if !scheme.parteds.is_empty() {
        let what = "let udev see the new partitions".into();
        steps.push(Step { stage: Stage::Partition, what, action: Action::Settle });
    }
    steps
}

/// The config drive's step, and what forbids to make or to use one.
fn configdrive_step(
    deployment: &Deployment,
    options: &Options,
    host: &dyn Runner,
) -> (Option<Step>, Vec<Refusal>) {
    /// The partition's size where the layout has none: what the nailgun layout reserves.
    const USUAL: Mib = Mib(20);
    let Some(scheme) = &deployment.configdrive else { return (None, Vec::new()) };
    let path = &options.config_drive_path;
    let partition = deployment.partition_scheme.partitions().find(|partition| partition.configdrive);
    let max = partition.map_or(USUAL.bytes(), |partition| {
        Bytes(partition.end.bytes().0.saturating_sub(partition.begin.bytes().0))
    });
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
    let mut problem = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        problem = format!("{problem}: {cause}");
        source = cause.source();
    }
    let remedy = "mend it, or set prepare_configdrive=false and bring a ready-made one at config_drive_path";
    let mistake = Mistake::new("/configdrive", None, problem, remedy);
    stages.iter().map(|stage| Refusal { stage: *stage, mistake: mistake.clone() }).collect()
}

fn image_steps(deployment: &Deployment, options: &Options) -> Vec<Step> {
    let mount_point = options.tmp_path.join("grow");
    let partition = |target: &Path| {
        deployment.partition_scheme.partitions().find(|partition| Path::new(&partition.name) == target)
    };
    let write = |request: Request, grow, if_there| Step {
        stage: Stage::CopyImage,
        what: format!("write {} to {}", request.uri, request.target.display()),
        action: Action::WriteImage(WriteImage {
            place: partition(&request.target).map(Place::of),
            request,
            grow,
            mount_point: mount_point.clone(),
            if_there,
        }),
    };
    let mut steps: Vec<_> = deployment
        .image_scheme
        .iter()
        .filter_map(|image| Some(write(request(image)?, image.format.parse::<FsType>().ok(), false)))
        .collect();
    // A format without a config drive may still have a ready-made one written; none that is left over.
    let wanted = deployment.configdrive.is_some() || !options.prepare_configdrive;
    if let Some(device) = deployment.partition_scheme.configdrive_device().filter(|_| wanted) {
        let request = Request {
            uri: options.config_drive_path.to_string_lossy().into_owned(),
            container: Container::Raw,
            target: device.into(),
            size: None,
            md5: None,
            sha256: None,
            container_sha256: None,
        };
        steps.push(write(request, None, true));
    }
    steps
}

/// What is asked of the image stream; nothing where the container is none (which is refused).
fn request(image: &Image) -> Option<Request> {
    Some(Request {
        uri: image.uri.clone(),
        container: image.container.parse().ok()?,
        target: image.target_device.clone().into(),
        size: image.size,
        md5: image.md5.clone(),
        sha256: image.sha256.clone(),
        container_sha256: image.container_sha256.clone(),
    })
}

/// The programs that the steps start and this system lacks: better known now than between two of them.
fn missing_programs(steps: &[Step], host: &dyn Runner) -> Vec<Refusal> {
    let needed: BTreeSet<_> =
        steps.iter().flat_map(|step| step.calls().into_iter().map(|cmd| (step.stage, cmd.tool()))).collect();
    needed
        .into_iter()
        // Without entries in NVRAM the machine still boots, by the removable path.
        .filter(|(_, tool)| *tool != Tool::Efibootmgr && !host.has(*tool))
        .map(|(stage, tool)| {
            let Origin { program, deb, rpm } = tool.origin();
            let remedy = format!("install the package {deb} (rpm: {rpm}) into the ramdisk");
            let problem = "this program is not in PATH";
            Refusal { stage, mistake: Mistake::new("this system", Some(&program.into()), problem, remedy) }
        })
        .collect()
}

/// What lies on the disks that get a new table.
fn destroyed(deployment: &Deployment, machine: &Machine) -> Vec<Content> {
    let scheme = &deployment.partition_scheme;
    if deployment.skip_partitioning {
        return Vec::new();
    }
    let named: BTreeSet<_> = scheme.parteds.iter().map(|parted| parted.name.as_str()).collect();
    machine.contents.iter().filter(|content| named.contains(content.disk.as_str())).cloned().collect()
}
