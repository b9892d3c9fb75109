//! What became of every field: for people on standard error, for programs in the file of `--report`.

use schemars::JsonSchema;
use serde::Serialize;

use super::files::Written;
use super::manifests_counted;
use crate::cli::commands::validate::files::Found;
use crate::cli::context::Context;
use crate::cli::schemas::View;
use crate::cli::strict;
use crate::decide::convert::{Conversion, Level, Note};
use crate::output::human;
use crate::output::table::printable;

/// What `convert` made of manifests of Stash, and what became of each of their fields.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether everything was carried and nothing is left to fill in.
    pub complete: bool,
    /// How many notes there are of each level.
    pub summary: SummaryView,
    /// The manifests that were made.
    pub manifests: Vec<ManifestView>,
    /// What became of each field, in the order of the files.
    pub notes: Vec<NoteView>,
}

impl View for Report {
    const COMMAND: &'static str = "convert-report";
    const KIND: &'static str = "ConvertReport";
}

/// Counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SummaryView {
    /// Objects of Stash that were read.
    pub objects: usize,
    /// Objects of others, and records of what has happened, that were passed over.
    pub passed_over: usize,
    /// Manifests that were made.
    pub manifests: usize,
    /// Fields that mean the same in another place.
    pub carried: usize,
    /// Fields that mean something slightly different there.
    pub changed: usize,
    /// Things to do before or after the manifests are applied.
    pub to_do: usize,
    /// Values that only a person knows.
    pub to_fill_in: usize,
    /// Fields for which there is no place.
    pub not_carried: usize,
}

/// A manifest that was made.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestView {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The file that it comes from.
    pub source: String,
    /// The file that it was written to; absent on standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What became of a field.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NoteView {
    /// carried, changed, to do, to fill in or not carried.
    pub level: String,
    /// The file of the object.
    pub file: String,
    /// The line of the field.
    pub line: usize,
    /// The column of the field.
    pub column: usize,
    /// The object of Stash, as `Kind namespace/name`.
    pub object: String,
    /// The field, such as `spec.target.paths`; empty for the object as a whole.
    pub path: String,
    /// Where it went, as `Kind namespace/name path`; empty when nowhere.
    pub to: String,
    /// What happened, and why; empty when it was simply carried.
    pub reason: String,
    /// What to do about it; may be empty.
    pub way_out: String,
}

impl Report {
    pub(super) fn new(made: &Conversion, found: &[Found], written: &Written) -> Self {
        let count = |level: Level| made.notes.iter().filter(|note| note.level == level).count();
        let mut notes: Vec<NoteView> = made.notes.iter().map(|note| view(note, found)).collect();
        notes.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        let manifests = made
            .outputs
            .iter()
            .enumerate()
            .map(|(index, output)| {
                let field = |pointer: &str| {
                    let value = output.object.pointer(pointer).and_then(|v| v.as_str());
                    value.unwrap_or_default().to_owned()
                };
                ManifestView {
                    kind: field("/kind"),
                    namespace: field("/metadata/namespace"),
                    name: field("/metadata/name"),
                    source: found[output.input].file.clone(),
                    file: written
                        .of_output
                        .get(index)
                        .map(|p| p.to_string_lossy().into_owned()),
                }
            })
            .collect();
        Self {
            complete: !made.notes.iter().any(|note| note.level.is_gap()),
            summary: SummaryView {
                objects: made.converted,
                passed_over: made.passed_over,
                manifests: made.outputs.len(),
                carried: count(Level::Carried),
                changed: count(Level::Changed),
                to_do: count(Level::ToDo),
                to_fill_in: count(Level::ToFillIn),
                not_carried: count(Level::NotCarried),
            },
            manifests,
            notes,
        }
    }

    /// Says what matters: all but what was simply carried, which is for those who ask for more.
    pub(super) fn tell(&self, context: &Context) {
        for level in Level::ALL {
            for note in self.notes.iter().filter(|note| note.level == level.as_str()) {
                match level {
                    Level::Carried => context.ui.detail(&note.line()),
                    Level::Changed | Level::ToDo => context.ui.say(&note.line()),
                    Level::ToFillIn | Level::NotCarried => context.ui.warn(&note.line()),
                }
            }
        }
        let s = &self.summary;
        let mut files: Vec<&str> = self.manifests.iter().filter_map(|m| m.file.as_deref()).collect();
        files.sort_unstable();
        files.dedup();
        let place = if files.is_empty() {
            String::new()
        } else {
            format!(
                " in {}: {}",
                human::counted(files.len(), "file"),
                files.join(", ")
            )
        };
        context.ui.say(&printable(&format!(
            "{} of Stash became {}{place}.",
            human::counted(s.objects, "object"),
            manifests_counted(s.manifests)
        )));
        context.ui.say(&format!(
            "Fields: {} carried, {} changed, {} not carried; {} to fill in, {} to do.",
            s.carried, s.changed, s.not_carried, s.to_fill_in, s.to_do
        ));
    }
}

impl NoteView {
    /// `file:line:column: level: object path → where: reason; way out`.
    fn line(&self) -> String {
        let subject = [self.object.as_str(), self.path.as_str()]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" ");
        let to = if self.to.is_empty() {
            String::new()
        } else {
            format!(" → {}", self.to)
        };
        let mut text = format!(
            "{}:{}:{}: {}: {subject}{to}",
            self.file, self.line, self.column, self.level
        );
        for (mark, part) in [(": ", &self.reason), ("; ", &self.way_out)] {
            if !part.is_empty() {
                text.push_str(mark);
                text.push_str(part);
            }
        }
        printable(&text)
    }
}

fn view(note: &Note, found: &[Found]) -> NoteView {
    let source = &found[note.input];
    let place = source.document.place(&note.pointer);
    NoteView {
        level: note.level.as_str().to_owned(),
        file: source.file.clone(),
        line: place.line,
        column: place.column,
        object: note.object.to_string(),
        path: strict::path(&note.pointer),
        to: note.to.clone(),
        reason: note.reason.clone(),
        way_out: note.way_out.clone(),
    }
}
