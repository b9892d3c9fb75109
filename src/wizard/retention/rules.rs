//! Rules of retention: ready-made ones, and those that are asked for one by one.

use crate::api::storage::{FailedSnapshots, RetentionPolicySpec, SuccessfulSnapshots};
use crate::decide::retention::parse_period;
use crate::wizard::found::Found;
use crate::wizard::prompter::{Choice, Prompter, Question, Reply, fail};
use crate::wizard::{names, preview};

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
