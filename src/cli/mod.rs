//! The kubectl plugin: arguments and dispatch. One file per command under [`commands`]; the doc comment of its argument
//! struct is its help text.
//!
//! Adding a command: a file with `XArgs` and `pub async fn run(args, context) -> Result<Exit, CliError>`, a variant in
//! [`commands::Command`], and its name in a group below (a test misses it otherwise).

pub mod commands;
pub mod complete;
pub mod confirm;
pub mod context;
pub mod error;
pub mod follow;
mod help;
pub mod inside;
pub mod manifests;
pub mod names;
pub mod objects;
pub mod place;
#[cfg(test)]
mod reference;
pub mod report;
pub mod schemas;
pub mod select;
pub mod show;
pub mod strict;
pub mod views;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use jiff::Timestamp;

use self::commands::Command;
use self::context::Context;
use self::error::{CliError, Exit};
use crate::cluster::Flags;
use crate::output::ui::{Settings, Ui, Verbosity};
use crate::output::wrap::wrap;

/// The commands by purpose, as the first screen shows them. A command that is in no group fails a test.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "Back up and restore",
        &["create", "backup", "restore", "snapshot", "repo"],
    ),
    (
        "Look and understand",
        &["status", "why", "logs", "validate", "doctor"],
    ),
    (
        "Set up",
        &["install", "uninstall", "sandbox", "completion", "version"],
    ),
];

/// KubeStash's own commands, for hands and scripts that know them: named on the first screen, explained by their help.
const FAMILIAR: &[&str] = &[
    "clone",
    "convert",
    "copy",
    "debug",
    "download",
    "manifest-restore",
    "manifest-view",
    "password",
    "pause",
    "resume",
    "trigger",
    "unlock",
];

/// The arguments of the plugin.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-kubestash",
    about = "Back up and restore what runs in Kubernetes",
    long_about = None,
    version,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    talk: Talk,
    #[command(subcommand)]
    command: Command,
}

/// How much is said, and how.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Output options")]
struct Talk {
    /// Say nothing but data, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say every step
    #[arg(short, long, global = true)]
    verbose: bool,
    /// No colours (also with NO_COLOR in the environment)
    #[arg(long, global = true, hide_short_help = true)]
    no_color: bool,
}

/// The definition of the command line under the name that people type.
pub fn definition() -> clap::Command {
    let definition = help::laid_out(Cli::command()).bin_name("kubectl kubestash");
    let screen = first_screen(&definition);
    definition.override_help(screen)
}

/// Every command with one line about it, by purpose.
fn first_screen(definition: &clap::Command) -> String {
    let mut screen =
        "Back up and restore what runs in Kubernetes.\n\nUsage: kubectl kubestash <COMMAND> [OPTIONS]\n"
            .to_owned();
    for (heading, names) in GROUPS {
        let lines: Vec<String> = names
            .iter()
            .filter_map(|name| definition.find_subcommand(name))
            .map(|c| {
                format!(
                    "  {:<12} {}\n",
                    c.get_name(),
                    c.get_about().map(ToString::to_string).unwrap_or_default()
                )
            })
            .collect();
        if !lines.is_empty() {
            screen.push_str(&format!("\n{heading}:\n{}", lines.concat()));
        }
    }
    let familiar: Vec<&str> = FAMILIAR
        .iter()
        .copied()
        .filter(|name| definition.find_subcommand(name).is_some())
        .collect();
    let own = format!("KubeStash's own commands: {}.", familiar.join(", "));
    screen.push('\n');
    for line in wrap(&own, 100) {
        screen.push_str(&line);
        screen.push('\n');
    }
    screen.push_str(
        "Every command takes kubectl's flags (-n, -A, --context, --kubeconfig, --as, …) and -q, -v, --no-color.\n\
         `kubectl kubestash <COMMAND> --help` shows what a command takes, with examples.\n",
    );
    screen
}

/// Parses the command line, runs the command and returns its exit code.
pub fn run(args: Vec<OsString>) -> ExitCode {
    complete::answer_shell();
    let called = args
        .first()
        .and_then(|a| Path::new(a).file_stem())
        .and_then(|s| s.to_str());
    let mut definition = definition();
    if !called.is_some_and(|name| name.starts_with("kubectl-")) {
        definition = definition.bin_name(called.unwrap_or("kubectl-kubestash").to_owned());
    }
    let (words, cli) = match parse(&mut definition, args) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version are data and end well; clap knows which stream each belongs to.
            let _ = error.print();
            return if error.use_stderr() {
                code(Exit::Usage)
            } else {
                code(Exit::Ok)
            };
        }
    };
    code(execute(cli, &words))
}

/// The words of the command: `backup now`.
fn words(matches: &clap::ArgMatches) -> String {
    let (mut words, mut at) = (Vec::new(), matches);
    while let Some((name, below)) = at.subcommand() {
        words.push(name);
        at = below;
    }
    words.join(" ")
}

/// Parses a command line. A command's own flag with the name of one of kubectl's (the `--user` of a key, as KubeStash has
/// it) stands for itself alone; clap gives its value to both.
fn parse(
    definition: &mut clap::Command,
    args: impl IntoIterator<Item = OsString>,
) -> Result<(String, Cli), clap::Error> {
    let matches = definition.try_get_matches_from_mut(args)?;
    let mut cli = Cli::from_arg_matches(&matches)?;
    if cli.flags.user.is_some() && has_own(definition, &matches, "user") {
        cli.flags.user = None;
    }
    Ok((words(&matches), cli))
}

/// Whether the command that was called has an argument of its own of that name.
fn has_own(definition: &clap::Command, matches: &clap::ArgMatches, id: &str) -> bool {
    let (mut command, mut matches) = (definition, matches);
    while let Some((name, deeper)) = matches.subcommand()
        && let Some(next) = command.find_subcommand(name)
    {
        (command, matches) = (next, deeper);
    }
    command
        .get_arguments()
        .any(|arg| arg.get_id() == id && !arg.is_global_set())
}

fn code(exit: Exit) -> ExitCode {
    ExitCode::from(exit as u8)
}

fn execute(cli: Cli, words: &str) -> Exit {
    let verbosity = match (cli.talk.quiet, cli.talk.verbose) {
        (true, _) => Verbosity::Quiet,
        (_, true) => Verbosity::Verbose,
        _ => Verbosity::Normal,
    };
    let ui = Ui::from_process(Settings {
        verbosity,
        no_color: cli.talk.no_color,
    })
    .of_command(words);
    let context = Context::new(ui, cli.flags, Timestamp::now());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(interruptible(&cli.command, &context));
            // What still runs in the background (a log that is followed) must not hold the command up.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(CliError::new(Exit::Error, "the program cannot start").cause(error.to_string())),
    };
    let result = result.and_then(|exit| context.ui.flush().map(|()| exit).map_err(CliError::from));
    match result {
        Ok(exit) => exit,
        Err(error) => {
            if !error.silent {
                context.ui.error(&error.message, &error.causes, &error.hints);
            }
            error.exit
        }
    }
}

async fn interruptible(command: &Command, context: &Context) -> Result<Exit, CliError> {
    if command.ends_by_itself() {
        return Box::pin(commands::run(command, context)).await;
    }
    tokio::select! {
        result = Box::pin(commands::run(command, context)) => result,
        _ = tokio::signal::ctrl_c() => {
            // What was drawn is gone by now: the command was dropped before this is said.
            if let Some(text) = context.parting() {
                context.ui.warn(&text);
            }
            if let Some(work) = context.tidying() {
                // Whoever is in a hurry says it again.
                tokio::select! {
                    () = work => {}
                    _ = tokio::signal::ctrl_c() => {}
                }
            }
            Ok(Exit::Interrupted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        definition().debug_assert();
    }

    fn parsed(line: &[&str]) -> Cli {
        let words = std::iter::once("kubectl-kubestash").chain(line.iter().copied());
        parse(&mut definition(), words.map(OsString::from)).unwrap().1
    }

    #[test]
    fn the_user_of_a_key_is_not_the_user_of_the_kubeconfig() {
        for command in [&["repo", "key", "add"][..], &["password", "add"]] {
            let line = [command, &["r", "--new-password-file", "f"]].concat();
            assert_eq!(parsed(&line).flags.user, None, "{command:?} without --user");
            let line = [&line[..], &["--user", "ann"]].concat();
            assert_eq!(parsed(&line).flags.user, None, "{command:?}");
        }
        assert_eq!(
            parsed(&["status", "--user", "ann"]).flags.user.as_deref(),
            Some("ann")
        );
    }

    #[test]
    fn no_other_flag_hides_one_of_kubectls() {
        fn walk(command: &clap::Command, path: &str, globals: &[String], hidden: &mut Vec<String>) {
            for sub in command.get_subcommands() {
                let path = format!("{path}{} ", sub.get_name());
                let own = sub.get_arguments().filter(|a| !a.is_global_set());
                hidden.extend(
                    own.filter(|a| globals.contains(&a.get_id().to_string()))
                        .map(|a| format!("{path}--{}", a.get_id())),
                );
                walk(sub, &path, globals, hidden);
            }
        }
        let definition = definition();
        let globals: Vec<String> = definition
            .get_arguments()
            .filter(|a| a.is_global_set())
            .map(|a| a.get_id().to_string())
            .collect();
        let mut hidden = Vec::new();
        walk(&definition, "", &globals, &mut hidden);
        hidden.sort();
        assert_eq!(hidden, ["password add --user", "repo key add --user"]);
    }

    #[test]
    fn the_first_screen_names_every_command_and_fits_a_screen() {
        let mut definition = definition();
        let screen = definition.render_help().to_string();
        for command in definition.get_subcommands().filter(|c| !c.is_hide_set()) {
            let line = format!("\n  {} ", command.get_name());
            let familiar = FAMILIAR.contains(&command.get_name());
            assert!(
                familiar || screen.contains(&line),
                "{} is in no group",
                command.get_name()
            );
        }
        assert!(screen.lines().count() <= 36, "{screen}");
        assert!(screen.lines().all(|l| l.chars().count() <= 110), "{screen}");
    }

    #[test]
    fn every_command_explains_itself() {
        fn check(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
                let path = format!("{path} {}", sub.get_name());
                assert!(sub.get_about().is_some(), "{path} says nothing about itself");
                for arg in sub.get_arguments().filter(|a| !a.is_hide_set()) {
                    assert!(
                        arg.get_help().is_some(),
                        "{path}: {} says nothing about itself",
                        arg.get_id()
                    );
                }
                check(sub, &path);
            }
        }
        check(&definition(), "kubectl kubestash");
    }

    /// The words of a command line as a shell would split them, without pipes and redirections.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for c in line.chars() {
            match (c, quote) {
                ('\'' | '"', None) => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (c, Some(q)) if c == q => quote = None,
                (' ', None) => words.extend(word.take()),
                (c, _) => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        let end = |w: &String| matches!(w.as_str(), "|" | ">" | "<" | "&&" | "#");
        let length = words.iter().position(end).unwrap_or(words.len());
        words.truncate(length);
        words
    }

    #[test]
    fn every_command_has_two_examples_that_it_understands() {
        fn check(command: &clap::Command, path: &str, poor: &mut Vec<String>) {
            for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
                let path = format!("{path} {}", sub.get_name());
                if sub.has_subcommands() && sub.is_subcommand_required_set() {
                    check(sub, &path, poor);
                    continue;
                }
                let help = sub.get_long_about().map(ToString::to_string).unwrap_or_default();
                let (_, examples) = help.split_once("Examples:").unwrap_or_default();
                let examples: Vec<&str> = examples
                    .lines()
                    .map(str::trim)
                    .filter_map(|line| line.find("kubectl kubestash ").and_then(|at| line.get(at..)))
                    .collect();
                if examples.len() < 2 {
                    poor.push(path.clone());
                }
                for example in examples {
                    let line = example.split(")\"").next().unwrap_or(example);
                    let line = line.trim_end_matches([')', '`']);
                    let mut words = words(line);
                    words.drain(..2);
                    words.insert(0, "kubectl-kubestash".to_owned());
                    let parsed = definition().try_get_matches_from(&words);
                    assert!(parsed.is_ok(), "{path}: {example}\n{}", parsed.unwrap_err());
                }
                check(sub, &path, poor);
            }
        }
        let mut poor = Vec::new();
        check(&Cli::command(), "kubectl kubestash", &mut poor);
        assert!(poor.is_empty(), "fewer than two examples: {poor:?}");
    }
}
