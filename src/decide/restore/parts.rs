//! Which component goes where: by which of the session's tasks, onto which place of the target, and what is refused
//! because it cannot be right.

use kube::ResourceExt;

use super::{Part, sources};
use crate::api::{
    core::RestoreDataSource,
    shared::TypedObjectReference,
    storage::{Component, ComponentPhase, Snapshot},
};
use crate::decide::{addon::SessionTask, components::Instance, target::describe};

/// The parameter of a task that lets an empty component be restored.
pub const ALLOW_EMPTY: &str = "allowEmpty";

/// Matches the wanted components to tasks and places.
///
/// # Errors
/// The first component that cannot be right.
pub fn parts(
    source: &RestoreDataSource,
    snapshot: &Snapshot,
    tasks: &[SessionTask],
    target: &TypedObjectReference,
) -> Result<Vec<Part>, String> {
    let status = snapshot.status.clone().unwrap_or_default();
    let name = snapshot.name_any();
    let known: Vec<&str> = status.components.keys().map(String::as_str).collect();
    for wanted in &source.components {
        if !status.components.contains_key(wanted) {
            return Err(format!(
                "Snapshot \"{name}\" has no component \"{wanted}\"; it has: {}",
                known.join(", ")
            ));
        }
    }
    same_kind(snapshot, tasks, target)?;
    let mut parts = Vec::new();
    for (component, stats) in &status.components {
        let asked = source.components.is_empty() || source.components.contains(component);
        if !asked {
            continue;
        }
        let task = tasks
            .iter()
            .enumerate()
            .find_map(|(index, task)| Some((index, task, Instance::of_component(component, task.base())?)));
        let Some((index, task, instance)) = task else {
            if source.components.is_empty() {
                continue;
            }
            return Err(format!(
                "no task of the session restores the component \"{component}\""
            ));
        };
        place(target, task, component, &instance)?;
        whole(&name, component, stats, allows_empty(task))?;
        parts.push(Part {
            component: component.clone(),
            task: index,
            instance,
        });
    }
    if parts.is_empty() {
        return Err(format!(
            "Snapshot \"{name}\" has no component that the session's tasks restore; it has: {}",
            known.join(", ")
        ));
    }
    Ok(parts)
}

/// Data of one kind of application does not go into another: paths and owners differ. Into another application of the same
/// kind it may, and where the session itself says in `targetVolumes` what is mounted where.
fn same_kind(
    snapshot: &Snapshot,
    tasks: &[SessionTask],
    target: &TypedObjectReference,
) -> Result<(), String> {
    const TOLD_APART: [&str; 4] = ["PersistentVolumeClaim", "Deployment", "StatefulSet", "DaemonSet"];
    let Some(app) = &snapshot.spec.app_ref else {
        return Ok(());
    };
    let known = |kind: &str| TOLD_APART.contains(&kind);
    let told = tasks.iter().any(|task| task.reference.target_volumes.is_some());
    if app.kind() == target.kind() || !known(app.kind()) || !known(target.kind()) || told {
        return Ok(());
    }
    Err(format!(
        "Snapshot \"{}\" is of another kind of application: it was taken of {}, the target is {}; restore it into a {}, or \
         say in the task's targetVolumes where its data belongs",
        snapshot.name_any(),
        describe(app),
        describe(target),
        app.kind()
    ))
}

/// Components of pods go to pods, components of nodes to nodes, whole ones to targets that are whole.
fn place(
    target: &TypedObjectReference,
    task: &SessionTask,
    component: &str,
    instance: &Instance,
) -> Result<(), String> {
    let needs = match (target.kind(), task.task.singleton) {
        ("StatefulSet", false) => "a component per pod (dump-pod-<ordinal>)",
        ("DaemonSet", false) => "a component per node (dump-<node>)",
        _ => "a single component (dump)",
    };
    let right = match (target.kind(), task.task.singleton) {
        ("StatefulSet", false) => matches!(instance, Instance::Pod(_)),
        ("DaemonSet", false) => matches!(instance, Instance::Node(_)),
        _ => matches!(instance, Instance::Whole),
    };
    if right {
        return Ok(());
    }
    Err(format!(
        "component \"{component}\" is of another kind of application: {} needs {needs}",
        describe(target)
    ))
}

/// Whether the task was told in so many words that an empty component is to be restored.
fn allows_empty(task: &SessionTask) -> bool {
    let params = task.reference.params.as_ref();
    match params.and_then(|params| params.get(ALLOW_EMPTY)) {
        Some(serde_json::Value::Bool(yes)) => *yes,
        Some(serde_json::Value::String(text)) => text == "true",
        _ => false,
    }
}

/// Only what succeeded and holds data is restored; what holds none only where that is allowed.
fn whole(snapshot: &str, name: &str, component: &Component, allow_empty: bool) -> Result<(), String> {
    if component.phase != Some(ComponentPhase::Succeeded) {
        return Err(format!(
            "component \"{name}\" of Snapshot \"{snapshot}\" is not complete: its backup did not succeed"
        ));
    }
    let sources = sources(component);
    let empty = sources.iter().all(|source| source.size == Some(0));
    if sources.is_empty() || (empty && !allow_empty) {
        return Err(format!(
            "component \"{name}\" of Snapshot \"{snapshot}\" is empty: there is nothing to restore"
        ));
    }
    Ok(())
}
