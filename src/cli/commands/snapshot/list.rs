//! `snapshot list`: the Snapshots. Histories are long, so the table reads only the fields it shows, asks for the next
//! page while it prints one, and shows the first rows at once.

use serde_json::Value;

use crate::cli::commands::nothing;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::views::Snapshot;
use crate::cli::{names, place, report};
use crate::cluster::{Cluster, ListOptions, Page, kinds};
use crate::output::format::{Format, Shape};
use crate::output::table::Table;

/// List Snapshots
///
/// Examples:
///   kubectl kubestash snapshot list
///   kubectl kubestash snapshot list --repo s3-repo -o wide
///   kubectl kubestash snapshot list -A -o jsonpath='{.items[?(@.status.phase=="Failed")].metadata.name}'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ListArgs {
    /// Only of this Repository
    #[arg(long, visible_alias = "repository", value_name = "REPOSITORY", value_parser = names::of_repository)]
    repo: Option<String>,
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

/// Prints the Snapshots.
///
/// # Errors
/// When they cannot be read, or the Repository does not exist.
pub async fn run(args: &ListArgs, context: &Context) -> Result<Exit, CliError> {
    let cluster = context.cluster().await?;
    let namespace = context.namespaces().await?;
    let mut selectors: Vec<String> = args.selector.iter().cloned().collect();
    if let Some(repository) = &args.repo {
        selectors.push(format!(
            "{}={}",
            crate::api::labels::REPO_NAME,
            crate::decide::backup::label(repository)
        ));
    }
    let options = ListOptions {
        namespace: namespace.map(ToOwned::to_owned),
        labels: Some(selectors.join(",")).filter(|s| !s.is_empty()),
        fields: None,
    };
    let count = if args.output.is_table() {
        rows(args, context, cluster, &options).await?
    } else {
        let objects: Vec<Value> = cluster.list(&kinds::SNAPSHOT, &options).await?;
        let count = objects.len();
        if count == 0 {
            place::exists(context).await?;
        }
        args.output.print(
            &context.ui,
            &Shape::List(objects.into_iter().map(report::tidy).collect()),
        )?;
        count
    };
    if count == 0 {
        if let (Some(repository), Some(namespace)) = (&args.repo, namespace) {
            let _: Value = cluster
                .get(&kinds::REPOSITORY, Some(namespace), repository)
                .await?;
        }
        if args.output.is_table() {
            nothing("Snapshots", namespace, context).await?;
        }
    }
    Ok(Exit::Ok)
}

/// Prints the table and answers how many rows it has.
async fn rows(
    args: &ListArgs,
    context: &Context,
    cluster: &Cluster,
    options: &ListOptions,
) -> Result<usize, CliError> {
    let (wide, all) = (args.output == Format::Wide, options.namespace.is_none());
    let mut table = Table::new(headings(wide, all));
    if args.no_headers {
        table = table.without_headings();
    }
    let mut count = 0;
    let mut page: Page<Snapshot> = cluster.page(&kinds::SNAPSHOT, options, None).await?;
    loop {
        let next = page.next().map(ToOwned::to_owned);
        let items = std::mem::take(&mut page.items);
        count += items.len();
        let fetched = next.map(|token| {
            let (cluster, options) = (cluster.clone(), options.clone());
            tokio::spawn(async move {
                cluster
                    .page::<Snapshot>(&kinds::SNAPSHOT, &options, Some(&token))
                    .await
            })
        });
        if !items.is_empty() {
            let rows: Vec<Vec<String>> = items.into_iter().map(|s| row(s, wide, all, context)).collect();
            context.ui.data(&table.page(&rows))?;
            context.ui.flush()?;
        }
        match fetched {
            None => return Ok(count),
            Some(task) => {
                page = task.await.map_err(|e| {
                    CliError::new(Exit::Error, "the next page cannot be read").cause(e.to_string())
                })??;
            }
        }
    }
}

fn headings(wide: bool, all: bool) -> Vec<&'static str> {
    let mut headings = if all { vec!["NAMESPACE"] } else { Vec::new() };
    headings.extend([
        "NAME",
        "REPOSITORY",
        "SESSION",
        "SNAPSHOT-TIME",
        "SIZE",
        "PHASE",
        "AGE",
    ]);
    if wide {
        headings.extend([
            "TARGET",
            "COMPONENTS",
            "INTEGRITY",
            "VERIFICATION",
            "DELETION-POLICY",
        ]);
    }
    headings
}

fn row(snapshot: Snapshot, wide: bool, all: bool, context: &Context) -> Vec<String> {
    let age = snapshot.metadata.age(context.now);
    let mut row = Vec::with_capacity(13);
    if all {
        row.push(snapshot.metadata.namespace);
    }
    let time = snapshot
        .status
        .snapshot_time
        .map(|t| t.to_string())
        .unwrap_or_default();
    let phase = if snapshot.status.phase.is_empty() {
        "Pending".to_owned()
    } else {
        snapshot.status.phase
    };
    row.extend([
        snapshot.metadata.name,
        snapshot.spec.repository,
        snapshot.spec.session,
        time,
        snapshot.status.size,
        phase,
        age,
    ]);
    if wide {
        let target = &snapshot.spec.app_ref;
        row.extend([
            if target.kind.is_empty() {
                target.name.clone()
            } else {
                format!("{}/{}", target.kind, target.name)
            },
            snapshot
                .status
                .total_components
                .map(|n| n.to_string())
                .unwrap_or_default(),
            snapshot
                .status
                .integrity
                .map(|ok| ok.to_string())
                .unwrap_or_default(),
            snapshot.status.verification_status,
            snapshot.spec.deletion_policy,
        ]);
    }
    row
}
