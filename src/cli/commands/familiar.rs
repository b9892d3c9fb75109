//! KubeStash's own `unlock`, `password` and `download`, with its flags, for hands and scripts that know them. They do what
//! `repo unlock`, `repo key` and `snapshot download` do: in the cluster, without Docker.

use std::path::PathBuf;

use super::repo::{self, key, rotate, unlock};
use super::snapshot::download;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::{Patterns, ReaderArgs, pick};
use crate::cli::objects::Files;
use crate::output::format::Format;
use crate::output::human;

/// Remove the locks of a Repository whose pods are gone (as `repo unlock`)
///
/// Examples:
///   kubectl kubestash unlock s3-repo
///   kubectl kubestash unlock s3-repo --paths repository/v1/daily/dump
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct UnlockArgs {
    #[command(flatten)]
    repository: repo::Named,
    /// Restic repositories in it, separated by commas; all by default
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    paths: Vec<String>,
}

/// Runs `unlock`.
///
/// # Errors
/// As `repo unlock`.
pub async fn unlock(args: &UnlockArgs, context: &Context) -> Result<Exit, CliError> {
    let args = unlock::UnlockArgs {
        repository: args.repository.clone(),
        paths: args.paths.clone(),
        dry_run: false,
        output: Format::Table,
        reader: ReaderArgs::default(),
    };
    unlock::run(&args, context).await
}

/// Look after the passwords of a Repository (as `repo key`)
#[derive(Debug, clap::Args)]
pub struct PasswordArgs {
    #[command(subcommand)]
    command: PasswordCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PasswordCommand {
    Add(AddArgs),
    List(ListArgs),
    Update(UpdateArgs),
    Remove(RemoveArgs),
}

/// Add a password
///
/// Examples:
///   kubectl kubestash password add s3-repo --new-password-file ./password
///   kubectl kubestash password add s3-repo --new-password-file ./password --user ann --host laptop
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct AddArgs {
    #[command(flatten)]
    repository: repo::Named,
    /// File with the new password; - for standard input
    #[arg(long, value_name = "FILE")]
    new_password_file: PathBuf,
    /// What the key's user is called
    #[arg(long, value_name = "NAME", default_value = "")]
    user: String,
    /// What the key's host is called
    #[arg(long, value_name = "NAME", default_value = "")]
    host: String,
    /// Restic repositories in it, separated by commas; all by default
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    paths: Vec<String>,
}

/// List the keys
///
/// Examples:
///   kubectl kubestash password list s3-repo
///   kubectl kubestash password list s3-repo --paths repository/v1/daily/dump
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct ListArgs {
    #[command(flatten)]
    repository: repo::Named,
    /// Restic repositories in it, separated by commas; all by default
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    paths: Vec<String>,
}

/// Replace the password, in the encryption Secret too (as `repo key rotate`)
///
/// Examples:
///   kubectl kubestash password update s3-repo --new-password-file ./password
///   kubectl kubestash pw update s3-repo --new-password-file -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct UpdateArgs {
    #[command(flatten)]
    repository: repo::Named,
    /// File with the new password; - for standard input
    #[arg(long, value_name = "FILE")]
    new_password_file: PathBuf,
}

/// Remove keys
///
/// Examples:
///   kubectl kubestash password remove s3-repo --id-paths 4fbd8d2a:repository/v1/daily/dump
///   kubectl kubestash pw remove s3-repo --id-paths 4fbd8d2a:repository/v1/daily/a,9a01c2d3:repository/v1/daily/b
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct RemoveArgs {
    #[command(flatten)]
    repository: repo::Named,
    /// Keys as <KEY>:<PATH>, separated by commas
    #[arg(long, value_name = "KEY:PATH", value_delimiter = ',', required = true)]
    id_paths: Vec<String>,
}

/// Runs `password`.
///
/// # Errors
/// As `repo key`.
pub async fn password(args: &PasswordArgs, context: &Context) -> Result<Exit, CliError> {
    let reader = ReaderArgs::default;
    match &args.command {
        PasswordCommand::Add(args) => {
            let args = key::AddArgs {
                repository: args.repository.clone(),
                new_password_file: args.new_password_file.clone(),
                user: args.user.clone(),
                host: args.host.clone(),
                paths: args.paths.clone(),
                reader: reader(),
            };
            key::add(&args, context).await
        }
        PasswordCommand::List(args) => {
            let args = key::ListArgs {
                repository: args.repository.clone(),
                paths: args.paths.clone(),
                output: Format::Table,
                reader: reader(),
            };
            key::list(&args, context).await
        }
        PasswordCommand::Update(args) => {
            let args = rotate::RotateArgs {
                repository: args.repository.clone(),
                new_password_file: Some(args.new_password_file.clone()),
                yes: true,
                stop_after: None,
                reader: reader(),
            };
            rotate::run(&args, context).await
        }
        PasswordCommand::Remove(args) => {
            let name = args.repository.one(context)?;
            let mut pairs = Vec::new();
            for pair in &args.id_paths {
                match pair.split_once(':') {
                    Some((id, path)) if !id.is_empty() && !path.is_empty() => pairs.push((id, path)),
                    _ => {
                        return Err(CliError::usage(format!(
                            "{pair:?}: a key is named as KEY:PATH, for example 4fbd8d2a:repository/v1/daily/dump"
                        )));
                    }
                }
            }
            for (id, path) in pairs {
                key::remove_named(&name, id, &[path.to_owned()], &reader(), context).await?;
            }
            Ok(Exit::Ok)
        }
    }
}

/// Download a Snapshot (as `snapshot download`)
///
/// Files land at <DESTINATION>/<SNAPSHOT>/<COMPONENT>/<path when it was backed up>.
///
/// Examples:
///   kubectl kubestash download s3-repo-sample-backup-daily-1700000000 --destination ./restored
///   kubectl kubestash download s3-repo-sample-backup-daily-1700000000 --components dump --include '*.yaml'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct DownloadArgs {
    /// The Snapshot: NAME, snapshot/NAME or snapshot NAME, or bc/NAME or repo/NAME for its latest
    #[arg(value_name = "SNAPSHOT", required_unless_present = "filename", num_args = 1..)]
    snapshot: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// The directory to write into
    #[arg(long, value_name = "DIR", default_value = ".")]
    destination: PathBuf,
    /// Components, separated by commas; all by default
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    components: Vec<String>,
    #[command(flatten)]
    patterns: Patterns,
    /// Of no effect: no container runs on this machine
    #[arg(long, value_name = "IMAGE", hide = true)]
    image: Option<String>,
}

/// Runs `download`.
///
/// # Errors
/// As `snapshot download`.
pub async fn download(args: &DownloadArgs, context: &Context) -> Result<Exit, CliError> {
    let picked = pick::one(context, &args.snapshot, &args.files, &args.components).await?;
    let to = args.destination.join(picked.name());
    let reader = ReaderArgs::default();
    let wanted = download::Wanted {
        paths: &[],
        to: &to,
        overwrite: false,
        by_component: true,
        include: &args.patterns.include,
        exclude: &args.patterns.exclude,
        reader: &reader,
    };
    let done = download::download(&picked, &wanted, context).await?;
    context.ui.line(&format!(
        "{}, {}, in {}: complete, sizes and hashes compared",
        human::counted(done.files(), "file"),
        human::bytes(done.bytes()),
        to.display()
    ))?;
    Ok(done.exit())
}
