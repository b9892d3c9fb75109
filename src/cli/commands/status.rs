//! `status`: one screen that answers "are my backups all right?". What needs attention comes last, where the eye ends.

mod facts;
mod unprotected;
mod view;

use std::time::Duration;

use jiff::Timestamp;

use self::facts::Facts;
use self::unprotected::Holders;
pub use self::view::StatusView;
use self::view::{RunningView, SessionView, State, StorageView, SummaryView};
use crate::cli::commands::nothing;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::{place, schemas};
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds, watch};
use crate::decide::explain::facts::Operator;
use crate::output::format::Format;
use crate::output::human;
use crate::output::style::Style;
use crate::output::table::Table;

/// One screen: what is protected, failing, stale; storages, what runs
///
/// Examples:
///   kubectl kubestash status
///   kubectl kubestash status -A --watch
///   kubectl kubestash status -o jsonpath='{.summary.failing}'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct StatusArgs {
    /// Show it again whenever something changes, until Ctrl-C
    #[arg(short, long)]
    watch: bool,
    /// Form of the output: table, wide, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// The kinds that the screen is made of.
const KINDS: &[&Kind] = &[
    &kinds::BACKUP_STORAGE,
    &kinds::BACKUP_CONFIGURATION,
    &kinds::BACKUP_SESSION,
    &kinds::RESTORE_SESSION,
    &kinds::REPOSITORY,
];
/// With --watch: the shortest time between two screens, and the longest (ages grow although nothing changes).
const SCREENS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Prints the screen.
///
/// # Errors
/// When the objects cannot be read.
pub async fn run(args: &StatusArgs, context: &Context) -> Result<Exit, CliError> {
    let cluster = context.cluster().await?;
    let namespace = context.namespaces().await?;
    if args.watch {
        place::exists(context).await?;
        return watched(args, context, cluster, namespace).await;
    }
    let holders = unprotected::read(cluster, namespace).await;
    let facts = read(cluster, namespace, holders).await?;
    let now = context.now;
    if !args.output.is_table() {
        if facts.is_empty() {
            place::exists(context).await?;
        }
        schemas::print(context, &args.output, &facts.view(namespace, now))?;
        return Ok(Exit::Ok);
    }
    if facts.is_empty() {
        nothing("BackupStorages and BackupConfigurations", namespace, context).await?;
        if facts.operator == Operator::Missing {
            context
                .ui
                .say("KubeStash's operator is not installed: `kubectl kubestash install` installs it.");
        }
        return Ok(Exit::Ok);
    }
    let screen = screen(
        &facts.view(namespace, now),
        context.ui.data_style(),
        &args.output,
        now,
    );
    context.ui.data(&screen)?;
    Ok(Exit::Ok)
}

/// Shows the screen whenever something has changed. On a terminal each replaces the one before; elsewhere they follow
/// each other, and only those that differ.
async fn watched(
    args: &StatusArgs,
    context: &Context,
    cluster: &Cluster,
    namespace: Option<&str>,
) -> Result<Exit, CliError> {
    let mut touched = watch::touched(cluster, KINDS, namespace);
    let terminal = context.ui.data_is_watched() && args.output.is_table();
    let mut last = None;
    let mut holders = unprotected::read(cluster, namespace).await;
    let mut looked = tokio::time::Instant::now();
    loop {
        // Workloads are many and change seldom: not with every screen.
        if looked.elapsed() >= SCREENS.1 {
            holders = unprotected::read(cluster, namespace).await;
            looked = tokio::time::Instant::now();
        }
        let facts = read(cluster, namespace, holders.clone()).await?;
        let now = Timestamp::now();
        let view = facts.view(namespace, now);
        let value = schemas::value(&view)?;
        if terminal {
            let text = screen(&view, context.ui.data_style(), &args.output, now);
            context.ui.redraw(&text)?;
        } else if last.as_ref() != Some(&value) {
            if args.output.is_table() {
                let text = screen(&view, context.ui.data_style(), &args.output, now);
                context.ui.data(&format!("--- {now:.0}\n{text}"))?;
            } else {
                schemas::print(context, &args.output, &view)?;
            }
            context.ui.flush()?;
            last = Some(value);
        }
        tokio::time::sleep(SCREENS.0).await;
        // Either way it is time to look again; a watch that has ended leaves the regular looks.
        let _ = tokio::time::timeout(SCREENS.1, touched.recv()).await;
    }
}

async fn read(cluster: &Cluster, namespace: Option<&str>, holders: Holders) -> Result<Facts, Error> {
    let options = ListOptions {
        namespace: namespace.map(ToOwned::to_owned),
        ..ListOptions::default()
    };
    let (storages, configurations, backups, restores, repositories, operator) = tokio::try_join!(
        cluster.list(&kinds::BACKUP_STORAGE, &options),
        cluster.list(&kinds::BACKUP_CONFIGURATION, &options),
        cluster.list(&kinds::BACKUP_SESSION, &options),
        cluster.list(&kinds::RESTORE_SESSION, &options),
        cluster.list(&kinds::REPOSITORY, &options),
        super::why::operator(cluster),
    )?;
    let elsewhere = match namespace {
        Some(namespace) if !holders.is_empty() => unprotected::elsewhere(cluster, namespace).await,
        _ => Vec::new(),
    };
    Ok(Facts {
        storages,
        configurations,
        backups,
        restores,
        repositories,
        elsewhere,
        holders,
        operator,
    })
}

/// The whole screen as text.
fn screen(view: &StatusView, style: Style, format: &Format, now: Timestamp) -> String {
    let all = view.namespace.is_none();
    let wide = *format == Format::Wide;
    let mut text = String::new();
    let storages: Vec<Vec<String>> = view.storages.iter().map(|s| storage_row(s, all)).collect();
    let headings = ["NAME", "PROVIDER", "PHASE", "SIZE", "REPOSITORIES"];
    block(&mut text, style, "Storages", &headings, &storages, all);
    let mut headings = vec![
        "NAME",
        "TARGET",
        "SESSION",
        "STATE",
        "LAST SUCCESS",
        "LAST RUN",
        "NEXT",
    ];
    if wide {
        headings.push("SCHEDULE");
    }
    let sessions: Vec<Vec<String>> = view
        .configurations
        .iter()
        .map(|s| session_row(s, all, wide, now))
        .collect();
    block(&mut text, style, "Backups", &headings, &sessions, all);
    let running: Vec<Vec<String>> = view.running.iter().map(|r| running_row(r, all, now)).collect();
    block(
        &mut text,
        style,
        "Running",
        &["NAME", "PHASE", "AGE"],
        &running,
        all,
    );
    if !view.attention.is_empty() {
        text.push_str(&format!("{}\n", style.strong("Needs attention")));
        for entry in &view.attention {
            let name = if all && !entry.namespace.is_empty() {
                format!("{}/{}", entry.namespace, entry.name)
            } else {
                entry.name.clone()
            };
            text.push_str(&format!(
                "{} {} {name}: {}\n    {}\n",
                style.bad("✗"),
                entry.kind,
                clipped(&entry.message),
                style.code(&entry.look)
            ));
        }
        text.push('\n');
    }
    unprotected_block(&mut text, view, style, wide, all);
    text.push_str(&summary(&view.summary, !view.attention.is_empty(), style));
    text
}

/// How much of a message stands on the screen, in characters; `why` has all of it.
const CLIP: usize = 150;

fn clipped(message: &str) -> String {
    if message.chars().count() <= CLIP {
        return message.to_owned();
    }
    let head: String = message.chars().take(CLIP).collect();
    format!("{}…", head.trim_end())
}

/// The last line: how many of which state.
fn summary(summary: &SummaryView, attention: bool, style: Style) -> String {
    let parts = [
        (summary.protected, "protected"),
        (summary.failing, "failing"),
        (summary.stale, "stale"),
        (summary.broken, "broken"),
        (summary.waiting, "waiting for the first backup"),
        (summary.paused, "paused"),
    ];
    let bare = match summary.unprotected {
        0 => String::new(),
        count => format!(" In no backup: {count}."),
    };
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let line = match summary.sessions {
        0 => "Nothing is backed up: there is no BackupConfiguration.".to_owned(),
        count => format!("{}: {}.", human::counted(count, "session"), parts.join(", ")),
    };
    if attention || summary.sessions == 0 || summary.unprotected > 0 {
        format!("{}\n", style.warn(&format!("{line}{bare}")))
    } else {
        format!("{}\n", style.good(&format!("{line} Nothing needs attention.")))
    }
}

/// How many things without a backup stand on the screen; `-o wide` and `-o json` have all of them.
const BARE: usize = 10;

/// What is in no backup, and how to change that.
fn unprotected_block(text: &mut String, view: &StatusView, style: Style, wide: bool, all: bool) {
    let limit = if wide { usize::MAX } else { BARE };
    let rows: Vec<Vec<String>> = view
        .unprotected
        .iter()
        .take(limit)
        .map(|bare| {
            let mut row = named(&bare.namespace, &format!("{}/{}", bare.kind, bare.name), all);
            let claims: Vec<String> = bare
                .claims
                .iter()
                .zip(&bare.sizes)
                .map(|(claim, size)| match size.as_str() {
                    "" => claim.clone(),
                    size => format!("{claim} ({size})"),
                })
                .collect();
            row.push(clipped(&claims.join(", ")));
            row
        })
        .collect();
    block(text, style, "In no backup", &["NAME", "VOLUMES"], &rows, all);
    if let Some(first) = view.unprotected.first() {
        // The block ends with an empty line, which belongs after what follows.
        text.truncate(text.trim_end().len());
        let more = view.unprotected.len().saturating_sub(limit);
        if more > 0 {
            text.push_str(&format!("\n… and {more} more: -o wide shows them"));
        }
        let command = format!(
            "kubectl kubestash create backup --target {}/{} -n {}",
            first.kind.to_lowercase(),
            first.name,
            first.namespace
        );
        text.push_str(&format!("\n    {}\n\n", style.code(&command)));
    }
    if !view.not_seen.is_empty() {
        text.push_str(&format!(
            "{}\n\n",
            style.faint(&format!("Not looked at: {}.", view.not_seen.join("; ")))
        ));
    }
}

fn block(text: &mut String, style: Style, heading: &str, headings: &[&str], rows: &[Vec<String>], all: bool) {
    if rows.is_empty() {
        return;
    }
    let namespace = all.then_some("NAMESPACE");
    let names: Vec<&str> = namespace.into_iter().chain(headings.iter().copied()).collect();
    let painted: Vec<bool> = names.iter().map(|n| ["PHASE", "STATE"].contains(n)).collect();
    let mut table = Table::new(names);
    let page = table.painted(rows, |column, cell| {
        if painted.get(column) == Some(&true) {
            style.phase(cell)
        } else {
            cell.to_owned()
        }
    });
    text.push_str(&format!("{}\n{page}\n", style.strong(heading)));
}

fn named(namespace: &str, name: &str, all: bool) -> Vec<String> {
    if all {
        vec![namespace.to_owned(), name.to_owned()]
    } else {
        vec![name.to_owned()]
    }
}

fn storage_row(storage: &StorageView, all: bool) -> Vec<String> {
    let name = if storage.default {
        format!("{} (default)", storage.name)
    } else {
        storage.name.clone()
    };
    let mut row = named(&storage.namespace, &name, all);
    row.extend([
        storage.provider.clone(),
        storage.phase.clone(),
        storage.total_size.clone(),
        storage.repositories.to_string(),
    ]);
    row
}

fn session_row(session: &SessionView, all: bool, wide: bool, now: Timestamp) -> Vec<String> {
    let age = |time: &str| {
        time.parse()
            .map_or_else(|_| time.to_owned(), |t| human::age(t, now))
    };
    let state = match session.state {
        State::Broken => session.phase.clone(),
        other => format!("{other:?}"),
    };
    let success = session
        .last_success
        .as_deref()
        .map_or_else(|| "never".to_owned(), |t| format!("{} ago", age(t)));
    let last = session
        .last_run
        .as_ref()
        .map_or_else(String::new, |run| format!("{} {} ago", run.phase, age(&run.time)));
    let next = match session.next_run.as_deref().map(str::parse::<Timestamp>) {
        _ if session.paused => "paused".to_owned(),
        Some(Ok(next)) => format!("in {}", human::until(next, now)),
        _ => String::new(),
    };
    let mut row = named(&session.namespace, &session.name, all);
    row.extend([
        session.target.clone(),
        session.session.clone(),
        state,
        success,
        last,
        next,
    ]);
    if wide {
        row.push(session.schedule.clone());
    }
    row
}

fn running_row(running: &RunningView, all: bool, now: Timestamp) -> Vec<String> {
    let name = format!("{}/{}", running.kind.to_lowercase(), running.name);
    let mut row = named(&running.namespace, &name, all);
    let age = running.since.as_deref().and_then(|t| t.parse().ok());
    row.push(running.phase.clone());
    row.push(age.map_or_else(String::new, |t| human::age(t, now)));
    row
}
