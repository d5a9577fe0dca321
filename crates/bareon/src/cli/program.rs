//! What differs between the programs: their names, commands and arguments. All else of the command line is the same.

use super::{options::Of, words::Words};

/// What is told of a program.
#[derive(Debug)]
pub struct About {
    /// Its name in usage, manual and completions.
    pub name: &'static str,
    /// Which of the options it has.
    pub of: Of,
    /// What it does, in one line.
    pub does: &'static str,
    /// What it does, in full.
    pub does_in_full: &'static str,
    /// Its commands beside those that every program has, with what they do.
    pub commands: &'static [(&'static str, &'static str)],
    /// The names under which it does one command.
    pub names: &'static [(&'static str, &'static str)],
    /// The data driver where nobody names one.
    pub driver: &'static str,
    /// The same for single commands.
    pub drivers: &'static [(&'static str, &'static str)],
    /// Sections of its manual: heading and text, in roff.
    pub sections: &'static [(&'static str, &'static str)],
}

impl About {
    /// The data driver of a command where nobody names one.
    pub fn driver_of(&self, command: Option<&str>) -> &'static str {
        let own = self.drivers.iter().find(|(name, _)| Some(*name) == command);
        own.map_or(self.driver, |(_, driver)| driver)
    }
}

/// A program.
pub trait Program {
    /// What is told of it.
    const ABOUT: &'static About;

    /// What its application can be called to do.
    type Command;

    /// Adds the arguments that only this program has, to each of its commands and to the program itself.
    fn everywhere(command: clap::Command) -> clap::Command;

    /// Adds the arguments that only single commands have.
    fn single(program: clap::Command) -> clap::Command;

    /// What the arguments ask for.
    ///
    /// # Errors
    /// With a message where they contradict: what would be ignored is refused.
    fn command(words: &Words<'_>) -> Result<Self::Command, &'static str>;

    /// Whether the command does something, and answers nothing.
    fn runs(command: &Self::Command) -> bool;

    /// Whether the command is done by the same program, started again in namespaces of its own
    /// ([`bareon_host::namespace`]).
    fn apart(_command: &Self::Command) -> bool {
        false
    }
}
