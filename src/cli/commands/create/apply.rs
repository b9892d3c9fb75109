//! Writing what a wizard made: server-side apply, object by object, with what became of each.

use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::report::{text, tidy};
use crate::cluster::{ApplyOptions, Cluster, Error, Kind, kinds};
use crate::output::format::{self, Format, Shape};
use crate::wizard::credentials::PASSWORD;

/// The kind of an object that a wizard made or a person edited.
///
/// # Errors
/// When this program does not know it.
pub(super) fn kind_of(object: &Value) -> Result<&'static Kind, CliError> {
    let (version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    kinds::of(version, kind).ok_or_else(|| {
        CliError::new(
            Exit::Usage,
            format!("{version} {kind} is no kind that this command applies"),
        )
    })
}

/// Namespace of an object, where it has one.
pub(super) fn namespace_of(object: &Value) -> Option<&str> {
    Some(text(object, "/metadata/namespace")).filter(|n| !n.is_empty())
}

/// An object for eyes and logs: a Secret keeps its keys and loses its values.
pub(super) fn veiled(object: &Value) -> Value {
    let mut object = tidy(object.clone());
    if object.get("kind").and_then(Value::as_str) == Some("Secret") {
        for field in ["data", "stringData"] {
            if let Some(data) = object.get_mut(field).and_then(Value::as_object_mut) {
                data.values_mut().for_each(|value| *value = json!("(not shown)"));
            }
        }
    }
    object
}

/// Applies everything in order; with `dry_run` the server checks and stores nothing.
///
/// # Errors
/// What the server refuses; the error says what was written before.
pub(super) async fn all(
    context: &Context,
    cluster: &Cluster,
    objects: &[Value],
    format: &Format,
    dry_run: bool,
) -> Result<Vec<Value>, CliError> {
    let mut done: Vec<Value> = Vec::new();
    for object in objects {
        let (applied, outcome) = match one(cluster, object, dry_run).await {
            Ok(applied) => applied,
            Err(error) => return Err(half_done(error.into(), object, &done, dry_run)),
        };
        let suffix = if dry_run { " (server dry run)" } else { "" };
        let line = format!("{} {outcome}{suffix}", format::name(&applied));
        if format.is_table() {
            context.ui.line(&line)?;
        } else {
            context.ui.say(&line);
        }
        done.push(veiled(&applied));
    }
    if !format.is_table() {
        print(context, format, done.clone())?;
    }
    Ok(done)
}

/// Prints objects; YAML as a stream of documents, which can be edited and applied by anything.
///
/// # Errors
/// When standard output cannot be written.
pub(super) fn print(context: &Context, format: &Format, objects: Vec<Value>) -> Result<(), CliError> {
    if *format == Format::Yaml {
        let text = crate::yaml::to_string_multi(&objects)
            .map_err(|e| CliError::new(Exit::Error, "the objects cannot be printed").cause(e.to_string()))?;
        context.ui.data(&text)?;
        return Ok(());
    }
    if format.is_table() {
        for object in &objects {
            context.ui.line(&format::name(object))?;
        }
        return Ok(());
    }
    Ok(format.print(&context.ui, &Shape::of(objects))?)
}

fn half_done(error: CliError, object: &Value, done: &[Value], dry_run: bool) -> CliError {
    let what = format!("{} {}", text(object, "/kind"), text(object, "/metadata/name"));
    let error = error.cause(format!("while {what} was applied"));
    if done.is_empty() || dry_run {
        return error;
    }
    let names: Vec<String> = done.iter().map(format::name).collect();
    error.hint(format!(
        "{}; the same command goes on from there",
        match names.as_slice() {
            [one] => format!("{one} was written before it and stays"),
            several => format!("{} were written before it and stay", several.join(", ")),
        }
    ))
}

async fn one(cluster: &Cluster, object: &Value, dry_run: bool) -> Result<(Value, &'static str), Error> {
    let kind = kind_of(object).map_err(|e| Error::Other(e.message))?;
    let (namespace, name) = (namespace_of(object), text(object, "/metadata/name"));
    // A password that encrypts data is never written over: whatever was encrypted with the old one would be lost.
    if object.pointer(&format!("/data/{PASSWORD}")).is_some() {
        let created = if dry_run {
            cluster.dry_run(kind, namespace, object).await
        } else {
            cluster.create(kind, namespace, object).await
        };
        return created.map(|secret| (named(secret, object), "created"));
    }
    let before: Option<Value> = match cluster.find(kind, namespace, name).await {
        // Whoever may create a Secret need not be allowed to read it.
        Err(Error::Forbidden { .. }) => None,
        other => other?,
    };
    let after = cluster
        .apply(kind, namespace, name, object, ApplyOptions { dry_run })
        .await?;
    let version = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
    let outcome = match &before {
        None => "created",
        Some(before) if version(before) == version(&after) => "unchanged",
        Some(_) => "configured",
    };
    Ok((named(after, object), outcome))
}

/// The server's answer with the kind, which some answers leave out.
fn named(mut answer: Value, sent: &Value) -> Value {
    for field in ["apiVersion", "kind"] {
        if answer.get(field).is_none() {
            answer[field] = sent[field].clone();
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_shown_by_their_keys() {
        let secret = json!({"kind": "Secret", "metadata": {"managedFields": []}, "data": {"A": "c2VjcmV0"}});
        assert_eq!(
            veiled(&secret),
            json!({"kind": "Secret", "metadata": {}, "data": {"A": "(not shown)"}})
        );
        let other = json!({"kind": "ConfigMap", "data": {"A": "b"}});
        assert_eq!(veiled(&other), other);
    }

    #[test]
    fn an_error_half_way_says_what_is_there_already() {
        let done = [json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}})];
        let object = json!({"kind": "BackupStorage", "metadata": {"name": "b"}});
        let error = half_done(CliError::new(Exit::Forbidden, "no"), &object, &done, false);
        assert_eq!(error.causes, ["while BackupStorage b was applied"]);
        assert_eq!(
            error.hints,
            ["secret/a was written before it and stays; the same command goes on from there"]
        );
    }
}
