//! `snapshot show`: all about one Snapshot: what it is of, its components, whether it is whole and verified.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::state;
use crate::cli::inside::pick;
use crate::cli::objects::Files;
use crate::cli::schemas::{self, View};
use crate::cli::show::{ComponentView, ConditionView, Page, conditions};
use crate::cli::views::{self, SnapshotDetail};
use crate::output::format::Format;

/// Show all about one Snapshot
///
/// Examples:
///   kubectl kubestash snapshot show bc/sample-backup
///   kubectl kubestash snapshot show s3-repo-sample-backup-daily-1700000000 -o yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ShowArgs {
    /// The Snapshot (NAME, snapshot/NAME or snapshot NAME), or bc/NAME or repo/NAME for its latest; - reads its name or
    /// manifest from standard input
    #[arg(value_name = "SNAPSHOT", required_unless_present = "filename", num_args = 1..)]
    snapshot: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// A Snapshot.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotView {
    /// Its namespace.
    namespace: String,
    /// Its name.
    name: String,
    /// Its Repository.
    repository: String,
    /// The session of the BackupConfiguration.
    session: String,
    /// The BackupSession that made it.
    backup_session: String,
    /// What was backed up.
    application: ApplicationView,
    /// Pending, Running, Succeeded or Failed.
    phase: String,
    /// When it was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// Size of its data in the storage, such as `1.500 MiB`; empty when not known.
    size: String,
    /// Whether its data was found intact; absent when it was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    integrity: Option<bool>,
    /// Verified, NotVerified or VerificationFailed.
    verification: String,
    /// What happens to the data when the Snapshot is deleted: Delete leaves it, WipeOut removes it.
    deletion_policy: String,
    /// Its components.
    components: Vec<ComponentView>,
    /// Its conditions.
    conditions: Vec<ConditionView>,
    /// Why it did not succeed, most telling first.
    causes: Vec<String>,
}

impl View for SnapshotView {
    const COMMAND: &'static str = "snapshot-show";
    const KIND: &'static str = "SnapshotDetails";
}

/// What was backed up.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ApplicationView {
    /// Its kind.
    kind: String,
    /// Its namespace; empty means the Snapshot's.
    namespace: String,
    /// Its name.
    name: String,
}

/// Prints it.
///
/// # Errors
/// When it does not exist or cannot be read.
pub async fn run(args: &ShowArgs, context: &Context) -> Result<Exit, CliError> {
    let snapshot: SnapshotDetail = pick::shown_as(context, &args.snapshot, &args.files).await?;
    let view = view(&snapshot);
    if !args.output.is_table() {
        schemas::print(context, &args.output, &view)?;
        return Ok(Exit::Ok);
    }
    context.ui.data(&page(&view, context))?;
    Ok(Exit::Ok)
}

fn view(snapshot: &SnapshotDetail) -> SnapshotView {
    let (spec, status) = (&snapshot.spec, &snapshot.status);
    let mut causes: Vec<String> = status
        .components
        .iter()
        .filter(|(_, c)| !c.error.is_empty())
        .map(|(name, c)| format!("component {name}: {}", c.error))
        .collect();
    if let Some(complaint) = views::complaint(&status.conditions)
        && !causes.iter().any(|c| c.contains(complaint.trim()))
    {
        causes.push(complaint);
    }
    SnapshotView {
        namespace: snapshot.metadata.namespace.clone(),
        name: snapshot.metadata.name.clone(),
        repository: spec.repository.clone(),
        session: spec.session.clone(),
        backup_session: spec.backup_session.clone(),
        application: ApplicationView {
            kind: spec.app_ref.kind.clone(),
            namespace: spec.app_ref.namespace.clone(),
            name: spec.app_ref.name.clone(),
        },
        phase: if status.phase.is_empty() {
            "Pending"
        } else {
            &status.phase
        }
        .to_owned(),
        time: status.snapshot_time.map(|t| t.to_string()),
        size: status.size.clone(),
        integrity: status.integrity,
        verification: status.verification_status.clone(),
        deletion_policy: spec.deletion_policy.clone(),
        components: status
            .components
            .iter()
            .map(|(name, c)| ComponentView::of(&state::of_component(name, c), Some(c)))
            .collect(),
        conditions: conditions(&status.conditions),
        causes,
    }
}

fn page(view: &SnapshotView, context: &Context) -> String {
    let style = context.ui.data_style();
    let mut page = Page::new(style);
    page.field("Name", &view.name);
    page.field("Namespace", &view.namespace);
    let application = &view.application;
    let place = if application.namespace.is_empty() || application.namespace == view.namespace {
        String::new()
    } else {
        format!(" in namespace {}", application.namespace)
    };
    page.field(
        "Application",
        &format!("{}/{}{place}", application.kind, application.name),
    );
    page.field("Repository", &view.repository);
    page.field("Session", &view.session);
    page.field("Backup session", &view.backup_session);
    page.field("Phase", &style.phase(&view.phase));
    page.time("Taken", view.time.as_deref(), context.now);
    page.field("Size", &view.size);
    let integrity = match view.integrity {
        Some(true) => "intact when last checked",
        Some(false) => "DAMAGED when last checked",
        None => "not checked",
    };
    page.field("Integrity", integrity);
    page.field("Verification", &view.verification);
    let policy = match view.deletion_policy.as_str() {
        "WipeOut" => "WipeOut (deleting it removes its data)",
        "Delete" => "Delete (deleting it leaves its data)",
        other => other,
    };
    page.field("Deletion policy", policy);
    if !view.components.is_empty() {
        page.heading("Components");
        page.components(&view.components);
    }
    page.conditions(&view.conditions, context.now);
    if view.phase == "Failed" {
        page.causes(&view.causes);
    }
    page.done()
}
