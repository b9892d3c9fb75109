//! Completion with what is in the cluster: names of objects, namespaces, contexts. An argument is known by its name, so a
//! command gets it by calling its arguments as the others do. Whatever goes wrong, there is simply nothing to offer.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::{Arg, Command, FromArgMatches, Parser, ValueHint};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use kube::config::Kubeconfig;
use serde_json::Value;

use crate::cluster::{Cluster, Flags, Kind, ListOptions, kinds};

/// Whoever presses TAB waits no longer than this.
const WITHIN: Duration = Duration::from_millis(1500);

/// What an argument stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Names of objects of one kind.
    Names(&'static Kind),
    /// `kind/name` of objects of several kinds.
    Objects(&'static [&'static Kind]),
    /// Names of objects of the first kind, or `kind/name` of the second once that is typed: `bc/NAME` is its newest Snapshot.
    NamesOr(&'static Kind, &'static Kind),
    /// The sessions that the BackupConfigurations have.
    Sessions,
    /// Contexts of the kubeconfig.
    Contexts,
}

const SESSIONS: &[&Kind] = &[&kinds::BACKUP_SESSION, &kinds::RESTORE_SESSION];
const RESTORABLE: &[&Kind] = &[&kinds::BACKUP_CONFIGURATION, &kinds::SNAPSHOT];
const EXPLAINABLE: &[&Kind] = &[
    &kinds::BACKUP_CONFIGURATION,
    &kinds::BACKUP_SESSION,
    &kinds::RESTORE_SESSION,
    &kinds::BACKUP_STORAGE,
    &kinds::REPOSITORY,
    &kinds::SNAPSHOT,
];
const NEWEST: Source = Source::NamesOr(&kinds::SNAPSHOT, &kinds::BACKUP_CONFIGURATION);
/// Forms of output that stand for themselves; the others want a template behind `=`.
const FORMATS: [&str; 7] = [
    "table",
    "wide",
    "json",
    "yaml",
    "name",
    "jsonpath=",
    "custom-columns=",
];
const TARGETS: &[&Kind] = &[
    &kinds::CLAIM,
    &kinds::DEPLOYMENT,
    &kinds::STATEFUL_SET,
    &kinds::DAEMON_SET,
];

/// What an argument of the command with these words stands for: by the name of its value where that is a kind, else by
/// its own.
fn source(words: &[&str], id: &str, value: &str) -> Option<Source> {
    if let ["snapshot", verb] = words
        && !matches!(*verb, "list" | "delete")
        && (value == "SNAPSHOT" || matches!(id, "from" | "to"))
    {
        return Some(NEWEST);
    }
    if let Some(kind) = EXPLAINABLE.iter().find(|k| k.kind.to_uppercase() == value) {
        return Some(Source::Names(kind));
    }
    Some(match (words, id) {
        (["logs", ..], "session") => Source::Objects(SESSIONS),
        (["create", ..], "session") => return None,
        (["backup", "now", ..] | ["trigger", ..], "session" | "sessions") => Source::Sessions,
        (_, "session" | "sessions") => Source::Names(&kinds::BACKUP_SESSION),
        (["restore", ..], "source") => Source::Objects(RESTORABLE),
        (["snapshot", "find" | "history"], "within") => Source::Objects(RESTORABLE),
        (["why", ..], "object") => Source::Objects(EXPLAINABLE),
        (_, "target") => Source::Objects(TARGETS),
        (["create", "storage" | "retention" | "backup", ..], "name") => {
            return None;
        }
        (_, "configuration" | "configurations" | "backup_configuration") => {
            Source::Names(&kinds::BACKUP_CONFIGURATION)
        }
        (_, "snapshot" | "snapshots") => Source::Names(&kinds::SNAPSHOT),
        (_, "repo" | "repository" | "repositories") => Source::Names(&kinds::REPOSITORY),
        (_, "storage") => Source::Names(&kinds::BACKUP_STORAGE),
        (_, "retention" | "retention_policy") => Source::Names(&kinds::RETENTION_POLICY),
        (_, "addon") => Source::Names(&kinds::ADDON),
        (_, "namespace" | "target_namespace" | "to_namespace") => Source::Names(&kinds::NAMESPACE),
        (_, "context") => Source::Contexts,
        _ => return None,
    })
}

/// Gives every argument that stands for something in the cluster its completer.
pub(super) fn attach(command: Command) -> Command {
    walk(command, &mut Vec::new())
}

fn walk(command: Command, words: &mut Vec<String>) -> Command {
    let path = words.clone();
    let command = command.mut_args(|arg| {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let value = arg
            .get_value_names()
            .and_then(|n| n.first())
            .map(ToString::to_string)
            .unwrap_or_default();
        match source(&words, arg.get_id().as_str(), &value) {
            Some(source) => arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                candidates(source, typed)
            })),
            None => plain(arg, &value),
        }
    });
    let names: Vec<String> = command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    names.into_iter().fold(command, |command, name| {
        words.push(name.clone());
        let command = command.mut_subcommand(&name, |sub| walk(sub, words));
        words.pop();
        command
    })
}

/// What an argument takes that needs no cluster: files and directories, and the words that the name of its value lists.
fn plain(arg: Arg, value: &str) -> Arg {
    let words: Vec<String> = match value {
        "FORMAT" if arg.get_id() == "output" => FORMATS.map(str::to_owned).to_vec(),
        // A word in capitals stands for something else.
        listed if listed.contains('|') => {
            let word = |word: &&str| word.chars().any(|c| c.is_ascii_lowercase());
            listed.split('|').filter(word).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    };
    let hint = match value {
        "FILE" | "FILE|-" => Some(ValueHint::FilePath),
        "DIR" => Some(ValueHint::DirPath),
        "FILE|DIR|-" => Some(ValueHint::AnyPath),
        _ => None,
    };
    match (hint, words.is_empty()) {
        (Some(hint), _) => arg.value_hint(hint),
        (None, true) => arg,
        (None, false) => arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
            let typed = typed.to_string_lossy();
            let fitting = words.iter().filter(|word| word.starts_with(typed.as_ref()));
            fitting.map(CompletionCandidate::new).collect()
        })),
    }
}

fn candidates(source: Source, typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let flags = flags(std::env::args_os().collect());
    let found = match source {
        Source::Contexts => contexts(&flags),
        Source::Names(kind) => ask(&flags, &[kind], typed),
        Source::NamesOr(kind, other) => match typed.split_once('/') {
            Some((word, _)) if other.is_called(word) => ask(&flags, &[other], typed),
            _ => ask(&flags, &[kind], typed),
        },
        Source::Sessions => ask_sessions(&flags),
        Source::Objects(kinds) => ask(&flags, kinds, typed),
    };
    found
        .into_iter()
        .filter(|name| name.starts_with(typed))
        .map(CompletionCandidate::new)
        .collect()
}

/// The cluster that the words typed so far choose.
fn flags(words: Vec<OsString>) -> Flags {
    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        flags: Flags,
    }
    let known = [
        "-n",
        "--namespace",
        "--context",
        "--kubeconfig",
        "--cluster",
        "--user",
    ];
    let mut chosen = vec![OsString::from("complete")];
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        if known.contains(&text.as_str()) {
            chosen.extend([word]);
            chosen.extend(words.next());
        } else if known.iter().any(|k| text.starts_with(&format!("{k}="))) || text == "-A" {
            chosen.push(word);
        }
    }
    let parsed = <Only as clap::CommandFactory>::command()
        .ignore_errors(true)
        .try_get_matches_from(chosen)
        .ok();
    parsed
        .and_then(|matches| Only::from_arg_matches(&matches).ok())
        .map(|only| only.flags)
        .unwrap_or_default()
}

fn contexts(flags: &Flags) -> Vec<String> {
    let read = match &flags.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    read.map(|config| config.contexts.into_iter().map(|c| c.name).collect())
        .unwrap_or_default()
}

/// The names of the sessions of the BackupConfigurations in the namespace, each once.
fn ask_sessions(flags: &Flags) -> Vec<String> {
    let options = |cluster: &Cluster| ListOptions {
        namespace: (!flags.all_namespaces).then(|| cluster.namespace().to_owned()),
        ..ListOptions::default()
    };
    let items = within(async {
        let cluster = Cluster::connect(flags).await.ok()?;
        let page = cluster
            .page::<Value>(&kinds::BACKUP_CONFIGURATION, &options(&cluster), None)
            .await;
        Some(page.ok()?.items)
    });
    let sessions = |object: &Value| {
        object
            .pointer("/spec/sessions")
            .and_then(Value::as_array)
            .cloned()
    };
    let mut names: Vec<String> = items
        .iter()
        .filter_map(sessions)
        .flatten()
        .filter_map(|s| Some(s.get("name")?.as_str()?.to_owned()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// An answer of the cluster within the time that somebody waits for a TAB; nothing otherwise.
fn within<T: Default>(answer: impl Future<Output = Option<T>>) -> T {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return T::default();
    };
    runtime
        .block_on(async { tokio::time::timeout(WITHIN, answer).await.ok().flatten() })
        .unwrap_or_default()
}

/// The names in the cluster; several kinds, or a kind that is typed already, are written `kind/name`.
fn ask(flags: &Flags, kinds: &[&'static Kind], typed: &str) -> Vec<String> {
    let wanted: Vec<(String, &Kind)> = match typed.split_once('/') {
        Some((word, _)) => kinds
            .iter()
            .filter(|k| k.is_called(word))
            .map(|k| (format!("{word}/"), *k))
            .collect(),
        None if kinds.len() > 1 => kinds
            .iter()
            .map(|k| (format!("{}/", k.kind.to_lowercase()), *k))
            .collect(),
        None => kinds.iter().map(|k| (String::new(), *k)).collect(),
    };
    within(async {
        let cluster = Cluster::connect(flags).await.ok()?;
        let lists = wanted
            .iter()
            .map(|(prefix, kind)| names(&cluster, flags, kind, prefix));
        Some(futures::future::join_all(lists).await.concat())
    })
}

async fn names(cluster: &Cluster, flags: &Flags, kind: &Kind, prefix: &str) -> Vec<String> {
    let options = ListOptions {
        namespace: (kind.namespaced && !flags.all_namespaces).then(|| cluster.namespace().to_owned()),
        ..ListOptions::default()
    };
    let page = cluster.page::<Value>(kind, &options, None).await;
    let items = page.map(|p| p.items).unwrap_or_default();
    items
        .iter()
        .filter_map(|o| o.pointer("/metadata/name")?.as_str())
        .map(|name| format!("{prefix}{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_from_the_words_typed_so_far() {
        let words = [
            "kubectl-kubestash",
            "backup",
            "now",
            "-n",
            "demo",
            "--bad",
            "--context=c",
            "x",
        ];
        let found = flags(words.iter().map(OsString::from).collect());
        assert_eq!(found.namespace.as_deref(), Some("demo"));
        assert_eq!(found.context.as_deref(), Some("c"));
        // A flag without its value yet.
        assert_eq!(flags(vec!["-n".into()]).namespace, None);
    }

    #[test]
    fn arguments_are_known_by_their_names() {
        assert_eq!(
            source(&["snapshot", "list"], "repo", "NAME"),
            Some(Source::Names(&kinds::REPOSITORY))
        );
        assert_eq!(
            source(&["logs"], "session", "SESSION"),
            Some(Source::Objects(SESSIONS))
        );
        assert_eq!(
            source(&["backup", "now"], "names", "BACKUPCONFIGURATION"),
            Some(Source::Names(&kinds::BACKUP_CONFIGURATION))
        );
        assert_eq!(
            source(&["backup", "now"], "session", "NAME"),
            Some(Source::Sessions)
        );
        assert_eq!(source(&["create", "backup"], "session", "NAME=CRON"), None);
        assert_eq!(source(&["install"], "image", "IMAGE"), None);
        // `bc/NAME` stands for a Snapshot where one is looked at or into, not where one is deleted.
        assert_eq!(
            source(&["snapshot", "show"], "snapshot", "SNAPSHOT"),
            Some(NEWEST)
        );
        assert_eq!(source(&["snapshot", "ls"], "snapshot", "SNAPSHOT"), Some(NEWEST));
        assert_eq!(source(&["snapshot", "diff"], "to", "SNAPSHOT"), Some(NEWEST));
        assert_eq!(
            source(&["snapshot", "delete"], "snapshots", "SNAPSHOT"),
            Some(Source::Names(&kinds::SNAPSHOT))
        );
    }

    #[test]
    fn every_command_that_names_objects_offers_them() {
        fn count(command: &Command) -> usize {
            let own = command
                .get_arguments()
                .filter(|a| a.get::<ArgValueCompleter>().is_some())
                .count();
            own + command.get_subcommands().map(count).sum::<usize>()
        }
        assert!(count(&attach(crate::cli::definition())) > 10);
    }
}
