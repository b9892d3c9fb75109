//! Workloads and claims whose annotations ask Stash for backups: they are not manifests of Stash, but what they ask for
//! must be asked for in other words, and only the file's owner can write them.

use serde_json::Value;

use super::known::Known;
use super::note::Scope;
use super::text;
use crate::decide::naming;

const BLUEPRINT: &str = "stash.appscode.com/backup-blueprint";

/// Notes the command that annotates a target of Stash's blueprints.
pub(super) fn look(scope: &Scope, object: &Value, known: &Known<'_>) {
    let Some(annotations) = object.pointer("/metadata/annotations").and_then(Value::as_object) else {
        return;
    };
    let Some(blueprint) = annotations.get(BLUEPRINT).and_then(Value::as_str) else {
        return;
    };
    let at = |key: &str| format!("/metadata/annotations/{}", key.replace('/', "~1"));
    let mut names = blueprint.split(',').map(str::trim);
    let first = names.next().unwrap_or_default();
    for other in names {
        let why = format!("a target follows one blueprint; it asks for {other} as well");
        scope.not_carried(
            &at(BLUEPRINT),
            &why,
            "put the sessions of both into one blueprint",
        );
    }
    scope.to_do(
        &at(BLUEPRINT),
        "KubeStash's annotations have other names",
        &format!("`{}`", command(scope, object, first, known)),
    );
    for key in annotations.keys() {
        if key == "stash.appscode.com/schedule" || key.starts_with("params.stash.appscode.com/") {
            scope.not_carried(
                &at(key),
                "a blueprint of KubeStash takes such a value only where its template has a variable for it",
                "write ${schedule:=…} or the like into the template, and annotate variables.kubestash.com/schedule",
            );
        }
    }
}

fn command(scope: &Scope, object: &Value, blueprint: &str, known: &Known<'_>) -> String {
    let own = scope.object();
    let template = known.of_cluster("BackupBlueprint", blueprint);
    let namespace = template.map_or_else(
        || known.options.namespace.clone(),
        |template| {
            [
                "/spec/repoNamespace",
                "/spec/backupNamespace",
                "/metadata/namespace",
            ]
            .into_iter()
            .map(|pointer| text(template, pointer))
            .find(|given| !given.is_empty())
            .unwrap_or(&known.options.namespace)
            .to_owned()
        },
    );
    let kind = own.kind.to_lowercase();
    let mut words = vec![
        format!("kubectl annotate {kind} {} -n {}", own.name, own.namespace),
        format!("blueprint.kubestash.com/name={blueprint}"),
        format!("blueprint.kubestash.com/namespace={namespace}"),
    ];
    let mut variable =
        |name: &str, value: &str| words.push(format!("variables.kubestash.com/{name}={value}"));
    variable("namespace", &own.namespace);
    variable("targetName", &own.name);
    variable("targetKind", &kind);
    variable("repoName", &naming::join2(&kind, &own.name));
    let paths = object
        .pointer("/metadata/annotations")
        .and_then(|a| a.get("stash.appscode.com/target-paths"))
        .and_then(Value::as_str);
    if let Some(paths) = paths {
        variable("paths", paths);
    }
    words.join(" ")
}
