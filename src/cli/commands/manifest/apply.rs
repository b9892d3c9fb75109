//! Writes restored objects, in passes: what failed because something else was not there yet is tried again.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::restore::{DryRun, Outcome, Restored};
use crate::cli::error::CliError;
use crate::cli::report::text;
use crate::cluster::dynamic::{Served, Write};
use crate::cluster::{Cluster, Error, kinds};
use crate::decide::manifests::Place;
use crate::output::ui::Progress;

/// Between two passes: a definition is served a moment after it is stored.
const PAUSE: Duration = Duration::from_millis(1500);
/// Passes that helped nothing, after which no further one is tried.
const IN_VAIN: u32 = 2;

/// An object to restore.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Where it was in the Snapshot.
    pub(super) place: Place,
    /// Where it goes; none for resources of the cluster.
    pub(super) namespace: Option<String>,
    /// What is applied.
    pub(super) object: Value,
    /// Its owners in the old cluster.
    pub(super) owners: Vec<Value>,
}

impl Item {
    pub(super) fn restored(&self, outcome: Outcome, reason: String) -> Restored {
        Restored {
            resource: self.place.resource.clone(),
            namespace: self.namespace.clone(),
            name: self.place.name.clone(),
            outcome,
            reason,
        }
    }
}

/// How it is done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// Whether anything is stored.
    pub(super) dry_run: DryRun,
    /// Whether objects that are there are changed.
    pub(super) change: bool,
    /// Whether fields are taken from others.
    pub(super) force: bool,
    /// How many passes at most.
    pub(super) passes: u32,
}

/// Why one could not be restored.
struct Refused {
    reason: String,
    /// Whether it may go well when other objects are there.
    later: bool,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused {
            later: !matches!(error, Error::Forbidden { .. }),
            reason: error.to_string(),
        }
    }
}

/// Applies all; answers in their order.
///
/// # Errors
/// When the API server does not say what it serves.
pub(super) async fn all(
    cluster: &Cluster,
    items: &[Item],
    options: &Options,
    progress: &Progress<'_>,
) -> Result<Vec<Restored>, CliError> {
    let mut results: Vec<Option<Restored>> = vec![None; items.len()];
    let mut namespaces = Namespaces::default();
    let mut served = Vec::new();
    let mut in_vain = 0;
    for pass in 0..options.passes {
        if pass > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        served = cluster.served().await?.0;
        let mut before = 0;
        let mut pending = 0;
        for (item, result) in items.iter().zip(results.iter_mut()) {
            let again = result.as_ref().is_none_or(|r| r.outcome == Outcome::Failed);
            if !again || result.as_ref().is_some_and(|r| r.reason.starts_with(FORBIDDEN)) {
                continue;
            }
            before += 1;
            progress.tick(&format!("restoring {}", item.place.told()));
            if options.dry_run != DryRun::None && comes_defined(&served, item, items) {
                let reason = "its definition would be restored, too, so the server could not check it";
                *result = Some(item.restored(Outcome::Created, reason.to_owned()));
                continue;
            }
            *result = Some(
                match one(cluster, &served, item, options, &mut namespaces).await {
                    Ok((outcome, reason)) => item.restored(outcome, reason),
                    Err(refused) => {
                        pending += usize::from(refused.later);
                        let mark = if refused.later { "" } else { FORBIDDEN };
                        item.restored(Outcome::Failed, format!("{mark}{}", refused.reason))
                    }
                },
            );
        }
        in_vain = if pending == before { in_vain + 1 } else { 0 };
        if pending == 0 || in_vain == IN_VAIN || options.dry_run != DryRun::None {
            break;
        }
    }
    let mut results: Vec<Restored> = items
        .iter()
        .zip(results)
        .map(|(item, result)| {
            result.unwrap_or_else(|| item.restored(Outcome::Skipped, "no pass was allowed".to_owned()))
        })
        .collect();
    if options.dry_run == DryRun::None {
        relink(cluster, &served, items, &mut results).await;
    }
    for result in &mut results {
        if let Some(reason) = result.reason.strip_prefix(FORBIDDEN) {
            result.reason = reason.to_owned();
        }
    }
    Ok(results)
}

/// Whether a kind that the server does not know yet has its definition among what is restored.
fn comes_defined(served: &[Served], item: &Item, items: &[Item]) -> bool {
    let resource = &item.place.resource;
    let definition = |other: &Item| {
        other.place.resource == "customresourcedefinitions.apiextensions.k8s.io"
            && other.place.name == *resource
    };
    !served.iter().any(|s| s.resource() == *resource) && items.iter().any(definition)
}

/// Marks, inside, a failure that no other object can mend.
const FORBIDDEN: &str = "\u{1}";

/// Namespaces that are known to be there, or not.
#[derive(Debug, Default)]
struct Namespaces {
    there: BTreeSet<String>,
    missing: BTreeSet<String>,
}

/// The kind as the object itself names its version, where the group is the same.
fn own_version(kind: &Served, object: &Value) -> Served {
    let api = text(object, "/apiVersion");
    let (group, version) = api.rsplit_once('/').unwrap_or(("", api));
    Served {
        version: if group == kind.group && !version.is_empty() {
            version.to_owned()
        } else {
            kind.version.clone()
        },
        ..kind.clone()
    }
}

async fn one(
    cluster: &Cluster,
    served: &[Served],
    item: &Item,
    options: &Options,
    namespaces: &mut Namespaces,
) -> Result<(Outcome, String), Refused> {
    let resource = &item.place.resource;
    let kind = served.iter().find(|s| s.resource() == *resource).ok_or_else(|| Refused {
        reason: format!(
            "this cluster does not serve {resource}; its CustomResourceDefinition may be in the Snapshot, for --include-cluster-resources"
        ),
        later: true,
    })?;
    if kind.namespaced != item.namespace.is_some() {
        return Err(Refused {
            reason: format!(
                "{resource} here are not what they were: {}",
                if kind.namespaced {
                    "they live in namespaces"
                } else {
                    "they live in no namespace"
                }
            ),
            later: false,
        });
    }
    let mut will = String::new();
    if let Some(namespace) = &item.namespace
        && !there(cluster, namespace, options, namespaces).await?
    {
        will = format!("namespace {namespace} would be created, too, so the server could not check it");
    }
    if !will.is_empty() {
        return Ok((Outcome::Created, will));
    }
    let mut kind = own_version(kind, &item.object);
    let mut object = item.object.clone();
    let (namespace, name) = (item.namespace.as_deref(), item.place.name.as_str());
    let existing = match cluster.find_served(&kind, namespace, name).await {
        Err(Error::UnknownKind { .. }) => {
            // The version is not served any more: in the one that is, if the fields are the same.
            if let Some(preferred) = served.iter().find(|s| s.resource() == *resource) {
                kind = preferred.clone();
                object["apiVersion"] = json!(kind.api_version());
            }
            cluster.find_served(&kind, namespace, name).await?
        }
        other => other?,
    };
    if existing.is_some() && !options.change {
        return Ok((Outcome::Exists, String::new()));
    }
    if options.dry_run == DryRun::Client {
        let outcome = existing.map_or(Outcome::Created, |_| Outcome::Updated);
        return Ok((outcome, String::new()));
    }
    let write = Write {
        dry_run: options.dry_run == DryRun::Server,
        force: options.force || existing.is_none(),
    };
    let after = cluster
        .apply_served(&kind, namespace, name, &object, write)
        .await?;
    let version = |object: &Value| text(object, "/metadata/resourceVersion").to_owned();
    Ok((
        match existing {
            None => Outcome::Created,
            Some(before) if version(&before) == version(&after) => Outcome::Unchanged,
            Some(_) => Outcome::Updated,
        },
        String::new(),
    ))
}

/// Whether a namespace is there; outside of dry runs it is made.
async fn there(
    cluster: &Cluster,
    namespace: &str,
    options: &Options,
    known: &mut Namespaces,
) -> Result<bool, Refused> {
    if known.there.contains(namespace) {
        return Ok(true);
    }
    if known.missing.contains(namespace) {
        return Ok(false);
    }
    let found: Result<Option<Value>, Error> = cluster.find(&kinds::NAMESPACE, None, namespace).await;
    let exists = match found {
        Ok(found) => found.is_some(),
        // Who may not look at namespaces may still work in one.
        Err(Error::Forbidden { .. }) => true,
        Err(error) => return Err(error.into()),
    };
    if !exists && options.dry_run != DryRun::None {
        known.missing.insert(namespace.to_owned());
        return Ok(false);
    }
    if !exists {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        match cluster.create(&kinds::NAMESPACE, None, &object).await {
            Ok(_) | Err(Error::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    known.there.insert(namespace.to_owned());
    Ok(true)
}

/// Gives objects their owners back, as far as those were restored, too: under the UIDs that they have here.
async fn relink(cluster: &Cluster, served: &[Served], items: &[Item], results: &mut [Restored]) {
    let kind_of = |item: &Item| {
        let found = served.iter().find(|s| s.resource() == item.place.resource)?;
        Some(own_version(found, &item.object))
    };
    for (item, result) in items.iter().zip(results.iter_mut()) {
        if item.owners.is_empty() || result.outcome != Outcome::Created {
            continue;
        }
        let mut owners = Vec::new();
        for owner in &item.owners {
            let is = |other: &&Item| {
                text(&other.object, "/kind") == text(owner, "/kind")
                    && other.place.name == text(owner, "/name")
                    && (other.namespace.is_none() || other.namespace == item.namespace)
            };
            let Some(other) = items.iter().find(is) else {
                continue;
            };
            let Some(kind) = kind_of(other) else {
                continue;
            };
            let namespace = other.namespace.as_deref();
            if let Ok(Some(live)) = cluster.find_served(&kind, namespace, &other.place.name).await {
                let mut owner = owner.clone();
                owner["uid"] = live["metadata"]["uid"].clone();
                owners.push(owner);
            }
        }
        let Some(kind) = kind_of(item).filter(|_| !owners.is_empty()) else {
            continue;
        };
        let patch = json!({"metadata": {"ownerReferences": owners}});
        let namespace = item.namespace.as_deref();
        if let Err(error) = cluster
            .merge_served(&kind, namespace, &item.place.name, &patch)
            .await
        {
            result.reason = format!("its owner could not be set: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objects_own_version_is_used_in_its_own_group() {
        let kind = Served {
            group: "apps".into(),
            version: "v1".into(),
            kind: "Deployment".into(),
            plural: "deployments".into(),
            namespaced: true,
        };
        assert_eq!(
            own_version(&kind, &json!({"apiVersion": "apps/v1beta1"})).version,
            "v1beta1"
        );
        assert_eq!(
            own_version(&kind, &json!({"apiVersion": "extensions/v1beta1"})).version,
            "v1"
        );
    }
}
