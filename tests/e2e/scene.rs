//! What the scenarios are made of: storages, configurations, workloads and comparisons, as YAML a user would write.

use std::process::Command;

use serde_json::Value;

use super::stage::{BUCKET, PASSWORD, Said, Scene, run};

/// Lists everything about every entry below a directory: type and mode, owner, size, time, link target, and a hash of
/// each file. Two trees are equal when these texts are.
pub(crate) const FINGERPRINT: &str = r#"cd "$1" && { find . -exec stat -c '%n|%f|%u|%g|%Y|%N' {} + ; find . -type f -exec stat -c '%n|%s' {} + ; find . -type f -exec sha256sum {} + ; } | sort"#;

impl Scene {
    /// The bucket prefix of this scenario.
    pub(crate) fn prefix(&self) -> &str {
        &self.namespace
    }

    /// The storage Secret, BackupStorage `s3-storage`, RetentionPolicy `keep` and encryption Secret; waits until Ready.
    pub(crate) fn storage(&self) {
        self.storage_with("s3-storage", "Delete", self.prefix());
        self.stage
            .wait_phase(&self.namespace, "backupstorage", "s3-storage", "Ready");
    }

    /// The same with a name, a deletion policy and a prefix; does not wait.
    pub(crate) fn storage_with(&self, name: &str, deletion_policy: &str, prefix: &str) {
        let Scene { stage, namespace } = self;
        let (endpoint, key, secret) = (&stage.s3.endpoint, &stage.s3.key, &stage.s3.secret);
        stage.apply(&format!(
            r#"
apiVersion: v1
kind: Secret
metadata: {{name: s3-secret, namespace: {namespace}}}
stringData: {{AWS_ACCESS_KEY_ID: "{key}", AWS_SECRET_ACCESS_KEY: "{secret}"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: encrypt-secret, namespace: {namespace}}}
stringData: {{RESTIC_PASSWORD: "{PASSWORD}"}}
---
apiVersion: storage.kubestash.com/v1alpha1
kind: BackupStorage
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  storage:
    provider: s3
    s3: {{endpoint: "{endpoint}", bucket: {BUCKET}, prefix: {prefix}, region: us-east-1, secretName: s3-secret}}
  usagePolicy: {{allowedNamespaces: {{from: Same}}}}
  deletionPolicy: {deletion_policy}
---
apiVersion: storage.kubestash.com/v1alpha1
kind: RetentionPolicy
metadata: {{name: keep, namespace: {namespace}}}
spec:
  successfulSnapshots: {{last: 2}}
  failedSnapshots: {{last: 2}}
  usagePolicy: {{allowedNamespaces: {{from: Same}}}}
"#
        ));
    }

    /// A BackupConfiguration `name` with one session `daily`, repository `<name>-repo` in directory `/<name>`.
    pub(crate) fn configuration(&self, name: &str, target: &str, addon: &str, params: &str) {
        self.stage
            .apply(&self.configuration_yaml(name, target, addon, params));
    }

    /// Its YAML: `target` is a flow mapping, `params` one too.
    pub(crate) fn configuration_yaml(&self, name: &str, target: &str, addon: &str, params: &str) -> String {
        let namespace = &self.namespace;
        format!(
            r#"
apiVersion: core.kubestash.com/v1alpha1
kind: BackupConfiguration
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  target: {target}
  backends:
  - name: s3
    storageRef: {{name: s3-storage, namespace: {namespace}}}
    retentionPolicy: {{name: keep, namespace: {namespace}}}
  sessions:
  - name: daily
    sessionHistoryLimit: 5
    scheduler: {{schedule: "7 3 * * *", jobTemplate: {{backoffLimit: 1}}}}
    repositories:
    - name: {name}-repo
      backend: s3
      directory: /{name}
      encryptionSecret: {{name: encrypt-secret, namespace: {namespace}}}
    addon:
      name: {addon}
      tasks:
      - name: logical-backup
        params: {params}
"#
        )
    }

    /// The initial session of a configuration, once there is one.
    pub(crate) fn initial_session(&self, configuration: &str) -> String {
        super::stage::eventually(
            &format!("the first session of {configuration}"),
            std::time::Duration::from_secs(60),
            || {
                self.sessions(configuration)
                    .first()
                    .map(|s| s["metadata"]["name"].as_str().unwrap().to_owned())
            },
        )
    }

    /// The sessions of a configuration, oldest first.
    pub(crate) fn sessions(&self, configuration: &str) -> Vec<Value> {
        let mut found = self.stage.list(
            &self.namespace,
            "backupsession",
            &format!("kubestash.com/invoker-name={configuration}"),
        );
        found.sort_by_key(|s| s["metadata"]["name"].as_str().unwrap().to_owned());
        found
    }

    /// Waits until a session ended and returns it.
    #[track_caller]
    pub(crate) fn finished(&self, session: &str) -> Value {
        self.stage
            .wait(&self.namespace, "backupsession", session, "finished", |s| {
                matches!(
                    s["status"]["phase"].as_str(),
                    Some("Succeeded" | "Failed" | "Skipped")
                )
            })
    }

    /// Runs the first backup of a configuration to its success.
    #[track_caller]
    pub(crate) fn first_backup(&self, configuration: &str) -> String {
        let name = self.initial_session(configuration);
        let session = self.finished(&name);
        assert_eq!(session["status"]["phase"], "Succeeded", "{session:#}");
        name
    }

    /// `backup now NAME --wait`.
    pub(crate) fn backup_now(&self, configuration: &str) -> Said {
        self.stage.cli(&[
            "backup",
            "now",
            configuration,
            "-n",
            &self.namespace,
            "--wait",
            "--timeout",
            "2m",
        ])
    }

    /// The Snapshots of a repository, oldest first.
    pub(crate) fn snapshots(&self, repository: &str) -> Vec<Value> {
        let mut found = self.stage.list(
            &self.namespace,
            "snapshots.storage.kubestash.com",
            &format!("kubestash.com/repo-name={repository}"),
        );
        found.sort_by_key(|s| {
            s["status"]["snapshotTime"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        });
        found
    }

    /// A RestoreSession; `more` are further lines of its spec.
    pub(crate) fn restore(&self, name: &str, target: &str, repository: &str, addon: &str, more: &str) {
        self.stage
            .apply(&self.restore_yaml(name, target, repository, addon, more));
    }

    /// Its YAML.
    pub(crate) fn restore_yaml(
        &self,
        name: &str,
        target: &str,
        repository: &str,
        addon: &str,
        more: &str,
    ) -> String {
        let namespace = &self.namespace;
        format!(
            r#"
apiVersion: core.kubestash.com/v1alpha1
kind: RestoreSession
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  target: {target}
  dataSource:
    repository: {repository}
    snapshot: latest
    encryptionSecret: {{name: encrypt-secret, namespace: {namespace}}}
{more}
  addon:
    name: {addon}
    tasks: [{{name: logical-backup-restore}}]
"#
        )
    }

    /// A PVC and a pod `NAME-pod` that mounts it at /data; waits until the pod runs.
    pub(crate) fn volume(&self, name: &str) {
        let (namespace, image) = (&self.namespace, &self.stage.workload_image);
        self.stage.apply(&format!(
            r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}-pod, namespace: {namespace}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: app, image: "{image}", command: [sh, -c, "sleep 86400"], volumeMounts: [{{name: data, mountPath: /data}}]}}
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: {name}}}}}]
"#
        ));
        self.stage
            .wait_phase(namespace, "pod", &format!("{name}-pod"), "Running");
    }

    /// A Deployment `app` of that many pods that share the claim `source` at `at`; waits until they are ready. `command` runs
    /// first.
    pub(crate) fn deployment(&self, replicas: u32, at: &str, command: &str) {
        let (namespace, image) = (&self.namespace, &self.stage.workload_image);
        let yaml = deployment_yaml(namespace, image, "source", replicas, at, command);
        self.stage.apply(&yaml);
        self.rolled_out("deployment/app");
    }

    /// A StatefulSet `name` with a volume `data` for each of its pods at `at`; waits until they are ready. `command` runs first.
    pub(crate) fn stateful_set(&self, name: &str, replicas: u32, at: &str, command: &str) {
        let yaml = stateful_set_yaml(
            &self.namespace,
            &self.stage.workload_image,
            name,
            replicas,
            at,
            command,
        );
        self.stage.apply(&yaml);
        self.rolled_out(&format!("statefulset/{name}"));
    }

    /// Waits until all pods of a workload, as `KIND/NAME`, are ready.
    pub(crate) fn rolled_out(&self, workload: &str) {
        let wait = [
            "rollout",
            "status",
            workload,
            "--timeout=2m",
            "-n",
            &self.namespace,
        ];
        self.stage.kubectl(&wait).ok();
    }

    /// The fingerprint of a directory in a pod.
    pub(crate) fn fingerprint(&self, pod: &str, dir: &str) -> String {
        let out = self
            .stage
            .kubectl(&[
                "exec",
                "-n",
                &self.namespace,
                pod,
                "--",
                "sh",
                "-c",
                FINGERPRINT,
                "sh",
                dir,
            ])
            .ok();
        assert!(
            out.lines().count() > 3,
            "an empty fingerprint proves nothing: {out}"
        );
        out
    }

    /// Puts files of every awkward kind into a directory of a pod.
    pub(crate) fn fill(&self, pod: &str, dir: &str) {
        self.stage.sh(
            &self.namespace,
            pod,
            &format!(
                r#"set -e; cd {dir}; mkdir -p deep/er/still "with space" empty
echo hello > plain; : > nothing; printf 'x\0y\n' > binary; echo readable > private; chmod 0444 private; chmod 1777 empty
i=0; while [ $i -lt 60 ]; do echo "file $i" > deep/er/f$i; i=$((i+1)); done
dd if=/dev/urandom of=big bs=65536 count=48 2>/dev/null
dd if=/dev/null of=sparse bs=1 seek=8388608 2>/dev/null
echo odd > "with space/$(printf 'new\nline')"; echo umlaut > "with space/ä'\"*"
ln -s ../plain deep/link; ln -s /nowhere dangling; ln plain hard; chown 1234:4321 deep/er/f1; chown -h 12:34 dangling
touch -d '2001-02-03 04:05:06' plain deep/er/f2; touch -d '1999-12-31 23:59:58' deep"#
            ),
        );
    }

    /// Runs restic itself, beside us, on a component's repository: the independent judge.
    pub(crate) fn restic(&self, directory: &str, component: &str, args: &[&str]) -> Said {
        let s3 = &self.stage.s3;
        let repository = format!(
            "s3:{}/{BUCKET}/{}/{directory}/repository/v1/daily/{component}",
            s3.endpoint,
            self.prefix()
        );
        let cache = std::env::temp_dir();
        run(
            Command::new("restic")
                .env("RESTIC_REPOSITORY", repository)
                .env("RESTIC_PASSWORD", PASSWORD)
                .env("AWS_ACCESS_KEY_ID", &s3.key)
                .env("AWS_SECRET_ACCESS_KEY", &s3.secret)
                .env("AWS_DEFAULT_REGION", "us-east-1")
                .env("TMPDIR", cache)
                .arg("--no-cache")
                .args(args),
            None,
        )
    }

    /// restic reads every byte of a repository back and finds no fault.
    #[track_caller]
    pub(crate) fn judge(&self, directory: &str, component: &str) {
        let said = self.restic(directory, component, &["check", "--read-data"]);
        assert!(
            said.code == 0 && said.out.contains("no errors were found"),
            "{said:?}"
        );
    }
}

/// One condition of an object's status.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|c| c["type"] == kind)
}

/// All messages of an object's status, joined: conditions, components, snapshots.
pub(crate) fn messages(object: &Value) -> String {
    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match (key.as_str(), value) {
                        ("message" | "error" | "reason", Value::String(text)) => into.push(text.clone()),
                        _ => collect(value, into),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|v| collect(v, into)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    collect(&object["status"], &mut found);
    found.join("\n")
}

/// A Deployment `app` with its claim; see [`Scene::deployment`].
pub(crate) fn deployment_yaml(
    namespace: &str,
    image: &str,
    claim: &str,
    replicas: u32,
    at: &str,
    command: &str,
) -> String {
    format!(
        r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {claim}, namespace: {namespace}}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: app, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: app}}}}
  template:
    metadata: {{labels: {{app: app}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: app
        image: "{image}"
        command: [sh, -c, "{command}; sleep 86400"]
        volumeMounts: [{{name: data, mountPath: {at}}}]
      volumes: [{{name: data, persistentVolumeClaim: {{claimName: {claim}}}}}]
"#
    )
}

/// A StatefulSet with its Service; see [`Scene::stateful_set`]. A pod is ready once its `command` has run.
pub(crate) fn stateful_set_yaml(
    namespace: &str,
    image: &str,
    name: &str,
    replicas: u32,
    at: &str,
    command: &str,
) -> String {
    format!(
        r#"
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{clusterIP: None, selector: {{app: {name}}}, ports: [{{port: 80}}]}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  serviceName: {name}
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: {name}
        image: "{image}"
        command: [sh, -c, "{command}; touch /tmp/ready; sleep 86400"]
        readinessProbe: {{exec: {{command: [test, -e, /tmp/ready]}}, periodSeconds: 1}}
        volumeMounts: [{{name: data, mountPath: {at}}}]
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
"#
    )
}
