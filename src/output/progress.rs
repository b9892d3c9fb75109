//! How something goes on: drawn where somebody watches, plain lines elsewhere.
//!
//! Drawn, each group (a session) has a line with a spinner and a bar for each of its rows (components). Not drawn, a
//! step is a line of its own, once, and what moves within it is a line every ten seconds.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::style::Style;
use super::table::printable;
use super::ui::{Ui, lock};

/// How often something that moves is told where nothing is drawn.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// One part of what goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name.
    pub label: String,
    /// How it is.
    pub look: Look,
    /// What stands behind it.
    pub text: String,
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Look {
    /// Not begun.
    Waiting,
    /// This much is done, 0 to 100.
    Moving(f64),
    /// Done.
    Good,
    /// Failed.
    Bad,
}

/// How something goes on; ends when the value is dropped.
pub struct Progress<'u> {
    ui: &'u Ui,
    drawn: Option<MultiProgress>,
    groups: Mutex<BTreeMap<String, Group>>,
}

#[derive(Default)]
struct Group {
    head: Option<ProgressBar>,
    bars: Vec<ProgressBar>,
    step: String,
    told: Option<Instant>,
}

impl<'u> Progress<'u> {
    pub(super) fn start(ui: &'u Ui, draws: bool) -> Self {
        let drawn = draws.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Progress {
            ui,
            drawn,
            groups: Mutex::new(BTreeMap::new()),
        }
    }

    /// A new step: a line of its own where nothing is drawn.
    pub fn step(&self, text: &str) {
        self.group("", text, &[], None);
    }

    /// What moves within a step (percentages); only drawn.
    pub fn tick(&self, text: &str) {
        let mut groups = lock(&self.groups);
        let group = groups.entry(String::new()).or_default();
        if let Some(multi) = &self.drawn {
            head(multi, group).set_message(text.to_owned());
        }
    }

    /// The state of one of several things that go on at once: what it is doing, its parts, and one line about all of it
    /// for where nothing is drawn.
    pub fn group(&self, name: &str, doing: &str, rows: &[Row], line: Option<&str>) {
        let text = if name.is_empty() {
            doing.to_owned()
        } else {
            format!("{name}: {doing}")
        };
        let mut groups = lock(&self.groups);
        let group = groups.entry(name.to_owned()).or_default();
        let Some(multi) = &self.drawn else {
            let now = Instant::now();
            if group.step != text {
                self.ui.say(&printable(&text));
                group.step = text;
                group.told = Some(now);
            } else if let Some(line) = line
                && group
                    .told
                    .is_none_or(|told| now.duration_since(told) >= TELL_EVERY)
            {
                self.ui.say(&printable(line));
                group.told = Some(now);
            }
            return;
        };
        let style = self.ui.style();
        let message = match name {
            "" => printable(doing),
            name => format!("{}  {}", style.strong(name), printable(doing)),
        };
        let bar = head(multi, group);
        if bar.message() != message {
            bar.set_message(message);
        }
        let width = rows.iter().map(|r| r.label.chars().count()).max().unwrap_or(0);
        while group.bars.len() > rows.len() {
            if let Some(bar) = group.bars.pop() {
                multi.remove(&bar);
            }
        }
        for (index, row) in rows.iter().enumerate() {
            if index == group.bars.len() {
                let after = group.bars.last().or(group.head.as_ref());
                let bar = ProgressBar::new(1000);
                let bar = match after {
                    Some(after) => multi.insert_after(after, bar),
                    None => multi.add(bar),
                };
                group.bars.push(bar);
            }
            draw(&group.bars[index], row, width, style);
        }
    }

    /// A line that stays, above what is drawn.
    pub fn say(&self, text: &str) {
        match &self.drawn {
            Some(multi) => multi.suspend(|| self.ui.say(text)),
            None => self.ui.say(text),
        }
    }

    /// Writes a line of data, keeping what is drawn below it.
    ///
    /// # Errors
    /// As [`Ui::data`].
    pub fn line(&self, text: &str) -> io::Result<()> {
        let write = || self.ui.line(text).and_then(|()| self.ui.flush());
        match &self.drawn {
            Some(multi) => multi.suspend(write),
            None => write(),
        }
    }
}

/// The group's line with the spinner.
fn head<'g>(multi: &MultiProgress, group: &'g mut Group) -> &'g ProgressBar {
    group.head.get_or_insert_with(|| {
        let bar = multi.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}") {
            bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
        }
        bar.enable_steady_tick(TICK);
        bar
    })
}

fn draw(bar: &ProgressBar, row: &Row, width: usize, style: Style) {
    let (template, permille, mark) = match row.look {
        Look::Moving(percent) => {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "0 to 1000"
            )]
            let permille = (percent.clamp(0.0, 100.0) * 10.0) as u64;
            let template = "  {prefix} {bar:24.cyan/dim} {percent:>3}%  {wide_msg}";
            (template, permille, String::new())
        }
        Look::Waiting => ("  {prefix} {wide_msg}", 0, style.faint("waiting")),
        Look::Good => ("  {prefix} {wide_msg}", 1000, style.good("✓")),
        Look::Bad => ("  {prefix} {wide_msg}", 0, style.bad("✗")),
    };
    if let Ok(look) = ProgressStyle::with_template(template) {
        bar.set_style(look.progress_chars("━╸─"));
    }
    let pad = width.saturating_sub(row.label.chars().count());
    bar.set_prefix(format!("{}{}", printable(&row.label), " ".repeat(pad)));
    bar.set_message(format!("{mark} {}", printable(&row.text)).trim().to_owned());
    bar.set_position(permille);
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(multi) = &self.drawn {
            for group in lock(&self.groups).values() {
                group
                    .bars
                    .iter()
                    .chain(&group.head)
                    .for_each(ProgressBar::finish_and_clear);
            }
            // What cannot be cleared any more was on a terminal that is gone.
            let _ = multi.clear();
        }
    }
}
