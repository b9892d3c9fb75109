//! Following what a run has begun, each session to its own end or to the common bound, and beginning what waits for its
//! turn (see [`super::turn`]).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures::future::join_all;

use super::ledger::{End, Entry, Ledger};
use super::run::{RunArgs, begun, create};
use super::turn::{self, Before};
use crate::cli::commands::logs::{self, Sink};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::follow::events::Events;
use crate::cli::follow::{self, Both, Observer};
use crate::cluster::Cluster;
use crate::output::ui::Progress;

/// How often a backup that others outran is begun again.
const TURNS: usize = 5;

/// What is needed to follow a session.
struct Following<'f> {
    args: &'f RunArgs,
    cluster: &'f Cluster,
    ledger: &'f Ledger,
    progress: &'f Progress<'f>,
    events: Option<&'f Events<'f>>,
    deadline: tokio::time::Instant,
    /// Why nobody can be told any more: the first reason.
    broken: Mutex<Option<CliError>>,
}

/// Follows everything, each to its own end or to the common bound: side by side, but what waits for its turn comes after
/// the others of its configuration.
pub(super) async fn follow_all(
    context: &Context,
    args: &RunArgs,
    ledger: &Ledger,
    events: Option<&Events<'_>>,
) -> Result<(), CliError> {
    let cluster = context.cluster().await?;
    let progress = match events {
        Some(_) => context.ui.progress_beside_data(),
        None => context.ui.progress(),
    };
    let following = Following {
        args,
        cluster,
        ledger,
        progress: &progress,
        events,
        deadline: tokio::time::Instant::now() + args.limit(),
        broken: Mutex::new(None),
    };
    let mut groups: BTreeMap<(String, String), Vec<(usize, Entry)>> = BTreeMap::new();
    for (index, entry) in ledger.entries().into_iter().enumerate() {
        if entry.end.is_none() {
            let key = (entry.namespace.clone(), entry.configuration.clone());
            groups.entry(key).or_default().push((index, entry));
        }
    }
    let following = &following;
    join_all(groups.into_values().map(|group| async move {
        let (at_once, later): (Vec<_>, Vec<_>) = group.into_iter().partition(|(_, e)| !e.name.is_empty());
        join_all(
            at_once
                .into_iter()
                .map(|(index, entry)| following.entry(index, entry)),
        )
        .await;
        for (index, entry) in later {
            following.entry(index, entry).await;
        }
    }))
    .await;
    let mut broken = following.broken.lock().unwrap_or_else(PoisonError::into_inner);
    broken.take().map_or(Ok(()), Err)
}

impl Following<'_> {
    /// Follows one entry and writes down how it ended.
    async fn entry(&self, index: usize, mut entry: Entry) {
        let followed = tokio::time::timeout_at(self.deadline, self.to_its_end(index, &mut entry)).await;
        let end = match followed {
            Err(_) => End::TimedOut,
            Ok(Ok(outcome)) => {
                if let Some(Err(error)) = self.events.map(|e| e.ended(&entry.namespace, &outcome)) {
                    self.give_up(error);
                }
                End::Ended(outcome)
            }
            Ok(Err(error)) if error.silent => return self.give_up(error),
            Ok(Err(error)) => End::Lost(error),
        };
        self.ledger.end(index, end);
    }

    fn give_up(&self, error: CliError) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.get_or_insert(error);
    }

    /// Creates it when its turn has come, and follows it. One that is skipped because another was faster is made again.
    async fn to_its_end(&self, index: usize, entry: &mut Entry) -> Result<follow::Outcome, CliError> {
        let Some(plan) = entry.plan.clone() else {
            return self.one(entry).await;
        };
        let mut before = plan.before.clone();
        for _ in 0..TURNS {
            if entry.name.is_empty() {
                if let Some(Before::Running(other, repository)) = &before {
                    self.wait_for(&entry.namespace, other, repository).await?;
                }
                let made = create(self.cluster, &plan.configuration, &plan.session, plan.second).await?;
                self.ledger.began(index, made);
                if let Some(now) = self.ledger.entries().into_iter().nth(index) {
                    *entry = now;
                }
                if let Some(events) = self.events {
                    events.write(&begun(entry))?;
                }
            }
            let outcome = self.one(entry).await?;
            if outcome.phase != "Skipped" {
                return Ok(outcome);
            }
            let at_work = turn::of(self.cluster, &plan.configuration).await?;
            before = turn::before(&plan.configuration, &plan.session, &at_work, &[]);
            if before.is_none() {
                return Ok(outcome);
            }
            entry.name.clear();
        }
        Err(CliError::new(
            Exit::Precondition,
            format!(
                "session {} of BackupConfiguration {} never had its turn: other backups into its Repository were faster",
                entry.session, entry.configuration
            ),
        ))
    }

    async fn wait_for(&self, namespace: &str, other: &str, repository: &str) -> Result<(), CliError> {
        self.progress.say(&format!(
            "BackupSession {other} is at work in the same Repository {repository}; the backup begins when it has ended."
        ));
        match follow::backup(self.cluster, namespace, other, Some(self.progress)).await {
            Err(error) if error.exit != Exit::NothingMatched => Err(error),
            // However it ended, and although it is gone: the way is free.
            _ => Ok(()),
        }
    }

    async fn one(&self, entry: &Entry) -> Result<follow::Outcome, CliError> {
        let both = self.events.map(|events| Both(self.progress, events));
        let observer: &dyn Observer = both.as_ref().map_or(self.progress, |both| both as &dyn Observer);
        let followed = follow::backup(self.cluster, &entry.namespace, &entry.name, Some(observer));
        if !self.args.logs {
            return followed.await;
        }
        let target = logs::Target::backup(&entry.namespace, &entry.name).also_in(&entry.elsewhere);
        let sink = match self.events {
            Some(events) => Sink::Events(events),
            None => Sink::Talk(self.progress),
        };
        logs::while_running(self.cluster, &target, sink, followed).await
    }
}
