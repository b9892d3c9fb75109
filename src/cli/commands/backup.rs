//! `backup`: run one now, list what ran, look at it, end it, run it again.

pub mod cancel;
mod conclude;
mod following;
mod ledger;
pub mod list;
pub mod now;
pub mod retry;
pub mod run;
pub mod show;
mod turn;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};

/// Back up now; list, show, cancel and retry what ran
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, clap::Subcommand)]
enum BackupCommand {
    Now(now::NowArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Cancel(cancel::CancelArgs),
    Retry(retry::RetryArgs),
}

impl BackupArgs {
    /// Whether the command ends by itself in good order when it is interrupted.
    pub fn ends_by_itself(&self) -> bool {
        matches!(self.command, BackupCommand::Now(_) | BackupCommand::Retry(_))
    }
}

/// Runs one of the commands.
///
/// # Errors
/// What the command could not do.
pub async fn run(args: &BackupArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        BackupCommand::Now(args) => now::run(args, context).await,
        BackupCommand::List(args) => list::run(args, context).await,
        BackupCommand::Show(args) => show::run(args, context).await,
        BackupCommand::Cancel(args) => cancel::run(args, context).await,
        BackupCommand::Retry(args) => retry::run(args, context).await,
    }
}
