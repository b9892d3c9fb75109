//! A prompter that reads its answers from a script and keeps the questions, for tests.

use std::collections::VecDeque;

use super::prompter::{Check, Choice, Halt, Prompter, Question, Reply};

/// One line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Chooses the entry with this value, or types this text.
    Text(String),
    /// Chooses these entries.
    Several(Vec<String>),
    /// Says yes or no.
    Confirm(bool),
    /// Takes the default.
    Default,
    /// Goes a step back.
    Back,
    /// Leaves.
    Quit,
}

impl Line {
    /// Chooses the entry with this value, or types this text.
    pub fn text(text: &str) -> Self {
        Line::Text(text.to_owned())
    }
}

/// Answers from a script.
#[derive(Debug, Default)]
pub struct Scripted {
    lines: VecDeque<Line>,
    /// What was asked: the flag of each question.
    pub asked: Vec<String>,
    /// Everything that would have been shown.
    pub shown: String,
}

impl Scripted {
    /// A script.
    pub fn new(lines: impl IntoIterator<Item = Line>) -> Self {
        Scripted {
            lines: lines.into_iter().collect(),
            ..Scripted::default()
        }
    }

    /// Lines that nobody asked for.
    pub fn left(&self) -> usize {
        self.lines.len()
    }

    fn next(&mut self, question: &Question) -> Reply<Line> {
        self.asked.push(question.flag.clone());
        self.shown
            .push_str(&format!("? {}\n  {}\n", question.title, question.why));
        match self.lines.pop_front() {
            Some(Line::Back) => Err(Halt::Back),
            Some(Line::Quit) => Err(Halt::Quit),
            Some(line) => Ok(line),
            None => Err(self.wrong(question, "the script has ended")),
        }
    }

    fn wrong(&self, question: &Question, what: &str) -> Halt {
        Halt::Failed(format!("{}: {what}", question.flag), None)
    }
}

impl Prompter for Scripted {
    fn select(&mut self, question: &Question, choices: &[Choice], default: Option<usize>) -> Reply<usize> {
        for choice in choices {
            self.shown
                .push_str(&format!("  - {}  {}\n", choice.value, choice.detail));
        }
        match self.next(question)? {
            Line::Default => default.ok_or_else(|| self.wrong(question, "there is no default")),
            Line::Text(text) => choices
                .iter()
                .position(|c| c.value == text)
                .ok_or_else(|| self.wrong(question, &format!("{text} is not among {choices:?}"))),
            other => Err(self.wrong(question, &format!("{other:?} chooses nothing"))),
        }
    }

    fn several(&mut self, question: &Question, choices: &[Choice], chosen: &[bool]) -> Reply<Vec<usize>> {
        match self.next(question)? {
            Line::Default => Ok((0..choices.len())
                .filter(|i| chosen.get(*i) == Some(&true))
                .collect()),
            Line::Several(values) => Ok((0..choices.len())
                .filter(|i| choices.get(*i).is_some_and(|c| values.contains(&c.value)))
                .collect()),
            other => Err(self.wrong(question, &format!("{other:?} chooses nothing"))),
        }
    }

    fn text(&mut self, question: &Question, default: Option<&str>, check: Check<'_>) -> Reply<String> {
        let text = match self.next(question)? {
            Line::Default => question
                .kept_line()
                .or(default)
                .map(ToOwned::to_owned)
                .ok_or_else(|| self.wrong(question, "there is no default"))?,
            Line::Text(text) => text,
            other => return Err(self.wrong(question, &format!("{other:?} is no text"))),
        };
        match check(&text) {
            Ok(preview) => {
                self.shown.push_str(&format!("{preview}\n"));
                Ok(text)
            }
            Err(wrong) => Err(self.wrong(question, &wrong)),
        }
    }

    fn hidden(&mut self, question: &Question) -> Reply<String> {
        match self.next(question)? {
            Line::Text(text) => Ok(text),
            Line::Default => question
                .kept_line()
                .map(ToOwned::to_owned)
                .ok_or_else(|| self.wrong(question, "there is no default")),
            other => Err(self.wrong(question, &format!("{other:?} is no text"))),
        }
    }

    fn confirm(&mut self, question: &Question, default: bool) -> Reply<bool> {
        match self.next(question)? {
            Line::Default => Ok(default),
            Line::Confirm(answer) => Ok(answer),
            other => Err(self.wrong(question, &format!("{other:?} is neither yes nor no"))),
        }
    }

    fn say(&mut self, text: &str) {
        self.shown.push_str(text);
        self.shown.push('\n');
    }
}
