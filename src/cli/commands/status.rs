//! `status`: one screen that answers "are my backups all right?". What needs attention comes last, where the eye ends.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::views::{
    self, BackupConfiguration, BackupSession, BackupStorage, ConfiguredSession, RestoreSession,
};
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::decide::schedule::Schedule;
use crate::output::format::{Format, Shape};
use crate::output::human;
use crate::output::table::{Table, printable};

/// A run that is later than its schedule by this many seconds is stale: CronJobs and images may take a while.
const LATE_SECONDS: i64 = 600;

/// One screen: storages, configurations, what runs, what failed
///
/// Examples:
///   kubectl kubestash status
///   kubectl kubestash status -A
///   kubectl kubestash status -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct StatusArgs {
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// What was read.
struct Facts {
    storages: Vec<BackupStorage>,
    configurations: Vec<BackupConfiguration>,
    backups: Vec<BackupSession>,
    restores: Vec<RestoreSession>,
}

/// One session of one configuration.
struct Row {
    namespace: String,
    name: String,
    target: String,
    session: String,
    schedule: String,
    phase: String,
    paused: bool,
    last: Option<(String, Timestamp)>,
    next: Option<Timestamp>,
    stale_since: Option<Timestamp>,
}

/// Prints the screen.
///
/// # Errors
/// When the objects cannot be read.
pub async fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let cluster = context.cluster().await?;
    let namespace = context.namespaces().await?;
    let facts = read(cluster, namespace).await?;
    let rows: Vec<Row> = facts
        .configurations
        .iter()
        .flat_map(|c| rows_of(c, &facts.backups, context.now))
        .collect();
    let attention = attention(&facts, &rows, namespace.is_none(), context.now);
    if !args.output.is_table() {
        args.output
            .print(&context.ui, &Shape::One(value(&facts, &rows, &attention)))?;
        return Ok(Exit::Ok);
    }
    if facts.storages.is_empty() && facts.configurations.is_empty() && facts.restores.is_empty() {
        context.ui.say(&crate::cli::commands::nothing(
            "BackupStorages and BackupConfigurations",
            namespace,
        ));
        return Ok(Exit::Ok);
    }
    screen(context, &facts, &rows, &attention, namespace.is_none())?;
    Ok(Exit::Ok)
}

async fn read(cluster: &Cluster, namespace: Option<&str>) -> Result<Facts, Error> {
    let options = ListOptions {
        namespace: namespace.map(ToOwned::to_owned),
        ..ListOptions::default()
    };
    let (storages, configurations, backups, restores) = tokio::try_join!(
        cluster.list(&kinds::BACKUP_STORAGE, &options),
        cluster.list(&kinds::BACKUP_CONFIGURATION, &options),
        cluster.list(&kinds::BACKUP_SESSION, &options),
        cluster.list(&kinds::RESTORE_SESSION, &options),
    )?;
    Ok(Facts {
        storages,
        configurations,
        backups,
        restores,
    })
}

fn rows_of(configuration: &BackupConfiguration, backups: &[BackupSession], now: Timestamp) -> Vec<Row> {
    let target = &configuration.spec.target;
    let phase = if configuration.status.phase.is_empty() {
        "Pending"
    } else {
        &configuration.status.phase
    };
    configuration
        .spec
        .sessions
        .iter()
        .map(|session| {
            let last = last_run(configuration, session, backups);
            let running = !configuration.spec.paused && !session.scheduler.suspend;
            let schedule = Schedule::parse(&session.scheduler.schedule)
                .ok()
                .filter(|_| running);
            let due = |after: Timestamp| {
                schedule
                    .as_ref()
                    .and_then(|s| s.next_after(after, &TimeZone::UTC))
            };
            let began = last
                .as_ref()
                .map(|l| l.1)
                .or(configuration.metadata.creation_timestamp);
            Row {
                namespace: configuration.metadata.namespace.clone(),
                name: configuration.metadata.name.clone(),
                target: if target.kind.is_empty() {
                    target.name.clone()
                } else {
                    format!("{}/{}", target.kind, target.name)
                },
                session: session.name.clone(),
                schedule: session.scheduler.schedule.clone(),
                phase: phase.to_owned(),
                paused: !running,
                last,
                next: due(now),
                stale_since: began
                    .and_then(due)
                    .filter(|d| now.duration_since(*d).as_secs() > LATE_SECONDS),
            }
        })
        .collect()
}

/// The phase and the beginning of the newest BackupSession of a session.
fn last_run(
    configuration: &BackupConfiguration,
    session: &ConfiguredSession,
    backups: &[BackupSession],
) -> Option<(String, Timestamp)> {
    backups
        .iter()
        .filter(|b| b.metadata.namespace == configuration.metadata.namespace)
        .filter(|b| b.spec.invoker.name == configuration.metadata.name && b.spec.session == session.name)
        .filter_map(|b| Some((b, b.metadata.creation_timestamp?)))
        .max_by_key(|(_, created)| *created)
        .map(|(b, created)| {
            (
                if b.status.phase.is_empty() {
                    "Pending".to_owned()
                } else {
                    b.status.phase.clone()
                },
                created,
            )
        })
}

/// What somebody should look at, one line each.
fn attention(facts: &Facts, rows: &[Row], all: bool, now: Timestamp) -> Vec<String> {
    let called = |kind: &str, namespace: &str, name: &str| {
        if all {
            format!("{kind} {namespace}/{name}")
        } else {
            format!("{kind} {name}")
        }
    };
    let mut lines = Vec::new();
    for storage in facts.storages.iter().filter(|s| s.status.phase == "NotReady") {
        let why = views::complaint(&storage.status.conditions)
            .map(|w| format!(": {w}"))
            .unwrap_or_default();
        lines.push(format!(
            "{} is NotReady{why}",
            called(
                "BackupStorage",
                &storage.metadata.namespace,
                &storage.metadata.name
            )
        ));
    }
    let mut said = BTreeMap::new();
    for row in rows
        .iter()
        .filter(|r| matches!(r.phase.as_str(), "NotReady" | "Invalid"))
    {
        let name = called("BackupConfiguration", &row.namespace, &row.name);
        if said.insert(name.clone(), ()).is_none() {
            lines.push(format!(
                "{name} is {}; `kubectl describe bc {} -n {}` shows why",
                row.phase, row.name, row.namespace
            ));
        }
    }
    for row in rows {
        let name = called("BackupConfiguration", &row.namespace, &row.name);
        if let Some((phase, at)) = row.last.as_ref().filter(|(phase, _)| phase == "Failed") {
            lines.push(format!(
                "{name}, session {}: the last backup is {phase} ({} ago)",
                row.session,
                human::age(*at, now)
            ));
        }
        if let Some(due) = row.stale_since.filter(|_| row.phase == "Ready") {
            lines.push(format!(
                "{name}, session {}: a backup was due {} ago and did not begin",
                row.session,
                human::age(due, now)
            ));
        }
    }
    for restore in facts
        .restores
        .iter()
        .filter(|r| matches!(r.status.phase.as_str(), "Failed" | "Invalid"))
    {
        let why = views::complaint(&restore.status.conditions)
            .map(|w| format!(": {w}"))
            .unwrap_or_default();
        let name = called(
            "RestoreSession",
            &restore.metadata.namespace,
            &restore.metadata.name,
        );
        lines.push(format!("{name} is {}{why}", restore.status.phase));
    }
    lines.iter().map(|line| printable(line)).collect()
}

fn screen(
    context: &Context,
    facts: &Facts,
    rows: &[Row],
    attention: &[String],
    all: bool,
) -> Result<(), CliError> {
    let style = context.ui.data_style();
    let mut blocks = Vec::new();
    let storages: Vec<Vec<String>> = facts.storages.iter().map(|s| storage_row(s, all)).collect();
    blocks.push(block(
        "Storages",
        &["NAME", "PROVIDER", "PHASE", "SIZE", "REPOSITORIES"],
        &storages,
        all,
    ));
    let configurations: Vec<Vec<String>> = rows
        .iter()
        .map(|r| configuration_row(r, all, context.now))
        .collect();
    let headings = ["NAME", "TARGET", "SESSION", "SCHEDULE", "PHASE", "LAST", "NEXT"];
    blocks.push(block("Configurations", &headings, &configurations, all));
    blocks.push(block(
        "Running",
        &["NAME", "PHASE", "AGE"],
        &running_rows(facts, all, context.now),
        all,
    ));
    for (heading, text) in blocks.into_iter().flatten() {
        context.ui.line(&style.strong(&heading))?;
        context.ui.line(&text)?;
    }
    if attention.is_empty() {
        context.ui.line(&style.good("Nothing needs attention."))?;
        return Ok(());
    }
    context.ui.line(&style.strong("Needs attention"))?;
    for line in attention {
        context.ui.line(&format!("- {}", style.warn(line)))?;
    }
    Ok(())
}

fn block(heading: &str, headings: &[&str], rows: &[Vec<String>], all: bool) -> Option<(String, String)> {
    if rows.is_empty() {
        return None;
    }
    let namespace = all.then_some("NAMESPACE");
    let mut table = Table::new(namespace.into_iter().chain(headings.iter().copied()));
    Some((heading.to_owned(), table.page(rows)))
}

fn named(namespace: &str, name: &str, all: bool) -> Vec<String> {
    if all {
        vec![namespace.to_owned(), name.to_owned()]
    } else {
        vec![name.to_owned()]
    }
}

fn storage_row(storage: &BackupStorage, all: bool) -> Vec<String> {
    let mut row = named(&storage.metadata.namespace, &storage.metadata.name, all);
    let provider = storage
        .spec
        .storage
        .get("provider")
        .and_then(Value::as_str)
        .unwrap_or("");
    let phase = if storage.status.phase.is_empty() {
        "Pending"
    } else {
        &storage.status.phase
    };
    row.extend([
        provider.to_owned(),
        phase.to_owned(),
        storage.status.total_size.clone(),
        storage.status.repositories.len().to_string(),
    ]);
    row
}

fn configuration_row(row: &Row, all: bool, now: Timestamp) -> Vec<String> {
    let mut cells = named(&row.namespace, &row.name, all);
    let last = row.last.as_ref().map_or_else(
        || "never".to_owned(),
        |(phase, at)| format!("{phase} {} ago", human::age(*at, now)),
    );
    let next = match row.next {
        _ if row.paused => "paused".to_owned(),
        Some(next) => format!("in {}", human::until(next, now)),
        None => String::new(),
    };
    cells.extend([
        row.target.clone(),
        row.session.clone(),
        row.schedule.clone(),
        row.phase.clone(),
        last,
        next,
    ]);
    cells
}

fn running_rows(facts: &Facts, all: bool, now: Timestamp) -> Vec<Vec<String>> {
    let backups = facts
        .backups
        .iter()
        .map(|b| ("backupsession", &b.metadata, &b.status.phase));
    let restores = facts
        .restores
        .iter()
        .map(|r| ("restoresession", &r.metadata, &r.status.phase));
    backups
        .chain(restores)
        .filter(|(_, _, phase)| matches!(phase.as_str(), "" | "Pending" | "Running"))
        .map(|(kind, metadata, phase)| {
            let mut row = named(&metadata.namespace, &format!("{kind}/{}", metadata.name), all);
            row.push(if phase.is_empty() {
                "Pending".to_owned()
            } else {
                phase.clone()
            });
            row.push(metadata.age(now));
            row
        })
        .collect()
}

fn value(facts: &Facts, rows: &[Row], attention: &[String]) -> Value {
    let storages: Vec<Value> = facts
        .storages
        .iter()
        .map(|s| {
            json!({
                "namespace": s.metadata.namespace, "name": s.metadata.name, "default": s.spec.default,
                "provider": s.spec.storage.get("provider"), "phase": s.status.phase, "totalSize": s.status.total_size,
            })
        })
        .collect();
    let configurations: Vec<Value> = rows
        .iter()
        .map(|r| {
            json!({
                "namespace": r.namespace, "name": r.name, "target": r.target, "session": r.session,
                "schedule": r.schedule, "phase": r.phase, "paused": r.paused,
                "lastRun": r.last.as_ref().map(|(phase, at)| json!({"phase": phase, "time": at.to_string()})),
                "nextRun": r.next.map(|n| n.to_string()), "stale": r.stale_since.is_some(),
            })
        })
        .collect();
    let running: Vec<Value> = running_rows(facts, true, Timestamp::UNIX_EPOCH)
        .into_iter()
        .map(|row| json!({"namespace": row[0], "name": row[1], "phase": row[2]}))
        .collect();
    json!({"storages": storages, "configurations": configurations, "running": running, "attention": attention})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn configuration(paused: bool) -> BackupConfiguration {
        serde_json::from_value(json!({
            "metadata": {"name": "b", "namespace": "demo", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"paused": paused, "sessions": [{"name": "hourly", "scheduler": {"schedule": "0 * * * *"}}]},
            "status": {"phase": "Ready"},
        }))
        .unwrap()
    }

    fn backup(phase: &str, created: &str) -> BackupSession {
        serde_json::from_value(json!({
            "metadata": {"name": created, "namespace": "demo", "creationTimestamp": created},
            "spec": {"invoker": {"name": "b"}, "session": "hourly"}, "status": {"phase": phase},
        }))
        .unwrap()
    }

    #[test]
    fn a_run_that_is_due_for_long_is_stale() {
        let ran = [backup("Succeeded", "2026-01-01T01:00:05Z")];
        let row = &rows_of(&configuration(false), &ran, at("2026-01-01T01:30:00Z"))[0];
        assert!(row.stale_since.is_none());
        assert_eq!(row.next, Some(at("2026-01-01T02:00:00Z")));
        let row = &rows_of(&configuration(false), &ran, at("2026-01-01T02:30:00Z"))[0];
        assert_eq!(row.stale_since, Some(at("2026-01-01T02:00:00Z")));
        let row = &rows_of(&configuration(true), &ran, at("2026-01-01T02:30:00Z"))[0];
        assert!(
            row.stale_since.is_none() && row.paused,
            "a paused configuration owes nothing"
        );
    }

    #[test]
    fn the_last_run_decides_what_needs_attention() {
        let now = at("2026-01-01T01:30:00Z");
        let ran = vec![
            backup("Failed", "2026-01-01T00:00:00Z"),
            backup("Succeeded", "2026-01-01T01:00:05Z"),
        ];
        let facts = |backups| Facts {
            storages: vec![],
            configurations: vec![configuration(false)],
            backups,
            restores: vec![],
        };
        let well = facts(ran.clone());
        let rows = rows_of(&well.configurations[0], &well.backups, now);
        assert_eq!(attention(&well, &rows, false, now), Vec::<String>::new());
        let bad = facts(ran[..1].to_vec());
        let rows = rows_of(&bad.configurations[0], &bad.backups, at("2026-01-01T00:30:00Z"));
        let lines = attention(&bad, &rows, false, at("2026-01-01T00:30:00Z"));
        assert_eq!(
            lines,
            ["BackupConfiguration b, session hourly: the last backup is Failed (30m ago)"]
        );
    }
}
