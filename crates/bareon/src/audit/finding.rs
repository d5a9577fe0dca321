//! What the audit finds.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The machine would not boot, or not with one of its boot disks gone.
    Error,
    /// It would boot, though not as it was meant to.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Error { "error" } else { "warning" })
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The boot loader in the first sectors of a disk.
    BootCode,
    /// An EFI system partition.
    Esp,
    /// The boot loader's configuration, with the kernels and initramfs that it names.
    GrubCfg,
    /// What the initramfs holds.
    Initramfs,
    /// `/etc/fstab`.
    Fstab,
    /// `mdadm.conf`.
    Arrays,
    /// `/etc/crypttab`.
    Crypttab,
    /// UUIDs, labels and names of groups that are there twice.
    Names,
    /// The console of the installed system.
    Console,
    /// The firmware's boot entries.
    Nvram,
}

/// A system that would not boot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the installed system would not boot as it is ({} errors): mend that, or set audit_boot=warn to be told only",
    .0.iter().filter(|finding| finding.is_error()).count()
)]
pub struct Unbootable(pub Vec<Finding>);

impl Unbootable {
    /// Passes findings of which none is an error.
    ///
    /// # Errors
    /// When one is.
    pub fn unless_clean(findings: &[Finding]) -> Result<(), Self> {
        if findings.iter().any(Finding::is_error) { Err(Self(findings.to_vec())) } else { Ok(()) }
    }
}

/// Something that keeps the machine from booting as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at.
    pub check: Check,
    /// Where: a device, or a file as the installed system names it.
    pub place: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    /// Something that keeps the machine from booting.
    pub fn error(
        check: Check,
        place: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (place, problem, remedy) = (place.into(), problem.into(), remedy.into());
        Self { severity: Severity::Error, check, place, problem, remedy }
    }

    /// Something that is worth knowing.
    pub fn warning(
        check: Check,
        place: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { severity: Severity::Warning, ..Self::error(check, place, problem, remedy) }
    }

    /// Whether it fails an audit.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.problem, self.remedy)
    }
}
