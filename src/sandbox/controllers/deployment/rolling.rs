//! How many pods each ReplicaSet of a Deployment should have, as pure arithmetic. The rules are Kubernetes' own
//! (pkg/controller/deployment/rolling.go and sync.go).

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

/// The number of pods the Deployment had when this ReplicaSet was last scaled.
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
/// The number of pods it might have had with its surge.
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// A ReplicaSet and the size it should have.
pub(super) type Resize = (Arc<ReplicaSet>, i32);

/// The number of pods asked for.
pub(super) fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.replicas.unwrap_or(1)
}

/// The number of pods a ReplicaSet asks for.
pub(super) fn size(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// The number of pods a ReplicaSet has.
pub(super) fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

/// The number of available pods a ReplicaSet has.
pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|status| status.available_replicas)
        .unwrap_or(0)
}

/// Whether all old pods must be gone before new ones are made.
pub(super) fn recreates(deployment: &Deployment) -> bool {
    let strategy = deployment.spec.strategy.as_ref();
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
}

fn scaled(value: Option<&IntOrString>, total: i32, up: bool) -> i32 {
    match value {
        Some(IntOrString::Int(count)) => *count,
        Some(IntOrString::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let product = percent * i64::from(total);
            let rounded = if up {
                (product + 99).div_euclid(100)
            } else {
                product.div_euclid(100)
            };
            i32::try_from(rounded).unwrap_or(i32::MAX)
        }
        None => scaled(Some(&IntOrString::String("25%".to_owned())), total, up),
    }
}

/// How many pods may be too many, and how many may be missing, while the Deployment rolls.
pub(super) fn tolerances(deployment: &Deployment) -> (i32, i32) {
    if recreates(deployment) {
        return (0, 0);
    }
    let strategy = deployment.spec.strategy.as_ref();
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let total = wanted(deployment);
    let surge = scaled(
        rolling.and_then(|rolling| rolling.max_surge.as_ref()),
        total,
        true,
    );
    let missing = scaled(
        rolling.and_then(|rolling| rolling.max_unavailable.as_ref()),
        total,
        false,
    );
    // Neither more nor less than asked for would mean that nothing can ever move.
    let missing = if surge == 0 && missing == 0 { 1 } else { missing };
    (surge, missing.min(total))
}

/// The size the newest ReplicaSet should have now.
pub(super) fn newest_size(deployment: &Deployment, newest: &ReplicaSet, all: &[Arc<ReplicaSet>]) -> i32 {
    let total = wanted(deployment);
    if size(newest) >= total || recreates(deployment) {
        return total;
    }
    let room = total + tolerances(deployment).0 - all.iter().map(|set| size(set)).sum::<i32>();
    size(newest) + room.max(0).min(total - size(newest))
}

/// The old ReplicaSets to make smaller now, and their new sizes: first pods that are not available anyway, then as
/// many as availability allows.
pub(super) fn shrink_old(
    deployment: &Deployment,
    newest: &ReplicaSet,
    old: &[Arc<ReplicaSet>],
) -> Vec<Resize> {
    let minimum = wanted(deployment) - tolerances(deployment).1;
    let all: i32 = old.iter().map(|set| size(set)).sum::<i32>() + size(newest);
    let unavailable = size(newest) - available(newest);
    let mut room = all - minimum - unavailable;
    if room <= 0 {
        return Vec::new();
    }
    let mut sorted = old.to_vec();
    sorted.sort_by_key(|set| set.creation_timestamp());
    let mut sizes: Vec<i32> = sorted.iter().map(|set| size(set)).collect();
    for (set, size) in sorted.iter().zip(&mut sizes) {
        let drop = room.min(*size - available(set)).max(0);
        *size -= drop;
        room -= drop;
    }
    let ready: i32 = old.iter().map(|set| available(set)).sum::<i32>() + available(newest);
    let mut spare = ready - minimum;
    for size in &mut sizes {
        let drop = spare.min(*size).max(0);
        *size -= drop;
        spare -= drop;
    }
    let changed = |(set, size_now): &Resize| size(set) != *size_now;
    sorted.into_iter().zip(sizes).filter(changed).collect()
}

/// Whether the Deployment's size was changed since its ReplicaSets were last scaled.
pub(super) fn was_resized(deployment: &Deployment, all: &[Arc<ReplicaSet>]) -> bool {
    all.iter()
        .filter(|set| size(set) > 0)
        .filter_map(|set| set.annotations().get(DESIRED)?.parse::<i32>().ok())
        .any(|desired| desired != wanted(deployment))
}

/// The sizes of all ReplicaSets after the Deployment was resized in the middle of a rollout: each keeps its share.
pub(super) fn share_out(
    deployment: &Deployment,
    newest: Option<&Arc<ReplicaSet>>,
    old: &[Arc<ReplicaSet>],
) -> Vec<Resize> {
    let total = wanted(deployment);
    let mut active: Vec<_> = old
        .iter()
        .chain(newest)
        .filter(|set| size(set) > 0)
        .cloned()
        .collect();
    let only = match active.as_slice() {
        [] => newest.or_else(|| old.iter().max_by_key(|set| set.creation_timestamp())),
        [only] => Some(only),
        _ => None,
    };
    if let Some(only) = only {
        return Vec::from([(Arc::clone(only), total)]);
    }
    let saturated =
        newest.is_some_and(|set| size(set) == total && actual(set) == total && available(set) == total);
    if saturated {
        let still = old.iter().filter(|set| size(set) > 0);
        return still.map(|set| (Arc::clone(set), 0)).collect();
    }
    if recreates(deployment) {
        return Vec::new();
    }
    let allowed = if total > 0 {
        total + tolerances(deployment).0
    } else {
        0
    };
    let mut to_add = allowed - active.iter().map(|set| size(set)).sum::<i32>();
    let growing = to_add > 0;
    active.sort_by_key(|set| (std::cmp::Reverse(size(set)), set.creation_timestamp()));
    if growing {
        active.sort_by_key(|set| {
            (
                std::cmp::Reverse(size(set)),
                std::cmp::Reverse(set.creation_timestamp()),
            )
        });
    }
    let mut resized: Vec<Resize> = Vec::new();
    for set in &active {
        let share = share(deployment, set, total, allowed);
        let change = if growing {
            share.clamp(0, to_add)
        } else {
            share.clamp(to_add, 0)
        };
        to_add -= change;
        resized.push((Arc::clone(set), size(set) + change));
    }
    if let Some((_, first)) = resized.first_mut() {
        *first = (*first + to_add).max(0);
    }
    resized
}

/// By how much a ReplicaSet grows or shrinks when its Deployment may have `allowed` pods.
fn share(deployment: &Deployment, set: &ReplicaSet, total: i32, allowed: i32) -> i32 {
    if total == 0 {
        return -size(set);
    }
    let before = set.annotations().get(MAX).and_then(|max| max.parse::<i32>().ok());
    let before = before
        .filter(|before| *before > 0)
        .or_else(|| deployment.status.as_ref()?.replicas)
        .unwrap_or(allowed)
        .max(1);
    let product = i64::from(size(set)) * i64::from(allowed);
    let before = i64::from(before);
    let rounded = (2 * product + before) / (2 * before);
    i32::try_from(rounded).unwrap_or(i32::MAX) - size(set)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(replicas: i32, surge: &str, unavailable: &str) -> Deployment {
        serde_json::from_value(json!({"metadata": {"name": "d"}, "spec": {
            "replicas": replicas, "selector": {}, "template": {},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
        }}))
        .unwrap()
    }

    fn set(name: &str, size: i32, available: i32, max: i32) -> Arc<ReplicaSet> {
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "annotations": {MAX: max.to_string(), DESIRED: "10"}},
                "spec": {"replicas": size, "selector": {}},
                "status": {"replicas": size, "availableReplicas": available},
            }))
            .unwrap(),
        )
    }

    fn sizes(resized: &[Resize]) -> Vec<(String, i32)> {
        resized
            .iter()
            .map(|(set, size)| (set.name_any(), *size))
            .collect()
    }

    #[test]
    fn percentages_round_up_for_surge_and_down_for_missing() {
        assert_eq!(tolerances(&deployment(10, "25%", "25%")), (3, 2));
        assert_eq!(tolerances(&deployment(1, "25%", "25%")), (1, 0));
        assert_eq!(tolerances(&deployment(3, "0%", "0%")), (0, 1));
    }

    #[test]
    fn a_rollout_grows_and_shrinks_within_its_tolerances() {
        let rolling = deployment(10, "30%", "20%");
        let (old, newest) = (set("old", 10, 10, 13), set("new", 0, 0, 13));
        let all = [Arc::clone(&old), Arc::clone(&newest)];
        assert_eq!(newest_size(&rolling, &newest, &all), 3);
        assert_eq!(
            sizes(&shrink_old(&rolling, &newest, &[old])),
            [("old".to_owned(), 8)]
        );
        // The new pods are not available yet: nothing more may go.
        let (old, newest) = (set("old", 8, 8, 13), set("new", 5, 0, 13));
        assert!(shrink_old(&rolling, &newest, &[Arc::clone(&old)]).is_empty());
        let newest = set("new", 5, 5, 13);
        assert_eq!(
            sizes(&shrink_old(&rolling, &newest, &[old])),
            [("old".to_owned(), 3)]
        );
    }

    #[test]
    fn old_pods_that_never_became_available_go_first() {
        let rolling = deployment(3, "1", "0");
        let (broken, good) = (set("broken", 1, 0, 4), set("good", 3, 3, 4));
        let newest = set("new", 0, 0, 4);
        let shrunk = shrink_old(&rolling, &newest, &[broken, good]);
        assert_eq!(sizes(&shrunk), [("broken".to_owned(), 0)]);
    }

    #[test]
    fn the_only_active_set_takes_the_whole_new_size() {
        let rolling = deployment(4, "25%", "25%");
        let resized = share_out(&rolling, Some(&set("new", 2, 2, 3)), &[set("old", 0, 0, 3)]);
        assert_eq!(sizes(&resized), [("new".to_owned(), 4)]);
        assert!(was_resized(&rolling, &[set("new", 2, 2, 3)]));
    }

    #[test]
    fn a_resize_in_the_middle_of_a_rollout_keeps_the_shares() {
        let rolling = deployment(20, "0", "1");
        let resized = share_out(&rolling, Some(&set("new", 5, 5, 10)), &[set("old", 5, 5, 10)]);
        let sum: i32 = resized.iter().map(|(_, size)| size).sum();
        assert_eq!(sum, 20);
        assert_eq!(sizes(&resized), [("old".to_owned(), 10), ("new".to_owned(), 10)]);
    }

    #[test]
    fn scaling_to_nothing_empties_every_set() {
        let resized = share_out(
            &deployment(0, "1", "0"),
            Some(&set("new", 2, 1, 4)),
            &[set("old", 2, 2, 4)],
        );
        assert!(resized.iter().all(|(_, size)| *size == 0));
    }
}
