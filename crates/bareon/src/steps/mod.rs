//! What each step of a plan does.

pub mod bootloader;
pub mod configdrive;
