//! The status of a Deployment: counts, and the conditions `kubectl rollout status` and `kubectl wait` read. The
//! rules are Kubernetes' own (pkg/controller/deployment/progress.go).

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::rolling::{actual, available, size, tolerances, wanted};
use crate::sandbox::controllers::engine::until;

const PROGRESSING: &str = "Progressing";

/// What happened to the newest ReplicaSet in this pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newest {
    /// It was made.
    Created,
    /// It was there.
    Found,
}

/// The condition of this type.
pub(super) fn condition<'a>(status: &'a DeploymentStatus, type_: &str) -> Option<&'a DeploymentCondition> {
    let conditions = status.conditions.as_ref()?;
    conditions
        .iter()
        .find(|condition| condition.type_.as_deref() == Some(type_))
}

fn set(status: &mut DeploymentStatus, type_: &str, value: &str, reason: &str, message: &str, now: &Time) {
    let conditions = status.conditions.get_or_insert_default();
    let known = conditions
        .iter()
        .position(|condition| condition.type_.as_deref() == Some(type_));
    let old = known.map(|at| conditions.remove(at));
    let same = old.as_ref().filter(|old| old.status.as_deref() == Some(value));
    let since = same.and_then(|old| old.last_transition_time.clone());
    conditions.push(DeploymentCondition {
        type_: Some(type_.to_owned()),
        status: Some(value.to_owned()),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_update_time: Some(now.clone()),
        last_transition_time: Some(since.unwrap_or_else(|| now.clone())),
    });
}

/// Sets a condition unless it says the same already.
fn settle(status: &mut DeploymentStatus, type_: &str, value: &str, reason: &str, message: &str, now: &Time) {
    let same = condition(status, type_).is_some_and(|known| {
        known.status.as_deref() == Some(value) && known.reason.as_deref() == Some(reason)
    });
    if !same {
        set(status, type_, value, reason, message, now);
    }
}

fn drop_condition(status: &mut DeploymentStatus, type_: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_.as_deref() != Some(type_));
    }
}

fn is_paused(deployment: &Deployment) -> bool {
    deployment.spec.paused == Some(true)
}

/// Whether every pod asked for is new and available, and no other is left.
pub(super) fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let total = Some(wanted(deployment)).filter(|total| *total > 0);
    status.updated_replicas == total
        && status.replicas == total
        && status.available_replicas == total
        && status.observed_generation >= deployment.metadata.generation
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let outdated =
        |status: &DeploymentStatus| status.replicas.unwrap_or(0) - status.updated_replicas.unwrap_or(0);
    new.updated_replicas > old.updated_replicas
        || outdated(new) < outdated(old)
        || new.ready_replicas > old.ready_replicas
        || new.available_replicas > old.available_replicas
}

fn counts(deployment: &Deployment, newest: Option<&ReplicaSet>, all: &[Arc<ReplicaSet>]) -> DeploymentStatus {
    let some = |count: i32| Some(count).filter(|count| *count > 0);
    let sum = |of: fn(&ReplicaSet) -> i32| all.iter().map(|set| of(set)).sum::<i32>();
    let ready = sum(|set| {
        set.status
            .as_ref()
            .and_then(|status| status.ready_replicas)
            .unwrap_or(0)
    });
    let leaving = sum(|set| {
        set.status
            .as_ref()
            .and_then(|status| status.terminating_replicas)
            .unwrap_or(0)
    });
    let before = deployment.status.clone().unwrap_or_default();
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: some(sum(actual)),
        updated_replicas: some(newest.map_or(0, actual)),
        ready_replicas: some(ready),
        available_replicas: some(sum(available)),
        unavailable_replicas: some(sum(size) - sum(available)),
        terminating_replicas: Some(leaving),
        collision_count: before.collision_count,
        conditions: before.conditions,
    }
}

/// The next status, and when the time limit for progress passes.
pub(super) fn status(
    deployment: &Deployment,
    newest: Option<(&Arc<ReplicaSet>, Newest)>,
    all: &[Arc<ReplicaSet>],
    now: &Time,
) -> (DeploymentStatus, Option<Duration>) {
    let set_name = newest.map(|(set, _)| set.name_any()).unwrap_or_default();
    let mut status = counts(deployment, newest.map(|(set, _)| set.as_ref()), all);
    let enough = status.available_replicas.unwrap_or(0) >= wanted(deployment) - tolerances(deployment).1;
    if enough {
        let message = "Deployment has minimum availability.";
        settle(
            &mut status,
            "Available",
            "True",
            "MinimumReplicasAvailable",
            message,
            now,
        );
    } else {
        let message = "Deployment does not have minimum availability.";
        settle(
            &mut status,
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            message,
            now,
        );
    }
    let failure = newest.and_then(|(set, _)| {
        let conditions = set.status.as_ref()?.conditions.as_ref()?;
        conditions
            .iter()
            .find(|c| c.type_.as_deref() == Some("ReplicaFailure"))
            .cloned()
    });
    match failure {
        Some(failure) => {
            let reason = failure.reason.unwrap_or_default();
            let message = failure.message.unwrap_or_default();
            settle(&mut status, "ReplicaFailure", "True", &reason, &message, now);
        }
        None => drop_condition(&mut status, "ReplicaFailure"),
    }
    let next = progress(
        deployment,
        newest.map(|(_, newest)| newest),
        &set_name,
        &mut status,
        now,
    );
    (status, next)
}

fn progress(
    deployment: &Deployment,
    newest: Option<Newest>,
    name: &str,
    status: &mut DeploymentStatus,
    now: &Time,
) -> Option<Duration> {
    let limit = deployment.spec.progress_deadline_seconds.unwrap_or(600);
    if limit == i32::MAX {
        drop_condition(status, PROGRESSING);
        return None;
    }
    let reason = condition(status, PROGRESSING).and_then(|known| known.reason.clone());
    if is_paused(deployment) {
        settle(
            status,
            PROGRESSING,
            "Unknown",
            "DeploymentPaused",
            "Deployment is paused",
            now,
        );
        return None;
    }
    if reason.as_deref() == Some("DeploymentPaused") {
        set(
            status,
            PROGRESSING,
            "Unknown",
            "DeploymentResumed",
            "Deployment is resumed",
            now,
        );
    }
    match newest {
        Some(Newest::Created) => {
            let message = format!("Created new replica set \"{name}\"");
            set(status, PROGRESSING, "True", "NewReplicaSetCreated", &message, now);
        }
        Some(Newest::Found) if reason.is_none() => {
            let message = format!("Found new replica set \"{name}\"");
            set(status, PROGRESSING, "True", "FoundNewReplicaSet", &message, now);
        }
        _ => {}
    }
    let settled =
        status.replicas == status.updated_replicas && reason.as_deref() == Some("NewReplicaSetAvailable");
    if settled && newest != Some(Newest::Created) {
        return None;
    }
    let before = deployment.status.clone().unwrap_or_default();
    if is_complete(deployment, status) {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        set(
            status,
            PROGRESSING,
            "True",
            "NewReplicaSetAvailable",
            &message,
            now,
        );
        return None;
    }
    if has_progressed(&before, status) && newest != Some(Newest::Created) {
        let message = format!("ReplicaSet \"{name}\" is progressing.");
        set(status, PROGRESSING, "True", "ReplicaSetUpdated", &message, now);
    }
    let known = condition(status, PROGRESSING)?;
    let since = known.last_update_time.as_ref().unwrap_or(now).0;
    let deadline = since + jiff::SignedDuration::from_secs(limit.into());
    if deadline > now.0 {
        return Some(until(deadline, now.0));
    }
    let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
    settle(
        status,
        PROGRESSING,
        "False",
        "ProgressDeadlineExceeded",
        &message,
        now,
    );
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Time {
        Time(jiff::Timestamp::from_second(1_800_000_000 + second).unwrap())
    }

    fn deployment(status: &DeploymentStatus) -> Deployment {
        let mut deployment: Deployment = serde_json::from_value(json!({
            "metadata": {"name": "d", "generation": 1},
            "spec": {"replicas": 2, "selector": {}, "template": {}, "progressDeadlineSeconds": 60},
        }))
        .unwrap();
        deployment.status = Some(status.clone());
        deployment
    }

    fn set(size: i32, available: i32) -> Arc<ReplicaSet> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": "d-x"}, "spec": {"replicas": size, "selector": {}},
                "status": {"replicas": size, "readyReplicas": available, "availableReplicas": available},
            }))
            .unwrap(),
        )
    }

    fn says(status: &DeploymentStatus, type_: &str) -> (String, String) {
        let condition = condition(status, type_).unwrap();
        (
            condition.status.clone().unwrap(),
            condition.reason.clone().unwrap(),
        )
    }

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    #[test]
    fn a_rollout_passes_through_the_usual_conditions() {
        let none = set(2, 0);
        let fresh = deployment(&DeploymentStatus::default());
        let all = [Arc::clone(&none)];
        let (first, next) = status(&fresh, Some((&none, Newest::Created)), &all, &at(0));
        assert_eq!(says(&first, "Progressing"), pair("True", "NewReplicaSetCreated"));
        assert_eq!(
            says(&first, "Available"),
            pair("False", "MinimumReplicasUnavailable")
        );
        assert_eq!(next, Some(Duration::from_secs(60)));

        let one = set(2, 1);
        let (second, _) = status(
            &deployment(&first),
            Some((&one, Newest::Found)),
            &[Arc::clone(&one)],
            &at(5),
        );
        assert_eq!(says(&second, "Progressing"), pair("True", "ReplicaSetUpdated"));
        assert_eq!(second.unavailable_replicas, Some(1));

        let two = set(2, 2);
        let all = [Arc::clone(&two)];
        let (third, next) = status(&deployment(&second), Some((&two, Newest::Found)), &all, &at(9));
        assert_eq!(
            says(&third, "Progressing"),
            pair("True", "NewReplicaSetAvailable")
        );
        assert_eq!(
            says(&third, "Available"),
            pair("True", "MinimumReplicasAvailable")
        );
        assert_eq!(next, None);
        let (again, _) = status(&deployment(&third), Some((&two, Newest::Found)), &all, &at(99));
        assert_eq!(again, third, "a finished rollout stays as it is");
    }

    #[test]
    fn a_rollout_that_stands_still_times_out() {
        let none = set(2, 0);
        let all = [Arc::clone(&none)];
        let fresh = deployment(&DeploymentStatus::default());
        let (first, _) = status(&fresh, Some((&none, Newest::Created)), &all, &at(0));
        let (counted, _) = status(&deployment(&first), Some((&none, Newest::Found)), &all, &at(1));
        let (late, _) = status(&deployment(&counted), Some((&none, Newest::Found)), &all, &at(62));
        assert_eq!(
            says(&late, "Progressing"),
            pair("False", "ProgressDeadlineExceeded")
        );
    }
}
