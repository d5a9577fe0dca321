//! Why a run failed, as it is told to people and to programs.

use std::{error::Error, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{audit::Finding, chain::chain, drivers::Mistake};

/// What ended a run before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The reason with all its causes, outermost first.
    pub message: String,
    /// The mistakes of the input document, where that is the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
    /// What the audit of the installed system found, where that is the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

impl Failure {
    /// A failure with `message` and nothing else.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), mistakes: Vec::new(), findings: Vec::new() }
    }

    /// The input document cannot be read.
    pub fn of_input(mistakes: impl IntoIterator<Item = Mistake>) -> Self {
        Self::new("the input document has mistakes").with_mistakes(mistakes)
    }

    /// Adds the mistakes of the input document.
    #[must_use]
    pub fn with_mistakes(mut self, mistakes: impl IntoIterator<Item = Mistake>) -> Self {
        self.mistakes.extend(mistakes);
        self
    }

    /// Adds what the audit found.
    #[must_use]
    pub fn with_findings(mut self, findings: impl IntoIterator<Item = Finding>) -> Self {
        self.findings.extend(findings);
        self
    }
}

impl<E: Error> From<E> for Failure {
    /// The error and all its sources in one line.
    fn from(error: E) -> Self {
        Self::new(chain(&error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for mistake in &self.mistakes {
            write!(f, "\n  {mistake}")?;
        }
        for finding in self.findings.iter().filter(|finding| finding.is_error()) {
            write!(f, "\n  {finding}")?;
        }
        Ok(())
    }
}
