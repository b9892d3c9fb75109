//! RetentionPolicy: rules that can be read and that say something.

use serde_json::{Value, json};

use super::{Facts, Review, default_usage_policy};
use crate::api::storage::RetentionPolicy;
use crate::decide::retention::parse_period;
use kube::ResourceExt;

pub(super) fn defaults(object: &mut Value, facts: &Facts) {
    default_usage_policy(object, facts);
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    if spec.get("failedSnapshots").is_none_or(Value::is_null) {
        spec.insert("failedSnapshots".to_owned(), json!({"last": 1}));
    }
}

pub(super) fn check(review: &mut Review<'_, RetentionPolicy>) {
    let spec = &review.new.spec;
    review.check_selector(spec.usage_policy.as_ref());
    let period = spec.max_retention_period.as_deref().unwrap_or_default();
    if period.is_empty() && spec.successful_snapshots.is_none() {
        review.deny(
            "spec",
            "neither maxRetentionPeriod nor successfulSnapshots is given; give at least one, or nothing would ever be kept or removed on purpose",
        );
    }
    if !period.is_empty() {
        match parse_period(period) {
            Err(error) => review.deny("spec.maxRetentionPeriod", error.to_string()),
            Ok(length) if length.is_zero() => {
                review.warn(
                    "spec.maxRetentionPeriod: a period of zero removes all but the newest success at once",
                );
            }
            Ok(_) => {}
        }
    }
    counts(review);
    one_default(review);
}

fn counts(review: &mut Review<'_, RetentionPolicy>) {
    let spec = &review.new.spec;
    let failed = spec.failed_snapshots.as_ref().map(|failed| failed.last);
    let success = spec.successful_snapshots.clone().unwrap_or_default();
    let all = [
        ("successfulSnapshots.last", success.last),
        ("successfulSnapshots.hourly", success.hourly),
        ("successfulSnapshots.daily", success.daily),
        ("successfulSnapshots.weekly", success.weekly),
        ("successfulSnapshots.monthly", success.monthly),
        ("successfulSnapshots.yearly", success.yearly),
        ("failedSnapshots.last", failed),
    ];
    for (field, count) in all {
        if let Some(count) = count.filter(|count| *count < 0) {
            review.deny(
                format!("spec.{field}"),
                format!("{count} is not a count; use 0 or more"),
            );
        }
    }
    let counted = all[..6]
        .iter()
        .any(|(_, count)| count.is_some_and(|count| count != 0));
    if spec.successful_snapshots.is_some() && !counted && spec.max_retention_period.is_none() {
        review.warn(
            "spec.successfulSnapshots: no count is given, so no successful Snapshot will ever be removed",
        );
    }
}

fn one_default(review: &mut Review<'_, RetentionPolicy>) {
    if !review.new.spec.default {
        return;
    }
    let other = review.facts.retention_policies.iter().find(|other| {
        other.spec.default
            && other.namespace().as_deref() == Some(review.namespace)
            && other.metadata.name.as_deref() != Some(review.name)
    });
    if let Some(other) = other.map(|other| other.name_any()) {
        review.deny(
            "spec.default",
            format!(
                "RetentionPolicy {other} is the default of namespace {} already; only one may be: unset `default` there first, or here",
                review.namespace
            ),
        );
    }
}
