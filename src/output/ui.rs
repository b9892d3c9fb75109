//! The two streams of a command: data to standard output, talk to standard error.
//!
//! Talk obeys `--quiet` and `--verbose`; data never does. Progress is drawn only where somebody watches: standard error
//! is a terminal, nobody asked for quiet, and this is no CI run. Writing data reports its errors, so that a closed pipe
//! ends the command silently; talk that cannot be written is dropped, as there is nobody to tell.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use super::progress::Progress;
use super::style::Style;
use super::wrap::{fit, wrap};

/// How much talk is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors and warnings only.
    Quiet,
    /// What is being done and what to do next.
    Normal,
    /// Every step.
    Verbose,
}

/// What the environment and the flags say about the streams.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How much talk is wanted.
    pub verbosity: Verbosity,
    /// `--no-color` was given.
    pub no_color: bool,
}

/// The streams of one command.
pub struct Ui {
    out: Mutex<Box<dyn Write + Send>>,
    err: Mutex<Box<dyn Write + Send>>,
    verbosity: Verbosity,
    out_style: Style,
    err_style: Style,
    animate: bool,
    out_is_terminal: bool,
    command: Option<String>,
    /// Columns of the terminal behind standard error; prose is broken at blanks to fit, for nobody else.
    columns: Option<usize>,
}

impl Ui {
    /// The process's own streams.
    pub fn from_process(settings: Settings) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        // https://no-color.org: any value that is not empty.
        let plain = settings.no_color
            || set("NO_COLOR")
            || set("CI")
            || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let (out_tty, err_tty) = (out.is_terminal(), err.is_terminal());
        Ui {
            out: Mutex::new(Box::new(BufWriter::with_capacity(64 * 1024, out))),
            err: Mutex::new(Box::new(err)),
            verbosity: settings.verbosity,
            out_style: Style::new(out_tty && !plain),
            err_style: Style::new(err_tty && !plain),
            animate: err_tty && !set("CI") && settings.verbosity > Verbosity::Quiet,
            out_is_terminal: out_tty,
            command: None,
            columns: (err_tty && !set("CI")).then(columns).flatten(),
        }
    }

    /// The words of the command that speaks (`backup now`); hints that say `<command>` name it.
    #[must_use]
    pub fn of_command(mut self, words: &str) -> Self {
        self.command = Some(words.to_owned()).filter(|w| !w.is_empty());
        self
    }

    /// Streams of a caller's own, without colour or animation; for tests and for rendering into other programs.
    pub fn with_streams(
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
        verbosity: Verbosity,
    ) -> Self {
        Ui {
            out: Mutex::new(out),
            err: Mutex::new(err),
            verbosity,
            out_style: Style::new(false),
            err_style: Style::new(false),
            animate: false,
            out_is_terminal: false,
            command: None,
            columns: None,
        }
    }

    /// How data may be coloured.
    pub fn data_style(&self) -> Style {
        self.out_style
    }

    /// How talk may be coloured.
    pub fn style(&self) -> Style {
        self.err_style
    }

    /// Whether standard output is a terminal.
    pub fn data_is_watched(&self) -> bool {
        self.out_is_terminal
    }

    /// Whether a person follows progress on standard error.
    pub fn animates(&self) -> bool {
        self.animate
    }

    /// Writes data as it is.
    ///
    /// # Errors
    /// When standard output is closed or full; a closed pipe is [`io::ErrorKind::BrokenPipe`].
    pub fn data(&self, text: &str) -> io::Result<()> {
        lock(&self.out).write_all(text.as_bytes())
    }

    /// Writes bytes of a file as they are.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        lock(&self.out).write_all(bytes)
    }

    /// Writes one line of data.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn line(&self, text: &str) -> io::Result<()> {
        let mut out = lock(&self.out);
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")
    }

    /// Replaces what is on the terminal by a screen of data, without flicker.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn redraw(&self, screen: &str) -> io::Result<()> {
        // Each line is cleared behind its text and everything below the last one, so that nothing blinks.
        let lines = screen.replace('\n', "\u{1b}[K\n");
        let mut out = lock(&self.out);
        out.write_all(format!("\u{1b}[H{lines}\u{1b}[J").as_bytes())?;
        out.flush()
    }

    /// Pushes out what is buffered, so that a reader sees it now.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn flush(&self) -> io::Result<()> {
        lock(&self.out).flush()
    }

    /// Says what is being done or what comes next; silent with `--quiet`.
    pub fn say(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.talk(&self.fitted(text));
        }
    }

    /// Prose as the terminal's width has it; elsewhere as it is.
    fn fitted(&self, text: &str) -> String {
        match self.columns {
            Some(columns) => fit(text, columns),
            None => text.to_owned(),
        }
    }

    /// Says a step that matters only to somebody who asked for more.
    pub fn detail(&self, text: &str) {
        if self.verbosity >= Verbosity::Verbose {
            self.talk(&self.err_style.faint(text));
        }
    }

    /// Whether somebody asked for more.
    pub fn is_verbose(&self) -> bool {
        self.verbosity >= Verbosity::Verbose
    }

    /// Warns; not silenced by `--quiet`.
    pub fn warn(&self, text: &str) {
        self.block("warning:", Style::warn, text);
    }

    /// Reports an error: the sentence, its causes, and what to do, each hint ready to be pasted.
    pub fn error(&self, message: &str, causes: &[String], hints: &[String]) {
        self.block("error:", Style::bad, message);
        for cause in causes {
            self.block("  cause:", |_, label| label.to_owned(), cause);
        }
        for hint in hints {
            let hint = match &self.command {
                Some(command) => hint.replace("<command>", command),
                None => hint.clone(),
            };
            self.block("hint:", Style::code, &hint);
        }
    }

    /// A text behind its label; on a terminal it is broken at blanks and hangs under its first word.
    fn block(&self, label: &str, paint: impl Fn(Style, &str) -> String, text: &str) {
        let painted = paint(self.err_style, label);
        let indent = label.chars().count() + 1;
        let lines = match self.columns {
            Some(columns) => wrap(text, columns.saturating_sub(indent).max(30)),
            None => vec![text.to_owned()],
        };
        self.talk(&format!(
            "{painted} {}",
            lines.join(&format!("\n{}", " ".repeat(indent)))
        ));
    }

    /// Starts to show how something goes on; ends when the value is dropped.
    pub fn progress(&self) -> Progress<'_> {
        Progress::start(self, self.animate)
    }

    /// The same for a command that writes data meanwhile: on a terminal that shows both, what is drawn and what is written
    /// would spoil each other, so nothing is drawn there.
    pub fn progress_beside_data(&self) -> Progress<'_> {
        Progress::start(self, self.animate && !self.out_is_terminal)
    }

    fn talk(&self, text: &str) {
        // What was printed as data comes first, also when both streams end in one file.
        let _ = self.flush();
        let mut err = lock(&self.err);
        let _ = err.write_all(format!("{text}\n").as_bytes());
        let _ = err.flush();
    }
}

/// The columns of the terminal behind standard error, as far as lines are pleasant to read.
fn columns() -> Option<usize> {
    let (_, columns) = dialoguer::console::Term::stderr().size_checked()?;
    Some(usize::from(columns).min(120))
}

pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while writing leaves nothing half done that a later line could not follow.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn ui(verbosity: Verbosity) -> (Ui, Shared, Shared) {
        let (out, err) = (Shared::default(), Shared::default());
        (
            Ui::with_streams(Box::new(out.clone()), Box::new(err.clone()), verbosity),
            out,
            err,
        )
    }

    #[test]
    fn quiet_keeps_data_warnings_and_errors() {
        let (ui, out, err) = ui(Verbosity::Quiet);
        ui.line("row").unwrap();
        ui.say("talk");
        ui.detail("more");
        ui.warn("look");
        ui.error("it failed.", &["because".to_owned()], &["do `this`".to_owned()]);
        assert_eq!(out.text(), "row\n");
        assert_eq!(
            err.text(),
            "warning: look\nerror: it failed.\n  cause: because\nhint: do `this`\n"
        );
    }

    #[test]
    fn progress_without_a_terminal_says_each_step_once() {
        let (ui, _, err) = ui(Verbosity::Normal);
        let progress = ui.progress();
        progress.step("waiting");
        progress.tick("3 %");
        progress.step("waiting");
        progress.step("running");
        progress.group("b", "backing up", &[], Some("b: 3 %"));
        progress.group("b", "backing up", &[], Some("b: 4 %"));
        assert_eq!(
            err.text(),
            "waiting\nrunning\nb: backing up\n",
            "numbers only every ten seconds"
        );
    }
}
