//! BackupBlueprint: a template that is there and whose storage its namespace may use.

use super::Review;
use super::backup_configuration::{check_backends, check_session};
use crate::api::core::BackupBlueprint;

pub(super) fn check(review: &mut Review<'_, BackupBlueprint>) {
    let spec = &review.new.spec;
    review.check_selector(spec.usage_policy.as_ref());
    let Some(template) = &spec.backup_configuration_template else {
        review.deny(
            "spec.backupConfigurationTemplate",
            "the template is missing; without it nothing can be generated",
        );
        return;
    };
    let path = "spec.backupConfigurationTemplate";
    check_backends(review, &format!("{path}.backends"), &template.backends, false);
    // What upstream's webhook leaves to the generated BackupConfiguration is only worth a warning here: values may still
    // come from annotations.
    let denied = review.denials.len();
    for (index, session) in template.sessions.iter().enumerate() {
        check_session(
            review,
            &format!("{path}.sessions[{index}]"),
            session,
            &template.backends,
            false,
        );
    }
    let later: Vec<String> = review
        .denials
        .drain(denied..)
        .map(|denial| format!("{}: {}", denial.path, denial.message))
        .collect();
    review.warnings.extend(later);
    if !spec.subjects.is_empty() {
        review.warn(
            "spec.subjects: nothing is done with this list; the annotation on a workload alone decides",
        );
    }
}
