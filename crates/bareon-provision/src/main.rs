//! Provisions the machine it runs on from one input document.

use std::process::ExitCode;

fn main() -> ExitCode {
    bareon::cli::main::<bareon::cli::Provision>(std::env::args_os(), bareon::app::run)
}
