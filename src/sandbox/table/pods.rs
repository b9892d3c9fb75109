//! The line of a pod: READY, STATUS and RESTARTS tell the story of its containers.

use serde_json::{Value, json};

use super::cells::{age, born, or_none};
use crate::sandbox::object;

/// Cells of a pod.
pub(super) fn cells(pod: &Value) -> Vec<Value> {
    let containers = object::list(pod, &["status", "containerStatuses"]);
    let ready = containers.iter().filter(|c| c["ready"] == json!(true)).count();
    let total = object::list(pod, &["spec", "containers"]).len();
    vec![
        json!(object::name(pod)),
        json!(format!("{ready}/{total}")),
        json!(status(pod)),
        json!(restarts(pod)),
        born(pod),
        or_none(object::text(pod, &["status", "podIP"])),
        or_none(object::text(pod, &["spec", "nodeName"])),
        or_none(object::text(pod, &["status", "nominatedNodeName"])),
        json!("<none>"),
    ]
}

fn restarts(pod: &Value) -> String {
    let statuses = object::list(pod, &["status", "containerStatuses"]);
    let count: i64 = statuses.iter().filter_map(|c| c["restartCount"].as_i64()).sum();
    let last = statuses
        .iter()
        .map(|c| object::text(c, &["lastState", "terminated", "finishedAt"]))
        .filter(|t| !t.is_empty())
        .max();
    match last {
        Some(time) if count > 0 => format!("{count} ({} ago)", age(time)),
        _ => count.to_string(),
    }
}

/// The word in the STATUS column.
fn status(pod: &Value) -> String {
    let own = object::text(pod, &["status", "reason"]);
    let mut word = if own.is_empty() {
        object::text(pod, &["status", "phase"])
    } else {
        own
    }
    .to_owned();
    let scheduling = object::list(pod, &["status", "conditions"])
        .iter()
        .any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated");
    if scheduling {
        word = "SchedulingGated".to_owned();
    }
    match initializing(pod) {
        Some(text) => word = text,
        None => word = running(pod, word),
    }
    if object::is_deleting(pod) {
        let lost = own == "NodeLost";
        let over = matches!(object::text(pod, &["status", "phase"]), "Succeeded" | "Failed");
        word = if lost {
            "Unknown".to_owned()
        } else if over {
            word
        } else {
            "Terminating".to_owned()
        };
    }
    word
}

/// What an init container that is not done says.
fn initializing(pod: &Value) -> Option<String> {
    let statuses = object::list(pod, &["status", "initContainerStatuses"]);
    let total = object::list(pod, &["spec", "initContainers"]).len();
    for (index, container) in statuses.iter().enumerate() {
        let state = &container["state"];
        let terminated = &state["terminated"];
        if terminated["exitCode"] == json!(0) {
            continue;
        }
        let restartable = object::list(pod, &["spec", "initContainers"])
            .iter()
            .any(|c| c["name"] == container["name"] && c["restartPolicy"] == "Always");
        if restartable && container["started"] == json!(true) {
            continue;
        }
        if terminated.is_object() {
            return Some(format!("Init:{}", end(terminated)));
        }
        let waiting = object::text(state, &["waiting", "reason"]);
        if !waiting.is_empty() && waiting != "PodInitializing" {
            return Some(format!("Init:{waiting}"));
        }
        return Some(format!("Init:{index}/{total}"));
    }
    None
}

fn end(terminated: &Value) -> String {
    let reason = object::text(terminated, &["reason"]);
    if !reason.is_empty() {
        return reason.to_owned();
    }
    match terminated["signal"].as_i64() {
        Some(signal) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
    }
}

/// What the containers say; the first of them has the last word.
fn running(pod: &Value, mut word: String) -> String {
    let mut alive = false;
    for container in object::list(pod, &["status", "containerStatuses"]).iter().rev() {
        let state = &container["state"];
        let waiting = object::text(state, &["waiting", "reason"]);
        if !waiting.is_empty() {
            word = waiting.to_owned();
        } else if state["terminated"].is_object() {
            word = end(&state["terminated"]);
        } else if container["ready"] == json!(true) && state["running"].is_object() {
            alive = true;
        }
    }
    if word == "Completed" && alive {
        let ready = object::list(pod, &["status", "conditions"])
            .iter()
            .any(|c| c["type"] == "Ready" && c["status"] == "True");
        word = if ready { "Running" } else { "NotReady" }.to_owned();
    }
    word
}
