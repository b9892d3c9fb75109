//! The commands, one file each (a group of commands is a folder).

pub mod completion;
pub mod version;

use super::context::Context;
use super::error::{CliError, Exit};

/// What can be asked for.
#[derive(Debug, clap::Subcommand)]
#[allow(
    missing_docs,
    reason = "the help text of a command is the doc comment of its arguments"
)]
pub enum Command {
    #[command(display_order = 90)]
    Completion(completion::CompletionArgs),
    #[command(display_order = 91)]
    Version(version::VersionArgs),
}

/// Runs one command.
///
/// # Errors
/// What the command could not do.
pub async fn run(command: &Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Completion(args) => completion::run(args, context),
        Command::Version(args) => version::run(args, context).await,
    }
}
