//! BackupConfiguration, and BackupBatch, whose members become a BackupConfiguration each: KubeStash declares a
//! BackupBatch too, but nothing acts on one.

use serde_json::{Map, Value};

use super::hooks::{self, Owner};
use super::known::{Known, RepositoryKey, member_name};
use super::section::Section;
use super::session::{self, Paths};
use super::target::{self, Nature, Target, Task};
use super::{Scope, manifest, retention, runtime};
use crate::api::core::{self, BackendReference, BackupConfigurationSpec, RepositoryInfo, Session};
use crate::api::shared::{Duration, JobTemplate, ObjectReference, RetryConfig, Scheduler};

/// Name of the one session and of the one backend.
pub(super) const SESSION: &str = "backup";
pub(super) const BACKEND: &str = "storage";

const AT: &str = "spec.sessions[0]";

/// What stands beside the target: when and where to, how long, how often.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) schedule: Option<String>,
    pub(super) history: Option<i32>,
    pub(super) timeout: Option<Duration>,
    pub(super) retry: Option<RetryConfig>,
    paused: bool,
    snapshotter: bool,
    repository: Option<RepositoryKey>,
}

/// Reads schedule, history, time limit and retries; `to` is the path of the session.
pub(super) fn timing(spec: &mut Section<'_>, to: &str) -> Plan {
    let at = |field: &str| format!("{to}.{field}");
    let pointer = spec.at("schedule");
    let schedule = spec.text("schedule", &at("scheduler.schedule"));
    if schedule.is_none() {
        spec.scope().to_fill_in(
            &pointer,
            &at("scheduler"),
            "Stash was given no schedule, and a session needs one",
            "such as `schedule: \"0 2 * * *\"`; `suspend: true` beside it leaves the runs to you",
        );
    }
    let retry = spec.section("retryConfig").map(|mut retry| RetryConfig {
        max_retry: retry
            .number("maxRetry", &at("retryConfig.maxRetry"))
            .and_then(|count| i32::try_from(count).ok())
            .unwrap_or(1),
        delay: retry.duration("delay", &at("retryConfig.delay")),
    });
    Plan {
        schedule,
        history: spec
            .number("backupHistoryLimit", &at("sessionHistoryLimit"))
            .and_then(|count| i32::try_from(count).ok()),
        timeout: spec.duration("timeOut", &at("backupTimeout")),
        retry,
        ..Plan::default()
    }
}

fn plan(spec: &mut Section<'_>, namespace: &str) -> Plan {
    let mut plan = timing(spec, AT);
    plan.paused = spec.flag("paused", "spec.paused").unwrap_or_default();
    plan.snapshotter = driver(spec);
    let pointer = spec.at("repository");
    plan.repository = spec.section("repository").and_then(|mut repository| {
        let own = repository.text("namespace", "");
        let name = repository.text("name", "")?;
        spec.scope().carried(&pointer, "spec.backends[0].storageRef");
        Some((own.unwrap_or_else(|| namespace.to_owned()), name))
    });
    if plan.repository.is_none() {
        let why = if plan.snapshotter {
            "Stash keeps no record of volume snapshots in a bucket; KubeStash keeps one in a BackupStorage"
        } else {
            "no Repository is named"
        };
        spec.scope().to_fill_in(
            &pointer,
            "spec.backends[0].storageRef",
            why,
            "the name and namespace of a BackupStorage",
        );
    }
    plan
}

/// Whether volumes are snapshotted by their driver.
pub(super) fn driver(spec: &mut Section<'_>) -> bool {
    let pointer = spec.at("driver");
    match spec.text("driver", "").as_deref() {
        Some("VolumeSnapshotter") => {
            let how = "the task volume-snapshot does it";
            spec.scope().changed(&pointer, "", how);
            true
        }
        Some("Restic") => {
            spec.scope().changed(&pointer, "", "restic is what the task uses");
            false
        }
        Some(other) => {
            let why = format!("{other} is no driver of Stash");
            spec.scope().not_carried(&pointer, &why, "");
            false
        }
        None => false,
    }
}

pub(super) fn convert(scope: &Scope, object: &Value, known: &Known<'_>) -> Vec<Value> {
    let own = scope.object().clone();
    let (namespace, name) = (own.namespace.as_str(), own.name.as_str());
    scope.aim("BackupConfiguration", namespace, name);
    let mut spec = Section::of(scope, object, "/spec");
    let plan = plan(&mut spec, namespace);
    let policy = retention::read(
        &mut spec,
        (namespace, name),
        None,
        "spec.backends[0].retentionPolicy",
        known,
    );
    let Some((configuration, templates)) = configuration(
        scope,
        spec,
        (namespace, name),
        &plan,
        policy.reference.clone(),
        known,
    ) else {
        scope.was_not_made();
        return policy.object.into_iter().collect();
    };
    let main = manifest(
        core::GROUP,
        "BackupConfiguration",
        (namespace, name),
        Some(object),
        configuration,
    );
    policy.object.into_iter().chain(templates).chain([main]).collect()
}

pub(super) fn convert_batch(scope: &Scope, object: &Value, known: &Known<'_>) -> Vec<Value> {
    let own = scope.object().clone();
    let (namespace, batch) = (own.namespace.as_str(), own.name.as_str());
    scope.aim("BackupConfiguration", namespace, &format!("{batch}-…"));
    let mut spec = Section::of(scope, object, "/spec");
    let plan = plan(&mut spec, namespace);
    let policy = retention::read(
        &mut spec,
        (namespace, batch),
        None,
        "spec.backends[0].retentionPolicy",
        known,
    );
    batch_as_a_whole(&mut spec, "BackupConfiguration");
    let mut made: Vec<Value> = policy.object.into_iter().collect();
    for member in spec.sections("members") {
        let name = member_name(batch, &member.value());
        scope.aim("BackupConfiguration", namespace, &name);
        let Some((configuration, templates)) = configuration(
            scope,
            member,
            (namespace, &name),
            &plan,
            policy.reference.clone(),
            known,
        ) else {
            scope.was_not_made();
            continue;
        };
        made.extend(templates);
        made.push(manifest(
            core::GROUP,
            "BackupConfiguration",
            (namespace, &name),
            Some(object),
            configuration,
        ));
    }
    made
}

/// What a batch says about all its members together.
pub(super) fn batch_as_a_whole(spec: &mut Section<'_>, kind: &str) {
    spec.scope().changed(
        "",
        "",
        &format!("each member becomes a {kind} of its own: nothing acts on a BackupBatch of KubeStash, and there is no RestoreBatch"),
    );
    let order = spec.at("executionOrder");
    match spec.text("executionOrder", "").as_deref() {
        Some("Sequential") => spec.scope().not_carried(
            &order,
            "sessions of different objects do not wait for each other",
            "give them schedules some time apart, or apply restores one after the other",
        ),
        Some(_) => spec.scope().changed(&order, "", "members run side by side"),
        None => {}
    }
    spec.refuse(
        "hooks",
        "there is no hook around several objects",
        "move what must happen before into the hook of the first member, what must happen after into that of the last",
    );
    spec.refuse(
        "runtimeSettings",
        "there is no object that stands for the whole batch",
        "write it into each member and convert again",
    );
}

type Made = (BackupConfigurationSpec, Vec<Value>);

/// Makes a configuration from the part of the object that speaks of one target.
fn configuration(
    scope: &Scope,
    mut spec: Section<'_>,
    (namespace, name): (&str, &str),
    plan: &Plan,
    policy: Option<ObjectReference>,
    known: &Known<'_>,
) -> Option<Made> {
    let task = target::task(&mut spec);
    let mut target = spec.section("target");
    let Some(found) = target::read(
        scope,
        target.as_mut(),
        &task.name,
        namespace,
        known,
        "spec.target",
    ) else {
        if let Some(target) = target {
            target.abandon();
        }
        spec.abandon();
        return None;
    };
    let at = format!("{AT}.addon");
    let runtime = runtime::read(&mut spec, &at, found.nature == Nature::Database);
    let params = target.map_or_else(Map::new, |target| params(target, &found, plan.snapshotter, known));
    let addon = addon(scope, &found, params, runtime, &task, plan.snapshotter);
    let mut templates = Vec::new();
    let owner = Owner {
        namespace,
        name,
        target: Some(&found),
        shared: None,
    };
    let hooks = hooks::of_backup(&mut spec, &owner, &format!("{AT}.hooks"), known, &mut templates);
    let session = Session {
        hooks,
        addon: Some(addon),
        repositories: vec![repository((namespace, name), plan, &found, known)],
        ..session_of(plan)
    };
    let configuration = BackupConfigurationSpec {
        target: found.reference.clone(),
        backends: vec![BackendReference {
            name: BACKEND.to_owned(),
            storage_ref: plan
                .repository
                .as_ref()
                .map(|(namespace, name)| ObjectReference::new(name, namespace)),
            retention_policy: policy,
        }],
        sessions: vec![session],
        paused: plan.paused,
    };
    Some((configuration, templates))
}

/// A session with what the plan says, and no task or repository yet.
pub(super) fn session_of(plan: &Plan) -> Session {
    Session {
        name: SESSION.to_owned(),
        scheduler: plan.schedule.clone().map(|schedule| Scheduler {
            schedule,
            job_template: Some(JobTemplate {
                backoff_limit: Some(1),
                ..JobTemplate::default()
            }),
            ..Scheduler::default()
        }),
        retry_config: plan.retry.clone(),
        backup_timeout: plan.timeout,
        session_history_limit: plan.history.unwrap_or(1),
        ..Session::default()
    }
}

fn addon(
    scope: &Scope,
    found: &Target,
    params: Map<String, Value>,
    runtime: runtime::Runtime,
    task: &Task,
    snapshotter: bool,
) -> crate::api::shared::AddonInfo {
    let name = match (&found.nature, snapshotter) {
        (Nature::Workload | Nature::Claim, true) => "volume-snapshot",
        (Nature::Cluster { .. }, _) => "manifest-backup",
        _ => "logical-backup",
    };
    session::addon(
        scope,
        Some(found),
        name,
        params,
        runtime,
        task,
        &format!("{AT}.addon"),
    )
}

/// The parameters that come from the target: what to take, what to leave.
fn params(
    mut target: Section<'_>,
    found: &Target,
    snapshotter: bool,
    known: &Known<'_>,
) -> Map<String, Value> {
    let mut params = Map::new();
    let scope = target.scope();
    let to = |name: &str| format!("{AT}.addon.tasks[0].params.{name}");
    target.refuse(
        "args",
        "restic's arguments have no place in KubeStash",
        "most have a parameter or a setting of their own: see the Addon's parameters and containerRuntimeSettings",
    );
    target.replace(
        "replicas",
        "",
        "KubeStash sees for itself how many pods there are",
    );
    if snapshotter {
        if let Some(class) = target.text("snapshotClassName", &to("volumeSnapshotClassName")) {
            params.insert("volumeSnapshotClassName".to_owned(), Value::String(class));
        }
        for field in ["paths", "exclude", "volumeMounts"] {
            target.replace(field, "", "volumes are snapshotted as a whole");
        }
        return params;
    }
    target.replace(
        "snapshotClassName",
        "",
        "only the driver VolumeSnapshotter uses it",
    );
    let paths = Paths::read(&mut target, found, known);
    for (field, name) in [("paths", "paths"), ("exclude", "exclude")] {
        let pointer = target.at(field);
        let given = target.texts(field, "");
        if let Some(value) = paths.param(scope, &pointer, &to(name), &given) {
            params.insert(name.to_owned(), value);
        } else if field == "paths" && found.nature == Nature::Workload {
            scope.to_fill_in(
                &pointer,
                &to(name),
                "a workload is backed up by paths, and none is given",
                "the paths in the application's containers that hold its data, with commas between them",
            );
        }
    }
    params
}

fn repository(
    (namespace, name): (&str, &str),
    plan: &Plan,
    found: &Target,
    known: &Known<'_>,
) -> RepositoryInfo {
    let (target_namespace, target_name) = found.directory(namespace);
    let directory = (target_namespace.as_str(), target_name.as_str());
    let Some(key) = &plan.repository else {
        return RepositoryInfo {
            name: name.to_owned(),
            backend: BACKEND.to_owned(),
            directory: crate::decide::naming::join_path([target_namespace.as_str(), &target_name]),
            ..RepositoryInfo::default()
        };
    };
    let (name, directory) = known.place(key, (namespace, name), directory);
    RepositoryInfo {
        name,
        backend: BACKEND.to_owned(),
        directory,
        encryption_secret: (!plan.snapshotter).then(|| known.encryption(key)),
        ..RepositoryInfo::default()
    }
}
