//! `pause` and `resume`: schedules rest, and go on.

use kube::ResourceExt;
use serde_json::{Value, json};

use crate::api::core::BackupConfiguration;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::report;
use crate::cli::select::Selection;
use crate::cluster::kinds;
use crate::output::format::{Format, Shape};

/// Pause the schedules of BackupConfigurations
///
/// What runs goes on to its end; nothing new begins until `resume`.
///
/// Examples:
///   kubectl kubestash pause sample-backup
///   kubectl kubestash pause -l team=storage -n demo
///   kubectl kubestash pause --all -A
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct PauseArgs {
    #[command(flatten)]
    selection: Selection,
    /// Form of the output: table, json, yaml, name, jsonpath=… or custom-columns=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// Resume the schedules of BackupConfigurations
///
/// Examples:
///   kubectl kubestash resume sample-backup
///   kubectl kubestash resume --all -n demo
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ResumeArgs {
    #[command(flatten)]
    selection: Selection,
    /// Form of the output: table, json, yaml, name, jsonpath=… or custom-columns=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// Pauses them.
///
/// # Errors
/// When one does not exist or may not be changed.
pub async fn pause(args: &PauseArgs, context: &Context) -> Result<Exit, CliError> {
    set(&args.selection, &args.output, context, true).await
}

/// Resumes them.
///
/// # Errors
/// As [`pause`].
pub async fn resume(args: &ResumeArgs, context: &Context) -> Result<Exit, CliError> {
    set(&args.selection, &args.output, context, false).await
}

async fn set(
    selection: &Selection,
    output: &Format,
    context: &Context,
    paused: bool,
) -> Result<Exit, CliError> {
    let configurations = selection.read(context).await?;
    let cluster = context.cluster().await?;
    let mut objects: Vec<Value> = Vec::new();
    let mut lines = Vec::new();
    let mut first_error: Option<CliError> = None;
    for configuration in &configurations {
        let namespace = configuration.namespace().unwrap_or_default();
        let name = configuration.name_any();
        // The object as it was read must be the one that changes: a deleted one is not made again.
        let patch = json!({"spec": {"paused": paused}, "metadata": {"uid": configuration.uid()}});
        match cluster
            .merge(&kinds::BACKUP_CONFIGURATION, Some(&namespace), &name, &patch)
            .await
        {
            Ok(object) => {
                lines.push(format!(
                    "{} {}",
                    crate::output::format::name(&object),
                    word(configuration, paused)
                ));
                objects.push(report::tidy(object));
            }
            Err(error) => {
                let error = CliError::from(error);
                if configurations.len() > 1 {
                    context.ui.error(&error.message, &error.causes, &error.hints);
                }
                first_error.get_or_insert(error);
            }
        }
    }
    if output.is_table() {
        for line in &lines {
            context.ui.line(line)?;
        }
    } else if !objects.is_empty() {
        output.print(&context.ui, &Shape::of(objects))?;
    }
    match first_error {
        None => Ok(Exit::Ok),
        Some(error) if configurations.len() == 1 => Err(error),
        Some(_) if !lines.is_empty() => Ok(Exit::Partial),
        Some(error) => Ok(error.exit),
    }
}

fn word(before: &BackupConfiguration, paused: bool) -> &'static str {
    match (before.spec.paused, paused) {
        (true, true) => "is paused already",
        (false, false) => "was not paused",
        (false, true) => "paused",
        (true, false) => "resumed",
    }
}
