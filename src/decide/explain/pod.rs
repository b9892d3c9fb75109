//! Jobs and their pods: why a pod does not start, and how one ended.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod};
use kube::ResourceExt;

use super::chain::{About, Chain, Health};
use super::facts::Facts;
use super::remedy::{self, Place};
use crate::api::config::job_result::JobResult;
use crate::api::labels;

/// Follows a Job to its pods.
pub fn job(chain: &mut Chain, facts: &Facts, job: &Job, place: &Place) {
    let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
    let hook = job
        .labels()
        .get(labels::COMPONENT)
        .is_some_and(|c| c == labels::component::HOOK);
    let about = About::new("Job", &namespace, &name);
    let status = job.status.clone().unwrap_or_default();
    let failed = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "Failed" && c.status == "True");
    let pods = facts.pods_of(job);
    if let Some(condition) = failed {
        let why = condition
            .message
            .clone()
            .or(condition.reason.clone())
            .unwrap_or_default();
        chain.broken(about, format!("failed: {why}"));
        match pods.first() {
            Some(newest) => pod(chain, facts, newest, place, hook),
            None => chain.because(
                Health::Bad,
                format!("Job {name} failed ({why}), and its pods are gone"),
                remedy::fixes("its pod is gone", place),
            ),
        }
        return;
    }
    if status.succeeded.unwrap_or(0) > 0 {
        chain.good(about, "succeeded");
        return;
    }
    if let Some(newest) = pods.first() {
        let tries = status.failed.unwrap_or(0);
        let says = if tries > 0 {
            format!("runs, after {tries} failed before")
        } else {
            "runs".to_owned()
        };
        chain.waiting(about, says);
        pod(chain, facts, newest, place, hook);
        return;
    }
    match facts.warning("Job", &namespace, &name) {
        Some((reason, message)) => {
            let fixes = not_created(&message, &namespace);
            chain.root(
                about,
                &format!("has no pod: {reason}"),
                format!("the Job's pod cannot be created: {message}"),
                fixes,
            );
        }
        None => {
            chain.waiting(about, "has no pod yet");
            chain.because(
                Health::Waiting,
                format!("Job {name} has no pod yet"),
                vec![format!(
                    "`kubectl describe job {name} -n {namespace}` shows its events"
                )],
            );
        }
    }
}

/// What to do about a pod that may not be created.
fn not_created(message: &str, namespace: &str) -> Vec<String> {
    let text = message.to_lowercase();
    let fix = if text.contains("violates podsecurity") {
        "set a securityContext that the namespace allows in addon.jobTemplate.spec, or relax it: `kubectl label ns NAMESPACE pod-security.kubernetes.io/enforce=baseline --overwrite`"
            .replace("NAMESPACE", namespace)
    } else if text.contains("quota") {
        format!("raise the quota or ask for less: `kubectl describe quota -n {namespace}`")
    } else if text.contains("serviceaccount") {
        format!(
            "create the ServiceAccount, or remove its name from addon.jobTemplate.spec: `kubectl get serviceaccounts -n {namespace}`"
        )
    } else if text.contains("webhook") {
        "an admission webhook refuses it: `kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations`".to_owned()
    } else {
        format!("`kubectl get events -n {namespace} --sort-by=.lastTimestamp` shows the whole story")
    };
    vec![fix]
}

/// Follows a pod to its containers. `hook`: it runs a hook.
fn pod(chain: &mut Chain, facts: &Facts, pod: &Pod, place: &Place, hook: bool) {
    let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
    let about = About::new("Pod", &namespace, &name);
    let status = pod.status.clone().unwrap_or_default();
    if status.reason.as_deref() == Some("Evicted") {
        let message = status.message.unwrap_or_default();
        chain.root(
            about,
            "evicted",
            format!("the pod was evicted from its node: {message}"),
            remedy::fixes("evicted", place),
        );
        return;
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(condition) = unscheduled {
        let message = condition.message.clone().unwrap_or_default();
        if let Some(waits) = unbound(facts, pod) {
            chain.broken(about, "cannot be scheduled");
            claim(chain, facts, waits);
            return;
        }
        chain.root(
            about,
            "cannot be scheduled",
            format!("no node takes the pod: {message}"),
            unscheduled_fix(&message, &namespace),
        );
        return;
    }
    let containers: Vec<&ContainerStatus> = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten())
        .collect();
    if let Some(trouble) = containers.iter().find_map(|c| stuck(c)) {
        let fixes = stuck_fix(&trouble.0, &trouble.1, &namespace, &name);
        chain.root(
            about,
            &trouble.0,
            format!("container cannot start: {}: {}", trouble.0, trouble.1),
            fixes,
        );
        return;
    }
    if let Some((container, cause)) = containers.iter().find_map(|c| ended_badly(c)) {
        chain.root(
            about,
            &format!("container {container} failed"),
            cause.clone(),
            ended_fix(&cause, place, (&namespace, &name), hook),
        );
        return;
    }
    match status.phase.as_deref().unwrap_or("Pending") {
        "Running" => chain.good(about, "runs"),
        "Succeeded" => chain.good(about, "succeeded"),
        "Pending" => pending(chain, facts, about),
        other => chain.broken(about, other),
    }
}

/// A pod that has a node and does not run yet: its events tell why.
fn pending(chain: &mut Chain, facts: &Facts, about: About) {
    let (namespace, name) = (about.namespace.clone(), about.name.clone());
    match facts.warning("Pod", &namespace, &name) {
        Some((reason, message)) => {
            let fix = match reason.as_str() {
                "FailedAttachVolume" if message.contains("Multi-Attach") => format!(
                    "the volume is attached to another node; let the Job run there (it is pinned to the node of the workload's pod) or wait until that pod is gone: `kubectl get pods -n {namespace} -o wide`"
                ),
                "FailedMount" if message.contains("not found") => {
                    format!("what it mounts does not exist: `kubectl describe pod {name} -n {namespace}`")
                }
                _ => format!("`kubectl describe pod {name} -n {namespace}` shows its events"),
            };
            chain.root(
                about,
                &reason,
                format!("the pod cannot start: {reason}: {message}"),
                vec![fix],
            );
        }
        None => {
            chain.waiting(about, "is starting");
            chain.because(
                Health::Waiting,
                format!("pod {name} is starting"),
                vec![format!(
                    "`kubectl describe pod {name} -n {namespace}` shows what it does"
                )],
            );
        }
    }
}

/// A claim of the pod that has no volume, and of which somebody complains.
fn unbound<'f>(facts: &'f Facts, pod: &Pod) -> Option<&'f PersistentVolumeClaim> {
    let volumes = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten());
    let mut names = volumes.filter_map(|v| Some(v.persistent_volume_claim.as_ref()?.claim_name.as_str()));
    names.find_map(|name| {
        let claim = facts
            .claims
            .iter()
            .find(|c| c.name_any() == name && c.namespace() == pod.namespace())?;
        let phase = claim.status.as_ref()?.phase.as_deref()?;
        let namespace = claim.namespace().unwrap_or_default();
        let complaint = facts.warning("PersistentVolumeClaim", &namespace, name);
        (phase == "Lost" || phase == "Pending" && complaint.is_some()).then_some(claim)
    })
}

/// Follows a claim without a volume.
fn claim(chain: &mut Chain, facts: &Facts, claim: &PersistentVolumeClaim) {
    let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
    let phase = claim
        .status
        .as_ref()
        .and_then(|s| s.phase.clone())
        .unwrap_or_default();
    let (_, message) = facts
        .warning("PersistentVolumeClaim", &namespace, &name)
        .unwrap_or_default();
    let class = message.contains("storageclass") && message.contains("not found");
    let fix = if class {
        format!(
            "make a claim of a class that exists, `kubectl get storageclasses` lists them; the class of a claim cannot be changed: `kubectl delete pvc {name} -n {namespace}`"
        )
    } else {
        format!("`kubectl describe pvc {name} -n {namespace}` shows what it waits for")
    };
    chain.root(
        About::new("PersistentVolumeClaim", &namespace, &name),
        &phase,
        format!(
            "PersistentVolumeClaim {namespace}/{name} has no volume: {}",
            if message.is_empty() {
                "its volume is lost"
            } else {
                &message
            }
        ),
        vec![fix],
    );
}

fn unscheduled_fix(message: &str, namespace: &str) -> Vec<String> {
    let text = message.to_lowercase();
    let fix = if text.contains("persistentvolumeclaim") && text.contains("not found") {
        format!("create the claim, or correct what is backed up: `kubectl get pvc -n {namespace}`")
    } else if text.contains("unbound immediate")
        || text.contains("volume node affinity")
        || text.contains("unbound")
    {
        format!("the claim has no volume that fits: `kubectl describe pvc -n {namespace}`")
    } else if text.contains("insufficient") {
        "free or add nodes, or ask for less in addon.jobTemplate.spec.resources: `kubectl describe nodes`"
            .to_owned()
    } else if text.contains("taint") {
        "give the Job a toleration in addon.jobTemplate.spec.tolerations: `kubectl get nodes -o custom-columns=NAME:.metadata.name,TAINTS:.spec.taints`".to_owned()
    } else if text.contains("selector") || text.contains("affinity") {
        "correct nodeSelector or affinity in addon.jobTemplate.spec: `kubectl get nodes --show-labels`"
            .to_owned()
    } else {
        "`kubectl describe nodes` shows what the nodes have left".to_owned()
    };
    vec![fix]
}

/// A container that waits for what does not come: the reason and the words.
fn stuck(status: &ContainerStatus) -> Option<(String, String)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.clone()?;
    let normal = ["ContainerCreating", "PodInitializing"];
    if normal.contains(&reason.as_str()) {
        return None;
    }
    Some((reason, waiting.message.clone().unwrap_or_default()))
}

fn stuck_fix(reason: &str, message: &str, namespace: &str, pod: &str) -> Vec<String> {
    let fix = match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => format!(
            "correct the image of the Function, or give the node access to it (imagePullSecrets): `kubectl get pod {pod} -n {namespace} -o jsonpath='{{.spec.containers[*].image}}'`"
        ),
        "CreateContainerConfigError" if message.contains("secret") => {
            format!("the Secret it needs does not exist or lacks a key: `kubectl get secrets -n {namespace}`")
        }
        "CrashLoopBackOff" => {
            format!("`kubectl logs {pod} -n {namespace} --previous --all-containers` shows why it ends")
        }
        _ => format!("`kubectl describe pod {pod} -n {namespace}` shows its events"),
    };
    vec![fix]
}

/// A container that ended with an error: its name and what it left.
fn ended_badly(status: &ContainerStatus) -> Option<(String, String)> {
    let end = [status.state.as_ref(), status.last_state.as_ref()]
        .into_iter()
        .flatten()
        .find_map(|state| state.terminated.as_ref())?;
    if end.exit_code == 0 {
        return None;
    }
    let message = end.message.clone().unwrap_or_default();
    let result = JobResult::from_termination_message(&message);
    let reason = end.reason.clone().unwrap_or_default();
    let mut text = super::job_failure(&status.name, Some(end.exit_code), &reason, result.as_ref());
    if result.is_none() && !message.is_empty() {
        text.push_str(&format!(": {message}"));
    }
    Some((status.name.clone(), text))
}

fn ended_fix(cause: &str, place: &Place, pod: (&str, &str), hook: bool) -> Vec<String> {
    let (namespace, pod) = pod;
    let mut fixes = if hook {
        remedy::hook(place)
    } else {
        remedy::fixes(cause, place)
    };
    fixes.push(format!(
        "`kubectl logs {pod} -n {namespace} --all-containers` shows all it said"
    ));
    fixes
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn explain(status: &Value, events: &Value) -> super::super::chain::Answer {
        let facts = Facts {
            events: serde_json::from_value(events.clone()).unwrap(),
            ..Facts::default()
        };
        let object: Pod =
            serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "demo"}, "status": status}))
                .unwrap();
        let mut chain = Chain::default();
        pod(&mut chain, &facts, &object, &Place::default(), false);
        chain.answer()
    }

    #[test]
    fn a_pod_that_no_node_takes_says_what_it_lacks() {
        for (message, fix) in [
            (
                "0/1 nodes are available: persistentvolumeclaim \"data\" not found.",
                "create the claim",
            ),
            (
                "0/3 nodes are available: 3 Insufficient memory.",
                "addon.jobTemplate.spec.resources",
            ),
            (
                "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
                "kubectl describe pvc",
            ),
            (
                "0/3 nodes are available: 3 node(s) had untolerated taint {a: b}.",
                "tolerations",
            ),
            (
                "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.",
                "nodeSelector",
            ),
            ("nobody knows", "kubectl describe nodes"),
        ] {
            let answer = explain(
                &json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "message": message}]}),
                &json!([]),
            );
            assert!(answer.cause.unwrap().contains(message));
            assert!(answer.fixes[0].contains(fix), "{message}: {:?}", answer.fixes);
        }
    }

    #[test]
    fn a_claim_without_a_volume_is_where_the_chain_breaks() {
        let facts = Facts {
            claims: serde_json::from_value(
                json!([{"metadata": {"name": "data", "namespace": "demo"}, "status": {"phase": "Pending"}}]),
            )
            .unwrap(),
            events: serde_json::from_value(
                json!([{"metadata": {"name": "e"}, "type": "Warning", "reason": "ProvisioningFailed",
                "message": "storageclass.storage.k8s.io \"nosuch\" not found",
                "involvedObject": {"kind": "PersistentVolumeClaim", "name": "data", "namespace": "demo"}}]),
            )
            .unwrap(),
            ..Facts::default()
        };
        let object: Pod = serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "demo"},
            "spec": {"containers": [], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]},
            "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
                "message": "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."}]}}))
        .unwrap();
        let mut chain = Chain::default();
        pod(&mut chain, &facts, &object, &Place::default(), false);
        let answer = chain.answer();
        assert!(answer.cause.unwrap().contains("\"nosuch\" not found"));
        assert!(
            answer.fixes[0].contains("kubectl get storageclasses"),
            "{:?}",
            answer.fixes
        );
    }

    #[test]
    fn a_container_that_waits_in_vain_is_the_cause() {
        for (reason, fix) in [
            ("ImagePullBackOff", "imagePullSecrets"),
            ("CreateContainerConfigError", "kubectl describe pod"),
            ("CrashLoopBackOff", "--previous"),
        ] {
            let answer = explain(
                &json!({"phase": "Pending", "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"waiting": {"reason": reason, "message": "words"}}}]}),
                &json!([]),
            );
            assert_eq!(answer.health, Health::Bad);
            assert!(answer.fixes[0].contains(fix), "{reason}: {:?}", answer.fixes);
        }
    }

    #[test]
    fn events_tell_why_a_scheduled_pod_does_not_start() {
        let status = json!({"phase": "Pending", "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}}}]});
        let answer = explain(&status, &json!([]));
        assert_eq!(
            (answer.health, answer.cause.as_deref()),
            (Health::Waiting, Some("pod p is starting"))
        );
        let event = |reason: &str, message: &str, at: &str| {
            json!({"metadata": {"name": reason}, "type": "Warning", "reason": reason, "message": message,
            "lastTimestamp": at, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "demo"}})
        };
        let answer = explain(
            &status,
            &json!([
                event("FailedMount", "secret \"x\" not found", "2026-01-01T00:00:00Z"),
                event(
                    "FailedAttachVolume",
                    "Multi-Attach error for volume",
                    "2026-01-01T00:01:00Z"
                ),
            ]),
        );
        assert_eq!(
            answer.links[0].says, "FailedAttachVolume",
            "the newest event counts"
        );
        assert!(answer.fixes[0].contains("attached to another node"));
    }

    #[test]
    fn a_container_that_failed_says_code_reason_and_words() {
        let ended = |reason: &str, message: &str| {
            json!({"phase": "Failed", "containerStatuses": [{"name": "c", "image": "", "imageID": "",
            "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 137, "reason": reason, "message": message}}}]})
        };
        let answer = explain(&ended("OOMKilled", ""), &json!([]));
        assert!(answer.cause.unwrap().contains("Reason: OOMKilled"));
        assert!(answer.fixes[0].contains("more memory"));
        let answer = explain(&ended("Error", "plain words of a foreign image"), &json!([]));
        assert!(answer.cause.unwrap().contains("plain words of a foreign image"));
        assert!(answer.fixes[0].contains("kubectl logs p -n demo"));
        let evicted = explain(
            &json!({"phase": "Failed", "reason": "Evicted", "message": "low on disk"}),
            &json!([]),
        );
        assert!(evicted.cause.unwrap().contains("low on disk"));
        assert_eq!(
            explain(&json!({"phase": "Running"}), &json!([])).health,
            Health::Good
        );
    }

    #[test]
    fn a_job_without_pods_is_explained_by_its_events() {
        for (message, fix) in [
            (
                "pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\"",
                "pod-security",
            ),
            (
                "pods \"x\" is forbidden: exceeded quota: q",
                "kubectl describe quota",
            ),
            (
                "error looking up service account demo/x: serviceaccount \"x\" not found",
                "ServiceAccount",
            ),
        ] {
            let facts = Facts {
                events: serde_json::from_value(json!([{"metadata": {"name": "e"}, "type": "Warning", "reason": "FailedCreate", "message": message,
                    "involvedObject": {"kind": "Job", "name": "j", "namespace": "demo"}}])).unwrap(),
                ..Facts::default()
            };
            let object: Job =
                serde_json::from_value(json!({"metadata": {"name": "j", "namespace": "demo"}})).unwrap();
            let mut chain = Chain::default();
            job(&mut chain, &facts, &object, &Place::default());
            let answer = chain.answer();
            assert!(answer.cause.unwrap().contains(message));
            assert!(answer.fixes[0].contains(fix), "{:?}", answer.fixes);
        }
        let object: Job =
            serde_json::from_value(json!({"metadata": {"name": "j", "namespace": "demo"}})).unwrap();
        let mut chain = Chain::default();
        job(&mut chain, &Facts::default(), &object, &Place::default());
        assert_eq!(chain.answer().health, Health::Waiting);
    }
}
