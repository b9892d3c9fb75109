//! The wizard for a BackupConfiguration, with the encryption Secret and the RetentionPolicy that it needs.

mod addon;
mod manifests;
mod place;
mod schedule;

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::manifests::{manifests, new_secret};
pub use self::schedule::sessions;
use super::asking::Asking;
use super::credentials::Values;
use super::found::Found;
use super::names;
use super::prompter::{Choice, Prompter, Question, Reply, choose, fail, fail_with};
use super::retention::{OwnRules, admitted, keeps};
use super::target::{self, Target};
use super::walk::Step;
use crate::cluster::{Kind, kinds};

/// The answers for a BackupConfiguration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[command(next_help_heading = "Answers")]
pub struct BackupAnswers {
    /// Name of the BackupConfiguration; after its target by default
    #[arg(value_name = "NAME", help_heading = None)]
    pub name: Option<String>,
    /// What to back up: pvc/NAME, deployment/NAME, statefulset/NAME or daemonset/NAME
    #[arg(long, value_name = "KIND/NAME")]
    pub target: Option<String>,
    /// Paths to back up, separated by commas; every volume with data by default
    #[arg(long, value_name = "PATHS")]
    pub paths: Option<String>,
    /// Patterns of files to leave out, separated by commas
    #[arg(long, value_name = "PATTERNS")]
    pub exclude: Option<String>,
    /// Another parameter of the task; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub param: Vec<String>,
    /// Addon that makes the backup; by the kind of the target by default
    #[arg(long, value_name = "NAME")]
    pub addon: Option<String>,
    /// Task of the Addon
    #[arg(long, value_name = "NAME")]
    pub task: Option<String>,
    /// BackupStorage to back up to; the default one, or the only one, by default
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub storage: Option<String>,
    /// When to back up, as a cron expression (in UTC)
    #[arg(long, value_name = "CRON")]
    pub schedule: Option<String>,
    /// Several schedules, each with a name; may be repeated
    #[arg(long, value_name = "NAME=CRON", conflicts_with = "schedule")]
    pub session: Vec<String>,
    /// RetentionPolicy that says what is kept; the default one, or the only one, by default
    #[arg(long, value_name = "[NAMESPACE/]NAME")]
    pub retention: Option<String>,
    /// Make a RetentionPolicy that keeps the newest N Snapshots
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub keep_last: Option<i32>,
    /// … the newest Snapshot of each of the last N hours that have one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub keep_hourly: Option<i32>,
    /// … of the last N days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub keep_daily: Option<i32>,
    /// … of the last N weeks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub keep_weekly: Option<i32>,
    /// … of the last N months
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub keep_monthly: Option<i32>,
    /// … of the last N years
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub keep_yearly: Option<i32>,
    /// … and the newest N that failed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub keep_failed: Option<i32>,
    /// … and nothing older than this: 30d, 2mo, 1y6mo
    #[arg(long, value_name = "PERIOD")]
    pub max_age: Option<String>,
    /// Repository to make; named as the BackupConfiguration by default
    #[arg(long, visible_alias = "repository", value_name = "NAME")]
    pub repo: Option<String>,
    /// Directory of the Repository in the storage; NAMESPACE/NAME by default
    #[arg(long, value_name = "PATH")]
    pub directory: Option<String>,
    /// Secret whose RESTIC_PASSWORD encrypts the data; made with a strong password where it does not exist
    #[arg(long, value_name = "NAME")]
    pub encryption_secret: Option<String>,
    /// User that the backup runs as; the application's own, or 0, by default
    #[arg(long, value_name = "UID", value_parser = clap::value_parser!(i64).range(0..))]
    pub run_as_user: Option<i64>,
    /// The longest that one backup may take, such as 2h
    #[arg(long, value_name = "DURATION")]
    pub backup_timeout: Option<String>,
    /// How often a backup that failed is tried again
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub retries: Option<i32>,
}

keeps!(BackupAnswers);

/// A wizard on its way.
#[derive(Debug, Clone)]
pub struct State {
    /// The answers.
    pub answers: BackupAnswers,
    /// What the cluster has.
    pub found: Arc<Found>,
    /// The password of the encryption Secret that is to be made; empty where the Secret exists.
    pub password: Values,
    params_to_ask: Option<Vec<String>>,
    own: OwnRules,
    naming_storage: bool,
    new_policy: bool,
    own_schedule: bool,
    sessions_done: bool,
    next_session: Option<String>,
}

impl State {
    /// A wizard with the answers that are there already.
    pub fn new(answers: BackupAnswers, found: Arc<Found>) -> Self {
        State {
            answers,
            found,
            password: Values::default(),
            params_to_ask: None,
            own: OwnRules::default(),
            naming_storage: false,
            new_policy: false,
            own_schedule: false,
            sessions_done: false,
            next_session: None,
        }
    }

    /// The target's kind and name, where they are known.
    pub(super) fn target(&self) -> Option<(&'static Kind, &str)> {
        parse_target(self.answers.target.as_deref()?).ok()
    }

    /// The target as it was found.
    pub(super) fn found_target(&self) -> Option<&Target> {
        let (kind, name) = self.target()?;
        self.found
            .targets
            .iter()
            .find(|t| t.kind == kind && t.name == name)
    }
}

impl Asking for State {
    type Answers = BackupAnswers;

    const COMMAND: &'static str = "backup";
    const OURS: &'static [&'static Kind] = &[
        &kinds::BACKUP_STORAGE,
        &kinds::RETENTION_POLICY,
        &kinds::REPOSITORY,
        &kinds::ADDON,
        &kinds::BACKUP_CONFIGURATION,
    ];
    const BUILTIN: &'static [&'static Kind] = &[
        &kinds::DEPLOYMENT,
        &kinds::STATEFUL_SET,
        &kinds::DAEMON_SET,
        &kinds::CRON_JOB,
        &kinds::JOB,
        &kinds::POD,
        &kinds::CLAIM,
        &kinds::SECRET,
        &kinds::NAMESPACE,
    ];
    const STEPS: &'static [Step<Self>] = STEPS;

    fn answers(&self) -> &BackupAnswers {
        &self.answers
    }

    fn found(&self) -> &Found {
        &self.found
    }

    fn look_again(&mut self, found: Arc<Found>) {
        self.found = found;
    }

    fn manifests(&self) -> Option<Vec<Value>> {
        manifests(self)
    }
}

/// The steps in order.
pub const STEPS: &[Step<State>] = &[
    target_step,
    name,
    addon::addon,
    addon::required,
    addon::optional,
    place::storage,
    schedule::schedule,
    schedule::more,
    place::retention,
    place::encryption,
    place::user,
    check,
];

/// Reads `KIND/NAME`.
///
/// # Errors
/// One sentence that names the kinds.
pub fn parse_target(text: &str) -> Result<(&'static Kind, &str), String> {
    let known = "pvc/NAME, deployment/NAME, statefulset/NAME or daemonset/NAME";
    let Some((word, name)) = text.split_once('/') else {
        return Err(format!("{text:?}: say of which kind it is: {known}"));
    };
    match crate::cluster::kinds::called(word, &target::KINDS) {
        Some(kind) if !name.is_empty() && !name.contains('/') => Ok((kind, name)),
        _ => Err(format!("{text:?} is no target: write {known}")),
    }
}

fn target_step(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let found = state.found.clone();
    if let Some(text) = &state.answers.target {
        let (kind, name) = parse_target(text).or_else(fail)?;
        if found.read(kind) && !found.targets.iter().any(|t| t.kind == kind && t.name == name) {
            return fail_with(
                format!("{} {name} in namespace {} not found", kind.kind, found.namespace),
                format!(
                    "`kubectl get {} -n {}` lists what there is",
                    kind.plural, found.namespace
                ),
            );
        }
        return Ok(());
    }
    let choices: Vec<Choice> = found
        .targets
        .iter()
        .filter(|t| t.has_data())
        .map(|t| Choice::new(t.word(), t.detail.clone()))
        .collect();
    let question = Question::new(
        "--target",
        "What shall be backed up",
        "A workload with the volumes of its pods, or one claim on its own.",
    )
    .must()
    .need("what to back up: pvc/NAME, deployment/NAME, statefulset/NAME or daemonset/NAME");
    let chosen = if choices.is_empty() {
        let question = Question {
            why: format!(
                "Nothing with a volume was found in namespace {}; name it as KIND/NAME.",
                found.namespace
            ),
            ..question
        };
        prompter.text(&question, None, &|t| parse_target(t).map(|_| String::new()))?
    } else {
        choose(prompter, &question, &choices, None)?
    };
    state.answers.target = Some(chosen);
    Ok(())
}

fn name(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if let Some(name) = &state.answers.name {
        return names::check(name).or_else(fail);
    }
    let Some((kind, target)) = state.target() else {
        return Ok(());
    };
    let found = state.found.clone();
    let other = |name: &str| {
        found
            .configurations
            .iter()
            .find(|c| c.metadata.name.as_deref() == Some(name))
            .and_then(|c| c.spec.target.clone())
            .filter(|t| t.name != target || t.kind.as_deref() != Some(kind.kind))
    };
    let default = names::free(&names::from(target), |name| other(name).is_some());
    let question = Question::new(
        "NAME",
        "Name of the BackupConfiguration",
        "The Repository is named after it.",
    );
    let name = prompter.text(&question, Some(&default), &|text| {
        names::check(text)?;
        if let Some(other) = other(text) {
            return Err(format!("{text} exists and backs up {}", other.name));
        }
        let known = found
            .configurations
            .iter()
            .any(|c| c.metadata.name.as_deref() == Some(text));
        Ok(if known {
            "It exists already and will be changed.".to_owned()
        } else {
            String::new()
        })
    })?;
    state.answers.name = Some(name);
    Ok(())
}

fn check(state: &mut State, _: &mut dyn Prompter) -> Reply<()> {
    if let Some(text) = &state.answers.backup_timeout {
        crate::output::human::parse_duration(text)
            .map(|_| ())
            .or_else(fail)?;
    }
    match manifests(state) {
        Some(objects) => admitted(&state.found, &objects),
        None => Ok(()),
    }
}

/// The parameters that were given, by name.
///
/// # Errors
/// When one is not written as KEY=VALUE.
pub(super) fn pairs(list: &[String]) -> Result<BTreeMap<String, String>, String> {
    list.iter()
        .map(|item| match item.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!("--param {item}: write KEY=VALUE")),
        })
        .collect()
}

/// Whether nothing of that kind with that name exists, as far as could be read.
pub(super) fn absent(found: &Found, secret: &str) -> bool {
    found.read(&kinds::SECRET) && !found.secrets.iter().any(|s| s.name == secret)
}

#[cfg(test)]
pub(super) mod tests;
