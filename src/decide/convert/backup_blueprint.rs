//! BackupBlueprint: cluster-scoped in Stash with a backend inside, in a namespace here with a BackupStorage beside it.

use serde_json::{Map, Value};

use super::backup_configuration::{BACKEND, session_of, timing};
use super::hooks::{self, Owner};
use super::known::Known;
use super::section::Section;
use super::target::{self, Nature, Target};
use super::{Scope, backend, manifest, repository, retention, runtime, session, text};
use crate::api::core::{
    self, BackendReference, BackupBlueprintSpec, BackupConfigurationTemplate, BlueprintDeletionPolicy,
    RepositoryInfo, Session,
};
use crate::api::shared::{AddonInfo, ObjectReference, UsagePolicy};
use crate::api::storage::{self, Backend, BackupStorageSpec};
use crate::decide::naming;

const TEMPLATE: &str = "spec.backupConfigurationTemplate";

/// Stash's variables in a prefix, and what they are called here.
const VARIABLES: [(&str, &str); 5] = [
    ("TARGET_NAMESPACE", "namespace"),
    ("TARGET_NAME", "targetName"),
    ("TARGET_KIND", "targetKind"),
    ("TARGET_APP_RESOURCE", "dbType"),
    ("TARGET_APP_VERSION", "appVersion"),
];

pub(super) fn convert(scope: &Scope, object: &Value, known: &Known<'_>) -> Vec<Value> {
    let name = scope.object().name.clone();
    let mut spec = Section::of(scope, object, "/spec");
    let (namespace, users) = namespaces(&mut spec, object, known);
    scope.aim("BackupBlueprint", &namespace, &name);
    scope.changed(
        "",
        "",
        &format!("blueprints live in a namespace here; this one lives in {namespace}"),
    );
    let at = format!("{TEMPLATE}.sessions[0]");
    let plan = timing(&mut spec, &at);
    let shared = users.as_deref().map(backend::only);
    let policy = retention::read(
        &mut spec,
        (&namespace, &name),
        shared.clone(),
        &format!("{TEMPLATE}.backends[0].retentionPolicy"),
        known,
    );
    let mut made: Vec<Value> = policy.object.into_iter().collect();
    let storage_name = naming::suffix(&name, "storage");
    let (directory, stored) = storage(
        &mut spec,
        (&namespace, &storage_name, &name),
        shared.clone(),
        known,
    );
    made.extend(stored);
    scope.aim("BackupBlueprint", &namespace, &name);
    let usage_policy = backend::usage_policy(&mut spec);
    let addon = addon(scope, &mut spec, &at);
    let owner = Owner {
        namespace: &namespace,
        name: &name,
        target: None,
        shared,
    };
    let hooks = hooks::of_backup(&mut spec, &owner, &format!("{at}.hooks"), known, &mut made);
    let key = (namespace.clone(), name.clone());
    let session = Session {
        hooks,
        addon: Some(addon),
        repositories: vec![RepositoryInfo {
            name: "${repoName}".to_owned(),
            backend: BACKEND.to_owned(),
            directory,
            encryption_secret: Some(known.encryption(&key)),
            ..RepositoryInfo::default()
        }],
        ..session_of(&plan)
    };
    let blueprint = BackupBlueprintSpec {
        backup_configuration_template: Some(BackupConfigurationTemplate {
            namespace: users,
            backends: vec![BackendReference {
                name: BACKEND.to_owned(),
                storage_ref: Some(ObjectReference::new(storage_name, &namespace)),
                retention_policy: policy.reference,
            }],
            sessions: vec![session],
            deletion_policy: Some(BlueprintDeletionPolicy::OnDelete),
        }),
        usage_policy,
        ..BackupBlueprintSpec::default()
    };
    scope.to_do(
        "",
        "the annotations of the targets have other names, and the variables of the template are annotations too",
        &format!("on each target: blueprint.kubestash.com/name={name}, blueprint.kubestash.com/namespace={namespace}, and variables.kubestash.com/<variable> for every ${{…}} in the template; given the targets' manifests, convert writes the command for each"),
    );
    made.push(manifest(
        core::GROUP,
        "BackupBlueprint",
        (&namespace, &name),
        Some(object),
        blueprint,
    ));
    made
}

/// The namespace of everything that is made, and that of the configurations when it is another.
fn namespaces(spec: &mut Section<'_>, object: &Value, known: &Known<'_>) -> (String, Option<String>) {
    let repositories = spec.text("repoNamespace", "");
    let backups = spec.text("backupNamespace", "");
    let own = match text(object, "/metadata/namespace") {
        "" => known.options.namespace.clone(),
        given => given.to_owned(),
    };
    let namespace = repositories.clone().or_else(|| backups.clone()).unwrap_or(own);
    if repositories.is_some() {
        spec.scope().changed(
            "/spec/repoNamespace",
            "",
            "the blueprint and its BackupStorage live there; a Repository lives beside its BackupConfiguration",
        );
    }
    match &backups {
        Some(_) => {
            let to = format!("BackupBlueprint {namespace}/{} {TEMPLATE}.namespace", spec.scope().object().name);
            spec.scope().carried("/spec/backupNamespace", &to);
        }
        None => spec.scope().changed(
            "/spec/backupNamespace",
            "",
            "Stash put the configurations beside their targets; KubeStash puts them beside the blueprint, or into the template's namespace",
        ),
    }
    let users = backups.filter(|users| *users != namespace);
    (namespace, users)
}

/// The BackupStorage with its Secret, and the directory of each target in it.
fn storage(
    spec: &mut Section<'_>,
    (namespace, name, blueprint): (&str, &str, &str),
    shared: Option<UsagePolicy>,
    known: &Known<'_>,
) -> (String, Vec<Value>) {
    let scope = spec.scope();
    scope.aim("BackupStorage", namespace, name);
    let deletion_policy = backend::deletion_policy(spec, false);
    let found = spec
        .section("backend")
        .and_then(|block| backend::read(block, namespace, known));
    let Some(mut found) = found else {
        scope.was_not_made();
        return ("${namespace}/${targetName}".to_owned(), Vec::new());
    };
    let old = prefix(&mut found.storage).take().unwrap_or_default();
    let (head, directory) = split(&old);
    // Where Stash keeps its repositories, nothing of KubeStash's is written: they would lie inside each other.
    let new = naming::join_path([head.as_str(), "kubestash"]);
    scope.changed(
        "/spec/backend",
        "spec.storage",
        &format!("the prefix {old} becomes the prefix {new} of the storage and the directory {directory} of each target, beside the old backups"),
    );
    for variable in unknown_variables(&directory) {
        scope.to_do(
            "/spec/backend",
            &format!("nothing gives a value to ${{{variable}}} by itself"),
            &format!("annotate the targets with variables.kubestash.com/{variable}"),
        );
    }
    *prefix(&mut found.storage) = Some(new);
    let spec = BackupStorageSpec {
        storage: found.storage,
        usage_policy: shared,
        deletion_policy,
        ..BackupStorageSpec::default()
    };
    let mut made = vec![manifest(
        storage::GROUP,
        "BackupStorage",
        (namespace, name),
        None,
        spec,
    )];
    made.extend(repository::encryption(
        scope,
        (namespace, blueprint),
        found.secret.as_deref(),
        known,
    ));
    (directory, made)
}

/// The directory of a storage, whatever its provider.
fn prefix(storage: &mut Backend) -> &mut Option<String> {
    if let Some(s3) = &mut storage.s3 {
        return &mut s3.prefix;
    }
    if let Some(gcs) = &mut storage.gcs {
        return &mut gcs.prefix;
    }
    if let Some(azure) = &mut storage.azure {
        return &mut azure.prefix;
    }
    &mut storage.local.get_or_insert_default().sub_path
}

/// The part of a prefix before its variables, and the rest with the variables of KubeStash.
fn split(prefix: &str) -> (String, String) {
    let cut = prefix.find("${").unwrap_or(prefix.len());
    let (head, tail) = prefix.split_at(cut);
    if tail.is_empty() {
        return (head.to_owned(), "${namespace}/${targetName}".to_owned());
    }
    let mut directory = tail.to_owned();
    for (old, new) in VARIABLES {
        directory = directory.replace(&format!("${{{old}}}"), &format!("${{{new}}}"));
    }
    (head.to_owned(), directory)
}

fn unknown_variables(text: &str) -> Vec<&str> {
    text.split("${")
        .skip(1)
        .filter_map(|part| part.split('}').next())
        .filter(|name| !VARIABLES.iter().any(|(_, known)| known == name))
        .collect()
}

fn addon(scope: &Scope, spec: &mut Section<'_>, at: &str) -> AddonInfo {
    let task = target::task(spec);
    let addon = if task.name.is_empty() {
        scope.changed(
            "/spec/task",
            &format!("{at}.addon.name"),
            "a session has one Addon here; this one is for workloads. For claims and databases, copy the blueprint and name their Addon",
        );
        Some("workload-addon".to_owned())
    } else {
        target::addon_of_task(&task.name)
    };
    let nature = match addon.as_deref() {
        Some("workload-addon") => Nature::Workload,
        Some("pvc-addon") => Nature::Claim,
        Some("kubedump-addon") => Nature::Cluster { namespace: None },
        _ => Nature::Database,
    };
    let mut params = Map::new();
    if nature == Nature::Workload {
        params.insert("paths".to_owned(), Value::String("${paths}".to_owned()));
    }
    let name = match nature {
        Nature::Cluster { .. } => "manifest-backup",
        _ => "logical-backup",
    };
    let runtime = runtime::read(spec, &format!("{at}.addon"), nature == Nature::Database);
    let target = Target {
        nature,
        reference: None,
        key: Default::default(),
        addon,
    };
    session::addon(
        scope,
        Some(&target),
        name,
        params,
        runtime,
        &task,
        &format!("{at}.addon"),
    )
}
