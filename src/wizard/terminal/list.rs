//! A list to choose from. Arrows move, letters go to the choice that begins with them; none of them leaves, as people type
//! the beginning of what they look for.

use std::io;

use dialoguer::console::Key;

use super::{SEARCHED, Terminal, drawn};
use crate::wizard::prompter::Choice;

/// What a key means.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Another choice is marked, or the same.
    Move,
    /// The choice under the cursor is taken or left out.
    Mark,
    /// It is decided.
    Done,
    /// A step back.
    Back,
}

/// Where somebody is in a list.
#[derive(Debug, Default)]
struct Cursor {
    at: usize,
    /// Letters that were typed one after the other.
    typed: String,
}

impl Cursor {
    /// `page` is how many rows are seen at once; `marks` whether several may be taken.
    fn step(&mut self, key: &Key, choices: &[Choice], page: usize, marks: bool) -> Step {
        let last = choices.len().saturating_sub(1);
        let before = self.at;
        match key {
            Key::Enter => return Step::Done,
            Key::Escape => return Step::Back,
            Key::Char(' ') if marks => return Step::Mark,
            Key::Char(' ') if self.typed.is_empty() => return Step::Done,
            Key::Char(c) if !c.is_control() => {
                self.type_letter(*c, choices);
                return Step::Move;
            }
            Key::ArrowDown | Key::Tab => self.at = if before == last { 0 } else { before + 1 },
            Key::ArrowUp | Key::BackTab => self.at = before.checked_sub(1).unwrap_or(last),
            Key::ArrowLeft | Key::PageUp => self.at = before.saturating_sub(page),
            Key::ArrowRight | Key::PageDown => self.at = (before + page).min(last),
            Key::Home => self.at = 0,
            Key::End => self.at = last,
            _ => {}
        }
        self.typed.clear();
        Step::Move
    }

    /// Goes on with the word that is being typed, or begins another.
    fn type_letter(&mut self, letter: char, choices: &[Choice]) {
        for begun in [std::mem::take(&mut self.typed), String::new()] {
            let typed: String = begun.chars().chain(letter.to_lowercase()).collect();
            if let Some(at) = choices.iter().position(|choice| begins(&choice.value, &typed)) {
                (self.at, self.typed) = (at, typed);
                return;
            }
        }
    }
}

/// Whether a choice, or its name behind the kind (`pvc/NAME`), begins so.
fn begins(value: &str, typed: &str) -> bool {
    let value = value.to_lowercase();
    let name = value.split_once('/').map(|(_, name)| name);
    value.starts_with(typed) || name.is_some_and(|name| name.starts_with(typed))
}

impl Terminal {
    /// Shows the choices until one is taken; `None` is Escape. With `marks` several may be taken, which are then true there.
    /// Nothing of the list stays on the screen.
    pub(super) fn list(
        &self,
        choices: &[Choice],
        at: usize,
        mut marks: Option<&mut Vec<bool>>,
    ) -> io::Result<Option<usize>> {
        if !self.term.is_term() || choices.is_empty() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let rows = self.rows(choices);
        let page = drawn(rows.len(), Some(SEARCHED), self.height());
        let mut cursor = Cursor {
            at: at.min(rows.len() - 1),
            typed: String::new(),
        };
        let mut top = 0;
        self.term.hide_cursor()?;
        let result = loop {
            top = top.min(cursor.at).max((cursor.at + 1).saturating_sub(page));
            self.show(&rows, top, page, cursor.at, marks.as_deref())?;
            let key = self.term.read_key();
            self.term.clear_last_lines(page)?;
            let key = match key {
                Ok(key) => key,
                Err(error) => break Err(error),
            };
            match cursor.step(&key, choices, page, marks.is_some()) {
                Step::Move => {}
                Step::Mark => {
                    if let Some(mark) = marks.as_mut().and_then(|marks| marks.get_mut(cursor.at)) {
                        *mark = !*mark;
                    }
                }
                Step::Done => break Ok(Some(cursor.at)),
                Step::Back => break Ok(None),
            }
        };
        self.term.show_cursor()?;
        result
    }

    /// Draws the rows that are seen. Where there are more, the first or last of them has an arrow.
    fn show(
        &self,
        rows: &[String],
        top: usize,
        page: usize,
        at: usize,
        marks: Option<&Vec<bool>>,
    ) -> io::Result<()> {
        for (index, row) in rows.iter().enumerate().skip(top).take(page) {
            let more = if index == top && top > 0 {
                "↑"
            } else if index + 1 == top + page && index + 1 < rows.len() {
                "↓"
            } else {
                " "
            };
            let lead = if index == at { "›" } else { more };
            let mark = match marks.map(|marks| marks.get(index) == Some(&true)) {
                Some(true) => "◉ ",
                Some(false) => "○ ",
                None => "",
            };
            let line = format!("{lead} {mark}{row}");
            let line = if index == at { self.style.code(&line) } else { line };
            self.term.write_line(&line)?;
        }
        self.term.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices() -> Vec<Choice> {
        ["statefulset/db", "pvc/data", "pvc/quay", "nfs"]
            .map(|value| Choice::new(value, ""))
            .to_vec()
    }

    fn after(keys: &[Key], marks: bool) -> (usize, Step) {
        let (choices, mut cursor) = (choices(), Cursor::default());
        let mut last = Step::Move;
        for key in keys {
            last = cursor.step(key, &choices, 2, marks);
        }
        (cursor.at, last)
    }

    fn typed(text: &str) -> (usize, Step) {
        after(&text.chars().map(Key::Char).collect::<Vec<_>>(), false)
    }

    #[test]
    fn letters_go_to_what_begins_with_them_and_never_leave() {
        assert_eq!(typed("p"), (1, Step::Move));
        assert_eq!(typed("pvc/q"), (2, Step::Move));
        assert_eq!(typed("q"), (2, Step::Move), "the name behind the kind");
        assert_eq!(typed("dA"), (1, Step::Move));
        assert_eq!(typed("pn"), (3, Step::Move), "another word begins");
        assert_eq!(typed("x"), (0, Step::Move), "nothing begins so");
        assert_eq!(typed("jhkl"), (0, Step::Move));
        assert_eq!(
            after(&[Key::Char('p'), Key::ArrowDown, Key::Char('n')], false),
            (3, Step::Move)
        );
    }

    #[test]
    fn arrows_go_round_and_pages_do_not() {
        assert_eq!(after(&[Key::ArrowUp], false), (3, Step::Move));
        assert_eq!(after(&[Key::End, Key::ArrowDown], false), (0, Step::Move));
        assert_eq!(
            after(&[Key::PageDown, Key::PageDown, Key::PageDown], false),
            (3, Step::Move)
        );
        assert_eq!(after(&[Key::End, Key::PageUp], false), (1, Step::Move));
    }

    #[test]
    fn enter_and_space_decide_and_escape_goes_back() {
        assert_eq!(after(&[Key::Enter], false), (0, Step::Done));
        assert_eq!(after(&[Key::Char(' ')], false), (0, Step::Done));
        assert_eq!(after(&[Key::Char(' ')], true), (0, Step::Mark));
        assert_eq!(after(&[Key::Char('p'), Key::Escape], true), (1, Step::Back));
    }
}
