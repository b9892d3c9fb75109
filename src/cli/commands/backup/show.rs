//! `backup show`: all about one BackupSession: what ran, into which Snapshots, how long, what was said.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::{self, state};
use crate::cli::objects;
use crate::cli::schemas::{self, View};
use crate::cli::show::{ComponentView, ConditionView, Page, conditions};
use crate::cli::views::{BackupSession, SnapshotDetail};
use crate::cluster::{Cluster, kinds};
use crate::output::format::Format;

/// Show all about one BackupSession
///
/// Examples:
///   kubectl kubestash backup show sample-backup-daily-1700000000
///   kubectl kubestash backup show sample-backup-daily-1700000000 -o jsonpath='{.snapshots[*].name}'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ShowArgs {
    /// The BackupSession: NAME, backupsession/NAME or backupsession NAME
    #[arg(value_name = "BACKUPSESSION", required_unless_present = "filename", num_args = 1..=2)]
    session: Vec<String>,
    #[command(flatten)]
    files: objects::Files,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// A BackupSession with what its Snapshots say.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupView {
    /// Its namespace.
    namespace: String,
    /// Its name.
    name: String,
    /// The BackupConfiguration.
    configuration: String,
    /// The session of the BackupConfiguration.
    session: String,
    /// Pending, Running, Succeeded, Failed or Skipped.
    phase: String,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// How long it took, such as `1m2s`; empty until it has ended.
    duration: String,
    /// When it must have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<String>,
    /// When the operator runs it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_retry: Option<String>,
    /// Its Snapshots.
    snapshots: Vec<SnapshotOfBackupView>,
    /// How retention went in each Repository.
    retention: Vec<RetentionView>,
    /// Its conditions.
    conditions: Vec<ConditionView>,
    /// Why it did not succeed, most telling first.
    causes: Vec<String>,
}

impl View for BackupView {
    const COMMAND: &'static str = "backup-show";
    const KIND: &'static str = "Backup";
}

/// A Snapshot that the backup made.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct SnapshotOfBackupView {
    /// Its name.
    name: String,
    /// Its Repository.
    repository: String,
    /// Its phase.
    phase: String,
    /// Its components.
    components: Vec<ComponentView>,
}

/// How retention went in one Repository.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RetentionView {
    /// The Repository.
    repository: String,
    /// Pending, Applied or FailedToApply.
    phase: String,
    /// Why it failed; empty when it did not.
    error: String,
}

/// Prints it.
///
/// # Errors
/// When it does not exist or cannot be read.
pub async fn run(args: &ShowArgs, context: &Context) -> Result<Exit, CliError> {
    let named = objects::one(
        context,
        &args.session,
        &args.files.filename,
        &[&kinds::BACKUP_SESSION],
    )?;
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let session: BackupSession = cluster
        .get(&kinds::BACKUP_SESSION, Some(namespace), &named.name)
        .await
        .map_err(|e| {
            CliError::from(e).hint(format!(
                "`kubectl kubestash backup list -n {namespace}` lists the backups that ran"
            ))
        })?;
    let view = view(cluster, namespace, &session).await?;
    if !args.output.is_table() {
        schemas::print(context, &args.output, &view)?;
        return Ok(Exit::Ok);
    }
    context.ui.data(&page(&view, context))?;
    Ok(Exit::Ok)
}

async fn view(cluster: &Cluster, namespace: &str, session: &BackupSession) -> Result<BackupView, CliError> {
    let mut details: BTreeMap<String, SnapshotDetail> = BTreeMap::new();
    for reference in &session.status.snapshots {
        if let Some(detail) = cluster
            .find(&kinds::SNAPSHOT, Some(namespace), &reference.name)
            .await?
        {
            details.insert(reference.name.clone(), detail);
        }
    }
    let state = state::backup(session, &details);
    let outcome = follow::backup_outcome(cluster, namespace, session).await?;
    let status = &session.status;
    Ok(BackupView {
        namespace: namespace.to_owned(),
        name: session.metadata.name.clone(),
        configuration: session.spec.invoker.name.clone(),
        session: session.spec.session.clone(),
        phase: state.phase.clone(),
        created: session.metadata.creation_timestamp.map(|t| t.to_string()),
        duration: status.duration.clone(),
        deadline: status.backup_deadline.map(|t| t.to_string()),
        next_retry: status
            .next_retry
            .filter(|_| status.retried != Some(true))
            .map(|t| t.to_string()),
        snapshots: status
            .snapshots
            .iter()
            .map(|reference| SnapshotOfBackupView {
                name: reference.name.clone(),
                repository: reference.repository.clone(),
                phase: reference.phase.clone(),
                components: state
                    .components
                    .iter()
                    .filter(|c| c.snapshot == reference.name)
                    .map(|c| {
                        let detail = details
                            .get(&reference.name)
                            .and_then(|d| d.status.components.get(&c.component));
                        ComponentView::of(c, detail)
                    })
                    .collect(),
            })
            .collect(),
        retention: status
            .retention_policy
            .iter()
            .map(|r| RetentionView {
                repository: r.repository.clone(),
                phase: r.phase.clone(),
                error: r.error.clone(),
            })
            .collect(),
        conditions: conditions(&status.conditions),
        causes: if matches!(status.phase.as_str(), "Failed" | "Skipped") {
            outcome.causes
        } else {
            Vec::new()
        },
    })
}

fn page(view: &BackupView, context: &Context) -> String {
    let style = context.ui.data_style();
    let mut page = Page::new(style);
    page.field("Name", &view.name);
    page.field("Namespace", &view.namespace);
    page.field("Configuration", &view.configuration);
    page.field("Session", &view.session);
    page.field("Phase", &style.phase(&view.phase));
    page.time("Created", view.created.as_deref(), context.now);
    page.field("Duration", &view.duration);
    if view.duration.is_empty() {
        page.time("Deadline", view.deadline.as_deref(), context.now);
    }
    page.time("Next retry", view.next_retry.as_deref(), context.now);
    for snapshot in &view.snapshots {
        page.heading(&format!("Snapshot {}", snapshot.name));
        page.field("  Repository", &snapshot.repository);
        page.field("  Phase", &style.phase(&snapshot.phase));
        page.components(&snapshot.components);
    }
    if !view.retention.is_empty() {
        page.heading("Retention");
        for retention in &view.retention {
            let error = if retention.error.is_empty() {
                String::new()
            } else {
                format!(": {}", retention.error)
            };
            page.field(
                &format!("  {}", retention.repository),
                &format!("{}{error}", style.phase(&retention.phase)),
            );
        }
    }
    page.conditions(&view.conditions, context.now);
    page.causes(&view.causes);
    if !view.causes.is_empty() {
        page.text(&format!(
            "`kubectl kubestash why backupsession/{} -n {}` says how to mend it.",
            view.name, view.namespace
        ));
    }
    page.done()
}
