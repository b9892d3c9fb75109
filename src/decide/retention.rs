//! Which Snapshots a RetentionPolicy keeps and which it lets go, with a reason for each.
//!
//! The algorithm is restic's, told over Snapshot objects: per session, successes are kept by the union of "the newest
//! N" and "the newest of each of the newest N hours, days, weeks, months, years" (UTC, ISO weeks); failures by a count
//! of their own; and an age limit overrules both. What must never go is settled before any rule is asked: unfinished
//! Snapshots, the one of the running session, paused ones, those in use by a restore or verification, and the newest
//! success of each session. A policy that names no rule deletes nothing.
//!
//! [`apply`] decides; [`plan`] turns its answer into the work of one retention Job, including whether pruning is due.
//! Called by the BackupSession controller and by the CLI's dry runs.

mod plan;

pub use plan::{
    FORGOTTEN_ANNOTATION, FORGOTTEN_COUNT_ANNOTATION, PRUNED_AT_ANNOTATION, Plan, in_use, plan, restic_ids,
    snapshot_time, to_forget,
};

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::api::storage::SnapshotPhase;

/// What retention needs to know of one Snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Name of the Snapshot.
    pub name: String,
    /// The session that made it; the counts apply per session.
    pub session: String,
    /// Its phase.
    pub phase: SnapshotPhase,
    /// `status.snapshotTime`, or the creation time where that is missing.
    pub time: Timestamp,
    /// Needs an earlier full backup to be of use.
    pub incremental: bool,
    /// Why it must not be touched, whatever the rules say: paused, in use by a restore, of the running session.
    pub protected: Option<String>,
}

/// The counts and the age of a RetentionPolicy, with defaults in place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// How many of the newest successes to keep, and of how many periods the newest; `None` and 0: no such rule; negative:
    /// all. All absent: successes go by age alone.
    pub last: Option<i32>,
    /// Hours.
    pub hourly: Option<i32>,
    /// Days.
    pub daily: Option<i32>,
    /// ISO weeks.
    pub weekly: Option<i32>,
    /// Months.
    pub monthly: Option<i32>,
    /// Years.
    pub yearly: Option<i32>,
    /// How many of the newest failures to keep; `None` means 1.
    pub failed_last: Option<i32>,
    /// Anything older goes.
    pub max_age: Option<SignedDuration>,
}

/// What happens to one Snapshot, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Name of the Snapshot.
    pub name: String,
    /// Whether it stays.
    pub keep: bool,
    /// Every reason to keep it, or every reason to let it go; never empty.
    pub reasons: Vec<String>,
}

/// Why a period is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a period: write numbers with units y, mo, w, d, h, m, such as 1y6mo or 30d")]
pub struct PeriodError(String);

const MINUTES: [(&str, i64); 6] = [
    ("y", 365 * 1440),
    ("mo", 30 * 1440),
    ("w", 7 * 1440),
    ("d", 1440),
    ("h", 60),
    ("m", 1),
];

/// Parses `maxRetentionPeriod`: one or more `<integer><unit>`. A year has 365 days and a month 30. Outer blanks are
/// trimmed and a leading `-` is tolerated; when a unit occurs twice the last one counts.
///
/// # Errors
/// When the text is empty, or a unit is missing or unknown.
pub fn parse_period(text: &str) -> Result<SignedDuration, PeriodError> {
    let error = || PeriodError(text.to_owned());
    let trimmed = text.trim();
    let mut rest = trimmed.strip_prefix('-').unwrap_or(trimmed);
    if rest.is_empty() {
        return Err(error());
    }
    let mut amounts: BTreeMap<&str, i64> = BTreeMap::new();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
        let amount: i64 = rest[..digits].parse().map_err(|_| error())?;
        rest = &rest[digits..];
        // `mo` is tested before `m`.
        let (unit, _) = MINUTES
            .iter()
            .find(|(unit, _)| rest.starts_with(unit))
            .ok_or_else(error)?;
        amounts.insert(unit, amount);
        rest = &rest[unit.len()..];
    }
    let minutes = MINUTES
        .iter()
        .try_fold(0i64, |sum, (unit, factor)| {
            sum.checked_add(amounts.get(unit).copied().unwrap_or(0).checked_mul(*factor)?)
        })
        .ok_or_else(error)?;
    SignedDuration::try_from_mins(minutes).ok_or_else(error)
}

/// Decides about every candidate of one Repository. The answer has one entry per candidate, newest first.
pub fn apply(candidates: &[Candidate], rules: &Rules, now: Timestamp) -> Vec<Decision> {
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| b.name.cmp(&a.name)));
    let mut verdicts: BTreeMap<&str, (bool, Vec<String>)> = BTreeMap::new();
    let sessions: BTreeSet<&str> = sorted
        .iter()
        .map(|candidate| candidate.session.as_str())
        .collect();
    for session in sessions {
        let group: Vec<&Candidate> = sorted.iter().copied().filter(|c| c.session == session).collect();
        decide_session(&group, rules, now, &mut verdicts);
    }
    sorted
        .iter()
        .filter_map(|candidate| {
            let (keep, reasons) = verdicts.get(candidate.name.as_str())?;
            Some(Decision {
                name: candidate.name.clone(),
                keep: *keep,
                reasons: reasons.clone(),
            })
        })
        .collect()
}

type Verdicts<'a> = BTreeMap<&'a str, (bool, Vec<String>)>;

/// One session's Snapshots, newest first.
fn decide_session<'a>(group: &[&'a Candidate], rules: &Rules, now: Timestamp, verdicts: &mut Verdicts<'a>) {
    let successes: Vec<&Candidate> = of_phase(group, SnapshotPhase::Succeeded);
    let failures: Vec<&Candidate> = of_phase(group, SnapshotPhase::Failed);
    let full: Vec<&Candidate> = successes
        .iter()
        .copied()
        .filter(|c| !leans_on_a_full_one(c, &successes))
        .collect();
    let mut kept = reasons_by_count(&full, rules);
    for (index, failure) in failures.iter().enumerate() {
        let limit = rules.failed_last.unwrap_or(1);
        if within(limit, index) {
            add(
                &mut kept,
                &failure.name,
                format!("failed {} of the last {limit}", index + 1),
            );
        }
    }
    let by_count = counts_given(rules);
    let newest = successes.first().map(|candidate| candidate.name.as_str());
    for &candidate in group {
        let verdict = decide_one(candidate, &kept, by_count, newest, rules, now);
        verdicts.insert(&candidate.name, verdict);
    }
    tie_incrementals(&successes, verdicts);
}

fn of_phase<'a>(group: &[&'a Candidate], phase: SnapshotPhase) -> Vec<&'a Candidate> {
    group
        .iter()
        .copied()
        .filter(|candidate| candidate.phase == phase)
        .collect()
}

fn decide_one(
    candidate: &Candidate,
    kept: &BTreeMap<String, Vec<String>>,
    by_count: bool,
    newest: Option<&str>,
    rules: &Rules,
    now: Timestamp,
) -> (bool, Vec<String>) {
    let mut keep = Vec::new();
    match candidate.phase {
        SnapshotPhase::Pending | SnapshotPhase::Running => keep.push("not finished".to_owned()),
        SnapshotPhase::Succeeded if newest == Some(candidate.name.as_str()) => {
            keep.push("newest success of its session".to_owned());
        }
        _ => {}
    }
    keep.extend(candidate.protected.clone());
    let counted = kept.get(&candidate.name).cloned().unwrap_or_default();
    if !keep.is_empty() {
        keep.extend(counted);
        return (true, keep);
    }
    let age = now.duration_since(candidate.time);
    let too_old = rules.max_age.is_some_and(|max| age > max);
    let uncounted = counted.is_empty() && (candidate.phase == SnapshotPhase::Failed || by_count);
    let mut go = Vec::new();
    if too_old {
        go.push("older than the maximum retention period".to_owned());
    }
    if uncounted {
        go.push("kept by no rule".to_owned());
    }
    if !go.is_empty() {
        return (false, go);
    }
    let reasons = if counted.is_empty() {
        vec![within_age(rules)]
    } else {
        counted
    };
    (true, reasons)
}

fn within_age(rules: &Rules) -> String {
    let text = if rules.max_age.is_some() {
        "within the maximum retention period"
    } else {
        "no rule says otherwise"
    };
    text.to_owned()
}

fn counts_given(rules: &Rules) -> bool {
    [
        rules.last,
        rules.hourly,
        rules.daily,
        rules.weekly,
        rules.monthly,
        rules.yearly,
    ]
    .into_iter()
    .flatten()
    .any(|count| count != 0)
}

/// Whether place `index` is among the first `limit`; a negative limit has no end.
fn within(limit: i32, index: usize) -> bool {
    usize::try_from(limit).map_or(true, |limit| index < limit)
}

fn add(kept: &mut BTreeMap<String, Vec<String>>, name: &str, reason: String) {
    kept.entry(name.to_owned()).or_default().push(reason);
}

type PeriodOf = fn(Timestamp) -> (i32, i32);

/// The union of the counting rules over successes that stand for themselves, newest first.
fn reasons_by_count(full: &[&Candidate], rules: &Rules) -> BTreeMap<String, Vec<String>> {
    let mut kept = BTreeMap::new();
    if let Some(last) = rules.last {
        for (index, candidate) in full.iter().enumerate().filter(|(index, _)| within(last, *index)) {
            add(
                &mut kept,
                &candidate.name,
                format!("last {} of {last}", index + 1),
            );
        }
    }
    let periods: [(&str, Option<i32>, PeriodOf); 5] = [
        ("hourly", rules.hourly, hour_of),
        ("daily", rules.daily, day_of),
        ("weekly", rules.weekly, week_of),
        ("monthly", rules.monthly, month_of),
        ("yearly", rules.yearly, year_of),
    ];
    for (word, limit, period_of) in periods {
        let Some(limit) = limit else { continue };
        let mut previous = None;
        let mut index = 0;
        for candidate in full {
            let period = period_of(candidate.time);
            if previous == Some(period) {
                continue;
            }
            if !within(limit, index) {
                break;
            }
            previous = Some(period);
            index += 1;
            add(&mut kept, &candidate.name, format!("{word} {index} of {limit}"));
        }
    }
    kept
}

fn civil(time: Timestamp) -> jiff::civil::DateTime {
    time.to_zoned(TimeZone::UTC).datetime()
}

fn hour_of(time: Timestamp) -> (i32, i32) {
    let at = civil(time);
    (
        i32::from(at.year()),
        i32::from(at.day_of_year()) * 24 + i32::from(at.hour()),
    )
}

fn day_of(time: Timestamp) -> (i32, i32) {
    let at = civil(time);
    (i32::from(at.year()), i32::from(at.day_of_year()))
}

fn week_of(time: Timestamp) -> (i32, i32) {
    let week = civil(time).date().iso_week_date();
    (i32::from(week.year()), i32::from(week.week()))
}

fn month_of(time: Timestamp) -> (i32, i32) {
    let at = civil(time);
    (i32::from(at.year()), i32::from(at.month()))
}

fn year_of(time: Timestamp) -> (i32, i32) {
    (i32::from(civil(time).year()), 0)
}

/// The newest full success that is not younger than an incremental one.
fn base_of<'a>(incremental: &Candidate, successes: &[&'a Candidate]) -> Option<&'a Candidate> {
    successes
        .iter()
        .copied()
        .find(|other| !other.incremental && other.time <= incremental.time)
}

fn leans_on_a_full_one(candidate: &Candidate, successes: &[&Candidate]) -> bool {
    candidate.incremental && base_of(candidate, successes).is_some()
}

/// Incremental successes share the fate of the full one they need; one that must stay keeps it, too.
fn tie_incrementals<'a>(successes: &[&'a Candidate], verdicts: &mut Verdicts<'a>) {
    let pairs: Vec<(&Candidate, &Candidate)> = successes
        .iter()
        .filter(|candidate| candidate.incremental)
        .filter_map(|candidate| Some((*candidate, base_of(candidate, successes)?)))
        .collect();
    for (incremental, base) in &pairs {
        let firm = verdicts
            .get(incremental.name.as_str())
            .is_some_and(|(keep, _)| *keep)
            && (incremental.protected.is_some()
                || successes
                    .first()
                    .is_some_and(|newest| newest.name == incremental.name));
        if firm && let Some(verdict) = verdicts.get_mut(base.name.as_str()) {
            let reason = format!("needed by the incremental {}", incremental.name);
            if verdict.0 {
                verdict.1.push(reason);
            } else {
                *verdict = (true, vec![reason]);
            }
        }
    }
    for (incremental, base) in &pairs {
        let base_kept = verdicts.get(base.name.as_str()).is_some_and(|(keep, _)| *keep);
        if let Some(verdict) = verdicts.get_mut(incremental.name.as_str())
            && verdict.0 != base_kept
        {
            let fate = if base_kept { "stays with" } else { "goes with" };
            *verdict = (base_kept, vec![format!("{fate} the full backup {}", base.name)]);
        }
    }
}

#[cfg(test)]
mod tests;
