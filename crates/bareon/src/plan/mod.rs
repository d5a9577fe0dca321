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
//! - `keep`: what stays, compared with what is there
//! - `volumes`: what is built on partitions, in its order, and how it fits
//! - `backup`: what is saved of the disks before; `teardown`: what goes of what lies on the disks
//! - `images`, `moved`, `drive`, `boot`: what is written, what is moved of it, the config drive, where the boot loader goes
//! - `show`: a plan for people; `json`: a plan for programs; `id`: whether two plans are the same

mod backup;
mod boot;
mod boot_storage;
mod checks;
mod contradictions;
mod drive;
mod id;
mod images;
mod json;
mod keep;
mod layout;
mod moved;
mod show;
mod step;
mod teardown;
#[cfg(test)]
mod tests;
mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
};

use bareon_host::{Runner, Tool, tool::Origin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use step::{Action, InstallBoot, MakeConfigDrive, Step};

use crate::{
    audit::OnError,
    drivers::{Deployment, Mistake},
    hardware::{Identity, Machine, content::Content},
    objects::{Bytes, partition::Kept},
    steps::bootloader::{BootOrder, Firmware},
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

    /// Those that write to disks of the layout.
    pub const WRITING: [Self; 3] = [Self::Partition, Self::CopyImage, Self::Bootloader];

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
#[expect(clippy::struct_excessive_bools, reason = "they are settings, each by its name")]
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
    /// What errors of the audit do to the run.
    pub audit_boot: OnError,
    /// Where the metadata of the disks is saved before they are laid out; nothing: it is not.
    pub backup_dir: Option<PathBuf>,
    /// Whether disks that belong to firmware RAID are refused, not taken out of it.
    pub skip_md_containers: bool,
    /// Whether images are written of which no sum is known.
    pub allow_unverified: bool,
    /// Where an image is kept that must be whole before it is unpacked; nothing: in memory.
    pub download_dir: Option<PathBuf>,
    /// How much memory images may take.
    pub memory_limit: Bytes,
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
    /// Who the disks of the layout are, by their nodes.
    pub disks: BTreeMap<String, Identity>,
    /// Where backups are, in which is noted what is written over.
    pub backup_dir: Option<PathBuf>,
}

/// Makes the plan. The machine is looked at, nothing is written.
pub fn plan(deployment: Deployment, machine: &Machine, options: &Options, host: &dyn Runner) -> Plan {
    let firmware = options.firmware.unwrap_or(if machine.uefi { Firmware::Uefi } else { Firmware::Bios });
    let mut steps = Vec::new();
    let kept = keep::kept(&deployment);
    steps.extend(keep::check(&deployment, machine, &kept));
    let saved = options.backup_dir.as_deref().and_then(|dir| backup::plan(&deployment, machine, dir));
    steps.extend(saved.map(|save| Step {
        stage: Stage::Partition,
        what: save.what(),
        action: Action::SaveMetadata(save),
    }));
    let down = teardown::plan(&deployment, machine, options.skip_md_containers);
    steps.extend(down.step.map(|down| Step {
        stage: Stage::Partition,
        what: down.what(),
        action: Action::TearDown(down),
    }));
    steps.extend(layout_steps(&deployment, machine, firmware, &kept));
    let (drive, drive_refusals) = drive::step(&deployment, machine, options, host);
    steps.extend(drive);
    steps.extend(images::steps(&deployment, machine, options));
    steps.extend(moved::steps(&deployment, machine, options, firmware));
    steps.extend(boot::install(&deployment, machine, options, firmware).map(|install| Step {
        stage: Stage::Bootloader,
        what: boot::what(&install.boot),
        action: Action::InstallBoot(Box::new(install)),
    }));
    let mut refusals = checks::refusals(&deployment, machine, firmware, options.allow_unverified);
    refusals.extend(keep::refusals(&deployment, machine, firmware));
    refusals.extend(contradictions::refusals(&deployment, options, firmware));
    refusals.extend(drive_refusals);
    refusals.extend(down.refusals);
    if machine.is_this() {
        refusals.extend(missing_programs(&steps, host));
    }
    let destroys = destroyed(&deployment, machine, &kept, &steps);
    let disks = identities(&deployment, machine);
    Plan { deployment, steps, destroys, refusals, firmware, disks, backup_dir: options.backup_dir.clone() }
}

impl Plan {
    /// The plan of some stages alone.
    #[must_use]
    pub fn only(mut self, stages: &[Stage]) -> Self {
        self.steps.retain(|step| stages.contains(&step.stage));
        self.refusals.retain(|refusal| stages.contains(&refusal.stage));
        if !stages.contains(&Stage::Partition) {
            let targets: BTreeSet<_> = self.steps.iter().flat_map(Step::image_targets).collect();
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

/// Who the disks of the layout are, as far as that is known.
fn identities(deployment: &Deployment, machine: &Machine) -> BTreeMap<String, Identity> {
    let disks = deployment.partition_scheme.parteds.iter();
    disks
        .filter_map(|parted| Some((parted.name.clone(), machine.device(&parted.name)?.identity.clone()?)))
        .collect()
}

fn layout_steps(deployment: &Deployment, machine: &Machine, firmware: Firmware, kept: &Kept) -> Vec<Step> {
    let scheme = &deployment.partition_scheme;
    let mut steps: Vec<_> = layout::disks(deployment, machine, firmware, kept)
        .into_iter()
        .map(|disk| Step { stage: Stage::Partition, what: layout::what(&disk), action: Action::LayOut(disk) })
        .collect();
    steps.extend(volumes::steps(deployment, machine, kept));
    if !scheme.parteds.is_empty() {
        let what = "let udev see what was made".into();
        steps.push(Step { stage: Stage::Partition, what, action: Action::Settle });
    }
    steps
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

/// What is lost of what lies on the disks: all that is not kept where a table is written; where none is, what a file
/// system or an image is written over.
fn destroyed(deployment: &Deployment, machine: &Machine, kept: &Kept, steps: &[Step]) -> Vec<Content> {
    let scheme = &deployment.partition_scheme;
    let written: BTreeSet<_> = steps.iter().flat_map(Step::written).collect();
    if deployment.skip_partitioning {
        let lost = |content: &&Content| content.kind.is_some() && written.contains(&content.device);
        return machine.contents.iter().filter(lost).cloned().collect();
    }
    let named: BTreeSet<_> = scheme.parteds.iter().map(|parted| parted.name.as_str()).collect();
    let changed = |disk: &str| scheme.partitions().any(|part| part.device == disk && kept.device(&part.name));
    machine
        .contents
        .iter()
        .filter(|content| named.contains(content.disk.as_str()) && !kept.device(&content.device))
        .filter(|content| content.device != content.disk || !changed(&content.disk))
        .filter(|content| {
            // Of what lies on kept devices only that goes which is written.
            !content.stacked
                || written.contains(&content.device)
                || !machine.stack.below(&content.device).iter().any(|below| kept.device(below))
        })
        .cloned()
        .collect()
}
