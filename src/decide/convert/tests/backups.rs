use serde_json::json;

use super::*;
use crate::api::core::BackupConfiguration;

const CONFIGURATION: &str = "BackupConfiguration";

#[test]
fn a_workload_becomes_the_configuration_that_kubestash_users_write() {
    let made = made(&deployment(
        "    exclude: [/data/tmp, '*.log']\n  paused: true\n  backupHistoryLimit: 3\n  timeOut: 30m\n  retryConfig: {maxRetry: 2, delay: 1m}\n",
    ));
    let configuration = object(&made, CONFIGURATION, "app");
    assert_eq!(
        configuration["spec"],
        json!({
            "target": {"apiGroup": "apps", "kind": "Deployment", "namespace": "demo", "name": "web"},
            "backends": [{"name": "storage", "storageRef": {"name": "repo", "namespace": "demo"},
                "retentionPolicy": {"name": "keep-last-5", "namespace": "demo"}}],
            "paused": true,
            "sessions": [{
                "name": "backup",
                "scheduler": {"schedule": "*/5 * * * *", "jobTemplate": {"backoffLimit": 1}},
                "retryConfig": {"maxRetry": 2, "delay": "1m0s"},
                "backupTimeout": "30m0s",
                "sessionHistoryLimit": 3,
                "addon": {"name": "workload-addon", "tasks": [{"name": "logical-backup", "params": {"paths": "/data", "exclude": "/data/tmp,*.log"}}]},
                "repositories": [{"name": "repo", "backend": "storage", "directory": "demo/web",
                    "encryptionSecret": {"name": "repo-encryption-secret", "namespace": "demo"}}],
            }],
        })
    );
    assert_eq!(
        field(
            &made,
            "RetentionPolicy",
            "keep-last-5",
            "/spec/successfulSnapshots"
        ),
        json!({"last": 5})
    );
    assert!(
        made.notes.iter().all(|note| !note.level.is_gap()),
        "{:?}",
        made.notes
    );
    assert!(serde_json::from_value::<BackupConfiguration>(configuration).is_ok());
}

#[test]
fn targets_have_their_addons() {
    let binding = "---\napiVersion: appcatalog.appscode.com/v1alpha1\nkind: AppBinding\nmetadata: {name: pg, namespace: demo}\nspec: {type: kubedb.com/postgres, appRef: {apiGroup: kubedb.com, kind: Postgres, name: pg-db}}\n";
    let cases = [
        (
            "{apiVersion: apps/v1, kind: StatefulSet, name: x}",
            "",
            json!({"apiGroup": "apps", "kind": "StatefulSet", "name": "x", "namespace": "demo"}),
            "workload-addon",
        ),
        (
            "{apiVersion: v1, kind: PersistentVolumeClaim, name: x}",
            "",
            json!({"kind": "PersistentVolumeClaim", "name": "x", "namespace": "demo"}),
            "pvc-addon",
        ),
        (
            "{apiVersion: v1, kind: PersistentVolumeClaim, name: x, namespace: other}",
            "pvc-backup",
            json!({"kind": "PersistentVolumeClaim", "name": "x", "namespace": "other"}),
            "pvc-addon",
        ),
        (
            "{apiVersion: appcatalog.appscode.com/v1alpha1, kind: AppBinding, name: my}",
            "mysql-backup-8.0.14",
            json!({"apiGroup": "appcatalog.appscode.com", "kind": "AppBinding", "name": "my", "namespace": "demo"}),
            "mysql-addon",
        ),
        (
            "{apiVersion: appcatalog.appscode.com/v1alpha1, kind: AppBinding, name: pg}",
            "",
            json!({"apiGroup": "kubedb.com", "kind": "Postgres", "name": "pg-db", "namespace": "demo"}),
            "postgres-addon",
        ),
    ];
    for (reference, task, target, addon) in cases {
        let task = if task.is_empty() {
            String::new()
        } else {
            format!("  task: {{name: {task}}}\n")
        };
        let text = configuration(&format!("  target:\n    ref: {reference}\n{task}")) + binding;
        let made = made(&text);
        assert_eq!(field(&made, CONFIGURATION, "app", "/spec/target"), target);
        assert_eq!(
            field(&made, CONFIGURATION, "app", "/spec/sessions/0/addon/name"),
            addon,
            "{reference}"
        );
    }
}

#[test]
fn what_cannot_be_a_target_is_said_and_not_made() {
    for (target, pointer) in [
        (
            "  target:\n    ref: {apiVersion: apps.openshift.io/v1, kind: DeploymentConfig, name: x}\n    paths: [/d]\n",
            "/spec/target/ref",
        ),
        ("", "/spec/target"),
    ] {
        let made = made(&configuration(target));
        assert_eq!(titles(&made), ["RetentionPolicy keep-last-5"]);
        assert_eq!(at(&made, Level::NotCarried), [pointer]);
        assert!(
            made.notes
                .iter()
                .all(|n| !n.to.starts_with("BackupConfiguration ")),
            "nothing is said to be in what was not made"
        );
    }
}

#[test]
fn paths_follow_the_volumes() {
    let claim = |more: &str| {
        let text = configuration(&format!(
            "  target:\n    ref: {{apiVersion: v1, kind: PersistentVolumeClaim, name: x}}\n{more}"
        ));
        field(
            &made(&text),
            CONFIGURATION,
            "app",
            "/spec/sessions/0/addon/tasks/0/params",
        )
    };
    assert_eq!(claim(""), Value::Null);
    assert_eq!(
        claim("    paths: [/stash-data/a]\n"),
        json!({"paths": "/kubestash-data/a"})
    );
    assert_eq!(
        claim(
            "    volumeMounts: [{name: d, mountPath: /mine}]\n    paths: [/mine]\n    exclude: [/mine/x, '*.tmp']\n"
        ),
        json!({"paths": "/kubestash-data", "exclude": "/kubestash-data/x,*.tmp"})
    );
    let workload = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: demo}\nspec: {selector: {matchLabels: {app: web}}, template: {spec: {containers: [{name: c, volumeMounts: [{name: d, mountPath: /var/data}]}]}}}\n";
    let text = deployment("    volumeMounts: [{name: d, mountPath: /data}]\n");
    let moved = made(&(text.clone() + workload));
    assert_eq!(
        field(
            &moved,
            CONFIGURATION,
            "app",
            "/spec/sessions/0/addon/tasks/0/params/paths"
        ),
        "/var/data"
    );
    assert!(says(
        &made(&text),
        Level::Changed,
        "/spec/target/volumeMounts",
        "check that the paths"
    ));
    let comma = made(&deployment("    exclude: ['a,b', c]\n"));
    assert_eq!(at(&comma, Level::NotCarried), ["/spec/target/exclude"]);
    let none = made(&configuration(
        "  target:\n    ref: {apiVersion: apps/v1, kind: Deployment, name: web}\n",
    ));
    assert_eq!(at(&none, Level::ToFillIn), ["/spec/target/paths"]);
}

#[test]
fn settings_of_pods_are_carried_whole() {
    let made = made(&deployment(
        "
  tempDir: {medium: Memory, sizeLimit: 1Gi, disableCaching: true}
  runtimeSettings:
    container: {resources: {limits: {cpu: 100m}}, securityContext: {runAsUser: 0}, nice: {adjustment: 5}, ionice: {class: 2, classData: 4}, env: [{name: A, value: b}]}
    pod:
      podLabels: {a: b}
      podAnnotations: {c: d}
      nodeSelector: {disk: ssd}
      nodeName: n1
      serviceAccountName: sa
      securityContext: {fsGroup: 1}
      imagePullSecrets: [{name: p}]
      tolerations: [{operator: Exists}]
      priorityClassName: high
      priority: 7
      schedulerName: mine
      runtimeClassName: rc
      enableServiceLinks: true
      automountServiceAccountToken: false
      serviceAccountAnnotations: {e: f}
      affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}, wrong: 1}
",
    ));
    let addon = field(&made, CONFIGURATION, "app", "/spec/sessions/0/addon");
    assert_eq!(
        addon["containerRuntimeSettings"],
        json!({"resources": {"limits": {"cpu": "100m"}}, "securityContext": {"runAsUser": 0}, "nice": {"adjustment": 5}, "ionice": {"class": 2, "classData": 4}, "env": [{"name": "A", "value": "b"}]})
    );
    let job = &addon["jobTemplate"];
    assert_eq!(
        job["metadata"],
        json!({"labels": {"a": "b"}, "annotations": {"c": "d"}})
    );
    for (pointer, wanted) in [
        (
            "/nodeSelector",
            json!({"disk": "ssd", "kubernetes.io/hostname": "n1"}),
        ),
        ("/serviceAccountName", json!("sa")),
        ("/securityContext", json!({"fsGroup": 1})),
        ("/imagePullSecrets", json!([{"name": "p"}])),
        ("/tolerations", json!([{"operator": "Exists"}])),
        ("/priorityClassName", json!("high")),
        ("/priority", json!(7)),
        ("/schedulerName", json!("mine")),
        ("/runtimeClassName", json!("rc")),
        ("/enableServiceLinks", json!(true)),
    ] {
        assert_eq!(job["spec"].pointer(pointer), Some(&wanted), "{pointer}");
    }
    assert_eq!(
        addon["tasks"][0]["addonVolumes"],
        json!([{"name": "kubestash-tmp-volume", "source": {"emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}}])
    );
    assert_eq!(addon["tasks"][0]["params"]["enableCache"], "false");
    assert_eq!(
        at(&made, Level::NotCarried),
        [
            "/spec/runtimeSettings/pod/affinity/wrong",
            "/spec/runtimeSettings/pod/serviceAccountAnnotations"
        ]
    );
}

#[test]
fn hooks_become_templates() {
    let cases = [
        ("exec: {command: [sync]}", "Pod", Some("app=web,tier=a")),
        ("httpGet: {port: 80, path: /, host: x}", "Operator", None),
        ("httpPost: {port: 80, body: b}", "Pod", Some("app=web,tier=a")),
        ("tcpSocket: {port: 80, host: x}", "Operator", None),
    ];
    let workload = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: demo}\nspec: {selector: {matchLabels: {app: web, tier: a}}}\n";
    for (action, executor, selector) in cases {
        let text = deployment(&format!(
            "  hooks: {{preBackup: {{{action}, containerName: c}}}}\n"
        )) + workload;
        let made = made(&text);
        let template = object(&made, "HookTemplate", "app-prebackup-hook");
        assert_eq!(template["spec"]["executor"]["type"], executor, "{action}");
        assert_eq!(
            template
                .pointer("/spec/executor/pod/selector")
                .and_then(Value::as_str),
            selector,
            "{action}"
        );
        assert_eq!(template["spec"]["action"]["containerName"], "c");
        assert_eq!(
            field(
                &made,
                CONFIGURATION,
                "app",
                "/spec/sessions/0/hooks/preBackup/0/hookTemplate"
            ),
            json!({"name": "app-prebackup-hook", "namespace": "demo"})
        );
    }
    let alone = made(&deployment("  hooks: {preBackup: {exec: {command: [sync]}}}\n"));
    assert_eq!(at(&alone, Level::ToFillIn), ["/spec/hooks/preBackup"]);
}

#[test]
fn policies_of_hooks_are_those_of_kubestash() {
    let cases = [
        ("", "Always", Level::Carried),
        (", executionPolicy: OnSuccess", "OnSuccess", Level::Carried),
        (", executionPolicy: OnFailure", "OnFailure", Level::Carried),
        (
            ", executionPolicy: OnFinalRetryFailure",
            "OnFailure",
            Level::Changed,
        ),
        (", executionPolicy: Never", "Always", Level::NotCarried),
    ];
    for (policy, wanted, level) in cases {
        let made = made(&deployment(&format!(
            "  hooks: {{postBackup: {{httpGet: {{port: 80, host: x}}{policy}}}}}\n"
        )));
        assert_eq!(
            field(
                &made,
                CONFIGURATION,
                "app",
                "/spec/sessions/0/hooks/postBackup/0/executionPolicy"
            ),
            wanted
        );
        if !policy.is_empty() {
            assert!(at(&made, level).contains(&"/spec/hooks/postBackup/executionPolicy".to_owned()));
        }
    }
    let empty = made(&deployment(
        "  hooks: {postBackup: {executionPolicy: OnSuccess}}\n",
    ));
    assert_eq!(at(&empty, Level::NotCarried), ["/spec/hooks/postBackup"]);
    assert!(!titles(&empty).iter().any(|t| t.starts_with("HookTemplate")));
}

#[test]
fn retention_counts_are_carried_and_the_rest_is_said() {
    let text = deployment("").replace(
        "{name: keep-last-5, keepLast: 5, prune: true}",
        "{name: k, keepLast: 1, keepHourly: 2, keepDaily: 3, keepWeekly: 4, keepMonthly: 5, keepYearly: 6, keepTags: [t], prune: false, dryRun: true}",
    );
    let made = made(&text);
    assert_eq!(
        field(&made, "RetentionPolicy", "k", "/spec/successfulSnapshots"),
        json!({"last": 1, "hourly": 2, "daily": 3, "weekly": 4, "monthly": 5, "yearly": 6})
    );
    assert_eq!(
        at(&made, Level::NotCarried),
        ["/spec/retentionPolicy/keepTags", "/spec/retentionPolicy/dryRun"]
    );
    assert!(says(
        &made,
        Level::Changed,
        "/spec/retentionPolicy/prune",
        "always removes"
    ));
}

#[test]
fn policies_of_one_name_are_told_apart() {
    let second = deployment("").replace("name: app,", "name: other,");
    let same = made(&format!("{}---\n{second}", deployment("")));
    assert_eq!(
        titles(&same),
        [
            "RetentionPolicy keep-last-5",
            "BackupConfiguration app",
            "BackupConfiguration other"
        ]
    );
    let differs = made(&format!(
        "{}---\n{}",
        deployment(""),
        second.replace("keepLast: 5", "keepLast: 9")
    ));
    assert_eq!(
        field(
            &differs,
            CONFIGURATION,
            "other",
            "/spec/backends/0/retentionPolicy/name"
        ),
        "other-keep-last-5"
    );
    assert_eq!(
        field(
            &differs,
            "RetentionPolicy",
            "other-keep-last-5",
            "/spec/successfulSnapshots/last"
        ),
        9
    );
}

#[test]
fn a_shared_repository_becomes_one_for_each() {
    let other = deployment("")
        .replace("name: app,", "name: other,")
        .replace("name: web", "name: api");
    let both = made(&format!("{}---\n{other}", deployment("")));
    let place = |made: &Conversion, name: &str| {
        let info = field(made, CONFIGURATION, name, "/spec/sessions/0/repositories/0");
        (
            info["name"].as_str().unwrap().to_owned(),
            info["directory"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(place(&both, "app"), ("repo-app".into(), "demo/web".into()));
    assert_eq!(place(&both, "other"), ("repo-other".into(), "demo/api".into()));
    let same_target = made(&format!(
        "{}---\n{}",
        deployment(""),
        deployment("").replace("name: app,", "name: other,")
    ));
    assert_eq!(
        place(&same_target, "other"),
        ("repo-other".into(), "demo/web/other".into())
    );
}

#[test]
fn volume_snapshots_need_a_storage_here() {
    let text = "\
apiVersion: stash.appscode.com/v1beta1
kind: BackupConfiguration
metadata: {name: app, namespace: demo}
spec:
  driver: VolumeSnapshotter
  schedule: '@daily'
  retentionPolicy: {name: k, keepLast: 1}
  target: {ref: {apiVersion: apps/v1, kind: StatefulSet, name: db}, snapshotClassName: csi, replicas: 3}
";
    let made = made(text);
    let session = field(&made, CONFIGURATION, "app", "/spec/sessions/0");
    assert_eq!(
        session["addon"],
        json!({"name": "workload-addon", "tasks": [{"name": "volume-snapshot", "params": {"volumeSnapshotClassName": "csi"}}]})
    );
    assert!(session["repositories"][0].get("encryptionSecret").is_none());
    assert_eq!(at(&made, Level::ToFillIn), ["/spec/repository"]);
}

#[test]
fn parameters_of_tasks_are_carried_where_the_addon_has_them() {
    let made = made(&configuration(
        "
  target: {alias: db, ref: {apiVersion: appcatalog.appscode.com/v1alpha1, kind: AppBinding, name: my}}
  task: {name: mysql-backup-8.0.14, params: [{name: args, value: --single-transaction}, {name: odd, value: x}]}
  interimVolumeTemplate: {metadata: {name: t}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
",
    ));
    let task = field(&made, CONFIGURATION, "app", "/spec/sessions/0/addon/tasks/0");
    assert_eq!(task["params"], json!({"args": "--single-transaction"}));
    assert_eq!(task["addonVolumes"][0]["name"], "kubestash-interim-volume");
    assert_eq!(at(&made, Level::NotCarried), ["/spec/task/params/1/value"]);
}

#[test]
fn what_has_no_place_is_named() {
    let cases = [
        ("    args: [--tag, x]\n", "/spec/target/args"),
        ("  shedule: x\n", "/spec/shedule"),
        ("  timeOut: soon\n", "/spec/timeOut"),
        ("  paused: maybe\n", "/spec/paused"),
        ("  driver: Magic\n", "/spec/driver"),
    ];
    for (field, pointer) in cases {
        let made = made(&deployment(field));
        assert_eq!(at(&made, Level::NotCarried), [pointer], "{field}");
        assert_eq!(made.outputs.len(), 2, "the rest is carried: {field}");
    }
}
