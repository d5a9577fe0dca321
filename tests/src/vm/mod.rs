//! Virtual machines for the tests and the quick start: a bare machine is started into a ramdisk, provisioned there, and
//! booted from its own disk.
//!
//! ```text
//! assets ── ramdisk, image, program     http ── serves the job and the image, fails on demand
//!    │                                   │
//!    └──► machine (disks, firmware) ──► job (in the ramdisk) ──► boot (from the disk, asked over ssh)
//! ```

pub mod assets;
pub mod boot;
pub mod by_hand;
pub mod disk;
pub mod document;
pub mod found;
pub mod http;
pub mod job;
pub mod machine;
pub mod process;
pub mod scheme;
