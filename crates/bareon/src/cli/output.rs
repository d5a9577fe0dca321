//! Standard output and standard error, without the panics of `println!` and `eprintln!`.

use std::io::{self, ErrorKind, Write};

use super::failure::Failure;

/// Writes `text` to standard output. A reader that went away (`| head`) is no failure.
///
/// # Errors
/// When standard output cannot be written to for another reason, such as a full disk.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("writing to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes `text` and a newline to standard error. Nobody is left to be told where that fails.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
