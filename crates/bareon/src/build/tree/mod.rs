//! The tree: an operating system in a folder.
//!
//! [`release`] looks at the repositories, [`bootstrap`] makes the smallest tree that apt can go on with, [`apt`] says
//! what apt is told, [`install`] runs it in the tree, [`customize`] adds what the input asks for beside packages, [`initrds`] has the
//! kernels' initrds made, and [`clean`] removes all that a build leaves behind. While programs run in the tree, [`guest`] keeps it mounted and
//! services from being started.

pub mod apt;
pub mod bootstrap;
pub mod cache;
pub mod clean;
pub mod customize;
pub mod guest;
pub mod initrds;
pub mod install;
pub mod release;

/// What a program said, for the end of a message: each line on one of its own.
fn told(lines: &[String]) -> String {
    lines.iter().flat_map(|line| ["\n    ", line]).collect()
}

/// The last lines of a text that say something.
fn last(text: &str) -> Vec<String> {
    const LINES: usize = 8;
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

/// The last lines of both outputs of a program.
fn last_of_both(stdout: &str, stderr: &str) -> Vec<String> {
    [last(stdout), last(stderr)].concat()
}
