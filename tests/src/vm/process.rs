//! How the tests start a program of the machine they run on: QEMU, ssh, the scripts beside them.
//!
//! The product has one door for that, which logs and can be faked; here plain processes are wanted.

use std::{
    error::Error,
    process::{Command, Stdio},
};

/// What the machinery of the tests answers; its errors are for people to read, nobody tells them apart.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A call of `program` that ends with this process, whatever ends it, and reads nothing.
#[expect(clippy::disallowed_methods, reason = "a test's own processes are no part of a provisioning run")]
pub fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]).stdin(Stdio::null());
    command
}

/// Runs `command` to its end and answers what it wrote to its standard output.
///
/// # Errors
/// When it cannot start or fails; the error holds the command line and all it wrote.
pub fn output(command: &mut Command) -> Result<String> {
    let line = format!("{command:?}");
    let done = command.output().map_err(|e| format!("starting {line}: {e}"))?;
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if done.status.success() {
        Ok(out.into_owned())
    } else {
        Err(format!("{line} ended with {}\n{out}{err}", done.status).into())
    }
}

/// Whether `program` can be found in `PATH`.
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}
