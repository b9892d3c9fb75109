//! Names and paths of everything the product generates, in one place.
//!
//! The rules are KubeStash's, so that habits, dashboards and buckets carry over: three joining helpers with their exact
//! truncation, and one function per object. Where the original would silently cut a name that must be unique (Jobs and
//! CronJobs), [`bounded`] puts a short hash of the full name at the end instead: the name is the original's as long as
//! it fits, and never that of something else when it does not.
//!
//! Called by the controllers, the CLI and the tests; everything is a total function of its arguments.

use sha2::{Digest, Sha256};

/// The longest object name that is also a valid label value, in bytes.
pub const MAX_NAME: usize = 63;

/// The longest CronJob name: the CronJob controller appends eleven characters for each Job.
pub const MAX_CRON_JOB_NAME: usize = 52;

/// The layout version written into new Snapshots and component paths.
pub const LAYOUT_VERSION: &str = "v1";

/// The document at the root of a BackupStorage.
pub const STORAGE_METADATA: &str = "metadata.yaml";

fn floor_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil_boundary(text: &str, mut at: usize) -> usize {
    while at < text.len() && !text.is_char_boundary(at) {
        at += 1;
    }
    at.min(text.len())
}

fn trimmed(text: &str) -> String {
    text.trim_matches('-').to_owned()
}

/// `prefix-name`, cut at 63 characters.
pub fn join2(prefix: &str, name: &str) -> String {
    let joined = format!("{prefix}-{name}");
    trimmed(&joined[..floor_boundary(&joined, MAX_NAME)])
}

/// `prefix-name-suffix`; when longer than 63, its first 32 and its last 31 characters.
pub fn join3(prefix: &str, name: &str, suffix: &str) -> String {
    let joined = format!("{prefix}-{name}-{suffix}");
    if joined.len() <= MAX_NAME {
        return trimmed(&joined);
    }
    let head = &joined[..floor_boundary(&joined, MAX_NAME.div_ceil(2))];
    let tail = &joined[ceil_boundary(&joined, joined.len() - MAX_NAME / 2)..];
    trimmed(&format!("{head}{tail}"))
}

/// `name-suffix`, where `name` is cut so that the whole has at most 63 characters.
pub fn suffix(name: &str, suffix: &str) -> String {
    if suffix.len() >= MAX_NAME {
        return trimmed(&suffix[ceil_boundary(suffix, suffix.len() - MAX_NAME)..]);
    }
    let room = MAX_NAME - suffix.len() - 1;
    trimmed(&format!("{}-{suffix}", &name[..floor_boundary(name, room)]))
}

/// `name` itself when it has at most `max` characters; otherwise its beginning and eight hex digits of its SHA-256, so
/// that two long names never become one.
pub fn bounded(name: &str, max: usize) -> String {
    let name = name.trim_matches('-');
    if name.len() <= max {
        return name.to_owned();
    }
    let digest = Sha256::digest(name.as_bytes());
    let hash: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let head = &name[..floor_boundary(name, max.saturating_sub(hash.len() + 1))];
    format!("{}-{hash}", head.trim_end_matches(['-', '.']))
}

/// The BackupSession of one run: `unix` is the second it was triggered at, or the BackupConfiguration's creation time
/// for the initial backup, which makes creating that one idempotent.
pub fn backup_session(configuration: &str, session: &str, unix: i64) -> String {
    join3(configuration, session, &unix.to_string())
}

/// The BackupVerificationSession of one run.
pub fn backup_verification_session(repository: &str, session: &str, unix: i64) -> String {
    join3(repository, session, &unix.to_string())
}

/// The Snapshot that a BackupSession makes in a Repository.
pub fn snapshot(repository: &str, backup_session: &str) -> String {
    match split_number(backup_session) {
        Some((stem, number)) => join3(repository, stem, number),
        None => join3(repository, backup_session, ""),
    }
}

/// Splits `(.*)-(digits)` as greedily as the original's regular expression does.
fn split_number(name: &str) -> Option<(&str, &str)> {
    // The expression is not anchored at the end: the last dash that digits follow is the one.
    let bytes = name.as_bytes();
    let dash = (0..bytes.len())
        .rev()
        .find(|&i| bytes[i] == b'-' && bytes.get(i + 1).is_some_and(u8::is_ascii_digit))?;
    let rest = &name[dash + 1..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some((&name[..dash], &rest[..end]))
}

/// The CronJob of a session, and its ServiceAccount and RoleBinding.
pub fn cron_job(configuration: &str, session: &str) -> String {
    bounded(&format!("trigger-{configuration}-{session}"), MAX_CRON_JOB_NAME)
}

/// The CronJob that triggers the verification of a Repository's backups of one session.
pub fn verifier_cron_job(repository: &str, session: &str) -> String {
    bounded(
        &format!("trigger-verifier-{repository}-{session}"),
        MAX_CRON_JOB_NAME,
    )
}

/// A backup Job: `<session namespace>-<BackupSession>`, with `-<instance>` (such as `pod-0`) when the task runs once
/// per pod or node.
pub fn backup_job(namespace: &str, backup_session: &str, instance: Option<&str>) -> String {
    instanced(&format!("{namespace}-{backup_session}"), instance)
}

/// A restore Job: the RestoreSession's name, with `-<instance>` when the task runs once per pod or node.
pub fn restore_job(restore_session: &str, instance: Option<&str>) -> String {
    instanced(restore_session, instance)
}

fn instanced(stem: &str, instance: Option<&str>) -> String {
    match instance {
        Some(instance) => bounded(&format!("{stem}-{instance}"), MAX_NAME),
        None => bounded(stem, MAX_NAME),
    }
}

/// The instance of a Job that works for one pod of a StatefulSet.
pub fn pod_instance(ordinal: u32) -> String {
    format!("pod-{ordinal}")
}

/// The instance of a Job that works for one node of a DaemonSet: a short hash, because node names are long.
pub fn node_instance(node: &str) -> String {
    let digest = Sha256::digest(node.as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// The retention Job of a session, and its RoleBinding; `unix` is the number at the end of the BackupSession's name.
pub fn retention_job(configuration: &str, session: &str, unix: &str) -> String {
    suffix(&format!("retention-policy-{configuration}-{session}"), unix)
}

/// The number at the end of a BackupSession's name: the second it was triggered at.
pub fn session_number(backup_session: &str) -> Option<&str> {
    split_number(backup_session).map(|(_, number)| number)
}

/// The Job that initialises a BackupStorage on a local volume.
pub fn init_job(storage: &str) -> String {
    bounded(&format!("init-{storage}"), MAX_NAME)
}

/// The Job that reads what a BackupStorage on a local volume holds.
pub fn read_job(storage: &str) -> String {
    bounded(&format!("read-{storage}"), MAX_NAME)
}

/// The Job that writes the document of a BackupStorage, Repository or Snapshot to a local volume.
pub fn upload_job(object: &str) -> String {
    bounded(&format!("upload-{object}"), MAX_NAME)
}

/// The Job that wipes what a BackupStorage, Repository or Snapshot has in its backend.
pub fn cleanup_job(object: &str) -> String {
    bounded(&format!("cleanup-{object}"), MAX_NAME)
}

/// A container of a Job: `<task>-<index>`.
pub fn container(task: &str, index: usize) -> String {
    bounded(&format!("{task}-{index}"), MAX_NAME)
}

/// The VolumeSnapshot of a claim; `unix` is the BackupSession's creation time in seconds.
pub fn volume_snapshot(claim: &str, unix: i64) -> String {
    format!("{claim}-{unix}")
}

/// The claim that a volume populator fills before its volume is handed over.
pub fn populator_claim(uid: &str) -> String {
    format!("prime-{uid}")
}

/// The Job that fills it.
pub fn populator_job(uid: &str) -> String {
    format!("populate-{uid}")
}

/// The BackupConfiguration generated for an annotated target. `configuration_namespace` is where it will live.
pub fn blueprint_configuration(
    kind: &str,
    name: &str,
    target_namespace: &str,
    configuration_namespace: &str,
) -> String {
    let own = format!("{}-{name}", kind.to_lowercase());
    if target_namespace == configuration_namespace {
        bounded(&own, MAX_NAME)
    } else {
        bounded(&format!("{target_namespace}-{own}"), MAX_NAME)
    }
}

/// Where a component's restic repository lies below the Repository's directory: `repository/v1/<session>/<component>`.
pub fn component_path(session: &str, component: &str) -> String {
    format!("repository/{LAYOUT_VERSION}/{session}/{component}")
}

/// Joins path pieces with one `/` between them; empty pieces and outer slashes vanish.
pub fn join_path<'a>(pieces: impl IntoIterator<Item = &'a str>) -> String {
    let kept: Vec<&str> = pieces
        .into_iter()
        .map(|piece| piece.trim_matches('/'))
        .filter(|piece| !piece.is_empty())
        .collect();
    kept.join("/")
}

/// The Repository's document below the storage's prefix.
pub fn repository_document(path: &str) -> String {
    join_path([path, "repository.yaml"])
}

/// The directory of the Snapshots' documents below the storage's prefix.
pub fn snapshots_directory(path: &str) -> String {
    join_path([path, "snapshots"])
}

/// A Snapshot's document below the storage's prefix.
pub fn snapshot_document(path: &str, snapshot: &str) -> String {
    join_path([path, "snapshots", &format!("{snapshot}.yaml")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_joining_helpers_cut_as_the_original_does() {
        assert_eq!(join2("a", "b"), "a-b");
        assert_eq!(join2("a", &"b".repeat(80)), format!("a-{}", "b".repeat(61)));
        assert_eq!(join3("a", "b", ""), "a-b");
        let long = join3(&"p".repeat(50), "name", "1700000000");
        assert_eq!(
            long,
            format!("{}{}-name-1700000000", "p".repeat(32), "p".repeat(15))
        );
        assert_eq!(long.len(), 63);
        assert_eq!(suffix(&"n".repeat(80), "17"), format!("{}-17", "n".repeat(60)));
        assert_eq!(suffix("n", "17"), "n-17");
    }

    #[test]
    fn the_documented_names() {
        assert_eq!(
            backup_session("sample", "frequent", 1_700_000_000),
            "sample-frequent-1700000000"
        );
        assert_eq!(
            snapshot("gcs-repo", "sample-frequent-1700000000"),
            "gcs-repo-sample-frequent-1700000000"
        );
        assert_eq!(snapshot("gcs-repo", "by-hand"), "gcs-repo-by-hand");
        assert_eq!(cron_job("sample", "frequent"), "trigger-sample-frequent");
        assert_eq!(backup_job("demo", "s-17", None), "demo-s-17");
        assert_eq!(backup_job("demo", "s-17", Some("pod-0")), "demo-s-17-pod-0");
        assert_eq!(
            retention_job("sample", "frequent", "17"),
            "retention-policy-sample-frequent-17"
        );
        assert_eq!(component_path("frequent", "dump"), "repository/v1/frequent/dump");
        assert_eq!(
            blueprint_configuration("StatefulSet", "web", "demo", "demo"),
            "statefulset-web"
        );
        assert_eq!(
            blueprint_configuration("StatefulSet", "web", "demo", "ops"),
            "demo-statefulset-web"
        );
        assert_eq!(
            snapshot_document("/demo/web/", "s1"),
            "demo/web/snapshots/s1.yaml"
        );
    }

    #[test]
    fn long_names_that_differ_at_the_end_stay_different() {
        let (one, two) = ("x".repeat(70) + "1", "x".repeat(70) + "2");
        assert_ne!(cron_job(&one, "s"), cron_job(&two, "s"));
        assert_eq!(cron_job(&one, "s").len(), MAX_CRON_JOB_NAME);
        assert_ne!(backup_job("ns", &one, None), backup_job("ns", &two, None));
    }

    proptest! {
        #[test]
        fn every_name_is_bounded_and_has_clean_ends(a in "[a-z0-9é-]{1,90}", b in "[a-z0-9-]{1,90}", n in 0i64..4_000_000_000) {
            for name in [join2(&a, &b), backup_session(&a, &b, n), suffix(&a, &b), snapshot(&a, &b), backup_job(&a, &b, Some("pod-1")),
                retention_job(&a, &b, &n.to_string()), init_job(&a), container(&a, 3)] {
                prop_assert!(name.len() <= MAX_NAME, "{name}");
                prop_assert!(!name.starts_with('-') && !name.ends_with('-'), "{name}");
            }
            prop_assert!(cron_job(&a, &b).len() <= MAX_CRON_JOB_NAME);
        }
    }
}
