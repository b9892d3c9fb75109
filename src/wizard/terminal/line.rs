//! A line that is typed: edited here, as Escape and Ctrl-C have a meaning of their own while one types.

use std::io;

use dialoguer::console::{Key, measure_text_width, truncate_str};

use super::{TYPED, Terminal};

/// What is offered where something hidden was typed before.
const AS_BEFORE: &str = "(as before)";

impl Terminal {
    /// Reads a line; `None` is Escape. `kept` is what was answered before: it is offered like the default, Right takes it up
    /// for editing, and taking it away (Backspace, Ctrl-U) leaves the default.
    pub(super) fn line(
        &self,
        prompt: &str,
        kept: &mut Option<&str>,
        default: Option<&str>,
        hidden: bool,
    ) -> io::Result<Option<String>> {
        let _silent = Silent::new();
        let mut typed: Vec<char> = Vec::new();
        let mut at = 0;
        loop {
            let offered = match *kept {
                Some(_) if hidden => Some(AS_BEFORE),
                Some(text) => Some(text),
                None => default,
            };
            self.draw(prompt, offered, &typed, at, hidden)?;
            match self.term.read_key()? {
                Key::Enter => {
                    self.term.clear_line()?;
                    return Ok(Some(typed.into_iter().collect()));
                }
                Key::Escape => {
                    self.term.clear_line()?;
                    return Ok(None);
                }
                Key::CtrlC => return Err(io::ErrorKind::Interrupted.into()),
                // Ctrl-D on an empty line is the end of the input.
                Key::Char('\u{4}') if typed.is_empty() => return Err(io::ErrorKind::Interrupted.into()),
                Key::Char('\u{15}') | Key::Backspace if typed.is_empty() => *kept = None,
                Key::ArrowRight | Key::End | Key::Tab if typed.is_empty() && !hidden => {
                    typed.extend(offered.unwrap_or_default().chars());
                    at = typed.len();
                }
                Key::Char('\u{15}') => {
                    typed.clear();
                    at = 0;
                }
                Key::Char(c) if !c.is_control() => {
                    typed.insert(at, c);
                    at += 1;
                }
                // Ctrl-W takes the word before the cursor away, as in a shell.
                Key::Char('\u{17}') => at = without_word(&mut typed, at),
                Key::Backspace if at > 0 => {
                    at -= 1;
                    typed.remove(at);
                }
                Key::Del if at < typed.len() => {
                    typed.remove(at);
                }
                Key::ArrowLeft => at = at.saturating_sub(1),
                Key::ArrowRight => at = (at + 1).min(typed.len()),
                Key::Home => at = 0,
                Key::End => at = typed.len(),
                _ => {}
            }
        }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn hidden_line(&self, kept: Option<&str>) -> io::Result<Option<String>> {
        let mut left = kept;
        let typed = self.line(&self.style.code(TYPED), &mut left, None, true)?;
        Ok(typed.map(|typed| match left {
            Some(kept) if typed.is_empty() => kept.to_owned(),
            _ => typed,
        }))
    }

    /// Where the terminal's echo cannot be turned off between two keys, the whole line is read at once; an empty one goes
    /// back.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn hidden_line(&self, _: Option<&str>) -> io::Result<Option<String>> {
        self.term.write_str(&format!("{} ", self.style.code(TYPED)))?;
        let typed = self.term.read_secure_line()?;
        self.term.clear_last_lines(1)?;
        Ok(Some(typed).filter(|t| !t.is_empty()))
    }

    fn draw(
        &self,
        prompt: &str,
        default: Option<&str>,
        typed: &[char],
        at: usize,
        hidden: bool,
    ) -> io::Result<()> {
        let head = measure_text_width(prompt) + 1;
        let room = self.width().saturating_sub(head + 2).max(8);
        // A long line scrolls under its prompt.
        let from = at.saturating_sub(room);
        let seen: String = if hidden {
            "•".repeat(typed.len().min(room))
        } else {
            typed.iter().skip(from).take(room).collect()
        };
        let ghost = match default {
            Some(default) if typed.is_empty() => self.style.faint(&truncate_str(default, room, "…")),
            _ => String::new(),
        };
        self.term.clear_line()?;
        self.term.write_str(&format!("{prompt} {seen}{ghost}"))?;
        let shown = if typed.is_empty() {
            measure_text_width(&ghost)
        } else {
            measure_text_width(&seen).saturating_sub(at - from)
        };
        if shown > 0 {
            self.term.move_cursor_left(shown)?;
        }
        self.term.flush()
    }
}

/// Keeps the terminal from showing what arrives between two keys that are read, such as the rest of a pasted secret.
#[cfg(target_os = "linux")]
struct Silent(Option<nix::sys::termios::Termios>);

#[cfg(target_os = "linux")]
impl Silent {
    fn new() -> Self {
        use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut silent = before.clone();
            silent.local_flags.remove(LocalFlags::ECHO);
            // A terminal that does not take it is read all the same.
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &silent);
        }
        Silent(before)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Silent {
    fn drop(&mut self) {
        use nix::sys::termios::{SetArg, tcsetattr};
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, before);
        }
    }
}

/// Drops what was typed and not read.
#[cfg(target_os = "linux")]
pub(super) fn discard_typed() {
    use nix::sys::termios::{FlushArg, tcflush};
    // Where there is no terminal any more there is nothing to drop.
    let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn discard_typed() {}

#[cfg(not(target_os = "linux"))]
struct Silent;

#[cfg(not(target_os = "linux"))]
impl Silent {
    fn new() -> Self {
        Silent
    }
}

/// Removes the word before a place, and answers with the place after that.
fn without_word(typed: &mut Vec<char>, at: usize) -> usize {
    let before = typed.get(..at).unwrap_or_default();
    let blanks = before.iter().rev().take_while(|c| c.is_whitespace()).count();
    let word = before
        .iter()
        .rev()
        .skip(blanks)
        .take_while(|c| !c.is_whitespace())
        .count();
    let from = at - blanks - word;
    typed.drain(from..at);
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_before_the_cursor_goes_at_once() {
        let cut = |text: &str, at: usize| {
            let mut typed: Vec<char> = text.chars().collect();
            let at = without_word(&mut typed, at);
            (typed.into_iter().collect::<String>(), at)
        };
        assert_eq!(cut("0 2 * * *", 9), ("0 2 * * ".to_owned(), 8));
        assert_eq!(cut("0 2  ", 5), ("0 ".to_owned(), 2));
        assert_eq!(cut("wörd rest", 4), (" rest".to_owned(), 0));
        assert_eq!(cut("", 0), (String::new(), 0));
    }
}
