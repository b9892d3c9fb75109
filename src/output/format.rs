//! `-o`: which form data takes. Tables are laid out by the commands (each knows its columns); every other form is
//! printed here, from the objects as the API server has them.

use std::io;

use serde_json::{Value, json};

use super::columns::Columns;
use super::jsonpath::{self, Template};
use super::table::Table;
use super::ui::Ui;
use crate::yaml;

/// The forms of `-o`.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// Columns for people.
    Table,
    /// More columns.
    Wide,
    /// Indented JSON.
    Json,
    /// YAML as kubectl writes it.
    Yaml,
    /// `resource.group/name`, one a line.
    Name,
    /// A template.
    JsonPath(Template),
    /// Columns of the user's own.
    Columns(Columns),
}

/// Why data could not be printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Standard output is closed or full.
    #[error("standard output cannot be written")]
    Io(#[from] io::Error),
    /// The template does not fit the data.
    #[error("the template given with -o does not fit the data")]
    Template(#[from] jsonpath::Error),
    /// The data has no such form.
    #[error("the data cannot be printed")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Format {
    /// Whether columns for people are wanted.
    pub fn is_table(&self) -> bool {
        matches!(self, Format::Table | Format::Wide)
    }

    /// Reads the value of `-o`.
    ///
    /// # Errors
    /// A sentence that names the forms there are, or what is wrong with the template.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (form, template) = match text.split_once('=') {
            Some((form, template)) => (form, Some(template)),
            None => (text, None),
        };
        let needs = |example: &str| format!("{form} needs a template, for example -o {form}={example}");
        match (form, template) {
            ("table" | "", None) => Ok(Format::Table),
            ("wide", None) => Ok(Format::Wide),
            ("json", None) => Ok(Format::Json),
            ("yaml", None) => Ok(Format::Yaml),
            ("name", None) => Ok(Format::Name),
            ("jsonpath", Some(template)) if !template.is_empty() => Template::parse(template)
                .map(Format::JsonPath)
                .map_err(|e| format!("jsonpath: {e}")),
            ("jsonpath", _) => Err(needs("'{.items[*].metadata.name}'")),
            ("custom-columns", Some(columns)) if !columns.is_empty() => Columns::parse(columns)
                .map(Format::Columns)
                .map_err(|e| format!("custom-columns: {e}")),
            ("custom-columns", _) => Err(needs("NAME:.metadata.name,PHASE:.status.phase")),
            _ => {
                Err("the forms are table, wide, json, yaml, name, jsonpath=… and custom-columns=…".to_owned())
            }
        }
    }

    /// Prints objects in a form other than a table: one object as itself, several as a `List`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn print(&self, ui: &Ui, shape: &Shape) -> Result<(), Error> {
        match self {
            Format::Json => {
                let text =
                    serde_json::to_string_pretty(&shape.value()).map_err(|e| Error::Write(e.into()))?;
                ui.line(&indent_four(&text))?;
            }
            Format::Yaml => ui.data(&yaml::to_string(&shape.value()).map_err(|e| Error::Write(e.into()))?)?,
            Format::JsonPath(template) => ui.data(&template.render(&shape.value())?)?,
            Format::Name => {
                for object in shape.objects() {
                    ui.line(&name(object))?;
                }
            }
            Format::Columns(columns) => {
                let rows = shape
                    .objects()
                    .iter()
                    .map(|o| columns.row(o))
                    .collect::<Result<Vec<_>, _>>()?;
                ui.data(&Table::new(columns.headings()).page(&rows))?;
            }
            Format::Table | Format::Wide => {
                let rows: Vec<Vec<String>> = shape.objects().iter().map(|o| vec![name(o)]).collect();
                ui.data(&Table::new(["NAME"]).page(&rows))?;
            }
        }
        Ok(())
    }
}

/// What is printed: one object, or a list of them.
#[derive(Debug, Clone)]
pub enum Shape {
    /// One object.
    One(Value),
    /// A list, printed as `kind: List` even when it holds one or none.
    List(Vec<Value>),
}

impl Shape {
    /// One object when there is exactly one, otherwise a list: what a command that makes objects prints.
    pub fn of(mut objects: Vec<Value>) -> Self {
        match (objects.len(), objects.pop()) {
            (1, Some(only)) => Shape::One(only),
            (_, Some(last)) => {
                objects.push(last);
                Shape::List(objects)
            }
            (_, None) => Shape::List(objects),
        }
    }

    fn value(&self) -> Value {
        match self {
            Shape::One(object) => object.clone(),
            Shape::List(items) => {
                json!({"apiVersion": "v1", "kind": "List", "items": items, "metadata": {"resourceVersion": ""}})
            }
        }
    }

    fn objects(&self) -> &[Value] {
        match self {
            Shape::One(object) => std::slice::from_ref(object),
            Shape::List(items) => items,
        }
    }
}

/// `backupsession.core.kubestash.com/demo`, `secret/key`: what other kubectl commands take.
pub fn name(object: &Value) -> String {
    let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let kind = field("/kind").to_lowercase();
    let resource = match field("/apiVersion").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind,
    };
    format!("{resource}/{}", field("/metadata/name"))
}

/// kubectl indents JSON by four.
fn indent_four(text: &str) -> String {
    let mut wide = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        let body = line.trim_start_matches(' ');
        for _ in 0..(line.len() - body.len()) * 2 {
            wide.push(' ');
        }
        wide.push_str(body);
    }
    wide
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_parsed_and_mistakes_explained() {
        assert_eq!(Format::parse("wide").unwrap(), Format::Wide);
        assert!(matches!(
            Format::parse("jsonpath={.metadata.name}").unwrap(),
            Format::JsonPath(_)
        ));
        assert!(matches!(
            Format::parse("custom-columns=A:.a").unwrap(),
            Format::Columns(_)
        ));
        for (text, part) in [
            ("jsonpath", "-o jsonpath='{.items"),
            ("jsonpath=", "needs a template"),
            ("custom-columns=A", "HEADING:.path"),
            ("go-template={{.x}}", "custom-columns=…"),
            ("jsno", "table, wide, json"),
        ] {
            let error = Format::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_what_kubectl_takes() {
        let object = json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "BackupSession", "metadata": {"name": "x"}});
        assert_eq!(name(&object), "backupsession.core.kubestash.com/x");
        assert_eq!(
            name(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})),
            "secret/s"
        );
    }

    #[test]
    fn json_is_indented_by_four() {
        assert_eq!(
            indent_four("{\n  \"a\": [\n    1\n  ]\n}"),
            "{\n    \"a\": [\n        1\n    ]\n}"
        );
    }
}
