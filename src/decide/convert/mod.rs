//! Stash's manifests (`stash.appscode.com`) become KubeStash's: pure, offline, field by field.
//!
//! [`convert`] takes every object that was given, so that one can explain another (a Repository its storage Secret, a
//! BackupConfiguration the Deployment it backs up), and answers with manifests and with [`Note`]s. The promise is that
//! nothing is lost in silence: each field of a Stash object is consumed through [`section::Section`], which notes where
//! it went, and what nobody consumed is noted as not carried when the section ends. A value that only a person can know
//! is never invented: the field is left out, so that the API server refuses the object until somebody has filled it in,
//! and a note says what belongs there.
//!
//! What differs from KubeStash's own `convert` on purpose: `apiVersion` is looked at; claims, VolumeSnapshotter, batches
//! and restore rules are converted; two configurations that shared one Stash Repository get Repositories of their own
//! (one Repository of KubeStash belongs to one application); RetentionPolicies are put where the configuration that
//! uses them may use them; the old restic repository is never written into.

mod annotated;
mod backend;
mod backup_blueprint;
mod backup_configuration;
mod hooks;
mod known;
mod note;
mod repository;
mod restore_session;
mod retention;
mod runtime;
mod section;
mod session;
mod target;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::{Map, Value, json};

use self::known::Known;
use self::note::Scope;
pub use self::note::{Level, Note, ObjectName};

/// The API group of Stash's kinds.
pub const STASH_GROUP: &str = "stash.appscode.com";

/// What the user decides.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Namespace of objects that name none.
    pub namespace: String,
    /// Name of the Secret with RESTIC_PASSWORD, for every repository; one Secret for each Stash Repository when absent.
    pub encryption_secret_name: Option<String>,
    /// Namespace of that Secret; that of the Stash Repository when absent.
    pub encryption_secret_namespace: Option<String>,
    /// What converted RestoreSessions restore: `latest` or the name of a Snapshot; left to be filled in when absent.
    pub snapshot: Option<String>,
}

/// A manifest, and which of the inputs it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// Index of the input.
    pub input: usize,
    /// The object.
    pub object: Value,
}

/// What came of the inputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversion {
    /// The manifests, in an order in which they can be applied within each input.
    pub outputs: Vec<Output>,
    /// What became of every field.
    pub notes: Vec<Note>,
    /// How many objects of Stash there were.
    pub converted: usize,
    /// How many objects were none of Stash's, or records of what has happened, and were passed over.
    pub passed_over: usize,
}

/// Converts all objects. `inputs` are whole manifests; lists are opened by the caller.
#[must_use]
pub fn convert(inputs: &[Value], options: &Options) -> Conversion {
    let known = Known::new(inputs, options);
    let mut all = Conversion::default();
    for (index, object) in inputs.iter().enumerate() {
        let scope = Scope::new(index, name_of(object, &options.namespace));
        let made = one(&scope, object, &known, &mut all);
        all.notes.extend(scope.into_notes());
        for object in made {
            add(&mut all, index, object);
        }
    }
    all
}

/// Converts one object, whatever it is.
fn one(scope: &Scope, object: &Value, known: &Known<'_>, all: &mut Conversion) -> Vec<Value> {
    let version = text(object, "/apiVersion");
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    if group != STASH_GROUP {
        all.passed_over += 1;
        annotated::look(scope, object, known);
        return Vec::new();
    }
    let kind = text(object, "/kind");
    if kind == "BackupSession" {
        // A record of what has happened, made by the operator.
        all.passed_over += 1;
        return Vec::new();
    }
    all.converted += 1;
    let wanted = if kind == "Repository" {
        "v1alpha1"
    } else {
        "v1beta1"
    };
    if known.given_before(scope.input(), object) {
        scope.not_carried("", "the same object was given before; the first one counts", "");
        return Vec::new();
    }
    match kind {
        "Repository"
        | "BackupConfiguration"
        | "BackupBatch"
        | "BackupBlueprint"
        | "RestoreSession"
        | "RestoreBatch"
            if version != wanted =>
        {
            scope.not_carried(
                "/apiVersion",
                &format!("{kind} is known as {STASH_GROUP}/{wanted}"),
                &format!("write it as {wanted} and convert again"),
            );
            Vec::new()
        }
        "Repository" => repository::convert(scope, object, known),
        "BackupConfiguration" => backup_configuration::convert(scope, object, known),
        "BackupBatch" => backup_configuration::convert_batch(scope, object, known),
        "BackupBlueprint" => backup_blueprint::convert(scope, object, known),
        "RestoreSession" => restore_session::convert(scope, object, known),
        "RestoreBatch" => restore_session::convert_batch(scope, object, known),
        _ => {
            scope.not_carried(
                "",
                &format!("KubeStash has no counterpart of {kind}"),
                "a Task of your own becomes an Addon with its Functions: see docs/reference/api.md",
            );
            Vec::new()
        }
    }
}

/// Adds a manifest unless the very same one is there already.
fn add(all: &mut Conversion, input: usize, object: Value) {
    if !all.outputs.iter().any(|output| output.object == object) {
        all.outputs.push(Output { input, object });
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

/// Kinds of Stash that live in no namespace.
const CLUSTER_SCOPED: [&str; 3] = ["BackupBlueprint", "Function", "Task"];

/// What an object is called, with the namespace it lives in.
fn name_of(object: &Value, default_namespace: &str) -> ObjectName {
    let namespace = match text(object, "/metadata/namespace") {
        _ if CLUSTER_SCOPED.contains(&text(object, "/kind")) => "",
        "" => default_namespace,
        given => given,
    };
    ObjectName {
        kind: text(object, "/kind").to_owned(),
        namespace: namespace.to_owned(),
        name: text(object, "/metadata/name").to_owned(),
    }
}

/// A manifest with the parts of the source's metadata that are the user's own.
fn manifest(
    group: &str,
    kind: &str,
    (namespace, name): (&str, &str),
    source: Option<&Value>,
    spec: impl Serialize,
) -> Value {
    let mut metadata = json!({"name": name, "namespace": namespace});
    for field in ["labels", "annotations"] {
        let own: Map<String, Value> = source
            .and_then(|object| object.pointer(&format!("/metadata/{field}")))
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter(|(key, _)| is_users_own(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !own.is_empty() {
            metadata[field] = Value::Object(own);
        }
    }
    let mut spec = serde_json::to_value(spec).unwrap_or_default();
    drop_nulls(&mut spec);
    json!({"apiVersion": format!("{group}/v1alpha1"), "kind": kind, "metadata": metadata, "spec": spec})
}

/// Whether a label or annotation is the user's, and not a mark of the tool that applied the old object: copied, such a
/// mark would make that tool believe that the new object is its own.
fn is_users_own(key: &str) -> bool {
    const MARKS: [&str; 9] = [
        "kubectl.kubernetes.io/",
        "meta.helm.sh/",
        "helm.sh/",
        "app.kubernetes.io/managed-by",
        "argocd.argoproj.io/",
        "kustomize.toolkit.fluxcd.io/",
        "helm.toolkit.fluxcd.io/",
        "stash.appscode.com/",
        "deployment.kubernetes.io/",
    ];
    !MARKS.iter().any(|mark| key.starts_with(mark))
}

/// The API server drops nulls; a file is clearer without them.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
