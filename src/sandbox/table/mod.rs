//! Tables: what `kubectl get` shows, made by the server. Columns of CRDs come from the CRD, those of built-in kinds
//! are the ones a real server prints.

mod builtin;
mod cells;
mod jsonpath;
mod lines;
mod pods;
mod workloads;

use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::{Column, Resource};
use super::object;
use super::status::{ApiError, ApiResult};

/// Makes the cells of one object.
type Cells = Box<dyn Fn(&Value) -> Vec<Value>>;

/// A column of a built-in kind: name, type, priority (1 is shown with `-o wide`).
pub(super) struct Heading(pub(super) &'static str, pub(super) &'static str, pub(super) i64);

/// What the rows of a table carry beside their cells (`includeObject` of a request).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Nothing.
    Bare,
    /// Metadata: the default.
    Metadata,
    /// The objects: `kubectl get --sort-by` sorts by their fields.
    Objects,
}

impl Rows {
    /// By its name in a request.
    pub(crate) fn named(name: Option<&str>) -> ApiResult<Self> {
        match name.unwrap_or_default() {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Objects),
            "None" => Ok(Self::Bare),
            other => Err(ApiError::bad_request(format!(
                "unrecognized includeObject value: {other:?}"
            ))),
        }
    }
}

/// The table of some objects; `columns` says whether to send the column definitions.
pub(crate) fn render(
    resource: &Resource,
    objects: &[Arc<Value>],
    metadata: &Value,
    columns: bool,
    rows: Rows,
) -> Value {
    let (headings, cells): (Vec<Value>, Cells) = match resource.custom() {
        Some(custom) => {
            let list = custom.columns.clone();
            let paths: Vec<jsonpath::Path> = list.iter().map(|c| jsonpath::Path::parse(&c.path)).collect();
            let headings =
                std::iter::once(heading("Name", "string", "name", 0, NAME)).chain(list.iter().map(of_custom));
            (
                headings.collect(),
                Box::new(move |object| custom_cells(object, &list, &paths)),
            )
        }
        None => {
            let (list, make) = builtin::columns(resource);
            let headings = list.iter().map(|Heading(name, kind, priority)| {
                let format = if *name == "Name" { "name" } else { "" };
                heading(
                    name,
                    kind,
                    format,
                    *priority,
                    if *name == "Name" { NAME } else { "" },
                )
            });
            (headings.collect(), Box::new(make))
        }
    };
    let lines: Vec<Value> = objects
        .iter()
        .map(|o| {
            let mut row = json!({"cells": cells(o)});
            match rows {
                Rows::Bare => {}
                Rows::Objects => row["object"] = (**o).clone(),
                Rows::Metadata => {
                    row["object"] = json!({
                        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": o["metadata"],
                    });
                }
            }
            row
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": if columns { headings } else { Vec::new() }, "rows": lines,
    })
}

const NAME: &str = "Name must be unique within a namespace.";

fn heading(name: &str, kind: &str, format: &str, priority: i64, description: &str) -> Value {
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

fn of_custom(column: &Column) -> Value {
    heading(
        &column.name,
        &column.kind,
        &column.format,
        column.priority,
        &column.description,
    )
}

fn custom_cells(object: &Value, columns: &[Column], paths: &[jsonpath::Path]) -> Vec<Value> {
    let mut out = vec![json!(object::name(object))];
    for (column, path) in columns.iter().zip(paths) {
        let found = path.find(object);
        out.push(match (column.kind.as_str(), found) {
            (_, None) => Value::Null,
            ("date", Some(value)) => match value.as_str() {
                Some(time) => json!(cells::age(time)),
                None => json!("<invalid>"),
            },
            ("integer", Some(value)) => value.as_i64().map_or(Value::Null, |n| json!(n)),
            ("number", Some(value)) => value.as_f64().map_or(Value::Null, |n| json!(n)),
            ("boolean", Some(Value::Bool(flag))) => json!(flag),
            (_, Some(Value::String(text))) => json!(text),
            (_, Some(value)) => json!(jsonpath::shown(&value)),
        });
    }
    out
}

#[cfg(test)]
mod tests;
