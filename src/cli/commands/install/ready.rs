//! When an installation is ready: definitions served, Deployment available, webhooks answering. The caller bounds all of
//! it; when the bound passes, [`late`] looks for the reason.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::output::human;
use crate::output::ui::Progress;

/// How often the cluster is looked at.
const EVERY: Duration = Duration::from_millis(300);
/// The Deployment of the operator.
const DEPLOYMENT: &str = "kubestash-operator";
/// The pods of it.
const PODS: &str = "app.kubernetes.io/name=kubestash-operator";

/// Waits until every definition is served.
pub(super) async fn definitions(cluster: &Cluster, definitions: &[Value]) -> Result<(), CliError> {
    for definition in definitions {
        let name = text(definition, "/metadata/name");
        loop {
            let found: Option<Value> = cluster.find(&kinds::CRD, None, &name).await?;
            if found
                .as_ref()
                .is_some_and(|crd| condition(crd, "Established").as_deref() == Some("True"))
            {
                break;
            }
            tokio::time::sleep(EVERY).await;
        }
    }
    Ok(())
}

/// Waits until the Deployment runs what was applied and is available.
pub(super) async fn operator(
    cluster: &Cluster,
    namespace: &str,
    progress: &Progress<'_>,
) -> Result<(), CliError> {
    loop {
        let found: Value = cluster
            .get(&kinds::DEPLOYMENT, Some(namespace), DEPLOYMENT)
            .await?;
        if is_available(&found) {
            return Ok(());
        }
        let reason = trouble(cluster, namespace).await.unwrap_or_default();
        progress.step(&match reason.as_str() {
            "" => "waiting until the operator is available".to_owned(),
            reason => format!("waiting until the operator is available: {reason}"),
        });
        tokio::time::sleep(EVERY).await;
    }
}

/// What `kubectl rollout status` calls done.
fn is_available(deployment: &Value) -> bool {
    let number = |pointer: &str| deployment.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let wanted = deployment
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(1);
    number("/status/observedGeneration") >= number("/metadata/generation")
        && number("/status/updatedReplicas") >= wanted
        && number("/status/replicas") <= number("/status/updatedReplicas")
        && number("/status/availableReplicas") >= wanted
}

/// Waits until the webhooks have their certificate authority and one of them lets a BackupStorage pass (in a dry run).
pub(super) async fn webhooks(
    cluster: &Cluster,
    namespace: &str,
    progress: &Progress<'_>,
) -> Result<(), CliError> {
    loop {
        let mut certified = true;
        for kind in [&kinds::MUTATING_WEBHOOKS, &kinds::VALIDATING_WEBHOOKS] {
            let found: Value = cluster.get(kind, None, "kubestash").await?;
            certified &= has_authority(&found);
        }
        let explain =
            |e| CliError::from(e).cause("while the webhooks were tried with a BackupStorage (dry run)");
        if certified && answers(cluster, namespace).await.map_err(explain)? {
            return Ok(());
        }
        progress.step("waiting until the webhooks answer");
        tokio::time::sleep(EVERY).await;
    }
}

fn has_authority(configuration: &Value) -> bool {
    let webhooks = configuration["webhooks"].as_array();
    webhooks.is_some_and(|list| {
        list.iter().all(|w| {
            w.pointer("/clientConfig/caBundle")
                .and_then(Value::as_str)
                .is_some_and(|b| !b.is_empty())
        })
    })
}

/// Whether a BackupStorage passes the webhooks; nothing is stored.
pub(in crate::cli) async fn answers(cluster: &Cluster, namespace: &str) -> Result<bool, Error> {
    let name = "kubestash-install-check";
    let probe = json!({
        "apiVersion": kinds::BACKUP_STORAGE.api_version(),
        "kind": "BackupStorage",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"storage": {"provider": "local", "local": {"emptyDir": {}, "mountPath": "/kubestash/install-check"}}},
    });
    match cluster
        .dry_run(&kinds::BACKUP_STORAGE, Some(namespace), &probe)
        .await
    {
        Ok(_) => Ok(true),
        Err(Error::WebhookDown { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Why the operator's pods do not run, in a few words.
async fn trouble(cluster: &Cluster, namespace: &str) -> Option<String> {
    let pods: Vec<Value> = cluster
        .list(&kinds::POD, &ListOptions::of(namespace).labelled(PODS))
        .await
        .ok()?;
    pods.iter().find_map(|pod| {
        let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array);
        let waiting = statuses.into_iter().flatten().find_map(|s| {
            let reason = text(s, "/state/waiting/reason");
            // These two are how every container begins.
            if reason.is_empty() || reason == "ContainerCreating" || reason == "PodInitializing" {
                return None;
            }
            let message = text(s, "/state/waiting/message");
            Some(format!(
                "container {} is in {reason}{}{message}",
                text(s, "/name"),
                if message.is_empty() { "" } else { ": " }
            ))
        });
        waiting.or_else(|| {
            let scheduled = pod.pointer("/status/conditions").and_then(Value::as_array)?;
            let unschedulable = scheduled
                .iter()
                .find(|c| c["type"] == "PodScheduled" && c["status"] == "False")?;
            Some(text(unschedulable, "/message"))
        })
    })
}

/// The error when the time is over: what was reached and what stands in the way.
pub(super) async fn late(context: &Context, namespace: &str, after: Duration) -> CliError {
    let error = CliError::new(
        Exit::TimedOut,
        format!(
            "KubeStash in namespace {namespace} is not ready within {}",
            human::go_duration(after)
        ),
    )
    .hint(format!(
        "`kubectl -n {namespace} logs deployment/{DEPLOYMENT} --all-containers` shows what the operator says"
    ))
    .hint("run the same command again to go on waiting, with a longer `--timeout`");
    let Ok(cluster) = context.cluster().await else {
        return error;
    };
    match tokio::time::timeout(Duration::from_secs(5), trouble(cluster, namespace)).await {
        Ok(Some(reason)) => error.cause(reason),
        _ => error,
    }
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or("")
        .to_owned()
}

/// The status of a condition.
fn condition(object: &Value, kind: &str) -> Option<String> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    conditions
        .iter()
        .find(|c| c["type"] == kind)
        .map(|c| text(c, "/status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_means_the_applied_generation_runs() {
        let mut deployment = json!({
            "metadata": {"generation": 2}, "spec": {"replicas": 1},
            "status": {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
        });
        assert!(is_available(&deployment));
        deployment["status"]["replicas"] = json!(2);
        assert!(!is_available(&deployment), "an old pod is still there");
        deployment["status"]["replicas"] = json!(1);
        deployment["status"]["observedGeneration"] = json!(1);
        assert!(!is_available(&deployment), "the change was not seen yet");
        assert!(!is_available(&json!({"metadata": {"generation": 1}})));
    }

    #[test]
    fn every_webhook_needs_its_authority() {
        assert!(has_authority(
            &json!({"webhooks": [{"clientConfig": {"caBundle": "x"}}]})
        ));
        assert!(!has_authority(
            &json!({"webhooks": [{"clientConfig": {"caBundle": "x"}}, {"clientConfig": {}}]})
        ));
        assert!(!has_authority(&json!({})));
    }
}
