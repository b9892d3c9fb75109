//! What there is: in the cluster, to be removed, and in the backends, to stay.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::order;
use crate::api::labels;
use crate::cli::error::{CliError, Exit};
use crate::cli::manifests::Manifests;
use crate::cli::report::text;
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds};
use crate::output::human;

/// What stays of one BackupStorage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stays {
    /// Namespace of the BackupStorage.
    namespace: String,
    /// Its name.
    name: String,
    /// Where its data lies: provider, bucket or volume, and prefix.
    place: String,
    /// How many Repositories are in it.
    repositories: usize,
    /// How many Snapshots they have.
    snapshots: usize,
    /// Their size as last measured; empty when not known.
    size: String,
}

impl Stays {
    pub(super) fn sentence(&self) -> String {
        let size = if self.size.is_empty() {
            String::new()
        } else {
            format!(", {}", self.size)
        };
        format!(
            "{}: {} with {}{size} (BackupStorage {}/{})",
            self.place,
            counted(self.repositories, "Repository", "Repositories"),
            human::counted(self.snapshots, "Snapshot"),
            self.namespace,
            self.name
        )
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What was read.
pub(super) struct Inventory {
    pub(super) operators: Vec<Value>,
    storages: Vec<Value>,
    repositories: Vec<Value>,
    snapshots: Vec<Value>,
    running: Vec<String>,
}

impl Inventory {
    /// Reads what there is. A kind that the cluster does not know has no objects.
    pub(super) async fn read(cluster: &Cluster) -> Result<Self, CliError> {
        let operator = ListOptions::default().labelled("app.kubernetes.io/name=kubestash-operator");
        let mut running = Vec::new();
        for kind in [&kinds::BACKUP_SESSION, &kinds::RESTORE_SESSION] {
            let sessions = every(cluster, kind).await?;
            running.extend(
                sessions
                    .iter()
                    .filter(|s| text(s, "/status/phase") == "Running")
                    .map(|s| {
                        format!(
                            "{}/{} -n {}",
                            kind.kind.to_lowercase(),
                            text(s, "/metadata/name"),
                            text(s, "/metadata/namespace")
                        )
                    }),
            );
        }
        Ok(Inventory {
            operators: cluster.list(&kinds::DEPLOYMENT, &operator).await?,
            storages: every(cluster, &kinds::BACKUP_STORAGE).await?,
            repositories: every(cluster, &kinds::REPOSITORY).await?,
            snapshots: every(cluster, &kinds::SNAPSHOT).await?,
            running,
        })
    }

    /// An error while something runs: it would be cut off without a word in its status.
    pub(super) fn refuse_while_running(&self, force: bool) -> Result<(), CliError> {
        let Some(first) = self.running.first().filter(|_| !force) else {
            return Ok(());
        };
        Err(CliError::new(
            Exit::Precondition,
            format!(
                "{} at work: {first}",
                counted(self.running.len(), "session is", "sessions are")
            ),
        )
        .hint(format!(
            "`kubectl kubestash logs {first} -f` follows it to its end"
        ))
        .hint("`--force` removes KubeStash all the same; what was uploaded stays in the backend"))
    }

    /// What stays in the backends, by BackupStorage.
    pub(super) fn stays(&self) -> Vec<Stays> {
        let repository = |o: &Value| {
            format!(
                "{}/{}",
                text(o, "/metadata/namespace"),
                text(o, "/spec/repository")
            )
        };
        let mut snapshots: BTreeMap<String, usize> = BTreeMap::new();
        for snapshot in &self.snapshots {
            *snapshots.entry(repository(snapshot)).or_default() += 1;
        }
        let mut all: Vec<Stays> = self
            .storages
            .iter()
            .map(|storage| {
                let (namespace, name) = (
                    text(storage, "/metadata/namespace"),
                    text(storage, "/metadata/name"),
                );
                let of: Vec<&Value> = self
                    .repositories
                    .iter()
                    .filter(|r| {
                        let own = text(r, "/metadata/namespace");
                        let named = Some(text(r, "/spec/storageRef/namespace")).filter(|n| !n.is_empty());
                        text(r, "/spec/storageRef/name") == name && named.unwrap_or(own) == namespace
                    })
                    .collect();
                let key =
                    |r: &Value| format!("{}/{}", text(r, "/metadata/namespace"), text(r, "/metadata/name"));
                Stays {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    place: place(&storage["spec"]["storage"]),
                    repositories: of.len(),
                    snapshots: of.iter().filter_map(|r| snapshots.get(&key(r))).sum(),
                    size: text(storage, "/status/totalSize").to_owned(),
                }
            })
            .collect();
        all.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        all
    }

    /// The objects to remove that are there, in their order.
    pub(super) async fn to_remove(
        &self,
        cluster: &Cluster,
        namespace: &str,
        all: bool,
    ) -> Result<Vec<Value>, CliError> {
        let shipped = Manifests::new(namespace, crate::IMAGE).map_err(|e| {
            CliError::new(Exit::Error, "the manifests of this program cannot be read").cause(e.to_string())
        })?;
        let mut found = Vec::new();
        for object in order(&shipped, all) {
            let Some(kind) = kinds::of(text(object, "/apiVersion"), text(object, "/kind")) else {
                continue;
            };
            let namespace = Some(text(object, "/metadata/namespace")).filter(|n| !n.is_empty());
            match cluster
                .find::<Value>(kind, namespace, text(object, "/metadata/name"))
                .await
            {
                Ok(object) => found.extend(object),
                Err(Error::UnknownKind { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        found.extend(self.made_by_the_operator(cluster, namespace, all).await?);
        Ok(found)
    }

    /// What the operator made: CronJobs that would go on asking for backups that nobody takes, its certificate and its
    /// Lease; with everything else also the rights of Jobs.
    async fn made_by_the_operator(
        &self,
        cluster: &Cluster,
        namespace: &str,
        all: bool,
    ) -> Result<Vec<Value>, CliError> {
        let managed = ListOptions::default().labelled(format!(
            "{}={}",
            labels::MANAGED_BY,
            labels::MANAGED_BY_KUBESTASH
        ));
        let mut kinds_made: Vec<&Kind> = vec![&kinds::CRON_JOB];
        if all {
            kinds_made.extend([
                &kinds::ROLE_BINDING,
                &kinds::CLUSTER_ROLE_BINDING,
                &kinds::SERVICE_ACCOUNT,
            ]);
        }
        let mut found = Vec::new();
        for kind in kinds_made {
            let mut objects: Vec<Value> = cluster.list(kind, &managed).await?;
            for object in &mut objects {
                // Lists leave out what all their entries share.
                object["apiVersion"] = kind.api_version().into();
                object["kind"] = kind.kind.into();
            }
            found.append(&mut objects);
        }
        for (kind, name) in [
            (&kinds::SECRET, crate::operator::webhook::SECRET),
            (&kinds::LEASE, crate::operator::leader::LEASE_NAME),
        ] {
            found.extend(cluster.find::<Value>(kind, Some(namespace), name).await?);
        }
        Ok(found)
    }
}

async fn every(cluster: &Cluster, kind: &Kind) -> Result<Vec<Value>, CliError> {
    match cluster.list(kind, &ListOptions::default()).await {
        Ok(found) => Ok(found),
        Err(Error::UnknownKind { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Where a storage's data lies, in a few words.
fn place(storage: &Value) -> String {
    let provider = text(storage, "/provider");
    let of = &storage[provider];
    let word = |name: &str| of[name].as_str().unwrap_or_default();
    let base = match provider {
        "local" => {
            let volume = [
                ("persistentVolumeClaim", "/persistentVolumeClaim/claimName"),
                ("hostPath", "/hostPath/path"),
                ("nfs", "/nfs/server"),
            ];
            volume
                .into_iter()
                .find(|(_, pointer)| !text(of, pointer).is_empty())
                .map_or_else(
                    || "local volume".to_owned(),
                    |(kind, pointer)| format!("{kind} {}", text(of, pointer)),
                )
        }
        "azure" => format!("azure container {}", word("container")),
        other => format!("{other} bucket {}", word("bucket")),
    };
    match word("prefix").trim_matches('/') {
        "" => base,
        prefix => format!("{base}, prefix {prefix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_stays_is_counted_by_storage() {
        let object =
            |namespace: &str, name: &str| json!({"metadata": {"name": name, "namespace": namespace}});
        let mut storage = object("demo", "s3");
        storage["spec"]["storage"] = json!({"provider": "s3", "s3": {"bucket": "b", "prefix": "/p/"}});
        storage["status"]["totalSize"] = json!("12 MiB");
        let mut near = object("demo", "r1");
        near["spec"]["storageRef"] = json!({"name": "s3"});
        let mut far = object("app", "r2");
        far["spec"]["storageRef"] = json!({"name": "s3", "namespace": "demo"});
        let mut other = object("app", "r3");
        other["spec"]["storageRef"] = json!({"name": "s3"});
        let snapshot = |namespace: &str, repository: &str| {
            let mut s = object(namespace, "x");
            s["spec"]["repository"] = json!(repository);
            s
        };
        let inventory = Inventory {
            operators: Vec::new(),
            storages: vec![storage],
            repositories: vec![near, far, other],
            snapshots: vec![
                snapshot("demo", "r1"),
                snapshot("app", "r2"),
                snapshot("app", "r2"),
                snapshot("app", "r3"),
            ],
            running: vec!["backupsession/x -n demo".to_owned()],
        };
        assert_eq!(
            inventory.stays()[0].sentence(),
            "s3 bucket b, prefix p: 2 Repositories with 3 Snapshots, 12 MiB (BackupStorage demo/s3)"
        );
        assert!(inventory.refuse_while_running(true).is_ok());
        let error = inventory.refuse_while_running(false).unwrap_err();
        assert_eq!(error.exit, Exit::Precondition);
        assert!(
            error.message.starts_with("1 session is at work"),
            "{}",
            error.message
        );
    }

    #[test]
    fn places_are_named_in_words() {
        assert_eq!(
            place(&json!({"provider": "local", "local": {"persistentVolumeClaim": {"claimName": "c"}}})),
            "persistentVolumeClaim c"
        );
        assert_eq!(
            place(&json!({"provider": "azure", "azure": {"container": "c"}})),
            "azure container c"
        );
    }
}
