//! `backup list`: the BackupSessions, newest first.

use serde_json::Value;

use crate::cli::commands::nothing;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::views::{self, BackupSession};
use crate::cli::{objects, place, report};
use crate::cluster::{ListOptions, kinds};
use crate::output::format::{Format, Shape};
use crate::output::table::Table;

/// List what ran, newest first
///
/// Examples:
///   kubectl kubestash backup list
///   kubectl kubestash backup list sample-backup -o wide
///   kubectl kubestash backup list -A -l team=storage
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ListArgs {
    /// Only of this BackupConfiguration: NAME, bc/NAME or bc NAME
    #[arg(value_name = "BACKUPCONFIGURATION", num_args = 1..=2)]
    configuration: Vec<String>,
    #[command(flatten)]
    files: objects::Files,
    /// Only with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Leave the headings out
    #[arg(long)]
    no_headers: bool,
    /// Form of the output: table, wide, json, yaml, name, jsonpath=… or custom-columns=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// Prints the BackupSessions.
///
/// # Errors
/// When they cannot be read.
pub async fn run(args: &ListArgs, context: &Context) -> Result<Exit, CliError> {
    let (words, files) = (&args.configuration, &args.files.filename);
    let configuration = if words.is_empty() && files.is_empty() {
        None
    } else {
        Some(objects::one(context, words, files, &[&kinds::BACKUP_CONFIGURATION])?.name)
    };
    let configuration = configuration.as_deref();
    let cluster = context.cluster().await?;
    let namespace = context.namespaces().await?;
    let options = ListOptions {
        namespace: namespace.map(ToOwned::to_owned),
        labels: args.selector.clone(),
        fields: None,
    };
    let mut objects: Vec<Value> = cluster.list(&kinds::BACKUP_SESSION, &options).await?;
    objects.retain(|o| {
        configuration.is_none_or(|name| o.pointer("/spec/invoker/name") == Some(&Value::from(name)))
    });
    objects.sort_by_cached_key(|o| std::cmp::Reverse(created(o)));
    if let (true, Some(name), Some(namespace)) = (objects.is_empty(), configuration, namespace) {
        // Nothing ran, or nothing could: the difference is worth one more question.
        let _: Value = cluster
            .get(&kinds::BACKUP_CONFIGURATION, Some(namespace), name)
            .await?;
    }
    if !args.output.is_table() {
        if objects.is_empty() {
            place::exists(context).await?;
        }
        args.output.print(
            &context.ui,
            &Shape::List(objects.into_iter().map(report::tidy).collect()),
        )?;
        return Ok(Exit::Ok);
    }
    if objects.is_empty() {
        nothing("BackupSessions", namespace, context).await?;
        return Ok(Exit::Ok);
    }
    table(args, context, namespace.is_none(), objects)
}

fn created(object: &Value) -> String {
    object
        .pointer("/metadata/creationTimestamp")
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned()
}

fn table(args: &ListArgs, context: &Context, all: bool, objects: Vec<Value>) -> Result<Exit, CliError> {
    let wide = args.output == Format::Wide;
    let mut headings = vec!["NAME", "INVOKER", "SESSION", "PHASE", "DURATION", "AGE"];
    if all {
        headings.insert(0, "NAMESPACE");
    }
    if wide {
        headings.extend(["SNAPSHOTS", "MESSAGE"]);
    }
    let rows: Vec<Vec<String>> = objects
        .into_iter()
        .map(|object| serde_json::from_value::<BackupSession>(object).unwrap_or_default())
        .map(|s| {
            let mut row = Vec::with_capacity(headings.len());
            if all {
                row.push(s.metadata.namespace.clone());
            }
            let age = s.metadata.age(context.now);
            let phase = if s.status.phase.is_empty() {
                "Pending".to_owned()
            } else {
                s.status.phase.clone()
            };
            row.extend([
                s.metadata.name,
                s.spec.invoker.name,
                s.spec.session,
                phase,
                s.status.duration,
                age,
            ]);
            if wide {
                let done = s
                    .status
                    .snapshots
                    .iter()
                    .filter(|x| x.phase == "Succeeded")
                    .count();
                row.push(format!("{done}/{}", s.status.snapshots.len()));
                row.push(views::complaint(&s.status.conditions).unwrap_or_default());
            }
            row
        })
        .collect();
    let mut table = Table::new(headings);
    if args.no_headers {
        table = table.without_headings();
    }
    context.ui.data(&table.page(&rows))?;
    Ok(Exit::Ok)
}
