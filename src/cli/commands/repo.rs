//! `repo`: Repositories, their locks and their keys.

pub mod check;
pub mod key;
pub mod list;
pub mod rotate;
pub mod unlock;

use kube::ResourceExt;

use crate::api::storage::Repository;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::{ReaderArgs, Session};
use crate::cli::names;
use crate::cluster::kinds;

/// Look after Repositories: check, locks, keys
#[derive(Debug, clap::Args)]
pub struct RepoArgs {
    #[command(subcommand)]
    command: RepoCommand,
}

#[derive(Debug, clap::Subcommand)]
enum RepoCommand {
    List(list::ListArgs),
    Show(list::ShowArgs),
    Check(check::CheckArgs),
    Unlock(unlock::UnlockArgs),
    Key(key::KeyArgs),
}

/// Runs one of the commands.
///
/// # Errors
/// What the command could not do.
pub async fn run(args: &RepoArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        RepoCommand::List(args) => list::run(args, context).await,
        RepoCommand::Show(args) => list::show(args, context).await,
        RepoCommand::Check(args) => check::run(args, context).await,
        RepoCommand::Unlock(args) => unlock::run(args, context).await,
        RepoCommand::Key(args) => key::run(args, context).await,
    }
}

/// A way into the Repository that was typed, and the restic repositories in it that are meant.
async fn opened<'c>(
    context: &'c Context,
    reader: &ReaderArgs,
    typed: &str,
    paths: &[String],
) -> Result<(Session<'c>, Vec<String>), CliError> {
    let named = names::parse(typed, &[&kinds::REPOSITORY])?;
    let namespace = context.namespace().await?;
    let session = Session::open(context, reader, namespace, named.name).await?;
    let meant = meant(session.repository(), paths)?;
    Ok((session, meant))
}

/// The paths that were typed, each of which must exist; all when none was.
fn meant(repository: &Repository, typed: &[String]) -> Result<Vec<String>, CliError> {
    let known = repository
        .status
        .as_ref()
        .map(|s| s.component_paths.clone())
        .unwrap_or_default();
    if known.is_empty() {
        return Err(CliError::new(
            Exit::Precondition,
            format!(
                "Repository {} holds nothing yet: no backup has ended",
                repository.name_any()
            ),
        ));
    }
    let strip = |path: &String| path.trim_matches('/').to_owned();
    if let Some(missing) = typed.iter().map(strip).find(|p| !known.contains(p)) {
        return Err(CliError::new(
            Exit::NothingMatched,
            format!("Repository {} has no path {missing}", repository.name_any()),
        )
        .hint(format!("it has: {}", known.join(", "))));
    }
    Ok(if typed.is_empty() {
        known
    } else {
        typed.iter().map(strip).collect()
    })
}
