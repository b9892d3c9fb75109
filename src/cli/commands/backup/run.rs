//! Running sessions: creating BackupSessions and following them to their ends. `backup now`, `backup retry` and
//! `trigger` are this with different ways to say which sessions are meant.
//!
//! What was begun is kept in a [`Ledger`] from the first object on, so that an interruption or a timeout still knows
//! what goes on in the cluster, and `--junit` and `--events` tell of it however the command ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use serde_json::Value;

use super::conclude::conclude;
use super::following::follow_all;
use super::ledger::{End, Entry, Ledger};
use super::turn::{self, Before};
use crate::api::core::{BackupConfiguration, Session};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::events::{self, Event, Events, SessionRef};
use crate::cli::{place, report};
use crate::cluster::{Cluster, Error, kinds};
use crate::decide::trigger;
use crate::output::format::Format;
use crate::output::human;

/// How many names are tried when BackupSessions of the same second exist already.
const NAMES: i64 = 10;
/// What `--timeout 0` comes to.
const NO_LIMIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// Whether and how the end is awaited.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// Wait until it has ended, and end with a code that says how
    #[arg(long)]
    pub(super) wait: bool,
    /// How long to wait; 0 means no limit
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "30m")]
    pub(super) timeout: Duration,
    /// Show the logs of its pods meanwhile (implies --wait)
    #[arg(long)]
    pub(super) logs: bool,
    /// Write what happens to standard output, one JSON document a line (implies --wait)
    #[arg(long, value_name = "FORM", value_enum, conflicts_with = "output")]
    pub(super) events: Option<EventsForm>,
    /// Write the results to a file as JUnit's XML (implies --wait)
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Form of the output: table, wide, json, yaml, name, jsonpath=… or custom-columns=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    pub(super) output: Format,
}

/// The forms of `--events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum EventsForm {
    /// Newline-delimited JSON
    Json,
}

impl RunArgs {
    /// Only creating, with this form of output.
    pub fn create_only(output: Format) -> Self {
        RunArgs {
            wait: false,
            timeout: Duration::ZERO,
            logs: false,
            events: None,
            junit: None,
            output,
        }
    }

    pub(super) fn waits(&self) -> bool {
        self.wait || self.logs || self.events.is_some() || self.junit.is_some()
    }

    pub(super) fn limit(&self) -> Duration {
        if self.timeout.is_zero() {
            NO_LIMIT
        } else {
            self.timeout
        }
    }
}

/// What is to be run, and what cannot be.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Configurations with the names of the sessions to run.
    pub run: Vec<(BackupConfiguration, Vec<String>)>,
    /// Namespace and name of configurations that cannot be backed up, and why.
    pub refused: Vec<(String, String, CliError)>,
    /// The same, where leaving them out is what was asked for: paused ones of a selection.
    pub left_out: Vec<(String, String, String)>,
}

/// How a BackupSession is created, now or when its turn has come.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) configuration: BackupConfiguration,
    pub(super) session: Session,
    /// The number its name ends with, or one of the next.
    pub(super) second: i64,
    /// What must end first.
    pub(super) before: Option<Before>,
}

/// Runs what `wanted` comes to. Ctrl-C ends the command, not the sessions, and says how to go on.
///
/// # Errors
/// When nothing could be begun, or a result cannot be written.
pub async fn perform(
    context: &Context,
    args: &RunArgs,
    title: &str,
    wanted: impl Future<Output = Result<Wanted, CliError>>,
) -> Result<Exit, CliError> {
    let ledger = Ledger::default();
    let events = args.events.map(|_| Events::new(&context.ui));
    let work = async {
        let wanted = wanted.await?;
        begin(context, args, &ledger, events.as_ref(), wanted).await?;
        if args.waits() {
            follow_all(context, args, &ledger, events.as_ref()).await?;
        }
        Ok::<(), CliError>(())
    };
    let interrupted = tokio::select! {
        result = work => {
            match result {
                Err(error) if error.silent => return Err(error),
                // Nothing could be begun: the files and events still say so.
                Err(error) => {
                    let error = place::blamed(context, error).await;
                    ledger.push(Entry::of("", "", "").ended(End::Refused(error)));
                }
                Ok(()) => {}
            }
            false
        }
        _ = tokio::signal::ctrl_c() => true,
    };
    conclude(context, args, title, &ledger, events.as_ref(), interrupted).await
}

/// Creates the BackupSessions. What cannot be created is an entry too: the others still run.
async fn begin(
    context: &Context,
    args: &RunArgs,
    ledger: &Ledger,
    events: Option<&Events<'_>>,
    wanted: Wanted,
) -> Result<(), CliError> {
    let cluster = context.cluster().await?;
    for (namespace, name, error) in wanted.refused {
        ledger.push(Entry::of(&namespace, &name, "").ended(End::Refused(error)));
    }
    for (namespace, name, why) in wanted.left_out {
        ledger.push(Entry::of(&namespace, &name, "").ended(End::LeftOut(why)));
    }
    for (configuration, sessions) in &wanted.run {
        begin_one(context, args, cluster, ledger, configuration, sessions).await?;
    }
    if let Some(events) = events {
        tell_beginning(ledger, events)?;
    }
    if !args.waits() {
        print_created(context, args, ledger)?;
    }
    Ok(())
}

/// The sessions of one configuration: those whose turn it is at once, the others when theirs comes.
async fn begin_one(
    context: &Context,
    args: &RunArgs,
    cluster: &Cluster,
    ledger: &Ledger,
    configuration: &BackupConfiguration,
    sessions: &[String],
) -> Result<(), CliError> {
    let at_work = turn::of(cluster, configuration).await?;
    let mut own: Vec<&Session> = Vec::new();
    for name in sessions {
        let Some(session) = trigger::session(configuration, name) else {
            continue;
        };
        let namespace = configuration.namespace().unwrap_or_default();
        let mut entry = Entry::of(&namespace, &configuration.name_any(), name);
        let target = configuration.spec.target.as_ref();
        entry.elsewhere = target.and_then(|t| t.namespace.clone()).unwrap_or_default();
        let before = turn::before(configuration, session, &at_work, &own);
        own.push(session);
        if let Some(before) = before.as_ref().filter(|_| !args.waits()) {
            ledger.push(entry.ended(End::Refused(before.refusal(configuration, name))));
            continue;
        }
        let at_once = before.is_none();
        entry.plan = Some(Arc::new(Plan {
            configuration: configuration.clone(),
            session: session.clone(),
            second: context.now.as_second(),
            before,
        }));
        if !at_once {
            ledger.push(entry);
            continue;
        }
        match create(cluster, configuration, session, context.now.as_second()).await {
            Ok(object) => {
                let name = object.pointer("/metadata/name").and_then(Value::as_str);
                entry.name = name.unwrap_or_default().to_owned();
                entry.object = object;
                ledger.push(entry);
            }
            Err(error) => ledger.push(entry.ended(End::Refused(error))),
        }
    }
    Ok(())
}

fn tell_beginning(ledger: &Ledger, events: &Events<'_>) -> Result<(), CliError> {
    for entry in ledger.entries() {
        let time = events::now();
        let event = match &entry.end {
            Some(End::Refused(error)) => Event::Refused {
                time,
                namespace: entry.namespace,
                configuration: entry.configuration,
                message: error.message.clone(),
            },
            Some(End::LeftOut(why)) => Event::Refused {
                time,
                namespace: entry.namespace,
                configuration: entry.configuration,
                message: why.clone(),
            },
            None if entry.name.is_empty() => continue,
            _ => begun(&entry),
        };
        events.write(&event)?;
    }
    Ok(())
}

pub(super) fn begun(entry: &Entry) -> Event {
    Event::Created {
        time: events::now(),
        session: SessionRef {
            kind: "BackupSession".to_owned(),
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
        },
        configuration: entry.configuration.clone(),
        configured: entry.session.clone(),
    }
}

fn print_created(context: &Context, args: &RunArgs, ledger: &Ledger) -> Result<(), CliError> {
    let made: Vec<Entry> = ledger
        .entries()
        .into_iter()
        .filter(|e| !e.name.is_empty())
        .collect();
    let Some(first) = made.first().cloned() else {
        return Ok(());
    };
    let objects = made.into_iter().map(|e| e.object).collect();
    report::created(context, &args.output, objects)?;
    context.ui.say(&format!(
        "Follow it with `kubectl kubestash logs {} -f -n {}`.",
        first.name, first.namespace
    ));
    Ok(())
}

/// Creates one BackupSession; when its name is taken (another of the same second), under the next one.
pub(super) async fn create(
    cluster: &Cluster,
    configuration: &BackupConfiguration,
    session: &Session,
    second: i64,
) -> Result<Value, CliError> {
    let namespace = configuration.namespace();
    let mut last = None;
    for unix in second..second + NAMES {
        // Retries are for schedules: whoever asks by hand looks at the result.
        let made = trigger::backup_session(configuration, session, unix, 0);
        let made = serde_json::to_value(made).map_err(|e| {
            CliError::new(Exit::Error, "the BackupSession cannot be written").cause(e.to_string())
        })?;
        match cluster
            .create(&kinds::BACKUP_SESSION, namespace.as_deref(), &made)
            .await
        {
            Err(error @ Error::Exists { .. }) => last = Some(error),
            Ok(object) => return Ok(object),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.map_or_else(
        || CliError::new(Exit::Error, "no BackupSession was created"),
        CliError::from,
    ))
}

/// Since when an entry runs; used by the ledger for what has no duration of its own.
pub(super) fn took(since: Instant) -> Duration {
    since.elapsed()
}
