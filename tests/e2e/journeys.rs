//! What users do when all goes well: back up, destroy, restore, compare; retention; deletion policies; a second cluster.

use std::time::Duration;

use super::scene::{condition, messages};
use super::stage::{eventually, stage};

#[test]
fn a_pvc_comes_back_byte_for_byte() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("pvc");
    scene.storage();
    scene.volume("data");
    scene.fill("data-pod", "/data");
    let target = "{apiGroup: '', kind: PersistentVolumeClaim, name: data}";
    scene.configuration("pvc-backup", target, "pvc-addon", "{}");
    let session = scene.first_backup("pvc-backup");
    let before = scene.fingerprint("data-pod", "/data");

    let repository = stage.wait(
        &scene.namespace,
        "repository",
        "pvc-backup-repo",
        "counting one snapshot",
        |r| r["status"]["snapshotCount"] == 1,
    );
    assert_eq!(repository["status"]["phase"], "Ready");
    assert_eq!(repository["status"]["integrity"], true, "{repository:#}");
    let snapshot = &scene.snapshots("pvc-backup-repo")[0];
    let component = &snapshot["status"]["components"]["dump"];
    assert_eq!(component["path"], "repository/v1/daily/dump");
    assert_eq!(
        component["resticStats"][0]["summary"]["hostPath"], "/kubestash-data",
        "{component:#}"
    );
    assert_eq!(snapshot["spec"]["backupSession"], session.as_str());
    assert_eq!(
        condition(snapshot, "SnapshotMetadataUploaded").unwrap()["status"],
        "True"
    );
    let cron = stage
        .get(&scene.namespace, "cronjob", "trigger-pvc-backup-daily")
        .expect("the session's CronJob");
    assert_eq!(cron["spec"]["schedule"], "7 3 * * *");

    stage.sh(
        &scene.namespace,
        "data-pod",
        "rm -rf /data/* && echo other > /data/plain",
    );
    scene.restore("back", target, "pvc-backup-repo", "pvc-addon", "");
    stage.wait_phase(&scene.namespace, "restoresession", "back", "Succeeded");
    assert_eq!(scene.fingerprint("data-pod", "/data"), before);
    scene.judge("pvc-backup", "dump");
}

#[test]
fn a_deployment_is_backed_up_from_one_pod_and_restored() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("dep");
    scene.storage();
    let namespace = &scene.namespace;
    scene.deployment(2, "/source/data", ":");
    let pod = stage.list(namespace, "pod", "app=app")[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    scene.fill(&pod, "/source/data");
    let before = scene.fingerprint(&pod, "/source/data");
    let target = "{apiGroup: apps, kind: Deployment, name: app}";
    scene.configuration(
        "dep-backup",
        target,
        "workload-addon",
        "{paths: /source/data, exclude: /source/data/lost+found}",
    );
    scene.first_backup("dep-backup");
    assert_eq!(
        scene.snapshots("dep-backup-repo")[0]["status"]["totalComponents"],
        1
    );

    stage.sh(namespace, &pod, "rm -rf /source/data/*");
    let said = stage.cli(&[
        "restore",
        "dep-backup",
        "-n",
        namespace,
        "--wait",
        "--timeout",
        "2m",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(scene.fingerprint(&pod, "/source/data"), before);
    scene.judge("dep-backup", "dump");
}

#[test]
fn each_ordinal_of_a_stateful_set_gets_its_own_data_back() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("sts");
    scene.storage();
    let namespace = &scene.namespace;
    scene.stateful_set("db", 3, "/source/data", "hostname > /source/data/name");
    let pods = ["db-0", "db-1", "db-2"];
    for pod in pods {
        scene.fill(pod, "/source/data");
    }
    let before = pods.map(|p| scene.fingerprint(p, "/source/data"));
    let target = "{apiGroup: apps, kind: StatefulSet, name: db}";
    // As KubeStash's guide writes it: the mount names a volume of the workload, which is said nowhere else.
    let told =
        "        targetVolumes: {volumeMounts: [{name: data, mountPath: /source/data}]}\n        params:";
    let yaml = scene.configuration_yaml("sts-backup", target, "workload-addon", "{paths: /source/data}");
    stage.apply(&yaml.replace("        params:", told));
    scene.first_backup("sts-backup");
    let snapshot = &scene.snapshots("sts-backup-repo")[0];
    let mut components: Vec<_> = snapshot["status"]["components"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    components.sort();
    assert_eq!(components, ["dump-pod-0", "dump-pod-1", "dump-pod-2"]);

    for pod in pods {
        stage.sh(namespace, pod, "rm -rf /source/data/*");
    }
    scene.restore(
        "one",
        target,
        "sts-backup-repo",
        "workload-addon",
        "    components: [dump-pod-0]",
    );
    stage.wait_phase(namespace, "restoresession", "one", "Succeeded");
    assert_eq!(scene.fingerprint("db-0", "/source/data"), before[0]);
    assert_eq!(
        stage.sh(namespace, "db-1", "ls /source/data").trim(),
        "",
        "only the named component may be restored"
    );
    scene.restore("all", target, "sts-backup-repo", "workload-addon", "");
    stage.wait_phase(namespace, "restoresession", "all", "Succeeded");
    assert_eq!(pods.map(|p| scene.fingerprint(p, "/source/data")), before);
    scene.judge("sts-backup", "dump-pod-1");
}

#[test]
fn retention_keeps_what_the_policy_says_in_the_cluster_and_in_restic() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("keep");
    scene.storage();
    scene.volume("data");
    scene.configuration(
        "kept",
        "{apiGroup: '', kind: PersistentVolumeClaim, name: data}",
        "pvc-addon",
        "{}",
    );
    stage.sh(&scene.namespace, "data-pod", "echo 0 > /data/n");
    scene.first_backup("kept");
    for n in 1..4 {
        stage.sh(&scene.namespace, "data-pod", &format!("echo {n} > /data/n"));
        let said = scene.backup_now("kept");
        assert_eq!(said.code, 0, "{said:?}");
    }
    let kept = eventually("two snapshots to remain", Duration::from_secs(60), || {
        let kept = scene.snapshots("kept-repo");
        (kept.len() == 2).then_some(kept)
    });
    let judged = scene.restic("kept", "dump", &["snapshots", "--json"]).ok();
    let judged: Vec<serde_json::Value> = serde_json::from_str(&judged).unwrap();
    let mut ids: Vec<_> = judged
        .iter()
        .map(|s| s["id"].as_str().unwrap().to_owned())
        .collect();
    let mut ours: Vec<_> = kept
        .iter()
        .map(|s| {
            s["status"]["components"]["dump"]["resticStats"][0]["summary"]["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    ids.sort();
    ours.sort();
    assert_eq!(ids, ours);
    stage.wait(&scene.namespace, "repository", "kept-repo", "counting two", |r| {
        r["status"]["snapshotCount"] == 2
    });
    scene.judge("kept", "dump");
}

#[test]
fn a_bucket_comes_back_to_life_in_a_new_storage() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("sync");
    scene.storage();
    scene.volume("data");
    scene.fill("data-pod", "/data");
    let before = scene.fingerprint("data-pod", "/data");
    let target = "{apiGroup: '', kind: PersistentVolumeClaim, name: data}";
    scene.configuration("synced", target, "pvc-addon", "{}");
    scene.first_backup("synced");
    let old = scene.snapshots("synced-repo")[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    stage
        .kubectl(&[
            "delete",
            "-n",
            &scene.namespace,
            "backupconfiguration",
            "synced",
            "--timeout=60s",
        ])
        .ok();
    stage
        .kubectl(&[
            "delete",
            "-n",
            &scene.namespace,
            "backupstorage",
            "s3-storage",
            "--timeout=60s",
        ])
        .ok();
    eventually(
        "the snapshots to go with the storage",
        Duration::from_secs(60),
        || scene.snapshots("synced-repo").is_empty().then_some(()),
    );

    scene.storage_with("other-name", "Delete", scene.prefix());
    stage.wait_phase(&scene.namespace, "backupstorage", "other-name", "Ready");
    stage.wait_phase(
        &scene.namespace,
        "snapshots.storage.kubestash.com",
        &old,
        "Succeeded",
    );
    stage.sh(&scene.namespace, "data-pod", "rm -rf /data/*");
    scene.restore("back", target, "synced-repo", "pvc-addon", "");
    stage.wait_phase(&scene.namespace, "restoresession", "back", "Succeeded");
    assert_eq!(scene.fingerprint("data-pod", "/data"), before);
}

#[test]
fn wiping_out_a_storage_empties_its_prefix_and_nothing_else() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("wipe");
    scene.storage();
    scene.volume("data");
    scene.fill("data-pod", "/data");
    scene.configuration(
        "kept",
        "{apiGroup: '', kind: PersistentVolumeClaim, name: data}",
        "pvc-addon",
        "{}",
    );
    scene.first_backup("kept");
    scene.storage_with("neighbour", "WipeOut", &format!("{}-neighbour", scene.prefix()));
    stage.wait_phase(&scene.namespace, "backupstorage", "neighbour", "Ready");
    stage
        .kubectl(&[
            "delete",
            "-n",
            &scene.namespace,
            "backupstorage",
            "neighbour",
            "--timeout=60s",
        ])
        .ok();
    scene.judge("kept", "dump");
    assert_eq!(
        stage
            .get(&scene.namespace, "backupstorage", "s3-storage")
            .unwrap()["status"]["phase"],
        "Ready"
    );
}

#[test]
fn one_session_writes_to_two_repositories() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("two");
    scene.storage();
    scene.volume("data");
    scene.fill("data-pod", "/data");
    let yaml = scene.configuration_yaml(
        "twice",
        "{apiGroup: '', kind: PersistentVolumeClaim, name: data}",
        "pvc-addon",
        "{}",
    );
    let ns = &scene.namespace;
    let yaml = yaml.replace(
        "    addon:\n",
        &format!("    - {{name: second-repo, backend: s3, directory: /second, encryptionSecret: {{name: encrypt-secret, namespace: {ns}}}}}\n    addon:\n"),
    );
    stage.apply(&yaml);
    let session = scene.first_backup("twice");
    let session = stage.get(ns, "backupsession", &session).unwrap();
    assert_eq!(session["status"]["totalSnapshots"], 2, "{session:#}");
    scene.judge("twice", "dump");
    scene.judge("second", "dump");
}

#[test]
fn a_local_volume_serves_as_storage() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("local");
    scene.storage();
    let ns = &scene.namespace;
    // Not every volume honours fsGroup (a hostPath does not), and the data's own modes keep others out: the storage says
    // that its Jobs are root, which holds for the Jobs that back up to it as well.
    scene.volume("store");
    stage.sh(ns, "store-pod", "chmod 0755 /data");
    stage.kubectl(&["delete", "pod", "-n", ns, "store-pod"]).ok();
    let storage = format!(
        r#"
apiVersion: storage.kubestash.com/v1alpha1
kind: BackupStorage
metadata: {{name: local-storage, namespace: {ns}}}
spec:
  storage:
    provider: local
    local: {{mountPath: /backups, persistentVolumeClaim: {{claimName: store}}}}
  runtimeSettings: {{pod: {{securityContext: {{runAsUser: 0}}}}}}
"#
    );
    stage.apply(&storage);
    stage.wait_phase(ns, "backupstorage", "local-storage", "Ready");
    scene.volume("data");
    scene.fill("data-pod", "/data");
    let before = scene.fingerprint("data-pod", "/data");
    let target = "{apiGroup: '', kind: PersistentVolumeClaim, name: data}";
    let yaml = scene
        .configuration_yaml("near", target, "pvc-addon", "{}")
        .replace("name: s3-storage", "name: local-storage");
    stage.apply(&yaml);
    scene.first_backup("near");
    stage.sh(ns, "data-pod", "rm -rf /data/*");
    scene.restore("back", target, "near-repo", "pvc-addon", "");
    stage.wait_phase(ns, "restoresession", "back", "Succeeded");
    assert_eq!(scene.fingerprint("data-pod", "/data"), before);

    // Made anew over the same volume, it brings back what lies there.
    for kind in ["backupconfiguration/near", "backupstorage/local-storage"] {
        stage.kubectl(&["delete", "-n", ns, kind, "--timeout=120s"]).ok();
    }
    assert!(scene.snapshots("near-repo").is_empty());
    stage.apply(&storage);
    eventually("the Snapshot to come back", Duration::from_secs(120), || {
        (scene.snapshots("near-repo").len() == 1).then_some(())
    });
    let storage = stage.wait(ns, "backupstorage", "local-storage", "synced", |s| {
        s["status"]["repositories"][0]["synced"] == true
    });
    assert_eq!(storage["status"]["phase"], "Ready", "{storage:#}");
}

#[test]
fn a_paused_configuration_refuses_a_backup_and_says_how_to_go_on() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("paused");
    scene.storage();
    scene.volume("data");
    stage.sh(&scene.namespace, "data-pod", "echo x > /data/x");
    scene.configuration(
        "resting",
        "{apiGroup: '', kind: PersistentVolumeClaim, name: data}",
        "pvc-addon",
        "{}",
    );
    scene.first_backup("resting");
    let patch = [
        "patch",
        "-n",
        &scene.namespace,
        "backupconfiguration",
        "resting",
        "--type=merge",
        "-p",
        r#"{"spec":{"paused":true}}"#,
    ];
    stage.kubectl(&patch).ok();
    stage.wait(
        &scene.namespace,
        "cronjob",
        "trigger-resting-daily",
        "suspended",
        |c| c["spec"]["suspend"] == true,
    );
    let said = scene.backup_now("resting");
    assert_eq!(said.code, 7, "{said:?}");
    assert!(said.err.contains("paused"), "{said:?}");
    assert_eq!(
        scene.sessions("resting").len(),
        1,
        "nothing may have been created"
    );
}

#[test]
fn unknown_session_names_are_errors() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("typo");
    scene.storage();
    scene.volume("data");
    stage.sh(&scene.namespace, "data-pod", "echo x > /data/x");
    scene.configuration(
        "known",
        "{apiGroup: '', kind: PersistentVolumeClaim, name: data}",
        "pvc-addon",
        "{}",
    );
    scene.first_backup("known");
    let said = stage.cli(&[
        "backup",
        "now",
        "known",
        "--session",
        "dayly",
        "-n",
        &scene.namespace,
    ]);
    assert_ne!(said.code, 0);
    assert!(
        said.err.contains("dayly") && said.err.contains("daily"),
        "the message names the typo and what there is: {said:?}"
    );
    // The same asked for by hand: the operator refuses it and says why.
    stage.apply(&format!(
        "apiVersion: core.kubestash.com/v1alpha1\nkind: BackupSession\nmetadata: {{name: known-dayly-1, namespace: {}}}\nspec:\n  invoker: {{apiGroup: core.kubestash.com, kind: BackupConfiguration, name: known}}\n  session: dayly\n",
        scene.namespace
    ));
    let session = scene.finished("known-dayly-1");
    assert!(messages(&session).contains("dayly"), "{session:#}");
}
