//! A person at a terminal. Questions go to standard error, so that standard output stays data.
//!
//! Each question shows its line of explanation and its choices while it is open, and shrinks to one line when it is
//! answered. Escape goes back a step, Ctrl-C leaves; both also while text is typed, which is why lines are edited here.
//! Letters never leave: in a list they go to the choice that begins with them, in a long one they search.

mod line;
mod list;

use std::cell::RefCell;
use std::io;

use dialoguer::FuzzySelect;
use dialoguer::console::{Term, measure_text_width, truncate_str};
use dialoguer::theme::ColorfulTheme;

use self::line::discard_typed;
use super::prompter::{Check, Choice, Halt, Prompter, Question, Reply};
use crate::output::style::Style;
use crate::output::wrap::wrap;

/// Lists longer than this can be searched by typing.
const SEARCHED: usize = 10;

/// A person at a terminal.
pub struct Terminal {
    term: Term,
    style: Style,
    /// The lines that each answer has left on the screen, with what was said after it: going back takes them away.
    answered: RefCell<Vec<usize>>,
}

impl Terminal {
    /// The terminal behind standard error.
    pub fn new(style: Style) -> Self {
        Terminal {
            term: Term::stderr(),
            style,
            answered: RefCell::new(Vec::new()),
        }
    }

    fn theme(&self) -> ColorfulTheme {
        let mut theme = ColorfulTheme::default();
        let mark = |text: &str| dialoguer::console::style(text.to_owned()).for_stderr();
        theme.prompt_prefix = mark("?").cyan();
        theme.active_item_prefix = mark("›").cyan();
        theme.prompt_suffix = mark("");
        theme
    }

    fn width(&self) -> usize {
        usize::from(self.term.size().1).clamp(40, 120)
    }

    fn height(&self) -> usize {
        usize::from(self.term.size().0)
    }

    /// Shows the question and its explanation; answers with the number of lines that they take.
    fn open(&self, question: &Question, how: &str) -> Reply<usize> {
        let how = if how.is_empty() {
            String::new()
        } else {
            self.style.faint(&format!("  {how}"))
        };
        let title = format!(
            "{} {}{how}",
            self.style.code("?"),
            self.style.strong(&question.title)
        );
        let mut lines = vec![title];
        let why = wrap(&question.why, self.width() - 4);
        lines.extend(why.iter().map(|line| format!("  {}", self.style.faint(line))));
        for line in &lines {
            self.term.write_line(line).map_err(|e| failed(&e))?;
        }
        Ok(lines.len())
    }

    /// Replaces the open question by one line with its answer.
    fn close(&self, question: &Question, lines: usize, answer: &str) -> Reply<()> {
        let room = self
            .width()
            .saturating_sub(measure_text_width(&question.title) + 5)
            .max(10);
        let shown = truncate_str(answer, room, "…");
        let line = format!(
            "{} {}  {}",
            self.style.good("✓"),
            question.title,
            self.style.code(&shown)
        );
        self.term
            .clear_last_lines(lines)
            .and_then(|()| self.term.write_line(&line))
            .map_err(|e| failed(&e))?;
        self.answered.borrow_mut().push(1);
        Ok(())
    }

    /// Removes an open question that was left without an answer, and the answer before it when that is asked again.
    fn leave(&self, lines: usize, halt: Halt) -> Halt {
        // The terminal may be gone; then there is nothing to tidy. What was half typed stands on the line below the question.
        let _ = self.term.show_cursor().and_then(|()| self.term.clear_line());
        let before = match halt {
            Halt::Back => self.answered.borrow_mut().pop().unwrap_or(0),
            _ => 0,
        };
        // Leaving, by Ctrl-C or from the first question: what else was typed or pasted is not for the shell.
        if before == 0 {
            discard_typed();
        }
        let _ = self.term.clear_last_lines(lines + before);
        halt
    }

    /// A sentence below an answer, set in by two blanks, broken to fit. What has lines of its own (a manifest, a command)
    /// stays as it is.
    fn set_in(&self, text: &str) -> String {
        let sentence = text
            .strip_prefix("  ")
            .filter(|t| !t.contains('\n') && !t.contains('│'));
        match sentence {
            Some(sentence) if measure_text_width(text) > self.width() => wrap(sentence, self.width() - 4)
                .iter()
                .map(|line| format!("  {line}"))
                .collect::<Vec<_>>()
                .join("\n"),
            _ => text.to_owned(),
        }
    }

    /// The columns of the terminal, as far as lines are pleasant to read.
    pub fn columns(&self) -> usize {
        self.width()
    }

    fn rows(&self, choices: &[Choice]) -> Vec<String> {
        let widest = choices
            .iter()
            .map(|c| measure_text_width(&c.value))
            .max()
            .unwrap_or(0);
        let room = self.width() - 4;
        choices
            .iter()
            .map(|choice| {
                let gap = widest - measure_text_width(&choice.value) + 2;
                let row = if choice.detail.is_empty() {
                    choice.value.clone()
                } else {
                    format!("{}{}{}", choice.value, " ".repeat(gap), choice.detail)
                };
                truncate_str(&row, room, "…").into_owned()
            })
            .collect()
    }

    /// One of many: what is typed leaves only the choices that have it.
    fn searched(&self, question: &Question, choices: &[Choice], default: Option<usize>) -> Reply<usize> {
        let rows = self.rows(choices);
        let lines = self.open(question, "(type to search)")?;
        let answer = FuzzySelect::with_theme(&self.theme())
            .with_prompt("")
            .items(&rows)
            .default(default.unwrap_or(0))
            .max_length(SEARCHED)
            .report(false)
            .interact_on_opt(&self.term);
        // An interrupted list is still on the screen, with the line that is typed.
        let shown = drawn(rows.len(), Some(SEARCHED), self.height()) + 1;
        let chosen = answer.map_err(|dialoguer::Error::IO(error)| {
            // The terminal may be gone; then there is nothing to tidy.
            let _ = self.term.clear_last_lines(shown);
            error
        });
        self.taken(question, lines, choices, chosen)
    }

    /// Turns the end of a list into a reply.
    fn taken(
        &self,
        question: &Question,
        lines: usize,
        choices: &[Choice],
        chosen: io::Result<Option<usize>>,
    ) -> Reply<usize> {
        let index = match chosen {
            Ok(Some(index)) => index,
            Ok(None) => return Err(self.leave(lines, Halt::Back)),
            Err(error) => return Err(self.leave(lines, failed(&error))),
        };
        let answer = choices.get(index).map_or("", |choice| choice.value.as_str());
        self.close(question, lines, answer)?;
        Ok(index)
    }

    /// Tells the keys once, before the first question.
    pub fn greet(&self) {
        let keys = "Arrows or the first letters move, Enter takes what is marked, Esc goes a step back, Ctrl-C leaves. Nothing is written before you say so.";
        for line in wrap(keys, self.width()) {
            // Nobody is left to tell when the terminal is gone; the first question finds out.
            let _ = self.term.write_line(&self.style.faint(&line));
        }
    }

    /// What stands on the screen stays there, as something else has written below it: going back takes away only what comes
    /// from here on.
    pub fn settle(&mut self) {
        self.answered.borrow_mut().clear();
    }

    /// Takes answers off the screen, and says why the last of them cannot be.
    pub fn refuse(&mut self, answers: usize, message: &str, causes: &[String], hints: &[String]) {
        self.forget(answers);
        let style = self.style;
        let mut block = |label: String, text: &str, indent: usize| {
            let lines = wrap(text, self.width().saturating_sub(indent + 1));
            for (index, line) in lines.iter().enumerate() {
                let lead = if index == 0 {
                    label.clone()
                } else {
                    " ".repeat(indent)
                };
                self.say(&format!("{lead}{line}"));
            }
        };
        block(format!("{} ", style.bad("error:")), message, 7);
        for cause in causes {
            block("  cause: ".to_owned(), cause, 9);
        }
        for hint in hints {
            block(format!("{} ", style.code("hint:")), hint, 6);
        }
    }
}

/// Ctrl-C arrives as an interrupted read.
fn failed(error: &io::Error) -> Halt {
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::NotConnected | io::ErrorKind::UnexpectedEof => Halt::Quit,
        _ => Halt::Failed(format!("the terminal cannot be used: {error}"), None),
    }
}

/// The lines that a list takes on a screen of that height.
fn drawn(rows: usize, page: Option<usize>, height: usize) -> usize {
    let room = height.saturating_sub(2).max(1);
    rows.min(page.unwrap_or(usize::MAX)).min(room)
}

/// What stands before what is typed.
const TYPED: &str = "›";

impl Prompter for Terminal {
    fn select(&mut self, question: &Question, choices: &[Choice], default: Option<usize>) -> Reply<usize> {
        let index = if choices.len() > SEARCHED {
            self.searched(question, choices, default)?
        } else {
            let lines = self.open(question, "")?;
            let chosen = self.list(choices, default.unwrap_or(0), None);
            self.taken(question, lines, choices, chosen)?
        };
        Ok(index)
    }

    fn several(&mut self, question: &Question, choices: &[Choice], chosen: &[bool]) -> Reply<Vec<usize>> {
        let lines = self.open(question, "(space marks, enter goes on)")?;
        let mut marks = chosen.to_vec();
        marks.resize(choices.len(), false);
        match self.list(choices, 0, Some(&mut marks)) {
            Ok(Some(_)) => {}
            Ok(None) => return Err(self.leave(lines, Halt::Back)),
            Err(error) => return Err(self.leave(lines, failed(&error))),
        }
        let marked = choices.iter().zip(&marks).filter(|(_, marked)| **marked);
        let names: Vec<&str> = marked.map(|(choice, _)| choice.value.as_str()).collect();
        let shown = if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        };
        self.close(question, lines, &shown)?;
        Ok((0..choices.len())
            .filter(|at| marks.get(*at) == Some(&true))
            .collect())
    }

    fn text(&mut self, question: &Question, default: Option<&str>, check: Check<'_>) -> Reply<String> {
        let mut lines = self.open(question, "")?;
        let mut refused = 0;
        let prompt = self.style.code(TYPED);
        let mut kept = question.kept_line();
        loop {
            let typed = match self.line(&prompt, &mut kept, default, false) {
                Ok(Some(typed)) => typed,
                Ok(None) => return Err(self.leave(lines, Halt::Back)),
                Err(error) => return Err(self.leave(lines, failed(&error))),
            };
            let value = match kept.or(default) {
                Some(default) if typed.trim().is_empty() => default.to_owned(),
                _ => typed.trim().to_owned(),
            };
            match check(&value) {
                Ok(meaning) => {
                    self.close(question, lines, if value.is_empty() { "none" } else { &value })?;
                    for line in wrap(&meaning, self.width() - 4) {
                        self.say(&format!("  {}", self.style.faint(&line)));
                    }
                    return Ok(value);
                }
                Err(wrong) => {
                    // Only the last refusal stands there.
                    self.term.clear_last_lines(refused).map_err(|e| failed(&e))?;
                    lines -= refused;
                    refused = 0;
                    for line in wrap(&wrong, self.width() - 4) {
                        let line = format!("  {}", self.style.bad(&line));
                        self.term.write_line(&line).map_err(|e| failed(&e))?;
                        refused += 1;
                    }
                    lines += refused;
                }
            }
        }
    }

    fn hidden(&mut self, question: &Question) -> Reply<String> {
        let lines = self.open(question, "")?;
        match self.hidden_line(question.kept_line()) {
            Ok(Some(typed)) => {
                self.close(question, lines, "(not shown)")?;
                Ok(typed)
            }
            Ok(None) => Err(self.leave(lines, Halt::Back)),
            Err(error) => Err(self.leave(lines, failed(&error))),
        }
    }

    fn confirm(&mut self, question: &Question, default: bool) -> Reply<bool> {
        let choices = [Choice::new("yes", ""), Choice::new("no", "")];
        Ok(self.select(question, &choices, Some(usize::from(!default)))? == 0)
    }

    fn forget(&mut self, answers: usize) {
        for _ in 0..answers {
            let lines = self.answered.borrow_mut().pop().unwrap_or(0);
            // The terminal may be gone; the next question finds out.
            let _ = self.term.clear_last_lines(lines);
        }
    }

    fn say(&mut self, text: &str) {
        let text = &self.set_in(text);
        // Nobody is left to tell when the terminal is gone; the next question finds out.
        let _ = self.term.write_line(text);
        let columns = usize::from(self.term.size().1).max(1);
        let rows = |line: &str| measure_text_width(line).div_ceil(columns).max(1);
        if let Some(last) = self.answered.borrow_mut().last_mut() {
            *last += text.split('\n').map(rows).sum::<usize>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_no_more_lines_than_the_screen_has() {
        assert_eq!(drawn(3, None, 24), 3);
        assert_eq!(drawn(40, None, 24), 22);
        assert_eq!(drawn(40, Some(SEARCHED), 24), SEARCHED);
        assert_eq!(drawn(3, None, 1), 1);
    }
}
