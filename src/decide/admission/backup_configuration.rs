//! BackupConfiguration: backends and sessions that fit together, directories that nobody shares, and references that the
//! namespace may use. What concerns directories and Repositories that exist already is in [`existing`].

mod existing;

use std::collections::BTreeSet;

use kube::ResourceExt;
use serde_json::{Value, json};

use super::facts::find;
use super::{Facts, Review, text};
use crate::api::core::{BackendReference, BackupConfiguration, RepositoryInfo, Session};
use crate::api::shared::{HookInfo, ObjectReference};
use crate::decide::place::directory_refusal;
use crate::decide::schedule::Schedule;
use crate::decide::usage_policy::{self, default_for};

pub(super) fn defaults(object: &mut Value, facts: &Facts) {
    let namespace = text(object, "/metadata/namespace").unwrap_or_default().to_owned();
    let labels = facts.labels(&namespace);
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    if spec
        .get("backends")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
        && let Some(storage) = default_for(facts.storages.iter().map(AsRef::as_ref), &namespace, labels)
    {
        spec.insert(
            "backends".to_owned(),
            json!([{"storageRef": reference_to(storage)}]),
        );
    }
    let Some(policy) = default_for(
        facts.retention_policies.iter().map(AsRef::as_ref),
        &namespace,
        labels,
    ) else {
        return;
    };
    for backend in spec
        .get_mut("backends")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(backend) = backend.as_object_mut()
            && backend.get("retentionPolicy").is_none_or(Value::is_null)
        {
            backend.insert("retentionPolicy".to_owned(), reference_to(policy));
        }
    }
}

fn reference_to(object: &impl ResourceExt) -> Value {
    json!({"name": object.name_any(), "namespace": object.namespace().unwrap_or_default()})
}

pub(super) fn check(review: &mut Review<'_, BackupConfiguration>) {
    let spec = &review.new.spec;
    check_backends(review, "spec.backends", &spec.backends, true);
    if spec.sessions.is_empty() {
        review.deny(
            "spec.sessions",
            "no session is given; a configuration needs at least one",
        );
    }
    let mut names = BTreeSet::new();
    for (index, session) in spec.sessions.iter().enumerate() {
        let path = format!("spec.sessions[{index}]");
        if session.name.is_empty() {
            review.deny(format!("{path}.name"), "a session needs a name");
        } else if !names.insert(session.name.as_str()) {
            review.deny(
                format!("{path}.name"),
                format!("two sessions are named {}; rename one", session.name),
            );
        }
        check_session(review, &path, session, &spec.backends, true);
        existing::check_existing(review, &path, session);
    }
    existing::one_directory_one_repository(review);
    directories_of_one_meaning(review);
}

/// The backends of a configuration or of a blueprint's template. `complete`: defaults have been filled in, so that what
/// is missing now stays missing.
pub(super) fn check_backends<K>(
    review: &mut Review<'_, K>,
    path: &str,
    backends: &[BackendReference],
    complete: bool,
) {
    if backends.is_empty() && complete {
        review.deny(
            path,
            format!(
                "no backend is given and there is no default BackupStorage for namespace {}; name one in storageRef, or mark a BackupStorage as default",
                review.namespace
            ),
        );
    }
    let mut names = BTreeSet::new();
    for (index, backend) in backends.iter().enumerate() {
        let path = format!("{path}[{index}]");
        if !names.insert(backend.name.as_str()) {
            let called = if backend.name.is_empty() {
                "have no name".to_owned()
            } else {
                format!("are named {}", backend.name)
            };
            review.deny(
                format!("{path}.name"),
                format!("two backends {called}; give each its own name"),
            );
        }
        match &backend.storage_ref {
            None => review.deny(
                format!("{path}.storageRef"),
                "no BackupStorage is named; name one",
            ),
            Some(reference) => check_storage(review, &format!("{path}.storageRef"), reference),
        }
        match &backend.retention_policy {
            None if complete => review.deny(
                format!("{path}.retentionPolicy"),
                format!(
                    "no RetentionPolicy is named and there is no default one for namespace {}; name one, or mark a RetentionPolicy as default",
                    review.namespace
                ),
            ),
            None => {}
            Some(reference) => check_policy(review, &format!("{path}.retentionPolicy"), reference),
        }
    }
}

fn check_storage<K>(review: &mut Review<'_, K>, path: &str, reference: &ObjectReference) {
    let own = reference.namespace_or(review.namespace);
    match find(&review.facts.storages, own, &reference.name) {
        Some(storage) => may_use(
            review,
            path,
            "BackupStorage",
            storage.spec.usage_policy.as_ref(),
            own,
            &reference.name,
        ),
        None => review.warn(format!(
            "{path}: BackupStorage {own}/{} does not exist (yet)",
            reference.name
        )),
    }
}

fn check_policy<K>(review: &mut Review<'_, K>, path: &str, reference: &ObjectReference) {
    let own = reference.namespace_or(review.namespace);
    match find(&review.facts.retention_policies, own, &reference.name) {
        Some(policy) => may_use(
            review,
            path,
            "RetentionPolicy",
            policy.spec.usage_policy.as_ref(),
            own,
            &reference.name,
        ),
        None => review.warn(format!(
            "{path}: RetentionPolicy {own}/{} does not exist (yet)",
            reference.name
        )),
    }
}

fn may_use<K>(
    review: &mut Review<'_, K>,
    path: &str,
    kind: &str,
    policy: Option<&crate::api::shared::UsagePolicy>,
    own: &str,
    name: &str,
) {
    let namespace = review.namespace;
    if !usage_policy::allows(policy, own, namespace, review.facts.labels(namespace)) {
        review.deny(
            path,
            format!(
                "namespace {namespace} may not refer to {kind} {own}/{name}: its usagePolicy allows {}; change that policy, or use another {kind}",
                usage_policy::describe(policy, own)
            ),
        );
    }
}

/// The hooks of a session or restore: existing templates must allow the namespace.
pub(super) fn check_hooks<K>(review: &mut Review<'_, K>, path: &str, hooks: &[HookInfo]) {
    for (index, hook) in hooks.iter().enumerate() {
        let path = format!("{path}[{index}].hookTemplate");
        let Some(reference) = &hook.hook_template else {
            review.warn(format!(
                "{path}: no HookTemplate is named, so this hook cannot run"
            ));
            continue;
        };
        let own = reference.namespace_or(review.namespace);
        match find(&review.facts.hook_templates, own, &reference.name) {
            Some(template) => may_use(
                review,
                &path,
                "HookTemplate",
                template.spec.usage_policy.as_ref(),
                own,
                &reference.name,
            ),
            None => review.warn(format!(
                "{path}: HookTemplate {own}/{} does not exist (yet)",
                reference.name
            )),
        }
    }
}

/// One session of a configuration (`complete`) or of a blueprint's template, whose texts may hold `${…}`.
pub(super) fn check_session<K>(
    review: &mut Review<'_, K>,
    path: &str,
    session: &Session,
    backends: &[BackendReference],
    complete: bool,
) {
    match &session.scheduler {
        None => review.deny(
            format!("{path}.scheduler"),
            "a session needs a scheduler with a schedule",
        ),
        Some(scheduler) if !is_template(&scheduler.schedule) => {
            if let Err(error) = Schedule::parse(&scheduler.schedule) {
                review.deny(
                    format!("{path}.scheduler.schedule"),
                    format!("\"{}\" is not a schedule: {error}", scheduler.schedule),
                );
            }
        }
        Some(_) => {}
    }
    check_addon(review, path, session);
    if session.repositories.is_empty() {
        review.deny(
            format!("{path}.repositories"),
            "no repository is given; a session needs at least one to back up to",
        );
    }
    let mut names = BTreeSet::new();
    for (index, repository) in session.repositories.iter().enumerate() {
        let path = format!("{path}.repositories[{index}]");
        if repository.name.is_empty() {
            review.deny(format!("{path}.name"), "a repository needs a name");
        } else if !names.insert(repository.name.as_str()) {
            review.deny(
                format!("{path}.name"),
                format!(
                    "two repositories of the session are named {}; rename one",
                    repository.name
                ),
            );
        }
        if repository.directory.is_empty() {
            review.deny(
                format!("{path}.directory"),
                "a repository needs a directory in its storage",
            );
        }
        if repository.encryption_secret.is_none() && uses_restic(session) {
            review.warn(format!("{path}.encryptionSecret: no Secret with RESTIC_PASSWORD is named, so backups to this repository will fail"));
        }
        if complete {
            check_backend_name(review, &path, repository, backends);
        }
    }
    if let Some(hooks) = &session.hooks {
        check_hooks(review, &format!("{path}.hooks.preBackup"), &hooks.pre_backup);
        check_hooks(review, &format!("{path}.hooks.postBackup"), &hooks.post_backup);
    }
}

/// Directories that restic would read otherwise. What was admitted once can be changed and deleted.
fn directories_of_one_meaning(review: &mut Review<'_, BackupConfiguration>) {
    let known: BTreeSet<&str> = review
        .old
        .into_iter()
        .flat_map(|old| &old.spec.sessions)
        .flat_map(|session| &session.repositories)
        .map(|repository| repository.directory.as_str())
        .collect();
    for (s, session) in review.new.spec.sessions.iter().enumerate() {
        for (r, repository) in session.repositories.iter().enumerate() {
            if let Some(refusal) = directory_refusal(&repository.directory)
                && !known.contains(repository.directory.as_str())
            {
                review.deny(format!("spec.sessions[{s}].repositories[{r}].directory"), refusal);
            }
        }
    }
}

/// Volume snapshots alone need no password.
fn uses_restic(session: &Session) -> bool {
    session
        .addon
        .iter()
        .flat_map(|addon| &addon.tasks)
        .any(|task| task.name != "volume-snapshot")
}

fn is_template(text: &str) -> bool {
    text.contains("${")
}

fn check_backend_name<K>(
    review: &mut Review<'_, K>,
    path: &str,
    repository: &RepositoryInfo,
    backends: &[BackendReference],
) {
    if backends.is_empty() || backend_of(repository, backends).is_some() {
        return;
    }
    let known: Vec<&str> = backends
        .iter()
        .map(|backend| backend.name.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    let message = if repository.backend.is_empty() {
        format!("there are several backends ({}); say which one", known.join(", "))
    } else if known.is_empty() {
        format!(
            "there is no backend named {}; the only backend has no name: leave this empty",
            repository.backend
        )
    } else {
        format!(
            "there is no backend named {}; there are: {}",
            repository.backend,
            known.join(", ")
        )
    };
    review.deny(format!("{path}.backend"), message);
}

/// The backend that a repository of a session goes to: the one of that name; with no name given the unnamed one, or the
/// only one there is.
#[must_use]
pub fn backend_of<'a>(
    repository: &RepositoryInfo,
    backends: &'a [BackendReference],
) -> Option<&'a BackendReference> {
    backends
        .iter()
        .find(|backend| backend.name == repository.backend)
        .or(match backends {
            [only] if repository.backend.is_empty() => Some(only),
            _ => None,
        })
}

fn check_addon<K>(review: &mut Review<'_, K>, path: &str, session: &Session) {
    let Some(addon) = &session.addon else {
        review.deny(
            format!("{path}.addon"),
            "a session needs an addon that says how to back up, such as pvc-addon or workload-addon",
        );
        return;
    };
    if addon.name.is_empty() {
        review.deny(
            format!("{path}.addon.name"),
            "the addon needs a name, such as pvc-addon or workload-addon",
        );
    }
    if addon.tasks.is_empty() {
        review.deny(
            format!("{path}.addon.tasks"),
            "no task is given; name at least one, such as logical-backup",
        );
    }
    for (index, _) in addon
        .tasks
        .iter()
        .enumerate()
        .filter(|(_, task)| task.name.is_empty())
    {
        review.deny(
            format!("{path}.addon.tasks[{index}].name"),
            "a task needs a name, such as logical-backup",
        );
    }
    if is_template(&addon.name) || addon.name.is_empty() {
        return;
    }
    let Some(known) = &review.facts.addons else { return };
    match known.iter().find(|one| one.name_any() == addon.name).cloned() {
        None => review.warn(format!(
            "{path}.addon.name: there is no Addon {} (yet)",
            addon.name
        )),
        Some(found) => {
            for (index, task) in addon.tasks.iter().enumerate() {
                if !task.name.is_empty()
                    && !is_template(&task.name)
                    && !found
                        .spec
                        .backup_tasks
                        .iter()
                        .any(|known| known.name == task.name)
                {
                    let names: Vec<&str> = found
                        .spec
                        .backup_tasks
                        .iter()
                        .map(|task| task.name.as_str())
                        .collect();
                    review.warn(format!(
                        "{path}.addon.tasks[{index}].name: Addon {} has no backup task {}; it has: {}",
                        addon.name,
                        task.name,
                        names.join(", ")
                    ));
                }
            }
        }
    }
}
