//! The application: what the command line calls.

use crate::cli::{Context, Failure, Invocation};

/// Does what `invocation` says.
///
/// # Errors
/// Always, for now.
pub fn run(invocation: &Invocation, _context: &Context) -> Result<(), Failure> {
    Err(Failure::new(format!("{:?} is not part of this build", invocation.command)))
}
