//! Which BackupConfigurations a command is about: by name (several, `-` for names on standard input), by label, or all.

use super::context::Context;
use super::error::{CliError, Exit};
use super::objects::{self, Files};
use crate::api::core::BackupConfiguration;
use crate::cluster::{Cluster, Error, ListOptions, kinds};

/// The words of the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Selection {
    /// The BackupConfigurations: NAME or bc/NAME, or - to read names or manifests from standard input
    #[arg(value_name = "BACKUPCONFIGURATION", required_unless_present_any = ["selector", "all", "filename"], conflicts_with_all = ["selector", "all"])]
    names: Vec<String>,
    #[command(flatten)]
    files: Files,
    /// Those with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with_all = ["all", "filename"])]
    selector: Option<String>,
    /// All of the namespace (of all namespaces with -A)
    #[arg(long, conflicts_with = "filename")]
    all: bool,
}

impl Selection {
    /// Whether they are named one by one, so that each that cannot be worked on is an error.
    pub fn is_by_name(&self) -> bool {
        !self.names.is_empty() || !self.files.filename.is_empty()
    }

    /// Reads them, each once, in the order in which they were named.
    ///
    /// # Errors
    /// When one that is named does not exist, or nothing matches.
    pub async fn read(&self, context: &Context) -> Result<Vec<BackupConfiguration>, CliError> {
        let cluster = context.cluster().await?;
        if !self.is_by_name() {
            return self.matching(context, cluster).await;
        }
        let mut found: Vec<BackupConfiguration> = Vec::new();
        for typed in objects::read(&self.names, &self.files.filename, &[&kinds::BACKUP_CONFIGURATION])? {
            let namespace = match &typed.namespace {
                Some(said) if context.flags.namespace.as_ref().is_none_or(|n| n == said) => said,
                Some(said) => {
                    context.settle(said)?;
                    said
                }
                None => context.namespace().await?,
            };
            let one = configuration(cluster, namespace, &typed.name).await?;
            let same = |f: &BackupConfiguration| {
                f.metadata.name == one.metadata.name && f.metadata.namespace == one.metadata.namespace
            };
            if !found.iter().any(same) {
                found.push(one);
            }
        }
        Ok(found)
    }

    async fn matching(
        &self,
        context: &Context,
        cluster: &Cluster,
    ) -> Result<Vec<BackupConfiguration>, CliError> {
        let namespace = context.namespaces().await?;
        let options = ListOptions {
            namespace: namespace.map(str::to_owned),
            labels: self.selector.clone(),
            fields: None,
        };
        let found: Vec<BackupConfiguration> = cluster.list(&kinds::BACKUP_CONFIGURATION, &options).await?;
        if found.is_empty() {
            let place = namespace.map_or_else(|| "any namespace".to_owned(), |n| format!("namespace {n}"));
            let which = self
                .selector
                .as_ref()
                .map_or_else(String::new, |s| format!(" with labels {s}"));
            return Err(CliError::new(
                Exit::NothingMatched,
                format!("there is no BackupConfiguration{which} in {place}"),
            )
            .hint("`kubectl get bc -A --show-labels` lists those there are"));
        }
        Ok(found)
    }
}

/// One BackupConfiguration; when it does not exist, the error names those that do.
///
/// # Errors
/// When it does not exist or cannot be read.
pub async fn configuration(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<BackupConfiguration, CliError> {
    match cluster
        .get(&kinds::BACKUP_CONFIGURATION, Some(namespace), name)
        .await
    {
        Ok(found) => Ok(found),
        Err(error @ Error::NotFound { .. }) => {
            let others: Vec<crate::cli::views::BackupConfiguration> = cluster
                .list(&kinds::BACKUP_CONFIGURATION, &ListOptions::of(namespace))
                .await
                .unwrap_or_default();
            let others: Vec<String> = others.into_iter().map(|o| o.metadata.name).collect();
            Err(CliError::from(error).hint(match others.len() {
                0 => format!(
                    "namespace {namespace} has none; `kubectl get bc -A` lists those of all namespaces"
                ),
                1..=12 => format!("namespace {namespace} has: {}", others.join(", ")),
                _ => format!("`kubectl get bc -n {namespace}` lists them"),
            }))
        }
        Err(error) => Err(error.into()),
    }
}
