//! Building images and the bootstrap ramdisk.
//!
//! input document → data driver → [`BuildScheme`](crate::objects::BuildScheme) → plan → steps → host
//!
//! A build makes one **tree**, the root of an operating system, and packs it into files.
//!
//! - The tree is made by a bootstrapper (debootstrap or mmdebstrap) from the first repository, and apt, run in the tree,
//!   installs the rest from all of them. Nothing of the build host is left in it.
//! - Packing needs no mount where the file-system tools can fill a file by themselves; so the same tree gives the same
//!   bytes.
//! - Files appear under their final names when all are whole; the metadata, which tells nodes of them, is the last.
//!
//! # Nothing leaks
//!
//! The whole build runs in a process, mount and (without root) user namespace of its own. However it ends, SIGKILL
//! included, the kernel ends all of its processes and takes its mounts down with it; loop devices, used for file systems
//! that only the kernel can fill, free themselves with their mount. What is left on the disk is one working folder, held
//! by a lock: the next run with the same `image_build_dir` removes those that nobody holds any more.

pub mod app;
pub mod metadata;
pub mod pack;
pub mod plan;
mod publish;
pub mod ramdisk;
pub mod run;
pub mod tree;
mod umask;
pub mod work;
