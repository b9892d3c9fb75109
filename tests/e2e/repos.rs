//! Repositories by hand: looking, checking, locks, keys; KubeStash's own commands; manifests in a snapshot.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{PASSWORD, Said, Scene, eventually, program, run, stage};
use crate::documents;

const PVC: &str = "{apiGroup: '', kind: PersistentVolumeClaim, name: data}";
const PATH: &str = "repository/v1/daily/dump";

impl Scene {
    /// The plugin in the scene's namespace.
    pub(super) fn does(&self, args: &[&str]) -> Said {
        self.stage.cli(&[args, &["-n", &self.namespace]].concat())
    }

    /// The plugin with something on standard input.
    fn told(&self, stdin: &str, args: &[&str]) -> Said {
        let mut command = std::process::Command::new(super::stage::program());
        command
            .env("KUBECONFIG", &self.stage.kubeconfig)
            .env("NO_COLOR", "1")
            .args(args)
            .args(["-n", &self.namespace]);
        run(&mut command, Some(stdin))
    }

    /// A storage, a volume and one backup by the configuration `app`.
    pub(super) fn backed_up(&self) {
        self.storage();
        self.volume("data");
        self.stage.sh(
            &self.namespace,
            "data-pod",
            "mkdir /data/d; echo one > /data/one; echo two > /data/d/two",
        );
        self.configuration("app", PVC, "pvc-addon", "{}");
        self.first_backup("app");
    }

    /// restic itself with a password, on the repository of `app`.
    fn restic_with(&self, password: &str, args: &[&str]) -> Said {
        let s3 = &self.stage.s3;
        let repository = format!(
            "s3:{}/{}/{}/app/{PATH}",
            s3.endpoint,
            super::stage::BUCKET,
            self.prefix()
        );
        run(
            Command::new("restic")
                .env("RESTIC_REPOSITORY", repository)
                .env("RESTIC_PASSWORD", password)
                .env("AWS_ACCESS_KEY_ID", &s3.key)
                .env("AWS_SECRET_ACCESS_KEY", &s3.secret)
                .env("AWS_DEFAULT_REGION", "us-east-1")
                .arg("--no-cache")
                .args(args),
            None,
        )
    }

    /// Whether a password opens it.
    fn opens(&self, password: &str) -> bool {
        let said = self.restic_with(password, &["--no-lock", "cat", "config"]);
        assert!(said.code == 0 || said.err.contains("wrong password"), "{said:?}");
        said.code == 0
    }

    /// Whoever begins a rotation on a terminal is told what it means, asked, and may say no.
    fn rotation_is_refused_on_a_terminal(&self) {
        let mut command = std::process::Command::new(super::stage::program());
        command
            .env("KUBECONFIG", &self.stage.kubeconfig)
            .env("NO_COLOR", "1")
            .args(["repo", "key", "rotate", "app-repo", "-n", &self.namespace]);
        let mut terminal = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
        let told = terminal.exp_string("Type yes to replace it:").unwrap();
        assert!(told.contains(&format!("{}/app-repo", self.namespace)), "{told}");
        terminal.send_line("no").unwrap();
        let said = terminal.exp_eof().unwrap();
        assert!(said.contains("nothing was changed"), "{said}");
        assert_eq!(self.password(), PASSWORD);
        assert_eq!(self.keys().len(), 1);
    }

    fn keys(&self) -> Vec<Value> {
        let said = self.does(&["repo", "key", "list", "app-repo", "-o", "json"]);
        let out = said.ok();
        documents("repo-key-list", &out)[0]["keys"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// The password in the encryption Secret.
    fn password(&self) -> String {
        use base64::Engine as _;
        let secret = self
            .stage
            .get(&self.namespace, "secret", "encrypt-secret")
            .unwrap();
        let text = secret["data"]["RESTIC_PASSWORD"].as_str().unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

impl Scene {
    /// Reader pods of the scene that run or are about to.
    fn readers(&self) -> Vec<String> {
        let all = self.stage.list(
            &self.namespace,
            "pod",
            "app.kubernetes.io/component=kubestash-reader",
        );
        all.iter()
            .filter(|pod| {
                matches!(
                    pod["status"]["phase"].as_str(),
                    Some("Pending" | "Running") | None
                )
            })
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Long before a reader that nobody uses would go by itself.
    fn no_reader_stays(&self, when: &str) {
        eventually(
            &format!("no reader to be left {when}"),
            Duration::from_secs(60),
            || self.readers().is_empty().then_some(()),
        );
    }
}

/// Removes an object by a plain DELETE, which only test servers take.
fn remove_object(endpoint: &str, key: &str) {
    use std::io::{Read as _, Write as _};
    let host = endpoint.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    let bucket = super::stage::BUCKET;
    let head = format!(
        "DELETE /{bucket}/{key} HTTP/1.1\r\nHost: {host}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}

#[test]
fn a_repository_is_listed_shown_and_checked() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("repo");
    scene.backed_up();
    let list = scene.does(&["repo", "list"]).ok();
    assert!(list.contains("app-repo") && list.contains("Ready"), "{list}");
    let all = scene.does(&["repo", "list", "-o", "json"]).ok();
    documents("repo-list", &all);
    let shown = scene.does(&["repo", "show", "repo/app-repo", "-o", "json"]).ok();
    let shown = &documents("repo-show", &shown)[0];
    assert!(shown.to_string().contains(PATH), "{shown:#}");
    assert_eq!(scene.does(&["repo", "show", "nothing"]).code, 6);

    let whole = scene
        .does(&["repo", "check", "app-repo", "--read-data", "-o", "json"])
        .ok();
    assert_eq!(documents("repo-check", &whole)[0]["results"][0]["intact"], true);
    let nowhere = scene.does(&["repo", "check", "app-repo", "--paths", "nothing"]);
    assert!(nowhere.code == 6 && nowhere.err.contains(PATH), "{nowhere:?}");

    // A pack that is gone is damage, which is the answer and not an error of the command.
    if std::env::var_os("KUBESTASH_E2E_S3_ENDPOINT").is_some() {
        return;
    }
    let packs = scene
        .restic("app", "dump", &["list", "packs", "-q", "--no-lock"])
        .ok();
    let pack = packs.lines().next().unwrap();
    remove_object(
        &stage.s3.endpoint,
        &format!("{}/app/{PATH}/data/{}/{pack}", scene.prefix(), &pack[..2]),
    );
    let damaged = scene.does(&["repo", "check", "app-repo", "-o", "json"]);
    assert_eq!(damaged.code, 3, "{damaged:?}");
    let check = &documents("repo-check", &damaged.out)[0];
    assert_eq!(check["results"][0]["intact"], false, "{check:#}");
    assert!(
        !check["results"][0]["errors"].as_array().unwrap().is_empty(),
        "{check:#}"
    );
}

#[test]
fn keys_are_added_listed_and_removed_and_the_one_in_use_stays() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("keys");
    scene.backed_up();
    let first = scene.keys();
    assert_eq!(first.len(), 1, "{first:?}");
    scene
        .told(
            "second-password\n",
            &[
                "repo",
                "key",
                "add",
                "app-repo",
                "--new-password-file",
                "-",
                "--user",
                "ann",
                "--host",
                "laptop",
            ],
        )
        .ok();
    assert!(scene.opens("second-password") && scene.opens(PASSWORD));
    let keys = scene.keys();
    let added = keys
        .iter()
        .find(|k| k["user"] == "ann")
        .unwrap_or_else(|| panic!("{keys:?}"));
    assert_eq!(
        (&added["host"], &added["current"]),
        (&json!("laptop"), &json!(false))
    );
    let table = scene.does(&["password", "list", "app-repo"]).ok();
    assert!(table.contains("ann") && table.contains("laptop"), "{table}");

    // KubeStash's words, one path, which it drops.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "third-password\n").unwrap();
    let file = file.path().to_str().unwrap();
    scene
        .does(&[
            "pw",
            "add",
            "app-repo",
            "--new-password-file",
            file,
            "--paths",
            PATH,
        ])
        .ok();
    assert!(scene.opens("third-password"));
    let in_use = first[0]["id"].as_str().unwrap();
    let refused = scene.does(&["repo", "key", "remove", "app-repo", in_use]);
    assert!(refused.code == 7 && refused.err.contains("rotate"), "{refused:?}");
    let id = added["id"].as_str().unwrap();
    scene.does(&["repo", "key", "remove", "app-repo", &id[..8]]).ok();
    assert!(!scene.opens("second-password"));
    let third = scene.keys();
    let third = third.iter().find(|k| k["current"] == false).unwrap();
    let pair = format!("{}:{PATH}", third["id"].as_str().unwrap());
    scene
        .does(&["password", "remove", "app-repo", "--id-paths", &pair])
        .ok();
    assert!(!scene.opens("third-password") && scene.opens(PASSWORD));
    assert_eq!(
        scene
            .does(&["pw", "remove", "app-repo", "--id-paths", "nonsense"])
            .code,
        2
    );
    assert_eq!(
        scene
            .does(&["repo", "key", "remove", "app-repo", "00000000"])
            .code,
        6
    );
    assert_eq!(scene.backup_now("app").code, 0);
}

#[test]
fn a_rotation_that_is_interrupted_at_any_step_goes_on() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("rotate");
    scene.backed_up();
    let old = scene.keys()[0]["id"].as_str().unwrap().to_owned();
    for step in ["begin", "add", "switch", "prove"] {
        let mut rotate = vec!["repo", "key", "rotate", "repo/app-repo", "--stop-after", step];
        if step == "begin" {
            scene.rotation_is_refused_on_a_terminal();
            rotate.push("--yes");
        }
        let said = scene.does(&rotate);
        assert_eq!(said.code, 0, "{step}: {said:?}");
        let password = scene.password();
        assert_eq!(password == PASSWORD, matches!(step, "begin" | "add"), "{step}");
        assert!(scene.opens(&password), "after {step} the Secret's password opens");
        assert!(scene.opens(PASSWORD), "after {step} the old one opens, too");
        let backup = scene.backup_now("app");
        assert_eq!(backup.code, 0, "a backup after {step}: {backup:?}");
    }
    let said = scene.does(&["repo", "key", "rotate", "app-repo"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(!said.out.contains(&scene.password()) && !said.err.contains(&scene.password()));
    assert_eq!(
        said.out,
        format!(
            "secret/encrypt-secret rotated: its new password opens Repository {}/app-repo\n",
            scene.namespace
        )
    );
    assert!(scene.opens(&scene.password()) && !scene.opens(PASSWORD));
    let keys = scene.keys();
    assert!(
        keys.iter().all(|k| k["id"] != old.as_str()) && keys.len() == 1,
        "{keys:?}"
    );
    let secret = stage.get(&scene.namespace, "secret", "encrypt-secret").unwrap();
    assert!(secret["data"].get("RESTIC_PASSWORD_NEXT").is_none());
    assert!(
        secret["metadata"]["annotations"]
            .get("kubestash.com/key-rotation")
            .is_none(),
        "nothing of the rotation is left"
    );
    assert_eq!(scene.backup_now("app").code, 0);

    // Whole, in KubeStash's words, with a password of one's own.
    let whole = scene.told(
        "chosen by hand\n",
        &["password", "update", "app-repo", "--new-password-file", "-"],
    );
    assert_eq!(whole.code, 0, "{whole:?}");
    assert_eq!(scene.password(), "chosen by hand");
    assert!(scene.opens("chosen by hand"));
    let same = scene.told(
        "chosen by hand\n",
        &["repo", "key", "rotate", "app-repo", "--new-password-file", "-"],
    );
    assert_eq!(same.code, 7, "the same password again is no rotation: {same:?}");
    let secret = stage.get(&scene.namespace, "secret", "encrypt-secret").unwrap();
    assert!(
        secret["data"].get("RESTIC_PASSWORD_NEXT").is_none(),
        "it leaves nothing"
    );
    assert_eq!(scene.backup_now("app").code, 0);
}

#[test]
fn a_rotation_leaves_no_reader_behind_and_uses_none_of_another_password() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("rotate-readers");
    scene.backed_up();
    let rotate = ["repo", "key", "rotate", "app-repo"];
    let child = Command::new(program())
        .env("KUBECONFIG", &stage.kubeconfig)
        .env("NO_COLOR", "1")
        .args(rotate)
        .args(["-n", &scene.namespace])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("a reader to be made", Duration::from_secs(60), || {
        (!scene.readers().is_empty()).then_some(())
    });
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    scene.no_reader_stays("after Ctrl-C");

    let begun = scene.does(&[&rotate[..], &["--stop-after", "begin", "--yes"]].concat());
    assert_eq!(begun.code, 0, "{begun:?}");
    // A reader of the password that is about to be replaced by hand.
    let old = scene.keys()[0]["id"].as_str().unwrap().to_owned();
    let added = scene.told(
        "by hand\n",
        &["repo", "key", "add", "app-repo", "--new-password-file", "-"],
    );
    assert_eq!(added.code, 0, "{added:?}");
    let secret = r#"{"stringData": {"RESTIC_PASSWORD": "by hand"}}"#;
    let patched = stage.kubectl(&[
        "patch",
        "secret",
        "encrypt-secret",
        "-n",
        &scene.namespace,
        "--type=merge",
        "-p",
        secret,
    ]);
    assert_eq!(patched.code, 0, "{patched:?}");
    let removed = scene.restic_with("by hand", &["key", "remove", &old]);
    assert_eq!(removed.code, 0, "{removed:?}");
    assert!(
        !scene.readers().is_empty(),
        "the reader of the old password lives"
    );
    let said = scene.does(&rotate);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(scene.opens(&scene.password()) && scene.password() != "by hand");
    scene.no_reader_stays("after a rotation");
    assert_eq!(scene.does(&["snapshot", "ls", "bc/app"]).code, 0);
}

#[test]
fn kubestashs_own_commands_do_what_they_say() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("familiar");
    let other = stage.scene("familiar-to");
    let ns = scene.namespace.as_str();
    scene.backed_up();

    let typo = scene.does(&["trigger", "app", "--sessions", "nothing"]);
    assert!(typo.code == 6 && typo.err.contains("daily"), "{typo:?}");
    scene.does(&["pause", "app"]).ok();
    stage.wait(ns, "cronjob", "trigger-app-daily", "suspended", |c| {
        c["spec"]["suspend"] == true
    });
    assert_eq!(scene.does(&["trigger", "app"]).code, 7);
    scene.does(&["resume", "bc/app"]).ok();
    stage.wait(ns, "cronjob", "trigger-app-daily", "going on", |c| {
        c["spec"]["suspend"] != true
    });
    let triggered = scene.does(&["trigger", "app", "--sessions=daily", "--wait"]);
    assert_eq!(triggered.code, 0, "{triggered:?}");

    let snapshot = scene.snapshots("app-repo");
    let snapshot = snapshot.last().unwrap()["metadata"]["name"].as_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().to_str().unwrap();
    scene.does(&["download", snapshot, "--destination", to]).ok();
    let file = dir.path().join(snapshot).join("dump/kubestash-data/d/two");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "two\n");
    assert_eq!(
        scene
            .does(&["download", snapshot, "--destination", to, "--components", "x"])
            .code,
        6
    );

    scene
        .does(&["copy", "secret", "s3-secret", "--to-namespace", &other.namespace])
        .ok();
    assert_eq!(
        stage.get(&other.namespace, "secret", "s3-secret").unwrap()["data"],
        stage.get(ns, "secret", "s3-secret").unwrap()["data"]
    );

    // The try of a storage leaves nothing, and says which step fails.
    let tried = scene.does(&["debug", "backupstorage", "s3-storage"]);
    assert_eq!(tried.code, 0, "{tried:?}");
    for step in ["list", "write", "read", "delete"] {
        assert!(tried.out.contains(&format!("✓ {step}")), "{tried:?}");
    }
    assert!(
        stage
            .kubectl(&["get", "job,secret", "-n", ns, "-o", "name"])
            .ok()
            .lines()
            .all(|l| !l.contains("/prove-")),
        "the try leaves nothing"
    );
    stage
        .kubectl(&[
            "patch",
            "-n",
            ns,
            "secret",
            "s3-secret",
            "--type=json",
            "-p",
            r#"[{"op":"remove","path":"/data/AWS_SECRET_ACCESS_KEY"}]"#,
        ])
        .ok();
    let broken = scene.does(&["debug", "backupstorage", "s3-storage"]);
    assert_eq!(broken.code, 3, "{broken:?}");
    assert!(broken.err.contains("AWS_SECRET_ACCESS_KEY"), "{broken:?}");
    let restore = scene.does(&["debug", "restore", "nothing"]);
    assert_eq!(restore.code, 6, "{restore:?}");
    let invalid = stage.cli(&["debug", "backup", "nothing", "-n", ns]);
    assert_eq!(invalid.code, 6, "{invalid:?}");
}

#[test]
fn a_volume_snapshot_is_copied_and_a_claim_can_be_made_of_it() {
    let Some(stage) = stage() else { return };
    let classes = stage.kubectl(&["get", "volumesnapshotclasses", "-o", "json"]);
    let classes: Value = serde_json::from_str(&classes.out).unwrap_or_default();
    let Some(class) = classes["items"][0]["metadata"]["name"].as_str() else {
        eprintln!("SKIPPED: this cluster has no VolumeSnapshotClass");
        return;
    };
    let scene = stage.scene("vs");
    let other = stage.scene("vs-to");
    let ns = scene.namespace.as_str();
    scene.volume("data");
    scene.fill("data-pod", "/data");
    let before = scene.fingerprint("data-pod", "/data");
    stage.apply(&format!(
        "apiVersion: snapshot.storage.k8s.io/v1\nkind: VolumeSnapshot\nmetadata: {{name: snap, namespace: {ns}, labels: {{app: web}}}}\nspec: {{volumeSnapshotClassName: {class}, source: {{persistentVolumeClaimName: data}}}}\n"
    ));
    stage.wait(ns, "volumesnapshot", "snap", "ready", |s| {
        s["status"]["readyToUse"] == true
    });
    scene
        .does(&[
            "copy",
            "volumesnapshot",
            "snap",
            "--to-namespace",
            &other.namespace,
        ])
        .ok();
    let copy = stage.wait(&other.namespace, "volumesnapshot", "snap", "ready", |s| {
        s["status"]["readyToUse"] == true
    });
    assert_eq!(copy["metadata"]["labels"]["app"], "web");
    let again = scene.does(&["cp", "vs", "snap", "--to-namespace", &other.namespace]);
    assert_eq!(again.code, 7, "{again:?}");
    let to = &other.namespace;
    let image = &stage.workload_image;
    stage.apply(&format!(
        r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: again, namespace: {to}}}
spec:
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: 1Gi}}}}
  dataSource: {{apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: snap}}
---
apiVersion: v1
kind: Pod
metadata: {{name: again-pod, namespace: {to}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: app, image: "{image}", command: [sh, -c, "sleep 86400"], volumeMounts: [{{name: data, mountPath: /data}}]}}
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: again}}}}]
"#
    ));
    stage.wait_phase(to, "pod", "again-pod", "Running");
    assert_eq!(other.fingerprint("again-pod", "/data"), before);
    // The copy goes without the original's data.
    stage
        .kubectl(&["delete", "volumesnapshot", "snap", "-n", to, "--timeout=60s"])
        .ok();
    assert_eq!(
        stage.get(ns, "volumesnapshot", "snap").unwrap()["status"]["readyToUse"],
        true
    );
}

/// A tree as a backup of cluster resources has it, on the volume of the scene.
const TREE: &str = r#"
put() { mkdir -p "$(dirname "$1")"; cat > "$1"; }
cd /data
put customresourcedefinitions.apiextensions.k8s.io/cluster/widgets.KIND.example.com.yaml <<'Y'
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.KIND.example.com, uid: old, resourceVersion: "7"}
spec:
  group: KIND.example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
Y
put widgets.KIND.example.com/namespaces/old/w.yaml <<'Y'
apiVersion: KIND.example.com/v1
kind: Widget
metadata: {name: w, namespace: old, uid: u1}
spec: {size: 3}
Y
put configmaps/namespaces/old/settings.yaml <<'Y'
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: old
  uid: u2
  resourceVersion: "9"
  labels: {app: web}
  ownerReferences: [{apiVersion: KIND.example.com/v1, kind: Widget, name: w, uid: u1}]
data: {color: blue}
Y
put configmaps/namespaces/old/other.yaml <<'Y'
apiVersion: v1
kind: ConfigMap
metadata: {name: other, namespace: old, labels: {app: db}}
data: {color: red}
Y
put services/namespaces/old/web.yaml <<'Y'
apiVersion: v1
kind: Service
metadata: {name: web, namespace: old, labels: {app: web}}
spec: {clusterIP: 10.250.250.250, clusterIPs: [10.250.250.250], selector: {app: web}, ports: [{port: 80, nodePort: 31999}], type: NodePort}
Y
put replicasets.apps/namespaces/old/web-1.yaml <<'Y'
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, namespace: old, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u3, controller: true}]}
spec: {replicas: 0, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}}
Y
put deployments.apps/namespaces/old/web.yaml <<'Y'
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: old, uid: u3, generation: 4, annotations: {deployment.kubernetes.io/revision: "3"}}
spec: {replicas: 0, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}}
status: {replicas: 7}
Y
put events/namespaces/old/e.yaml <<'Y'
apiVersion: v1
kind: Event
metadata: {name: e, namespace: old}
involvedObject: {}
Y
"#;

#[test]
fn manifests_in_a_snapshot_are_shown_and_restored() {
    let Some(stage) = stage() else { return };
    let scene = stage.scene("manifests");
    let ns = scene.namespace.as_str();
    let target = format!("{ns}-restored");
    scene.storage();
    scene.volume("data");
    let group = format!("{}.example.com", ns.replace("e2e-", ""));
    stage.sh(ns, "data-pod", &TREE.replace("KIND.example.com", &group));
    scene.configuration("app", PVC, "pvc-addon", "{}");
    scene.first_backup("app");

    let wrong = scene.does(&["manifest-view", "--snapshot", "bc/app"]);
    assert!(wrong.code == 7 && wrong.err.contains("it has: dump"), "{wrong:?}");
    let view = |more: &[&str]| {
        scene.does(
            &[
                &["manifest-view", "--snapshot", "bc/app", "--components", "dump"],
                more,
            ]
            .concat(),
        )
    };
    let tree = view(&[]).ok();
    assert!(
        tree.starts_with(".\n└── kubestash-data\n    ├── configmaps\n    │   └── namespaces\n    │       └── old\n    │           ├── other.yaml\n    │           └── settings.yaml\n"),
        "{tree}"
    );
    let shown = view(&[
        "--and-label-selectors",
        "app=web",
        "--exclude-resources",
        "services",
        "-o",
        "json",
    ])
    .ok();
    let shown = &documents("manifest-view", &shown)[0]["manifests"];
    assert_eq!(shown.as_array().unwrap().len(), 1, "{shown:#}");
    assert_eq!(
        (&shown[0]["resource"], &shown[0]["name"]),
        (&json!("configmaps"), &json!("settings"))
    );
    assert!(
        !view(&["--include-cluster-resources=false"])
            .ok()
            .contains("cluster")
    );
    assert_eq!(
        view(&[
            "--include-namespaces",
            "nothing",
            "--include-cluster-resources=false"
        ])
        .code,
        6
    );

    let restore = |more: &[&str]| {
        let base = [
            "manifest-restore",
            "bc/app",
            "--components",
            "dump",
            "--target-namespace",
            &target,
        ];
        scene.does(&[&base[..], more].concat())
    };
    let results = |said: Said| -> Vec<Value> {
        documents("manifest-restore", &said.out)[0]["results"]
            .as_array()
            .unwrap()
            .clone()
    };
    let outcome = |results: &[Value], name: &str, resource: &str| -> String {
        let found = results
            .iter()
            .find(|r| r["name"] == name && r["resource"].as_str().unwrap().starts_with(resource));
        found.map_or("absent".to_owned(), |r| r["outcome"].as_str().unwrap().to_owned())
    };

    // Into a directory: nothing is applied, what is there stays.
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("mine"), "x").unwrap();
    let written = restore(&["--dry-run-dir", dir.path().to_str().unwrap()]);
    assert_eq!(written.code, 0, "{written:?}");
    let service = dir
        .path()
        .join(format!("DryRun/services/namespaces/{target}/web.yaml"));
    let service = std::fs::read_to_string(service).unwrap();
    assert!(
        !service.contains("10.250.250.250") && !service.contains("31999"),
        "{service}"
    );
    assert!(dir.path().join("mine").exists());
    // Dry runs store nothing.
    for how in ["--dry-run=client", "--dry-run=server"] {
        let dry = restore(&[
            how,
            "-o",
            "json",
            "--exclude-resources",
            &format!("widgets.{group}"),
        ]);
        assert_eq!(dry.code, 0, "{how}: {dry:?}");
        assert_eq!(outcome(&results(dry), "settings", "configmaps"), "created");
    }
    let dry = restore(&["--dry-run=server", "--include-cluster-resources", "-o", "json"]);
    assert_eq!(
        dry.code, 0,
        "a definition that comes along is counted on: {dry:?}"
    );
    assert_eq!(outcome(&results(dry), "w", "widgets"), "created");
    assert!(
        stage.get("", "namespace", &target).is_none(),
        "a dry run makes nothing"
    );

    // Without the definition its objects fail, and the rest is restored.
    let partial = restore(&["-o", "json", "--max-iterations", "1"]);
    assert_eq!(partial.code, 4, "{partial:?}");
    let partial = results(partial);
    assert_eq!(outcome(&partial, "w", "widgets"), "failed");
    assert_eq!(outcome(&partial, "other", "configmaps"), "created");
    assert_eq!(outcome(&partial, "web-1", "replicasets"), "skipped");
    assert_eq!(outcome(&partial, "e", "events"), "absent");
    stage
        .kubectl(&["delete", "configmap", "settings", "-n", &target])
        .ok();
    let whole = restore(&["-o", "json", "--include-cluster-resources"]);
    assert_eq!(whole.code, 0, "{whole:?}");
    let whole = results(whole);
    assert_eq!(outcome(&whole, "w", "widgets"), "created");
    assert_eq!(outcome(&whole, "other", "configmaps"), "exists");
    let names: Vec<&str> = whole.iter().map(|r| r["resource"].as_str().unwrap()).collect();
    let at = |resource: &str| names.iter().position(|n| n.starts_with(resource)).unwrap();
    assert!(
        at("customresourcedefinitions") < at("configmaps") && at("configmaps") < at("services"),
        "{names:?}"
    );
    let settings = stage.get(&target, "configmap", "settings").unwrap();
    let widget = stage.get(&target, &format!("widgets.{group}"), "w").unwrap();
    assert_eq!(
        settings["metadata"]["ownerReferences"][0]["uid"], widget["metadata"]["uid"],
        "the owner is the one of this cluster: {settings:#}"
    );

    // What is there is changed only when asked, and not behind the back of who manages it.
    let patch = r#"{"data":{"color":"green"}}"#;
    stage
        .kubectl(&[
            "patch",
            "configmap",
            "other",
            "-n",
            &target,
            "--type=merge",
            "-p",
            patch,
        ])
        .ok();
    let only = [
        "--include-resources",
        "configmaps",
        "--or-label-selectors",
        "app=db",
    ];
    restore(&only).ok();
    let color = |_: ()| stage.get(&target, "configmap", "other").unwrap()["data"]["color"].clone();
    assert_eq!(color(()), "green");
    let conflict = restore(&[&only[..], &["--override-resources"]].concat());
    assert_eq!(conflict.code, 3, "{conflict:?}");
    assert!(
        conflict.err.contains("conflict") && conflict.err.contains("--force-conflicts"),
        "{conflict:?}"
    );
    restore(&[&only[..], &["--override-resources", "--force-conflicts"]].concat()).ok();
    assert_eq!(color(()), "red");
    stage
        .kubectl(&["delete", "namespace", &target, "--wait=false"])
        .ok();
    stage
        .kubectl(&["delete", "crd", &format!("widgets.{group}")])
        .ok();
}
