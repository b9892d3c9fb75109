//! BackupVerifier: everything that its type needs.

use super::Review;
use crate::api::core::{BackupVerifier, VerificationType};
use crate::decide::schedule::Schedule;

pub(super) fn check(review: &mut Review<'_, BackupVerifier>) {
    let spec = &review.new.spec;
    match &spec.restore_option {
        None => review.deny(
            "spec.restoreOption",
            "the option is missing; say how and where to restore for the test",
        ),
        Some(option) if option.addon_info.is_none() => {
            review.deny(
                "spec.restoreOption.addonInfo",
                "the addon is missing; name the Addon and the restore task",
            );
        }
        Some(_) => {}
    }
    match &spec.scheduler {
        None => review.deny("spec.scheduler", "the scheduler is missing; say when to verify"),
        Some(scheduler) => {
            if let Err(error) = Schedule::parse(&scheduler.schedule) {
                review.deny(
                    "spec.scheduler.schedule",
                    format!("\"{}\" is not a schedule: {error}", scheduler.schedule),
                );
            }
        }
    }
    match spec.type_ {
        None => review.deny(
            "spec.type",
            "the type is missing; it is one of RestoreOnly, Query, Script",
        ),
        Some(VerificationType::RestoreOnly) => {}
        Some(VerificationType::Query) => {
            if spec.query.is_none() {
                review.deny("spec.query", "type Query needs a query");
            }
            function(review, "Query");
        }
        Some(VerificationType::Script) => {
            match &spec.script {
                None => review.deny("spec.script", "type Script needs a script"),
                Some(script) if script.location.is_empty() => {
                    review.deny("spec.script.location", "the script needs a location");
                }
                Some(_) => {}
            }
            function(review, "Script");
        }
    }
}

fn function(review: &mut Review<'_, BackupVerifier>, kind: &str) {
    if review.new.spec.function.is_empty() {
        review.deny(
            "spec.function",
            format!("type {kind} needs a function, the Function that runs it"),
        );
    }
}
