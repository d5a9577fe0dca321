//! What a deployment consists of, whatever format it was written in.
//!
//! Data drivers make these values from an input document; nothing after them knows the document.
//! As JSON they have the shape that `plan --json` prints and that drivers installed on their own
//! answer with.

pub mod build;
pub mod configdrive;
pub mod grub;
pub mod image;
pub mod os;
pub mod partition;
pub mod size;

pub use build::{Bootstrap, BuildScheme, Repo};
pub use configdrive::{CloudInit, ConfigDriveScheme};
pub use grub::Grub;
pub use image::{Image, ImageScheme};
pub use os::OperatingSystem;
pub use partition::PartitionScheme;
pub use size::{Bytes, Mib};
