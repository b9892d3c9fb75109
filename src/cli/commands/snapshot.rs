//! `snapshot`: what there is to restore, down to the files.

pub mod cat;
pub mod download;
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
    Cat(cat::CatArgs),
    Download(download::DownloadArgs),
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
        SnapshotCommand::Cat(args) => cat::run(args, context).await,
        SnapshotCommand::Download(args) => download::run(args, context).await,
    }
}
