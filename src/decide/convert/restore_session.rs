//! RestoreSession, and RestoreBatch, whose members become a RestoreSession each. So does each rule of a restore that has
//! several: a RestoreSession of KubeStash has one set of components and filters.
//!
//! The Snapshot is left to be filled in unless the user names one: what Stash had is not among KubeStash's Snapshots,
//! and a restore that begins by itself, because a folder of manifests was applied, would overwrite data.

use serde_json::{Map, Value};

use super::backup_configuration::{batch_as_a_whole, driver};
use super::hooks::{self, Owner};
use super::known::{Known, RepositoryKey, member_name};
use super::section::Section;
use super::session::{self, Paths};
use super::target::{self, Nature, Target, Task};
use super::{Scope, manifest, runtime};
use crate::api::core::{self, RestoreDataSource, RestoreSessionSpec};
use crate::api::shared::{Duration, ObjectReference, PersistentVolumeClaim, TargetVolumes};
use crate::decide::naming;
use k8s_openapi::api::core::v1::VolumeMount;

/// What stands beside the target.
#[derive(Debug, Default)]
struct Plan {
    snapshotter: bool,
    repository: Option<RepositoryKey>,
    timeout: Option<Duration>,
}

fn plan(spec: &mut Section<'_>, namespace: &str) -> Plan {
    let snapshotter = driver(spec);
    let pointer = spec.at("repository");
    let repository = spec.section("repository").and_then(|mut repository| {
        let own = repository.text("namespace", "");
        let name = repository.text("name", "")?;
        spec.scope().carried(&pointer, "spec.dataSource.repository");
        Some((own.unwrap_or_else(|| namespace.to_owned()), name))
    });
    if repository.is_none() {
        spec.scope().to_fill_in(
            &pointer,
            "spec.dataSource.repository",
            "no Repository is named",
            "the name of a Repository of KubeStash: `kubectl get repositories.storage.kubestash.com`",
        );
    }
    Plan {
        snapshotter,
        repository,
        timeout: spec.duration("timeOut", "spec.restoreTimeout"),
    }
}

pub(super) fn convert(scope: &Scope, object: &Value, known: &Known<'_>) -> Vec<Value> {
    let own = scope.object().clone();
    let (namespace, name) = (own.namespace.as_str(), own.name.as_str());
    scope.aim("RestoreSession", namespace, name);
    let phase = super::text(object, "/status/phase");
    if ["Succeeded", "Failed"].contains(&phase) {
        let how =
            format!("it is not made: this restore has ended ({phase}), and applying it would restore again");
        scope.changed("", "", &how);
        return Vec::new();
    }
    let mut spec = Section::of(scope, object, "/spec");
    let plan = plan(&mut spec, namespace);
    restores(scope, spec, (namespace, name), &plan, object, known)
}

pub(super) fn convert_batch(scope: &Scope, object: &Value, known: &Known<'_>) -> Vec<Value> {
    let own = scope.object().clone();
    let (namespace, batch) = (own.namespace.as_str(), own.name.as_str());
    scope.aim("RestoreSession", namespace, &format!("{batch}-…"));
    let mut spec = Section::of(scope, object, "/spec");
    let plan = plan(&mut spec, namespace);
    batch_as_a_whole(&mut spec, "RestoreSession");
    let mut made = Vec::new();
    for member in spec.sections("members") {
        let name = member_name(batch, &member.value());
        scope.aim("RestoreSession", namespace, &name);
        made.extend(restores(scope, member, (namespace, &name), &plan, object, known));
    }
    made
}

/// What a rule of a restore asks for.
#[derive(Debug, Default, Clone)]
struct Rule {
    pointer: String,
    hosts: Vec<String>,
    /// Which field the included patterns stand in.
    included_by: &'static str,
    include: Vec<String>,
    exclude: Vec<String>,
}

/// Makes the RestoreSessions of one target.
fn restores(
    scope: &Scope,
    mut spec: Section<'_>,
    (namespace, name): (&str, &str),
    plan: &Plan,
    object: &Value,
    known: &Known<'_>,
) -> Vec<Value> {
    let task = target::task(&mut spec);
    let old_rules = rules(&mut spec);
    let mut target = spec.section("target");
    let claims = target
        .as_mut()
        .is_some_and(|target| target.has("volumeClaimTemplates"));
    let found = if claims {
        target.as_mut().and_then(new_claims)
    } else {
        target::read(
            scope,
            target.as_mut(),
            &task.name,
            namespace,
            known,
            "spec.target",
        )
    };
    let Some(found) = found else {
        if let Some(target) = target {
            target.abandon();
        }
        spec.abandon();
        scope.was_not_made();
        return Vec::new();
    };
    let runtime = runtime::read(&mut spec, "spec.addon", found.nature == Nature::Database);
    let mut made = Vec::new();
    let owner = Owner {
        namespace,
        name,
        target: Some(&found),
        shared: None,
    };
    let hooks = hooks::of_restore(&mut spec, &owner, "spec.hooks", known, &mut made);
    let wish = wish(old_rules, target, &found, claims, known);
    let several = wish.rules.len() > 1;
    if let Some(first) = wish.rules.first().filter(|_| several) {
        let how = "each rule becomes a RestoreSession of its own";
        scope.changed(&first.pointer, "", how);
    }
    for (index, rule) in wish.rules.iter().enumerate() {
        let name = if several {
            naming::suffix(name, &(index + 1).to_string())
        } else {
            name.to_owned()
        };
        scope.aim("RestoreSession", namespace, &name);
        let kind = (plan.snapshotter, claims);
        let mut addon = addon(scope, &found, (rule, &wish.paths), runtime.clone(), &task, kind);
        if let Some(task) = addon.tasks.first_mut() {
            task.target_volumes.clone_from(&wish.volumes);
        }
        let restore = RestoreSessionSpec {
            target: found.reference.clone(),
            data_source: Some(source(scope, namespace, plan, &found, (rule, several), known)),
            addon: Some(addon),
            hooks: hooks.clone(),
            restore_timeout: plan.timeout,
            manifest_options: None,
        };
        made.push(manifest(
            core::GROUP,
            "RestoreSession",
            (namespace, &name),
            Some(object),
            restore,
        ));
    }
    made
}

/// What a target says beside its name.
struct Wish {
    /// At least one.
    rules: Vec<Rule>,
    volumes: Option<TargetVolumes>,
    paths: Paths,
}

fn wish(
    old_rules: Vec<Rule>,
    target: Option<Section<'_>>,
    found: &Target,
    claims: bool,
    known: &Known<'_>,
) -> Wish {
    let mut wish = Wish {
        rules: old_rules,
        volumes: None,
        paths: Paths::default(),
    };
    if let Some(mut target) = target {
        wish.rules.extend(rules(&mut target));
        if claims {
            wish.volumes = Some(target_volumes(&mut target));
        } else {
            wish.paths = Paths::read(&mut target, found, known);
        }
        rest_of_target(&mut target);
    }
    if wish.rules.is_empty() {
        wish.rules.push(Rule::default());
    }
    wish
}

/// Claims that the restore creates; there is no target then.
fn new_claims(target: &mut Section<'_>) -> Option<Target> {
    target.replace("alias", "", "claims have no alias");
    target.replace("ref", "", "the restore creates claims, so it has no target");
    Some(Target {
        nature: Nature::Claim,
        reference: None,
        key: Default::default(),
        addon: Some("pvc-addon".to_owned()),
    })
}

fn target_volumes(target: &mut Section<'_>) -> TargetVolumes {
    let to = "spec.addon.tasks[0].targetVolumes";
    let claims: Vec<PersistentVolumeClaim> = target
        .typed("volumeClaimTemplates", &format!("{to}.volumeClaimTemplates"))
        .unwrap_or_default();
    let mounts: Vec<VolumeMount> = target
        .typed("volumeMounts", &format!("{to}.volumeMounts"))
        .unwrap_or_default();
    TargetVolumes {
        volume_claim_templates: claims,
        volume_mounts: mounts,
        ..TargetVolumes::default()
    }
}

fn rest_of_target(target: &mut Section<'_>) {
    target.refuse(
        "args",
        "restic's arguments have no place in KubeStash",
        "include and exclude are parameters of workload-addon",
    );
    target.replace(
        "replicas",
        "",
        "${POD_ORDINAL} in the name of a claim is expanded for the pods that the Snapshot has",
    );
}

fn rules(section: &mut Section<'_>) -> Vec<Rule> {
    let mut found = Vec::new();
    for mut rule in section.sections("rules") {
        let pointer = rule.at("");
        let pointer = pointer.trim_end_matches('/').to_owned();
        rule.refuse(
            "snapshots",
            "the snapshots of Stash are not among KubeStash's",
            "restore them with Stash, or with restic and the old repository",
        );
        let source = rule.at("sourceHost");
        let hosts = rule.texts("targetHosts", "");
        if let Some(host) = rule.text("sourceHost", "")
            && hosts != [host.as_str()]
        {
            let why = format!(
                "KubeStash restores each component into the pod it came from, never that of {host} into others"
            );
            let way_out = "restore it into that pod, or download it and copy the files: `kubectl kubestash snapshot --help`";
            rule.scope().not_carried(&source, &why, way_out);
        }
        // Stash restores the snapshots of these paths whole, which is what a pattern for the path does.
        let mut include = rule.texts("paths", "");
        let included_by = if include.is_empty() { "include" } else { "paths" };
        include.extend(rule.texts("include", ""));
        found.push(Rule {
            pointer,
            hosts,
            included_by,
            include,
            exclude: rule.texts("exclude", ""),
        });
    }
    found
}

/// The component that Stash's host is: `host-2` of a StatefulSet, a node of a DaemonSet. `None` for the whole target.
fn component(kind: &str, host: &str) -> Option<String> {
    let ordinal = host
        .rsplit_once('-')
        .and_then(|(_, digits)| digits.parse::<u32>().ok());
    match (kind, ordinal) {
        ("StatefulSet", Some(ordinal)) => Some(format!("dump-{}", naming::pod_instance(ordinal))),
        ("DaemonSet", _) => Some(format!("dump-{host}")),
        _ => None,
    }
}

fn source(
    scope: &Scope,
    namespace: &str,
    plan: &Plan,
    found: &Target,
    (rule, several): (&Rule, bool),
    known: &Known<'_>,
) -> RestoreDataSource {
    let snapshot = known.options.snapshot.clone().unwrap_or_default();
    if snapshot.is_empty() {
        scope.to_fill_in(
            "",
            "spec.dataSource.snapshot",
            "Snapshots of KubeStash exist once it has made a backup",
            "`latest`, or a name from `kubectl kubestash snapshot list`; --snapshot fills it in everywhere",
        );
    }
    let hosts_at = format!("{}/targetHosts", rule.pointer);
    let components: Vec<String> = rule
        .hosts
        .iter()
        .filter_map(|host| component(&found.key.0, host))
        .collect();
    if !rule.hosts.is_empty() {
        scope.carried(&hosts_at, "spec.dataSource.components");
    } else if several {
        scope.to_fill_in(
            &rule.pointer,
            "spec.dataSource.components",
            "this rule is for all hosts that no other rule names",
            "the components that the other RestoreSessions leave: `kubectl kubestash snapshot list`",
        );
    }
    let place = plan.repository.as_ref().map(|key| {
        let certain = known.repository_of(key, &found.key);
        if certain.is_none() {
            scope.changed(
                "/spec/repository",
                "spec.dataSource.repository",
                "the configuration that filled the Repository was not given: check the name and namespace that its Repository has",
            );
        }
        certain.unwrap_or_else(|| ObjectReference::new(&key.1, &key.0))
    });
    let encrypted = plan.repository.as_ref().filter(|_| !plan.snapshotter);
    RestoreDataSource {
        namespace: place
            .as_ref()
            .and_then(|p| p.namespace.clone())
            .or_else(|| Some(namespace.to_owned())),
        repository: place.map(|place| place.name).unwrap_or_default(),
        snapshot,
        components,
        encryption_secret: encrypted.map(|key| known.encryption(key)),
        pitr: None,
    }
}

fn addon(
    scope: &Scope,
    found: &Target,
    (rule, paths): (&Rule, &Paths),
    runtime: runtime::Runtime,
    task: &Task,
    (snapshotter, claims): (bool, bool),
) -> crate::api::shared::AddonInfo {
    let name = match (&found.nature, snapshotter, claims) {
        (Nature::Cluster { .. }, ..) => "manifest-restore",
        (_, true, _) => "volume-snapshot-restore",
        (_, _, true) => "volume-clone",
        _ => "logical-backup-restore",
    };
    let mut params = Map::new();
    for (key, field, given) in [
        ("include", rule.included_by, &rule.include),
        ("exclude", "exclude", &rule.exclude),
    ] {
        if given.is_empty() {
            continue;
        }
        let pointer = format!("{}/{field}", rule.pointer);
        if found.nature != Nature::Workload {
            scope.not_carried(
                &pointer,
                "only workload-addon restores a part of a Snapshot by patterns",
                "restore into another claim and copy what you need",
            );
        } else if let Some(value) = paths.param(
            scope,
            &pointer,
            &format!("spec.addon.tasks[0].params.{key}"),
            given,
        ) {
            params.insert(key.to_owned(), value);
        }
    }
    session::addon(scope, Some(found), name, params, runtime, task, "spec.addon")
}
