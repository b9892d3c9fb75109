//! What a schedule and a retention policy mean, before they are applied.
//!
//! Both are computed by the code that later does the work: the schedule's grammar and the retention algorithm of the
//! operator. The retention preview imagines that the schedule has run for years and asks which Snapshots would be there.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::api::storage::{RetentionPolicySpec, SnapshotPhase};
use crate::decide::retention::{Candidate, Rules, apply};
use crate::decide::schedule::Schedule;
use crate::output::human;

/// At most so many runs are imagined one by one.
const RUNS: usize = 5000;
/// Seconds.
const DAY: i64 = 86_400;

/// The schedule in plain English, and its next three runs with how far away they are. CronJobs run in the clock of the
/// cluster, which is UTC unless somebody changed it.
///
/// # Errors
/// Why a CronJob would refuse it.
pub fn schedule(text: &str, now: Timestamp) -> Result<String, String> {
    let schedule = Schedule::parse(text).map_err(|e| e.to_string())?;
    let next = times(&schedule, now);
    if next.is_empty() {
        return Err(format!(
            "{text} never comes: there is no such time in the next five years"
        ));
    }
    let words = schedule.describe();
    Ok(format!(
        "{} (UTC). Next: {}",
        words.trim_end_matches('.'),
        next.join(", ")
    ))
}

/// The next three runs of a schedule, each with how far away it is; none where it is no schedule.
pub fn next(text: &str, now: Timestamp) -> Vec<String> {
    Schedule::parse(text)
        .map(|schedule| times(&schedule, now))
        .unwrap_or_default()
}

fn times(schedule: &Schedule, now: Timestamp) -> Vec<String> {
    let runs = schedule.next_runs(now, &TimeZone::UTC, 3);
    runs.iter()
        .map(|run| {
            let at = run.to_zoned(TimeZone::UTC).strftime("%a %d %b %H:%M").to_string();
            format!("{at} (in {})", human::until(*run, now))
        })
        .collect()
}

/// A policy in one line: its rules, and what they come to with a schedule.
pub fn policy(policy: &RetentionPolicySpec, schedule: &str, now: Timestamp) -> String {
    let effect = retention(policy, schedule, now).unwrap_or_default();
    let effect = effect.strip_prefix("In the long run it keeps ").map_or_else(
        || effect.clone(),
        |rest| rest.replace(", the oldest about", ", oldest about"),
    );
    format!("{} → {}", rules(policy), effect.trim_end_matches('.'))
}

/// What a policy keeps in the long run of backups made by a schedule, in one sentence.
///
/// # Errors
/// When the schedule or the policy's period cannot be read.
pub fn retention(policy: &RetentionPolicySpec, schedule: &str, now: Timestamp) -> Result<String, String> {
    let rules = Rules::of(policy).map_err(|e| e.to_string())?;
    let parsed = Schedule::parse(schedule).map_err(|e| e.to_string())?;
    let gap = gap(&parsed, now);
    let counts = counts(&rules);
    let keeps = |count: usize, oldest: SignedDuration| {
        format!(
            "In the long run it keeps {}, the oldest about {} old.",
            human::counted(count, "Snapshot"),
            long(oldest)
        )
    };
    if counts.is_empty() {
        return Ok(match rules.max_age {
            None => "It keeps every Snapshot for ever.".to_owned(),
            Some(age) => keeps(
                usize::try_from(age.as_secs() / gap.as_secs().max(1))
                    .unwrap_or(0)
                    .max(1),
                age,
            ),
        });
    }
    let runs = past_runs(&parsed, &counts, gap, now);
    let candidates: Vec<Candidate> = runs
        .iter()
        .enumerate()
        .map(|(index, time)| Candidate {
            name: format!("{index:06}"),
            session: "s".to_owned(),
            phase: SnapshotPhase::Succeeded,
            time: *time,
            incremental: false,
            protected: None,
        })
        .collect();
    let kept: Vec<Timestamp> = apply(&candidates, &rules, now)
        .iter()
        .filter(|decision| decision.keep)
        .filter_map(|decision| runs.get(decision.name.parse::<usize>().ok()?).copied())
        .collect();
    Ok(match kept.iter().min() {
        None => "It keeps nothing but the newest Snapshot.".to_owned(),
        Some(oldest) => keeps(kept.len(), now.duration_since(*oldest)),
    })
}

/// The counting rules: how many, and the hours of one period.
fn counts(rules: &Rules) -> Vec<(i64, i64)> {
    [
        (rules.last, 0),
        (rules.hourly, 1),
        (rules.daily, 24),
        (rules.weekly, 7 * 24),
        (rules.monthly, 31 * 24),
        (rules.yearly, 366 * 24),
    ]
    .into_iter()
    .filter_map(|(count, hours)| Some((i64::from(count.filter(|c| *c != 0)?), hours)))
    .collect()
}

/// The time between two runs.
fn gap(schedule: &Schedule, now: Timestamp) -> SignedDuration {
    let runs = schedule.next_runs(now, &TimeZone::UTC, 3);
    let gaps = runs.windows(2).filter_map(|pair| match pair {
        [a, b] => Some(b.duration_since(*a)),
        _ => None,
    });
    gaps.max().unwrap_or(SignedDuration::from_hours(24))
}

/// The times at which the schedule would have run, as far back as the rules can reach: every run where rules count single
/// runs or hours, and one a day before that, because no other rule tells the runs of a day apart.
fn past_runs(
    schedule: &Schedule,
    counts: &[(i64, i64)],
    gap: SignedDuration,
    now: Timestamp,
) -> Vec<Timestamp> {
    let seconds =
        |count: i64, hours: i64| count.saturating_mul((hours * 3600).max(gap.as_secs())) + gap.as_secs();
    let reach = |most: i64| {
        let fitting = counts.iter().filter(|(_, hours)| *hours <= most);
        fitting
            .map(|(count, hours)| seconds(*count, *hours))
            .max()
            .unwrap_or(0)
    };
    let limit = 40 * 366 * DAY;
    let whole = reach(1).max(2 * DAY).min(limit);
    let mut runs = schedule.next_runs(now - SignedDuration::from_secs(whole), &TimeZone::UTC, RUNS);
    runs.retain(|run| *run <= now);
    let days = (reach(i64::MAX).min(limit) - whole) / DAY + 2;
    for day in 1..=days.max(1) {
        let start = now - SignedDuration::from_secs(whole + day * DAY);
        let run = schedule.next_after(start, &TimeZone::UTC);
        runs.extend(run.filter(|run| run.duration_since(start).as_secs() <= DAY));
    }
    runs.sort_unstable();
    runs.dedup();
    runs
}

/// A long time in its largest unit.
fn long(time: SignedDuration) -> String {
    let days = time.as_hours() / 24;
    let (count, noun) = match days {
        0 if time.as_hours() < 2 => (time.as_mins(), "minute"),
        0 => (time.as_hours(), "hour"),
        1..=20 => (days, "day"),
        21..=59 => (days / 7, "week"),
        60..=699 => (days / 30, "month"),
        _ => (days / 365, "year"),
    };
    human::counted(count, noun)
}

/// The rules of a policy in words: `7 daily, 4 weekly, nothing older than 2mo`.
pub fn rules(policy: &RetentionPolicySpec) -> String {
    let counts = policy.successful_snapshots.clone().unwrap_or_default();
    let mut parts: Vec<String> = [
        (counts.last, "last"),
        (counts.hourly, "hourly"),
        (counts.daily, "daily"),
        (counts.weekly, "weekly"),
        (counts.monthly, "monthly"),
        (counts.yearly, "yearly"),
    ]
    .into_iter()
    .filter_map(|(count, word)| {
        let count = count.filter(|c| *c != 0)?;
        Some(match (count, word) {
            (..0, word) => format!("every {word}"),
            (count, "last") => format!("the last {count}"),
            (count, word) => format!("{count} {word}"),
        })
    })
    .collect();
    if let Some(period) = policy.max_retention_period.as_deref().filter(|p| !p.is_empty()) {
        parts.push(format!("nothing older than {period}"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::storage::SuccessfulSnapshots;

    fn now() -> Timestamp {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    fn policy(
        last: Option<i32>,
        daily: Option<i32>,
        weekly: Option<i32>,
        age: Option<&str>,
    ) -> RetentionPolicySpec {
        RetentionPolicySpec {
            max_retention_period: age.map(Into::into),
            successful_snapshots: Some(SuccessfulSnapshots {
                last,
                daily,
                weekly,
                ..SuccessfulSnapshots::default()
            }),
            ..RetentionPolicySpec::default()
        }
    }

    #[test]
    fn a_schedule_is_told_in_words_with_its_next_runs() {
        insta::assert_snapshot!(schedule("0 3 * * *", now()).unwrap(), @"Every day at 03:00 (UTC). Next: Sun 22 Nov 03:00 (in 15h), Mon 23 Nov 03:00 (in 39h), Tue 24 Nov 03:00 (in 2d15h)");
        assert!(schedule("0 0 31 2 *", now()).unwrap_err().contains("never comes"));
        assert!(schedule("0 3 * *", now()).is_err());
    }

    #[test]
    fn a_policy_is_told_by_what_it_would_keep() {
        let nightly = "0 2 * * *";
        let keep = |policy: &RetentionPolicySpec, schedule: &str| retention(policy, schedule, now()).unwrap();
        assert_eq!(
            keep(&policy(None, Some(7), None, None), nightly),
            "In the long run it keeps 7 Snapshots, the oldest about 6 days old."
        );
        assert_eq!(
            keep(&policy(None, Some(7), Some(4), None), nightly),
            "In the long run it keeps 9 Snapshots, the oldest about 20 days old."
        );
        assert_eq!(
            keep(&policy(Some(5), None, None, None), "*/10 * * * *"),
            "In the long run it keeps 5 Snapshots, the oldest about 40 minutes old."
        );
        assert_eq!(
            keep(&RetentionPolicySpec::default(), nightly),
            "It keeps every Snapshot for ever."
        );
        let years = RetentionPolicySpec {
            successful_snapshots: Some(SuccessfulSnapshots {
                yearly: Some(10),
                monthly: Some(12),
                ..SuccessfulSnapshots::default()
            }),
            ..RetentionPolicySpec::default()
        };
        assert_eq!(
            keep(&years, "* * * * *"),
            "In the long run it keeps 20 Snapshots, the oldest about 8 years old."
        );
        assert_eq!(
            keep(&policy(Some(3), None, None, None), "0 2 1 * *"),
            "In the long run it keeps 3 Snapshots, the oldest about 2 months old."
        );
        assert_eq!(
            keep(&policy(None, None, None, Some("30d")), nightly),
            "In the long run it keeps 30 Snapshots, the oldest about 4 weeks old."
        );
    }

    #[test]
    fn rules_are_told_in_words() {
        assert_eq!(
            rules(&policy(Some(5), Some(7), None, Some("2mo"))),
            "the last 5, 7 daily, nothing older than 2mo"
        );
    }
}
