use serde_json::json;

use super::*;

const BATCH: &str = "\
apiVersion: stash.appscode.com/v1beta1
kind: BackupBatch
metadata: {name: press, namespace: demo}
spec:
  repository: {name: repo}
  schedule: '@daily'
  executionOrder: Sequential
  retentionPolicy: {name: k, keepLast: 1}
  hooks: {preBackup: {exec: {command: [x]}}}
  members:
  - target: {alias: db, ref: {apiVersion: appcatalog.appscode.com/v1alpha1, kind: AppBinding, name: press-db}}
    task: {name: mysql-backup-8.0.14}
  - target: {ref: {apiVersion: apps/v1, kind: Deployment, name: web}, paths: [/var/www]}
";

#[test]
fn members_of_a_batch_become_configurations() {
    let made = made(BATCH);
    assert_eq!(
        titles(&made),
        [
            "RetentionPolicy k",
            "BackupConfiguration press-db",
            "BackupConfiguration press-deployment-web"
        ]
    );
    assert_eq!(
        at(&made, Level::NotCarried),
        ["/spec/executionOrder", "/spec/hooks"]
    );
    let repositories: Vec<Value> = ["press-db", "press-deployment-web"]
        .into_iter()
        .map(|name| {
            field(
                &made,
                "BackupConfiguration",
                name,
                "/spec/sessions/0/repositories/0/name",
            )
        })
        .collect();
    assert_eq!(repositories, ["repo-press-db", "repo-press-deployment-web"]);
}

#[test]
fn members_of_a_restore_batch_become_restores() {
    let text = BATCH
        .replace("kind: BackupBatch", "kind: RestoreBatch")
        .replace("  schedule: '@daily'\n", "")
        .replace("  retentionPolicy: {name: k, keepLast: 1}\n", "")
        .replace("preBackup", "preRestore")
        .replace(", paths: [/var/www]", "");
    let made = made(&format!("{text}---\n{BATCH}"));
    let restores: Vec<String> = titles(&made)
        .into_iter()
        .filter(|t| t.starts_with("RestoreSession"))
        .collect();
    assert_eq!(
        restores,
        ["RestoreSession press-db", "RestoreSession press-deployment-web"]
    );
    assert_eq!(
        field(
            &made,
            "RestoreSession",
            "press-deployment-web",
            "/spec/dataSource/repository"
        ),
        "repo-press-deployment-web"
    );
}

const BLUEPRINT: &str = "\
apiVersion: stash.appscode.com/v1beta1
kind: BackupBlueprint
metadata: {name: nightly}
spec:
  repoNamespace: backups
  backend:
    gcs: {bucket: b, prefix: 'stash/${TARGET_NAMESPACE}/${TARGET_KIND}/${TARGET_NAME}'}
    storageSecretName: s
  wipeOut: false
  usagePolicy: {allowedNamespaces: {from: All}}
  schedule: '0 3 * * *'
  backupHistoryLimit: 2
  retentionPolicy: {name: k, keepLast: 1}
";

#[test]
fn a_blueprint_gets_a_namespace_and_a_storage() {
    let made = made(BLUEPRINT);
    assert_eq!(
        titles(&made),
        [
            "RetentionPolicy k",
            "BackupStorage nightly-storage",
            "BackupBlueprint nightly"
        ]
    );
    assert_eq!(
        field(&made, "BackupStorage", "nightly-storage", "/spec/storage/gcs"),
        json!({"bucket": "b", "prefix": "stash/kubestash", "secretName": "s"})
    );
    let blueprint = object(&made, "BackupBlueprint", "nightly");
    assert_eq!(blueprint["metadata"]["namespace"], "backups");
    assert_eq!(
        blueprint["spec"]["usagePolicy"],
        json!({"allowedNamespaces": {"from": "All"}})
    );
    let template = &blueprint["spec"]["backupConfigurationTemplate"];
    assert_eq!(template["deletionPolicy"], "OnDelete");
    assert_eq!(
        template["sessions"][0]["repositories"],
        json!([{"name": "${repoName}", "backend": "storage", "directory": "${namespace}/${targetKind}/${targetName}",
            "encryptionSecret": {"name": "nightly-encryption-secret", "namespace": "backups"}}])
    );
    assert_eq!(
        template["sessions"][0]["addon"],
        json!({"name": "workload-addon", "tasks": [{"name": "logical-backup", "params": {"paths": "${paths}"}}]})
    );
    assert!(
        made.notes.iter().all(|note| !note.level.is_gap()),
        "{:?}",
        made.notes
    );
}

#[test]
fn a_blueprint_lets_the_namespace_of_its_backups_use_its_storage() {
    let made = made(&(BLUEPRINT.to_owned() + "  backupNamespace: elsewhere\n"));
    let only = json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}}});
    assert_eq!(
        field(&made, "BackupStorage", "nightly-storage", "/spec/usagePolicy"),
        only
    );
    assert_eq!(field(&made, "RetentionPolicy", "k", "/spec/usagePolicy"), only);
    assert_eq!(
        field(
            &made,
            "BackupBlueprint",
            "nightly",
            "/spec/backupConfigurationTemplate/namespace"
        ),
        "elsewhere"
    );
}

#[test]
fn tasks_of_blueprints_name_the_addon() {
    for (task, addon) in [
        ("postgres-backup-${TARGET_APP_VERSION}", "postgres-addon"),
        ("pvc-backup", "pvc-addon"),
    ] {
        let made = made(&(BLUEPRINT.to_owned() + &format!("  task: {{name: '{task}'}}\n")));
        assert_eq!(
            field(
                &made,
                "BackupBlueprint",
                "nightly",
                "/spec/backupConfigurationTemplate/sessions/0/addon/name"
            ),
            addon
        );
    }
}

#[test]
fn annotated_targets_are_told_their_new_annotations() {
    let text = format!(
        "{BLUEPRINT}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop, annotations: {{stash.appscode.com/backup-blueprint: nightly, stash.appscode.com/target-paths: '/a,/b', stash.appscode.com/schedule: '@hourly'}}}}\n"
    );
    let made = made(&text);
    assert!(says(
        &made,
        Level::ToDo,
        "/metadata/annotations/stash.appscode.com~1backup-blueprint",
        "kubectl annotate deployment web -n shop blueprint.kubestash.com/name=nightly blueprint.kubestash.com/namespace=backups variables.kubestash.com/namespace=shop variables.kubestash.com/targetName=web variables.kubestash.com/targetKind=deployment variables.kubestash.com/repoName=deployment-web variables.kubestash.com/paths=/a,/b"
    ));
    assert_eq!(
        at(&made, Level::NotCarried),
        ["/metadata/annotations/stash.appscode.com~1schedule"]
    );
}

#[test]
fn what_is_not_stashs_is_passed_over() {
    let kubestash =
        "apiVersion: storage.kubestash.com/v1alpha1\nkind: Repository\nmetadata: {name: r}\nspec: {}\n";
    let foreign =
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: Repository\nmetadata: {name: r}\nspec: {}\n";
    let record =
        "apiVersion: stash.appscode.com/v1beta1\nkind: BackupSession\nmetadata: {name: r}\nspec: {}\n";
    let made = made(&format!("{kubestash}---\n{foreign}---\n{record}"));
    assert_eq!(
        (
            made.outputs.len(),
            made.notes.len(),
            made.converted,
            made.passed_over
        ),
        (0, 0, 0, 3)
    );
}

#[test]
fn kinds_and_versions_without_counterpart_are_said() {
    for (text, pointer) in [
        (
            "apiVersion: stash.appscode.com/v1beta1\nkind: Task\nmetadata: {name: t}\n",
            "",
        ),
        (
            "apiVersion: stash.appscode.com/v1alpha1\nkind: BackupConfiguration\nmetadata: {name: t}\n",
            "/apiVersion",
        ),
        (
            "apiVersion: stash.appscode.com/v1alpha1\nkind: Restic\nmetadata: {name: t}\n",
            "",
        ),
    ] {
        let made = made(text);
        assert_eq!(made.outputs.len(), 0);
        assert_eq!(at(&made, Level::NotCarried), [pointer]);
    }
}

#[test]
fn an_object_given_twice_counts_once() {
    let made = made(&format!(
        "{}---\n{}",
        deployment(""),
        deployment("    args: [x]\n")
    ));
    assert_eq!(made.outputs.len(), 2);
    assert!(says(&made, Level::NotCarried, "", "given before"));
}

#[test]
fn the_same_input_gives_the_same_output() {
    let text = format!("{BATCH}---\n{BLUEPRINT}---\n{}", deployment(""));
    assert_eq!(made(&text), made(&text));
}
