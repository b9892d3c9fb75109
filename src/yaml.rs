//! YAML as kubectl reads and writes it; the only place that names the YAML crate.
//!
//! Reading keeps the place of every field, so that a complaint can say `file.yaml:12:5`, and resolves plain scalars by
//! the YAML 1.1 rules of kubectl's parser (`yes` and `on` are booleans, `1_000` and `012` are numbers), because a
//! validator that reads a manifest differently from the cluster is worse than none. Writing quotes every string that
//! those rules would take for something else.
//!
//! Whoever reads or writes manifests calls this: the CLI, the operator for metadata files, and the tests.

mod reader;
mod scalar;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// Where something stands in a text; both numbers count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    const START: Place = Place { line: 1, column: 1 };
}

/// Why a text is not YAML, or not the value that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text breaks YAML's syntax, repeats a key, or is nested or aliased beyond reason.
    #[error("line {}, column {}: {message}", place.line, place.column)]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong, in one line.
        message: String,
    },
    /// The YAML is well formed but has another shape than the type asked for.
    #[error("{0}")]
    Shape(String),
    /// The value cannot be written as YAML.
    #[error("cannot be written as YAML: {0}")]
    Write(String),
}

/// One document of a stream, with the place of every field.
#[derive(Debug, Clone)]
pub struct Document {
    /// The content, with the scalars that kubectl would send.
    pub value: Value,
    /// Where the document's content starts.
    pub start: Place,
    places: BTreeMap<String, Place>,
}

impl Document {
    /// The place of the field that a JSON pointer (`/spec/sessions/0/name`) names; of its nearest existing parent when
    /// the field itself is missing, so that "required field is missing" can point somewhere useful.
    pub fn place(&self, pointer: &str) -> Place {
        let mut rest = pointer;
        loop {
            if let Some(place) = self.places.get(rest) {
                return *place;
            }
            match rest.rfind('/') {
                Some(cut) if cut > 0 => rest = &rest[..cut],
                _ => return self.start,
            }
        }
    }
}

impl Document {
    /// A part of the document as a document of its own (an item of a `List`), with the places it has here.
    pub fn part(&self, pointer: &str) -> Option<Document> {
        let value = self.value.pointer(pointer)?.clone();
        let prefix = format!("{pointer}/");
        let places = self
            .places
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .map(|(key, place)| (key[pointer.len()..].to_owned(), *place))
            .collect();
        Some(Document {
            value,
            start: self.place(pointer),
            places,
        })
    }
}

/// Reads all documents of a `---` stream. Empty documents are left out.
///
/// # Errors
/// [`Error::Syntax`] with the place of the first thing that is wrong.
pub fn documents(text: &str) -> Result<Vec<Document>, Error> {
    reader::read(text, true)
}

/// Reads all documents of a stream as values, without their places. Empty documents are left out.
///
/// # Errors
/// As [`documents`].
pub fn values(text: &str) -> Result<Vec<Value>, Error> {
    Ok(reader::read(text, false)?.into_iter().map(|d| d.value).collect())
}

/// Reads one document into a type.
///
/// # Errors
/// [`Error::Syntax`] for bad YAML, [`Error::Shape`] when the text holds no or several documents or another shape.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut found = values(text)?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => serde_json::from_value(one).map_err(|e| Error::Shape(e.to_string())),
        (None, _) => Err(Error::Shape("the text holds no YAML document".to_owned())),
        (Some(_), false) => Err(Error::Shape(format!(
            "one YAML document is wanted, the text holds {}",
            found.len() + 1
        ))),
    }
}

/// Reads every document of a stream into a type.
///
/// # Errors
/// As [`from_str`]; a shape error names the line of its document.
pub fn from_str_multi<T: DeserializeOwned>(text: &str) -> Result<Vec<T>, Error> {
    documents(text)?
        .into_iter()
        .map(|d| {
            let line = d.start.line;
            serde_json::from_value(d.value).map_err(|e| Error::Shape(format!("document at line {line}: {e}")))
        })
        .collect()
}

/// Writes one value in kubectl's look: two blanks a level, list items under their key, text blocks for text of
/// several lines, quotes where a YAML 1.1 reader needs them. Ends with a line break.
///
/// # Errors
/// [`Error::Write`] when the value has no YAML form (a map whose keys are not scalars).
pub fn to_string<T: Serialize>(value: &T) -> Result<String, Error> {
    // By way of JSON, so that maps are sorted and what is written is what the API server would be sent.
    let value = serde_json::to_value(value).map_err(|e| Error::Write(e.to_string()))?;
    let options = serde_saphyr::ser_options! {
        indent_step: 2,
        compact_list_indent: true,
        empty_as_braces: true,
        min_fold_chars: usize::MAX,
        folded_wrap_chars: usize::MAX,
        prefer_block_scalars: true,
        yaml_12: false
    };
    let mut text =
        serde_saphyr::to_string_with_options(&value, options).map_err(|e| Error::Write(e.to_string()))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Writes several values as one stream, `---` between them.
///
/// # Errors
/// As [`to_string`].
pub fn to_string_multi<T: Serialize>(values: &[T]) -> Result<String, Error> {
    let texts = values.iter().map(to_string).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join("---\n"))
}

#[cfg(test)]
mod tests;
