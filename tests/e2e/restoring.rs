//! Restoring, as people do it: a part, all, elsewhere; the plan that writes nothing; the guards; what exit codes say.

use std::time::Duration;

use serde_json::Value;

use super::scene::{condition, messages};
use super::stage::{Said, Scene, eventually, stage};
use crate::documents;

const PVC: &str = "{apiGroup: '', kind: PersistentVolumeClaim, name: data}";

impl Scene {
    /// `restore ARGS` in the scene's namespace.
    fn restoring(&self, args: &[&str]) -> Said {
        let mut all = vec!["restore", "-n", &self.namespace];
        all.extend(args);
        self.stage.cli(&all)
    }

    /// `restore ARGS --wait`.
    fn restored(&self, args: &[&str]) -> Said {
        let mut all = vec!["--wait", "--timeout", "2m"];
        all.extend(args);
        self.restoring(&all)
    }

    /// The files below /data of a pod, each on its line.
    fn files(&self, pod: &str) -> Vec<String> {
        let said = self
            .stage
            .sh(&self.namespace, pod, "cd /data; find . ! -type d | sort");
        said.lines().map(str::to_owned).collect()
    }

    fn emptied(&self, pod: &str) {
        self.stage.sh(
            &self.namespace,
            pod,
            "find /data -mindepth 1 -maxdepth 1 -exec rm -rf {} +",
        );
    }

    /// Everything that a plan could write to: objects of the namespace with their versions.
    fn versions(&self) -> Vec<String> {
        let kinds = "backupstorage,repository,backupconfiguration,backupsession,snapshots.storage.kubestash.com,restoresession,\
                     retentionpolicy,job,pod,pvc,secret,configmap,serviceaccount,role,rolebinding,cronjob";
        let out = self
            .stage
            .kubectl(&["get", "-n", &self.namespace, kinds, "-o", "json"])
            .ok();
        let all: Value = serde_json::from_str(&out).unwrap();
        let text = |o: &Value, field: &str| o["metadata"][field].as_str().unwrap_or_default().to_owned();
        let mut versions: Vec<String> = all["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| {
                format!(
                    "{} {} {}",
                    o["kind"].as_str().unwrap(),
                    text(o, "name"),
                    text(o, "resourceVersion")
                )
            })
            .collect();
        versions.sort();
        versions
    }

    /// The same, once nothing moves any more.
    fn settled(&self) -> Vec<String> {
        let mut before = self.versions();
        eventually("the namespace to come to rest", Duration::from_secs(60), || {
            std::thread::sleep(Duration::from_secs(2));
            let now = self.versions();
            let rests = now == before;
            before.clone_from(&now);
            rests.then_some(now)
        })
    }

    /// A volume with files of several kinds and one backup of it, by the configuration `app`.
    fn with_files(&self) {
        self.storage();
        self.volume("data");
        self.stage.sh(
            &self.namespace,
            "data-pod",
            r#"cd /data; mkdir -p config logs "with,comma" "br[a]ck"
echo app > config/app.yaml; echo db > config/db.yaml; echo 1 > logs/1.log; echo 2 > logs/2.log; echo c > "with,comma/x"; echo b > "br[a]ck/y"; echo a > aack"#,
        );
        self.configuration("app", PVC, "pvc-addon", "{}");
        self.first_backup("app");
    }
}

#[test]
fn parts_come_back_by_path_and_by_pattern_and_nothing_else_does() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("parts");
    scene.with_files();
    for (args, files) in [
        (
            &[
                "--path",
                "config/app.yaml",
                "--path",
                "with,comma",
                "--path",
                "br[a]ck/y",
            ][..],
            &["./br[a]ck/y", "./config/app.yaml", "./with,comma/x"][..],
        ),
        (
            &["--path", "/kubestash-data/logs/"],
            &["./logs/1.log", "./logs/2.log"],
        ),
        (
            &["--include", "*.yaml", "--include", "2.log"],
            &["./config/app.yaml", "./config/db.yaml", "./logs/2.log"],
        ),
        (
            &["--exclude", "*.log", "--exclude", "config"],
            &["./aack", "./br[a]ck/y", "./with,comma/x"],
        ),
        (
            &["--path", "."],
            &[
                "./aack",
                "./br[a]ck/y",
                "./config/app.yaml",
                "./config/db.yaml",
                "./logs/1.log",
                "./logs/2.log",
                "./with,comma/x",
            ],
        ),
    ] {
        scene.emptied("data-pod");
        let said = scene.restored(&[&["app"], args].concat());
        assert_eq!(said.code, 0, "{args:?}: {said:?}");
        assert_eq!(scene.files("data-pod"), files, "{args:?}");
    }
    // What is there and not in the Snapshot stays; what is in it is as it was.
    stage.sh(
        &scene.namespace,
        "data-pod",
        "echo mine > /data/mine; echo changed > /data/config/app.yaml",
    );
    scene.restored(&["app"]).ok();
    let now = stage.sh(
        &scene.namespace,
        "data-pod",
        "cat /data/mine /data/config/app.yaml",
    );
    assert_eq!(now, "mine\napp\n");
}

#[test]
fn what_matches_nothing_is_no_success() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("nomatch");
    scene.with_files();
    let outside = scene.restored(&["app", "--path", "/etc/passwd"]);
    assert_eq!(outside.code, 6, "{outside:?}");
    assert!(
        outside.err.contains("it holds: /kubestash-data (dump)"),
        "{outside:?}"
    );
    assert!(
        stage.list(&scene.namespace, "restoresession", "").is_empty(),
        "nothing is created for a path that cannot be there"
    );
    for args in [
        ["--path", "config/nothing.yaml"],
        ["--include", "*.nothing"],
        ["--exclude", "*"],
    ] {
        let said = scene.restored(&["app", args[0], args[1]]);
        assert_eq!(said.code, 3, "{args:?}: {said:?}");
        assert!(
            said.err.contains("nothing was restored") && said.err.contains(args[1]),
            "{args:?}: {said:?}"
        );
    }
}

/// The kubelet says how much is free where it knows the volume; who may not ask it is answered by `df` in the pod.
fn free_space_is_told_by_whom_one_may_ask(scene: &Scene, volume: &Value) {
    let (stage, ns) = (scene.stage, &scene.namespace);
    let node = stage.get(ns, "pod", "data-pod").unwrap()["spec"]["nodeName"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
    let answer = stage.kubectl(&["get", "--raw", &path]);
    // The kubelet of a node in a container may not find the disk that it runs on, and then knows no volume at all.
    let summary: Value = match answer.code {
        0 => serde_json::from_str(&answer.out).unwrap(),
        _ => {
            println!("the kubelet of node {node} tells nothing: {}", answer.err.trim());
            Value::Null
        }
    };
    let volumes = summary["pods"].as_array().into_iter().flatten();
    let mut volumes = volumes.filter_map(|pod| pod["volume"].as_array()).flatten();
    let pod = "pod data-pod".to_owned();
    // A kubelet looks at volumes once a minute: it may not know this one yet.
    let known = volumes.any(|v| v["pvcRef"]["name"] == "data" && v["pvcRef"]["namespace"] == ns.as_str());
    let by = if known {
        format!("the kubelet of node {node}")
    } else {
        pod.clone()
    };
    assert_eq!(volume["freeBy"], by, "{summary:#}");
    stage.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: all, namespace: {ns}}}\nrules: [{{apiGroups: [\"*\"], resources: [\"*\"], verbs: [\"*\"]}}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: dev, namespace: {ns}}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: all}}\nsubjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: dev}}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: dev-{ns}}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kubestash-view}}\nsubjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: dev}}]\n"
    ));
    let said = scene.restoring(&["app", "--plan", "--as", "dev", "-o", "json"]);
    stage
        .kubectl(&["delete", "clusterrolebinding", &format!("dev-{ns}")])
        .ok();
    stage
        .kubectl(&["delete", "-n", ns, "role/all", "rolebinding/dev"])
        .ok();
    assert_eq!(said.code, 0, "{said:?}");
    let plan = &documents("restore-plan", &said.out)[0];
    assert_eq!(plan["volumes"][0]["freeBy"], pod, "{plan:#}");
}

#[test]
fn a_plan_tells_everything_and_writes_nothing() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("plan");
    let ns = &scene.namespace;
    scene.with_files();
    let snapshot = scene.snapshots("app-repo")[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let before = scene.settled();
    let said = scene.restoring(&["app", "--plan", "--path", "config", "-o", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let plan = &documents("restore-plan", &said.out)[0];
    assert_eq!(plan["snapshot"], snapshot.as_str());
    assert_eq!(plan["target"], format!("PersistentVolumeClaim {ns}/data"));
    assert_eq!(plan["include"], serde_json::json!(["/kubestash-data/config"]));
    assert_eq!(plan["usedBy"], serde_json::json!(["data-pod"]));
    assert!(
        plan["taken"].is_string() && plan["bytes"].as_u64().unwrap() > 0,
        "{plan:#}"
    );
    // The same number, from inside: nothing else writes between the two, or not much.
    let df = stage.sh(ns, "data-pod", "df -Pk /data | tail -n 1");
    let free: u64 = {
        let words: Vec<&str> = df.split_whitespace().collect();
        let at = words.iter().position(|w| w.ends_with('%')).unwrap();
        words[at - 1].parse::<u64>().unwrap() * 1024
    };
    let told = plan["free"].as_u64().unwrap_or_else(|| panic!("{plan:#}"));
    assert!(told.abs_diff(free) <= free / 5, "{told} and {free}");
    assert_eq!(plan["volumes"][0]["claim"], "data");
    free_space_is_told_by_whom_one_may_ask(&scene, &plan["volumes"][0]);

    let text = scene.restoring(&["app", "--plan", "--path", "config"]).ok();
    for wanted in [
        "Snapshot:",
        "Taken:",
        "at most",
        " free (says ",
        "Used by:",
        "Overwrites:",
    ] {
        assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
    // A volume that nobody has mounted: that it is not known is said, with the reason.
    stage.apply(&format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: idle, namespace: {ns}}}\nspec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n"
    ));
    stage.wait(ns, "pvc", "idle", "there", |_| true);
    let idle = scene.restoring(&["app", "--plan", "--to", "pvc/idle", "-o", "json"]);
    assert_eq!(idle.code, 0, "{idle:?}");
    let idle = &documents("restore-plan", &idle.out)[0];
    assert!(idle.get("free").is_none(), "{idle:#}");
    assert!(
        idle["volumes"][0]["freeBy"]
            .as_str()
            .unwrap()
            .contains("no running pod"),
        "{idle:#}"
    );
    stage
        .kubectl(&["delete", "-n", ns, "pvc", "idle", "--wait=true"])
        .ok();
    assert_eq!(scene.versions(), before, "a plan writes nothing");
}

#[test]
fn a_restore_goes_into_another_volume_and_another_namespace() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("elsewhere");
    let other = stage.scene("elsewhere-to");
    scene.storage();
    scene.volume("data");
    scene.fill("data-pod", "/data");
    let before = scene.fingerprint("data-pod", "/data");
    scene.configuration("app", PVC, "pvc-addon", "{}");
    scene.first_backup("app");
    let snapshot = scene.snapshots("app-repo")[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();

    scene.volume("copy");
    let said = scene.restored(&[
        "app",
        "--target",
        "pvc/copy",
        "--name",
        "to-the-copy",
        "-o",
        "json",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    let made = &documents("restore", &said.out)[0];
    assert_eq!(made["metadata"]["name"], "to-the-copy");
    assert_eq!(made["status"]["phase"], "Succeeded");
    assert_eq!(scene.fingerprint("copy-pod", "/data"), before);

    other.volume("far");
    let said = scene.restored(&[
        &format!("snapshot/{snapshot}"),
        "--target",
        "pvc/far",
        "--target-namespace",
        &other.namespace,
        "--components",
        "dump",
    ]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(other.fingerprint("far-pod", "/data"), before);

    // The namespace alone: the claim of the same name there, and not the one that was backed up.
    other.volume("data");
    stage.sh(&scene.namespace, "data-pod", "echo here > /data/only-here");
    let here = scene.fingerprint("data-pod", "/data");
    let said = scene.restored(&["app", "--target-namespace", &other.namespace]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(other.fingerprint("data-pod", "/data"), before);
    assert_eq!(scene.fingerprint("data-pod", "/data"), here);

    let missing = scene.restored(&["app", "--target", "pvc/nowhere"]);
    assert_eq!(missing.code, 7, "{missing:?}");
    let kind = scene.restored(&["app", "--target", "deployment/web"]);
    assert_eq!(kind.code, 7, "{kind:?}");
    let component = scene.restored(&["app", "--components", "dump-pod-3"]);
    assert_eq!(component.code, 6, "{component:?}");
    assert!(component.err.contains("the newest has: dump"), "{component:?}");
    let taken = scene.restored(&["app", "--name", "to-the-copy"]);
    assert_eq!(taken.code, 7, "{taken:?}");
}

#[test]
fn the_wrong_source_needs_to_be_meant() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("meant");
    let ns = &scene.namespace;
    scene.storage();
    scene.volume("data");
    scene.volume("theirs");
    stage.sh(
        ns,
        "data-pod",
        "dd if=/dev/urandom of=/data/big bs=65536 count=16 2>/dev/null",
    );
    stage.sh(ns, "theirs-pod", "echo theirs > /data/theirs");
    scene.configuration("app", PVC, "pvc-addon", "{}");
    scene.configuration(
        "other",
        "{apiGroup: '', kind: PersistentVolumeClaim, name: theirs}",
        "pvc-addon",
        "{}",
    );
    scene.first_backup("app");
    scene.first_backup("other");
    let newest = |repository: &str| {
        let all = scene.snapshots(repository);
        all.last().unwrap()["metadata"]["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };

    // Another application's.
    let others = newest("other-repo");
    let wrong = scene.restored(&["app", "--snapshot", &others]);
    assert_eq!(wrong.code, 7, "{wrong:?}");
    let other = scene.restored(&[&others, "--target", "pvc/data"]);
    assert_eq!(other.code, 7, "{other:?}");
    assert!(
        other.err.contains("has backups of its own") && other.err.contains(&format!("--i-mean {others}")),
        "{other:?}"
    );
    let slip = scene.restored(&[&others, "--target", "pvc/data", "--i-mean", "something"]);
    assert_eq!(slip.code, 2, "{slip:?}");
    assert!(
        stage.list(ns, "restoresession", "").is_empty(),
        "nothing may have been created"
    );
    let meant = scene.restored(&[&others, "--target", "pvc/data", "--i-mean", &others]);
    assert_eq!(meant.code, 0, "{meant:?}");
    assert_eq!(stage.sh(ns, "data-pod", "cat /data/theirs"), "theirs\n");

    // Much smaller than the one before it.
    stage.sh(ns, "data-pod", "rm /data/big");
    scene.backup_now("app").ok();
    let small = newest("app-repo");
    let plan = scene.restoring(&["app", "--plan"]);
    assert_eq!(plan.code, 7, "{plan:?}");
    assert!(
        plan.out.contains("Guard:") && plan.err.contains("less than half"),
        "{plan:?}"
    );
    let said = scene.restored(&["app"]);
    assert_eq!(said.code, 7, "{said:?}");
    scene.restored(&["app", "--i-mean", &small]).ok();

    // Empty.
    scene.emptied("data-pod");
    scene.backup_now("app").ok();
    let empty = newest("app-repo");
    let said = scene.restored(&["app"]);
    assert!(said.code == 7 && said.err.contains("is empty"), "{said:?}");
    stage.sh(ns, "data-pod", "echo stays > /data/stays");
    let said = scene.restored(&["app", "--i-mean", &empty]);
    assert_eq!(said.code, 0, "what is meant is done: {said:?}");
    assert_eq!(scene.files("data-pod"), ["./stays"]);
}

#[test]
fn how_a_restore_ended_is_in_the_code() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("codes");
    let ns = &scene.namespace;
    scene.with_files();
    // 5: it goes on, and says how to follow it.
    let late = scene.restoring(&["app", "--wait", "--timeout", "1ms", "--name", "late"]);
    assert_eq!(late.code, 5, "{late:?}");
    assert!(late.err.contains("logs restoresession/late -f"), "{late:?}");
    stage.wait_phase(ns, "restoresession", "late", "Succeeded");
    // 0 without waiting: it is only created.
    let made = scene.restoring(&["app", "--name", "made", "-o", "name"]);
    assert_eq!(
        (made.code, made.out.trim()),
        (0, "restoresession.core.kubestash.com/made"),
        "{made:?}"
    );
    stage.wait_phase(ns, "restoresession", "made", "Succeeded");
    // 6 and 2.
    assert_eq!(scene.restoring(&["nothing"]).code, 6);
    assert_eq!(
        scene.restoring(&["app", "--include", "a", "--exclude", "b"]).code,
        2
    );
    // 3: the password does not open the repository any more.
    let patch = r#"{"stringData":{"RESTIC_PASSWORD":"wrong"}}"#;
    stage
        .kubectl(&[
            "patch",
            "-n",
            ns,
            "secret",
            "encrypt-secret",
            "--type=merge",
            "-p",
            patch,
        ])
        .ok();
    let failed = scene.restored(&["app", "--name", "fails"]);
    assert_eq!(failed.code, 3, "{failed:?}");
    let session = stage.get(ns, "restoresession", "fails").unwrap();
    assert_eq!(session["status"]["phase"], "Failed", "{session:#}");
    assert!(messages(&session).contains("password"), "{session:#}");
    assert!(failed.err.contains("password"), "{failed:?}");
    assert!(
        condition(&session, "RestoreExecutorEnsured").is_some(),
        "{session:#}"
    );
}
