//! The wizard for a RetentionPolicy: how many Snapshots stay, and for how long.

mod rules;

use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::asking::Asking;
use super::found::Found;
use super::prompter::{Prompter, Question, Reply, fail};
use super::walk::Step;
use super::{names, usage};
use crate::cluster::{Kind, kinds};
use crate::decide::admission::admit;

pub use self::rules::{Keep, OwnRules, ask_rules, name_of, presets};

/// Answers with rules of retention among them.
pub trait Rules {
    /// The rules.
    fn keep(&self) -> Keep;
    /// Puts rules in.
    fn set_keep(&mut self, keep: Keep);
}

macro_rules! keeps {
    ($answers:ty) => {
        impl $crate::wizard::retention::Rules for $answers {
            fn keep(&self) -> $crate::wizard::retention::Keep {
                $crate::wizard::retention::Keep {
                    last: self.keep_last,
                    hourly: self.keep_hourly,
                    daily: self.keep_daily,
                    weekly: self.keep_weekly,
                    monthly: self.keep_monthly,
                    yearly: self.keep_yearly,
                    failed: self.keep_failed,
                    age: self.max_age.clone(),
                }
            }

            fn set_keep(&mut self, keep: $crate::wizard::retention::Keep) {
                self.keep_last = keep.last;
                self.keep_hourly = keep.hourly;
                self.keep_daily = keep.daily;
                self.keep_weekly = keep.weekly;
                self.keep_monthly = keep.monthly;
                self.keep_yearly = keep.yearly;
                self.keep_failed = keep.failed.or(self.keep_failed);
                self.max_age = keep.age;
            }
        }
    };
}
pub(super) use keeps;

/// The answers for a RetentionPolicy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[command(next_help_heading = "Answers")]
pub struct RetentionAnswers {
    /// Name of the RetentionPolicy; after its rules by default
    #[arg(value_name = "NAME", help_heading = None)]
    pub name: Option<String>,
    /// Keep the newest N Snapshots
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub keep_last: Option<i32>,
    /// Keep the newest Snapshot of each of the last N hours that have one
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
    /// Keep the newest N Snapshots that failed, to see why; 1 by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub keep_failed: Option<i32>,
    /// Keep nothing older, whatever else is said: 30d, 2mo, 1y6mo
    #[arg(long, value_name = "PERIOD")]
    pub max_age: Option<String>,
    /// Who may use it: same, all, or labels of namespaces such as team=a
    #[arg(long, value_name = "same|all|LABELS")]
    pub allow: Option<String>,
    /// Use it where a BackupConfiguration names no policy
    #[arg(long)]
    pub default: bool,
}

keeps!(RetentionAnswers);

/// A wizard on its way.
#[derive(Debug, Clone)]
pub struct State {
    /// The answers.
    pub answers: RetentionAnswers,
    /// What the cluster has.
    pub found: Arc<Found>,
    own: OwnRules,
    default_asked: bool,
}

impl State {
    /// A wizard with the answers that are there already.
    pub fn new(answers: RetentionAnswers, found: Arc<Found>) -> Self {
        State {
            answers,
            found,
            own: OwnRules::default(),
            default_asked: false,
        }
    }
}

impl Asking for State {
    type Answers = RetentionAnswers;

    const COMMAND: &'static str = "retention";
    const OURS: &'static [&'static Kind] = &[&kinds::RETENTION_POLICY];
    const BUILTIN: &'static [&'static Kind] = &[&kinds::NAMESPACE];
    const STEPS: &'static [Step<Self>] = STEPS;

    fn answers(&self) -> &RetentionAnswers {
        &self.answers
    }

    fn found(&self) -> &Found {
        &self.found
    }

    fn look_again(&mut self, found: Arc<Found>) {
        self.found = found;
    }

    fn manifests(&self) -> Option<Vec<Value>> {
        Some(manifests(&self.answers, &self.found.namespace))
    }
}

/// The steps in order.
pub const STEPS: &[Step<State>] = &[rules, name, allow, default, check];

fn rules(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if state.answers.keep().says_anything() {
        return Ok(());
    }
    let found = state.found.clone();
    if let Some(keep) = ask_rules(&mut state.own, "--keep-daily", "0 2 * * *", &found, prompter)? {
        state.answers.set_keep(keep);
    }
    Ok(())
}

fn name(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if let Some(name) = &state.answers.name {
        return names::check(name).or_else(fail);
    }
    let keep = state.answers.keep();
    if !keep.says_anything() {
        return Ok(());
    }
    let found = state.found.clone();
    let default = names::free(&name_of(&keep), |name| {
        policy(&found, &found.namespace, name).is_some()
    });
    let question = Question::new("NAME", "Name of the RetentionPolicy", "");
    let name = prompter.text(&question, Some(&default), &|text| {
        names::check(text)?;
        let known = policy(&found, &found.namespace, text).is_some();
        Ok(if known {
            "It exists already and will be changed.".to_owned()
        } else {
            String::new()
        })
    })?;
    state.answers.name = Some(name);
    Ok(())
}

/// The policy of a name.
pub fn policy<'f>(
    found: &'f Found,
    namespace: &str,
    name: &str,
) -> Option<&'f crate::api::storage::RetentionPolicy> {
    found.policies.iter().find(|p| {
        p.metadata.name.as_deref() == Some(name) && p.metadata.namespace.as_deref() == Some(namespace)
    })
}

fn allow(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    usage::allow(
        "policy",
        &state.found.namespace,
        &mut state.answers.allow,
        prompter,
    )
}

fn default(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let namespace = state.found.namespace.as_str();
    let mut others = state.found.policies.iter();
    let taken = others.any(|o| o.spec.default && o.metadata.namespace.as_deref() == Some(namespace));
    if taken {
        return Ok(());
    }
    usage::default(
        "policy",
        &mut state.answers.default,
        &mut state.default_asked,
        prompter,
    )
}

fn check(state: &mut State, _: &mut dyn Prompter) -> Reply<()> {
    if state.answers.name.is_none() || !state.answers.keep().says_anything() {
        return Ok(());
    }
    let objects = manifests(&state.answers, &state.found.namespace);
    admitted(&state.found, &objects)
}

/// Asks admission about new objects, as the webhooks will.
///
/// # Errors
/// Every rule that an object breaks.
pub fn admitted(found: &Found, objects: &[Value]) -> Reply<()> {
    let facts = found.facts(objects);
    for object in objects {
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
        if let Some(message) = admit(kind, object, None, &facts).message(kind, object) {
            return fail(message);
        }
    }
    Ok(())
}

/// The RetentionPolicy that the answers make.
pub fn manifests(answers: &RetentionAnswers, namespace: &str) -> Vec<Value> {
    vec![policy_object(
        answers.name.as_deref().unwrap_or_default(),
        namespace,
        &answers.keep(),
        answers.allow.as_deref().unwrap_or("same"),
        answers.default,
    )]
}

/// A RetentionPolicy.
pub fn policy_object(name: &str, namespace: &str, keep: &Keep, allow: &str, default: bool) -> Value {
    let mut spec = serde_json::to_value(keep.spec()).unwrap_or_default();
    if default {
        spec["default"] = json!(true);
    }
    if let Ok(policy) = usage::policy(allow) {
        spec["usagePolicy"] = policy;
    }
    json!({
        "apiVersion": kinds::RETENTION_POLICY.api_version(),
        "kind": kinds::RETENTION_POLICY.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wizard::prompter::{Halt, Nobody};
    use crate::wizard::scripted::{Line, Scripted};
    use crate::wizard::walk::Walk;

    fn found() -> Arc<Found> {
        Arc::new(Found {
            namespace: "demo".into(),
            now: "2026-11-21T12:00:00Z".parse().unwrap(),
            ..Found::default()
        })
    }

    fn run(answers: RetentionAnswers, prompter: &mut dyn Prompter) -> (Reply<()>, RetentionAnswers) {
        let mut state = State::new(answers, found());
        let ended = Walk::default().run(&mut state, STEPS, prompter);
        (ended, state.answers)
    }

    #[test]
    fn a_preset_is_told_by_what_it_keeps_and_back_asks_again() {
        let mut script = Scripted::new([
            Line::text("week"),
            Line::Back,
            Line::text("year"),
            Line::Default,
            Line::text("all"),
            Line::Confirm(true),
        ]);
        let (ended, answers) = run(RetentionAnswers::default(), &mut script);
        assert_eq!((ended, script.left()), (Ok(()), 0), "{}", script.shown);
        assert!(
            script
                .shown
                .contains("7 daily → 7 Snapshots, oldest about 6 days old"),
            "{}",
            script.shown
        );
        assert_eq!(
            manifests(&answers, "demo"),
            [json!({
                "apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
                "metadata": {"name": "keep-year", "namespace": "demo"},
                "spec": {"successfulSnapshots": {"daily": 7, "weekly": 5, "monthly": 12}, "default": true,
                    "usagePolicy": {"allowedNamespaces": {"from": "All"}}},
            })]
        );
    }

    #[test]
    fn own_rules_are_asked_one_by_one_and_back_goes_one_by_one() {
        let mut script = Scripted::new([
            Line::text("own rules"),
            Line::text("3"),
            Line::text("24"),
            Line::Back,
            Line::Back,
            Line::text("5"),
            // What was gone back over is offered again.
            Line::Default,
            Line::Default,
            Line::Default,
            Line::Default,
            Line::Default,
            Line::text("30d"),
            Line::text("mine"),
            Line::Default,
            Line::Default,
        ]);
        let (ended, answers) = run(RetentionAnswers::default(), &mut script);
        assert_eq!((ended, script.left()), (Ok(()), 0), "{}", script.shown);
        assert_eq!((answers.keep_last, answers.keep_hourly), (Some(5), Some(24)));
        assert_eq!(
            (answers.max_age.as_deref(), answers.name.as_deref()),
            (Some("30d"), Some("mine"))
        );
    }

    #[test]
    fn what_is_given_is_not_asked_and_must_be_right() {
        let given = RetentionAnswers {
            name: Some("a".into()),
            keep_daily: Some(7),
            allow: Some("same".into()),
            default: true,
            ..RetentionAnswers::default()
        };
        let mut script = Scripted::default();
        assert_eq!(run(given.clone(), &mut script).0, Ok(()));
        assert!(script.asked.is_empty());
        let wrong = RetentionAnswers {
            max_age: Some("soon".into()),
            ..given
        };
        let (ended, _) = run(wrong, &mut script);
        assert!(matches!(ended, Err(Halt::Failed(m, _)) if m.contains("maxRetentionPeriod")));
    }

    #[test]
    fn nobody_is_told_which_rules_there_are() {
        let mut nobody = Nobody::default();
        assert_eq!(run(RetentionAnswers::default(), &mut nobody).0, Ok(()));
        assert_eq!(nobody.missing.len(), 1);
        assert!(nobody.missing[0].1.contains("--keep-weekly"));
    }
}
