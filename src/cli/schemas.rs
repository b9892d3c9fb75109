//! What `-o json|yaml` promises: for each command a JSON Schema, in `docs/reference/schemas/<command>.json`.
//!
//! A command that prints something of its own has a private view struct (never a type of another room, whose fields
//! would then be promised by accident):
//!
//! ```ignore
//! /// One screen about everything.            <- becomes the description in the schema
//! #[derive(Debug, Serialize, JsonSchema)]
//! #[serde(rename_all = "camelCase")]
//! pub(in crate::cli) struct StatusView { /// The storages.
//!     storages: Vec<StorageView> }
//!
//! impl View for StatusView {
//!     const COMMAND: &'static str = "status";  // the words of the command, joined by dashes: the name of the file
//!     const KIND: &'static str = "Status";
//! }
//! ```
//!
//! and prints it with [`print`], which puts `apiVersion` and `kind` in front, so that whoever reads it sees which promise
//! it was made under. Then its line goes into [`ALL`]: `view::<StatusView>()`, or [`objects`] for a command that prints
//! Kubernetes objects as the API server has them. Tests hold the files to the code (`UPDATE=1 cargo test --lib schemas`
//! writes them) and every command with `-o` to have one; `world().valid("status", &output)` in `tests/cli` holds a real
//! output to its file, strictly: a field that the file does not name is an error there.
//!
//! Within one version a schema only ever grows: fields are added, never removed, renamed or given another meaning.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::commands;
use super::context::Context;
use super::error::{CliError, Exit};
use crate::cluster::{Kind, kinds};
use crate::output::format::{Format, Shape};

/// The version of all promises below, as outputs carry it.
pub const VERSION: &str = "cli.kubestash.com/v1alpha1";

/// What a command prints with `-o json|yaml` that is no Kubernetes object.
pub trait View: Serialize + JsonSchema {
    /// The words of the command, joined by dashes.
    const COMMAND: &'static str;
    /// `kind` of the output.
    const KIND: &'static str;
}

/// A published shape.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// The name of its file without `.json`: the command's words, joined by dashes.
    pub command: &'static str,
    shape: Source,
}

#[derive(Debug, Clone, Copy)]
enum Source {
    View(fn() -> Value),
    Objects(&'static str, &'static [&'static Kind]),
}

/// Every published shape. Sorted by name, so that two who add to it rarely meet.
pub const ALL: &[Published] = &[
    objects(
        "backup-cancel",
        "The BackupSessions that were ended.",
        &[&kinds::BACKUP_SESSION],
    ),
    objects(
        "backup-list",
        "The BackupSessions, newest first.",
        &[&kinds::BACKUP_SESSION],
    ),
    objects("backup-now", MADE, &[&kinds::BACKUP_SESSION]),
    objects("backup-retry", MADE, &[&kinds::BACKUP_SESSION]),
    view::<commands::backup::show::BackupView>(),
    objects(
        "copy-secret",
        "The copy, with its values hidden.",
        &[&kinds::SECRET],
    ),
    objects(
        "copy-volumesnapshot",
        "The copy.",
        &[&commands::copy::VOLUME_SNAPSHOT],
    ),
    lines::<super::follow::events::Event>("events"),
    objects(
        "pause",
        "The BackupConfigurations that were paused.",
        &[&kinds::BACKUP_CONFIGURATION],
    ),
    objects(
        "resume",
        "The BackupConfigurations that were resumed.",
        &[&kinds::BACKUP_CONFIGURATION],
    ),
    objects(
        "create-backup",
        "What was applied: the encryption Secret (without its values) and the RetentionPolicy where they are new, and the \
         BackupConfiguration. With --dry-run=client what would be applied, the values of the Secret included.",
        &[
            &kinds::SECRET,
            &kinds::RETENTION_POLICY,
            &kinds::BACKUP_CONFIGURATION,
        ],
    ),
    objects(
        "create-restore",
        "The RestoreSession that was made.",
        &[&kinds::RESTORE_SESSION],
    ),
    objects(
        "create-retention",
        "The RetentionPolicy that was applied.",
        &[&kinds::RETENTION_POLICY],
    ),
    objects(
        "create-storage",
        "What was applied: the Secret with the credentials (without its values) where it is new, and the BackupStorage. With \
         --dry-run=client what would be applied, the values of the Secret included.",
        &[&kinds::SECRET, &kinds::BACKUP_STORAGE],
    ),
    view::<commands::doctor::DoctorView>(),
    objects(
        "install",
        "What was applied, in its order; with --dry-run=client what would be.",
        &[
            &kinds::CRD,
            &kinds::ADDON,
            &kinds::FUNCTION,
            &kinds::NAMESPACE,
            &kinds::SERVICE_ACCOUNT,
            &kinds::CLUSTER_ROLE,
            &kinds::CLUSTER_ROLE_BINDING,
            &kinds::ROLE,
            &kinds::ROLE_BINDING,
            &kinds::SERVICE,
            &kinds::MUTATING_WEBHOOKS,
            &kinds::VALIDATING_WEBHOOKS,
            &kinds::DEPLOYMENT,
        ],
    ),
    view::<commands::manifest::restore::ManifestRestore>(),
    view::<commands::manifest::view::ManifestTree>(),
    view::<commands::repo::check::RepositoryCheck>(),
    view::<commands::repo::key::RepositoryKeys>(),
    objects("repo-list", "The Repositories.", &[&kinds::REPOSITORY]),
    view::<commands::repo::list::RepositoryView>(),
    view::<commands::repo::unlock::RepositoryLocks>(),
    objects(
        "restore",
        "The RestoreSession that was made; with --wait as it is at its end.",
        &[&kinds::RESTORE_SESSION],
    ),
    view::<commands::restore::preview::RestorePlan>(),
    #[cfg(target_os = "linux")]
    view::<commands::sandbox::status::SandboxStatus>(),
    view::<commands::snapshot::diff::SnapshotDiff>(),
    view::<commands::snapshot::download::Downloaded>(),
    view::<commands::snapshot::find::FoundFiles>(),
    view::<commands::snapshot::history::FileHistory>(),
    objects(
        "convert",
        "The manifests that were made, as a List.",
        &[
            &kinds::BACKUP_STORAGE,
            &kinds::BACKUP_CONFIGURATION,
            &kinds::BACKUP_BLUEPRINT,
            &kinds::RESTORE_SESSION,
            &kinds::HOOK_TEMPLATE,
            &kinds::RETENTION_POLICY,
            &kinds::SECRET,
        ],
    ),
    view::<commands::convert::Report>(),
    objects("snapshot-list", "The Snapshots.", &[&kinds::SNAPSHOT]),
    view::<commands::snapshot::ls::SnapshotFiles>(),
    view::<commands::snapshot::show::SnapshotView>(),
    view::<commands::status::StatusView>(),
    view::<commands::uninstall::UninstallView>(),
    view::<commands::validate::Validation>(),
    view::<commands::version::VersionView>(),
    view::<commands::why::WhyView>(),
    objects("trigger", MADE, &[&kinds::BACKUP_SESSION]),
];

/// What is said of commands that make BackupSessions.
const MADE: &str = "The BackupSessions that were made; with --wait as they are at their end.";

/// Publishes the lines of a stream (`--events json`): each is one document of this shape.
pub const fn lines<T: JsonSchema>(name: &'static str) -> Published {
    Published {
        command: name,
        shape: Source::View(plain::<T>),
    }
}

/// Publishes a view.
pub const fn view<V: View>() -> Published {
    Published {
        command: V::COMMAND,
        shape: Source::View(schema_of::<V>),
    }
}

/// Publishes Kubernetes objects of these kinds: one object when there is exactly one and the command makes or names
/// objects, otherwise a `List` of them.
pub const fn objects(
    command: &'static str,
    about: &'static str,
    kinds: &'static [&'static Kind],
) -> Published {
    Published {
        command,
        shape: Source::Objects(about, kinds),
    }
}

impl Published {
    /// The JSON Schema (draft 2020-12).
    pub fn schema(&self) -> Value {
        let schema = match self.shape {
            Source::View(make) => make(),
            Source::Objects(about, kinds) => list_of(about, kinds),
        };
        let mut all = Map::new();
        all.insert(
            "$schema".to_owned(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        all.insert(
            "title".to_owned(),
            json!(format!("kubectl kubestash {}", self.command.replace('-', " "))),
        );
        if let Value::Object(fields) = schema {
            for (key, value) in fields {
                all.entry(key).or_insert(value);
            }
        }
        Value::Object(all)
    }
}

/// Prints a view in the form asked for: `apiVersion`, `kind`, then its fields.
///
/// # Errors
/// When standard output cannot be written; a usage error with `-o name`, as a view has no name.
pub fn print<V: View>(context: &Context, format: &Format, view: &V) -> Result<(), CliError> {
    if matches!(format, Format::Name) {
        return Err(CliError::usage(
            "this output has no names; use -o json, yaml or jsonpath=…",
        ));
    }
    Ok(format.print(&context.ui, &Shape::One(value(view)?))?)
}

/// A view as a value, with `apiVersion` and `kind`.
///
/// # Errors
/// When it cannot be a JSON value.
pub fn value<V: View>(view: &V) -> Result<Value, CliError> {
    let fields = serde_json::to_value(view)
        .map_err(|e| CliError::new(Exit::Error, "the output cannot be written").cause(e.to_string()))?;
    let mut all = Map::new();
    all.insert("apiVersion".to_owned(), json!(VERSION));
    all.insert("kind".to_owned(), json!(V::KIND));
    if let Value::Object(fields) = fields {
        all.extend(fields);
    }
    Ok(Value::Object(all))
}

/// The schema of what is serialized (not of what could be read), with `apiVersion` and `kind`.
fn schema_of<V: View>() -> Value {
    let mut schema = plain::<V>();
    let Some(fields) = schema.as_object_mut() else {
        return schema;
    };
    if let Value::Object(properties) = fields.entry("properties").or_insert_with(|| json!({})) {
        properties.insert(
            "apiVersion".to_owned(),
            json!({"const": VERSION, "description": "The version of this promise."}),
        );
        properties.insert("kind".to_owned(), json!({"const": V::KIND}));
    }
    if let Value::Array(required) = fields.entry("required").or_insert_with(|| json!([])) {
        required.insert(0, json!("kind"));
        required.insert(0, json!("apiVersion"));
    }
    schema
}

/// The schema of a type as it is serialized.
fn plain<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .for_serialize()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// Objects as the API server has them: what identifies them is promised here, the rest by the API reference.
fn list_of(about: &str, kinds: &[&Kind]) -> Value {
    let object: Vec<Value> = kinds
        .iter()
        .map(|kind| {
            json!({
                "type": "object",
                "description": format!("A {} as docs/reference/api.md has it.", kind.kind),
                "required": ["apiVersion", "kind", "metadata"],
                "properties": {
                    "apiVersion": {"const": kind.api_version()},
                    "kind": {"const": kind.kind},
                    "metadata": {
                        "type": "object", "required": ["name"], "additionalProperties": true,
                        "properties": {"name": {"type": "string"}, "namespace": {"type": "string"}},
                    },
                },
                "additionalProperties": true,
            })
        })
        .collect();
    json!({
        "description": about,
        "oneOf": [
            {"$ref": "#/$defs/Object"},
            {
                "type": "object",
                "required": ["apiVersion", "kind", "items"],
                "properties": {
                    "apiVersion": {"const": "v1"},
                    "kind": {"const": "List"},
                    "items": {"type": "array", "items": {"$ref": "#/$defs/Object"}},
                    "metadata": {"type": "object", "additionalProperties": true},
                },
            },
        ],
        "$defs": {"Object": {"oneOf": object}},
    })
}

#[cfg(test)]
mod tests;
