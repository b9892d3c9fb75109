//! What became of a field, and the collector of that for one object.

use std::cell::RefCell;
use std::fmt;

/// How much a note asks of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The field means the same in another place.
    Carried,
    /// It was carried, and means something slightly different there.
    Changed,
    /// Something to do before or after the manifests are applied; they are complete.
    ToDo,
    /// A value is missing that only a person knows; the API server refuses the manifest, or it cannot work, without it.
    ToFillIn,
    /// There is no place for it.
    NotCarried,
}

impl Level {
    /// Every level, the harmless ones first.
    pub const ALL: [Level; 5] = [
        Self::Carried,
        Self::Changed,
        Self::ToDo,
        Self::ToFillIn,
        Self::NotCarried,
    ];

    /// The word of reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::Changed => "changed",
            Self::ToDo => "to do",
            Self::ToFillIn => "to fill in",
            Self::NotCarried => "not carried",
        }
    }

    /// Whether the conversion is incomplete because of it.
    #[must_use]
    pub const fn is_gap(self) -> bool {
        matches!(self, Self::ToFillIn | Self::NotCarried)
    }
}

/// An object of a kind, in a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// The kind.
    pub kind: String,
    /// The namespace; empty for kinds without.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return write!(f, "{} {}", self.kind, self.name);
        }
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// What became of a field of a Stash object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How much it asks of its reader.
    pub level: Level,
    /// Index of the input.
    pub input: usize,
    /// The Stash object.
    pub object: ObjectName,
    /// The field in it, as a JSON pointer; empty for the object as a whole.
    pub pointer: String,
    /// Where it went, as `Kind namespace/name path`; empty when nowhere.
    pub to: String,
    /// What happened, and why; empty when the field was simply carried.
    pub reason: String,
    /// What to do about it; may be empty.
    pub way_out: String,
}

/// Collects the notes about one object.
#[derive(Debug)]
pub(super) struct Scope {
    input: usize,
    object: ObjectName,
    aim: RefCell<String>,
    notes: RefCell<Vec<Note>>,
}

impl Scope {
    pub(super) fn new(input: usize, object: ObjectName) -> Self {
        Self {
            input,
            object,
            aim: RefCell::default(),
            notes: RefCell::default(),
        }
    }

    pub(super) fn input(&self) -> usize {
        self.input
    }

    pub(super) fn object(&self) -> &ObjectName {
        &self.object
    }

    pub(super) fn into_notes(self) -> Vec<Note> {
        self.notes.into_inner()
    }

    /// From now on, places that begin with `spec` are in this object.
    pub(super) fn aim(&self, kind: &str, namespace: &str, name: &str) {
        *self.aim.borrow_mut() = format!("{kind} {namespace}/{name}");
    }

    /// The object aimed at was not made after all: nothing was carried into it, and nothing is to be filled in there.
    pub(super) fn was_not_made(&self) {
        let title = format!("{} ", self.aim.borrow());
        self.notes
            .borrow_mut()
            .retain(|note| note.level == Level::NotCarried || !note.to.starts_with(&title));
    }

    fn note(&self, level: Level, pointer: &str, to: &str, reason: &str, way_out: &str) {
        let to = if to.starts_with("spec") {
            format!("{} {to}", self.aim.borrow())
        } else {
            to.to_owned()
        };
        let note = Note {
            level,
            input: self.input,
            object: self.object.clone(),
            pointer: pointer.to_owned(),
            to,
            reason: reason.to_owned(),
            way_out: way_out.to_owned(),
        };
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    pub(super) fn carried(&self, pointer: &str, to: &str) {
        self.note(Level::Carried, pointer, to, "", "");
    }

    pub(super) fn changed(&self, pointer: &str, to: &str, how: &str) {
        self.note(Level::Changed, pointer, to, how, "");
    }

    pub(super) fn to_do(&self, pointer: &str, why: &str, what: &str) {
        self.note(Level::ToDo, pointer, "", why, what);
    }

    pub(super) fn to_fill_in(&self, pointer: &str, to: &str, why: &str, what: &str) {
        self.note(Level::ToFillIn, pointer, to, why, what);
    }

    pub(super) fn not_carried(&self, pointer: &str, why: &str, way_out: &str) {
        self.note(Level::NotCarried, pointer, "", why, way_out);
    }
}
