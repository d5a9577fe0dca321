//! The system that runs now: the firmware and the console of this machine, as the kernel shows them.

use std::fs;

use bareon_host::efibootmgr::Nvram;

use crate::hardware::usage::Kernel;

/// UEFI's variable that says whether signatures are checked; four bytes of attributes stand before its value.
const SECURE_BOOT: &str = "firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/// What the checks compare the installed system with.
#[derive(Debug, Clone, Default)]
pub struct Running {
    /// The kernel's command line.
    pub cmdline: String,
    /// Whether the firmware starts signed programs only.
    pub secure_boot: bool,
    /// The firmware's boot entries, where they can be read.
    pub nvram: Option<Nvram>,
}

impl Running {
    /// Reads what the kernel shows; what it does not show is taken to be off.
    pub fn read(kernel: &Kernel, nvram: Option<Nvram>) -> Self {
        let cmdline = fs::read_to_string(kernel.proc.join("cmdline")).unwrap_or_default();
        let secure_boot = fs::read(kernel.sys.join(SECURE_BOOT)).is_ok_and(|value| value.get(4) == Some(&1));
        Self { cmdline, secure_boot, nvram }
    }
}
