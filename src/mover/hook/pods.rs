//! The pods of a hook: which they are, where they listen, and commands in them.

use futures::future::join;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{AttachParams, ListParams};
use kube::{Api, Client, ResourceExt};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::super::job::Failure;
use super::{OUTPUT, ending, misconfigured};
use crate::api::config::job_plan::HookPods;
use crate::api::config::job_result::JobCause;

/// The pods that carry the hook out: one that is ready, or all that are to.
///
/// # Errors
/// When there is none, or one of all does not run.
pub(super) async fn select(client: &Client, wanted: &HookPods) -> Result<Vec<Pod>, Failure> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &wanted.namespace);
    let mut params = ListParams::default().labels(&wanted.selector).limit(500);
    let mut pods = Vec::new();
    loop {
        let page = api.list(&params).await.map_err(|error| {
            Failure::new(
                JobCause::Other,
                format!("the pods with {} cannot be listed: {error}", wanted.selector),
            )
        })?;
        pods.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return choose(pods, wanted),
        }
    }
}

fn choose(mut pods: Vec<Pod>, wanted: &HookPods) -> Result<Vec<Pod>, Failure> {
    pods.retain(|pod| owned(pod, wanted) && !over(pod));
    pods.sort_by_key(ResourceExt::name_any);
    let none = |what: &str| {
        Failure::new(
            JobCause::Other,
            format!(
                "{what} matches the selector {} in namespace {}; correct the HookTemplate's selector, or start the application",
                wanted.selector, wanted.namespace
            ),
        )
    };
    if !wanted.all {
        return pods
            .into_iter()
            .find(ready)
            .map(|pod| vec![pod])
            .ok_or_else(|| none("no ready pod"));
    }
    if pods.is_empty() {
        return Err(none("no pod"));
    }
    match pods.iter().find(|pod| !running(pod)) {
        Some(pod) => Err(Failure::new(
            JobCause::Other,
            format!(
                "pod {} does not run, and the hook is for all of them (ExecuteOnAll)",
                pod.name_any()
            ),
        )),
        None => Ok(pods),
    }
}

fn owned(pod: &Pod, wanted: &HookPods) -> bool {
    wanted.owner.as_ref().is_none_or(|owner| {
        pod.owner_references().iter().any(|known| {
            known.kind == owner.kind
                && known.name == owner.name
                && (owner.uid.is_empty() || known.uid == owner.uid)
        })
    })
}

fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

fn over(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some() || matches!(phase(pod), "Succeeded" | "Failed")
}

fn running(pod: &Pod) -> bool {
    phase(pod) == "Running"
}

fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    running(pod)
        && conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The host that is given, else the pod's address.
///
/// # Errors
/// When there is neither.
pub(super) fn host(given: Option<&str>, pod: Option<&Pod>) -> Result<String, Failure> {
    if let Some(host) = given.filter(|host| !host.is_empty()) {
        return Ok(host.to_owned());
    }
    let Some(pod) = pod else {
        return Err(misconfigured(
            "the action names no host, and there is no pod whose address it could take",
        ));
    };
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    address.filter(|address| !address.is_empty()).ok_or_else(|| {
        Failure::new(
            JobCause::Unreachable,
            format!("pod {} has no address yet", pod.name_any()),
        )
    })
}

/// The port by its number, or by the name that a container of the pod gives it.
///
/// # Errors
/// When no container does, or it is no port.
pub(super) fn port(given: &IntOrString, pod: Option<&Pod>, container: Option<&str>) -> Result<u16, Failure> {
    let number = match given {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => name.parse().ok().or_else(|| named(name, pod, container)),
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|number| *number > 0)
        .ok_or_else(|| {
            let text = match given {
                IntOrString::Int(number) => number.to_string(),
                IntOrString::String(name) => name.clone(),
            };
            misconfigured(&format!(
                "the port {text} is neither a number from 1 to 65535 nor the name of a container's port"
            ))
        })
}

fn named(name: &str, pod: Option<&Pod>, container: Option<&str>) -> Option<i32> {
    let spec = pod?.spec.as_ref()?;
    spec.containers
        .iter()
        .filter(|known| container.is_none_or(|wanted| wanted.is_empty() || wanted == known.name))
        .flat_map(|known| known.ports.iter().flatten())
        .find(|port| port.name.as_deref() == Some(name))
        .map(|port| port.container_port)
}

/// Runs a command in a pod to its end.
///
/// # Errors
/// When it cannot be started or does not end with 0; the failure carries the end of what it printed.
pub(super) async fn exec(
    client: &Client,
    namespace: &str,
    pod: &Pod,
    container: Option<&str>,
    command: &[String],
) -> Result<(), Failure> {
    if command.is_empty() {
        return Err(misconfigured("the HookTemplate's command is empty"));
    }
    let name = pod.name_any();
    let first = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.containers.first())
        .map(|it| it.name.clone());
    let container = container
        .filter(|it| !it.is_empty())
        .map(str::to_owned)
        .or(first)
        .unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = AttachParams::default()
        .container(container.clone())
        .stdout(true)
        .stderr(true)
        .stdin(false);
    let failed = |cause, why: String, tail: String| Failure {
        tail,
        ..Failure::new(
            cause,
            format!("the command in container {container} of pod {name} {why}"),
        )
    };
    let mut process = api.exec(&name, command, &params).await.map_err(|error| {
        failed(
            JobCause::Other,
            format!("could not be started: {error}"),
            String::new(),
        )
    })?;
    let status = process.take_status();
    let (out, err) = join(drained(process.stdout()), drained(process.stderr())).await;
    let output = format!("{out}{err}");
    for line in output.lines() {
        tracing::info!(pod = name, "{line}");
    }
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    let Some(status) = status else {
        return Err(failed(
            JobCause::Other,
            "ended without a word about how".to_owned(),
            ending(&output),
        ));
    };
    if status.status.as_deref() == Some("Success") {
        return Ok(());
    }
    let code = status
        .details
        .iter()
        .flat_map(|details| details.causes.iter().flatten())
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .and_then(|cause| cause.message.clone());
    let why = match code {
        Some(code) => format!("ended with {code}"),
        None => format!("failed: {}", status.message.unwrap_or_default()),
    };
    Err(failed(JobCause::Other, why, ending(&output)))
}

/// Everything a stream says, of which the last part is kept.
async fn drained(stream: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut stream) = stream else {
        return String::new();
    };
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        if kept.len() > 4 * OUTPUT {
            kept.drain(..kept.len() - OUTPUT);
        }
    }
    ending(&String::from_utf8_lossy(&kept))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, ready: bool, owner: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": owner, "uid": "u"}]},
            "spec": {"containers": [{"name": "side"}, {"name": "app", "ports": [{"name": "web", "containerPort": 8080}]}]},
            "status": {"phase": "Running", "podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}}))
        .unwrap()
    }

    fn names(pods: Vec<Pod>, wanted: &HookPods) -> Result<Vec<String>, Failure> {
        choose(pods, wanted).map(|pods| pods.iter().map(ResourceExt::name_any).collect())
    }

    #[test]
    fn one_ready_pod_or_all_of_them() {
        let one = HookPods {
            selector: "app=db".into(),
            ..HookPods::default()
        };
        let pods = || {
            vec![
                pod("db-1", true, "db"),
                pod("db-0", false, "db"),
                pod("db-2", true, "other"),
            ]
        };
        assert_eq!(names(pods(), &one).unwrap(), ["db-1"]);
        let all = HookPods {
            all: true,
            ..one.clone()
        };
        assert_eq!(names(pods(), &all).unwrap(), ["db-0", "db-1", "db-2"]);
        let owner = serde_json::from_value(
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "other", "uid": "u"}),
        )
        .unwrap();
        let owned = HookPods {
            owner: Some(owner),
            ..all.clone()
        };
        assert_eq!(names(pods(), &owned).unwrap(), ["db-2"]);
        assert!(
            names(vec![pod("db-0", false, "db")], &one)
                .unwrap_err()
                .message
                .contains("no ready pod matches the selector app=db")
        );
        let mut starting = pod("db-0", false, "db");
        starting.status.as_mut().unwrap().phase = Some("Pending".into());
        assert!(names(vec![starting], &all).unwrap_err().message.contains("db-0"));
    }

    #[test]
    fn addresses_come_from_the_pod() {
        let pod = pod("db-0", true, "db");
        assert_eq!(host(None, Some(&pod)).unwrap(), "10.0.0.7");
        assert_eq!(host(Some("h"), Some(&pod)).unwrap(), "h");
        assert!(host(Some(""), None).is_err());
        let web = IntOrString::String("web".into());
        assert_eq!(port(&web, Some(&pod), None).unwrap(), 8080);
        assert_eq!(port(&web, Some(&pod), Some("app")).unwrap(), 8080);
        assert!(port(&web, Some(&pod), Some("side")).is_err());
        assert_eq!(port(&IntOrString::String("81".into()), None, None).unwrap(), 81);
        assert!(port(&IntOrString::Int(0), None, None).is_err());
    }
}
