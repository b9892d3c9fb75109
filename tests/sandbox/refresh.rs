//! Volumes that follow what they are made of while a pod runs.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::node::{Lab, until_log};

const LIMIT: Duration = Duration::from_secs(30);

impl Lab {
    async fn merge<T>(&self, name: &str, patch: Value)
    where
        T: kube::Resource<Scope = kube::core::NamespaceResourceScope>
            + serde::de::DeserializeOwned
            + Clone
            + std::fmt::Debug,
        T::DynamicType: Default,
    {
        self.api::<T>()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    }

    /// Waits until a command in the pod prints this.
    async fn prints(&self, pod: &str, command: &str, wanted: &str) {
        let mut last = String::new();
        let waited = timeout(LIMIT, async {
            loop {
                last = self.exec(pod, &["sh", "-c", command]).await.0;
                if last == wanted {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        assert!(
            waited.is_ok(),
            "{command} keeps printing {last:?}, not {wanted:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volumes_follow_what_they_are_made_of() {
    let lab = Lab::new().await;
    lab.create::<ConfigMap>(json!({"metadata": {"name": "m"}, "data": {"a": "1", "gone": "x"}}))
        .await;
    lab.create::<Secret>(json!({"metadata": {"name": "s"}, "stringData": {"user": "bob"}}))
        .await;
    let mounts = json!([
        {"name": "m", "mountPath": "/m"}, {"name": "m", "mountPath": "/fixed", "subPath": "a"},
        {"name": "all", "mountPath": "/all"}, {"name": "self", "mountPath": "/self"},
        {"name": "late", "mountPath": "/late"}]);
    let spec = json!({
        "securityContext": {"runAsUser": 0},
        "containers": [{"name": "c", "image": "x", "command": ["sh", "-c", "echo ready; exec sleep 600"],
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "a"}}}], "volumeMounts": mounts}],
        "volumes": [
            {"name": "m", "configMap": {"name": "m"}},
            {"name": "all", "projected": {"sources": [
                {"configMap": {"name": "m"}}, {"secret": {"name": "s"}},
                {"serviceAccountToken": {"path": "token", "audience": "x"}}]}},
            {"name": "self", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"name": "late", "secret": {"secretName": "later", "optional": true}}]
    });
    lab.pod("live", spec).await;
    until_log(&lab, "live", "ready").await;
    let (token, _) = lab.exec("live", &["cat", "/all/token"]).await;
    lab.merge::<ConfigMap>("m", json!({"data": {"a": "2", "new": "n", "gone": null}}))
        .await;
    lab.prints("live", "cat /m/a /all/a; ls /m", "22a\nnew\n").await;
    // What was bound to the file or read into the environment stays.
    lab.prints("live", "cat /fixed; echo $A", "11\n").await;
    lab.merge::<Secret>("s", json!({"stringData": {"user": "carol"}}))
        .await;
    lab.prints("live", "cat /all/user", "carol").await;
    lab.create::<Secret>(json!({"metadata": {"name": "later"}, "stringData": {"k": "v"}}))
        .await;
    lab.prints("live", "cat /late/k", "v").await;
    lab.merge::<Pod>("live", json!({"metadata": {"labels": {"app": "live2"}}}))
        .await;
    lab.prints("live", "cat /self/labels", "app=\"live2\"").await;
    // Tokens are renewed when they must be, not whenever something beside them changes.
    assert_eq!(lab.exec("live", &["cat", "/all/token"]).await.0, token);
}
