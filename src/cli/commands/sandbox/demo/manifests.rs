//! What the demo applies: an application with volumes, and what backs it up. KubeStash's own API, as a user would write it.

/// The namespace of everything.
pub(super) const NAMESPACE: &str = "demo";

/// A StatefulSet of two pods with a volume each, and a volume of its own.
pub(super) const APPLICATION: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: documents, namespace: demo}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: demo}
spec: {clusterIP: None, selector: {app: shop}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: shop, namespace: demo}
spec:
  serviceName: shop
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: shop
        image: busybox
        command: [sleep, "86400"]
        volumeMounts: [{name: data, mountPath: /var/lib/shop}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"#;

/// The storage: an S3 bucket.
pub(super) fn s3(endpoint: &str, bucket: &str, key: &str, secret: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Secret
metadata: {{name: storage-secret, namespace: demo}}
stringData: {{AWS_ACCESS_KEY_ID: "{key}", AWS_SECRET_ACCESS_KEY: "{secret}"}}
---
apiVersion: storage.kubestash.com/v1alpha1
kind: BackupStorage
metadata: {{name: storage, namespace: demo}}
spec:
  storage:
    provider: s3
    s3: {{endpoint: "{endpoint}", bucket: {bucket}, prefix: demo, region: us-east-1, secretName: storage-secret}}
  usagePolicy: {{allowedNamespaces: {{from: Same}}}}
"#
    )
}

/// The storage where no S3 server is at hand: a volume.
pub(super) const LOCAL: &str = r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: backups, namespace: demo}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}
---
apiVersion: storage.kubestash.com/v1alpha1
kind: BackupStorage
metadata: {name: storage, namespace: demo}
spec:
  storage:
    provider: local
    local: {mountPath: /backups, persistentVolumeClaim: {claimName: backups}}
  usagePolicy: {allowedNamespaces: {from: Same}}
  runtimeSettings: {pod: {securityContext: {runAsUser: 0}}}
"#;

/// What to keep, the password, and a configuration for the StatefulSet and one for the volume. The Jobs run as root so that
/// they may read every file, whoever owns it.
pub(super) fn configurations(password: &str) -> String {
    let configuration = |name: &str, target: &str, addon: &str, params: &str| {
        format!(
            r#"
---
apiVersion: core.kubestash.com/v1alpha1
kind: BackupConfiguration
metadata: {{name: {name}, namespace: demo}}
spec:
  target: {target}
  backends:
  - name: here
    storageRef: {{name: storage, namespace: demo}}
    retentionPolicy: {{name: keep, namespace: demo}}
  sessions:
  - name: nightly
    scheduler: {{schedule: "0 2 * * *", jobTemplate: {{backoffLimit: 1}}}}
    sessionHistoryLimit: 3
    repositories:
    - name: {name}
      backend: here
      directory: /{name}
      encryptionSecret: {{name: password, namespace: demo}}
    addon:
      name: {addon}
      tasks: [{{name: logical-backup, params: {params}}}]
      jobTemplate: {{spec: {{securityContext: {{runAsUser: 0}}}}}}
"#
        )
    };
    format!(
        r#"
apiVersion: v1
kind: Secret
metadata: {{name: password, namespace: demo}}
stringData: {{RESTIC_PASSWORD: "{password}"}}
---
apiVersion: storage.kubestash.com/v1alpha1
kind: RetentionPolicy
metadata: {{name: keep, namespace: demo}}
spec: {{successfulSnapshots: {{last: 5}}, usagePolicy: {{allowedNamespaces: {{from: Same}}}}}}
{}{}"#,
        configuration(
            "shop",
            "{apiGroup: apps, kind: StatefulSet, name: shop}",
            "workload-addon",
            "{paths: /var/lib/shop}"
        ),
        configuration(
            "documents",
            "{apiGroup: '', kind: PersistentVolumeClaim, name: documents}",
            "pvc-addon",
            "{}"
        ),
    )
}
