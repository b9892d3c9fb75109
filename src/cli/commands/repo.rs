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
use crate::cli::objects::{self, Files};
use crate::cluster::kinds;
use crate::output::format::Format;

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

/// The Repositories that a command is about, as they were typed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Named {
    /// The Repository: NAME, repo/NAME or repo NAME; - reads names or manifests from standard input
    #[arg(value_name = "REPOSITORY", required_unless_present = "filename", num_args = 1..)]
    repositories: Vec<String>,
    #[command(flatten)]
    files: Files,
}

impl Named {
    /// The name of the only one.
    ///
    /// # Errors
    /// As [`objects::one`].
    pub(in crate::cli) fn one(&self, context: &Context) -> Result<String, CliError> {
        let known = [&kinds::REPOSITORY];
        Ok(objects::one(context, &self.repositories, &self.files.filename, &known)?.name)
    }

    /// The names of all, each once.
    ///
    /// # Errors
    /// As [`objects::several`].
    pub(in crate::cli) fn several(&self, context: &Context) -> Result<Vec<String>, CliError> {
        let all = objects::several(
            context,
            &self.repositories,
            &self.files.filename,
            &[&kinds::REPOSITORY],
        )?;
        let mut names: Vec<String> = Vec::new();
        for one in all {
            if !names.contains(&one.name) {
                names.push(one.name);
            }
        }
        Ok(names)
    }
}

/// Works on each Repository in turn. With several, one that cannot be worked on is told and the others are worked on all
/// the same; the code is the common one, 3 when one ran and failed, and otherwise 4.
///
/// # Errors
/// What the work on the only one could not do.
async fn each(
    context: &Context,
    names: &[String],
    output: &Format,
    work: impl AsyncFn(&str) -> Result<Exit, CliError>,
) -> Result<Exit, CliError> {
    let mut exits = Vec::new();
    for name in names {
        if !exits.is_empty() && matches!(output, Format::Yaml) {
            context.ui.line("---")?;
        }
        match work(name).await {
            Ok(exit) => exits.push(exit),
            Err(error) if names.len() == 1 || error.silent => return Err(error),
            Err(error) => {
                context.ui.error(&error.message, &error.causes, &error.hints);
                exits.push(error.exit);
            }
        }
    }
    Ok(all_in_all(&exits))
}

/// The code of work on several.
fn all_in_all(exits: &[Exit]) -> Exit {
    match exits {
        [] => Exit::Ok,
        all if all.contains(&Exit::Failed) => Exit::Failed,
        [first, rest @ ..] if rest.iter().all(|exit| exit == first) => *first,
        _ => Exit::Partial,
    }
}

/// What goes in front of a path of a Repository where there are several.
fn prefix(names: &[String], name: &str) -> String {
    if names.len() > 1 {
        format!("{name}/")
    } else {
        String::new()
    }
}

/// A way into the Repository of that name, and the restic repositories in it that are meant.
async fn opened<'c>(
    context: &'c Context,
    reader: &ReaderArgs,
    name: &str,
    paths: &[String],
) -> Result<(Session<'c>, Vec<String>), CliError> {
    let namespace = context.namespace().await?;
    let session = Session::open(context, reader, namespace, name).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_code_says_how_work_on_several_went() {
        for (exits, all) in [
            (vec![], Exit::Ok),
            (vec![Exit::Ok, Exit::Ok], Exit::Ok),
            (vec![Exit::Ok, Exit::Failed, Exit::NothingMatched], Exit::Failed),
            (
                vec![Exit::NothingMatched, Exit::NothingMatched],
                Exit::NothingMatched,
            ),
            (vec![Exit::Ok, Exit::NothingMatched], Exit::Partial),
            (vec![Exit::Partial, Exit::Ok], Exit::Partial),
        ] {
            assert_eq!(all_in_all(&exits), all, "{exits:?}");
        }
    }
}
