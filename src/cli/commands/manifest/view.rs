//! `manifest-view`: which manifests a Snapshot holds, as a tree.

use clap::ArgAction;
use schemars::JsonSchema;
use serde::Serialize;

use super::Chosen;
use super::read::{self, Manifest};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::schemas::{self, View};
use crate::output::format::Format;

/// Show the manifests of cluster resources in a Snapshot, as a tree
///
/// Examples:
///   kubectl kubestash manifest-view s3-repo-cluster-backup-daily-1700000000
///   kubectl kubestash manifest-view --snapshot bc/cluster-backup --include-namespaces demo --include-resources deployments
///   kubectl kubestash manifest-view bc/cluster-backup --and-label-selectors app=web -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ViewArgs {
    /// Resources of the cluster, too
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        value_name = "BOOL",
        action = ArgAction::Set,
        help_heading = "Filters"
    )]
    include_cluster_resources: bool,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
    #[command(flatten)]
    chosen: Chosen,
}

/// The manifests in a Snapshot.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct ManifestTree {
    /// The Snapshot.
    snapshot: String,
    /// Its namespace.
    namespace: String,
    /// The manifests, component by component, by path.
    manifests: Vec<ManifestView>,
}

impl View for ManifestTree {
    const COMMAND: &'static str = "manifest-view";
    const KIND: &'static str = "ManifestTree";
}

/// One manifest.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ManifestView {
    /// The component.
    component: String,
    /// Its path in the component.
    path: String,
    /// `resource` or `resource.group`.
    resource: String,
    /// The object's namespace; absent for resources of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    /// The object's name.
    name: String,
}

/// Shows them.
///
/// # Errors
/// When the Snapshot cannot be read, or nothing in it is meant.
pub async fn run(args: &ViewArgs, context: &Context) -> Result<Exit, CliError> {
    let opened = read::open(&args.chosen, context).await?;
    let filter = args.chosen.filter(args.include_cluster_resources);
    let mut meant = opened.meant(&filter, false);
    if filter.needs_labels() {
        let mut kept = Vec::new();
        for (manifest, object) in opened.contents(&meant).await? {
            match object {
                Ok(object) if filter.labels(&read::labels(&object)) => kept.push(manifest),
                Ok(_) => {}
                Err(why) => context.ui.warn(&format!(
                    "{} cannot be read, and is left out: {why}",
                    manifest.path
                )),
            }
        }
        meant = kept;
    }
    if meant.is_empty() {
        return Err(opened.nothing());
    }
    if args.output.is_table() {
        let several = opened.picked.several();
        for part in meant.chunk_by(|a, b| a.part.component == b.part.component) {
            if let (true, Some(first)) = (several, part.first()) {
                context.ui.line(&format!("Component: {}", first.part.component))?;
            }
            for line in tree(part.iter().map(|m| m.path.as_str())) {
                context.ui.line(&line)?;
            }
        }
        return Ok(Exit::Ok);
    }
    let view = ManifestTree {
        snapshot: opened.picked.name(),
        namespace: context.namespace().await?.to_owned(),
        manifests: meant.into_iter().map(shown).collect(),
    };
    schemas::print(context, &args.output, &view)?;
    Ok(Exit::Ok)
}

fn shown(manifest: Manifest) -> ManifestView {
    ManifestView {
        component: manifest.part.component,
        path: manifest.path,
        resource: manifest.place.resource,
        namespace: manifest.place.namespace,
        name: manifest.place.name,
    }
}

/// Lines of a tree with the root `.`.
fn tree<'p>(paths: impl Iterator<Item = &'p str>) -> Vec<String> {
    let mut sorted: Vec<Vec<&str>> = paths
        .map(|p| p.split('/').filter(|s| !s.is_empty()).collect())
        .collect();
    sorted.sort();
    let mut lines = vec![".".to_owned()];
    branches(&sorted, 0, "", &mut lines);
    lines
}

/// The entries at a depth, all of which have the same parents.
fn branches(paths: &[Vec<&str>], depth: usize, indent: &str, lines: &mut Vec<String>) {
    let groups: Vec<&[Vec<&str>]> = paths
        .chunk_by(|a, b| a.get(depth) == b.get(depth))
        .filter(|group| group.first().is_some_and(|p| p.len() > depth))
        .collect();
    for (at, group) in groups.iter().enumerate() {
        let last = at + 1 == groups.len();
        let name = group
            .first()
            .and_then(|p| p.get(depth))
            .copied()
            .unwrap_or_default();
        let (branch, below) = if last {
            ("└── ", "    ")
        } else {
            ("├── ", "│   ")
        };
        lines.push(format!("{indent}{branch}{name}"));
        branches(group, depth + 1, &format!("{indent}{below}"), lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_a_tree() {
        let lines = tree(
            [
                "/m/services/namespaces/demo/web.yaml",
                "/m/deployments.apps/namespaces/demo/web.yaml",
                "/m/deployments.apps/namespaces/demo/api.yaml",
                "/m/namespaces/cluster/demo.yaml",
            ]
            .into_iter(),
        );
        assert_eq!(
            lines.join("\n"),
            "\
.
└── m
    ├── deployments.apps
    │   └── namespaces
    │       └── demo
    │           ├── api.yaml
    │           └── web.yaml
    ├── namespaces
    │   └── cluster
    │       └── demo.yaml
    └── services
        └── namespaces
            └── demo
                └── web.yaml"
        );
    }
}
