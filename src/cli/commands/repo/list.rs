//! `repo list` and `repo show`.

use jiff::Timestamp;
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::api::storage::Repository;
use crate::cli::commands::nothing;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::schemas::{self, View};
use crate::cli::{place, report};
use crate::cluster::{ListOptions, kinds};
use crate::output::format::{Format, Shape};
use crate::output::human;
use crate::output::table::Table;

/// List Repositories
///
/// Examples:
///   kubectl kubestash repo list
///   kubectl kubestash repo list -A -o wide
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ListArgs {
    /// Only with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Form of the output: table, wide, json, yaml, name, jsonpath=… or custom-columns=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// Show one Repository: where it is, what it holds, how it is
///
/// Examples:
///   kubectl kubestash repo show s3-repo
///   kubectl kubestash repo show s3-repo -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ShowArgs {
    #[command(flatten)]
    repository: super::Named,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// One Repository.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct RepositoryView {
    /// Its name.
    name: String,
    /// Its namespace.
    namespace: String,
    /// NAMESPACE/NAME of its BackupStorage.
    storage: String,
    /// Directory below the storage's prefix.
    path: String,
    /// NAMESPACE/NAME of its encryption Secret.
    encryption_secret: String,
    /// What happens to the data when the object is deleted: Delete keeps it, WipeOut removes it.
    deletion_policy: String,
    /// Ready or NotReady.
    phase: String,
    /// Whether the data was intact when last looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    integrity: Option<bool>,
    /// How many Snapshots there are.
    snapshots: i32,
    /// Size in the storage.
    size: String,
    /// When a backup last succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    last_backup: Option<Timestamp>,
    /// The restic repositories in it.
    component_paths: Vec<String>,
    /// What is wrong, in sentences.
    problems: Vec<String>,
}

impl View for RepositoryView {
    const COMMAND: &'static str = "repo-show";
    const KIND: &'static str = "RepositoryDetails";
}

fn view(repository: &Repository) -> RepositoryView {
    let own = repository.namespace().unwrap_or_default();
    let status = repository.status.clone().unwrap_or_default();
    let place = |reference: &Option<crate::api::shared::ObjectReference>| {
        reference
            .as_ref()
            .map(|r| format!("{}/{}", r.namespace_or(&own), r.name))
            .unwrap_or_default()
    };
    let problems = status
        .conditions
        .iter()
        .filter(|c| c.status == crate::api::shared::ConditionStatus::False)
        .map(|c| c.message.clone())
        .collect();
    RepositoryView {
        name: repository.name_any(),
        namespace: own.clone(),
        storage: place(&repository.spec.storage_ref),
        path: repository.spec.path.clone(),
        encryption_secret: place(&repository.spec.encryption_secret),
        deletion_policy: repository.spec.deletion_policy.to_string(),
        phase: status.phase.map(|p| p.to_string()).unwrap_or_default(),
        integrity: status.integrity,
        snapshots: status.snapshot_count.unwrap_or(0),
        size: status.size.unwrap_or_default(),
        last_backup: status.last_backup_time.map(|t| t.0),
        component_paths: status.component_paths,
        problems,
    }
}

/// Lists.
///
/// # Errors
/// When they cannot be read.
pub async fn run(args: &ListArgs, context: &Context) -> Result<Exit, CliError> {
    let cluster = context.cluster().await?;
    let namespace = context.namespaces().await?;
    let options = ListOptions {
        namespace: namespace.map(ToOwned::to_owned),
        labels: args.selector.clone(),
        fields: None,
    };
    if !args.output.is_table() {
        let objects: Vec<Value> = cluster.list(&kinds::REPOSITORY, &options).await?;
        if objects.is_empty() {
            place::exists(context).await?;
        }
        let objects = objects.into_iter().map(report::tidy).collect();
        args.output.print(&context.ui, &Shape::List(objects))?;
        return Ok(Exit::Ok);
    }
    let all: Vec<Repository> = cluster.list(&kinds::REPOSITORY, &options).await?;
    if all.is_empty() {
        nothing("Repositories", namespace, context).await?;
        return Ok(Exit::Ok);
    }
    let wide = args.output == Format::Wide;
    let mut headings = if namespace.is_none() {
        vec!["NAMESPACE"]
    } else {
        Vec::new()
    };
    headings.extend([
        "NAME",
        "STORAGE",
        "SNAPSHOTS",
        "SIZE",
        "LAST-BACKUP",
        "INTEGRITY",
        "PHASE",
    ]);
    if wide {
        headings.extend(["PATH", "ENCRYPTION-SECRET", "DELETION-POLICY"]);
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|repository| {
            let v = view(repository);
            let mut row = if namespace.is_none() {
                vec![v.namespace]
            } else {
                Vec::new()
            };
            row.extend([
                v.name,
                v.storage,
                v.snapshots.to_string(),
                v.size,
                v.last_backup
                    .map(|t| format!("{} ago", human::age(t, context.now)))
                    .unwrap_or_default(),
                v.integrity.map(|ok| ok.to_string()).unwrap_or_default(),
                v.phase,
            ]);
            if wide {
                row.extend([v.path, v.encryption_secret, v.deletion_policy]);
            }
            row
        })
        .collect();
    context.ui.data(&Table::new(headings).page(&rows))?;
    Ok(Exit::Ok)
}

/// Shows one.
///
/// # Errors
/// When it does not exist.
pub async fn show(args: &ShowArgs, context: &Context) -> Result<Exit, CliError> {
    let name = args.repository.one(context)?;
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let found: Repository = cluster.get(&kinds::REPOSITORY, Some(namespace), &name).await?;
    let view = view(&found);
    if !args.output.is_table() {
        schemas::print(context, &args.output, &view)?;
        return Ok(Exit::Ok);
    }
    let last = view
        .last_backup
        .map(|t| format!("{t:.0} ({} ago)", human::age(t, context.now)))
        .unwrap_or_default();
    for (name, value) in [
        ("Name", view.name),
        ("Namespace", view.namespace),
        ("Storage", view.storage),
        ("Path", view.path),
        ("Encryption Secret", view.encryption_secret),
        ("Deletion policy", view.deletion_policy),
        ("Phase", view.phase),
        (
            "Integrity",
            view.integrity.map(|ok| ok.to_string()).unwrap_or_default(),
        ),
        ("Snapshots", view.snapshots.to_string()),
        ("Size", view.size),
        ("Last backup", last),
        ("Components", view.component_paths.join(", ")),
    ] {
        if !value.is_empty() {
            context.ui.line(&format!("{:<18} {value}", format!("{name}:")))?;
        }
    }
    for problem in view.problems {
        context.ui.line(&format!("{:<18} {problem}", "Problem:"))?;
    }
    Ok(Exit::Ok)
}
