//! `bareon-build-image`: its commands and arguments.

use clap::{Arg, ArgAction};

use super::{
    options::Of,
    program::{About, Program},
    words::Words,
};

/// What the program is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Build {
    /// To build images, or a bootstrap ramdisk, as the data driver reads the document.
    Run {
        /// Anew, where all is there already.
        force: bool,
    },
    /// To show what would be built.
    Plan {
        /// Anew, where all is there already.
        force: bool,
    },
    /// To show the JSON schema of the input of the data driver in the settings.
    Schema,
    /// To list the data drivers.
    Drivers,
}

/// The program.
#[derive(Debug)]
pub struct Builder;

const ABOUT: About = About {
    name: "bareon-build-image",
    of: Of::Build,
    does: "Builds images of operating systems, and the bootstrap ramdisk, from one input document",
    does_in_full: "Builds images of operating systems, and the bootstrap ramdisk, from one input document: an operating \
         system of Debian or Ubuntu is made of repositories and a list of packages, and packed into the files that \
         bareon-provision writes, with their metadata. Where all files are there already, nothing is done.",
    commands: &[
        ("build", "Build the images; the same as no command"),
        ("mkbootstrap", "Build the bootstrap ramdisk"),
        ("plan", "Show what a build would do, and touch nothing"),
        ("schema", "Print the JSON schema of the data driver's input"),
        ("drivers", "List the data drivers"),
    ],
    names: &[("bareon-mkbootstrap", "mkbootstrap"), ("fa_mkbootstrap", "mkbootstrap")],
    driver: "nailgun_build_image",
    drivers: &[("mkbootstrap", "bootstrap_build_image")],
    sections: &[
        (
            "NAMES",
            "Called as bareon\\-mkbootstrap or fa_mkbootstrap, the program does the command mkbootstrap; called as \
             fa_build_image, it builds images.",
        ),
        ("FILES", "/etc/bareon/bareon.conf"),
    ],
};

impl Program for Builder {
    const ABOUT: &'static About = &ABOUT;

    type Command = Build;

    fn everywhere(command: clap::Command) -> clap::Command {
        let switch =
            |name: &'static str, help| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
        command
            .arg(switch(
                "dry-run",
                "Show what would be done, and touch nothing; the same as the command plan",
            ))
            .arg(switch("json", "Answer in JSON (plan, schema, drivers)"))
            .arg(switch("force", "Build anew what is there already"))
    }

    fn single(program: clap::Command) -> clap::Command {
        program
    }

    fn command(words: &Words<'_>) -> Result<Build, &'static str> {
        let (dry_run, force) = (words.switch("dry-run"), words.switch("force"));
        let command = match words.command() {
            Some("plan") => Build::Plan { force },
            Some("schema") => Build::Schema,
            Some("drivers") => Build::Drivers,
            _ if dry_run => Build::Plan { force },
            _ => Build::Run { force },
        };
        if force && matches!(command, Build::Schema | Build::Drivers) {
            return Err("--force only goes with build and mkbootstrap");
        }
        Ok(command)
    }

    fn runs(command: &Build) -> bool {
        matches!(command, Build::Run { .. })
    }

    fn apart(command: &Build) -> bool {
        Self::runs(command)
    }
}
