//! Which objects a command is about, in every way in which kubectl's users say it: `NAME`, `KIND/NAME`, `KIND NAME NAME`,
//! `-f FILE` (manifests), and `-` for names or manifests on standard input, so that `kubectl get … -o name`, `-o yaml` and
//! `-o json` can be piped in. Every command that works on named objects reads its words here.

use std::ffi::{OsStr, OsString};
use std::io::Read;

use serde_json::Value;

use super::context::Context;
use super::error::{CliError, Exit};
use super::names;
use crate::cluster::{Kind, kinds};
use crate::yaml;

/// `-f`, for commands on named objects.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Files {
    /// Manifests that name the objects, - for standard input; may be repeated
    #[arg(short = 'f', long, value_name = "FILE")]
    pub filename: Vec<String>,
}

/// One object as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typed {
    /// The kind, where one was said.
    pub kind: Option<&'static Kind>,
    /// The name.
    pub name: String,
    /// The namespace, where a manifest says it.
    pub namespace: Option<String>,
}

impl Typed {
    /// As [`names::Named`].
    pub fn named(&self) -> names::Named<'_> {
        names::Named {
            kind: self.kind,
            name: &self.name,
        }
    }
}

/// Reads the words and files of a command, each object once, in the order in which they were named. The files may hold
/// objects of other kinds, which are nobody's business here.
///
/// # Errors
/// For words that are no names, other kinds, files that cannot be read, and when nothing is named.
pub fn read(words: &[String], files: &[String], allowed: &[&'static Kind]) -> Result<Vec<Typed>, CliError> {
    read_from(words, files, allowed, &mut standard_input).map(each_once)
}

fn standard_input() -> Result<String, CliError> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|e| CliError::file("standard input", &e))?;
    Ok(text)
}

fn each_once(all: Vec<Typed>) -> Vec<Typed> {
    let mut once: Vec<Typed> = Vec::new();
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

/// As [`read`], for a command on objects of one namespace: the one that the files say becomes the context's.
///
/// # Errors
/// As [`read`]; a usage error for files of several namespaces, or of another than `-n` names.
pub fn several(
    context: &Context,
    words: &[String],
    files: &[String],
    allowed: &[&'static Kind],
) -> Result<Vec<Typed>, CliError> {
    settled(context, read(words, files, allowed)?)
}

fn settled(context: &Context, all: Vec<Typed>) -> Result<Vec<Typed>, CliError> {
    let mut namespaces: Vec<&str> = all.iter().filter_map(|t| t.namespace.as_deref()).collect();
    namespaces.dedup();
    if let [first, second, ..] = namespaces.as_slice() {
        return Err(CliError::usage(format!(
            "the objects are of several namespaces, {first} and {second}; this command works in one"
        )));
    }
    if let Some(namespace) = namespaces.first() {
        context.settle(namespace)?;
    }
    Ok(all)
}

/// As [`several`], for a command on exactly one object.
///
/// # Errors
/// As [`several`]; a usage error for more than one.
pub fn one(
    context: &Context,
    words: &[String],
    files: &[String],
    allowed: &[&'static Kind],
) -> Result<Typed, CliError> {
    only(several(context, words, files, allowed)?)
}

fn only(mut all: Vec<Typed>) -> Result<Typed, CliError> {
    match (all.pop(), all.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(CliError::usage("name an object (NAME, KIND/NAME or KIND NAME)")),
        (Some(_), more) => Err(CliError::usage(format!(
            "name one object (NAME, KIND/NAME or KIND NAME), not {}",
            more + 1
        ))
        .hint("this command works on one at a time: run it once for each")),
    }
}

/// As [`one`], for a command whose words go on after the object (`snapshot ls SNAPSHOT PATH`): the object, and the words
/// that are left. Where `-f` names the object, all of them are.
///
/// # Errors
/// As [`one`].
pub fn first<W: AsRef<OsStr>>(
    context: &Context,
    words: &[W],
    files: &[String],
    allowed: &[&'static Kind],
) -> Result<(Typed, Vec<OsString>), CliError> {
    let words: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
    let (object, rest) = words.split_at(if files.is_empty() {
        leading(&words, allowed)
    } else {
        0
    });
    let object: Vec<String> = object
        .iter()
        .map(|word| match word.to_str() {
            Some(word) => Ok(word.to_owned()),
            None => Err(CliError::usage(format!(
                "{} is no name of an object",
                word.display()
            ))),
        })
        .collect::<Result<_, _>>()?;
    let one = one(context, &object, files, allowed)?;
    Ok((one, rest.iter().map(|word| (*word).to_owned()).collect()))
}

/// How many of the words name an object: `KIND NAME` are two. What holds a slash is no name, so before a path a word that
/// is also a kind's stands for itself.
fn leading(words: &[&OsStr], allowed: &[&'static Kind]) -> usize {
    let text = |at: usize| words.get(at).and_then(|word| word.to_str());
    let kind = text(0).is_some_and(|word| !word.contains('/') && kinds::called(word, allowed).is_some());
    match text(1) {
        Some(name) if kind && !name.contains('/') => 2,
        _ => words.len().min(1),
    }
}

/// As [`several`], for a command on two objects: those of files come first, and the same one may be named twice.
///
/// # Errors
/// As [`several`]; a usage error for another number than two.
pub fn pair(
    context: &Context,
    words: &[String],
    files: &[String],
    allowed: &[&'static Kind],
) -> Result<(Typed, Typed), CliError> {
    let mut all = read_from(&[], files, allowed, &mut standard_input)?;
    all.extend(read_from(words, &[], allowed, &mut standard_input)?);
    let all = settled(context, all)?;
    let count = all.len();
    let mut all = all.into_iter();
    match (all.next(), all.next(), all.next()) {
        (Some(a), Some(b), None) => Ok((a, b)),
        _ => Err(CliError::usage(format!(
            "name two objects (NAME, KIND/NAME or KIND NAME NAME), not {count}"
        ))),
    }
}

fn read_from(
    words: &[String],
    files: &[String],
    allowed: &[&'static Kind],
    stdin: &mut dyn FnMut() -> Result<String, CliError>,
) -> Result<Vec<Typed>, CliError> {
    // `KIND NAME …`: a first word that is a kind's is one when something follows it.
    let (kind, words) = match words {
        [word, rest @ ..] if !rest.is_empty() && !word.contains('/') => match kinds::called(word, allowed) {
            Some(kind) => (Some(kind), rest),
            None => (None, words),
        },
        _ => (None, words),
    };
    let mut all: Vec<Typed> = Vec::new();
    for word in words {
        if word == "-" {
            add_text(&mut all, "standard input", &stdin()?, kind, allowed)?;
        } else {
            all.push(typed(word, kind, allowed)?);
        }
    }
    for file in files {
        if file == "-" {
            add_text(&mut all, "standard input", &stdin()?, kind, allowed)?;
        } else {
            let text = std::fs::read_to_string(file).map_err(|e| CliError::file(file, &e))?;
            add_manifests(&mut all, file, &text, allowed)?;
        }
    }
    Ok(all)
}

fn typed(word: &str, kind: Option<&'static Kind>, allowed: &[&'static Kind]) -> Result<Typed, CliError> {
    let named = names::parse(word, allowed)?;
    Ok(Typed {
        kind: named.kind.or(kind),
        name: named.name.to_owned(),
        namespace: None,
    })
}

/// What was piped in: names, one a word, or manifests.
fn add_text(
    all: &mut Vec<Typed>,
    source: &str,
    text: &str,
    kind: Option<&'static Kind>,
    allowed: &[&'static Kind],
) -> Result<(), CliError> {
    let manifests = text.trim_start().starts_with('{') || text.lines().any(|l| l.starts_with("kind:"));
    if manifests {
        return add_manifests(all, source, text, allowed);
    }
    let before = all.len();
    for word in text.split_whitespace() {
        all.push(typed(word, kind, allowed)?);
    }
    if before == all.len() && text.trim().is_empty() {
        return Err(none(source, allowed));
    }
    Ok(())
}

fn add_manifests(
    all: &mut Vec<Typed>,
    source: &str,
    text: &str,
    allowed: &[&'static Kind],
) -> Result<(), CliError> {
    let documents = yaml::values(text)
        .map_err(|e| CliError::new(Exit::Error, format!("{source} is not YAML")).cause(e.to_string()))?;
    let mut found = false;
    for document in &documents {
        let items = document.get("items").and_then(Value::as_array);
        for object in items.map_or_else(|| std::slice::from_ref(document), Vec::as_slice) {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
            let kind = kinds::of(text("/apiVersion"), text("/kind"));
            let (Some(kind), name) = (kind.filter(|k| allowed.contains(k)), text("/metadata/name")) else {
                continue;
            };
            if name.is_empty() {
                continue;
            }
            found = true;
            all.push(Typed {
                kind: Some(kind),
                name: name.to_owned(),
                namespace: Some(text("/metadata/namespace").to_owned()).filter(|n| !n.is_empty()),
            });
        }
    }
    if found { Ok(()) } else { Err(none(source, allowed)) }
}

fn none(source: &str, allowed: &[&'static Kind]) -> CliError {
    let known: Vec<&str> = allowed.iter().map(|k| k.kind).collect();
    CliError::new(
        Exit::NothingMatched,
        format!("{source} names no {}", known.join(" or ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kinds::{BACKUP_CONFIGURATION, BACKUP_SESSION};

    const BOTH: &[&Kind] = &[&BACKUP_SESSION, &BACKUP_CONFIGURATION];

    fn said(words: &[&str], files: &[&str], stdin: &str) -> Result<Vec<String>, CliError> {
        let owned = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all = read_from(&owned(words), &owned(files), BOTH, &mut || Ok(stdin.to_owned()))?;
        Ok(each_once(all)
            .into_iter()
            .map(|t| {
                let kind = t.kind.map_or("", |k| k.plural);
                format!(
                    "{kind}/{}{}",
                    t.name,
                    t.namespace.map_or(String::new(), |n| format!("@{n}"))
                )
            })
            .collect())
    }

    #[test]
    fn objects_are_named_in_all_of_kubectls_ways() {
        assert_eq!(
            said(&["bc", "a", "b"], &[], "").unwrap(),
            ["backupconfigurations/a", "backupconfigurations/b"]
        );
        assert_eq!(
            said(&["bc"], &[], "").unwrap(),
            ["/bc"],
            "an object may be called so"
        );
        assert_eq!(
            said(&["a", "bc/b", "a"], &[], "").unwrap(),
            ["/a", "backupconfigurations/b"]
        );
        let piped = "backupsession.core.kubestash.com/x\nbackupsession.core.kubestash.com/y\n";
        assert_eq!(
            said(&["-"], &[], piped).unwrap(),
            ["backupsessions/x", "backupsessions/y"]
        );
        assert!(said(&["pod/a"], &[], "").is_err());
        assert_eq!(said(&["-"], &[], " \n").unwrap_err().exit, Exit::NothingMatched);
    }

    #[test]
    fn an_object_comes_before_the_words_of_a_command() {
        let count = |words: &[&str]| {
            let words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
            leading(&words, BOTH)
        };
        assert_eq!(count(&["a"]), 1);
        assert_eq!(count(&["a", "etc"]), 1);
        assert_eq!(count(&["bc/a", "etc"]), 1);
        assert_eq!(count(&["bc", "a"]), 2);
        assert_eq!(count(&["bc", "a", "etc", "var"]), 2);
        assert_eq!(count(&["bc", "/etc"]), 1, "an object may be called so");
        assert_eq!(count(&["-", "etc"]), 1);
        assert_eq!(count(&[]), 0);
    }

    #[test]
    fn manifests_name_their_objects() {
        let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupConfiguration", "metadata": {"name": "a", "namespace": "demo"}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}]}"#;
        assert_eq!(said(&["-"], &[], list).unwrap(), ["backupconfigurations/a@demo"]);
        assert_eq!(said(&[], &["-"], list).unwrap(), ["backupconfigurations/a@demo"]);
        let other = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";
        let error = said(&[], &["-"], other).unwrap_err();
        assert_eq!(
            error.message,
            "standard input names no BackupSession or BackupConfiguration."
        );
    }
}
