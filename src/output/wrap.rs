//! Prose on a screen: broken at blanks, never inside what stands in backticks, which is there to be pasted.

use dialoguer::console::measure_text_width;

/// The lines of a text of at most `width` characters, where its words allow it. Line breaks of the text stay, and so do
/// lines that are set in, which are commands on lines of their own; an empty text has no lines.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        if paragraph.starts_with("  ") {
            lines.push(paragraph.to_owned());
            continue;
        }
        let mut line = String::new();
        let mut length = 0;
        for word in words(paragraph) {
            let own = measure_text_width(word);
            if length > 0 && length + 1 + own > width {
                lines.push(std::mem::take(&mut line));
                length = 0;
            }
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.push_str(word);
            length += own;
        }
        lines.push(line);
    }
    lines
}

/// The same for talk of any kind: a line that fits stays as it is, with its blanks and colours; one that does not is broken.
pub fn fit(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        if measure_text_width(line) <= width {
            lines.push(line.to_owned());
        } else {
            lines.extend(wrap(line, width));
        }
    }
    lines.join("\n")
}

/// The words of a line; what stands in backticks is one of them.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut quoted) = (None, false);
    // A backtick without its partner quotes nothing.
    let mut ticks = line.matches('`').count();
    for (at, c) in line.char_indices() {
        if c == '`' {
            ticks -= 1;
            quoted = !quoted && ticks > 0;
        }
        if c.is_whitespace() && !quoted {
            if let Some(from) = start.take() {
                words.extend(line.get(from..at));
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    if let Some(from) = start {
        words.extend(line.get(from..));
    }
    words
}

/// A command line that is longer than `width`, folded before its flags as a shell reads it back.
pub fn fold_command(command: &str, width: usize) -> String {
    if command.chars().count() <= width {
        return command.to_owned();
    }
    let mut folded = String::new();
    let (mut length, mut quoted) = (0, false);
    let mut rest = command;
    while let Some(c) = rest.chars().next() {
        if c == '\'' {
            quoted = !quoted;
        }
        let flag = !quoted && (rest.starts_with(" --") || rest.starts_with(" -n "));
        if flag {
            let body = rest.get(1..).unwrap_or_default();
            let next = flag_end(body);
            if length + 1 + next + 2 > width {
                folded.push_str(" \\\n    ");
                length = 4;
                rest = body;
                continue;
            }
        }
        folded.push(c);
        length += 1;
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    folded
}

/// The characters of a flag with its value.
fn flag_end(text: &str) -> usize {
    let mut quoted = false;
    for (count, (at, c)) in text.char_indices().enumerate() {
        if c == '\'' {
            quoted = !quoted;
        }
        let after = text.get(at..).unwrap_or_default();
        if !quoted && (after.starts_with(" --") || after.starts_with(" -n ")) {
            return count;
        }
    }
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talk_that_fits_is_left_alone() {
        assert_eq!(fit("a  b\n\nc", 5), "a  b\n\nc");
        assert_eq!(fit("one  two three", 9), "one two\nthree");
        assert_eq!(fit("  set in and long\n", 5), "  set in and long\n");
        // Colours take no room.
        let green = "\u{1b}[32mgood\u{1b}[0m  day";
        assert_eq!(fit(green, 9), green);
    }

    #[test]
    fn prose_is_broken_at_blanks_and_commands_are_not() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert!(wrap("", 7).is_empty());
        assert_eq!(wrap("a\nb", 7), ["a", "b"]);
        assert_eq!(wrap("so:\n  kubectl get x", 7), ["so:", "  kubectl get x"]);
        assert_eq!(wrap("incomprehensible", 4), ["incomprehensible"]);
        assert_eq!(
            wrap("run `kubectl get pods -n shop` now", 12),
            ["run", "`kubectl get pods -n shop`", "now"]
        );
        assert_eq!(
            wrap("a ` b c", 3),
            ["a `", "b c"],
            "a lone backtick quotes nothing"
        );
    }

    #[test]
    fn a_long_command_is_folded_before_its_flags_only() {
        let command = "kubectl kubestash create backup web -n shop --schedule '0 2 --x * *' --paths /a";
        assert_eq!(fold_command(command, 200), command);
        let folded = fold_command(command, 50);
        assert_eq!(
            folded,
            "kubectl kubestash create backup web -n shop \\\n    --schedule '0 2 --x * *' --paths /a"
        );
        assert_eq!(
            folded.replace(" \\\n    ", " "),
            command,
            "a shell reads the same"
        );
    }
}
