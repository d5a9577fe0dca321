//! Builds images of operating systems, and the bootstrap ramdisk, from one input document.

use std::process::ExitCode;

fn main() -> ExitCode {
    bareon::cli::main::<bareon::cli::Builder>(std::env::args_os(), bareon::build::app::run)
}
