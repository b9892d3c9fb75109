//! `repo key list|add|remove|rotate`: the passwords that open a Repository.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rotate;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::ReaderArgs;
use crate::cli::objects::{self, Files};
use crate::cli::schemas::{self, View};
use crate::cluster::kinds;
use crate::output::format::Format;
use crate::output::table::Table;
use crate::reader::op::{Op, Secret};

/// Look after the keys of a Repository
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeyCommand {
    List(ListArgs),
    Add(AddArgs),
    Remove(RemoveArgs),
    Rotate(rotate::RotateArgs),
}

/// List the keys of a Repository
///
/// Examples:
///   kubectl kubestash repo key list s3-repo
///   kubectl kubestash repo key list s3-repo -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ListArgs {
    #[command(flatten)]
    pub(in crate::cli) repository: super::Named,
    /// Restic repository in it; may be repeated; all by default
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub(in crate::cli) paths: Vec<String>,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    pub(in crate::cli) output: Format,
    #[command(flatten)]
    pub(in crate::cli) reader: ReaderArgs,
}

/// Add a further password that opens a Repository
///
/// Examples:
///   kubectl kubestash repo key add s3-repo --new-password-file ./password
///   pass show backup | kubectl kubestash repo key add s3-repo --new-password-file - --user ann
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct AddArgs {
    #[command(flatten)]
    pub(in crate::cli) repository: super::Named,
    /// File with the new password; - for standard input
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) new_password_file: PathBuf,
    /// What the key's user is called
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(in crate::cli) user: String,
    /// What the key's host is called
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(in crate::cli) host: String,
    /// Restic repository in it; may be repeated; all by default
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub(in crate::cli) paths: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) reader: ReaderArgs,
}

/// Remove a key; the one that opens the Repository now is refused
///
/// Examples:
///   kubectl kubestash repo key list s3-repo
///   kubectl kubestash repo key remove s3-repo 4fbd8d2a
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct RemoveArgs {
    /// The Repository: NAME, repo/NAME or repo NAME; - reads its name or manifest from standard input
    #[arg(value_name = "REPOSITORY", required = true)]
    pub(in crate::cli) repository: String,
    /// The key's id, or the beginning of it
    #[arg(value_name = "KEY", required_unless_present = "filename", num_args = 1..=2)]
    pub(in crate::cli) key: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) files: Files,
    /// Restic repository in it; may be repeated; all that have the key by default
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    pub(in crate::cli) paths: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) reader: ReaderArgs,
}

/// The keys of a Repository.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct RepositoryKeys {
    /// The Repository.
    repository: String,
    /// The keys.
    keys: Vec<KeyView>,
}

impl View for RepositoryKeys {
    const COMMAND: &'static str = "repo-key-list";
    const KIND: &'static str = "RepositoryKeys";
}

/// One key.
#[derive(Debug, Serialize, JsonSchema)]
struct KeyView {
    /// Path of the restic repository.
    path: String,
    /// Its id.
    id: String,
    /// Who made it.
    user: String,
    /// Where.
    host: String,
    /// When, in the words of restic.
    created: String,
    /// Whether the encryption Secret's password opens this one.
    current: bool,
}

/// restic's words for a key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) user_name: String,
    pub(super) host_name: String,
    pub(super) created: String,
    pub(super) current: bool,
}

pub(super) fn keys(text: &[u8]) -> Result<Vec<Key>, CliError> {
    serde_json::from_slice(text)
        .map_err(|e| CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string()))
}

/// Runs one of the commands.
///
/// # Errors
/// What the command could not do.
pub async fn run(args: &KeyArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        KeyCommand::List(args) => list(args, context).await,
        KeyCommand::Add(args) => add(args, context).await,
        KeyCommand::Remove(args) => remove(args, context).await,
        KeyCommand::Rotate(args) => rotate::run(args, context).await,
    }
}

/// Lists.
///
/// # Errors
/// When the Repository cannot be opened.
pub async fn list(args: &ListArgs, context: &Context) -> Result<Exit, CliError> {
    let name = args.repository.one(context)?;
    let (session, paths) = super::opened(context, &args.reader, &name, &args.paths).await?;
    let mut found = Vec::new();
    for path in paths {
        let text = session.answer(&path, Op::Keys).await?;
        found.extend(keys(&text)?.into_iter().map(|key| KeyView {
            path: path.clone(),
            id: key.id,
            user: key.user_name,
            host: key.host_name,
            created: key.created,
            current: key.current,
        }));
    }
    if args.output.is_table() {
        let rows: Vec<Vec<String>> = found
            .iter()
            .map(|k| {
                vec![
                    k.path.clone(),
                    k.id.chars().take(8).collect(),
                    k.user.clone(),
                    k.host.clone(),
                    k.created.clone(),
                    if k.current { "yes" } else { "" }.to_owned(),
                ]
            })
            .collect();
        let mut table = Table::new(["PATH", "KEY", "USER", "HOST", "CREATED", "IN-USE"]);
        context.ui.data(&table.page(&rows))?;
    } else {
        let view = RepositoryKeys {
            repository: name,
            keys: found,
        };
        schemas::print(context, &args.output, &view)?;
    }
    Ok(Exit::Ok)
}

/// A password from a file or standard input: its first line, as restic reads it.
///
/// # Errors
/// When it cannot be read or is empty.
pub(super) fn password(file: &Path) -> Result<Secret, CliError> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        if std::io::stdin().is_terminal() {
            return Err(CliError::usage(
                "a password is not typed where it can be seen: pipe it in, or name a file",
            ));
        }
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|e| CliError::file("standard input", &e))?;
        text
    } else {
        std::fs::read_to_string(file).map_err(|e| CliError::file(&file.display().to_string(), &e))?
    };
    let first = text.lines().next().unwrap_or_default().to_owned();
    if first.is_empty() {
        return Err(CliError::usage(format!("{} holds no password", file.display())));
    }
    Ok(Secret(first))
}

/// Adds.
///
/// # Errors
/// When the password cannot be read or the Repository cannot be opened.
pub async fn add(args: &AddArgs, context: &Context) -> Result<Exit, CliError> {
    let name = args.repository.one(context)?;
    let password = password(&args.new_password_file)?;
    let (session, paths) = super::opened(context, &args.reader, &name, &args.paths).await?;
    for path in paths {
        let op = Op::KeyAdd {
            password: password.clone(),
            user: args.user.clone(),
            host: args.host.clone(),
        };
        let done = rotate::done(&session.answer(&path, op).await?)?;
        let word = if done.added { "added" } else { "was there already" };
        context
            .ui
            .line(&format!("{path}: key {} {word}", short(&done.id)))?;
    }
    Ok(Exit::Ok)
}

pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// Removes.
///
/// # Errors
/// When no restic repository has the key, or it is the one in use.
pub async fn remove(args: &RemoveArgs, context: &Context) -> Result<Exit, CliError> {
    let words: Vec<&String> = std::iter::once(&args.repository).chain(&args.key).collect();
    let (named, rest) = objects::first(context, &words, &args.files.filename, &[&kinds::REPOSITORY])?;
    let name = named.name;
    let key = match rest.as_slice() {
        [key] => key.to_string_lossy().into_owned(),
        other => {
            return Err(
                CliError::usage(format!("name one key after the Repository, not {}", other.len()))
                    .hint(format!("`kubectl kubestash repo key list {name}` lists them")),
            );
        }
    };
    remove_named(&name, &key, &args.paths, &args.reader, context).await
}

/// Removes a key of a Repository from these paths of it, or from all.
///
/// # Errors
/// As [`remove`].
pub(in crate::cli) async fn remove_named(
    name: &str,
    key: &str,
    paths: &[String],
    reader: &ReaderArgs,
    context: &Context,
) -> Result<Exit, CliError> {
    let (session, paths) = super::opened(context, reader, name, paths).await?;
    let mut found = Vec::new();
    for path in &paths {
        let all = keys(&session.answer(path, Op::Keys).await?)?;
        let meant: Vec<Key> = all.into_iter().filter(|k| k.id.starts_with(key)).collect();
        match meant.as_slice() {
            [] => {}
            [one] if one.current => {
                return Err(CliError::new(
                    Exit::Precondition,
                    format!(
                        "key {} opens {path} now; without it the next backup could not",
                        short(&one.id)
                    ),
                )
                .hint(format!(
                    "`kubectl kubestash repo key rotate {name}` replaces it safely"
                )));
            }
            [one] => found.push((path.clone(), one.id.clone())),
            _ => {
                return Err(CliError::usage(format!(
                    "several keys of {path} begin with {key}"
                )));
            }
        }
    }
    if found.is_empty() {
        return Err(CliError::new(
            Exit::NothingMatched,
            format!("Repository {name} has no key {key}"),
        )
        .hint(format!("`kubectl kubestash repo key list {name}` lists them")));
    }
    for (path, id) in found {
        let op = Op::KeyRemove {
            id: id.clone(),
            password: Secret::default(),
        };
        session.answer(&path, op).await?;
        context.ui.line(&format!("{path}: key {} removed", short(&id)))?;
    }
    Ok(Exit::Ok)
}
