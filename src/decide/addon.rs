//! From a task's name to a container's worth of settled facts: which Function runs it, with which inputs.
//!
//! Inputs are, later ones winning: the operator's own (namespace, session, …), the defaults of the task's parameters, the
//! values the user gave, the task's plain variables. A required parameter without a value is an error; a parameter that
//! the Addon does not declare is an input all the same.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    components,
    variables::{self, Inputs, VariableError},
};
use crate::api::{
    addons::{Addon, Function, FunctionSpec, Task, TaskExecutor},
    shared::{AddonInfo, FreeObject, TaskReference},
};

/// The volume that every task may use for scratch; also the value of `${RESTIC_CACHE_VOLUME}`.
pub const TMP_VOLUME: &str = "kubestash-tmp-volume";
/// Where it is mounted.
pub const TMP_PATH: &str = "/kubestash-tmp";
/// The value of `${INTERIM_VOLUME}`.
pub const INTERIM_VOLUME: &str = "kubestash-interim-volume";

/// Why a session's tasks cannot be run. The texts are for the user's status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddonError {
    /// No Addon of that name.
    #[error("Addon \"{0}\" not found; `kubectl get addons` lists what is installed")]
    AddonMissing(String),
    /// The Addon has no such task.
    #[error("Addon \"{addon}\" has no task \"{task}\"; it has: {known}")]
    TaskMissing {
        /// Name of the Addon.
        addon: String,
        /// The task that was asked for.
        task: String,
        /// The names that exist.
        known: String,
    },
    /// The task's Function does not exist.
    #[error(
        "Function \"{function}\" of task \"{task}\" not found; `kubectl get functions` lists what is installed"
    )]
    FunctionMissing {
        /// Name of the Function.
        function: String,
        /// The task that names it.
        task: String,
    },
    /// A required parameter has no value.
    #[error("task \"{task}\" requires the parameter \"{parameter}\": set it in the task's params{usage}")]
    ParameterMissing {
        /// The task.
        task: String,
        /// The parameter.
        parameter: String,
        /// ` (what it is for)`, or nothing.
        usage: String,
    },
    /// The session lists no task.
    #[error("no task is given")]
    NoTask,
    /// The task wants to run in a way this operator does not offer.
    #[error("task \"{task}\" wants the executor {executor}, which is not supported: only Job is")]
    Executor {
        /// The task.
        task: String,
        /// What it wants.
        executor: TaskExecutor,
    },
    /// A volume of the session cannot be made.
    #[error("task \"{task}\": {what} {why}")]
    Volume {
        /// The task.
        task: String,
        /// Which.
        what: String,
        /// Why, and what to do.
        why: String,
    },
    /// A `${…}` cannot be resolved.
    #[error("task \"{task}\": {source}")]
    Variable {
        /// The task.
        task: String,
        /// What and why.
        source: VariableError,
    },
}

/// Which of the Addon's lists a session uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `backupTasks`.
    Backup,
    /// `restoreTasks`.
    Restore,
}

/// A task of a session with everything that was looked up for it.
#[derive(Debug, Clone)]
pub struct SessionTask {
    /// The Addon's entry.
    pub task: Task,
    /// The session's entry.
    pub reference: TaskReference,
    /// The Function as stored.
    pub function: FunctionSpec,
}

impl SessionTask {
    /// First piece of the names of its components.
    #[must_use]
    pub fn base(&self) -> &'static str {
        components::base(&self.task)
    }

    /// True for tasks that dump or restore objects; they run before those that move data.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        self.base() == "manifest"
    }
}

/// Looks the session's tasks up; manifest tasks come first, so that on restore objects exist before data.
///
/// # Errors
/// What is missing.
pub fn tasks(
    info: &AddonInfo,
    addon: Option<&Addon>,
    functions: &BTreeMap<String, Function>,
    direction: Direction,
) -> Result<Vec<SessionTask>, AddonError> {
    let addon = addon.ok_or_else(|| AddonError::AddonMissing(info.name.clone()))?;
    let mut found = listed(info, addon, direction)?
        .into_iter()
        .map(|(task, reference)| {
            if let Some(executor) = task.executor.filter(|e| *e != TaskExecutor::Job) {
                return Err(AddonError::Executor {
                    task: task.name.clone(),
                    executor,
                });
            }
            let function = functions
                .get(&task.function)
                .ok_or_else(|| AddonError::FunctionMissing {
                    function: task.function.clone(),
                    task: task.name.clone(),
                })?;
            Ok(SessionTask {
                task: task.clone(),
                reference: reference.clone(),
                function: function.spec.clone(),
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    found.sort_by_key(|task| !task.is_manifest());
    Ok(found)
}

/// The Addon's entries of the session's tasks, in the session's order.
///
/// # Errors
/// When there is none, or one does not exist.
pub fn listed<'a>(
    info: &'a AddonInfo,
    addon: &'a Addon,
    direction: Direction,
) -> Result<Vec<(&'a Task, &'a TaskReference)>, AddonError> {
    if info.tasks.is_empty() {
        return Err(AddonError::NoTask);
    }
    let known = match direction {
        Direction::Backup => &addon.spec.backup_tasks,
        Direction::Restore => &addon.spec.restore_tasks,
    };
    info.tasks
        .iter()
        .map(|reference| {
            known
                .iter()
                .find(|task| task.name == reference.name)
                .map(|task| (task, reference))
                .ok_or_else(|| AddonError::TaskMissing {
                    addon: info.name.clone(),
                    task: reference.name.clone(),
                    known: known
                        .iter()
                        .map(|t| t.name.as_str())
                        .collect::<Vec<_>>()
                        .join(", "),
                })
        })
        .collect()
}

/// All inputs of a task: `builtin` and what the task and the session add.
///
/// # Errors
/// When a required parameter has no value.
pub fn inputs(builtin: &Inputs, task: &SessionTask) -> Result<Inputs, AddonError> {
    let mut all = builtin.clone();
    all.insert("taskName".into(), task.task.name.clone());
    all.entry("INTERIM_VOLUME".into())
        .or_insert_with(|| INTERIM_VOLUME.into());
    all.entry("RESTIC_CACHE_VOLUME".into())
        .or_insert_with(|| TMP_VOLUME.into());
    let given = task.reference.params.as_ref().map(scalars).unwrap_or_default();
    for parameter in &task.task.parameters {
        if let Some(default) = &parameter.default {
            all.insert(parameter.name.clone(), default.clone());
        }
    }
    all.extend(given);
    for variable in &task.reference.variables {
        if let Some(value) = &variable.value {
            all.insert(variable.name.clone(), value.clone());
        }
    }
    for parameter in task.task.parameters.iter().filter(|p| p.required) {
        if all.get(&parameter.name).is_none_or(String::is_empty) {
            return Err(AddonError::ParameterMissing {
                task: task.task.name.clone(),
                parameter: parameter.name.clone(),
                usage: if parameter.usage.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", parameter.usage)
                },
            });
        }
    }
    Ok(all)
}

/// The Function with its texts resolved, its image's `${DB_VERSION}` being the best of its versions.
///
/// # Errors
/// The first reference that cannot be resolved.
pub fn function(task: &SessionTask, inputs: &Inputs) -> Result<FunctionSpec, AddonError> {
    let mut function = task.function.clone();
    if let Some(image) = &function.image {
        let mut for_image = inputs.clone();
        if let Some(best) = inputs
            .get("DB_VERSION")
            .and_then(|wanted| best_version(wanted, &function.available_versions))
        {
            for_image.insert("DB_VERSION".into(), best);
        }
        let image = variables::substitute(image, &for_image).map_err(|source| AddonError::Variable {
            task: task.task.name.clone(),
            source,
        })?;
        function.image = Some(image);
    }
    resolved(task, &function, inputs)
}

/// Any part of the task with its texts resolved.
///
/// # Errors
/// The first reference that cannot be resolved.
pub fn resolved<T: serde::Serialize + serde::de::DeserializeOwned>(
    task: &SessionTask,
    value: &T,
    inputs: &Inputs,
) -> Result<T, AddonError> {
    variables::resolve(value, inputs).map_err(|source| AddonError::Variable {
        task: task.task.name.clone(),
        source,
    })
}

/// The free object's scalars as texts; lists of scalars become comma-separated.
pub(super) fn scalars(params: &FreeObject) -> Inputs {
    params
        .iter()
        .filter_map(|(key, value)| scalar(value).map(|text| (key.clone(), text)))
        .collect()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(scalar).collect();
            Some(texts?.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

/// The entry of `available` that serves `wanted`: itself, else the nearest lower one of the same major version, else the
/// next greater, else the highest lower.
#[must_use]
pub fn best_version(wanted: &str, available: &[String]) -> Option<String> {
    if available.iter().any(|known| known == wanted) {
        return Some(wanted.to_owned());
    }
    let want = numbers(wanted);
    let mut sorted: Vec<(Vec<u64>, &String)> =
        available.iter().map(|known| (numbers(known), known)).collect();
    sorted.sort();
    let lower = sorted.iter().rev().find(|(known, _)| *known <= want);
    let same_major = lower.filter(|(known, _)| known.first() == want.first());
    let greater = sorted.iter().find(|(known, _)| *known > want);
    same_major
        .or(greater)
        .or(lower)
        .map(|(_, known)| (*known).clone())
}

/// The numbers of a version, before any `-`.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split('-')
        .next()
        .unwrap_or("")
        .split('.')
        .map(|piece| piece.parse().unwrap_or(0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
        serde_json::from_value(json).unwrap()
    }

    fn addon() -> Addon {
        yaml(serde_json::json!({
            "apiVersion": "addons.kubestash.com/v1alpha1", "kind": "Addon", "metadata": {"name": "workload-addon"},
            "spec": {"backupTasks": [
                {"name": "logical-backup", "function": "workload-backup",
                 "parameters": [{"name": "enableCache", "default": "true"},
                                {"name": "paths", "required": true, "usage": "what to back up"}]},
                {"name": "manifest-backup", "function": "manifest-backup", "singleton": true},
                {"name": "odd", "function": "workload-backup", "executor": "Sidecar"}
            ]}
        }))
    }

    fn functions() -> BTreeMap<String, Function> {
        let function = |name: &str| -> Function {
            yaml(serde_json::json!({
                "apiVersion": "addons.kubestash.com/v1alpha1", "kind": "Function", "metadata": {"name": name},
                "spec": {"image": "img", "args": ["--paths=${paths:=}", "--namespace=${namespace:=default}"]}
            }))
        };
        ["workload-backup", "manifest-backup"]
            .into_iter()
            .map(|name| (name.to_owned(), function(name)))
            .collect()
    }

    fn info(tasks: &serde_json::Value) -> AddonInfo {
        yaml(serde_json::json!({"name": "workload-addon", "tasks": tasks}))
    }

    fn builtin() -> Inputs {
        [("namespace".to_owned(), "demo".to_owned())].into()
    }

    #[test]
    fn parameters_override_defaults_and_builtin_inputs() {
        let info = info(
            &serde_json::json!([{"name": "logical-backup", "params": {"paths": "/data", "enableCache": false, "n": 3}}]),
        );
        let tasks = tasks(&info, Some(&addon()), &functions(), Direction::Backup).unwrap();
        let inputs = inputs(&builtin(), &tasks[0]).unwrap();
        assert_eq!(inputs["enableCache"], "false");
        assert_eq!(inputs["n"], "3");
        assert_eq!(inputs["taskName"], "logical-backup");
        let function = function(&tasks[0], &inputs).unwrap();
        assert_eq!(function.args, ["--paths=/data", "--namespace=demo"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |info: AddonInfo| {
            tasks(&info, Some(&addon()), &functions(), Direction::Backup)
                .unwrap_err()
                .to_string()
        };
        assert!(
            error(info(&serde_json::json!([{"name": "physical"}])))
                .contains("logical-backup, manifest-backup")
        );
        assert!(error(info(&serde_json::json!([]))).contains("no task"));
        assert!(error(info(&serde_json::json!([{"name": "odd"}]))).contains("Sidecar"));
        let gone = tasks(
            &info(&serde_json::json!([{"name": "logical-backup"}])),
            None,
            &functions(),
            Direction::Backup,
        );
        assert!(
            gone.unwrap_err()
                .to_string()
                .contains("\"workload-addon\" not found")
        );
        let none = tasks(
            &info(&serde_json::json!([{"name": "logical-backup"}])),
            Some(&addon()),
            &BTreeMap::new(),
            Direction::Backup,
        );
        assert!(
            none.unwrap_err()
                .to_string()
                .contains("Function \"workload-backup\"")
        );
    }

    #[test]
    fn a_required_parameter_must_have_a_value() {
        let info = info(&serde_json::json!([{"name": "logical-backup"}]));
        let tasks = tasks(&info, Some(&addon()), &functions(), Direction::Backup).unwrap();
        let error = inputs(&builtin(), &tasks[0]).unwrap_err().to_string();
        assert!(
            error.contains("\"paths\"") && error.contains("what to back up"),
            "{error}"
        );
    }

    #[test]
    fn manifests_come_first() {
        let info = info(&serde_json::json!([{"name": "logical-backup"}, {"name": "manifest-backup"}]));
        let tasks = tasks(&info, Some(&addon()), &functions(), Direction::Backup).unwrap();
        assert_eq!(tasks[0].task.name, "manifest-backup");
    }

    #[test]
    fn the_nearest_version_is_taken() {
        let known: Vec<String> = ["12.17", "14.10", "16.4", "17.2"].map(str::to_owned).into();
        for (wanted, best) in [
            ("16.4", "16.4"),
            ("16.9", "16.4"),
            ("16.1", "16.4"),
            ("13.2", "14.10"),
            ("18.0", "17.2"),
            ("9.0", "12.17"),
        ] {
            assert_eq!(best_version(wanted, &known).as_deref(), Some(best), "{wanted}");
        }
        assert_eq!(best_version("1.0", &[]), None);
    }
}
