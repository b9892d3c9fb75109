//! What the `show` commands share: a page of fields as `kubectl describe` lays them out, and the views of components
//! and conditions.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::follow::state::ComponentState;
use super::views::{self, Component};
use crate::output::human;
use crate::output::style::Style;
use crate::output::table::{Table, printable};

/// The column in which values begin.
const INDENT: usize = 18;

/// A component of a backup.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentView {
    /// Its name.
    pub name: String,
    /// Pending, Running, Succeeded or Failed.
    pub phase: String,
    /// The program that backed it up.
    pub driver: String,
    /// Where its data is, below the Repository's directory.
    pub path: String,
    /// How much is done, 0 to 100, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// Size of what was backed up, such as `1.500 MiB`; empty when not known.
    pub size: String,
    /// How much new data was written; empty when not known.
    pub uploaded: String,
    /// How long it took, as a Go duration; empty when not known.
    pub duration: String,
    /// Whether its data was found intact; absent when it was not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrity: Option<bool>,
    /// The ids of its restic snapshots.
    pub restic_snapshots: Vec<String>,
    /// Why it failed; empty when it did not.
    pub error: String,
}

impl ComponentView {
    /// A component, with what its Snapshot says of it.
    pub fn of(state: &ComponentState, detail: Option<&Component>) -> Self {
        let default = Component::default();
        let detail = detail.unwrap_or(&default);
        ComponentView {
            name: state.component.clone(),
            phase: state.phase.clone(),
            driver: detail.driver.clone(),
            path: detail.path.clone(),
            percent: state.percent.filter(|_| state.phase == "Running"),
            size: if state.size.is_empty() {
                detail.size.clone()
            } else {
                state.size.clone()
            },
            uploaded: state.uploaded.clone(),
            duration: state.duration.clone(),
            integrity: detail.integrity,
            restic_snapshots: detail
                .restic_stats
                .iter()
                .filter_map(|s| s.summary.as_ref())
                .map(|s| s.id.clone())
                .filter(|id| !id.is_empty())
                .collect(),
            error: state.error.clone(),
        }
    }
}

/// A condition.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConditionView {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False or Unknown.
    pub status: String,
    /// One word.
    pub reason: String,
    /// Sentences.
    pub message: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// Conditions as views.
pub fn conditions(all: &[views::Condition]) -> Vec<ConditionView> {
    all.iter()
        .map(|c| ConditionView {
            kind: c.kind.clone(),
            status: c.status.clone(),
            reason: c.reason.clone(),
            message: c.message.clone(),
            since: c.last_transition_time.map(|t| t.to_string()),
        })
        .collect()
}

/// A page that grows line by line.
pub struct Page {
    text: String,
    style: Style,
}

impl Page {
    /// An empty page.
    pub fn new(style: Style) -> Self {
        Page {
            text: String::new(),
            style,
        }
    }

    /// `Name:   value`; nothing for an empty value. The value may be painted; text from the cluster must not be steered
    /// by, so callers paint only words of ours and everything else goes through here as it is.
    pub fn field(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let painted = value.starts_with('\u{1b}');
        let value = if painted {
            value.to_owned()
        } else {
            printable(value)
        };
        let pad = INDENT.saturating_sub(name.chars().count() + 1).max(1);
        self.text
            .push_str(&format!("{name}:{}{value}\n", " ".repeat(pad)));
    }

    /// A time with how long ago it is, or how long until it comes.
    pub fn time(&mut self, name: &str, time: Option<&str>, now: Timestamp) {
        let Some(text) = time else { return };
        let relative = match text.parse::<Timestamp>() {
            Ok(then) if then > now => format!(" (in {})", human::until(then, now)),
            Ok(then) => format!(" ({} ago)", human::age(then, now)),
            Err(_) => String::new(),
        };
        self.field(name, &format!("{text}{relative}"));
    }

    /// A heading after an empty line.
    pub fn heading(&mut self, text: &str) {
        self.text
            .push_str(&format!("\n{}\n", self.style.strong(&printable(text))));
    }

    /// A line of text after an empty line.
    pub fn text(&mut self, text: &str) {
        self.text.push_str(&format!("\n{}\n", printable(text)));
    }

    /// A table, indented.
    pub fn table(&mut self, headings: &[&str], rows: &[Vec<String>]) {
        let style = self.style;
        let painted: Vec<bool> = headings.iter().map(|h| *h == "PHASE").collect();
        let page = Table::new(headings.iter().copied()).painted(rows, |column, cell| {
            if painted.get(column) == Some(&true) {
                style.phase(cell)
            } else {
                cell.to_owned()
            }
        });
        for line in page.lines() {
            self.text.push_str(&format!("  {line}\n"));
        }
    }

    /// The components, and the errors of those that failed.
    pub fn components(&mut self, components: &[ComponentView]) {
        if components.is_empty() {
            return;
        }
        let rows: Vec<Vec<String>> = components
            .iter()
            .map(|c| {
                let percent = c.percent.map_or_else(String::new, |p| format!(" {p:.0}%"));
                let took = human::parse_duration(&c.duration)
                    .map_or_else(|_| c.duration.clone(), human::go_duration);
                vec![
                    c.name.clone(),
                    format!("{}{percent}", c.phase),
                    c.size.clone(),
                    c.uploaded.clone(),
                    took,
                    c.path.clone(),
                ]
            })
            .collect();
        self.table(&["COMPONENT", "PHASE", "SIZE", "NEW", "TOOK", "PATH"], &rows);
        for component in components.iter().filter(|c| !c.error.is_empty()) {
            self.text.push_str(&format!("  {} failed:\n", component.name));
            self.indented(&component.error, 4);
        }
    }

    /// The conditions.
    pub fn conditions(&mut self, conditions: &[ConditionView], now: Timestamp) {
        if conditions.is_empty() {
            return;
        }
        self.heading("Conditions");
        let rows: Vec<Vec<String>> = conditions
            .iter()
            .map(|c| {
                let since = c.since.as_deref().and_then(|t| t.parse().ok());
                vec![
                    c.kind.clone(),
                    c.status.clone(),
                    since.map_or_else(String::new, |t| human::age(t, now)),
                    c.message.lines().next().unwrap_or("").to_owned(),
                ]
            })
            .collect();
        self.table(&["TYPE", "STATUS", "SINCE", "MESSAGE"], &rows);
    }

    /// Why it did not succeed; each cause with all its lines.
    pub fn causes(&mut self, causes: &[String]) {
        if causes.is_empty() {
            return;
        }
        self.heading("Why");
        for cause in causes {
            self.indented(cause, 2);
        }
    }

    fn indented(&mut self, text: &str, by: usize) {
        for line in text.lines() {
            self.text
                .push_str(&format!("{}{}\n", " ".repeat(by), printable(line)));
        }
    }

    /// The text of the page.
    pub fn done(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_line_up_and_nothing_is_said_of_what_is_not_known() {
        let mut page = Page::new(Style::new(false));
        page.field("Name", "a\u{1b}[2J");
        page.field("Duration", "");
        page.time(
            "Created",
            Some("2026-01-01T00:00:00Z"),
            "2026-01-01T00:05:00Z".parse().unwrap(),
        );
        page.heading("Why");
        page.indented("one\ntwo", 2);
        insta::assert_snapshot!(page.done(), @r"
        Name:             a\u{1b}[2J
        Created:          2026-01-01T00:00:00Z (5m ago)

        Why
          one
          two
        ");
    }
}
