//! What a run has begun and how each part of it ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::run::{Plan, took};
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::Outcome;
use crate::output::human;
use crate::output::junit::{self, Case};

/// How one session ended, as far as this command knows.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// It ended in the cluster.
    Ended(Outcome),
    /// It did not end within the bound, and goes on.
    TimedOut,
    /// It could not be followed to its end.
    Lost(CliError),
    /// It was not begun, and that is an error.
    Refused(CliError),
    /// It was not begun, and that is what was asked for; why.
    LeftOut(String),
}

/// One session of one configuration.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) namespace: String,
    pub(super) configuration: String,
    pub(super) session: String,
    /// The BackupSession; empty when none was created.
    pub(super) name: String,
    /// Where its pods run, if that is another namespace.
    pub(super) elsewhere: String,
    /// The BackupSession as it was created.
    pub(super) object: Value,
    pub(super) end: Option<End>,
    /// How to create it, where it is not created yet: it waits for its turn.
    pub(super) plan: Option<Arc<Plan>>,
    began: Instant,
    took: Option<Duration>,
}

impl Entry {
    pub(super) fn of(namespace: &str, configuration: &str, session: &str) -> Self {
        Entry {
            namespace: namespace.to_owned(),
            configuration: configuration.to_owned(),
            session: session.to_owned(),
            name: String::new(),
            elsewhere: String::new(),
            object: Value::Null,
            end: None,
            plan: None,
            began: Instant::now(),
            took: None,
        }
    }

    pub(super) fn ended(mut self, end: End) -> Self {
        self.end = Some(end);
        self.took = Some(Duration::ZERO);
        self
    }
}

/// All of them; shared with whoever must know when the command is interrupted.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Vec<Entry>>);

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, entry: Entry) {
        self.lock().push(entry);
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// A BackupSession was created for an entry.
    pub(super) fn began(&self, index: usize, object: Value) {
        if let Some(entry) = self.lock().get_mut(index) {
            let name = object.pointer("/metadata/name").and_then(Value::as_str);
            entry.name = name.unwrap_or_default().to_owned();
            entry.object = object;
        }
    }

    /// Says how an entry ended.
    pub(super) fn end(&self, index: usize, end: End) {
        if let Some(entry) = self.lock().get_mut(index) {
            entry.took = Some(took(entry.began));
            entry.end = Some(end);
        }
    }
}

/// One code for all of them: what is not known counts most, then some well and some not is a part.
pub(super) fn exit(entries: &[Entry], waited: bool) -> Exit {
    let mut well = 0;
    let mut bad = Vec::new();
    for entry in entries {
        match &entry.end {
            Some(End::TimedOut) => return Exit::TimedOut,
            Some(End::Ended(outcome)) if outcome.exit() == Exit::Ok => well += 1,
            Some(End::Ended(outcome)) => bad.push(outcome.exit()),
            Some(End::Lost(error) | End::Refused(error)) => bad.push(error.exit),
            Some(End::LeftOut(_)) => {}
            None if waited => bad.push(Exit::Error),
            None => well += 1,
        }
    }
    match (well, bad.first()) {
        (0, None) => Exit::Precondition,
        (_, None) => Exit::Ok,
        (0, Some(first)) => *first,
        (_, Some(_)) => Exit::Partial,
    }
}

/// The entries as JUnit's XML: a case for each, of the class `namespace.configuration`.
pub(super) fn junit(title: &str, entries: &[Entry]) -> String {
    let cases: Vec<Case> = entries.iter().map(case).collect();
    junit::document(title, &cases)
}

fn case(entry: &Entry) -> Case {
    let mut time = entry.took.unwrap_or_else(|| took(entry.began));
    let end = match &entry.end {
        Some(End::Ended(outcome)) => {
            if let Ok(said) = human::parse_duration(&outcome.duration) {
                time = said;
            }
            ended(outcome)
        }
        Some(End::TimedOut) if entry.name.is_empty() => junit::End::Error(
            "it was not begun in time: another backup into its Repository runs".to_owned(),
            String::new(),
        ),
        Some(End::TimedOut) => junit::End::Error(
            format!("{} did not end in time, and goes on", entry.name),
            String::new(),
        ),
        Some(End::Lost(error) | End::Refused(error)) => junit::End::Error(
            error.message.clone(),
            error
                .causes
                .iter()
                .chain(&error.hints)
                .cloned()
                .collect::<Vec<_>>()
                .join("\n"),
        ),
        Some(End::LeftOut(why)) => junit::End::Skipped(why.clone()),
        None if entry.name.is_empty() => {
            junit::End::Error("interrupted before it was begun".to_owned(), String::new())
        }
        None => junit::End::Error(
            format!("interrupted while {} ran; it goes on", entry.name),
            String::new(),
        ),
    };
    Case {
        class: if entry.configuration.is_empty() {
            "kubestash".to_owned()
        } else {
            format!("{}.{}", entry.namespace, entry.configuration)
        },
        name: if entry.session.is_empty() {
            "backup"
        } else {
            &entry.session
        }
        .to_owned(),
        time,
        end,
    }
}

fn ended(outcome: &Outcome) -> junit::End {
    let first = outcome
        .causes
        .first()
        .and_then(|c| c.lines().next())
        .unwrap_or("");
    match outcome.phase.as_str() {
        "Succeeded" => junit::End::Passed,
        "Skipped" => junit::End::Error(
            format!("{} was skipped: {first}", outcome.name),
            outcome.causes.join("\n"),
        ),
        _ => junit::End::Failed(
            format!("{} ended as {}: {first}", outcome.name, outcome.phase),
            outcome.causes.join("\n"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(end: Option<End>) -> Entry {
        let mut entry = Entry::of("demo", "b", "daily");
        entry.name = "b-daily-1".to_owned();
        entry.end = end;
        entry.took = Some(Duration::ZERO);
        entry
    }

    fn outcome(phase: &str) -> Option<End> {
        Some(End::Ended(Outcome {
            kind: "BackupSession",
            name: "b-daily-1".to_owned(),
            session: "daily".to_owned(),
            phase: phase.to_owned(),
            duration: "1m2s".to_owned(),
            causes: vec!["disk full\nmore".to_owned()],
            in_part: false,
        }))
    }

    fn refused() -> Option<End> {
        Some(End::Refused(CliError::new(Exit::Precondition, "b is paused")))
    }

    #[test]
    fn several_ends_have_one_code() {
        let left_out = || Some(End::LeftOut("paused".to_owned()));
        let cases: Vec<(Vec<Option<End>>, Exit)> = vec![
            (vec![outcome("Succeeded"), outcome("Succeeded")], Exit::Ok),
            (vec![outcome("Succeeded"), outcome("Failed")], Exit::Partial),
            (vec![outcome("Failed"), refused()], Exit::Failed),
            (vec![refused()], Exit::Precondition),
            (vec![outcome("Succeeded"), refused()], Exit::Partial),
            (vec![outcome("Succeeded"), left_out()], Exit::Ok),
            (vec![left_out()], Exit::Precondition),
            (vec![outcome("Failed"), Some(End::TimedOut)], Exit::TimedOut),
            (vec![outcome("Skipped")], Exit::Precondition),
        ];
        for (ends, code) in cases {
            let entries: Vec<Entry> = ends.into_iter().map(entry).collect();
            assert_eq!(exit(&entries, true), code, "{entries:?}");
        }
        assert_eq!(exit(&[entry(None)], false), Exit::Ok, "created, and nobody waits");
    }

    #[test]
    fn every_end_is_a_case() {
        let entries: Vec<Entry> = [
            outcome("Succeeded"),
            outcome("Failed"),
            refused(),
            Some(End::TimedOut),
        ]
        .into_iter()
        .map(entry)
        .collect();
        let text = junit("backup now", &entries);
        assert!(
            text.contains(r#"tests="4" failures="1" errors="2" skipped="0""#),
            "{text}"
        );
        assert!(
            text.contains(r#"classname="demo.b" name="daily" time="62.000""#),
            "{text}"
        );
        assert!(text.contains("b-daily-1 ended as Failed: disk full\""), "{text}");
    }
}
