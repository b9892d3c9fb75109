//! `repo check`: whether what is stored is whole.

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::ReaderArgs;
use crate::cli::inside::pick::Lines;
use crate::cli::schemas::{self, View};
use crate::output::format::Format;
use crate::output::human;
use crate::reader::op::Op;

/// Check that what is stored in Repositories is whole
///
/// The structure is checked; with --read-data every byte is read and compared, which takes as long as a restore. Ends with
/// code 3 when something is damaged.
///
/// Examples:
///   kubectl kubestash repo check s3-repo
///   kubectl kubestash repo check s3-repo --read-data -o json
///   kubectl kubestash repo list -o name | kubectl kubestash repo check -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CheckArgs {
    #[command(flatten)]
    repository: super::Named,
    /// Read all data, too
    #[arg(long)]
    read_data: bool,
    /// Restic repository in it; may be repeated; all by default
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    paths: Vec<String>,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
    #[command(flatten)]
    reader: ReaderArgs,
}

/// What was checked.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct RepositoryCheck {
    /// The Repository.
    repository: String,
    /// Whether every byte was read.
    read_data: bool,
    /// The restic repositories in it.
    results: Vec<Checked>,
}

impl View for RepositoryCheck {
    const COMMAND: &'static str = "repo-check";
    const KIND: &'static str = "RepositoryCheck";
}

/// One restic repository.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Checked {
    /// Its path below the Repository's.
    path: String,
    /// Whether it is whole.
    intact: bool,
    /// What is wrong.
    errors: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    message_type: String,
    message: String,
    num_errors: u64,
}

/// Checks.
///
/// # Errors
/// When the Repository cannot be read.
pub async fn run(args: &CheckArgs, context: &Context) -> Result<Exit, CliError> {
    let names = args.repository.several(context)?;
    super::each(context, &names, &args.output, async |name| {
        check(args, name, &super::prefix(&names, name), context).await
    })
    .await
}

async fn check(args: &CheckArgs, name: &str, prefix: &str, context: &Context) -> Result<Exit, CliError> {
    let (session, paths) = super::opened(context, &args.reader, name, &args.paths).await?;
    let mut results = Vec::new();
    for path in paths {
        let started = Instant::now();
        let mut errors = Vec::new();
        let mut count = 0;
        let mut lines = Lines::new(|line: &[u8]| {
            if let Ok(line) = serde_json::from_slice::<Line>(line) {
                match line.message_type.as_str() {
                    "error" => errors.push(line.message),
                    "summary" => count = line.num_errors,
                    _ => {}
                }
            }
            Ok(())
        });
        let op = Op::Check {
            read_data: args.read_data,
        };
        let asked = session.ask(&path, op, &mut lines).await;
        drop(lines);
        match asked {
            Ok(()) => {}
            // Damage is the answer, not a failure to answer.
            Err(error) if error.exit == Exit::Failed || count > 0 => errors.push(error.message),
            Err(error) => return Err(error),
        }
        let intact = errors.is_empty() && count == 0;
        if args.output.is_table() {
            let word = if intact { "intact" } else { "DAMAGED" };
            context.ui.line(&format!(
                "{prefix}{path}: {word} ({})",
                human::go_duration(started.elapsed())
            ))?;
            for error in &errors {
                context.ui.warn(error);
            }
        }
        results.push(Checked { path, intact, errors });
    }
    let good = results.iter().filter(|r| r.intact).count();
    let exit = match good {
        n if n == results.len() => Exit::Ok,
        _ => Exit::Failed,
    };
    if !args.output.is_table() {
        let view = RepositoryCheck {
            repository: name.to_owned(),
            read_data: args.read_data,
            results,
        };
        schemas::print(context, &args.output, &view)?;
    }
    Ok(exit)
}
