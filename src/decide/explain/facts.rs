//! What an explanation is made of: the objects that could be read, and what could not.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use super::chain::About;
use crate::api::addons::{Addon, Function};
use crate::api::core::{BackupConfiguration, BackupSession, RestoreSession};
use crate::api::shared::Condition;
use crate::api::storage::{BackupStorage, Repository, RetentionPolicy, Snapshot};

/// The objects. The reader promises: what an object refers to was looked for too, so that what is not here does not
/// exist, unless its kind is in `unseen`.
#[derive(Debug, Default)]
pub struct Facts {
    /// The moment.
    pub now: Timestamp,
    /// The operator.
    pub operator: Operator,
    /// BackupConfigurations.
    pub configurations: Vec<BackupConfiguration>,
    /// BackupSessions.
    pub sessions: Vec<BackupSession>,
    /// RestoreSessions.
    pub restores: Vec<RestoreSession>,
    /// Snapshots.
    pub snapshots: Vec<Snapshot>,
    /// Repositories.
    pub repositories: Vec<Repository>,
    /// BackupStorages.
    pub storages: Vec<BackupStorage>,
    /// RetentionPolicies.
    pub policies: Vec<RetentionPolicy>,
    /// Addons.
    pub addons: Vec<Addon>,
    /// Functions.
    pub functions: Vec<Function>,
    /// Secrets by namespace and name, with the names of their keys (never their values).
    pub secrets: BTreeMap<(String, String), BTreeSet<String>>,
    /// Jobs of the sessions.
    pub jobs: Vec<Job>,
    /// Pods of the sessions.
    pub pods: Vec<Pod>,
    /// Claims that pods wait for.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Events of Jobs, pods and claims.
    pub events: Vec<Event>,
    /// The object itself, where its kind has nothing of its own above: its phase, conditions and what it refers to.
    pub other: Option<Other>,
    /// Kinds that could not be read, and why.
    pub unseen: BTreeMap<String, String>,
}

/// The operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Operator {
    /// It could not be looked for.
    #[default]
    Unknown,
    /// There is none.
    Missing,
    /// It is there and does not run: its namespace, its Deployment, why.
    Down(String, String, String),
    /// It runs: its namespace, its Deployment.
    Up(String, String),
}

/// An object of a kind without reasoning of its own.
#[derive(Debug, Clone, Default)]
pub struct Other {
    /// Its phase; empty when it has none.
    pub phase: String,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// What it refers to, and whether that exists.
    pub refers: Vec<(About, bool)>,
    /// What refers to it.
    pub used_by: Vec<About>,
}

/// What is known of an object that another refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'f, T> {
    /// It exists.
    Found(&'f T),
    /// It does not exist.
    Missing,
    /// It could not be looked for.
    Unknown,
}

impl Facts {
    /// An object by namespace and name.
    pub fn find<'f, K: ResourceExt<DynamicType = ()>>(
        &self,
        among: &'f [K],
        namespace: &str,
        name: &str,
    ) -> Seen<'f, K> {
        let found = among
            .iter()
            .find(|o| o.name_any() == name && o.namespace().unwrap_or_default() == namespace);
        match found {
            Some(object) => Seen::Found(object),
            None if self.unseen.contains_key(K::kind(&()).as_ref()) => Seen::Unknown,
            None => Seen::Missing,
        }
    }

    /// The Jobs of a session.
    pub fn jobs_of(&self, namespace: &str, session: &str) -> Vec<&Job> {
        let exact = format!("{namespace}/{session}");
        self.jobs
            .iter()
            .filter(|job| job.annotations().get(crate::decide::backup::INVOKER_ANNOTATION) == Some(&exact))
            .collect()
    }

    /// The pods of a Job, newest first.
    pub fn pods_of(&self, job: &Job) -> Vec<&Pod> {
        let mut pods: Vec<&Pod> = self
            .pods
            .iter()
            .filter(|pod| {
                pod.namespace() == job.namespace()
                    && pod
                        .owner_references()
                        .iter()
                        .any(|o| o.kind == "Job" && o.name == job.name_any())
            })
            .collect();
        pods.sort_by_key(|pod| std::cmp::Reverse(pod.creation_timestamp().map(|t| t.0)));
        pods
    }

    /// The newest Warning about an object: its reason and its words.
    pub fn warning(&self, kind: &str, namespace: &str, name: &str) -> Option<(String, String)> {
        self.events
            .iter()
            .filter(|e| e.type_.as_deref() == Some("Warning"))
            .filter(|e| {
                e.involved_object.kind.as_deref() == Some(kind)
                    && e.involved_object.name.as_deref() == Some(name)
                    && e.involved_object.namespace.as_deref() == Some(namespace)
            })
            .max_by_key(|e| {
                let series = e
                    .series
                    .as_ref()
                    .and_then(|s| s.last_observed_time.as_ref())
                    .map(|t| t.0);
                series
                    .or(e.last_timestamp.as_ref().map(|t| t.0))
                    .or(e.event_time.as_ref().map(|t| t.0))
            })
            .map(|e| {
                (
                    e.reason.clone().unwrap_or_default(),
                    e.message.clone().unwrap_or_default(),
                )
            })
    }
}
