//! BackupSession and BackupVerificationSession: a run is what it was asked to be.

use super::Review;
use crate::api::core::{BackupSession, BackupVerificationSession};

const WAY_OUT: &str = "a run cannot be changed once it is created; create another one";

pub(super) fn check_backup_session(review: &mut Review<'_, BackupSession>) {
    if review.old.is_some_and(|old| old.spec != review.new.spec) {
        review.deny("spec", WAY_OUT);
    }
}

pub(super) fn check_verification_session(review: &mut Review<'_, BackupVerificationSession>) {
    if review.old.is_some_and(|old| old.spec != review.new.spec) {
        review.deny("spec", WAY_OUT);
    }
}
