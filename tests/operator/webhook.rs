//! The admission webhooks as the API server meets them: over HTTPS, with certificates the operator made.

use serde_json::{Value, json};

use super::cluster::{Cluster, manifests};

async fn served() -> Cluster {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let cluster = Cluster::start_with(|options| {
        options.webhooks = true;
        options.webhook_port = port;
    })
    .await;
    cluster
        .apply(json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "kubestash-webhook", "namespace": "kubestash"},
            "subsets": [{"addresses": [{"ip": "127.0.0.1"}], "ports": [{"name": "webhook", "port": port}]}]}))
        .await;
    for object in manifests(&[
        "Service",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ]) {
        cluster.apply(object).await;
    }
    cluster
        .until(
            "ValidatingWebhookConfiguration",
            "kubestash",
            "was trusted",
            trusted,
        )
        .await;
    cluster
        .until(
            "MutatingWebhookConfiguration",
            "kubestash",
            "was trusted",
            trusted,
        )
        .await;
    cluster
}

fn trusted(configuration: &Value) -> bool {
    configuration["webhooks"]
        .as_array()
        .unwrap()
        .iter()
        .all(|webhook| webhook["clientConfig"]["caBundle"].is_string())
}

fn policy(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
        "metadata": {"name": name, "namespace": "demo"}, "spec": spec})
}

#[tokio::test]
async fn objects_are_defaulted_and_refused_through_the_api_server() {
    let cluster = served().await;
    let made = cluster
        .apply(policy(
            "keep",
            &json!({"maxRetentionPeriod": "1mo", "default": true}),
        ))
        .await;
    assert_eq!(made["spec"]["failedSnapshots"], json!({"last": 1}));
    assert_eq!(
        made["spec"]["usagePolicy"],
        json!({"allowedNamespaces": {"from": "Same"}})
    );

    let refused = cluster
        .try_apply(policy(
            "second",
            &json!({"maxRetentionPeriod": "soon", "default": true}),
        ))
        .await
        .unwrap_err();
    let message = refused.to_string();
    assert!(
        message.contains("RetentionPolicy demo/second is not valid"),
        "{message}"
    );
    assert!(
        message.contains("spec.maxRetentionPeriod: `soon` is not a period"),
        "{message}"
    );
    assert!(
        message.contains("spec.default: RetentionPolicy keep is the default of namespace demo"),
        "{message}"
    );
}

#[tokio::test]
async fn a_configuration_finds_defaults_applied_just_before_it() {
    let cluster = served().await;
    cluster
        .apply(policy(
            "keep",
            &json!({"maxRetentionPeriod": "1mo", "default": true}),
        ))
        .await;
    cluster
        .apply(json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage", "metadata": {"name": "s", "namespace": "demo"},
            "spec": {"default": true, "storage": {"provider": "s3", "s3": {"bucket": "b", "endpoint": "http://127.0.0.1:1", "secretName": "none"}}}}))
        .await;
    let configuration = |schedule: &str| {
        json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration", "metadata": {"name": "web", "namespace": "demo"},
            "spec": {"target": {"apiGroup": "apps", "kind": "Deployment", "name": "web"}, "sessions": [{"name": "daily",
                "scheduler": {"schedule": schedule, "jobTemplate": {}},
                "repositories": [{"name": "web", "directory": "/web", "encryptionSecret": {"name": "e"}}],
                "addon": {"name": "workload-addon", "tasks": [{"name": "logical-backup"}]}}]}})
    };
    let refused = cluster
        .try_apply(configuration("often"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("spec.sessions[0].scheduler.schedule"),
        "{refused}"
    );
    let made = cluster.apply(configuration("0 2 * * *")).await;
    let backend = &made["spec"]["backends"][0];
    assert_eq!(
        (
            &backend["storageRef"]["name"],
            &backend["retentionPolicy"]["name"]
        ),
        (&json!("s"), &json!("keep"))
    );
}

#[tokio::test]
async fn a_lost_certificate_is_made_again_and_trusted() {
    let cluster = served().await;
    let bundle = |configuration: &Value| configuration["webhooks"][0]["clientConfig"]["caBundle"].clone();
    let before = bundle(
        &cluster
            .get("ValidatingWebhookConfiguration", "kubestash")
            .await
            .unwrap(),
    );
    cluster
        .delete("kubestash/Secret", "kubestash-webhook-certificate")
        .await;
    cluster
        .until(
            "ValidatingWebhookConfiguration",
            "kubestash",
            "was trusted anew",
            |c| trusted(c) && bundle(c) != before,
        )
        .await;
    cluster
        .until(
            "MutatingWebhookConfiguration",
            "kubestash",
            "was trusted anew",
            |c| trusted(c) && bundle(c) != before,
        )
        .await;
    cluster
        .apply(policy("keep", &json!({"maxRetentionPeriod": "1mo"})))
        .await;
}
