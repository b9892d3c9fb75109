//! `snapshot`: what there is to restore.

pub mod list;
pub mod show;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};

/// List Snapshots: what there is to restore
#[derive(Debug, clap::Args)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    command: SnapshotCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SnapshotCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
}

/// Runs one of the commands.
///
/// # Errors
/// What the command could not do.
pub async fn run(args: &SnapshotArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        SnapshotCommand::List(args) => list::run(args, context).await,
        SnapshotCommand::Show(args) => show::run(args, context).await,
    }
}
