//! RestoreSession: a source that can be found.

use kube::ResourceExt;

use super::Review;
use super::backup_configuration::check_hooks;
use crate::api::core::RestoreSession;

/// The name that stands for the newest Snapshot.
const LATEST: &str = "latest";

pub(super) fn check(review: &mut Review<'_, RestoreSession>) {
    source(review);
    if let Some(hooks) = &review.new.spec.hooks {
        check_hooks(review, "spec.hooks.preRestore", &hooks.pre_restore);
        check_hooks(review, "spec.hooks.postRestore", &hooks.post_restore);
    }
    addon(review);
}

fn source(review: &mut Review<'_, RestoreSession>) {
    let Some(source) = &review.new.spec.data_source else {
        review.deny(
            "spec.dataSource",
            "the source is missing; name the repository and the snapshot to restore",
        );
        return;
    };
    if let Some(pitr) = &source.pitr {
        if pitr.target_time.is_none() {
            review.deny(
                "spec.dataSource.pitr.targetTime",
                "a restore to a point in time needs that time",
            );
        }
        if source.repository.is_empty() {
            review.deny(
                "spec.dataSource.repository",
                "a restore to a point in time needs the repository",
            );
        }
        return;
    }
    if source.snapshot.is_empty() {
        review.deny(
            "spec.dataSource.snapshot",
            "the snapshot is missing; name one, or write latest and name the repository",
        );
    } else if source.snapshot == LATEST && source.repository.is_empty() {
        review.deny(
            "spec.dataSource.repository",
            "`latest` needs the repository it is the latest of",
        );
    }
}

fn addon(review: &mut Review<'_, RestoreSession>) {
    let Some(addon) = review
        .new
        .spec
        .addon
        .as_ref()
        .filter(|addon| !addon.name.is_empty())
    else {
        review.warn("spec.addon: no addon is named, so nothing says how to restore");
        return;
    };
    let Some(known) = &review.facts.addons else { return };
    let Some(found) = known.iter().find(|one| one.name_any() == addon.name).cloned() else {
        review.warn(format!("spec.addon.name: there is no Addon {} (yet)", addon.name));
        return;
    };
    for (index, task) in addon
        .tasks
        .iter()
        .enumerate()
        .filter(|(_, task)| !task.name.is_empty())
    {
        if !found
            .spec
            .restore_tasks
            .iter()
            .any(|known| known.name == task.name)
        {
            let names: Vec<&str> = found
                .spec
                .restore_tasks
                .iter()
                .map(|task| task.name.as_str())
                .collect();
            review.warn(format!(
                "spec.addon.tasks[{index}].name: Addon {} has no restore task {}; it has: {}",
                addon.name,
                task.name,
                names.join(", ")
            ));
        }
    }
}
