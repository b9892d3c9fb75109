//! Reads what an explanation is made of: the object, what it refers to, and the Jobs, pods and events of its runs.
//!
//! What may not be read is noted and left out, so that somebody with few rights still gets the part of the answer that
//! they may have.

mod other;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::references::references;
use crate::api::core::{BackupConfiguration, BackupSession, RestoreSession};
use crate::api::labels;
use crate::api::storage::{BackupStorage, Repository, Snapshot};
use crate::cli::error::{CliError, Exit};
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds};
use crate::decide::backup::label;
use crate::decide::explain::chain::About;
use crate::decide::explain::facts::{Facts, Operator};
use crate::decide::explain::storage::{SCALED_DOWN, secret_of};

/// Gathers facts.
pub(super) struct Reader<'c> {
    cluster: &'c Cluster,
    facts: Facts,
    read: BTreeSet<(&'static str, String, String)>,
}

/// A Secret's keys; its values are not even parsed.
#[derive(Deserialize)]
struct Keys {
    #[serde(default)]
    data: BTreeMap<String, IgnoredAny>,
}

impl<'c> Reader<'c> {
    pub(super) fn new(cluster: &'c Cluster, now: Timestamp) -> Self {
        Reader {
            cluster,
            facts: Facts {
                now,
                ..Facts::default()
            },
            read: BTreeSet::new(),
        }
    }

    /// Reads an object and all that explains it.
    pub(super) async fn read(
        mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
    ) -> Result<(About, Facts), CliError> {
        let place = if kind.namespaced { namespace } else { "" };
        let object: Value = self.cluster.get(kind, Some(namespace), name).await?;
        self.operator().await?;
        match kind.kind {
            "BackupConfiguration" => Box::pin(self.configuration(typed(object)?)).await?,
            "BackupSession" => Box::pin(self.session(typed(object)?)).await?,
            "RestoreSession" => Box::pin(self.restore(typed(object)?)).await?,
            "Snapshot" => Box::pin(self.snapshot(typed(object)?)).await?,
            "Repository" => Box::pin(self.repository(typed(object)?)).await?,
            "BackupStorage" => Box::pin(self.storage(typed(object)?)).await?,
            _ => self.other(kind, place, name, &object).await?,
        }
        Ok((About::new(kind.kind, place, name), self.facts))
    }

    /// Reads one object once; what is missing or may not be read is nothing.
    async fn one<T: DeserializeOwned>(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<T>, CliError> {
        if name.is_empty()
            || !self
                .read
                .insert((kind.kind, namespace.to_owned(), name.to_owned()))
        {
            return Ok(None);
        }
        match self.cluster.find(kind, Some(namespace), name).await {
            Ok(found) => Ok(found),
            Err(error) => self.forgive(kind, error).map(|()| None),
        }
    }

    async fn all<T: DeserializeOwned>(
        &mut self,
        kind: &'static Kind,
        options: &ListOptions,
    ) -> Result<Vec<T>, CliError> {
        match self.cluster.list(kind, options).await {
            Ok(found) => Ok(found),
            Err(error) => self.forgive(kind, error).map(|()| Vec::new()),
        }
    }

    fn forgive(&mut self, kind: &Kind, error: Error) -> Result<(), CliError> {
        match error {
            Error::Forbidden { message } => {
                self.facts.unseen.insert(kind.kind.to_owned(), message);
                Ok(())
            }
            other => Err(other.into()),
        }
    }

    async fn operator(&mut self) -> Result<(), CliError> {
        self.facts.operator = operator(self.cluster).await?;
        Ok(())
    }

    async fn configuration(&mut self, configuration: BackupConfiguration) -> Result<(), CliError> {
        let namespace = configuration.namespace().unwrap_or_default();
        let name = configuration.name_any();
        let object = serde_json::to_value(&configuration).unwrap_or_default();
        for (kind, place, name) in references(&object, &namespace) {
            self.referred(kind, &place, &name).await?;
        }
        let chosen: Vec<(String, String, bool)> = configuration
            .status
            .iter()
            .flat_map(|s| &s.backends)
            .flat_map(|b| {
                let storage = b
                    .storage
                    .as_ref()
                    .and_then(|s| s.ref_.as_ref())
                    .map(|r| (r, true));
                let policy = b
                    .retention_policy
                    .as_ref()
                    .and_then(|s| s.ref_.as_ref())
                    .map(|r| (r, false));
                storage.into_iter().chain(policy)
            })
            .map(|(r, storage)| (r.namespace_or(&namespace).to_owned(), r.name.clone(), storage))
            .collect();
        for (place, name, storage) in chosen {
            let kind = if storage {
                &kinds::BACKUP_STORAGE
            } else {
                &kinds::RETENTION_POLICY
            };
            self.referred(kind, &place, &name).await?;
        }
        for repository in configuration.spec.sessions.iter().flat_map(|s| &s.repositories) {
            self.referred(&kinds::REPOSITORY, &namespace, &repository.name)
                .await?;
        }
        let runs: Vec<BackupSession> = self
            .all(&kinds::BACKUP_SESSION, &ListOptions::of(&namespace))
            .await?;
        for session in &configuration.spec.sessions {
            let newest = runs
                .iter()
                .filter(|r| r.spec.session == session.name)
                .filter(|r| r.spec.invoker.as_ref().is_some_and(|i| i.name == name))
                .max_by_key(|r| r.creation_timestamp().map(|t| t.0));
            if let Some(newest) = newest {
                let elsewhere = target_namespace(&configuration);
                self.run_of(newest.clone(), &elsewhere).await?;
            }
        }
        self.facts.configurations.push(configuration);
        Ok(())
    }

    /// Reads what a field refers to, with what that depends on.
    async fn referred(&mut self, kind: &'static Kind, namespace: &str, name: &str) -> Result<(), CliError> {
        match kind.kind {
            "BackupStorage" => {
                if let Some(found) = self.one(kind, namespace, name).await? {
                    Box::pin(self.storage(found)).await?;
                }
            }
            "Repository" => {
                if let Some(found) = self.one(kind, namespace, name).await? {
                    Box::pin(self.repository(found)).await?;
                }
            }
            "RetentionPolicy" => {
                let found = self.one(kind, namespace, name).await?;
                self.facts.policies.extend(found);
            }
            "Addon" => {
                let found = self.one(kind, namespace, name).await?;
                self.facts.addons.extend(found);
            }
            "Secret" => {
                let found: Option<Keys> = self.one(kind, namespace, name).await?;
                if let Some(keys) = found {
                    let key = (namespace.to_owned(), name.to_owned());
                    self.facts.secrets.insert(key, keys.data.into_keys().collect());
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn storage(&mut self, storage: BackupStorage) -> Result<(), CliError> {
        let namespace = storage.namespace().unwrap_or_default();
        if let Some(secret) = secret_of(&storage.spec.storage) {
            self.referred(&kinds::SECRET, &namespace, &secret).await?;
        }
        self.facts.storages.push(storage);
        Ok(())
    }

    async fn repository(&mut self, repository: Repository) -> Result<(), CliError> {
        let namespace = repository.namespace().unwrap_or_default();
        if let Some(reference) = &repository.spec.storage_ref {
            self.referred(
                &kinds::BACKUP_STORAGE,
                reference.namespace_or(&namespace),
                &reference.name,
            )
            .await?;
        }
        if let Some(reference) = &repository.spec.encryption_secret {
            self.referred(
                &kinds::SECRET,
                reference.namespace_or(&namespace),
                &reference.name,
            )
            .await?;
        }
        self.facts.repositories.push(repository);
        Ok(())
    }

    async fn snapshot(&mut self, snapshot: Snapshot) -> Result<(), CliError> {
        let namespace = snapshot.namespace().unwrap_or_default();
        self.referred(&kinds::REPOSITORY, &namespace, &snapshot.spec.repository)
            .await?;
        let made_by = snapshot.spec.backup_session.clone();
        self.facts.snapshots.push(snapshot);
        if let Some(session) = self.one(&kinds::BACKUP_SESSION, &namespace, &made_by).await? {
            Box::pin(self.session(session)).await?;
        }
        Ok(())
    }

    async fn session(&mut self, session: BackupSession) -> Result<(), CliError> {
        let namespace = session.namespace().unwrap_or_default();
        let invoker = session.spec.invoker.clone().unwrap_or_default().name;
        let configuration: Option<BackupConfiguration> = self
            .one(&kinds::BACKUP_CONFIGURATION, &namespace, &invoker)
            .await?;
        let elsewhere = configuration.as_ref().map(target_namespace).unwrap_or_default();
        self.facts.configurations.extend(configuration);
        self.run_of(session, &elsewhere).await
    }

    /// A run with its Snapshots, Repositories, Jobs, pods and events.
    async fn run_of(&mut self, session: BackupSession, elsewhere: &str) -> Result<(), CliError> {
        let namespace = session.namespace().unwrap_or_default();
        for reference in session.status.iter().flat_map(|s| &s.snapshots) {
            let found: Option<Snapshot> = self.one(&kinds::SNAPSHOT, &namespace, &reference.name).await?;
            self.facts.snapshots.extend(found);
            self.referred(&kinds::REPOSITORY, &namespace, &reference.repository)
                .await?;
        }
        self.work(&namespace, &session.name_any(), elsewhere).await?;
        self.facts.sessions.push(session);
        Ok(())
    }

    async fn restore(&mut self, session: RestoreSession) -> Result<(), CliError> {
        let namespace = session.namespace().unwrap_or_default();
        let source = session.spec.data_source.clone().unwrap_or_default();
        let from = source.namespace.clone().unwrap_or_else(|| namespace.clone());
        if source.snapshot != "latest"
            && let Some(snapshot) = self
                .one::<Snapshot>(&kinds::SNAPSHOT, &from, &source.snapshot)
                .await?
        {
            self.referred(&kinds::REPOSITORY, &from, &snapshot.spec.repository)
                .await?;
            self.facts.snapshots.push(snapshot);
        }
        self.referred(&kinds::REPOSITORY, &from, &source.repository)
            .await?;
        let elsewhere = session.spec.target.as_ref().and_then(|t| t.namespace.clone());
        self.work(&namespace, &session.name_any(), &elsewhere.unwrap_or_default())
            .await?;
        self.facts.restores.push(session);
        Ok(())
    }

    /// Jobs, pods and events of a session, where they may be.
    async fn work(&mut self, namespace: &str, name: &str, elsewhere: &str) -> Result<(), CliError> {
        let wanted = format!(
            "{}={},{}={}",
            labels::INVOKER_NAME,
            label(name),
            labels::INVOKER_NAMESPACE,
            label(namespace)
        );
        let mut places = BTreeSet::from([namespace.to_owned()]);
        places.extend(Some(elsewhere.to_owned()).filter(|e| !e.is_empty()));
        for place in places {
            let options = ListOptions::of(&place).labelled(wanted.clone());
            let jobs = self.all(&kinds::JOB, &options).await?;
            let pods: Vec<Pod> = self.all(&kinds::POD, &options).await?;
            let any = !jobs.is_empty();
            for claim in pods.iter().flat_map(waited_for) {
                let found = self.one(&kinds::CLAIM, &place, &claim).await?;
                self.facts.claims.extend(found);
            }
            self.facts.jobs.extend(jobs);
            self.facts.pods.extend(pods);
            if any && self.read.insert(("Event", place.clone(), String::new())) {
                let options = ListOptions {
                    fields: Some("type=Warning".to_owned()),
                    ..ListOptions::of(&place)
                };
                let events = self.all(&kinds::EVENT, &options).await?;
                self.facts.events.extend(events);
            }
        }
        Ok(())
    }
}

/// Looks for the operator in all namespaces.
///
/// # Errors
/// What the API server answers, apart from that one may not look.
pub(in crate::cli::commands) async fn operator(cluster: &Cluster) -> Result<Operator, Error> {
    let options = ListOptions::default().labelled("app.kubernetes.io/name=kubestash-operator");
    let found: Result<Vec<Value>, Error> = cluster.list(&kinds::DEPLOYMENT, &options).await;
    match found {
        Ok(found) => Ok(found.first().map_or(Operator::Missing, operator_of)),
        // Who may not see other namespaces is spared a note about it on every answer.
        Err(Error::Forbidden { .. }) => Ok(Operator::Unknown),
        Err(error) => Err(error),
    }
}

fn operator_of(deployment: &Value) -> Operator {
    let text = |pointer: &str| {
        deployment
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let available = deployment
        .pointer("/status/availableReplicas")
        .and_then(Value::as_i64);
    if available.is_some_and(|count| count > 0) {
        return Operator::Up(namespace, name);
    }
    if deployment.pointer("/spec/replicas").and_then(Value::as_i64) == Some(0) {
        return Operator::Down(namespace, name, SCALED_DOWN.to_owned());
    }
    let why = deployment
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|c| c.get("status").and_then(Value::as_str) == Some("False"))
        .and_then(|c| c.get("message"))
        .and_then(Value::as_str)
        .unwrap_or("none of its pods is available");
    Operator::Down(namespace, name, why.to_owned())
}

/// The claims of a pod that no node takes.
fn waited_for(pod: &Pod) -> Vec<String> {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    let mut unscheduled = conditions.filter(|c| c.type_ == "PodScheduled" && c.status == "False");
    if unscheduled.next().is_none() {
        return Vec::new();
    }
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    volumes
        .filter_map(|v| Some(v.persistent_volume_claim.as_ref()?.claim_name.clone()))
        .collect()
}

fn target_namespace(configuration: &BackupConfiguration) -> String {
    let target = configuration.spec.target.as_ref();
    target.and_then(|t| t.namespace.clone()).unwrap_or_default()
}

fn typed<T: DeserializeOwned>(object: Value) -> Result<T, CliError> {
    serde_json::from_value(object).map_err(|e| {
        CliError::new(Exit::Error, "the object is not as this version knows it")
            .cause(e.to_string())
            .hint("`kubectl kubestash version` compares this program with the operator")
    })
}
