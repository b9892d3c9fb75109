//! `snapshot`: what there is to restore, down to the files.

pub mod cat;
pub mod delete;
pub mod diff;
pub mod download;
pub mod find;
pub mod history;
pub mod list;
pub mod ls;
pub mod show;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};

/// Look at Snapshots, down to the files in them
#[derive(Debug, clap::Args)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    command: SnapshotCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SnapshotCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Ls(ls::LsArgs),
    Tree(ls::TreeArgs),
    Find(find::FindArgs),
    History(history::HistoryArgs),
    Cat(cat::CatArgs),
    Diff(diff::DiffArgs),
    Download(download::DownloadArgs),
    Delete(delete::DeleteArgs),
}

/// Runs one of the commands.
///
/// # Errors
/// What the command could not do.
pub async fn run(args: &SnapshotArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        SnapshotCommand::List(args) => list::run(args, context).await,
        SnapshotCommand::Show(args) => show::run(args, context).await,
        SnapshotCommand::Ls(args) => ls::run(args, context).await,
        SnapshotCommand::Tree(args) => ls::tree(args, context).await,
        SnapshotCommand::Find(args) => find::run(args, context).await,
        SnapshotCommand::History(args) => history::run(args, context).await,
        SnapshotCommand::Diff(args) => diff::run(args, context).await,
        SnapshotCommand::Delete(args) => delete::run(args, context).await,
        SnapshotCommand::Cat(args) => cat::run(args, context).await,
        SnapshotCommand::Download(args) => download::run(args, context).await,
    }
}
