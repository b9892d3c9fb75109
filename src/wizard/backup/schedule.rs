//! When: one schedule, or several sessions with a schedule each.

use super::State;
use crate::decide::schedule::Schedule;
use crate::wizard::prompter::{Choice, Prompter, Question, Reply, fail};
use crate::wizard::{names, preview};

/// Ready-made schedules: cron expression and words.
const PRESETS: [(&str, &str); 5] = [
    ("0 2 * * *", "every night at 02:00"),
    ("0 * * * *", "every hour"),
    ("0 */6 * * *", "every six hours"),
    ("0 2 * * 0", "every Sunday at 02:00"),
    ("0 2 1 * *", "on the first of every month at 02:00"),
];

/// The sessions of the answers: name and schedule.
///
/// # Errors
/// When a session is not written as NAME=CRON, or a schedule is none.
pub fn sessions(answers: &super::BackupAnswers) -> Result<Vec<(String, String)>, String> {
    if let Some(schedule) = &answers.schedule {
        Schedule::parse(schedule).map_err(|e| format!("--schedule {schedule:?}: {e}"))?;
        return Ok(vec![(name_of(schedule).to_owned(), schedule.clone())]);
    }
    let mut sessions: Vec<(String, String)> = Vec::new();
    for text in &answers.session {
        let Some((name, schedule)) = text.split_once('=') else {
            return Err(format!("--session {text:?}: write NAME=CRON"));
        };
        names::check(name)?;
        Schedule::parse(schedule).map_err(|e| format!("--session {text:?}: {e}"))?;
        if sessions.iter().any(|(known, _)| known == name) {
            return Err(format!("there are two sessions {name}"));
        }
        sessions.push((name.to_owned(), schedule.to_owned()));
    }
    Ok(sessions)
}

/// A name for a session by how often it runs.
pub(super) fn name_of(schedule: &str) -> &'static str {
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    match fields.as_slice() {
        ["@hourly"] => "hourly",
        ["@daily" | "@midnight"] => "daily",
        ["@weekly"] => "weekly",
        ["@monthly"] => "monthly",
        ["@yearly" | "@annually"] => "yearly",
        [minute, "*", "*", "*", "*"] if minute.parse::<u8>().is_ok() => "hourly",
        [_, hour, "*", "*", "*"] if hour.parse::<u8>().is_ok() => "daily",
        [_, hour, "*", "*", day] if hour.parse::<u8>().is_ok() && *day != "*" => "weekly",
        [_, hour, day, "*", "*"] if hour.parse::<u8>().is_ok() && day.parse::<u8>().is_ok() => "monthly",
        _ => "frequent",
    }
}

fn ask(state: &mut State, prompter: &mut dyn Prompter) -> Reply<Option<String>> {
    const OWN: &str = "another";
    let now = state.found.now;
    if state.own_schedule {
        let question = Question::new(
            "--schedule",
            "Cron expression",
            "Minute, hour, day of month, month, day of week; in UTC. 30 3 * * 1-5 is 03:30 on workdays.",
        );
        let text = prompter.text(&question, None, &|text| preview::schedule(text, now))?;
        return Ok(Some(text));
    }
    let mut choices: Vec<Choice> = PRESETS
        .iter()
        .map(|(cron, words)| {
            let next = preview::next(cron, now).into_iter().next().unwrap_or_default();
            Choice::new(*words, format!("{cron} · next {next}"))
        })
        .collect();
    choices.push(Choice::new(OWN, "a cron expression of your own"));
    let question = Question::new(
        "--schedule",
        "When",
        "The first backup starts as soon as everything is ready, whatever the schedule. Times are UTC.",
    )
    .must()
    .need("when to back up, as a cron expression: --schedule '0 2 * * *'");
    let index = prompter.select(&question, &choices, Some(0))?;
    match PRESETS.get(index) {
        Some((cron, _)) => {
            let told = preview::schedule(cron, now).unwrap_or_default();
            prompter.say(&format!("  {told}"));
            Ok(Some((*cron).to_owned()))
        }
        None => {
            state.own_schedule = true;
            Ok(None)
        }
    }
}

pub(super) fn schedule(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if !sessions(&state.answers).or_else(fail)?.is_empty() {
        return Ok(());
    }
    if let Some(schedule) = ask(state, prompter)? {
        state.answers.schedule = Some(schedule);
        state.own_schedule = false;
    }
    Ok(())
}

/// Further sessions, as many as are wanted.
pub(super) fn more(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let known = sessions(&state.answers).or_else(fail)?;
    if known.is_empty() || state.sessions_done {
        return Ok(());
    }
    let Some(name) = state.next_session.clone() else {
        let question = Question::new(
            "--session",
            "Add another schedule for the same data",
            "Such as every hour and, apart from that, every night.",
        );
        if !prompter.confirm(&question, false)? {
            state.sessions_done = true;
            return Ok(());
        }
        state.next_session = Some(String::new());
        return Ok(());
    };
    if name.is_empty() {
        let question = Question::new("--session", "Name of the session", "");
        let name = prompter.text(&question, None, &|text| {
            names::check(text)?;
            let taken = known.iter().any(|(known, _)| known == text);
            if taken {
                Err(format!("there is a session {text} already"))
            } else {
                Ok(String::new())
            }
        })?;
        state.next_session = Some(name);
        return Ok(());
    }
    if let Some(schedule) = ask(state, prompter)? {
        let mut all: Vec<String> = known
            .iter()
            .map(|(name, cron)| format!("{name}={cron}"))
            .collect();
        all.push(format!("{name}={schedule}"));
        state.answers.schedule = None;
        state.answers.session = all;
        state.own_schedule = false;
        state.next_session = None;
    }
    Ok(())
}
