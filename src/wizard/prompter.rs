//! Who answers: a person, a script, or nobody.

use std::collections::BTreeSet;

/// A question: the flag that answers it, what is asked, and a line that explains the choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The flag that answers it, with its dashes; empty for questions that only a wizard asks.
    pub flag: String,
    /// What is asked, without a mark at its end.
    pub title: String,
    /// One line about what the choice means; may be empty.
    pub why: String,
    /// Whether nobody but a person may take the default: the choice cannot be guessed.
    pub must: bool,
    /// What to say where nobody can be asked; empty: made from the question.
    pub need: String,
    /// What was answered before the person went back to it.
    pub kept: Option<Kept>,
}

/// An answer that is kept for when its question is asked again. It may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept(pub Vec<String>);

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(not shown)")
    }
}

impl Question {
    /// A question whose default is good enough where nobody can be asked.
    pub fn new(flag: &str, title: impl Into<String>, why: impl Into<String>) -> Self {
        Question {
            flag: flag.to_owned(),
            title: title.into(),
            why: why.into(),
            must: false,
            need: String::new(),
            kept: None,
        }
    }

    /// The same question, for something that only the user can know.
    #[must_use]
    pub fn must(mut self) -> Self {
        self.must = true;
        self
    }

    /// The line of text that was answered before.
    pub fn kept_line(&self) -> Option<&str> {
        self.kept.as_ref()?.0.first().map(String::as_str)
    }

    /// The same question, with what to say where nobody can be asked.
    #[must_use]
    pub fn need(mut self, need: impl Into<String>) -> Self {
        self.need = need.into();
        self
    }
}

/// One thing to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The value, as the flag takes it.
    pub value: String,
    /// What there is to know about it; may be empty.
    pub detail: String,
}

impl Choice {
    /// A value and what there is to know about it.
    pub fn new(value: impl Into<String>, detail: impl Into<String>) -> Self {
        Choice {
            value: value.into(),
            detail: detail.into(),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Halt {
    /// The person wants to go a step back.
    Back,
    /// The person wants to leave.
    Quit,
    /// Nobody is there to answer; the flag has been noted.
    Missing,
    /// The person wants to make a BackupStorage first; then the question is asked again.
    MakeStorage,
    /// What was given cannot be right, or the terminal failed: a sentence, and what to do about it where that is known.
    Failed(String, Option<String>),
}

/// An answer, or why there is none.
pub type Reply<T> = Result<T, Halt>;

/// Checks what was typed: what it means in a line to show (may be empty), or what is wrong with it.
pub type Check<'c> = &'c dyn Fn(&str) -> Result<String, String>;

/// Who answers.
pub trait Prompter {
    /// One of several; the index.
    fn select(&mut self, question: &Question, choices: &[Choice], default: Option<usize>) -> Reply<usize>;

    /// Any number of several; the indices in order.
    fn several(&mut self, question: &Question, choices: &[Choice], chosen: &[bool]) -> Reply<Vec<usize>>;

    /// A line of text that passes the check.
    fn text(&mut self, question: &Question, default: Option<&str>, check: Check<'_>) -> Reply<String>;

    /// A line that is not shown while it is typed.
    fn hidden(&mut self, question: &Question) -> Reply<String>;

    /// Yes or no.
    fn confirm(&mut self, question: &Question, default: bool) -> Reply<bool>;

    /// Says something between questions.
    fn say(&mut self, text: &str);

    /// Takes the newest answers off the screen, where there is one: their questions are asked again.
    fn forget(&mut self, answers: usize) {
        let _ = answers;
    }
}

/// Asks for one of several and answers with its value.
///
/// # Errors
/// No answer.
pub fn choose(
    prompter: &mut dyn Prompter,
    question: &Question,
    choices: &[Choice],
    default: Option<&str>,
) -> Reply<String> {
    let at = default.and_then(|value| choices.iter().position(|c| c.value == value));
    let index = prompter.select(question, choices, at)?;
    Ok(choices.get(index).map(|c| c.value.clone()).unwrap_or_default())
}

/// Something that cannot be right, without a way out of its own.
pub fn fail<T>(message: impl Into<String>) -> Reply<T> {
    Err(Halt::Failed(message.into(), None))
}

/// Something that cannot be right, and what to do about it.
pub fn fail_with<T>(message: impl Into<String>, hint: impl Into<String>) -> Reply<T> {
    Err(Halt::Failed(message.into(), Some(hint.into())))
}

/// Nobody: takes the defaults that can be guessed, and notes the flags of everything else.
#[derive(Debug, Default)]
pub struct Nobody {
    /// Flags that are missing, with what they could be.
    pub missing: Vec<(String, String)>,
    /// What was taken by default: flag and value.
    pub assumed: Vec<(String, String)>,
    seen: BTreeSet<String>,
}

impl Nobody {
    fn need<T>(&mut self, question: &Question, hint: String) -> Reply<T> {
        let hint = if question.need.is_empty() {
            hint
        } else {
            question.need.clone()
        };
        if self.seen.insert(question.flag.clone()) {
            self.missing.push((question.flag.clone(), hint));
        }
        Err(Halt::Missing)
    }

    fn assume(&mut self, question: &Question, value: &str) {
        self.assumed.push((question.flag.clone(), value.to_owned()));
    }
}

/// How many values an error lists.
const LISTED: usize = 8;

impl Prompter for Nobody {
    fn select(&mut self, question: &Question, choices: &[Choice], default: Option<usize>) -> Reply<usize> {
        if !question.must
            && let Some((index, choice)) = default.and_then(|i| Some((i, choices.get(i)?)))
        {
            self.assume(question, &choice.value);
            return Ok(index);
        }
        let values: Vec<&str> = choices
            .iter()
            .map(|c| c.value.as_str())
            .filter(|v| !v.is_empty())
            .collect();
        let more = if values.len() > LISTED { ", …" } else { "" };
        let listed = values.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
        let hint = if listed.is_empty() {
            question.title.clone()
        } else {
            format!("one of {listed}{more}")
        };
        self.need(question, hint)
    }

    fn several(&mut self, question: &Question, choices: &[Choice], chosen: &[bool]) -> Reply<Vec<usize>> {
        let _ = question;
        Ok((0..choices.len())
            .filter(|i| chosen.get(*i).copied().unwrap_or(false))
            .collect())
    }

    fn text(&mut self, question: &Question, default: Option<&str>, check: Check<'_>) -> Reply<String> {
        match default {
            Some(default) if !question.must && check(default).is_ok() => {
                self.assume(question, default);
                Ok(default.to_owned())
            }
            _ => self.need(question, question.title.clone()),
        }
    }

    fn hidden(&mut self, question: &Question) -> Reply<String> {
        self.need(question, question.title.clone())
    }

    fn confirm(&mut self, question: &Question, default: bool) -> Reply<bool> {
        if question.must {
            return self.need(question, question.title.clone());
        }
        Ok(default)
    }

    fn say(&mut self, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_what_can_be_guessed_and_notes_the_rest() {
        let mut nobody = Nobody::default();
        let choices = [Choice::new("a", ""), Choice::new("b", "")];
        assert_eq!(
            nobody.select(&Question::new("--x", "X", ""), &choices, Some(1)),
            Ok(1)
        );
        assert_eq!(
            nobody.select(&Question::new("--y", "Y", "").must(), &choices, Some(1)),
            Err(Halt::Missing)
        );
        let never = |_: &str| Err::<String, _>("no".to_owned());
        assert_eq!(
            nobody.text(&Question::new("--z", "what Z is", ""), Some("q"), &never),
            Err(Halt::Missing)
        );
        assert_eq!(nobody.assumed, [("--x".to_owned(), "b".to_owned())]);
        assert_eq!(
            nobody.missing,
            [
                ("--y".to_owned(), "one of a, b".to_owned()),
                ("--z".to_owned(), "what Z is".to_owned())
            ]
        );
    }
}
