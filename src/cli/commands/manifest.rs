//! `manifest-view` and `manifest-restore`: the manifests of cluster resources in a Snapshot. KubeStash's commands, through a
//! reader in the cluster instead of a container on the workstation; every flag of theirs that had an effect has it here, and
//! those that had none (`--target-namespace`, `--override-resources`, `--restore-pvs`) have the one that they promise.

mod apply;
mod read;
pub mod restore;
pub mod view;

use clap::ArgAction;

use crate::cli::inside::{Patterns, ReaderArgs};
use crate::decide::manifests::filter::Filter;

/// Which manifests of which Snapshot.
#[derive(Debug, Clone, clap::Args)]
pub struct Chosen {
    /// The Snapshot: NAME, or bc/NAME or repo/NAME for its latest
    #[arg(value_name = "SNAPSHOT", required_unless_present = "snapshot")]
    name: Option<String>,
    /// The same, as KubeStash has it
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "name")]
    snapshot: Option<String>,
    /// Components to look into; `manifest` by default
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    components: Vec<String>,
    #[command(flatten)]
    patterns: Patterns,
    /// Only objects of these namespaces
    #[arg(
        long,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    include_namespaces: Vec<String>,
    /// No objects of these namespaces
    #[arg(
        long,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    exclude_namespaces: Vec<String>,
    /// Only these resources: deployments or deployments.apps
    #[arg(
        long,
        value_name = "RESOURCE",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    include_resources: Vec<String>,
    /// None of these resources
    #[arg(
        long,
        value_name = "RESOURCE",
        value_delimiter = ',',
        help_heading = "Filters"
    )]
    exclude_resources: Vec<String>,
    /// Only objects with all of these labels: key, key=value or key:value
    #[arg(long, value_name = "LABEL", value_delimiter = ',', help_heading = "Filters")]
    and_label_selectors: Vec<String>,
    /// Only objects with one of these labels
    #[arg(long, value_name = "LABEL", value_delimiter = ',', help_heading = "Filters")]
    or_label_selectors: Vec<String>,
    /// Of no effect, as in KubeStash
    #[arg(long, value_name = "PATH", hide = true)]
    paths: Vec<String>,
    /// Of no effect: nothing is put on this machine's disk
    #[arg(long, value_name = "DIR", hide = true)]
    scratch_dir: Option<String>,
    /// Of no effect: the reader decides
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL", action = ArgAction::Set, hide = true)]
    enable_cache: Option<bool>,
    #[command(flatten)]
    reader: ReaderArgs,
}

impl Chosen {
    /// What was typed for the Snapshot.
    fn typed(&self) -> &str {
        self.name
            .as_deref()
            .or(self.snapshot.as_deref())
            .unwrap_or_default()
    }

    /// The filter; whether resources of the cluster are meant is each command's own.
    fn filter(&self, cluster: bool) -> Filter {
        Filter {
            include_namespaces: self.include_namespaces.clone(),
            exclude_namespaces: self.exclude_namespaces.clone(),
            include_resources: self.include_resources.clone(),
            exclude_resources: self.exclude_resources.clone(),
            cluster,
            all_labels: self.and_label_selectors.clone(),
            any_label: self.or_label_selectors.clone(),
        }
    }
}
