//! Manual pages, written for man(7): a page of ours says what the help says, in an order in which a manual is read, and
//! looks right in a terminal of 80 columns.
//!
//! Made here, not by clap's own generator: that one lists fifty options in the synopsis, leaves out the text of options
//! that only the long help shows, and has examples filled like prose.

use clap::{Arg, Command};

use crate::cli::error::Exit;
use crate::cli::help::broken;

/// Columns of an example: what 80 leave beside man's margins.
const EXAMPLE: usize = 70;

/// The page of a command whose name as a page is `name` and as people type it `path`.
pub(super) fn page(command: &Command, name: &str, path: &str) -> String {
    let about = super::about(command);
    // Both corners of the header hold the title: without `kubectl-` the longest fits twice.
    let short = name
        .strip_prefix("kubectl-")
        .filter(|short| *short != "kubestash");
    let mut page = format!(
        ".TH {} 1 \"\" \"kubectl kubestash\" \"KubeStash\"\n.nh\n.ad l\n.SH NAME\n{} \\- {}\n",
        plain(&short.unwrap_or(name).to_uppercase()),
        plain(name),
        plain(&about)
    );
    synopsis(command, path, &mut page);
    description(command, &about, &mut page);
    let below = super::visible(command);
    if !below.is_empty() {
        page.push_str(".SH COMMANDS\n");
        for sub in &below {
            page.push_str(&format!(
                ".TP\n\\fB{}\\fR(1)\n{}\n",
                plain(&format!("{name}-{}", sub.get_name())),
                plain(&super::about(sub))
            ));
        }
    }
    options(command, &mut page);
    match name.rsplit_once('-') {
        Some((above, _)) if above != "kubectl" => {
            let above = parent(name, path);
            page.push_str(&format!(
                ".SH \"SEE ALSO\"\n\\fB{}\\fR(1), \\fBkubectl\\fR(1)\n",
                plain(&above)
            ));
        }
        _ => {
            exit_codes(&mut page);
            page.push_str(".SH \"SEE ALSO\"\n\\fBkubectl\\fR(1), \\fBrestic\\fR(1)\n");
        }
    }
    let lines: Vec<&str> = page.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// The page above: the words of a command may hold dashes themselves.
fn parent(name: &str, path: &str) -> String {
    let last = path.rsplit(' ').next().unwrap_or_default();
    name.strip_suffix(last)
        .map_or(name, |above| above.trim_end_matches('-'))
        .to_owned()
}

fn synopsis(command: &Command, path: &str, page: &mut String) {
    let usage = command.clone().bin_name(path).render_usage().to_string();
    page.push_str(".SH SYNOPSIS\n");
    for (at, line) in usage.trim_start_matches("Usage:").lines().enumerate() {
        let rest = line.trim().strip_prefix(path).unwrap_or(line.trim());
        if at > 0 {
            page.push_str(".br\n");
        }
        page.push_str(&format!("\\fB{}\\fR{}\n", plain(path), values(rest)));
    }
}

fn description(command: &Command, about: &str, page: &mut String) {
    let text = command
        .get_long_about()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (prose, examples) = text.split_once("Examples:\n").unwrap_or((&text, ""));
    page.push_str(".SH DESCRIPTION\n");
    let more = prose.trim().strip_prefix(about).unwrap_or(prose).trim();
    if more.is_empty() {
        page.push_str(&format!("{}\n", spoken(&format!("{about}."))));
    } else {
        prose_of(more, page);
    }
    if !examples.is_empty() {
        page.push_str(".SH EXAMPLES\n");
        verbatim(&examples.replace(" \\\n      ", " "), page);
    }
}

/// Paragraphs, each one line, with indented lines between them.
fn prose_of(text: &str, page: &mut String) {
    let mut first = true;
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        if line.starts_with(' ') {
            let mut block = format!("{line}\n");
            while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
                block.push_str(line);
                block.push('\n');
            }
            page.push_str(".PP\n");
            verbatim(&block, page);
        } else {
            if !first {
                page.push_str(".PP\n");
            }
            page.push_str(&spoken(line));
            page.push('\n');
        }
        first = false;
    }
}

/// Lines as they are: man would fill them.
fn verbatim(text: &str, page: &mut String) {
    page.push_str(".nf\n");
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line = line.strip_prefix("  ").unwrap_or(line);
        for line in broken(line, EXAMPLE).lines() {
            page.push_str(&started(&plain(line)));
            page.push('\n');
        }
    }
    page.push_str(".fi\n");
}

fn options(command: &Command, page: &mut String) {
    let shown: Vec<&Arg> = command.get_arguments().filter(|a| !a.is_hide_set()).collect();
    let mut headings: Vec<String> = Vec::new();
    let heading = |arg: &Arg| match arg.get_help_heading() {
        Some(heading) => heading.to_uppercase(),
        None if arg.is_positional() => "ARGUMENTS".to_owned(),
        None => "OPTIONS".to_owned(),
    };
    // Arguments first, kubectl's options and those of the output last, as the help has them.
    let rank = |heading: &str| match heading {
        "ARGUMENTS" => 0,
        "OPTIONS" => 1,
        other if other.starts_with("CLUSTER") => 3,
        other if other.starts_with("OUTPUT") => 4,
        _ => 2,
    };
    for arg in &shown {
        let heading = heading(arg);
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    headings.sort_by_key(|heading| rank(heading));
    for title in headings {
        page.push_str(&format!(".SH \"{}\"\n", plain(&title)));
        for arg in shown.iter().filter(|arg| heading(arg) == title) {
            option(arg, page);
        }
    }
}

fn option(arg: &Arg, page: &mut String) {
    let long = arg.to_string();
    let (name, value) = long.split_at(long.find(['[', '<', ' ', '=']).unwrap_or(long.len()));
    let head = if arg.is_positional() {
        values(&long)
    } else {
        format!("\\fB{}\\fR{}", plain(name), values(value))
    };
    let short = arg.get_short().filter(|_| arg.get_long().is_some());
    let short = short.map_or_else(String::new, |c| format!("\\fB\\-{c}\\fR, "));
    page.push_str(&format!(".TP\n{short}{head}\n"));
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string);
    let paragraphs: Vec<String> = help
        .unwrap_or_default()
        .split("\n\n")
        .map(|paragraph| spoken(&paragraph.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    page.push_str(&paragraphs.join("\n.sp\n"));
    page.push('\n');
    for fact in facts(arg, &long) {
        page.push_str(&format!(".br\n{}\n", spoken(&fact)));
    }
}

/// What the help adds to an option's text.
fn facts(arg: &Arg, shown: &str) -> Vec<String> {
    let mut facts = Vec::new();
    if arg.get_action().takes_values() {
        let words: Vec<String> = arg
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| value.get_name().to_owned())
            .collect();
        let told =
            arg.is_hide_possible_values_set() || words.iter().all(|word| shown.contains(word.as_str()));
        if !told {
            facts.push(format!("One of: {}", words.join(", ")));
        }
        let defaults: Vec<String> = arg
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
        if !defaults.is_empty() && !arg.is_hide_default_value_set() {
            facts.push(format!("Default: {}", defaults.join(" ")));
        }
    }
    let aliases = arg.get_visible_aliases().unwrap_or_default();
    if !aliases.is_empty() {
        let aliases: Vec<String> = aliases.iter().map(|alias| format!("--{alias}")).collect();
        facts.push(format!("Also: {}", aliases.join(", ")));
    }
    facts
}

fn exit_codes(page: &mut String) {
    page.push_str(".SH \"EXIT STATUS\"\n");
    for (exit, meaning) in Exit::ALL {
        page.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", *exit as u8, spoken(meaning)));
    }
}

/// `<NAME>` and `[NAME]...` with the names in italics.
fn values(text: &str) -> String {
    let mut out = String::new();
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_uppercase() || !name.is_empty() && (c == '_' || c == '-' || c.is_ascii_digit()) {
            name.push(c);
            continue;
        }
        out.push_str(&emphasized(&name));
        name.clear();
        out.push_str(&plain(&c.to_string()));
    }
    out + &emphasized(&name)
}

fn emphasized(name: &str) -> String {
    if name.is_empty() {
        String::new()
    } else {
        format!("\\fI{}\\fR", plain(name))
    }
}

/// Prose, with what stands in backticks in bold.
fn spoken(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return started(&plain(text));
    }
    let parts: Vec<String> = parts
        .iter()
        .enumerate()
        .map(|(at, part)| match at % 2 {
            0 => plain(part),
            _ => format!("\\fB{}\\fR", plain(part)),
        })
        .collect();
    started(&parts.concat())
}

/// A line that begins with a dot or a quote would be taken for a request.
fn started(line: &str) -> String {
    match line.chars().next() {
        Some('.' | '\'') => format!("\\&{line}"),
        _ => line.to_owned(),
    }
}

/// Text in which nothing means anything to troff.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '"' => out.push_str("\\(dq"),
            '`' => out.push_str("\\(ga"),
            '~' => out.push_str("\\(ti"),
            '^' => out.push_str("\\(ha"),
            c if c.is_ascii() => out.push(c),
            c => out.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        }
    }
    out
}

#[test]
fn text_reaches_the_reader_as_it_is() {
    assert_eq!(plain("it's C:\\x …"), "it\\(aqs C:\\ex \\[u2026]");
    assert_eq!(spoken("run `a -b` now"), "run \\fBa \\-b\\fR now");
    assert_eq!(spoken(".kube"), "\\&.kube");
    assert_eq!(
        values(" [OPTIONS] <NEW_NAME>..."),
        " [\\fIOPTIONS\\fR] <\\fINEW_NAME\\fR>..."
    );
    let mut page = String::new();
    verbatim("  kubectl kubestash x \\\n      -o json\n", &mut page);
    assert_eq!(page, ".nf\nkubectl kubestash x \\e\n    \\-o json\n.fi\n");
    assert_eq!(
        parent(
            "kubectl-kubestash-manifest-view",
            "kubectl kubestash manifest-view"
        ),
        "kubectl-kubestash"
    );
}
