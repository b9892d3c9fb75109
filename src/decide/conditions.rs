//! How conditions enter a status: in place, and only when they say something new.
//!
//! An entry whose status, reason, message and generation are already there is left alone, so that writing the same
//! thing again changes nothing and no watch wakes up. Otherwise it is replaced where it stands (or appended when new)
//! and its transition time is now: the order of the list stays that of first occurrence.
//!
//! Called by every controller; the constants for types and reasons are in [`crate::api::conditions`].

use crate::api::shared::{Condition, ConditionStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A condition that holds (`status` true) or does not, as of `now`.
pub fn condition(
    type_: &str,
    status: bool,
    reason: &str,
    message: impl Into<String>,
    now: Timestamp,
) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: ConditionStatus::from(status),
        last_transition_time: Time(now),
        reason: reason.to_owned(),
        message: message.into(),
        observed_generation: None,
        severity: None,
    }
}

/// Puts `new` into the list by the rules above. Answers whether anything changed.
pub fn set(conditions: &mut Vec<Condition>, new: Condition) -> bool {
    match conditions.iter_mut().find(|known| known.type_ == new.type_) {
        None => conditions.push(new),
        Some(known)
            if known.status == new.status
                && known.reason == new.reason
                && known.message == new.message
                && known.observed_generation == new.observed_generation =>
        {
            return false;
        }
        Some(known) => *known = new,
    }
    true
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the type occurs at all.
pub fn has(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some()
}

/// Whether the type occurs and is True. An absent condition is neither true nor false.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == ConditionStatus::True)
}

/// Whether the type occurs and is False.
pub fn is_false(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == ConditionStatus::False)
}

/// Takes the type out of the list. Answers whether it was there.
pub fn remove(conditions: &mut Vec<Condition>, type_: &str) -> bool {
    let before = conditions.len();
    conditions.retain(|condition| condition.type_ != type_);
    conditions.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_equal_condition_changes_nothing_and_keeps_its_time() {
        let mut list = Vec::new();
        assert!(set(&mut list, condition("A", true, "Because", "so", at(1))));
        assert!(!set(&mut list, condition("A", true, "Because", "so", at(2))));
        assert_eq!(list[0].last_transition_time, Time(at(1)));
    }

    #[test]
    fn a_new_message_replaces_in_place() {
        let mut list = Vec::new();
        set(&mut list, condition("A", true, "Because", "so", at(1)));
        set(&mut list, condition("B", true, "Because", "so", at(1)));
        assert!(set(&mut list, condition("A", false, "Because", "no", at(2))));
        assert_eq!(
            list.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(),
            ["A", "B"]
        );
        assert_eq!(list[0].last_transition_time, Time(at(2)));
        assert!(is_false(&list, "A") && is_true(&list, "B"));
    }

    #[test]
    fn an_absent_condition_is_neither_true_nor_false() {
        assert!(!is_true(&[], "A") && !is_false(&[], "A") && !has(&[], "A"));
        let mut list = vec![condition("A", true, "", "", at(1))];
        assert!(remove(&mut list, "A") && !remove(&mut list, "A"));
    }
}
