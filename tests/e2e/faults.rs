//! What users meet when something is wrong: each fault ends in the phase and condition the API names, with a message that says
//! what to do, and nothing is lost.

use std::time::Duration;

use super::scene::{condition, messages};
use super::stage::{Scene, eventually, stage};

const PVC: &str = "{apiGroup: '', kind: PersistentVolumeClaim, name: data}";

impl Scene {
    fn write(&self, text: &str) {
        self.stage
            .sh(&self.namespace, "data-pod", &format!("echo {text} > /data/file"));
    }

    /// A storage, a volume with a file, a configuration `app` with one good backup.
    fn with_one_backup(&self) {
        self.storage();
        self.volume("data");
        self.write("one");
        self.configuration("app", PVC, "pvc-addon", "{}");
        self.first_backup("app");
    }

    fn patch(&self, kind: &str, name: &str, merge: &str) {
        self.stage
            .kubectl(&[
                "patch",
                "-n",
                &self.namespace,
                kind,
                name,
                "--type=merge",
                "-p",
                merge,
            ])
            .ok();
    }
}

#[test]
fn a_missing_secret_is_named_and_its_arrival_noticed() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("nosecret");
    let ns = &scene.namespace;
    let (endpoint, prefix) = (&stage.s3.endpoint, scene.prefix());
    stage.apply(&format!(
        "apiVersion: storage.kubestash.com/v1alpha1\nkind: BackupStorage\nmetadata: {{name: s3-storage, namespace: {ns}}}\nspec:\n  storage:\n    provider: s3\n    s3: {{endpoint: '{endpoint}', bucket: e2e, prefix: {prefix}, secretName: s3-secret}}\n"
    ));
    let storage = stage.wait(ns, "backupstorage", "s3-storage", "missing its Secret", |s| {
        condition(s, "BackendSecretFound").is_some_and(|c| c["status"] == "False")
    });
    assert_eq!(storage["status"]["phase"], "NotReady");
    assert_eq!(
        condition(&storage, "BackendSecretFound").unwrap()["reason"],
        "BackendSecretNotAvailable"
    );
    assert!(messages(&storage).contains("s3-secret"), "{storage:#}");
    stage
        .kubectl(&[
            "create",
            "secret",
            "generic",
            "s3-secret",
            "-n",
            ns,
            "--from-literal=AWS_ACCESS_KEY_ID=k",
        ])
        .ok();
    let storage = stage.wait(ns, "backupstorage", "s3-storage", "missing a key", |s| {
        condition(s, "BackendInitialized").is_some_and(|c| c["status"] == "False")
    });
    assert!(
        messages(&storage).contains("AWS_SECRET_ACCESS_KEY"),
        "{storage:#}"
    );
    scene.storage_with("s3-storage", "Delete", prefix);
    stage.wait_phase(ns, "backupstorage", "s3-storage", "Ready");
}

#[test]
fn a_wrong_bucket_and_an_unreachable_endpoint_are_told_apart() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("wrong");
    let ns = &scene.namespace;
    scene.storage();
    let endpoint = &stage.s3.endpoint;
    let storage = |name: &str, endpoint: &str, bucket: &str| {
        stage.apply(&format!(
            "apiVersion: storage.kubestash.com/v1alpha1\nkind: BackupStorage\nmetadata: {{name: {name}, namespace: {ns}}}\nspec:\n  storage:\n    provider: s3\n    s3: {{endpoint: '{endpoint}', bucket: {bucket}, prefix: {name}-{ns}, secretName: s3-secret}}\n"
        ));
    };
    storage("nobucket", endpoint, "there-is-no-such-bucket");
    storage("nowhere", "http://127.0.0.1:9", "e2e");
    for (name, words) in [
        ("nobucket", &["there-is-no-such-bucket"][..]),
        ("nowhere", &["127.0.0.1:9"]),
    ] {
        let found = stage.wait(ns, "backupstorage", name, "failing to initialise", |s| {
            condition(s, "BackendInitialized").is_some_and(|c| c["status"] == "False")
        });
        assert_eq!(found["status"]["phase"], "NotReady");
        assert_eq!(
            condition(&found, "BackendInitialized").unwrap()["reason"],
            "BackendInitializationFailed"
        );
        for word in words {
            assert!(messages(&found).contains(word), "{name}: {found:#}");
        }
        assert!(!messages(&found).contains(&stage.s3.secret));
    }
    // A configuration on a storage that is not ready says so, and asks for no backup.
    scene.volume("data");
    let yaml = scene
        .configuration_yaml("waiting", PVC, "pvc-addon", "{}")
        .replace("name: s3-storage", "name: nowhere");
    stage.apply(&yaml);
    let waiting = stage.wait(ns, "backupconfiguration", "waiting", "not ready", |b| {
        b["status"]["phase"] == "NotReady" && b["status"]["backends"][0]["ready"] == false
    });
    assert!(scene.sessions("waiting").is_empty(), "{waiting:#}");
    let said = scene.backup_now("waiting");
    assert_eq!(said.code, 7, "{said:?}");
}

#[test]
fn a_changed_password_fails_by_name_and_starts_no_new_history() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("password");
    scene.with_one_backup();
    scene.patch(
        "secret",
        "encrypt-secret",
        r#"{"stringData":{"RESTIC_PASSWORD":"not-the-one"}}"#,
    );
    let said = scene.backup_now("app");
    assert_eq!(said.code, 3, "{said:?}");
    let last = scene.sessions("app").pop().unwrap();
    let snapshot = scene.snapshots("app-repo").pop().unwrap();
    let text = format!("{}\n{}\n{}", messages(&last), messages(&snapshot), said.err);
    assert!(text.to_lowercase().contains("password"), "{text}");
    assert!(!text.contains("not-the-one"), "a secret leaked: {text}");
    scene.patch(
        "secret",
        "encrypt-secret",
        &format!(
            r#"{{"stringData":{{"RESTIC_PASSWORD":"{}"}}}}"#,
            super::stage::PASSWORD
        ),
    );
    assert_eq!(scene.backup_now("app").code, 0);
    scene.judge("app", "dump");
}

#[test]
fn a_missing_target_addon_task_or_parameter_is_named() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("missing");
    let ns = &scene.namespace;
    scene.storage();
    scene.configuration(
        "notarget",
        "{apiGroup: apps, kind: Deployment, name: ghost}",
        "workload-addon",
        "{paths: /x}",
    );
    let found = stage.wait(ns, "backupconfiguration", "notarget", "without its target", |b| {
        b["status"]["targetFound"] == false
    });
    assert_eq!(found["status"]["phase"], "NotReady");
    assert!(
        messages(&found).contains("ghost") || stage.cli(&["status", "-n", ns]).out.contains("ghost"),
        "{found:#}"
    );

    scene.volume("data");
    scene.write("x");
    for (name, addon, task) in [
        ("noaddon", "no-such-addon", "logical-backup"),
        ("notask", "pvc-addon", "no-such-task"),
    ] {
        let yaml = scene
            .configuration_yaml(name, PVC, addon, "{}")
            .replace("name: logical-backup", &format!("name: {task}"));
        stage.apply(&yaml);
        let configuration = stage.wait(ns, "backupconfiguration", name, "reconciled", |b| {
            b["status"]["phase"].is_string()
        });
        if name == "noaddon" {
            let found = &configuration["status"]["dependencies"][0]["found"];
            assert_eq!(*found, false, "{configuration:#}");
        }
    }
    stage.apply(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: app, namespace: {ns}}}\nspec:\n  selector: {{matchLabels: {{a: b}}}}\n  template:\n    metadata: {{labels: {{a: b}}}}\n    spec:\n      terminationGracePeriodSeconds: 0\n      containers: [{{name: app, image: '{}', command: [sh, -c, 'sleep 86400']}}]\n",
        stage.workload_image
    ));
    scene.configuration(
        "noparam",
        "{apiGroup: apps, kind: Deployment, name: app}",
        "workload-addon",
        "{}",
    );
    let session = scene.initial_session("noparam");
    let session = scene.finished(&session);
    assert_eq!(session["status"]["phase"], "Failed");
    assert_eq!(
        condition(&session, "BackupExecutorEnsured").unwrap()["status"],
        "False",
        "{session:#}"
    );
    assert!(messages(&session).contains("paths"), "{session:#}");
}

#[test]
fn a_source_path_that_does_not_exist_is_a_failure_with_its_name() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("nopath");
    scene.storage();
    scene.volume("data");
    scene.write("x");
    scene.configuration("astray", PVC, "pvc-addon", "{paths: /kubestash-data/not-here}");
    let session = scene.initial_session("astray");
    let session = scene.finished(&session);
    assert_eq!(session["status"]["phase"], "Failed", "{session:#}");
    let snapshot = scene.snapshots("astray-repo").pop().unwrap();
    assert_eq!(snapshot["status"]["phase"], "Failed");
    assert!(
        format!("{}{}", messages(&session), messages(&snapshot)).contains("/kubestash-data/not-here"),
        "{snapshot:#}"
    );
}

#[test]
fn an_unreadable_file_makes_a_backup_partial_and_is_named() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("partial");
    scene.storage();
    scene.volume("data");
    scene.write("x");
    stage.sh(
        &scene.namespace,
        "data-pod",
        "echo hidden > /data/hidden.txt; chown 0:0 /data/hidden.txt; chmod 0600 /data/hidden.txt",
    );
    let as_nobody =
        "      name: pvc-addon\n      jobTemplate: {spec: {securityContext: {runAsUser: 65534}}}\n";
    let yaml = scene
        .configuration_yaml("some", PVC, "pvc-addon", "{}")
        .replace("      name: pvc-addon\n", as_nobody);
    stage.apply(&yaml);
    let session = scene.initial_session("some");
    let session = scene.finished(&session);
    assert_eq!(session["status"]["phase"], "Failed", "{session:#}");
    let snapshot = scene.snapshots("some-repo").pop().unwrap();
    assert!(messages(&snapshot).contains("hidden.txt"), "{snapshot:#}");

    let yaml = scene
        .configuration_yaml("most", PVC, "pvc-addon", "{allowPartial: 'true'}")
        .replace("      name: pvc-addon\n", as_nobody);
    stage.apply(&yaml);
    let session = scene.initial_session("most");
    let session = scene.finished(&session);
    assert_eq!(session["status"]["phase"], "Succeeded", "{session:#}");
    let snapshot = scene.snapshots("most-repo").pop().unwrap();
    assert!(
        format!("{}{}", messages(&session), messages(&snapshot)).contains("hidden.txt"),
        "{snapshot:#}"
    );
}

#[test]
fn a_restore_refuses_another_applications_snapshot_and_unknown_components() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("refuse");
    scene.with_one_backup();
    // Another volume may be given the data: that is how it is looked at. Another kind of application, or the Snapshot of
    // another Repository, may not.
    let ns = &scene.namespace;
    stage.apply(&format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: other, namespace: {ns}}}\nspec:\n  replicas: 0\n  selector: {{matchLabels: {{a: b}}}}\n  template:\n    metadata: {{labels: {{a: b}}}}\n    spec: {{containers: [{{name: app, image: '{}'}}]}}\n",
        stage.workload_image
    ));
    scene.restore(
        "foreign",
        "{apiGroup: apps, kind: Deployment, name: other}",
        "app-repo",
        "workload-addon",
        "",
    );
    let foreign = stage.wait_phase(ns, "restoresession", "foreign", "Invalid");
    assert!(
        messages(&foreign).contains("PersistentVolumeClaim") && messages(&foreign).contains("another kind"),
        "{foreign:#}"
    );
    scene.volume("second");
    stage.sh(ns, "second-pod", "echo mine > /data/mine");
    scene.configuration(
        "second",
        "{apiGroup: '', kind: PersistentVolumeClaim, name: second}",
        "pvc-addon",
        "{}",
    );
    scene.first_backup("second");
    let named = scene.snapshots("app-repo").pop().unwrap()["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let yaml = scene
        .restore_yaml(
            "crossed",
            "{apiGroup: '', kind: PersistentVolumeClaim, name: second}",
            "second-repo",
            "pvc-addon",
            "",
        )
        .replace("snapshot: latest", &format!("snapshot: {named}"));
    stage.apply(&yaml);
    let crossed = stage.wait_phase(ns, "restoresession", "crossed", "Invalid");
    assert!(messages(&crossed).contains("app-repo"), "{crossed:#}");
    assert_eq!(stage.sh(ns, "second-pod", "cat /data/mine").trim(), "mine");
    scene.restore(
        "astray",
        PVC,
        "app-repo",
        "pvc-addon",
        "    components: [dump-pod-7]",
    );
    let astray = stage.wait_phase(&scene.namespace, "restoresession", "astray", "Invalid");
    assert!(messages(&astray).contains("dump-pod-7"), "{astray:#}");
}

#[test]
fn a_killed_mover_loses_nothing() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("killed");
    let ns = &scene.namespace;
    scene.with_one_backup();
    stage.sh(
        ns,
        "data-pod",
        "dd if=/dev/urandom of=/data/big bs=1048576 count=600 2>/dev/null",
    );
    let said = stage.cli(&["backup", "now", "app", "-n", ns, "-o", "name"]);
    assert_eq!(said.code, 0, "{said:?}");
    let name = scene.sessions("app").pop().unwrap()["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let pod = eventually("the backup pod to write", Duration::from_secs(60), || {
        let pods = stage.list(ns, "pod", &format!("kubestash.com/invoker-name={name}"));
        let pod = pods.iter().find(|p| p["status"]["phase"] == "Running")?["metadata"]["name"]
            .as_str()?
            .to_owned();
        (!scene
            .restic("app", "dump", &["list", "locks", "--no-lock"])
            .out
            .trim()
            .is_empty())
        .then_some(pod)
    });
    stage.kubectl(&["delete", "pod", "-n", ns, &pod, "--grace-period=0", "--force"]);
    let session = scene.finished(&name);
    assert_eq!(session["status"]["phase"], "Failed", "{session:#}");
    let broken = scene
        .snapshots("app-repo")
        .into_iter()
        .find(|s| s["spec"]["backupSession"] == name.as_str())
        .unwrap();
    // A kubelet may still send SIGTERM before SIGKILL; then the mover has said itself that it was stopped.
    let incomplete = condition(&broken, "BackupIncomplete").is_some_and(|c| c["status"] == "True");
    let said_so = broken["status"]["components"]["dump"]["error"]
        .as_str()
        .is_some_and(|error| error.contains("was stopped"));
    assert!(incomplete || said_so, "{broken:#}");
    assert_eq!(scene.backup_now("app").code, 0, "the next backup succeeds");
    scene.judge("app", "dump");
}

#[test]
fn an_operator_killed_in_the_middle_goes_on_where_it_was() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("opkill");
    let ns = &scene.namespace;
    scene.with_one_backup();
    stage.sh(
        ns,
        "data-pod",
        "dd if=/dev/urandom of=/data/big bs=1048576 count=100 2>/dev/null",
    );
    for _ in 0..3 {
        let said = stage.cli(&["backup", "now", "app", "-n", ns, "-o", "name"]);
        assert_eq!(said.code, 0, "{said:?}");
        let name = said.out.trim().rsplit('/').next().unwrap().to_owned();
        let selector = "app.kubernetes.io/name=kubestash-operator";
        stage.kubectl(&[
            "delete",
            "pod",
            "-A",
            "-l",
            selector,
            "--grace-period=0",
            "--force",
            "--wait=false",
        ]);
        let session = scene.finished(&name);
        assert_eq!(session["status"]["phase"], "Succeeded", "{session:#}");
    }
    let jobs = stage.list(ns, "job", "app.kubernetes.io/component=kubestash-backup");
    assert!(jobs.len() <= 5, "a session has one Job, not two: {}", jobs.len());
    scene.judge("app", "dump");
}

#[test]
fn two_sessions_of_one_configuration_do_not_run_at_once() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("both");
    let ns = &scene.namespace;
    scene.with_one_backup();
    stage.sh(
        ns,
        "data-pod",
        "dd if=/dev/urandom of=/data/big bs=1048576 count=300 2>/dev/null",
    );
    let session = |name: &str| {
        stage.apply(&format!(
            "apiVersion: core.kubestash.com/v1alpha1\nkind: BackupSession\nmetadata: {{name: {name}, namespace: {ns}}}\nspec:\n  invoker: {{apiGroup: core.kubestash.com, kind: BackupConfiguration, name: app}}\n  session: daily\n"
        ));
    };
    session("app-daily-111");
    stage.wait_phase(ns, "backupsession", "app-daily-111", "Running");
    session("app-daily-222");
    let second = scene.finished("app-daily-222");
    assert_eq!(second["status"]["phase"], "Skipped", "{second:#}");
    assert_eq!(
        condition(&second, "BackupSkipped").unwrap()["reason"],
        "PreRequisitesNotSatisfied"
    );
    assert!(messages(&second).contains("app-daily-111"), "{second:#}");
    assert_eq!(scene.finished("app-daily-111")["status"]["phase"], "Succeeded");
}

#[test]
fn a_backup_that_takes_too_long_is_ended_and_says_so() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("slow");
    let ns = &scene.namespace;
    scene.storage();
    scene.volume("data");
    stage.sh(
        ns,
        "data-pod",
        "dd if=/dev/urandom of=/data/big bs=1048576 count=1500 2>/dev/null",
    );
    let yaml = scene.configuration_yaml("slow", PVC, "pvc-addon", "{}").replace(
        "    sessionHistoryLimit: 5\n",
        "    sessionHistoryLimit: 5\n    backupTimeout: 2s\n    retryConfig: {maxRetry: 1, delay: 24h}\n",
    );
    stage.apply(&yaml);
    let session = scene.initial_session("slow");
    let session = scene.finished(&session);
    assert_eq!(session["status"]["phase"], "Failed", "{session:#}");
    let why = condition(&session, "BackupIncomplete").unwrap_or_default();
    assert!(
        why["message"].as_str().unwrap_or_default().contains("deadline"),
        "the session itself says so: {session:#}"
    );
    eventually("the Job to be gone or ended", Duration::from_secs(60), || {
        stage
            .list(ns, "pod", "app.kubernetes.io/component=kubestash-backup")
            .iter()
            .all(|p| p["status"]["phase"] != "Running")
            .then_some(())
    });
}

#[test]
fn a_full_target_volume_is_named() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("full");
    let ns = &scene.namespace;
    scene.storage();
    let image = &stage.workload_image;
    stage.apply(&format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data, namespace: {ns}}}\nspec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: data-pod, namespace: {ns}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers: [{{name: app, image: '{image}', command: [sh, -c, 'sleep 86400'], volumeMounts: [{{name: d, mountPath: /data}}]}}]\n  volumes: [{{name: d, persistentVolumeClaim: {{claimName: data}}}}]\n"
    ));
    stage.wait_phase(ns, "pod", "data-pod", "Running");
    stage.sh(
        ns,
        "data-pod",
        "dd if=/dev/urandom of=/data/big bs=1048576 count=40 2>/dev/null",
    );
    scene.configuration("app", PVC, "pvc-addon", "{}");
    scene.first_backup("app");
    stage.apply(&format!(
        "apiVersion: core.kubestash.com/v1alpha1\nkind: RestoreSession\nmetadata: {{name: toosmall, namespace: {ns}}}\nspec:\n  target: {PVC}\n  dataSource: {{repository: app-repo, snapshot: latest, encryptionSecret: {{name: encrypt-secret, namespace: {ns}}}}}\n  addon:\n    name: pvc-addon\n    tasks:\n    - name: logical-backup-restore\n      addonVolumes: [{{name: kubestash-data-volume, source: {{emptyDir: {{medium: Memory, sizeLimit: 8Mi}}}}}}]\n"
    ));
    let restore = stage.wait_phase(ns, "restoresession", "toosmall", "Failed");
    assert!(
        messages(&restore).contains("full") || messages(&restore).contains("no space"),
        "{restore:#}"
    );
}
