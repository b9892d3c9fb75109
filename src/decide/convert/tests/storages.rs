use serde_json::json;

use super::*;

fn repository(backend: &str) -> String {
    format!(
        "\
apiVersion: stash.appscode.com/v1alpha1
kind: Repository
metadata: {{name: repo, namespace: demo, labels: {{team: a, stash.appscode.com/x: y}}, annotations: {{kubectl.kubernetes.io/last-applied-configuration: '{{}}'}}}}
spec:
  backend:
{backend}"
    )
}

#[test]
fn backends_become_storages() {
    let cases = [
        (
            "    s3: {endpoint: s3.amazonaws.com, bucket: b, prefix: p/q, region: us-east-1, insecureTLS: true}\n    storageSecretName: s\n",
            json!({"provider": "s3", "s3": {"endpoint": "https://s3.amazonaws.com", "bucket": "b", "prefix": "p/q", "region": "us-east-1", "secretName": "s", "insecureTLS": true}}),
        ),
        (
            "    s3: {endpoint: 'http://minio:9000', bucket: b}\n",
            json!({"provider": "s3", "s3": {"endpoint": "http://minio:9000", "bucket": "b"}}),
        ),
        (
            "    gcs: {bucket: b, prefix: p, maxConnections: 3}\n    storageSecretName: s\n",
            json!({"provider": "gcs", "gcs": {"bucket": "b", "prefix": "p", "maxConnections": 3, "secretName": "s"}}),
        ),
        (
            "    azure: {container: c, prefix: p, maxConnections: 3}\n    storageSecretName: s\n",
            json!({"provider": "azure", "azure": {"container": "c", "prefix": "p", "maxConnections": 3, "secretName": "s"}}),
        ),
        (
            "    local: {mountPath: /backups, subPath: a, nfs: {server: nfs, path: /}}\n    storageSecretName: s\n",
            json!({"provider": "local", "local": {"mountPath": "/backups", "subPath": "a", "nfs": {"server": "nfs", "path": "/"}}}),
        ),
    ];
    for (backend, wanted) in cases {
        let made = made(&repository(backend));
        assert_eq!(
            field(&made, "BackupStorage", "repo", "/spec/storage"),
            wanted,
            "{backend}"
        );
        assert_eq!(at(&made, Level::NotCarried), Vec::<String>::new(), "{backend}");
    }
}

#[test]
fn only_the_users_own_labels_are_carried() {
    let made = made(&repository("    s3: {bucket: b}\n"));
    assert_eq!(
        object(&made, "BackupStorage", "repo")["metadata"],
        json!({"name": "repo", "namespace": "demo", "labels": {"team": "a"}})
    );
}

#[test]
fn providers_that_do_not_exist_are_refused_with_a_way_out() {
    for (backend, pointer, way_out) in [
        (
            "    b2: {bucket: b, prefix: p, maxConnections: 1}\n",
            "/spec/backend/b2",
            "backblazeb2.com",
        ),
        (
            "    swift: {container: c, prefix: p}\n",
            "/spec/backend/swift",
            "speaks S3",
        ),
        (
            "    rest: {url: 'http://x'}\n",
            "/spec/backend/rest",
            "provider local",
        ),
    ] {
        let made = made(&repository(backend));
        assert_eq!(titles(&made), Vec::<String>::new());
        assert!(says(&made, Level::NotCarried, pointer, way_out), "{backend}");
    }
}

#[test]
fn the_password_gets_a_secret_of_its_own() {
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: demo}\ndata: {RESTIC_PASSWORD: Y2hhbmdlaXQ=, AWS_ACCESS_KEY_ID: eA==}\n";
    let text = repository("    s3: {bucket: b}\n    storageSecretName: s\n") + secret;
    let with = made(&text);
    assert_eq!(
        object(&with, "Secret", "repo-encryption-secret"),
        json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": "repo-encryption-secret", "namespace": "demo"}, "data": {"RESTIC_PASSWORD": "Y2hhbmdlaXQ="}})
    );
    assert!(
        with.notes
            .iter()
            .all(|n| !format!("{n:?}").contains("Y2hhbmdlaXQ") && !format!("{n:?}").contains("changeit")),
        "no note shows the password"
    );
    assert_eq!((with.converted, with.passed_over), (1, 1));
    let own = Options {
        encryption_secret_name: Some("mine".to_owned()),
        ..Options::default()
    };
    assert_eq!(titles(&made_with(&text, &own)), ["BackupStorage repo"]);
    let without = made(&repository("    s3: {bucket: b}\n    storageSecretName: s\n"));
    assert!(says(
        &without,
        Level::ToDo,
        "/spec/backend/storageSecretName",
        "kubectl create secret generic repo-encryption-secret -n demo --from-file=RESTIC_PASSWORD=/dev/stdin"
    ));
}

#[test]
fn the_account_of_azure_comes_from_the_secret() {
    let text = repository("    azure: {container: c}\n    storageSecretName: s\n");
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: demo}\nstringData: {RESTIC_PASSWORD: x, AZURE_ACCOUNT_NAME: acc}\n";
    let with = made(&(text.clone() + secret));
    assert_eq!(
        field(
            &with,
            "BackupStorage",
            "repo",
            "/spec/storage/azure/storageAccount"
        ),
        "acc"
    );
    assert!(says(
        &made(&text),
        Level::ToFillIn,
        "/spec/backend/storageSecretName",
        "BackupStorage demo/repo spec.storage.azure.storageAccount"
    ));
}

#[test]
fn policies_of_a_repository_are_carried() {
    let text = repository("    s3: {bucket: b}\n")
        + "  wipeOut: true\n  usagePolicy: {allowedNamespaces: {from: Selector, selector: {matchLabels: {a: b}}}}\n";
    let made = made(&text);
    let storage = object(&made, "BackupStorage", "repo");
    assert_eq!(storage["spec"]["deletionPolicy"], "WipeOut");
    assert_eq!(
        storage["spec"]["usagePolicy"],
        json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"a": "b"}}}})
    );
    assert!(
        says(
            &made,
            Level::Changed,
            "/spec/wipeOut",
            "the old backups of Stash too"
        ),
        "wiping the storage would wipe Stash's repository"
    );
}

#[test]
fn unknown_fields_at_any_depth_are_reported() {
    let made = made(
        &(repository("    s3: {bucket: b, buckit: c}\n    storageSecretNam: x\n")
            + "  usagePolicy: {allowedNamespaces: {form: All}}\n  extra: 1\n"),
    );
    let mut found = at(&made, Level::NotCarried);
    found.sort();
    assert_eq!(
        found,
        [
            "/spec/backend/s3/buckit",
            "/spec/backend/storageSecretNam",
            "/spec/extra",
            "/spec/usagePolicy/allowedNamespaces/form"
        ]
    );
}
