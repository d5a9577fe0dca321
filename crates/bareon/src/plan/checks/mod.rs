//! What is refused before the first byte is written.
//!
//! Each check adds its refusals; none stops the others, so that all are told at once. A refusal names
//! the place in the input, or in the objects as `plan --json` shows them where the driver noted none.

mod boot_loader;
mod disks;
pub(super) mod file_systems;
mod images;
mod volumes;

use serde_json::Value;

use super::{Refusal, Stage, keep, layout};
use crate::{
    drivers::{Deployment, Mistake},
    hardware::Machine,
    objects::partition::Kept,
    steps::bootloader::Firmware,
};

/// All refusals.
pub(super) fn refusals(
    deployment: &Deployment,
    machine: &Machine,
    firmware: Firmware,
    allow_unverified: bool,
) -> Vec<Refusal> {
    let kept = keep::kept(deployment);
    let mut checks = Checks { deployment, machine, firmware, allow_unverified, kept, refusals: Vec::new() };
    checks.deferred();
    checks.disks();
    checks.volumes();
    checks.file_systems();
    checks.images();
    checks.boot_loader();
    checks.refusals
}

struct Checks<'a> {
    deployment: &'a Deployment,
    machine: &'a Machine,
    firmware: Firmware,
    allow_unverified: bool,
    kept: Kept,
    refusals: Vec<Refusal>,
}

impl Checks<'_> {
    /// Where in the input an object stands.
    fn place(&self, path: &str) -> String {
        self.deployment.origins.of(path)
    }

    fn refuse(&mut self, stages: &[Stage], path: &str, value: &str, problem: &str, remedy: &str) {
        let value = Some(Value::from(value)).filter(|_| !value.is_empty());
        let mistake = Mistake::new(self.place(path), value.as_ref(), problem, remedy);
        self.refusals.extend(stages.iter().map(|stage| Refusal { stage: *stage, mistake: mistake.clone() }));
    }

    /// What the driver found and left to the run to refuse.
    fn deferred(&mut self) {
        for mistake in &self.deployment.deferred {
            let refusal = |stage: &Stage| Refusal { stage: *stage, mistake: mistake.clone() };
            self.refusals.extend(Stage::ALL.iter().map(refusal));
        }
    }
}

#[cfg(test)]
mod tests;
