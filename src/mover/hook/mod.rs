//! Carries out the action of a hook: a command in pods, an HTTP request, a TCP connection.
//!
//! Called with the plan that [`crate::decide::hooks`] made. The result is in the termination message, like any Job's; what
//! the command or the server said is its log's tail, so that it stands in the session's status when the hook fails.

mod http;
mod pods;
mod template;

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, TCPSocketAction};
use kube::{Client, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::job::Failure;
use crate::api::config::job_plan::{HookPlan, HookPods};
use crate::api::config::job_result::{JobCause, JobOutcome, JobResult};
use crate::api::shared::Handler;

/// How much of what a command or a server says is kept.
const OUTPUT: usize = 10 << 10;

/// Carries the action out within its limit.
pub(super) async fn run(plan: &HookPlan, cancel: &CancellationToken) -> JobResult {
    let limit = Duration::from_secs(plan.timeout_seconds);
    let done = tokio::select! {
        done = tokio::time::timeout(limit, Box::pin(act(plan))) => done.unwrap_or_else(|_| {
            Err(Failure::new(
                JobCause::Timeout,
                format!("the hook was not done within {limit:?}; raise its timeout, or look for what holds it up"),
            ))
        }),
        () = cancel.cancelled() => Err(Failure::new(JobCause::Killed, "the hook was told to stop".to_owned())),
    };
    let base = JobResult {
        job: "hook".to_owned(),
        component: plan.hook.clone(),
        outcome: JobOutcome::Succeeded,
        ..JobResult::default()
    };
    match done {
        Ok(()) => base,
        Err(failure) => JobResult {
            outcome: JobOutcome::Failed,
            cause: Some(failure.cause),
            message: failure.message,
            log_tail: failure.tail,
            ..base
        },
    }
}

async fn act(plan: &HookPlan) -> Result<(), Failure> {
    let action = template::render(&plan.action, &plan.summary)?;
    let Some(pods) = &plan.pods else {
        return one(&action, None).await;
    };
    let client = connect().await?;
    for pod in pods::select(&client, pods).await? {
        tracing::info!(pod = pod.name_any(), "carrying the hook out");
        one(&action, Some((&client, pods, &pod))).await?;
    }
    Ok(())
}

async fn connect() -> Result<Client, Failure> {
    Client::try_default().await.map_err(|error| {
        let message =
            format!("the Job cannot reach its API server: {error}; check the pod's ServiceAccount token");
        Failure::new(JobCause::Other, message)
    })
}

/// The action once: for a pod, or for the host it names.
async fn one(action: &Handler, place: Option<(&Client, &HookPods, &Pod)>) -> Result<(), Failure> {
    let pod = place.map(|(_, _, pod)| pod);
    let container = action.container_name.as_deref();
    if let Some(exec) = &action.exec {
        let Some((client, pods, pod)) = place else {
            return Err(misconfigured(
                "a command needs a pod to run in: use the executor type Pod",
            ));
        };
        let command = exec.command.clone().unwrap_or_default();
        return Box::pin(pods::exec(client, &pods.namespace, pod, container, &command)).await;
    }
    if let Some(get) = &action.http_get {
        return http::get(get, pod, container).await;
    }
    if let Some(post) = &action.http_post {
        return http::post(post, pod, container).await;
    }
    if let Some(socket) = &action.tcp_socket {
        return connects(socket, pod, container).await;
    }
    Err(misconfigured(
        "the HookTemplate has no action: give one of exec, httpGet, httpPost, tcpSocket",
    ))
}

async fn connects(
    socket: &TCPSocketAction,
    pod: Option<&Pod>,
    container: Option<&str>,
) -> Result<(), Failure> {
    let host = pods::host(socket.host.as_deref(), pod)?;
    let port = pods::port(&socket.port, pod, container)?;
    match tokio::net::TcpStream::connect((host.as_str(), port)).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(
            JobCause::Unreachable,
            format!("no connection to {host}:{port}: {error}"),
        )),
    }
}

fn misconfigured(message: &str) -> Failure {
    Failure::new(JobCause::Misconfigured, message.to_owned())
}

/// The end of a text, at most [`OUTPUT`] bytes of it.
fn ending(text: &str) -> String {
    let from = text.len().saturating_sub(OUTPUT);
    let from = (from..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(text.len());
    text[from..].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(action: serde_json::Value) -> HookPlan {
        HookPlan {
            hook: "h".into(),
            action: serde_json::from_value(action).unwrap(),
            timeout_seconds: 2,
            ..HookPlan::default()
        }
    }

    #[tokio::test]
    async fn a_tcp_hook_succeeds_where_somebody_listens_and_says_where_nobody_does() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = |port: u16| plan(json!({"tcpSocket": {"host": "127.0.0.1", "port": port}}));
        let cancel = CancellationToken::new();
        assert_eq!(run(&socket(port), &cancel).await.outcome, JobOutcome::Succeeded);
        drop(listener);
        let refused = run(&socket(port), &cancel).await;
        assert_eq!(refused.cause, Some(JobCause::Unreachable));
        assert!(
            refused.message.contains(&format!("127.0.0.1:{port}")),
            "{}",
            refused.message
        );
    }

    #[tokio::test]
    async fn what_takes_too_long_is_a_timeout() {
        // A server that takes the connection and never answers.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut silent = plan(json!({"httpGet": {"host": "127.0.0.1", "port": port}}));
        silent.timeout_seconds = 1;
        let result = run(&silent, &CancellationToken::new()).await;
        assert_eq!(result.cause, Some(JobCause::Timeout), "{result:?}");
        assert!(result.message.contains("timeout"), "{}", result.message);
    }

    #[test]
    fn only_the_end_of_a_long_output_is_kept() {
        let long = format!("{}the end", "ä".repeat(OUTPUT));
        let kept = ending(&long);
        assert!(kept.len() <= OUTPUT && kept.ends_with("the end"));
        assert_eq!(ending("short"), "short");
    }
}
