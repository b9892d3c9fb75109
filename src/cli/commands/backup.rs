//! `backup`: run one now, list what ran.

pub mod list;
pub mod now;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};

/// Back up now, or list what ran
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, clap::Subcommand)]
enum BackupCommand {
    Now(now::NowArgs),
    List(list::ListArgs),
}

/// Runs one of the commands.
///
/// # Errors
/// What the command could not do.
pub async fn run(args: &BackupArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        BackupCommand::Now(args) => now::run(args, context).await,
        BackupCommand::List(args) => list::run(args, context).await,
    }
}
