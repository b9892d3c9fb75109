//! Completion with what is in the cluster: names of objects, namespaces, contexts. An argument is known by its name, so a
//! command gets it by calling its arguments as the others do. Whatever goes wrong, there is simply nothing to offer.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::{Command, FromArgMatches, Parser};
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
const TARGETS: &[&Kind] = &[
    &kinds::CLAIM,
    &kinds::DEPLOYMENT,
    &kinds::STATEFUL_SET,
    &kinds::DAEMON_SET,
];

/// What an argument of the command with these words stands for: by the name of its value where that is a kind, else by
/// its own.
fn source(words: &[&str], id: &str, value: &str) -> Option<Source> {
    if let Some(kind) = EXPLAINABLE.iter().find(|k| k.kind.to_uppercase() == value) {
        return Some(Source::Names(kind));
    }
    Some(match (words, id) {
        (["logs", ..], "session") => Source::Objects(SESSIONS),
        (["backup", "now", ..] | ["trigger" | "create", ..], "session" | "sessions") => return None,
        (_, "session" | "sessions") => Source::Names(&kinds::BACKUP_SESSION),
        (["restore", ..], "source") => Source::Objects(RESTORABLE),
        (["snapshot", "diff"], "from" | "to") => Source::Names(&kinds::SNAPSHOT),
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
            .map(ToString::to_string);
        match source(&words, arg.get_id().as_str(), &value.unwrap_or_default()) {
            Some(source) => arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
                candidates(source, typed)
            })),
            None => arg,
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

fn candidates(source: Source, typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let flags = flags(std::env::args_os().collect());
    let found = match source {
        Source::Contexts => contexts(&flags),
        Source::Names(kind) => ask(&flags, &[kind], typed),
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

/// The names in the cluster; several kinds, or a kind that is typed already, are written `kind/name`.
fn ask(flags: &Flags, kinds: &[&'static Kind], typed: &str) -> Vec<String> {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
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
    let answer = async {
        let cluster = Cluster::connect(flags).await.ok()?;
        let lists = wanted
            .iter()
            .map(|(prefix, kind)| names(&cluster, flags, kind, prefix));
        Some(futures::future::join_all(lists).await.concat())
    };
    runtime
        .block_on(async { tokio::time::timeout(WITHIN, answer).await.ok().flatten() })
        .unwrap_or_default()
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
        assert_eq!(source(&["backup", "now"], "session", "NAME"), None);
        assert_eq!(source(&["install"], "image", "IMAGE"), None);
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
