//! The parts that backups and restores of Stash describe alike: what is done on which paths, by which task.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Scope;
use super::known::Known;
use super::runtime::Runtime;
use super::section::Section;
use super::target::{Nature, Target, Task};
use crate::api::shared::{AddonInfo, TaskReference};

/// Where Stash mounts a claim unless told otherwise.
const STASH_DATA: &str = "/stash-data";

/// Where the pvc-addon mounts it.
const KUBESTASH_DATA: &str = "/kubestash-data";

/// Parameters that the Addons of databases understand under Stash's names.
const DATABASE_PARAMS: [&str; 6] = [
    "args",
    "backupCmd",
    "databases",
    "enableCache",
    "maxConcurrency",
    "user",
];

/// A `volumeMounts` entry of a Stash target: volume and path.
pub(super) type Mounts = BTreeSet<(String, String)>;

/// How paths of Stash's pods become paths of KubeStash's.
#[derive(Debug, Default)]
pub(super) struct Paths {
    moves: Vec<(String, String)>,
}

impl Paths {
    /// Reads `volumeMounts`. Stash mounts the volumes of a workload where the configuration says; KubeStash mounts them
    /// where the workload's own containers have them.
    pub(super) fn read(target: &mut Section<'_>, found: &Target, known: &Known<'_>) -> Self {
        let pointer = target.at("volumeMounts");
        let mounts: Mounts = target
            .sections("volumeMounts")
            .into_iter()
            .map(|mut mount| {
                let name = mount.text("name", "").unwrap_or_default();
                let path = mount.text("mountPath", "").unwrap_or_default();
                for field in [
                    "subPath",
                    "subPathExpr",
                    "readOnly",
                    "mountPropagation",
                    "recursiveReadOnly",
                ] {
                    mount.take(field);
                }
                (name, path)
            })
            .collect();
        let scope = target.scope();
        match found.nature {
            Nature::Claim => Self::of_claim(scope, &pointer, &mounts),
            Nature::Workload if !mounts.is_empty() => {
                Self::of_workload(scope, &pointer, &mounts, known.mounts(&found.key))
            }
            _ => Self::default(),
        }
    }

    fn of_claim(scope: &Scope, pointer: &str, mounts: &Mounts) -> Self {
        let old = mounts.first().map_or(STASH_DATA, |(_, path)| path.as_str());
        if !mounts.is_empty() {
            scope.changed(
                pointer,
                "",
                &format!("pvc-addon mounts the claim at {KUBESTASH_DATA}; paths are changed to that"),
            );
        }
        Self {
            moves: vec![(old.to_owned(), KUBESTASH_DATA.to_owned())],
        }
    }

    fn of_workload(scope: &Scope, pointer: &str, mounts: &Mounts, theirs: Option<Mounts>) -> Self {
        let Some(theirs) = theirs else {
            scope.changed(
                pointer,
                "",
                "KubeStash mounts volumes where the application's own containers have them: check that the paths are the same there",
            );
            return Self::default();
        };
        let mut moves = Vec::new();
        for (volume, path) in mounts {
            let own: Vec<&str> = theirs
                .iter()
                .filter(|(name, _)| name == volume)
                .map(|(_, path)| path.as_str())
                .collect();
            match own[..] {
                [] => scope.changed(
                    pointer,
                    "",
                    &format!("no container of the application mounts volume {volume}, so KubeStash will not find it under {path}"),
                ),
                _ if own.contains(&path.as_str()) => {}
                [first, ..] => {
                    scope.changed(
                        pointer,
                        "",
                        &format!("the application has volume {volume} at {first}, Stash had it at {path}; paths are changed to that"),
                    );
                    moves.push((path.clone(), first.to_owned()));
                }
            }
        }
        if moves.is_empty() {
            scope.changed(
                pointer,
                "",
                "not needed: KubeStash mounts volumes where the application's own containers have them",
            );
        }
        Self { moves }
    }

    /// A path or pattern as KubeStash's pods see it.
    fn moved(&self, path: &str) -> String {
        for (from, to) in &self.moves {
            if let Some(rest) = path.strip_prefix(from.trim_end_matches('/'))
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return format!("{to}{rest}");
            }
        }
        path.to_owned()
    }

    /// A list of paths or patterns as one parameter.
    pub(super) fn param(&self, scope: &Scope, pointer: &str, to: &str, given: &[String]) -> Option<Value> {
        let (bad, good): (Vec<&String>, Vec<&String>) = given.iter().partition(|path| path.contains(','));
        for path in bad {
            scope.not_carried(
                pointer,
                &format!("{path} holds a comma, which separates the values of this parameter"),
                "write it with ? in the comma's place, where a pattern is allowed",
            );
        }
        if good.is_empty() {
            return None;
        }
        let moved: Vec<String> = good.iter().map(|path| self.moved(path)).collect();
        if moved.iter().eq(good.iter().copied()) {
            scope.carried(pointer, to);
        } else {
            let how = format!("{} in KubeStash's pods", moved.join(", "));
            scope.changed(pointer, to, &how);
        }
        Some(Value::String(moved.join(",")))
    }
}

/// The Addon with the one task that does the work.
pub(super) fn addon(
    scope: &Scope,
    found: Option<&Target>,
    name: &str,
    mut params: Map<String, Value>,
    runtime: Runtime,
    task: &Task,
    to: &str,
) -> AddonInfo {
    let addon = found.and_then(|target| target.addon.clone());
    if addon.is_none() {
        scope.to_fill_in(
            &task.pointer,
            &format!("{to}.name"),
            &format!("no Addon is known for the task \"{}\"", task.name),
            "`kubectl get addons.addons.kubestash.com` lists those of your cluster",
        );
    } else if !task.name.is_empty() {
        scope.changed(
            &task.pointer,
            &format!("{to}.name"),
            &format!(
                "the Addon {} does what the task {} did",
                addon.as_deref().unwrap_or_default(),
                task.name
            ),
        );
    }
    params.extend(runtime.params);
    task_params(scope, found, task, &mut params, to);
    AddonInfo {
        name: addon.unwrap_or_default(),
        tasks: vec![TaskReference {
            name: name.to_owned(),
            params: (!params.is_empty()).then_some(params),
            addon_volumes: runtime.volumes,
            ..TaskReference::default()
        }],
        container_runtime_settings: runtime.container,
        job_template: runtime.job,
    }
}

fn task_params(
    scope: &Scope,
    found: Option<&Target>,
    task: &Task,
    params: &mut Map<String, Value>,
    to: &str,
) {
    let nature = found.map(|target| &target.nature);
    for (name, value, pointer) in &task.params {
        let to = format!("{to}.tasks[0].params");
        match (nature, name.as_str()) {
            (Some(Nature::Database), name) if DATABASE_PARAMS.contains(&name) => {
                params.insert(name.to_owned(), Value::String(value.clone()));
                scope.carried(pointer, &format!("{to}.{name}"));
            }
            (Some(Nature::Cluster { .. }), "labelSelector") => {
                params.insert("ANDedLabelSelectors".to_owned(), Value::String(value.clone()));
                scope.carried(pointer, &format!("{to}.ANDedLabelSelectors"));
            }
            _ => scope.not_carried(
                pointer,
                &format!("no Addon of KubeStash is known to take the parameter {name}"),
                "`kubectl get addons.addons.kubestash.com NAME -o yaml` lists what an Addon takes",
            ),
        }
    }
    if let Some(Nature::Cluster {
        namespace: Some(name),
    }) = nature
    {
        params.insert("IncludeNamespaces".to_owned(), Value::String(name.clone()));
    }
}
