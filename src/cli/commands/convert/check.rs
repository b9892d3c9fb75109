//! The manifests that were made, under the rules of `validate --offline`: their schema, the rules of the webhooks, and
//! the Addons that `install` brings.

use super::title;
use crate::cli::error::{CliError, Exit};
use crate::cli::{manifests, strict};
use crate::cluster::kinds;
use crate::decide::admission::{Facts, admit};
use crate::decide::convert::{Conversion, Level, Note, ObjectName, Output};

/// What the rules say that no note says yet.
pub(super) fn notes(made: &Conversion) -> Result<Vec<Note>, CliError> {
    let unreadable = |e: crate::yaml::Error| {
        CliError::new(Exit::Error, "a definition of this program cannot be read").cause(e.to_string())
    };
    let mut facts = Facts::default();
    for addon in manifests::Manifests::new(manifests::NAMESPACE, crate::IMAGE)
        .map_err(unreadable)?
        .catalog
    {
        facts.add(&addon);
    }
    for output in &made.outputs {
        facts.add(&output.object);
    }
    let mut found = Vec::new();
    for output in &made.outputs {
        let object = &output.object;
        let field = |name: &str| object[name].as_str().unwrap_or_default();
        let Some(kind) = kinds::of(field("apiVersion"), field("kind"))
            .filter(|kind| kind.group.ends_with(".kubestash.com"))
        else {
            continue;
        };
        let schema = manifests::schema(kind).map_err(unreadable)?;
        for violation in strict::check(object, &schema) {
            let path = strict::path(&violation.pointer);
            add(&mut found, made, output, &path, &violation.message);
        }
        let verdict = admit(kind.kind, object, None, &facts);
        for denial in &verdict.denials {
            add(&mut found, made, output, &denial.path, &denial.message);
        }
        for warning in &verdict.warnings {
            let path = warning.split(':').next().unwrap_or_default();
            if !is_known(made, output, path) {
                let level = Level::ToDo;
                found.push(note(made, output, level, "", warning));
            }
        }
    }
    Ok(found)
}

/// Whether a note speaks of that field, of what it is in, or of what is in it.
fn is_known(made: &Conversion, output: &Output, path: &str) -> bool {
    let title = title(&output.object);
    made.notes
        .iter()
        .filter(|note| note.level.is_gap())
        .filter_map(|note| note.to.strip_prefix(&title)?.strip_prefix(' '))
        .any(|to| to.starts_with(path) || path.starts_with(to))
}

fn add(found: &mut Vec<Note>, made: &Conversion, output: &Output, path: &str, message: &str) {
    if !is_known(made, output, path) && !found.iter().any(|n| n.reason == message && n.to.ends_with(path)) {
        found.push(note(made, output, Level::ToFillIn, path, message));
    }
}

fn note(made: &Conversion, output: &Output, level: Level, path: &str, message: &str) -> Note {
    let object = made
        .notes
        .iter()
        .find(|note| note.input == output.input)
        .map_or_else(ObjectName::default, |note| note.object.clone());
    Note {
        level,
        input: output.input,
        object,
        pointer: String::new(),
        to: format!("{} {path}", title(&output.object)).trim_end().to_owned(),
        reason: message.to_owned(),
        way_out: String::new(),
    }
}
