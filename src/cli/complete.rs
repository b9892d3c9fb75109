//! Completion of words and of live object names.

use std::ffi::OsString;
use std::process::ExitCode;

/// Answers kubectl's completion protocol for the words given.
pub fn run(_args: Vec<OsString>) -> ExitCode {
    ExitCode::SUCCESS
}
