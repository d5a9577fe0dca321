//! The tree: an operating system in a folder.
//!
//! [`release`] looks at the repositories, [`bootstrap`] makes the smallest tree that apt can go on with, [`apt`] says
//! what apt is told, [`install`] runs it in the tree, [`customize`] adds what the input asks for beside packages, and
//! [`clean`] removes all that a build leaves behind. While programs run in the tree, [`guest`] keeps it mounted and
//! services from being started.

pub mod apt;
pub mod bootstrap;
pub mod cache;
pub mod clean;
pub mod customize;
pub mod guest;
pub mod install;
pub mod release;

/// What a program said, for the end of a message: each line on one of its own.
fn told(lines: &[String]) -> String {
    lines.iter().flat_map(|line| ["\n    ", line]).collect()
}
