//! Checks of what users made: storages and configurations, and what runs for them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::super::facts::{Facts, Read, claim_of};
use super::super::{Check, State};
use super::{Draft, containers, older, place, some};
use crate::cli::report::text;

/// A session that runs longer than this without a deadline deserves a look.
const LONG_SECONDS: i64 = 24 * 3600;
/// Deleting an object takes no longer than this, or something holds it.
const DELETION_SECONDS: i64 = 600;

pub(super) fn not_ready(
    name: &'static str,
    kind: &str,
    found: &Read<Vec<Value>>,
    why: &'static str,
) -> Check {
    let draft = Draft { name, why };
    let found = match found {
        Err(error) => return draft.unread(error),
        Ok(found) => found,
    };
    let bad: Vec<&Value> = found
        .iter()
        .filter(|o| !matches!(text(o, "/status/phase"), "Ready"))
        .collect();
    if bad.is_empty() {
        return draft.passed(match found.len() {
            0 => format!("there is no {kind} yet"),
            count => format!("all {count} Ready"),
        });
    }
    let names: Vec<String> = bad.iter().map(|o| place(o)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let fixes = bad.iter().take(3).map(|o| {
        format!(
            "`kubectl kubestash why {}/{} -n {}` follows the cause",
            kind.to_lowercase(),
            text(o, "/metadata/name"),
            text(o, "/metadata/namespace")
        )
    });
    draft.end(
        State::Failed,
        format!("{} of {} not Ready: {}", bad.len(), found.len(), some(&names)),
        fixes.collect(),
    )
}

/// Backups on a volume that an application uses.
pub(super) fn beside(facts: &Facts) -> Check {
    let draft = Draft {
        name: "backups apart from data",
        why: "What destroys an application's volume destroys the backups on it, too.",
    };
    let (storages, pods) = match (&facts.storages, &facts.neighbours) {
        (Ok(storages), Ok(pods)) => (storages, pods),
        (Err(error), _) | (_, Err(error)) => return draft.unread(error),
    };
    let user = |storage: &Value| {
        let (claim, namespace) = (claim_of(storage)?, text(storage, "/metadata/namespace"));
        let pod = pods
            .iter()
            .find(|pod| text(pod, "/metadata/namespace") == namespace && mounts(pod, claim))?;
        let pod = text(pod, "/metadata/name");
        Some(format!(
            "{}: claim {claim} is mounted by pod {pod}, too",
            place(storage)
        ))
    };
    let shared: Vec<String> = storages.iter().filter_map(user).collect();
    if shared.is_empty() {
        return draft.passed("no application uses the volume of a BackupStorage");
    }
    let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
    draft.warning(
        some(&shared),
        "keep backups on a volume of their own or in a bucket: `kubectl kubestash create storage`",
    )
}

/// Whether a pod that has not ended mounts the claim.
fn mounts(pod: &Value, claim: &str) -> bool {
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    let mut volumes = volumes.into_iter().flatten();
    !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
        && volumes.any(|volume| text(volume, "/persistentVolumeClaim/claimName") == claim)
}

pub(super) fn images(facts: &Facts) -> Check {
    let draft = Draft {
        name: "images of Jobs",
        why: "A Job whose image cannot be pulled waits until its session fails.",
    };
    let pods = match &facts.job_pods {
        Err(error) => return draft.unread(error),
        Ok(pods) => pods,
    };
    let waiting = pods.iter().find_map(|pod| {
        let cause = containers(pod).find_map(|c| {
            let reason = text(c, "/state/waiting/reason");
            matches!(reason, "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName")
                .then(|| format!("{} ({reason})", text(c, "/image")))
        });
        cause.map(|cause| (pod, cause))
    });
    match waiting {
        None => draft.passed("no pod waits for its image"),
        Some((pod, cause)) => draft.failed(
            format!("pod {} cannot get {cause}", place(pod)),
            "make the image available to the nodes, or `kubectl kubestash install --image IMAGE` with one that is; \
             for an Addon's own image, change its Function",
        ),
    }
}

/// How the newest backup of each session of each configuration ended.
pub(super) fn last(facts: &Facts) -> Check {
    let draft = Draft {
        name: "last backups",
        why: "What was not backed up last time cannot be brought back as it is now.",
    };
    let sessions = match &facts.sessions {
        Ok(sessions) => sessions,
        Err(error) => return draft.unread(error),
    };
    let mut newest: BTreeMap<(&str, &str, &str), &Value> = BTreeMap::new();
    for session in sessions {
        let key = (
            text(session, "/metadata/namespace"),
            text(session, "/spec/invoker/name"),
            text(session, "/spec/session"),
        );
        let began = |one: &Value| text(one, "/metadata/creationTimestamp").to_owned();
        let known = newest.entry(key).or_insert(session);
        if began(session) > began(known) {
            *known = session;
        }
    }
    let bad: Vec<&&Value> = newest
        .values()
        .filter(|s| matches!(text(s, "/status/phase"), "Failed" | "Skipped"))
        .collect();
    if bad.is_empty() {
        return draft.passed("none has failed");
    }
    let fixes = bad.iter().take(3).map(|session| {
        format!(
            "`kubectl kubestash why backupsession/{} -n {}` follows the cause",
            text(session, "/metadata/name"),
            text(session, "/metadata/namespace")
        )
    });
    let configurations: Vec<String> = bad
        .iter()
        .map(|s| {
            format!(
                "{}/{}",
                text(s, "/metadata/namespace"),
                text(s, "/spec/invoker/name")
            )
        })
        .collect();
    let names: Vec<&str> = configurations.iter().map(String::as_str).collect();
    draft.end(
        State::Warning,
        format!("{} of {} ended badly: {}", bad.len(), newest.len(), some(&names)),
        fixes.collect(),
    )
}

pub(super) fn long(facts: &Facts, now: Timestamp) -> Check {
    let draft = Draft {
        name: "sessions that run long",
        why: "Without a deadline a session that hangs holds up those after it.",
    };
    let (backups, restores) = match (&facts.sessions, &facts.restores) {
        (Ok(backups), Ok(restores)) => (backups, restores),
        (Err(error), _) | (_, Err(error)) => return draft.unread(error),
    };
    let old = backups.iter().chain(restores).find(|s| {
        matches!(text(s, "/status/phase"), "Running" | "Pending")
            && older(text(s, "/metadata/creationTimestamp"), LONG_SECONDS, now)
    });
    match old {
        None => draft.passed("none for more than a day"),
        Some(session) => draft.warning(
            format!("{} has run for more than a day", place(session)),
            format!(
                "`kubectl kubestash logs {}/{} -n {}`; spec.backupTimeout or spec.restoreTimeout bounds the next one",
                text(session, "/kind"),
                text(session, "/metadata/name"),
                text(session, "/metadata/namespace")
            ),
        ),
    }
}

pub(super) fn stuck(facts: &Facts, now: Timestamp) -> Check {
    let draft = Draft {
        name: "deletions",
        why: "An object that is being deleted for long waits for somebody's finalizer.",
    };
    let lists = [
        &facts.storages,
        &facts.configurations,
        &facts.sessions,
        &facts.restores,
    ];
    let held = lists
        .iter()
        .filter_map(|l| l.as_ref().ok())
        .flatten()
        .find(|o| older(text(o, "/metadata/deletionTimestamp"), DELETION_SECONDS, now));
    match held {
        None => draft.passed("nothing hangs"),
        Some(object) => draft.failed(
            format!(
                "{} is being deleted since {}",
                place(object),
                text(object, "/metadata/deletionTimestamp")
            ),
            "its finalizer is the operator's: see that the operator runs, and read its log",
        ),
    }
}
