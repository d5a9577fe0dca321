//! `bareon-provision`: its commands and arguments.

use std::path::PathBuf;

use clap::{Arg, ArgAction};

use super::{
    options::Of,
    program::{About, Program},
    words::Words,
};

/// What the program is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// To run a stage, or all of them.
    Run {
        /// Which.
        stage: Stage,
        /// The id that the plan must have.
        plan_id: Option<String>,
    },
    /// To show what a run of a stage, or of all, would do.
    Plan {
        /// Which.
        stage: Stage,
        /// Hardware recorded elsewhere, in place of this machine's.
        hardware: Option<PathBuf>,
        /// Image metadata recorded elsewhere, in place of what the server has.
        image_metadata: Option<PathBuf>,
    },
    /// To look whether what is installed would boot.
    AuditBoot,
    /// To show the block devices as the matcher sees them.
    Hardware,
    /// To show which disk of the machine each disk of the input is, and why.
    ExplainDisk {
        /// Hardware recorded elsewhere, in place of this machine's.
        hardware: Option<PathBuf>,
    },
    /// To show the JSON schema of the input of the data driver in the settings.
    Schema,
    /// To list the data drivers.
    Drivers,
    /// To put back the metadata that a run saved.
    Undo {
        /// The backup that is put back.
        backup: PathBuf,
        /// To show what that would be, and write nothing.
        dry_run: bool,
        /// To put back the rest where data was written over.
        force: bool,
    },
    /// To tell Ironic that the ramdisk is up.
    IronicCallback {
        /// The file with the kernel's command line.
        kernel_command_line: PathBuf,
    },
}

/// A part of provisioning that can run alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// All, one after the other.
    All,
    /// Partitions and file systems.
    Partition,
    /// The config drive.
    ConfigDrive,
    /// The images.
    CopyImage,
    /// The boot loader.
    BootLoader,
}

/// The program.
#[derive(Debug)]
pub struct Provision;

const ABOUT: About = About {
    name: "bareon-provision",
    of: Of::Provision,
    does: "Provisions the machine it runs on from one input document",
    does_in_full: "Provisions the machine it runs on from one input document. Without a command it does all: \
         partitions, config drive, images and boot loader.",
    commands: &[
        ("partition", "Make partitions and file systems"),
        ("configdrive", "Make the config drive"),
        ("copyimage", "Write the images, and the config drive where there is one"),
        ("bootloader", "Install the boot loader"),
        ("audit-boot", "Look whether what is installed would boot, and touch nothing"),
        ("plan", "Show what a run would do, and touch nothing"),
        ("apply", "Do what was shown as the plan with that --plan-id, and nothing else"),
        ("hardware", "Show the block devices as input documents are matched to them"),
        ("explain-disk", "Show which disk of the machine each disk of the input is, and why no other"),
        ("schema", "Print the JSON schema of the data driver's input"),
        ("drivers", "List the data drivers"),
        ("undo", "Put back the tables and other metadata that a run saved before it overwrote them"),
        ("ironic-callback", "Tell Ironic that this ramdisk is up"),
    ],
    names: &[
        ("bareon-partition", "partition"),
        ("bareon-configdrive", "configdrive"),
        ("bareon-copyimage", "copyimage"),
        ("bareon-bootloader", "bootloader"),
        ("bareon-ironic-callback", "ironic-callback"),
    ],
    driver: "nailgun",
    drivers: &[],
    sections: &[
        (
            "NAMES",
            "Called as bareon\\-partition, bareon\\-configdrive, bareon\\-copyimage, bareon\\-bootloader or \
             bareon\\-ironic\\-callback, the program does that command; called as provision, everything.",
        ),
        (
            "FILES",
            "/etc/bareon/bareon.conf, /usr/lib/bareon/drivers, /usr/share/bareon/cloud\\-init\\-templates",
        ),
    ],
};

impl Program for Provision {
    const ABOUT: &'static About = &ABOUT;

    type Command = Command;

    fn everywhere(command: clap::Command) -> clap::Command {
        let switch =
            |name: &'static str, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
        let file = |name: &'static str, help| {
            let parser = clap::value_parser!(PathBuf);
            Arg::new(name).long(name).value_name("PATH").value_parser(parser).help(help)
        };
        command
            .arg(switch(
                "dry-run",
                "Show what would be done, and touch nothing; the same as the command plan",
            ))
            .arg(switch("json", "Answer in JSON (plan, audit-boot, hardware, explain-disk, schema, drivers)"))
            .arg(file("hardware", "Plan for the hardware in this file, which `hardware --json` recorded"))
            .arg(file("image-metadata", "Plan with this image metadata, in place of the server's"))
            .arg(
                Arg::new("plan-id")
                    .long("plan-id")
                    .value_name("ID")
                    .help("Run only if the plan still has this id, which `plan` showed"),
            )
    }

    fn single(program: clap::Command) -> clap::Command {
        let path = Arg::new("kernel-command-line")
            .long("kernel-command-line")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .default_value("/proc/cmdline")
            .hide(true);
        let backup = Arg::new("backup")
            .long("backup")
            .value_name("DIR")
            .required(true)
            .value_parser(clap::value_parser!(PathBuf))
            .help("The folder of the run in its backup_dir; the report names it, too");
        let force = Arg::new("force").long("force").action(ArgAction::SetTrue).help(
            "Where data was written over since, put back what no such step met; without it, nothing is",
        );
        program
            .mut_subcommand("ironic-callback", |command| command.arg(path))
            .mut_subcommand("undo", |command| command.arg(backup).arg(force))
    }

    fn command(words: &Words<'_>) -> Result<Command, &'static str> {
        let (hardware, image_metadata) = (words.path("hardware"), words.path("image-metadata"));
        let (plan_id, dry_run) = (words.text("plan-id"), words.switch("dry-run"));
        let run = |stage| {
            let (hardware, image_metadata) = (hardware.clone(), image_metadata.clone());
            if dry_run || words.command() == Some("plan") {
                Command::Plan { stage, hardware, image_metadata }
            } else {
                Command::Run { stage, plan_id: plan_id.clone() }
            }
        };
        let command = match words.command() {
            Some("partition") => run(Stage::Partition),
            Some("configdrive") => run(Stage::ConfigDrive),
            Some("copyimage") => run(Stage::CopyImage),
            Some("bootloader") => run(Stage::BootLoader),
            Some("audit-boot") => Command::AuditBoot,
            Some("hardware") => Command::Hardware,
            Some("explain-disk") => Command::ExplainDisk { hardware: hardware.clone() },
            Some("schema") => Command::Schema,
            Some("drivers") => Command::Drivers,
            Some("undo") => Command::Undo {
                backup: words.path("backup").unwrap_or_default(),
                dry_run,
                force: words.switch("force"),
            },
            Some("ironic-callback") => Command::IronicCallback {
                kernel_command_line: words.path("kernel-command-line").unwrap_or_default(),
            },
            _ => run(Stage::All),
        };
        let (plans, explains) =
            (matches!(command, Command::Plan { .. }), matches!(command, Command::ExplainDisk { .. }));
        if !plans && !explains && hardware.is_some() {
            Err("--hardware only goes with the commands plan and explain-disk, or with --dry-run")
        } else if !plans && image_metadata.is_some() {
            Err("--image-metadata only goes with the command plan, or with --dry-run")
        } else if plan_id.is_some() && !matches!(command, Command::Run { .. }) {
            Err("--plan-id only goes with apply and the commands that run a stage")
        } else if words.command() == Some("apply") && plan_id.is_none() {
            Err("apply needs --plan-id, with the id that `plan` showed")
        } else if dry_run && matches!(command, Command::IronicCallback { .. }) {
            Err("ironic-callback has no --dry-run")
        } else {
            Ok(command)
        }
    }

    fn runs(command: &Command) -> bool {
        matches!(command, Command::Run { .. } | Command::IronicCallback { .. })
    }
}
