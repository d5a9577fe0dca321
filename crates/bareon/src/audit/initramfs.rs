//! The initramfs, opened: whether it wakes up what the root file system lies on.
//!
//! The boot loader's stage opens it, too, and fails where it lacks something; so only the audit that runs on its own
//! does it here.

use bareon_host::Runner;

use super::{Check, Finding, devices::Devices};
use crate::{
    hardware::usage::Kernel,
    steps::bootloader::{
        Boot, BootError,
        early::{self, Needs},
        inroot::Root,
    },
};

const PLACE: &str = "/boot";

/// What the initramfs of the kernels lack, and what they name that is none of this machine's.
pub fn check(
    host: &dyn Runner,
    boot: &Boot,
    root: &Root,
    devices: &Devices,
    kernel: &Kernel,
) -> Vec<Finding> {
    match look(host, boot, root, devices, kernel) {
        Ok(found) => found,
        // The configuration names kernels that are not there: that is told already.
        Err(BootError::NoKernel) => Vec::new(),
        Err(error) => {
            vec![Finding::error(Check::Initramfs, PLACE, error.to_string(), "mend that, and look again")]
        }
    }
}

fn look(
    host: &dyn Runner,
    boot: &Boot,
    root: &Root,
    devices: &Devices,
    kernel: &Kernel,
) -> Result<Vec<Finding>, BootError> {
    let arrays = boot.storage.uuids(host, kernel)?;
    let uuids = devices.ours().map(|device| device.uuid().to_owned());
    let early = boot.mounts.iter().filter(|mount| matches!(mount.mount.as_str(), "/" | "/usr"));
    let types: Vec<_> =
        early.filter_map(|mount| devices.at(&mount.device)).map(super::devices::Device::kind).collect();
    let (lacks, told) = early::look(root, &Needs::new(boot, &arrays, uuids, &types, kernel))?;
    let remedy = "run `bareon-provision bootloader`, which makes it anew where it has to";
    let lacks = lacks.into_iter().map(|lack| Finding::error(Check::Initramfs, PLACE, lack, remedy));
    let told = told.into_iter().map(|told| Finding::warning(Check::Initramfs, PLACE, told, remedy));
    Ok(lacks.chain(told).collect())
}
