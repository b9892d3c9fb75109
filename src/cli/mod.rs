//! The kubectl plugin: arguments and dispatch. One file per command under `commands/`.

pub mod complete;

use std::ffi::OsString;
use std::process::ExitCode;

/// Parses the command line, runs the command and returns its exit code.
pub fn run(_args: Vec<OsString>) -> ExitCode {
    ExitCode::from(2)
}
