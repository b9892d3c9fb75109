//! Hooks in the application's own pods, and restores into claims that the session itself describes.

use super::scene::{condition, messages};
use super::stage::{Scene, stage};

const PVC: &str = "{apiGroup: '', kind: PersistentVolumeClaim, name: data}";

impl Scene {
    /// A HookTemplate that runs a shell script in the pods with the label `app=hooked`.
    fn hook_template(&self, name: &str, script: &str) {
        let ns = &self.namespace;
        self.stage.apply(&format!(
            r#"
apiVersion: core.kubestash.com/v1alpha1
kind: HookTemplate
metadata: {{name: {name}, namespace: {ns}}}
spec:
  usagePolicy: {{allowedNamespaces: {{from: Same}}}}
  params: [{{name: word, default: nothing}}]
  action: {{exec: {{command: [sh, -c, '{script}']}}}}
  executor: {{type: Pod, pod: {{selector: app=hooked, strategy: ExecuteOnAll}}}}
"#
        ));
    }

    /// A configuration `name` of the claim `data` with these hooks (YAML below `hooks:`).
    fn hooked(&self, name: &str, hooks: &str) -> serde_json::Value {
        let yaml = self.configuration_yaml(name, PVC, "pvc-addon", "{}").replace(
            "    sessionHistoryLimit: 5\n",
            &format!("    sessionHistoryLimit: 5\n    hooks: {hooks}\n"),
        );
        self.stage.apply(&yaml);
        let session = self.initial_session(name);
        self.finished(&session)
    }
}

#[test]
fn commands_run_in_the_pods_before_and_after_a_backup() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("hooks");
    let ns = &scene.namespace;
    scene.storage();
    scene.volume("data");
    stage
        .kubectl(&["label", "pod", "-n", ns, "data-pod", "app=hooked"])
        .ok();
    scene.hook_template("freeze", "echo ${word} > /data/frozen");
    scene.hook_template(
        "tell",
        "echo {{ .Status.Phase }} of {{ .Target.Name }} > /data/told",
    );
    scene.hook_template("broken", "echo the pipe is broken >&2; exit 7");
    let session = scene.hooked(
        "app",
        "{preBackup: [{name: freeze, hookTemplate: {name: freeze}, params: {word: cold}}], postBackup: [{name: tell, hookTemplate: {name: tell}}]}",
    );
    assert_eq!(session["status"]["phase"], "Succeeded", "{session:#}");
    assert_eq!(session["status"]["hooks"]["preHooks"][0]["phase"], "Succeeded");
    assert_eq!(stage.sh(ns, "data-pod", "cat /data/frozen").trim(), "cold");
    assert_eq!(
        stage.sh(ns, "data-pod", "cat /data/told").trim(),
        "Succeeded of data"
    );

    let session = scene.hooked(
        "bad",
        "{preBackup: [{name: freeze, hookTemplate: {name: broken}}], postBackup: [{name: tell, hookTemplate: {name: tell}, executionPolicy: OnFailure}]}",
    );
    assert_eq!(session["status"]["phase"], "Failed", "{session:#}");
    let why = condition(&session, "PreBackupHooksExecutionSucceeded").unwrap();
    assert_eq!(why["status"], "False");
    for words in ["data-pod ended with 7", "the pipe is broken"] {
        assert!(messages(&session).contains(words), "{session:#}");
    }
    assert!(scene.snapshots("bad-repo").is_empty(), "nothing was backed up");
    assert_eq!(
        stage.sh(ns, "data-pod", "cat /data/told").trim(),
        "Failed of data"
    );
}

#[test]
fn requests_are_sent_to_pods_and_hosts_and_refusals_are_told() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("requests");
    let ns = &scene.namespace;
    scene.volume("data");
    if stage
        .sh(ns, "data-pod", "busybox --list | grep -cx httpd || true")
        .trim()
        != "1"
    {
        eprintln!("SKIPPED: the workloads' image has no web server (busybox httpd)");
        return;
    }
    scene.storage();
    stage
        .kubectl(&["label", "pod", "-n", ns, "data-pod", "app=hooked"])
        .ok();
    let ip = stage.get(ns, "pod", "data-pod").unwrap()["status"]["podIP"]
        .as_str()
        .unwrap()
        .to_owned();
    let port = "18473";
    // A server that writes down what it is told; /data is what is backed up, so it keeps its things elsewhere.
    let serve = format!(
        r#"mkdir -p /tmp/{ns}/cgi-bin && cd /tmp/{ns} && echo here > healthy
printf '#!/bin/sh\ncat > /tmp/{ns}/told; echo "$HTTP_X_ROOM" >> /tmp/{ns}/told; printf "Content-Type: text/plain\\r\\n\\r\\nthanks"\n' > cgi-bin/tell
chmod +x cgi-bin/tell && busybox httpd -p {ip}:{port} -h /tmp/{ns}"#
    );
    stage.sh(ns, "data-pod", &serve);
    let template = |name: &str, action: &str, executor: &str| {
        stage.apply(&format!(
            "apiVersion: core.kubestash.com/v1alpha1\nkind: HookTemplate\nmetadata: {{name: {name}, namespace: {ns}}}\nspec:\n  usagePolicy: {{allowedNamespaces: {{from: Same}}}}\n  params: [{{name: room, default: lobby}}]\n  action: {action}\n  executor: {executor}\n"
        ));
    };
    let in_pods = "{type: Pod, pod: {selector: app=hooked}}";
    template(
        "ask",
        &format!("{{httpGet: {{path: /healthy, port: {port}}}}}"),
        in_pods,
    );
    template(
        "refused",
        &format!("{{httpGet: {{path: /nowhere, port: {port}}}}}"),
        in_pods,
    );
    template(
        "tell",
        &format!(
            "{{httpPost: {{host: '{ip}', path: /cgi-bin/tell, port: {port}, httpHeaders: [{{name: X-Room, value: '${{room}}'}}], body: '{{{{ with .Target }}}}{{{{ .Kind }}}}/{{{{ .Name }}}} {{{{ $.Status.Phase }}}} {{{{ end }}}}'}}}}"
        ),
        "{type: Operator}",
    );
    let session = scene.hooked(
        "app",
        "{preBackup: [{name: ask, hookTemplate: {name: ask}}], postBackup: [{name: tell, hookTemplate: {name: tell}, params: {room: ops}}]}",
    );
    assert_eq!(session["status"]["phase"], "Succeeded", "{session:#}");
    let told = || stage.sh(ns, "data-pod", &format!("cat /tmp/{ns}/told"));
    assert_eq!(told().trim(), "PersistentVolumeClaim/data Succeeded ops");

    let session = scene.hooked(
        "bad",
        "{preBackup: [{name: ask, hookTemplate: {name: refused}, maxRetry: 1}], postBackup: [{name: tell, hookTemplate: {name: tell}, executionPolicy: OnFailure}]}",
    );
    assert_eq!(session["status"]["phase"], "Failed", "{session:#}");
    for words in ["failed 2 times", "/nowhere was answered with 404"] {
        assert!(messages(&session).contains(words), "{session:#}");
    }
    assert_eq!(told().trim(), "PersistentVolumeClaim/data Failed lobby");
    stage.sh(ns, "data-pod", &format!("rm -r /tmp/{ns}"));
}

#[test]
fn a_restore_makes_the_claim_that_it_describes() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("clone");
    let ns = &scene.namespace;
    scene.storage();
    scene.volume("data");
    stage.sh(ns, "data-pod", "echo original > /data/file");
    scene.configuration("app", PVC, "pvc-addon", "{}");
    scene.first_backup("app");
    let yaml = scene.restore_yaml("copy", PVC, "app-repo", "pvc-addon", "").replace(
        "tasks: [{name: logical-backup-restore}]",
        "tasks:\n    - name: logical-backup-restore\n      addonVolumes:\n      - name: kubestash-data-volume\n        source: {volumeClaimTemplate: {metadata: {name: clone}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}",
    );
    stage.sh(ns, "data-pod", "echo changed > /data/file");
    stage.apply(&yaml);
    stage.wait_phase(ns, "restoresession", "copy", "Succeeded");
    // Applying the claim of the scenario's own volume changes nothing: it is there.
    scene.volume("clone");
    assert_eq!(stage.sh(ns, "clone-pod", "cat /data/file").trim(), "original");
    assert_eq!(
        stage.sh(ns, "data-pod", "cat /data/file").trim(),
        "changed",
        "the old one is left alone"
    );
}
