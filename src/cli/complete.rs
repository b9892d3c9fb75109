//! Completion: of the shell's own kind, and of kubectl's (`kubectl kubestash <TAB>` runs
//! `kubectl_complete-kubestash WORDS…` and wants cobra's protocol: one `value<TAB>description` a line, then `:4`).

mod live;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Command;
use clap_complete::CompleteEnv;
use clap_complete::engine::complete;

use crate::output::ui::{Settings, Ui, Verbosity};

/// Tells cobra's scripts not to offer files.
const NO_FILES: &str = ":4";

/// The same, and that more is to be typed behind the one that is offered.
const NO_FILES_GO_ON: &str = ":6";

/// What cobra's scripts are to do with what is offered.
fn directive(found: &[String]) -> &'static str {
    match found {
        [one] if one.ends_with(['/', '=']) => NO_FILES_GO_ON,
        _ => NO_FILES,
    }
}

/// Answers a shell that asks through the variable COMPLETE, and then ends the process; otherwise does nothing.
pub fn answer_shell() {
    // Under its own name: a script for `kubectl kubestash` would take over kubectl's own completion.
    CompleteEnv::with_factory(|| {
        let definition = live::attach(super::definition()).bin_name("kubectl-kubestash");
        // The word that is completed comes last, except where somebody completes in the middle of a line.
        match std::env::args_os().next_back() {
            Some(word) if word.is_empty() => without_flags(definition),
            _ => definition,
        }
    })
    .bin("kubectl-kubestash")
    .complete();
}

/// Answers kubectl's completion protocol for the words given.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let ui = Ui::from_process(Settings {
        verbosity: Verbosity::Quiet,
        no_color: true,
    });
    let found = candidates(args);
    for candidate in &found {
        if ui.line(candidate).is_err() {
            return ExitCode::SUCCESS;
        }
    }
    // A reader that is gone wants no more.
    let _ = ui.line(directive(&found)).and_then(|()| ui.flush());
    ExitCode::SUCCESS
}

/// Flags are offered to whoever types a dash: before that they would bury the names. Hidden ones still come where there is
/// nothing else.
fn without_flags(command: Command) -> Command {
    command
        .mut_args(|arg| if arg.is_positional() { arg } else { arg.hide(true) })
        .mut_subcommands(without_flags)
}

fn candidates(args: Vec<OsString>) -> Vec<String> {
    let mut words = vec![OsString::from("kubectl-kubestash")];
    words.extend(args.into_iter().skip(1));
    if words.len() == 1 {
        words.push(OsString::new());
    }
    let index = words.len() - 1;
    let dash = words.last().is_some_and(|w| w.to_string_lossy().starts_with('-'));
    let here = std::env::current_dir().ok();
    let found = complete(
        &mut live::attach(super::definition()),
        words,
        index,
        here.as_deref(),
    )
    .unwrap_or_default();
    found
        .into_iter()
        .filter(|c| !c.is_hide_set() && (dash || !c.get_value().to_string_lossy().starts_with('-')))
        .map(|c| {
            let value = c.get_value().to_string_lossy().into_owned();
            match c
                .get_help()
                .and_then(|h| h.to_string().lines().next().map(str::to_owned))
            {
                Some(help) if !help.is_empty() => format!("{value}\t{help}"),
                _ => value,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_with_their_meaning() {
        let words = ["kubectl_complete-kubestash", "ver"].map(OsString::from).to_vec();
        let found = candidates(words);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("version\tPrint"), "{found:?}");
    }

    #[test]
    fn words_and_files_are_offered_without_a_cluster() {
        let asked = |words: &[&str]| {
            let words = [&["kubectl_complete-kubestash"], words].concat();
            candidates(words.into_iter().map(OsString::from).collect())
        };
        assert_eq!(
            asked(&["create", "storage", "--provider", ""]),
            ["s3", "gcs", "azure", "local"]
        );
        assert_eq!(asked(&["snapshot", "list", "-o", "j"]), ["json", "jsonpath="]);
        assert_eq!(
            asked(&["create", "storage", "--from-file", "src/cli/complete/"]),
            ["src/cli/complete/live.rs"]
        );
        let dir = asked(&["validate", "-f", "src/cli/comple"]);
        assert!(dir.contains(&"src/cli/complete/".to_owned()), "{dir:?}");
        assert_eq!(directive(&["src/".to_owned()]), ":6");
        assert_eq!(directive(&["a".to_owned(), "b/".to_owned()]), ":4");
    }

    #[test]
    fn flags_are_offered_to_who_types_a_dash() {
        let asked = |words: &[&str]| candidates(words.iter().map(OsString::from).collect());
        let begun = ["kubectl_complete-kubestash", "completion", ""];
        assert!(asked(&begun).iter().all(|c| !c.starts_with('-')));
        assert!(asked(&begun).iter().any(|c| c.starts_with("bash")));
        let dashed = ["kubectl_complete-kubestash", "completion", "--name"];
        assert!(asked(&dashed)[0].starts_with("--namespace"));
    }
}
