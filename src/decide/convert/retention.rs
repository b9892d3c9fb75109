//! The retention policy inside a configuration becomes a RetentionPolicy.

use serde_json::Value;

use super::known::Known;
use super::section::Section;
use super::{Scope, manifest};
use crate::api::shared::{ObjectReference, UsagePolicy};
use crate::api::storage::{self, RetentionPolicySpec, SuccessfulSnapshots};
use crate::decide::naming;

/// A reference to the policy, and the policy itself unless it was made before.
pub(super) struct Retention {
    pub(super) reference: Option<ObjectReference>,
    pub(super) object: Option<Value>,
}

/// Reads `retentionPolicy` of a configuration. `shared` lets users in another namespace use it.
pub(super) fn read(
    spec: &mut Section<'_>,
    (namespace, owner): (&str, &str),
    shared: Option<UsagePolicy>,
    to: &str,
    known: &Known<'_>,
) -> Retention {
    let scope = spec.scope();
    let pointer = spec.at("retentionPolicy");
    let Some(mut policy) = spec.section("retentionPolicy") else {
        scope.to_fill_in(
            &pointer,
            to,
            "a backend needs a RetentionPolicy, and Stash was given none",
            "name a RetentionPolicy, or mark one as the default of its namespace",
        );
        return Retention {
            reference: None,
            object: None,
        };
    };
    let named = policy.text("name", "");
    let wanted = named
        .clone()
        .unwrap_or_else(|| naming::suffix(owner, "retention"));
    let title = format!("RetentionPolicy {namespace}/{wanted}");
    let successful = counts(&mut policy, &title);
    others(&mut policy, scope, &successful);
    let spec = RetentionPolicySpec {
        successful_snapshots: Some(successful),
        usage_policy: shared,
        ..RetentionPolicySpec::default()
    };
    let spec = serde_json::to_value(spec).unwrap_or_default();
    let (name, new) = known.policy_name(namespace, &wanted, owner, &spec);
    if name != wanted {
        scope.changed(
            &format!("{pointer}/name"),
            to,
            &format!("another RetentionPolicy is named {wanted} in this namespace; this one is named {name}"),
        );
    } else if named.is_some() {
        scope.carried(&format!("{pointer}/name"), to);
    }
    Retention {
        object: new.then(|| manifest(storage::GROUP, "RetentionPolicy", (namespace, &name), None, spec)),
        reference: Some(ObjectReference::new(name, namespace)),
    }
}

fn counts(policy: &mut Section<'_>, title: &str) -> SuccessfulSnapshots {
    let mut count = |key: &str, field: &str| {
        policy
            .number(key, &format!("{title} spec.successfulSnapshots.{field}"))
            .and_then(|count| i32::try_from(count).ok())
            .filter(|count| *count > 0)
    };
    SuccessfulSnapshots {
        last: count("keepLast", "last"),
        hourly: count("keepHourly", "hourly"),
        daily: count("keepDaily", "daily"),
        weekly: count("keepWeekly", "weekly"),
        monthly: count("keepMonthly", "monthly"),
        yearly: count("keepYearly", "yearly"),
    }
}

fn others(policy: &mut Section<'_>, scope: &Scope, successful: &SuccessfulSnapshots) {
    policy.refuse(
        "keepTags",
        "Snapshots of KubeStash have no tags to be kept by",
        "keep more with the counts of successfulSnapshots, or set `spec.paused` on a Snapshot that must stay",
    );
    let prune = policy.at("prune");
    match policy.flag("prune", "") {
        Some(false) => scope.changed(
            &prune,
            "",
            "KubeStash always removes the data of the Snapshots that it forgets",
        ),
        Some(true) => scope.changed(&prune, "", "KubeStash always prunes"),
        None => {}
    }
    let dry_run = policy.at("dryRun");
    if policy.flag("dryRun", "") == Some(true) {
        scope.not_carried(
            &dry_run,
            "with dryRun Stash removed nothing; KubeStash will remove what the policy does not keep",
            "raise the counts to what you really want to keep before you apply it",
        );
    }
    if *successful == SuccessfulSnapshots::default() {
        scope.changed(
            dry_run.trim_end_matches("/dryRun"),
            "",
            "no count is given, so no successful Snapshot will ever be removed",
        );
    }
}
