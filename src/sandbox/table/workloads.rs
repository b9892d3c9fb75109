//! Lines of workloads: Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs.

use serde_json::{Value, json};

use super::cells::{age, born, containers, duration, number, or_none, selector};
use crate::sandbox::object;

/// Cells of a Deployment.
pub(super) fn deployment(object: &Value) -> Vec<Value> {
    let ready = number(object, &["status", "readyReplicas"]);
    let (names, images) = containers(&object["spec"]["template"]["spec"]);
    vec![
        json!(object::name(object)),
        json!(format!("{ready}/{}", number(object, &["spec", "replicas"]))),
        json!(number(object, &["status", "updatedReplicas"])),
        json!(number(object, &["status", "availableReplicas"])),
        born(object),
        json!(names),
        json!(images),
        selector(&object["spec"]["selector"]),
    ]
}

/// Cells of a StatefulSet.
pub(super) fn stateful_set(object: &Value) -> Vec<Value> {
    let ready = number(object, &["status", "readyReplicas"]);
    let (names, images) = containers(&object["spec"]["template"]["spec"]);
    vec![
        json!(object::name(object)),
        json!(format!("{ready}/{}", number(object, &["spec", "replicas"]))),
        born(object),
        json!(names),
        json!(images),
    ]
}

/// Cells of a DaemonSet.
pub(super) fn daemon_set(object: &Value) -> Vec<Value> {
    let status = |field: &str| json!(number(object, &["status", field]));
    let (names, images) = containers(&object["spec"]["template"]["spec"]);
    vec![
        json!(object::name(object)),
        status("desiredNumberScheduled"),
        status("currentNumberScheduled"),
        status("numberReady"),
        status("updatedNumberScheduled"),
        status("numberAvailable"),
        selector(&object["spec"]["template"]["spec"]["nodeSelector"]),
        born(object),
        json!(names),
        json!(images),
        selector(&object["spec"]["selector"]),
    ]
}

/// Cells of a ReplicaSet or ReplicationController.
pub(super) fn replica_set(object: &Value) -> Vec<Value> {
    let (names, images) = containers(&object["spec"]["template"]["spec"]);
    vec![
        json!(object::name(object)),
        json!(number(object, &["spec", "replicas"])),
        json!(number(object, &["status", "replicas"])),
        json!(number(object, &["status", "readyReplicas"])),
        born(object),
        json!(names),
        json!(images),
        selector(&object["spec"]["selector"]),
    ]
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object::list(object, &["status", "conditions"])
        .iter()
        .find(|c| c["type"] == kind && c["status"] == "True")
}

/// Cells of a Job.
pub(super) fn job(object: &Value) -> Vec<Value> {
    let succeeded = number(object, &["status", "succeeded"]);
    let parallelism = number(object, &["spec", "parallelism"]);
    let completions = match object["spec"]["completions"].as_i64() {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    };
    let state = if condition(object, "Complete").is_some() {
        "Complete"
    } else if condition(object, "Failed").is_some() {
        "Failed"
    } else if object::is_deleting(object) {
        "Terminating"
    } else if condition(object, "Suspended").is_some() {
        "Suspended"
    } else if condition(object, "FailureTarget").is_some() {
        "FailureTarget"
    } else if condition(object, "SuccessCriteriaMet").is_some() {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let start = object::text(object, &["status", "startTime"]);
    let end = object::text(object, &["status", "completionTime"]);
    let took = match (start.parse::<jiff::Timestamp>(), end.parse::<jiff::Timestamp>()) {
        (Ok(start), Ok(end)) => duration(end.as_second() - start.as_second()),
        (Ok(_), Err(_)) => age(start),
        _ => String::new(),
    };
    let (names, images) = containers(&object["spec"]["template"]["spec"]);
    vec![
        json!(object::name(object)),
        json!(state),
        json!(completions),
        json!(took),
        born(object),
        json!(names),
        json!(images),
        selector(&object["spec"]["selector"]),
    ]
}

/// Cells of a CronJob.
pub(super) fn cron_job(object: &Value) -> Vec<Value> {
    let last = object::text(object, &["status", "lastScheduleTime"]);
    let (names, images) = containers(&object["spec"]["jobTemplate"]["spec"]["template"]["spec"]);
    let suspended = object["spec"]["suspend"] == json!(true);
    vec![
        json!(object::name(object)),
        json!(object::text(object, &["spec", "schedule"])),
        or_none(object::text(object, &["spec", "timeZone"])),
        json!(if suspended { "True" } else { "False" }),
        json!(object::list(object, &["status", "active"]).len()),
        if last.is_empty() {
            json!("<none>")
        } else {
            json!(age(last))
        },
        born(object),
        json!(names),
        json!(images),
        json!("<none>"),
    ]
}
