//! Colours: the only place that names the colour crate. Whether a stream is coloured is decided per stream by
//! [`super::ui::Ui`], because data on standard output and talk on standard error may end in different places.

use colored::Colorize;

/// The roles that text can have. Colour only repeats what the words already say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    enabled: bool,
}

impl Style {
    /// A style that colours, or leaves text as it is.
    pub fn new(enabled: bool) -> Self {
        if enabled {
            // The crate looks at standard output alone; the decision was made before and per stream.
            colored::control::set_override(true);
        }
        Style { enabled }
    }

    /// Something that went well.
    pub fn good(self, text: &str) -> String {
        self.paint(text, |t| t.green().to_string())
    }

    /// Something that failed.
    pub fn bad(self, text: &str) -> String {
        self.paint(text, |t| t.red().to_string())
    }

    /// Something to look at.
    pub fn warn(self, text: &str) -> String {
        self.paint(text, |t| t.yellow().to_string())
    }

    /// A command or name to paste.
    pub fn code(self, text: &str) -> String {
        self.paint(text, |t| t.cyan().to_string())
    }

    /// A heading.
    pub fn strong(self, text: &str) -> String {
        self.paint(text, |t| t.bold().to_string())
    }

    /// Something of little weight.
    pub fn faint(self, text: &str) -> String {
        self.paint(text, |t| t.dimmed().to_string())
    }

    /// A phase in the colour of what it means.
    pub fn phase(self, phase: &str) -> String {
        match phase {
            "Ready" | "Succeeded" | "Applied" | "Verified" | "Protected" => self.good(phase),
            "Failed" | "NotReady" | "Invalid" | "FailedToApply" | "Failing" => self.bad(phase),
            "Running" | "Pending" | "Skipped" | "Unknown" | "Stale" | "Waiting" | "Paused" => {
                self.warn(phase)
            }
            _ => phase.to_owned(),
        }
    }

    fn paint(self, text: &str, paint: impl Fn(&str) -> String) -> String {
        if self.enabled {
            paint(text)
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_style_changes_nothing() {
        assert_eq!(Style::new(false).bad("Failed"), "Failed");
        assert_eq!(Style::new(true).phase("Failed"), "\u{1b}[31mFailed\u{1b}[0m");
        assert_eq!(Style::new(true).phase("Somehow"), "Somehow");
    }
}
