//! The boot loader.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The boot loader and what it starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Grub {
    /// 1 for GRUB legacy (0.97), 2 for GRUB 2; by the operating system where not given.
    pub version: Option<u8>,
    /// Parameters of the kernel's command line.
    pub kernel_params: String,
    /// Which kernels may be booted (a Python regular expression on the file name).
    pub kernel_regexp: Option<String>,
    /// Which initramfs may be booted.
    pub initrd_regexp: Option<String>,
    /// The kernel's file name.
    pub kernel_name: Option<String>,
    /// The initramfs' file name.
    pub initrd_name: Option<String>,
}
