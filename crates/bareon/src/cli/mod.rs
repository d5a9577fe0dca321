//! The command line: from arguments to a call of the application, and from its end to a status.
//!
//! Arguments, environment and configuration file become [`Settings`] ([`options`] holds the one
//! table they all come from); then the log is set up, signals are caught, the application is
//! called with an [`Invocation`] and a [`Context`], and what came of it is told: on standard error,
//! in the log, in the report, and as the exit status. There are two programs, [`Provision`] and [`Builder`], with
//! commands and options of their own; a [`Program`] is what differs between them.

mod args;
mod build;
mod config;
pub mod failure;
mod generate;
pub(crate) mod ironic_callback;
mod log;
pub mod options;
mod output;
mod program;
pub mod progress;
mod provision;
pub mod report;
mod run;
mod settings;
mod signals;
mod syslog;
pub mod value;
mod words;

use serde_json::Value;

pub use build::{Build, Builder};
pub use failure::Failure;
pub use options::Settings;
pub use program::Program;
pub use provision::{Command, Provision, Stage};
pub use run::main;

/// What the program was called to do, with all that was given. `C` are the commands of the program.
#[derive(Debug, Clone)]
pub struct Invocation<C = Command> {
    /// What to do.
    pub command: C,
    /// The options' values.
    pub settings: Settings,
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

    /// Writes an answer to standard output, in the form that was asked for.
    ///
    /// # Errors
    /// When standard output cannot be written to.
    pub fn answer(&self, json: bool, value: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let text = if json { format!("{value:#}\n") } else { text() };
        self.print(&text)
    }
}

/// What the command line calls once all is set up.
pub type App<C> = fn(&Invocation<C>, &Context) -> Result<(), Failure>;
