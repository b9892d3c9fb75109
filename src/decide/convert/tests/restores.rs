use serde_json::json;

use super::*;
use crate::api::core::RestoreSession;

const RESTORE: &str = "RestoreSession";

fn restore(kind: &str, more: &str) -> String {
    format!(
        "\
apiVersion: stash.appscode.com/v1beta1
kind: RestoreSession
metadata: {{name: back, namespace: demo}}
spec:
  repository: {{name: repo}}
  timeOut: 1h
  target:
    ref: {{apiVersion: apps/v1, kind: {kind}, name: web}}
{more}"
    )
}

#[test]
fn a_restore_is_carried_and_never_begins_by_itself() {
    let text = restore(
        "Deployment",
        "    rules: [{paths: [/data], exclude: ['*.tmp']}]\n",
    ) + "---\n"
        + &deployment("");
    let open = made(&text);
    assert_eq!(
        object(&open, RESTORE, "back")["spec"],
        json!({
            "target": {"apiGroup": "apps", "kind": "Deployment", "namespace": "demo", "name": "web"},
            "dataSource": {"namespace": "demo", "repository": "repo", "encryptionSecret": {"name": "repo-encryption-secret", "namespace": "demo"}},
            "addon": {"name": "workload-addon", "tasks": [{"name": "logical-backup-restore", "params": {"include": "/data", "exclude": "*.tmp"}}]},
            "restoreTimeout": "1h0m0s",
        })
    );
    assert_eq!(
        at(&open, Level::ToFillIn),
        ["RestoreSession demo/back spec.dataSource.snapshot"]
    );
    let latest = Options {
        snapshot: Some("latest".to_owned()),
        ..Options::default()
    };
    let closed = made_with(&text, &latest);
    let back = object(&closed, RESTORE, "back");
    assert_eq!(back["spec"]["dataSource"]["snapshot"], "latest");
    assert_eq!(at(&closed, Level::ToFillIn), Vec::<String>::new());
    assert!(serde_json::from_value::<RestoreSession>(back).is_ok());
}

#[test]
fn hosts_become_components() {
    let cases = [
        (
            "StatefulSet",
            "{targetHosts: [host-0, host-2]}",
            json!(["dump-pod-0", "dump-pod-2"]),
        ),
        ("DaemonSet", "{targetHosts: [node-a]}", json!(["dump-node-a"])),
        ("Deployment", "{targetHosts: [host-0]}", Value::Null),
        (
            "StatefulSet",
            "{targetHosts: [host-1], sourceHost: host-1}",
            json!(["dump-pod-1"]),
        ),
    ];
    for (kind, rule, components) in cases {
        let made = made(&restore(kind, &format!("    rules: [{rule}]\n")));
        assert_eq!(
            field(&made, RESTORE, "back", "/spec/dataSource/components"),
            components,
            "{kind} {rule}"
        );
        assert_eq!(at(&made, Level::NotCarried), Vec::<String>::new(), "{rule}");
    }
    let other = made(&restore(
        "StatefulSet",
        "    rules: [{targetHosts: [], sourceHost: host-0, snapshots: [abcd1234]}]\n",
    ));
    assert_eq!(
        at(&other, Level::NotCarried),
        [
            "/spec/target/rules/0/snapshots",
            "/spec/target/rules/0/sourceHost"
        ]
    );
}

#[test]
fn each_of_several_rules_is_a_restore() {
    let made = made(&restore(
        "StatefulSet",
        "    rules: [{targetHosts: [host-0], include: [/a]}, {exclude: [/b]}]\n",
    ));
    assert_eq!(titles(&made), ["RestoreSession back-1", "RestoreSession back-2"]);
    assert_eq!(
        field(&made, RESTORE, "back-1", "/spec/addon/tasks/0/params"),
        json!({"include": "/a"})
    );
    assert!(says(
        &made,
        Level::ToFillIn,
        "/spec/target/rules/1",
        "RestoreSession demo/back-2 spec.dataSource.components"
    ));
}

#[test]
fn filters_need_an_addon_that_has_them() {
    let made = made(&restore(
        "PersistentVolumeClaim",
        "    rules: [{include: [/stash-data/a]}]\n",
    ));
    assert_eq!(at(&made, Level::NotCarried), ["/spec/target/rules/0/include"]);
    assert_eq!(field(&made, RESTORE, "back", "/spec/addon/name"), "pvc-addon");
}

#[test]
fn claims_to_create_are_carried_to_the_task() {
    let spec = |driver: &str| {
        format!(
            "\
apiVersion: stash.appscode.com/v1beta1
kind: RestoreSession
metadata: {{name: back, namespace: demo}}
spec:
  {driver}
  repository: {{name: repo}}
  target:
    replicas: 3
    volumeMounts: [{{name: data, mountPath: /data}}]
    volumeClaimTemplates:
    - metadata: {{name: 'data-${{POD_ORDINAL}}'}}
      spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
"
        )
    };
    for (driver, task) in [
        ("driver: Restic", "volume-clone"),
        ("driver: VolumeSnapshotter", "volume-snapshot-restore"),
    ] {
        let made = made(&spec(driver));
        let spec = field(&made, RESTORE, "back", "/spec");
        assert!(spec.get("target").is_none());
        let found = &spec["addon"]["tasks"][0];
        assert_eq!(found["name"], task);
        assert_eq!(
            found["targetVolumes"]["volumeClaimTemplates"][0]["metadata"]["name"],
            "data-${POD_ORDINAL}"
        );
        assert_eq!(at(&made, Level::NotCarried), Vec::<String>::new());
    }
}

#[test]
fn the_repository_is_the_one_that_the_configuration_fills() {
    let other = deployment("")
        .replace("name: app,", "name: other,")
        .replace("name: web", "name: api");
    let text = format!("{}---\n{other}---\n{}", deployment(""), restore("Deployment", ""));
    let made = made(&text);
    assert_eq!(
        field(&made, RESTORE, "back", "/spec/dataSource/repository"),
        "repo-app"
    );
}

#[test]
fn a_restore_that_has_ended_is_not_made_again() {
    let made = made(&(restore("Deployment", "") + "status: {phase: Succeeded}\n"));
    assert_eq!(titles(&made), Vec::<String>::new());
    assert!(says(&made, Level::Changed, "", "restore again"));
}

#[test]
fn rules_in_their_old_place_and_hooks() {
    let made = made(&restore(
        "Deployment",
        "  rules: [{include: [/x]}]\n  hooks: {preRestore: {httpGet: {port: 1, host: h}}, postRestore: {executionPolicy: OnFailure, tcpSocket: {port: 1, host: h}}}\n",
    ));
    assert_eq!(
        titles(&made),
        [
            "HookTemplate back-prerestore-hook",
            "HookTemplate back-postrestore-hook",
            "RestoreSession back"
        ]
    );
    assert_eq!(
        field(&made, RESTORE, "back", "/spec/addon/tasks/0/params/include"),
        "/x"
    );
    assert_eq!(
        field(
            &made,
            RESTORE,
            "back",
            "/spec/hooks/postRestore/0/executionPolicy"
        ),
        "OnFailure"
    );
}
