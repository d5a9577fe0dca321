//! What a program was called with, as its application asks for it.

use std::path::PathBuf;

use clap::ArgMatches;

/// What was read: before the command's name, and after it.
pub struct Words<'a> {
    outer: &'a ArgMatches,
    inner: Option<(&'a str, &'a ArgMatches)>,
}

impl<'a> Words<'a> {
    /// What a program was called with.
    pub fn of(matches: &'a ArgMatches) -> Self {
        Self { outer: matches, inner: matches.subcommand() }
    }

    fn both(&self) -> impl Iterator<Item = &'a ArgMatches> {
        self.inner.map(|(_, inner)| inner).into_iter().chain([self.outer])
    }

    /// The command's name, where one was given.
    pub fn command(&self) -> Option<&'a str> {
        self.inner.map(|(name, _)| name)
    }

    /// Whether a switch was given.
    pub fn switch(&self, id: &str) -> bool {
        self.both().any(|matches| matches.try_get_one::<bool>(id).ok().flatten() == Some(&true))
    }

    /// The path that was given, the later one where there are two.
    pub fn path(&self, id: &str) -> Option<PathBuf> {
        self.both().find_map(|matches| matches.try_get_one::<PathBuf>(id).ok().flatten().cloned())
    }

    /// The text that was given, the later one where there are two.
    pub fn text(&self, id: &str) -> Option<String> {
        self.both().find_map(|matches| matches.try_get_one::<String>(id).ok().flatten().cloned())
    }
}
