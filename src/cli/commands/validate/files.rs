//! The objects of files, directories and standard input, each with its place.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Problem;
use crate::cli::error::CliError;
use crate::cluster::{Kind, kinds};
use crate::yaml::{self, Document};

/// The endings of files that are read from directories.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// One object and where it comes from.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Found {
    pub(in crate::cli) file: String,
    pub(in crate::cli) document: Document,
    /// The kind, when it is one of ours.
    pub(in crate::cli) kind: Option<&'static Kind>,
}

impl Found {
    pub(in crate::cli) fn text(&self, pointer: &str) -> String {
        self.document
            .value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    }

    pub(in crate::cli) fn name(&self) -> String {
        self.text("/metadata/name")
    }

    /// `Kind name`, as messages call it.
    pub(in crate::cli) fn title(&self) -> String {
        format!("{} {}", self.text("/kind"), self.name())
            .trim()
            .to_owned()
    }

    pub(in crate::cli) fn key(&self) -> (String, String, String) {
        key(&self.document.value)
    }
}

/// What tells objects apart: kind with group, namespace, name.
pub(in crate::cli) fn key(object: &Value) -> (String, String, String) {
    let field = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let group = field("/apiVersion").split('/').next().unwrap_or("").to_owned();
    (
        format!("{}.{group}", field("/kind")),
        field("/metadata/namespace"),
        field("/metadata/name"),
    )
}

/// What the files hold, and what in them is no YAML.
pub(in crate::cli) struct Loaded {
    pub(in crate::cli) found: Vec<Found>,
    pub(in crate::cli) broken: Vec<Problem>,
}

/// Reads everything that was named. Objects without a namespace get the one that applies.
pub(in crate::cli) fn load(names: &[String], recursive: bool, namespace: &str) -> Result<Loaded, CliError> {
    let mut loaded = Loaded {
        found: Vec::new(),
        broken: Vec::new(),
    };
    for name in names {
        if name == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|e| CliError::file("standard input", &e))?;
            add(&mut loaded, "-", &text, namespace);
            continue;
        }
        for path in paths(Path::new(name), recursive)? {
            let shown = path.to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).map_err(|e| CliError::file(&shown, &e))?;
            add(&mut loaded, &shown, &text, namespace);
        }
    }
    Ok(loaded)
}

/// A file itself; the manifests of a directory, sorted.
fn paths(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |e: &std::io::Error| CliError::file(&path.to_string_lossy(), e);
    if !fs::metadata(path).map_err(|e| unreadable(&e))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| unreadable(&e))? {
        entries.push(entry.map_err(|e| unreadable(&e))?.path());
    }
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            if recursive {
                found.extend(paths(&entry, true)?);
            }
        } else if entry
            .extension()
            .and_then(|e| e.to_str())
            .is_some_and(|e| ENDINGS.contains(&e))
        {
            found.push(entry);
        }
    }
    Ok(found)
}

fn add(loaded: &mut Loaded, file: &str, text: &str, namespace: &str) {
    let documents = match yaml::documents(text) {
        Ok(documents) => documents,
        Err(error) => {
            let (line, column, message) = match error {
                yaml::Error::Syntax { place, message } => (place.line, place.column, message),
                other => (1, 1, other.to_string()),
            };
            loaded.broken.push(Problem {
                file: file.to_owned(),
                line,
                column,
                object: String::new(),
                path: String::new(),
                message,
                warning: false,
            });
            return;
        }
    };
    for document in documents {
        for document in opened(document) {
            loaded.found.push(found(file, document, namespace));
        }
    }
}

/// The items of a `List`, or the document itself.
fn opened(document: Document) -> Vec<Document> {
    let is_list = document.value["kind"]
        .as_str()
        .is_some_and(|k| k.ends_with("List"));
    match document.value.get("items").and_then(Value::as_array) {
        Some(items) if is_list => (0..items.len())
            .filter_map(|index| document.part(&format!("/items/{index}")))
            .collect(),
        _ => vec![document],
    }
}

fn found(file: &str, mut document: Document, namespace: &str) -> Found {
    let field = |value: &Value, pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let (version, kind) = (
        field(&document.value, "/apiVersion"),
        field(&document.value, "/kind"),
    );
    let known = kinds::of(&version, &kind);
    let namespaced = known.is_none_or(|k| k.namespaced);
    if namespaced
        && field(&document.value, "/metadata/namespace").is_empty()
        && let Some(metadata) = document.value.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    Found {
        file: file.to_owned(),
        document,
        kind: known.filter(|k| k.group.ends_with(".kubestash.com")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_text(text: &str) -> Loaded {
        let mut loaded = Loaded {
            found: Vec::new(),
            broken: Vec::new(),
        };
        add(&mut loaded, "f.yaml", text, "demo");
        loaded
    }

    #[test]
    fn lists_are_opened_and_namespaces_filled_in() {
        let text = "kind: List\nitems:\n- apiVersion: storage.kubestash.com/v1alpha1\n  kind: BackupStorage\n  metadata:\n    name: a\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: s, namespace: other}\n";
        let loaded = load_text(text);
        assert_eq!(loaded.found.len(), 2);
        assert_eq!(loaded.found[0].text("/metadata/namespace"), "demo");
        assert_eq!(loaded.found[0].document.place("/metadata/name").line, 6);
        assert_eq!(loaded.found[0].kind, Some(&kinds::BACKUP_STORAGE));
        assert_eq!(
            (loaded.found[1].kind, loaded.found[1].text("/metadata/namespace")),
            (None, "other".to_owned())
        );
    }

    #[test]
    fn broken_yaml_is_a_problem_with_a_place() {
        let loaded = load_text("a: 1\na: 2\n");
        assert_eq!((loaded.broken[0].line, loaded.broken[0].column), (2, 1));
    }
}
