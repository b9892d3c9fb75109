//! The wizard for a RestoreSession: which Snapshot, what of it, and into what.

mod place;
mod source;
mod task;

use std::sync::Arc;

use clap::Args;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::asking::Asking;
use super::backup::parse_target;
use super::found::Found;
use super::names;
use super::prompter::{Prompter, Reply, fail};
use super::retention::admitted;
use super::target;
use super::walk::Step;
use crate::api::shared::{AddonInfo, TypedObjectReference};
use crate::api::storage::{Repository, Snapshot, SnapshotPhase};
use crate::cluster::{Kind, kinds};
use crate::decide::naming;
use crate::decide::retention::snapshot_time;
use crate::output::human;

/// The word for the newest Snapshot that succeeded.
pub const LATEST: &str = "latest";

/// The answers for a RestoreSession.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[command(next_help_heading = "Answers")]
pub struct RestoreAnswers {
    /// Name of the RestoreSession; after its Repository by default
    #[arg(value_name = "NAME", help_heading = None)]
    pub name: Option<String>,
    /// Repository to restore from
    #[arg(long, visible_alias = "repository", value_name = "[NAMESPACE/]NAME")]
    pub repo: Option<String>,
    /// Snapshot to restore; the newest that succeeded by default
    #[arg(long, value_name = "NAME|latest")]
    pub snapshot: Option<String>,
    /// Component to restore; may be repeated; all by default
    #[arg(long, visible_alias = "component", value_name = "NAME", value_delimiter = ',')]
    pub components: Vec<String>,
    /// What to restore into; what was backed up by default
    #[arg(long, value_name = "KIND/NAME")]
    pub target: Option<String>,
    /// Namespace of the target, where it is another one
    #[arg(long, value_name = "NAMESPACE", requires = "target")]
    pub target_namespace: Option<String>,
    /// Only what matches these patterns, separated by commas; may be repeated
    #[arg(long, value_name = "PATTERNS")]
    pub include: Vec<String>,
    /// Not what matches these patterns, separated by commas; may be repeated
    #[arg(long, value_name = "PATTERNS")]
    pub exclude: Vec<String>,
    /// Another parameter of the task; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub param: Vec<String>,
    /// Addon that restores; the backup's own, or by the kind of the target, by default
    #[arg(long, value_name = "NAME")]
    pub addon: Option<String>,
    /// Task of the Addon
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// User that the restore runs as; 0 by default, which keeps the owners of files
    #[arg(long, value_name = "UID", value_parser = clap::value_parser!(i64).range(0..))]
    pub run_as_user: Option<i64>,
    /// The longest that the restore may take, such as 2h
    #[arg(long, value_name = "DURATION")]
    pub restore_timeout: Option<String>,
}

/// A wizard on its way.
#[derive(Debug, Clone)]
pub struct State {
    /// The answers.
    pub answers: RestoreAnswers,
    /// What the cluster has.
    pub found: Arc<Found>,
    components_asked: bool,
    in_place: bool,
    elsewhere: bool,
    files_asked: bool,
    files: Vec<String>,
}

impl State {
    /// A wizard with the answers that are there already.
    pub fn new(answers: RestoreAnswers, found: Arc<Found>) -> Self {
        State {
            answers,
            found,
            components_asked: false,
            in_place: false,
            elsewhere: false,
            files_asked: false,
            files: Vec::new(),
        }
    }

    /// Namespace and name of the Repository.
    fn repo(&self) -> Option<(&str, &str)> {
        Some(names::reference(
            self.answers.repo.as_deref()?,
            &self.found.namespace,
        ))
    }

    fn repository(&self) -> Option<&Repository> {
        let (namespace, name) = self.repo()?;
        self.found
            .repositories
            .iter()
            .find(|r| r.name_any() == name && r.namespace().as_deref() == Some(namespace))
    }

    /// The Snapshots of the Repository, newest first, as far as they could be read.
    fn snapshots(&self) -> Vec<&Snapshot> {
        let Some((namespace, name)) = self.repo() else {
            return Vec::new();
        };
        let mut all: Vec<&Snapshot> = self
            .found
            .snapshots
            .iter()
            .filter(|s| s.spec.repository == name && s.namespace().as_deref() == Some(namespace))
            .collect();
        all.sort_by_key(|s| std::cmp::Reverse(snapshot_time(s)));
        all
    }

    /// The Snapshot that `--snapshot` means now.
    fn snapshot(&self) -> Option<&Snapshot> {
        let all = self.snapshots();
        match self.answers.snapshot.as_deref()? {
            LATEST => all.into_iter().find(|s| succeeded(s)),
            name => all.into_iter().find(|s| s.name_any() == name),
        }
    }

    /// The Addon that made the backups of the Repository.
    fn backup_addon(&self) -> Option<&AddonInfo> {
        let (_, name) = self.repo()?;
        self.found
            .configurations
            .iter()
            .flat_map(|c| &c.spec.sessions)
            .find(|s| s.repositories.iter().any(|r| r.name == name))?
            .addon
            .as_ref()
    }

    /// Kind, namespace (where it is not the session's) and name of the target.
    fn target(&self) -> Option<(&'static Kind, Option<String>, String)> {
        if let Some(text) = &self.answers.target {
            let (kind, name) = parse_target(text).ok()?;
            return Some((kind, self.answers.target_namespace.clone(), name.to_owned()));
        }
        let own = self.repository()?.spec.app_ref.as_ref()?;
        let kind = kind_of(own)?;
        let elsewhere = own
            .namespace
            .clone()
            .filter(|n| !n.is_empty() && *n != self.found.namespace);
        Some((kind, elsewhere, own.name.clone()))
    }
}

fn kind_of(reference: &TypedObjectReference) -> Option<&'static Kind> {
    let kind = reference.kind.as_deref()?;
    target::KINDS.into_iter().find(|k| k.kind == kind)
}

fn succeeded(snapshot: &Snapshot) -> bool {
    snapshot.status.as_ref().and_then(|s| s.phase) == Some(SnapshotPhase::Succeeded)
}

impl Asking for State {
    type Answers = RestoreAnswers;

    const COMMAND: &'static str = "restore";
    const OURS: &'static [&'static Kind] = &[
        &kinds::REPOSITORY,
        &kinds::SNAPSHOT,
        &kinds::ADDON,
        &kinds::BACKUP_CONFIGURATION,
    ];
    const BUILTIN: &'static [&'static Kind] = &[
        &kinds::DEPLOYMENT,
        &kinds::STATEFUL_SET,
        &kinds::DAEMON_SET,
        &kinds::CLAIM,
        &kinds::NAMESPACE,
    ];
    const STEPS: &'static [Step<Self>] = STEPS;

    fn answers(&self) -> &RestoreAnswers {
        &self.answers
    }

    fn found(&self) -> &Found {
        &self.found
    }

    fn look_again(&mut self, found: Arc<Found>) {
        self.found = found;
    }

    fn manifests(&self) -> Option<Vec<Value>> {
        manifests(self)
    }

    fn retold(&self, first: &RestoreAnswers) -> RestoreAnswers {
        // The name holds the moment; the next restore gets one of its own.
        RestoreAnswers {
            name: first.name.clone(),
            ..self.answers.clone()
        }
    }
}

/// The steps in order.
pub const STEPS: &[Step<State>] = &[
    source::repository,
    source::snapshot,
    source::components,
    place::target_step,
    task::task_step,
    task::files,
    name,
    check,
];

fn name(state: &mut State, _: &mut dyn Prompter) -> Reply<()> {
    if let Some(name) = &state.answers.name {
        return names::check(name).or_else(fail);
    }
    // Each restore is an object of its own, and nobody needs to think of its name.
    if let Some((_, repo)) = state.repo() {
        let number = state.found.now.as_second().to_string();
        state.answers.name = Some(naming::join3(repo, "restore", &number));
    }
    Ok(())
}

fn check(state: &mut State, _: &mut dyn Prompter) -> Reply<()> {
    if let Some(text) = &state.answers.restore_timeout {
        human::parse_duration(text).map(|_| ()).or_else(fail)?;
    }
    match manifests(state) {
        Some(objects) => admitted(&state.found, &objects),
        None => Ok(()),
    }
}

/// Namespace of the target, where it is known.
pub fn target_namespace(state: &State) -> String {
    state
        .target()
        .and_then(|(_, namespace, _)| namespace)
        .unwrap_or_else(|| state.found.namespace.clone())
}

/// The RestoreSession that the answers make; `None` while essential answers are missing.
pub fn manifests(state: &State) -> Option<Vec<Value>> {
    let answers = &state.answers;
    let (source_namespace, repo) = state.repo()?;
    let (kind, target_namespace, target_name) = state.target()?;
    let (addon, task, _) = task::chosen(state)?;
    let mut source = json!({"repository": repo, "snapshot": answers.snapshot.as_deref().unwrap_or(LATEST)});
    if source_namespace != state.found.namespace {
        source["namespace"] = json!(source_namespace);
    }
    if !answers.components.is_empty() {
        source["components"] = json!(answers.components);
    }
    let mut reference = json!({"name": task});
    let params = task::params(state).ok()?;
    if !params.is_empty() {
        reference["params"] = json!(params);
    }
    // Volumes that the user named for the backup are those to restore into.
    let volumes = state
        .backup_addon()
        .and_then(|a| a.tasks.first())
        .and_then(|t| t.target_volumes.clone());
    if let Some(volumes) = volumes {
        reference["targetVolumes"] = serde_json::to_value(volumes).ok()?;
    }
    let mut addon = json!({"name": addon, "tasks": [reference]});
    if let Some(user) = answers.run_as_user {
        addon["jobTemplate"] = json!({"spec": {"securityContext": {"runAsUser": user}}});
    }
    let target_namespace = target_namespace.unwrap_or_else(|| state.found.namespace.clone());
    let mut spec = json!({
        "target": {"apiGroup": kind.group, "kind": kind.kind, "namespace": target_namespace, "name": target_name},
        "dataSource": source,
        "addon": addon,
    });
    if let Some(timeout) = &answers.restore_timeout {
        spec["restoreTimeout"] = json!(human::go_duration(human::parse_duration(timeout).ok()?));
    }
    Some(vec![json!({
        "apiVersion": kinds::RESTORE_SESSION.api_version(),
        "kind": kinds::RESTORE_SESSION.kind,
        "metadata": {"name": answers.name.as_deref()?, "namespace": state.found.namespace},
        "spec": spec,
    })])
}

#[cfg(test)]
mod tests;
