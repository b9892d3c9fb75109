//! Which BackupConfigurations a command is about: by name (several, `-` for names on standard input), by label, or all.

use std::io::Read;

use super::context::Context;
use super::error::{CliError, Exit};
use super::names;
use crate::api::core::BackupConfiguration;
use crate::cluster::{Cluster, Error, ListOptions, kinds};

/// The words of the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Selection {
    /// The BackupConfigurations: NAME or bc/NAME, or - to read names from standard input
    #[arg(value_name = "BACKUPCONFIGURATION", required_unless_present_any = ["selector", "all"], conflicts_with_all = ["selector", "all"])]
    names: Vec<String>,
    /// Those with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR", conflicts_with = "all")]
    selector: Option<String>,
    /// All of the namespace (of all namespaces with -A)
    #[arg(long)]
    all: bool,
}

impl Selection {
    /// Whether they are named one by one, so that each that cannot be worked on is an error.
    pub fn is_by_name(&self) -> bool {
        !self.names.is_empty()
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
        let namespace = context.namespace().await?;
        let mut found: Vec<BackupConfiguration> = Vec::new();
        for typed in expand(&self.names)? {
            let name = names::parse(&typed, &[&kinds::BACKUP_CONFIGURATION])?.name;
            if found.iter().any(|f| f.metadata.name.as_deref() == Some(name)) {
                continue;
            }
            found.push(configuration(cluster, namespace, name).await?);
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

/// `KIND NAME …` as `KIND/NAME …`, and `-` as the names on standard input.
fn expand(typed: &[String]) -> Result<Vec<String>, CliError> {
    let known = [&kinds::BACKUP_CONFIGURATION];
    let typed = match typed {
        [kind, rest @ ..] if !rest.is_empty() && crate::cluster::kinds::called(kind, &known).is_some() => {
            rest
        }
        all => all,
    };
    let mut all = Vec::new();
    for word in typed {
        if word != "-" {
            all.push(word.clone());
            continue;
        }
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|e| CliError::file("standard input", &e))?;
        all.extend(text.split_whitespace().map(str::to_owned));
    }
    if all.is_empty() {
        return Err(CliError::new(
            Exit::NothingMatched,
            "standard input names no BackupConfiguration",
        ));
    }
    Ok(all)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_may_stand_before_the_names() {
        let words = |all: &[&str]| expand(&all.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        assert_eq!(words(&["bc", "a", "b"]), ["a", "b"]);
        assert_eq!(words(&["bc"]), ["bc"], "a configuration may be called so");
        assert_eq!(words(&["a", "bc/b"]), ["a", "bc/b"]);
    }
}
