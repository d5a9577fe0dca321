//! What each step of a plan does.

pub mod backup;
pub mod bootloader;
pub mod configdrive;
pub mod copyimage;
pub mod folder;
pub mod holdoff;
pub mod keep;
pub mod mounted;
pub mod moved;
pub mod partitioning;
pub mod place;
pub mod teardown;
pub mod volumes;
