//! JUnit's XML, as CI systems read it: a suite with one case for each thing that was run.

use std::fmt::Write as _;
use std::time::Duration;

/// One thing that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What it belongs to, with dots: `demo.sample-backup`.
    pub class: String,
    /// Its name.
    pub name: String,
    /// How long it took.
    pub time: Duration,
    /// How it ended.
    pub end: End,
}

/// How something that was run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Well.
    Passed,
    /// It ran and failed: one sentence, and all that is known.
    Failed(String, String),
    /// It could not be run, or how it ended is not known: one sentence, and all that is known.
    Error(String, String),
    /// It was not run, and why.
    Skipped(String),
}

/// The document.
pub fn document(suite: &str, cases: &[Case]) -> String {
    let count = |wanted: fn(&End) -> bool| cases.iter().filter(|c| wanted(&c.end)).count();
    let numbers = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\"",
        cases.len(),
        count(|e| matches!(e, End::Failed(..))),
        count(|e| matches!(e, End::Error(..))),
        count(|e| matches!(e, End::Skipped(_))),
        seconds(cases.iter().map(|c| c.time).sum()),
    );
    let suite = escape(suite);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{suite}\" {numbers}>\n  <testsuite name=\"{suite}\" {numbers}>\n"
    );
    for case in cases {
        let head = format!(
            "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
            escape(&case.class),
            escape(&case.name),
            seconds(case.time)
        );
        let body = match &case.end {
            End::Passed => None,
            End::Failed(message, all) => Some(trouble("failure", message, all)),
            End::Error(message, all) => Some(trouble("error", message, all)),
            End::Skipped(why) => Some(format!("<skipped message=\"{}\"/>", escape(why))),
        };
        // Writing to a String cannot fail.
        let _ = match body {
            None => writeln!(text, "{head}/>"),
            Some(body) => writeln!(text, "{head}>\n      {body}\n    </testcase>"),
        };
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn trouble(tag: &str, message: &str, all: &str) -> String {
    format!("<{tag} message=\"{}\">{}</{tag}>", escape(message), escape(all))
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

/// Text as XML takes it; characters that XML 1.0 does not have at all become U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            '\r' => escaped.push_str("&#13;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted_and_escaped() {
        let case = |name: &str, end| Case {
            class: "demo.b".to_owned(),
            name: name.to_owned(),
            time: Duration::from_millis(1500),
            end,
        };
        let text = document(
            "backup now",
            &[
                case("daily", End::Passed),
                case(
                    "x",
                    End::Failed("\"a\" & <b>".to_owned(), "one\ntwo\u{1b}".to_owned()),
                ),
                case("y", End::Skipped("paused".to_owned())),
                case("z", End::Error("timed out".to_owned(), String::new())),
            ],
        );
        insta::assert_snapshot!(text, @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="backup now" tests="4" failures="1" errors="1" skipped="1" time="6.000">
          <testsuite name="backup now" tests="4" failures="1" errors="1" skipped="1" time="6.000">
            <testcase classname="demo.b" name="daily" time="1.500"/>
            <testcase classname="demo.b" name="x" time="1.500">
              <failure message="&quot;a&quot; &amp; &lt;b&gt;">one&#10;two�</failure>
            </testcase>
            <testcase classname="demo.b" name="y" time="1.500">
              <skipped message="paused"/>
            </testcase>
            <testcase classname="demo.b" name="z" time="1.500">
              <error message="timed out"></error>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }
}
