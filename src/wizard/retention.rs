//! The wizard for a RetentionPolicy: how many Snapshots stay, and for how long.

use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::found::Found;
use super::prompter::{Choice, Prompter, Question, Reply, fail};
use super::walk::Step;
use super::{names, preview, usage};
use crate::api::storage::{FailedSnapshots, RetentionPolicySpec, SuccessfulSnapshots};
use crate::cluster::kinds;
use crate::decide::admission::admit;
use crate::decide::retention::parse_period;

/// How much to keep.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// The newest n.
    pub last: Option<i32>,
    /// The newest of each of n hours.
    pub hourly: Option<i32>,
    /// Days.
    pub daily: Option<i32>,
    /// Weeks.
    pub weekly: Option<i32>,
    /// Months.
    pub monthly: Option<i32>,
    /// Years.
    pub yearly: Option<i32>,
    /// The newest n that failed.
    pub failed: Option<i32>,
    /// Nothing older.
    pub age: Option<String>,
}

impl Keep {
    /// Whether anything is said about Snapshots that succeeded.
    pub fn says_anything(&self) -> bool {
        let counts = [
            self.last,
            self.hourly,
            self.daily,
            self.weekly,
            self.monthly,
            self.yearly,
        ];
        counts.iter().any(Option::is_some) || self.age.is_some()
    }

    /// The policy's spec, without who may use it.
    pub fn spec(&self) -> RetentionPolicySpec {
        let counts = SuccessfulSnapshots {
            last: self.last,
            hourly: self.hourly,
            daily: self.daily,
            weekly: self.weekly,
            monthly: self.monthly,
            yearly: self.yearly,
        };
        RetentionPolicySpec {
            max_retention_period: self.age.clone(),
            successful_snapshots: (counts != SuccessfulSnapshots::default()).then_some(counts),
            failed_snapshots: self.failed.map(|last| FailedSnapshots { last }),
            ..RetentionPolicySpec::default()
        }
    }
}

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

/// The steps in order.
pub const STEPS: &[Step<State>] = &[rules, name, allow, default, check];

/// Ready-made rules: their name, what they keep, and why.
pub fn presets() -> Vec<(&'static str, Keep)> {
    let counts = |daily, weekly, monthly| Keep {
        daily,
        weekly,
        monthly,
        ..Keep::default()
    };
    vec![
        ("week", counts(Some(7), None, None)),
        ("month", counts(Some(7), Some(5), None)),
        ("year", counts(Some(7), Some(5), Some(12))),
        (
            "last-10",
            Keep {
                last: Some(10),
                ..Keep::default()
            },
        ),
    ]
}

/// Rules of the user's own, asked one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnRules {
    wanted: bool,
    asked: usize,
    keep: Keep,
}

/// Asks how much to keep: a preset, or rules of one's own one by one. Answers with the rules when they are complete.
///
/// # Errors
/// No answer.
pub fn ask_rules(
    own: &mut OwnRules,
    flag: &str,
    schedule: &str,
    found: &Found,
    prompter: &mut dyn Prompter,
) -> Reply<Option<Keep>> {
    if own.wanted {
        return ask_own(own, prompter);
    }
    let mut choices: Vec<Choice> = presets()
        .iter()
        .map(|(name, keep)| Choice::new(*name, preview::policy(&keep.spec(), schedule, found.now)))
        .collect();
    choices.push(Choice::new("own rules", "numbers of your own"));
    let question = Question::new(
        flag,
        "How much to keep",
        "The newest Snapshot of each day, week or month stays; everything else is forgotten after each backup.",
    )
    .must()
    .need(if flag == "--retention" {
        "a RetentionPolicy, of which there is none yet; or rules for a new one: --keep-daily 7, --keep-weekly 5, --max-age 1y, …"
    } else {
        "how much to keep: --keep-last, --keep-hourly, --keep-daily, --keep-weekly, --keep-monthly, --keep-yearly or --max-age"
    });
    let index = prompter.select(&question, &choices, Some(1))?;
    match presets().into_iter().nth(index) {
        Some((_, keep)) => Ok(Some(keep)),
        None => {
            own.wanted = true;
            Ok(None)
        }
    }
}

const OWN: [(&str, &str); 7] = [
    ("--keep-last", "the newest ones, whenever they were made"),
    ("--keep-hourly", "hours"),
    ("--keep-daily", "days"),
    ("--keep-weekly", "weeks"),
    ("--keep-monthly", "months"),
    ("--keep-yearly", "years"),
    ("--max-age", "the longest that anything is kept"),
];

fn ask_own(own: &mut OwnRules, prompter: &mut dyn Prompter) -> Reply<Option<Keep>> {
    let Some((flag, what)) = OWN.get(own.asked) else {
        if own.keep.says_anything() {
            return Ok(Some(own.keep.clone()));
        }
        own.asked = 0;
        return fail("rules that keep nothing are none: give at least one number or period");
    };
    let period = *flag == "--max-age";
    let title = if period {
        "Keep nothing older than".to_owned()
    } else {
        format!("How many: {what}")
    };
    let why = if period {
        "Such as 30d, 2mo or 1y6mo. Empty: no limit."
    } else {
        "Empty: no such rule."
    };
    let fits = |text: &str| -> Result<String, String> {
        if text.is_empty() {
            return Ok(String::new());
        }
        if period {
            return parse_period(text)
                .map(|_| String::new())
                .map_err(|e| e.to_string());
        }
        let number: Result<u16, _> = text.parse();
        number
            .map(|_| String::new())
            .map_err(|_| format!("{text:?} is not a number"))
    };
    let text = prompter.text(&Question::new(flag, title, why), Some(""), &fits)?;
    let count = text.parse::<i32>().ok();
    match own.asked {
        0 => own.keep.last = count,
        1 => own.keep.hourly = count,
        2 => own.keep.daily = count,
        3 => own.keep.weekly = count,
        4 => own.keep.monthly = count,
        5 => own.keep.yearly = count,
        _ => own.keep.age = Some(text).filter(|t| !t.is_empty()),
    }
    own.asked += 1;
    Ok(None)
}

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

/// A name for rules.
pub fn name_of(keep: &Keep) -> String {
    if let Some((name, _)) = presets().into_iter().find(|(_, preset)| preset == keep) {
        return format!("keep-{name}");
    }
    match &keep.age {
        Some(age) => names::from(&format!("keep-{age}")),
        None => "keep-some".to_owned(),
    }
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
        assert_eq!((answers.keep_last, answers.keep_hourly), (Some(5), None));
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
