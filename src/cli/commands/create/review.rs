//! Before anything is written: every object in full, what would change in those that exist, and what to do with it.

use std::io::Write;
use std::process::Command;

use serde_json::Value;

use super::apply::{kind_of, namespace_of, veiled};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::report::text;
use crate::cli::{manifests, strict};
use crate::cluster::{ApplyOptions, Cluster, Error};
use crate::output::style::Style;
use crate::wizard::credentials::PASSWORD;
use crate::wizard::diff::{self, Line};
use crate::wizard::names;
use crate::wizard::prompter::{Choice, Halt, Prompter, Question, choose};
use crate::wizard::terminal::Terminal;
use crate::yaml;

/// What the person wants.
pub(super) enum Decision {
    /// Write these.
    Apply(Vec<Value>),
    /// They are in a file now.
    Saved,
    /// Ask the last question again.
    Back,
    /// Leave.
    Quit,
}

/// What metadata of an object is the server's business.
const SERVERS: [&str; 7] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "generation",
    "creationTimestamp",
    "finalizers",
    "selfLink",
];

/// Shows everything and asks what to do.
pub(super) async fn review(
    context: &Context,
    cluster: &Cluster,
    person: &mut Terminal,
    objects: Vec<Value>,
) -> Result<Decision, CliError> {
    let mut objects = objects;
    let mut edits = 0;
    loop {
        for object in &objects {
            for line in shown(cluster, object, context.ui.style()).await? {
                person.say(&line);
            }
        }
        match ask(person, &objects)? {
            Some(Decision::Back) => {
                person.forget(edits);
                if edits > 0 {
                    person
                        .say("  What was changed under \"edit\" is gone: the answers make the objects anew.");
                }
                return Ok(Decision::Back);
            }
            Some(decision) => return Ok(decision),
            None => {
                edits += 1;
                objects = edited(context, person, objects)?;
            }
        }
    }
}

/// Asks what to do; `None` is "edit".
fn ask(person: &mut Terminal, objects: &[Value]) -> Result<Option<Decision>, CliError> {
    let choices = [
        Choice::new("apply", "write it to the cluster"),
        Choice::new("save", "write it to a file"),
        Choice::new("edit", "change it in $EDITOR first"),
        Choice::new("back", "to the last question (also Esc)"),
        Choice::new("quit", "change nothing"),
    ];
    let question = Question::new("", "What now", "");
    let chosen = match choose(person, &question, &choices, Some("apply")) {
        Ok(chosen) => chosen,
        Err(Halt::Back) => return Ok(Some(Decision::Back)),
        Err(_) => return Ok(Some(Decision::Quit)),
    };
    match chosen.as_str() {
        "apply" => Ok(Some(Decision::Apply(objects.to_vec()))),
        "back" => {
            // As Esc does: this answer and the one before it go.
            person.forget(2);
            Ok(Some(Decision::Back))
        }
        "edit" => Ok(None),
        "save" => save(person, objects),
        _ => Ok(Some(Decision::Quit)),
    }
}

fn save(person: &mut Terminal, objects: &[Value]) -> Result<Option<Decision>, CliError> {
    let name = objects.last().map_or("kubestash", |o| text(o, "/metadata/name"));
    let secret = objects.iter().any(|o| text(o, "/kind") == "Secret");
    let why = if secret {
        "It will hold the values of the Secret; only you will be able to read it."
    } else {
        ""
    };
    let question = Question::new("", "File", why);
    let free = |path: &str| match std::fs::exists(path) {
        Ok(true) => Err(format!("{path} exists already; it is not overwritten")),
        _ => Ok(String::new()),
    };
    let path = match person.text(&question, Some(&format!("{name}.yaml")), &free) {
        Ok(path) => path,
        Err(Halt::Back) => return Ok(Some(Decision::Back)),
        Err(_) => return Ok(Some(Decision::Quit)),
    };
    let unreadable =
        |e: yaml::Error| CliError::new(Exit::Error, "the objects cannot be written").cause(e.to_string());
    let body = yaml::to_string_multi(objects).map_err(unreadable)?;
    write_private(&path, &body)
        .map_err(|e| CliError::new(Exit::Error, format!("{path} cannot be written")).cause(e.to_string()))?;
    person.say(&format!(
        "  Saved. `kubectl apply -f {path}` writes it to the cluster."
    ));
    let password = format!("/data/{PASSWORD}");
    if objects.iter().any(|o| o.pointer(&password).is_some()) {
        person.say("  It holds the password that encrypts the backups. Whoever loses it loses the data: keep a copy outside the cluster.");
    }
    Ok(Some(Decision::Saved))
}

/// Writes a file that only its owner can read.
fn write_private(path: &str, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}

/// An object as it will be: new in full, changed as a difference, unchanged as one line.
async fn shown(cluster: &Cluster, object: &Value, style: Style) -> Result<Vec<String>, CliError> {
    let kind = kind_of(object)?;
    let (namespace, name) = (namespace_of(object), text(object, "/metadata/name"));
    let title = format!(
        "{} {}",
        kind.kind,
        names::short(namespace.unwrap_or_default(), name, "")
    );
    let before: Option<Value> = match cluster.find(kind, namespace, name).await {
        Err(Error::Forbidden { .. }) => None,
        other => other?,
    };
    let Some(before) = before else {
        let mut lines = vec![
            String::new(),
            format!("{} {}", style.strong(&title), style.good("new")),
        ];
        lines.extend(
            document(object)?
                .lines()
                .map(|l| format!("  {} {l}", style.faint("│"))),
        );
        return Ok(lines);
    };
    // The server knows best what an apply makes of what is there, defaults and other writers' fields included.
    let after = match cluster
        .apply(kind, namespace, name, object, ApplyOptions { dry_run: true })
        .await
    {
        Ok(after) => after,
        Err(Error::Forbidden { .. }) => object.clone(),
        Err(error) => {
            return Err(CliError::from(error).cause(format!("while {title} was tried (server dry run)")));
        }
    };
    let secret_changes = text(object, "/kind") == "Secret" && before.get("data") != after.get("data");
    let (old, new) = (
        document(&bare(&before, object))?,
        document(&bare(&after, object))?,
    );
    let mut lines = vec![String::new()];
    if old == new && !secret_changes {
        lines.push(format!("{} {}", style.strong(&title), style.faint("unchanged")));
        return Ok(lines);
    }
    lines.push(format!("{} {}", style.strong(&title), style.warn("changed")));
    if secret_changes {
        lines.push(format!("  {} the values of the Secret change", style.faint("│")));
    }
    lines.extend(changes(&old, &new, style));
    Ok(lines)
}

fn changes(old: &str, new: &str, style: Style) -> Vec<String> {
    let all = diff::lines(old, new);
    let bar = style.faint("│");
    diff::changes(&all, 2)
        .into_iter()
        .map(|line| match line {
            None => format!("  {bar} {}", style.faint("…")),
            Some(Line::Same(text)) => format!("  {bar}   {text}"),
            Some(Line::Old(text)) => format!("  {bar} {}", style.bad(&format!("- {text}"))),
            Some(Line::New(text)) => format!("  {bar} {}", style.good(&format!("+ {text}"))),
        })
        .collect()
}

/// What a person wrote or could have written.
fn bare(object: &Value, sent: &Value) -> Value {
    let mut object = object.clone();
    object["apiVersion"] = sent["apiVersion"].clone();
    object["kind"] = sent["kind"].clone();
    if let Some(map) = object.as_object_mut() {
        map.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        SERVERS.iter().for_each(|field| {
            metadata.remove(*field);
        });
    }
    object
}

fn document(object: &Value) -> Result<String, CliError> {
    yaml::to_string(&veiled(object))
        .map_err(|e| CliError::new(Exit::Error, "the objects cannot be shown").cause(e.to_string()))
}

/// Lets the person change the objects. Secrets are left out: their values belong into no file.
fn edited(context: &Context, person: &mut Terminal, objects: Vec<Value>) -> Result<Vec<Value>, CliError> {
    let (secrets, others): (Vec<Value>, Vec<Value>) = objects
        .iter()
        .cloned()
        .partition(|o| text(o, "/kind") == "Secret");
    let failed = |cause: String| CliError::new(Exit::Error, "the objects cannot be edited").cause(cause);
    let body = yaml::to_string_multi(&others).map_err(|e| failed(e.to_string()))?;
    let mut file = tempfile::Builder::new()
        .prefix("kubestash-")
        .suffix(".yaml")
        .tempfile()
        .map_err(|e| failed(e.to_string()))?;
    file.write_all(body.as_bytes())
        .map_err(|e| failed(e.to_string()))?;
    let editor = ["VISUAL", "EDITOR"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.trim().is_empty()))
        .unwrap_or_else(|| "vi".to_owned());
    // As a shell would: the variable may hold arguments.
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg("sh")
        .arg(file.path())
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => {
            context
                .ui
                .warn(&format!("{editor} ended with an error; nothing was changed"));
            return Ok(objects);
        }
        Err(error) => {
            context
                .ui
                .warn(&format!("{editor} cannot be started ({error}); set EDITOR"));
            return Ok(objects);
        }
    }
    let text = std::fs::read_to_string(file.path()).map_err(|e| failed(e.to_string()))?;
    match accepted(&text, &others) {
        Ok(changed) => Ok(secrets.into_iter().chain(changed).collect()),
        Err(wrong) => {
            for line in wrong {
                person.say(&format!("  {}", context.ui.style().bad(&line)));
            }
            person.say("  The changes were not taken; edit again to correct them.");
            Ok(objects)
        }
    }
}

/// Reads what was edited: the same kinds, and nothing that their schemas do not know.
fn accepted(text_of_file: &str, before: &[Value]) -> Result<Vec<Value>, Vec<String>> {
    let objects = yaml::values(text_of_file).map_err(|e| vec![e.to_string()])?;
    if objects.is_empty() {
        return Err(vec!["the file holds no objects".to_owned()]);
    }
    let mut wrong = Vec::new();
    for object in &objects {
        let kind = kind_of(object).map_err(|e| vec![e.message])?;
        if !before.iter().any(|b| text(b, "/kind") == kind.kind) {
            wrong.push(format!("{} was not among the objects", kind.kind));
            continue;
        }
        let schema = manifests::schema(kind).map_err(|e| vec![e.to_string()])?;
        let found = strict::check(object, &schema);
        wrong.extend(
            found
                .into_iter()
                .map(|v| format!("{} {}: {}", kind.kind, strict::path(&v.pointer), v.message)),
        );
    }
    if wrong.is_empty() { Ok(objects) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_server_adds_is_no_change() {
        let sent = json!({"apiVersion": "v1", "kind": "X"});
        let stored = json!({"metadata": {"name": "a", "uid": "1", "resourceVersion": "2"}, "spec": {"a": 1}, "status": {}});
        assert_eq!(
            bare(&stored, &sent),
            json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "spec": {"a": 1}})
        );
    }

    #[test]
    fn edits_are_held_to_the_schemas() {
        let policy = json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "RetentionPolicy",
            "metadata": {"name": "a", "namespace": "demo"}, "spec": {"successfulSnapshots": {"daily": 7}}});
        let before = [policy.clone()];
        let text = |change: fn(&mut Value)| {
            let mut object = policy.clone();
            change(&mut object);
            yaml::to_string(&object).unwrap()
        };
        assert!(
            accepted(
                &text(|o| o["spec"]["successfulSnapshots"]["daily"] = json!(3)),
                &before
            )
            .is_ok()
        );
        let wrong = accepted(&text(|o| o["spec"]["dayly"] = json!(3)), &before).unwrap_err();
        assert!(wrong[0].contains("spec.dayly"), "{wrong:?}");
        let wrong = accepted(&text(|o| o["kind"] = json!("Snapshot")), &before).unwrap_err();
        assert!(wrong[0].contains("was not among"), "{wrong:?}");
        assert!(accepted("", &before).is_err());
    }
}
