//! The command line: from arguments to a call of the application, and from its end to a status.
//!
//! Arguments, environment and configuration file become [`Settings`] ([`options`] holds the one
//! table they all come from); then the log is set up, signals are caught, the application is
//! called with an [`Invocation`] and a [`Context`], and what came of it is told: on standard error,
//! in the log, in the report, and as the exit status.

mod args;
mod config;
pub mod failure;
mod generate;
mod ironic_callback;
mod log;
pub mod options;
mod output;
pub mod progress;
pub mod report;
mod run;
mod settings;
mod signals;
mod syslog;
pub mod value;

use std::path::PathBuf;

pub use failure::Failure;
pub use options::Settings;
pub use run::main;

/// What the program is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// To run a stage, or all of them.
    Run(Stage),
    /// To show what a run of a stage, or of all, would do.
    Plan(Stage),
    /// To look whether what is installed would boot.
    AuditBoot,
    /// To show the block devices as the matcher sees them.
    Hardware,
    /// To show which disk of the machine each disk of the input is, and why.
    ExplainDisk,
    /// To show the JSON schema of the input of the data driver in the settings.
    Schema,
    /// To list the data drivers.
    Drivers,
    /// To put back the metadata that a run saved.
    Undo {
        /// To show what that would be, and write nothing.
        dry_run: bool,
        /// To put back the rest where data was written over.
        force: bool,
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

/// What the program was called to do, with all that was given.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// The options' values.
    pub settings: Settings,
    /// Hardware recorded elsewhere, in place of this machine's (only to plan).
    pub hardware: Option<PathBuf>,
    /// Image metadata recorded elsewhere, in place of what the server has (only to plan).
    pub image_metadata: Option<PathBuf>,
    /// The id that the plan must have to be run.
    pub plan_id: Option<String>,
    /// The backup that is put back.
    pub backup: Option<PathBuf>,
    /// Whether the answer is to be JSON.
    pub json: bool,
}

/// What the application is given to tell of its work.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where steps, commands and images are noted.
    pub report: report::Report,
    /// Where progress is shown.
    pub bars: progress::Bars,
}

impl Context {
    /// Writes `text` to standard output. A reader that went away is no failure.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn print(&self, text: &str) -> Result<(), Failure> {
        self.bars.beside(|| output::print(text))
    }
}

/// What the command line calls once all is set up.
pub type App = fn(&Invocation, &Context) -> Result<(), Failure>;
