//! `--events json`: what happens, as one JSON document a line on standard output, for programs that follow a run.
//!
//! The lines are [`Event`]; their schema is `docs/reference/schemas/events.json`. Every line has `type`, `time` and the
//! session it is about (but `result`, which is about all of them and always comes last). Fields and types are only ever
//! added: a reader skips types that it does not know.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::state::{ComponentState, State};
use super::{Observer, Outcome};
use crate::cli::error::{CliError, Exit};
use crate::cluster::logs::Line;
use crate::output::human;
use crate::output::ui::Ui;

/// One line of `--events json`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Event {
    /// A session was created.
    Created {
        /// When, as RFC 3339.
        time: String,
        /// The session.
        #[serde(flatten)]
        session: SessionRef,
        /// The BackupConfiguration.
        configuration: String,
        /// The session of the BackupConfiguration.
        #[serde(rename = "configuredSession")]
        configured: String,
    },
    /// A BackupConfiguration was asked for and is not backed up.
    Refused {
        /// When, as RFC 3339.
        time: String,
        /// The BackupConfiguration's namespace.
        namespace: String,
        /// The BackupConfiguration's name.
        configuration: String,
        /// Why.
        message: String,
    },
    /// The phase of the session is new.
    Phase {
        /// When, as RFC 3339.
        time: String,
        /// The session.
        #[serde(flatten)]
        session: SessionRef,
        /// Pending, Running, Succeeded, Failed, Skipped, Invalid or Unknown.
        phase: String,
    },
    /// The phase of a component is new.
    Component {
        /// When, as RFC 3339.
        time: String,
        /// The session.
        #[serde(flatten)]
        session: SessionRef,
        /// The component.
        #[serde(flatten)]
        component: ComponentRef,
        /// Pending, Running, Succeeded or Failed.
        phase: String,
        /// Why it failed.
        #[serde(skip_serializing_if = "String::is_empty")]
        error: String,
    },
    /// A component has come further.
    Progress {
        /// When, as RFC 3339.
        time: String,
        /// The session.
        #[serde(flatten)]
        session: SessionRef,
        /// The component.
        #[serde(flatten)]
        component: ComponentRef,
        /// How much is done, 0 to 100.
        #[serde(skip_serializing_if = "Option::is_none")]
        percent: Option<f64>,
        /// How many bytes are done, to three digits.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes_done: Option<u64>,
        /// How many bytes there are, to three digits; grows while they are counted.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes_total: Option<u64>,
        /// How many files are done.
        #[serde(skip_serializing_if = "Option::is_none")]
        files_done: Option<i64>,
        /// How many files there are; grows while they are counted.
        #[serde(skip_serializing_if = "Option::is_none")]
        files_total: Option<i64>,
        /// Seconds since it began.
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds_elapsed: Option<i64>,
        /// Seconds until it is done, if it goes on as it went.
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds_remaining: Option<u64>,
    },
    /// A line of a log (with --logs).
    Log {
        /// When it was received, as RFC 3339.
        time: String,
        /// The session.
        #[serde(flatten)]
        session: SessionRef,
        /// The component that the container works on, or the pod.
        source: String,
        /// The container.
        container: String,
        /// The line as it was written.
        line: String,
    },
    /// The session has ended.
    Ended {
        /// When, as RFC 3339.
        time: String,
        /// The session.
        #[serde(flatten)]
        session: SessionRef,
        /// Succeeded, Failed, Skipped, Invalid or Unknown.
        phase: String,
        /// How long it took, as the operator says, such as `1m2s`.
        duration: String,
        /// Why it did not succeed, most telling first.
        causes: Vec<String>,
        /// The exit code that this session alone would have.
        exit_code: u8,
    },
    /// The last line: how the command ends.
    Result {
        /// When, as RFC 3339.
        time: String,
        /// The command's exit code; see docs/reference/exit-codes.md.
        exit_code: u8,
        /// Why it ends before the sessions did, if it does.
        #[serde(skip_serializing_if = "String::is_empty")]
        message: String,
    },
}

/// Which session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionRef {
    /// BackupSession or RestoreSession.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Which component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentRef {
    /// Its name.
    pub component: String,
    /// Its Repository; empty for restores.
    pub repository: String,
    /// Its Snapshot; empty for restores.
    pub snapshot: String,
}

/// Writes the lines: an [`Observer`] that tells what is new.
pub struct Events<'u> {
    ui: &'u Ui,
    seen: Mutex<BTreeMap<(String, String), State>>,
}

impl<'u> Events<'u> {
    /// To these streams.
    pub fn new(ui: &'u Ui) -> Self {
        Events {
            ui,
            seen: Mutex::default(),
        }
    }

    /// Writes one line, at once.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn write(&self, event: &Event) -> Result<(), CliError> {
        let line = serde_json::to_string(event)
            .map_err(|e| CliError::new(Exit::Error, "an event cannot be written").cause(e.to_string()))?;
        self.ui.line(&line)?;
        Ok(self.ui.flush()?)
    }

    /// Writes a line of a log.
    ///
    /// # Errors
    /// As [`Events::write`].
    pub fn log(&self, session: &SessionRef, line: &Line) -> Result<(), CliError> {
        self.write(&Event::Log {
            time: now(),
            session: session.clone(),
            source: line.source.clone(),
            container: line.container.clone(),
            line: line.text.clone(),
        })
    }

    /// Says how a session ended.
    ///
    /// # Errors
    /// As [`Events::write`].
    pub fn ended(&self, namespace: &str, outcome: &Outcome) -> Result<(), CliError> {
        self.write(&Event::Ended {
            time: now(),
            session: SessionRef {
                kind: outcome.kind.to_owned(),
                namespace: namespace.to_owned(),
                name: outcome.name.clone(),
            },
            phase: outcome.phase.clone(),
            duration: outcome.duration.clone(),
            causes: outcome.causes.clone(),
            exit_code: outcome.exit() as u8,
        })
    }

    /// Says how the command ends.
    ///
    /// # Errors
    /// As [`Events::write`].
    pub fn result(&self, exit: Exit, message: &str) -> Result<(), CliError> {
        self.write(&Event::Result {
            time: now(),
            exit_code: exit as u8,
            message: message.to_owned(),
        })
    }
}

impl Observer for Events<'_> {
    fn seen(&self, state: &State) -> Result<(), CliError> {
        let mut seen = self
            .seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let key = (state.namespace.clone(), state.name.clone());
        let news = news(seen.get(&key), state, &now());
        seen.insert(key, state.clone());
        drop(seen);
        news.iter().try_for_each(|event| self.write(event))
    }
}

/// The time of an event.
pub fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

/// What is new in a state.
fn news(before: Option<&State>, state: &State, time: &str) -> Vec<Event> {
    let session = SessionRef {
        kind: state.kind.to_owned(),
        namespace: state.namespace.clone(),
        name: state.name.clone(),
    };
    let mut events = Vec::new();
    if before.is_none_or(|b| b.phase != state.phase) {
        events.push(Event::Phase {
            time: time.to_owned(),
            session: session.clone(),
            phase: state.phase.clone(),
        });
    }
    for now in &state.components {
        let old = before.and_then(|b| {
            b.components
                .iter()
                .find(|c| c.component == now.component && c.snapshot == now.snapshot)
        });
        if old == Some(now) {
            continue;
        }
        let component = ComponentRef {
            component: now.component.clone(),
            repository: now.repository.clone(),
            snapshot: now.snapshot.clone(),
        };
        if old.is_none_or(|o| o.phase != now.phase) {
            events.push(Event::Component {
                time: time.to_owned(),
                session: session.clone(),
                component: component.clone(),
                phase: now.phase.clone(),
                error: now.error.clone(),
            });
        }
        if now.percent.is_some() && old.is_none_or(|o| moved(o, now)) {
            events.push(Event::Progress {
                time: time.to_owned(),
                session: session.clone(),
                component,
                percent: now.percent,
                bytes_done: human::parse_bytes(&now.done),
                bytes_total: human::parse_bytes(&now.total),
                files_done: now.files_done,
                files_total: now.files_total,
                seconds_elapsed: now.elapsed,
                seconds_remaining: now.remaining().map(|d| d.as_secs()),
            });
        }
    }
    events
}

fn moved(old: &ComponentState, now: &ComponentState) -> bool {
    (old.percent, &old.done, old.files_done, old.elapsed)
        != (now.percent, &now.done, now.files_done, now.elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(phase: &str, percent: f64) -> State {
        State {
            kind: "BackupSession",
            namespace: "demo".to_owned(),
            name: "b".to_owned(),
            phase: phase.to_owned(),
            doing: String::new(),
            components: vec![ComponentState {
                component: "dump".to_owned(),
                phase: "Running".to_owned(),
                percent: Some(percent),
                done: "1.5 MB".to_owned(),
                ..ComponentState::default()
            }],
        }
    }

    #[test]
    fn only_what_is_new_is_told() {
        let first = state("Running", 10.0);
        let kinds = |events: &[Event]| -> Vec<String> {
            events
                .iter()
                .map(|e| {
                    serde_json::to_value(e).unwrap()["type"]
                        .as_str()
                        .unwrap()
                        .to_owned()
                })
                .collect()
        };
        assert_eq!(
            kinds(&news(None, &first, "t")),
            ["phase", "component", "progress"]
        );
        assert_eq!(news(Some(&first), &first, "t"), []);
        let further = news(Some(&first), &state("Running", 20.0), "t");
        assert_eq!(
            serde_json::to_value(&further[0]).unwrap(),
            serde_json::json!({"type": "progress", "time": "t", "kind": "BackupSession", "namespace": "demo", "name": "b",
                "component": "dump", "repository": "", "snapshot": "", "percent": 20.0, "bytesDone": 1_500_000})
        );
        assert_eq!(
            kinds(&news(Some(&first), &state("Succeeded", 10.0), "t")),
            ["phase"]
        );
    }
}
