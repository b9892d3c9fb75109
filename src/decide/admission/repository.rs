//! Repository: its directory never moves.

use super::Review;
use crate::api::storage::Repository;

pub(super) fn check(review: &mut Review<'_, Repository>) {
    let Some(old) = review.old else { return };
    let (before, after) = (&old.spec.path, &review.new.spec.path);
    if before != after {
        review.deny(
            "spec.path",
            format!(
                "the directory of a Repository cannot be changed (from \"{before}\" to \"{after}\"): its data would stay behind; create another Repository"
            ),
        );
    }
}
