//! `manifest-restore`: manifests from a Snapshot into this cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::ArgAction;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Chosen;
use super::apply::{self, Item, Options};
use super::read::{self, Manifest};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::report::text;
use crate::cli::schemas::{self, View};
use crate::decide::manifests::clean::{self, Changes};
use crate::decide::manifests::filter::Out;
use crate::decide::manifests::order;
use crate::output::format::Format;
use crate::output::human;

/// Restore manifests of cluster resources from a Snapshot
///
/// What is there already is left as it is, unless --override-resources says otherwise. Objects go back in the order in
/// which they need each other, by server-side apply. Ends with 4 when a part could not be restored, with 3 when nothing
/// could.
///
/// Examples:
///   kubectl kubestash manifest-restore bc/cluster-backup --include-namespaces demo --dry-run=server
///   kubectl kubestash manifest-restore --snapshot bc/cluster-backup --include-namespaces demo --target-namespace copy
///   kubectl kubestash manifest-restore bc/cluster-backup --include-cluster-resources --dry-run-dir ./out
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[allow(clippy::struct_excessive_bools, reason = "KubeStash's flags")]
pub struct RestoreArgs {
    /// Resources of the cluster, too
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = false,
        default_missing_value = "true",
        value_name = "BOOL",
        action = ArgAction::Set,
        help_heading = "Filters"
    )]
    include_cluster_resources: bool,
    /// The namespace to restore into, where it is another one
    #[arg(long, value_name = "NAMESPACE")]
    target_namespace: Option<String>,
    /// Other storage classes for claims: OLD=NEW; may be repeated
    #[arg(long, value_name = "OLD=NEW", value_delimiter = ',', value_parser = mapping)]
    storage_class_mappings: Vec<(String, String)>,
    /// Change objects that are there already
    #[arg(long)]
    override_resources: bool,
    /// With --override-resources: also fields that somebody else manages
    #[arg(long, requires = "override_resources")]
    force_conflicts: bool,
    /// `PersistentVolumes`, too, and claims with the volumes that they had
    #[arg(long)]
    restore_pvs: bool,
    /// How often what failed is tried again while other objects come
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    max_iterations: u32,
    /// With `client`, only say what is there already; with `server`, let the API server check everything; nothing is stored
    #[arg(long, value_name = "none|client|server", value_enum, default_value_t = DryRun::None, num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// Write the manifests as they would be applied below this directory, and apply nothing
    #[arg(long, value_name = "DIR", conflicts_with = "dry_run")]
    dry_run_dir: Option<PathBuf>,
    /// Of no effect: nothing is put on this machine's disk
    #[arg(long, value_name = "DIR", hide = true)]
    data_dir: Option<PathBuf>,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
    #[command(flatten)]
    chosen: Chosen,
}

/// Whether something is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DryRun {
    /// It is.
    #[default]
    None,
    /// Only what is there already is looked at.
    Client,
    /// The API server checks everything and stores nothing.
    Server,
}

/// What became of the manifests.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct ManifestRestore {
    /// The Snapshot.
    snapshot: String,
    /// Its namespace.
    namespace: String,
    /// none, client or server: whether anything was stored.
    dry_run: DryRun,
    /// The objects, in the order in which they were restored.
    results: Vec<Restored>,
}

impl View for ManifestRestore {
    const COMMAND: &'static str = "manifest-restore";
    const KIND: &'static str = "ManifestRestore";
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcome {
    /// It was not there.
    Created,
    /// It was there and was changed.
    Updated,
    /// It was there just so.
    Unchanged,
    /// It was there, and was left as it is.
    Exists,
    /// It is not to be restored.
    Skipped,
    /// It was written into a directory.
    Written,
    /// It could not be restored.
    Failed,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Restored {
    /// `resource` or `resource.group`.
    pub(super) resource: String,
    /// The namespace that it was restored into; absent for resources of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    /// The object's name.
    pub(super) name: String,
    /// What became of it.
    pub(super) outcome: Outcome,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) reason: String,
}

impl Restored {
    fn told(&self) -> String {
        let place = self.namespace.as_ref();
        let place = place.map(|n| format!(" in namespace {n}")).unwrap_or_default();
        format!("{}/{}{place}", self.resource, self.name)
    }
}

fn mapping(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((old, new)) if !old.trim().is_empty() && !new.trim().is_empty() => {
            Ok((old.trim().to_owned(), new.trim().to_owned()))
        }
        _ => Err("a storage class is mapped as OLD=NEW".to_owned()),
    }
}

/// Restores them.
///
/// # Errors
/// When the Snapshot cannot be read, nothing in it is meant, or not all could be restored.
pub async fn run(args: &RestoreArgs, context: &Context) -> Result<Exit, CliError> {
    let opened = read::open(&args.chosen, context).await?;
    let filter = args.chosen.filter(args.include_cluster_resources);
    let left_out = opened
        .all
        .iter()
        .filter(|m| filter.place(&m.place, true) == Err(Out::Cluster))
        .count();
    let meant = opened.meant(&filter, true);
    let contents = if meant.is_empty() {
        Vec::new()
    } else {
        opened.contents(&meant).await?
    };
    let contents: Vec<_> = contents
        .into_iter()
        .filter(|(_, object)| match object {
            Ok(object) => filter.labels(&read::labels(object)),
            // What cannot be read is said, not left out in silence.
            Err(_) => true,
        })
        .collect();
    if left_out > 0 {
        context.ui.say(&format!(
            "Left out: {} of the cluster; --include-cluster-resources restores them, too.",
            human::counted(left_out, "resource")
        ));
    }
    if contents.is_empty() {
        return Err(opened.nothing());
    }
    let (items, mut results) = sorted(args, contents)?;
    if let Some(dir) = &args.dry_run_dir {
        results.extend(written(dir, &items)?);
    } else {
        let options = Options {
            dry_run: args.dry_run,
            change: args.override_resources,
            force: args.force_conflicts,
            passes: args.max_iterations,
        };
        let cluster = context.cluster().await?;
        let progress = context.ui.progress();
        results.extend(apply::all(cluster, &items, &options, &progress).await?);
    }
    let view = ManifestRestore {
        snapshot: opened.picked.name(),
        namespace: context.namespace().await?.to_owned(),
        dry_run: args.dry_run,
        results,
    };
    told(args, &view, context)
}

/// The objects to restore in their order, and what is said of the others.
fn sorted(
    args: &RestoreArgs,
    contents: Vec<(Manifest, Result<Value, String>)>,
) -> Result<(Vec<Item>, Vec<Restored>), CliError> {
    let chosen: BTreeSet<(String, Option<String>, String)> = contents
        .iter()
        .filter_map(|(manifest, object)| {
            let kind = text(object.as_ref().ok()?, "/kind").to_owned();
            Some((
                kind,
                manifest.place.namespace.clone(),
                manifest.place.name.clone(),
            ))
        })
        .collect();
    let changes = Changes {
        namespace: args.target_namespace.clone(),
        storage_classes: args
            .storage_class_mappings
            .iter()
            .cloned()
            .collect::<BTreeMap<_, _>>(),
        keep_volumes: args.restore_pvs,
    };
    let mut items = Vec::new();
    let mut others = Vec::new();
    let mut namespaces = BTreeSet::new();
    for (manifest, object) in contents {
        let place = manifest.place;
        let mut leave = |outcome, reason: String| {
            others.push(Restored {
                resource: place.resource.clone(),
                namespace: place.namespace.clone(),
                name: place.name.clone(),
                outcome,
                reason,
            });
        };
        let object = match object {
            Ok(object) => object,
            Err(why) => {
                leave(
                    Outcome::Failed,
                    format!("{} cannot be read: {why}", manifest.path),
                );
                continue;
            }
        };
        if place.resource == "persistentvolumes" && !args.restore_pvs {
            leave(
                Outcome::Skipped,
                "volumes are restored with --restore-pvs".to_owned(),
            );
            continue;
        }
        let comes = |kind: &str, name: &str| {
            chosen.contains(&(kind.to_owned(), place.namespace.clone(), name.to_owned()))
        };
        if let Some(why) = clean::made_by_others(&object, comes) {
            leave(Outcome::Skipped, why);
            continue;
        }
        namespaces.extend(place.namespace.clone());
        let owners = object
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let namespace = place
            .namespace
            .as_ref()
            .map(|own| args.target_namespace.as_ref().unwrap_or(own).clone());
        items.push(Item {
            object: clean::cleaned(&object, &changes),
            namespace,
            owners,
            place,
        });
    }
    if let (Some(target), true) = (&args.target_namespace, namespaces.len() > 1) {
        let names: Vec<&str> = namespaces.iter().map(String::as_str).collect();
        return Err(CliError::usage(format!(
            "objects of several namespaces ({}) would meet in {target}",
            names.join(", ")
        ))
        .hint("choose one with --include-namespaces"));
    }
    items.sort_by_key(|item| order::rank(&item.place));
    Ok((items, others))
}

/// Writes them below a directory, which keeps everything else that is in it.
fn written(dir: &Path, items: &[Item]) -> Result<Vec<Restored>, CliError> {
    let mut results = Vec::new();
    for item in items {
        let mut place = item.place.clone();
        place.namespace.clone_from(&item.namespace);
        let path = dir.join("DryRun").join(place.path());
        let said = |e: &std::io::Error| CliError::file(&path.display().to_string(), e);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| said(&e))?;
        }
        let yaml = crate::yaml::to_string(&item.object)
            .map_err(|e| CliError::new(Exit::Error, "the manifest cannot be written").cause(e.to_string()))?;
        std::fs::write(&path, yaml).map_err(|e| said(&e))?;
        results.push(item.restored(Outcome::Written, path.display().to_string()));
    }
    Ok(results)
}

/// Prints what became of them.
fn told(args: &RestoreArgs, view: &ManifestRestore, context: &Context) -> Result<Exit, CliError> {
    let count = |outcome| view.results.iter().filter(|r| r.outcome == outcome).count();
    if args.output.is_table() {
        let suffix = match args.dry_run {
            DryRun::None => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        };
        for result in &view.results {
            let what = result.told();
            match result.outcome {
                Outcome::Created => context.ui.line(&format!("{what} created{suffix}"))?,
                Outcome::Updated => context.ui.line(&format!("{what} updated{suffix}"))?,
                Outcome::Unchanged => context.ui.line(&format!("{what} unchanged{suffix}"))?,
                Outcome::Written => context.ui.line(&result.reason)?,
                Outcome::Exists => context.ui.line(&format!("{what} is there already"))?,
                Outcome::Skipped => context
                    .ui
                    .detail(&format!("{what} is left out: {}", result.reason)),
                Outcome::Failed => context.ui.warn(&format!("{what}: {}", result.reason)),
            }
        }
    } else {
        schemas::print(context, &args.output, view)?;
    }
    let skipped = count(Outcome::Skipped);
    if skipped > 0 {
        context.ui.say(&format!(
            "Left out: {} (-v says why each).",
            human::counted(skipped, "object")
        ));
    }
    if count(Outcome::Exists) > 0 {
        context
            .ui
            .say("What is there already was not changed; --override-resources changes it.");
    }
    let failed = count(Outcome::Failed);
    if failed == 0 {
        return Ok(Exit::Ok);
    }
    let all = view.results.len() - skipped;
    let exit = if failed == all {
        Exit::Failed
    } else {
        Exit::Partial
    };
    let error = CliError::new(
        exit,
        format!(
            "{failed} of {} could not be restored",
            human::counted(all, "object")
        ),
    );
    let conflict = view.results.iter().any(|r| r.reason.contains("conflict"));
    Err(if conflict {
        error.hint("--force-conflicts takes the fields from whoever manages them")
    } else {
        error
    })
}

#[cfg(test)]
mod tests;
