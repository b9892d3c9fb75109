//! Running sessions: creating BackupSessions and following them to their ends. `backup now`, `backup retry` and
//! `trigger` are this with different ways to say which sessions are meant.
//!
//! What was begun is kept in a [`Ledger`] from the first object on, so that an interruption or a timeout still knows
//! what goes on in the cluster, and `--junit` and `--events` tell of it however the command ends.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::future::join_all;
use kube::ResourceExt;
use serde_json::Value;

use super::ledger::{End, Entry, Ledger};
use crate::api::core::{BackupConfiguration, Session};
use crate::cli::commands::logs::{self, Sink};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::events::{self, Event, Events, SessionRef};
use crate::cli::follow::{self, Both, Observer};
use crate::cli::report;
use crate::cluster::{Cluster, Error, kinds};
use crate::decide::trigger;
use crate::output::format::{Format, Shape};
use crate::output::human;
use crate::output::table::Table;
use crate::output::ui::Progress;

/// How many names are tried when BackupSessions of the same second exist already.
const NAMES: i64 = 10;
/// What `--timeout 0` comes to.
const NO_LIMIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// Whether and how the end is awaited.
#[derive(Debug, Clone, clap::Args)]
pub struct RunArgs {
    /// Wait until it has ended, and end with a code that says how
    #[arg(long)]
    wait: bool,
    /// How long to wait; 0 means no limit
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "30m")]
    timeout: Duration,
    /// Show the logs of its pods meanwhile (implies --wait)
    #[arg(long)]
    logs: bool,
    /// Write what happens to standard output, one JSON document a line (implies --wait)
    #[arg(long, value_name = "FORM", value_enum, conflicts_with = "output")]
    events: Option<EventsForm>,
    /// Write the results to a file as JUnit's XML (implies --wait)
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Form of the output: table, wide, json, yaml, name, jsonpath=… or custom-columns=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
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

    fn waits(&self) -> bool {
        self.wait || self.logs || self.events.is_some() || self.junit.is_some()
    }

    fn limit(&self) -> Duration {
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
                Err(error) => ledger.push(Entry::of("", "", "").ended(End::Refused(error))),
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
        let namespace = configuration.namespace().unwrap_or_default();
        for session in sessions {
            let mut entry = Entry::of(&namespace, &configuration.name_any(), session);
            let elsewhere = configuration
                .spec
                .target
                .as_ref()
                .and_then(|t| t.namespace.clone());
            entry.elsewhere = elsewhere.unwrap_or_default();
            let Some(session) = trigger::session(configuration, session) else {
                continue;
            };
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
    }
    if let Some(events) = events {
        tell_beginning(ledger, events)?;
    }
    if !args.waits() {
        print_created(context, args, ledger)?;
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
            _ => Event::Created {
                time,
                session: SessionRef {
                    kind: "BackupSession".to_owned(),
                    namespace: entry.namespace,
                    name: entry.name,
                },
                configuration: entry.configuration,
                configured: entry.session,
            },
        };
        events.write(&event)?;
    }
    Ok(())
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
async fn create(
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

/// Follows everything that was created, side by side, each to its own end or to the common bound.
async fn follow_all(
    context: &Context,
    args: &RunArgs,
    ledger: &Ledger,
    events: Option<&Events<'_>>,
) -> Result<(), CliError> {
    let cluster = context.cluster().await?;
    let progress = context.ui.progress();
    let both = events.map(|events| Both(&progress, events));
    let observer: &dyn Observer = both.as_ref().map_or(&progress, |both| both as &dyn Observer);
    let deadline = tokio::time::Instant::now() + args.limit();
    let broken: Mutex<Option<CliError>> = Mutex::new(None);
    let running = ledger.entries().into_iter().enumerate();
    let all = join_all(running.filter(|(_, e)| e.end.is_none()).map(|(index, entry)| {
        let broken = &broken;
        let progress = &progress;
        async move {
            let followed = one(args, cluster, &entry, observer, progress, events);
            let end = match tokio::time::timeout_at(deadline, followed).await {
                Err(_) => End::TimedOut,
                Ok(Ok(outcome)) => {
                    if let Some(Err(error)) = events.map(|e| e.ended(&entry.namespace, &outcome)) {
                        broken
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .get_or_insert(error);
                    }
                    End::Ended(outcome)
                }
                Ok(Err(error)) if error.silent => {
                    broken
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .get_or_insert(error);
                    return;
                }
                Ok(Err(error)) => End::Lost(error),
            };
            ledger.end(index, end);
        }
    }));
    all.await;
    let broken = broken
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    broken.map_or(Ok(()), Err)
}

async fn one(
    args: &RunArgs,
    cluster: &Cluster,
    entry: &Entry,
    observer: &dyn Observer,
    progress: &Progress<'_>,
    events: Option<&Events<'_>>,
) -> Result<follow::Outcome, CliError> {
    let followed = follow::backup(cluster, &entry.namespace, &entry.name, Some(observer));
    if !args.logs {
        return followed.await;
    }
    let target = logs::Target::backup(&entry.namespace, &entry.name).also_in(&entry.elsewhere);
    let sink = match events {
        Some(events) => Sink::Events(events),
        None => Sink::Talk(progress),
    };
    logs::while_running(cluster, &target, sink, followed).await
}

/// Prints the results, the reasons and what goes on, writes the files, and answers with the code.
async fn conclude(
    context: &Context,
    args: &RunArgs,
    title: &str,
    ledger: &Ledger,
    events: Option<&Events<'_>>,
    interrupted: bool,
) -> Result<Exit, CliError> {
    let entries = ledger.entries();
    let exit = if interrupted {
        Exit::Interrupted
    } else {
        super::ledger::exit(&entries, args.waits())
    };
    // The file first: a reader of standard output that has gone away must not cost it.
    if let Some(path) = &args.junit {
        let document = super::ledger::junit(title, &entries);
        std::fs::write(path, document).map_err(|e| {
            CliError::new(Exit::Error, format!("{} cannot be written", path.display())).cause(e.to_string())
        })?;
    }
    if args.waits() && args.events.is_none() && !interrupted {
        print_ended(context, args, &entries).await?;
    }
    for entry in &entries {
        explain(context, entry, args.limit());
    }
    if interrupted {
        let running: Vec<&Entry> = entries.iter().filter(|e| e.end.is_none()).collect();
        if let Some(first) = running.first() {
            let names: Vec<&str> = running.iter().map(|e| e.name.as_str()).collect();
            let (name, namespace) = (&first.name, &first.namespace);
            context.ui.warn(&format!(
                "interrupted; {} goes on in the cluster.",
                names.join(", ")
            ));
            context.ui.warn(&format!(
                "`kubectl kubestash logs {name} -f -n {namespace}` follows it, `kubectl kubestash backup cancel {name} -n {namespace}` ends it."
            ));
        }
    }
    if let Some(events) = events {
        let message = if interrupted { "interrupted" } else { "" };
        events.result(exit, message)?;
    }
    Ok(exit)
}

async fn print_ended(context: &Context, args: &RunArgs, entries: &[Entry]) -> Result<(), CliError> {
    let ended: Vec<(&Entry, &follow::Outcome)> = entries
        .iter()
        .filter_map(|e| match &e.end {
            Some(End::Ended(outcome)) => Some((e, outcome)),
            _ => None,
        })
        .collect();
    if ended.is_empty() {
        return Ok(());
    }
    if !args.output.is_table() {
        let cluster = context.cluster().await?;
        let mut objects = Vec::new();
        for (entry, outcome) in &ended {
            let object = cluster
                .get(&kinds::BACKUP_SESSION, Some(&entry.namespace), &outcome.name)
                .await?;
            objects.push(report::tidy(object));
        }
        return Ok(args.output.print(&context.ui, &Shape::of(objects))?);
    }
    let all = context.flags.all_namespaces;
    let mut headings = vec!["NAME", "PHASE", "DURATION"];
    if all {
        headings.insert(0, "NAMESPACE");
    }
    let rows: Vec<Vec<String>> = ended
        .iter()
        .map(|(entry, o)| {
            let mut row = vec![o.name.clone(), o.phase.clone(), o.duration.clone()];
            if all {
                row.insert(0, entry.namespace.clone());
            }
            row
        })
        .collect();
    let style = context.ui.data_style();
    let page = Table::new(headings).painted(&rows, |_, cell| style.phase(cell));
    Ok(context.ui.data(&page)?)
}

/// Says why one did not succeed, and the way out.
fn explain(context: &Context, entry: &Entry, limit: Duration) {
    match &entry.end {
        Some(End::Ended(outcome)) => report::explain(context, &entry.namespace, outcome),
        Some(End::Refused(error) | End::Lost(error)) => {
            context.ui.error(&error.message, &error.causes, &error.hints);
        }
        Some(End::LeftOut(why)) => context.ui.warn(why),
        Some(End::TimedOut) => {
            let (name, namespace) = (&entry.name, &entry.namespace);
            context.ui.error(
                &format!("{name} did not end within {}, and goes on.", human::go_duration(limit)),
                &[],
                &[format!("`kubectl kubestash logs {name} -f -n {namespace}` follows it, `kubectl kubestash why backupsession/{name} -n {namespace}` says what it waits for")],
            );
        }
        None => {}
    }
}

/// Since when an entry runs; used by the ledger for what has no duration of its own.
pub(super) fn took(since: Instant) -> Duration {
    since.elapsed()
}
