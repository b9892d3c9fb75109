//! `copy`: a Secret or a VolumeSnapshot into another namespace.
//!
//! A Secret keeps its type and whether it is immutable; one that is there already is not overwritten without `--force`.
//! A VolumeSnapshot is copied as KubeStash's cannot be: over a VolumeSnapshotContent of its own that points at the same
//! snapshot of the storage, so that the copy becomes ready although its volume lives elsewhere.

use serde_json::{Map, Value, json};

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::report;
use crate::cluster::{Cluster, Error, Kind, kinds};
use crate::output::format::{Format, Shape};

/// VolumeSnapshot.
pub const VOLUME_SNAPSHOT: Kind = snapshot_kind("VolumeSnapshot", "volumesnapshots", true);
const VOLUME_SNAPSHOT_CONTENT: Kind = snapshot_kind("VolumeSnapshotContent", "volumesnapshotcontents", false);

const fn snapshot_kind(kind: &'static str, plural: &'static str, namespaced: bool) -> Kind {
    Kind {
        group: "snapshot.storage.k8s.io",
        version: "v1",
        kind,
        plural,
        namespaced,
        short: &[],
    }
}

/// Copy a Secret or a VolumeSnapshot into another namespace
#[derive(Debug, clap::Args)]
pub struct CopyArgs {
    #[command(subcommand)]
    command: CopyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CopyCommand {
    Secret(SecretArgs),
    #[command(name = "volumesnapshot", visible_alias = "vs")]
    VolumeSnapshot(SnapshotArgs),
}

/// Copy a Secret into another namespace
///
/// Examples:
///   kubectl kubestash copy secret s3-keys --to-namespace apps
///   kubectl kubestash cp secret encryption -n demo --to-namespace apps --force
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct SecretArgs {
    /// The Secret
    #[arg(value_name = "SECRET")]
    name: String,
    /// The namespace to copy it into
    #[arg(long, value_name = "NAMESPACE")]
    to_namespace: String,
    /// Replace a Secret of the same name with another content
    #[arg(long)]
    force: bool,
    /// Form of the output: table, json, yaml or name; values are never printed
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// Copy a VolumeSnapshot into another namespace
///
/// The copy has a VolumeSnapshotContent of its own with the policy Retain: deleting the copy leaves the snapshot in the
/// storage, where the original still needs it.
///
/// Examples:
///   kubectl kubestash copy volumesnapshot data-1700000000 --to-namespace apps
///   kubectl kubestash cp volumesnapshot data-1700000000 -n demo --to-namespace apps -o yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct SnapshotArgs {
    /// The VolumeSnapshot
    #[arg(value_name = "VOLUMESNAPSHOT")]
    name: String,
    /// The namespace to copy it into
    #[arg(long, value_name = "NAMESPACE")]
    to_namespace: String,
    /// Form of the output: table, json, yaml, name, jsonpath=… or custom-columns=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// Copies it.
///
/// # Errors
/// When it does not exist, may not be read, or something else has its name there.
pub async fn run(args: &CopyArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.command {
        CopyCommand::Secret(args) => secret(args, context).await,
        CopyCommand::VolumeSnapshot(args) => volume_snapshot(args, context).await,
    }
}

async fn secret(args: &SecretArgs, context: &Context) -> Result<Exit, CliError> {
    let from = context.namespace().await?;
    let cluster = context.cluster().await?;
    places(cluster, from, &args.to_namespace).await?;
    let source: Value = cluster.get(&kinds::SECRET, Some(from), &args.name).await?;
    let copy = secret_copy(&source, &args.name, &args.to_namespace)?;
    let there: Option<Value> = cluster
        .find(&kinds::SECRET, Some(&args.to_namespace), &args.name)
        .await?;
    let (object, word) = match there {
        None => (
            cluster
                .create(&kinds::SECRET, Some(&args.to_namespace), &copy)
                .await?,
            "copied into",
        ),
        Some(there) if same_secret(&there, &copy) => (there, "is there already, with the same content, in"),
        Some(_) if !args.force => {
            return Err(CliError::new(
                Exit::Precondition,
                format!(
                    "Secret {} exists in namespace {} with another content",
                    args.name, args.to_namespace
                ),
            )
            .hint("--force replaces it"));
        }
        Some(there) => (replace(cluster, args, &there, &copy).await?, "replaced in"),
    };
    if args.output.is_table() {
        context.ui.line(&format!(
            "secret/{} {word} namespace {}",
            args.name, args.to_namespace
        ))?;
    } else {
        args.output
            .print(&context.ui, &Shape::One(report::tidy(hidden(object))))?;
    }
    Ok(Exit::Ok)
}

/// Type and immutability cannot be changed: the old Secret goes first.
async fn replace(
    cluster: &Cluster,
    args: &SecretArgs,
    there: &Value,
    copy: &Value,
) -> Result<Value, CliError> {
    let uid = there.pointer("/metadata/uid").and_then(Value::as_str);
    cluster
        .delete_object(&kinds::SECRET, Some(&args.to_namespace), &args.name, uid)
        .await?;
    Ok(cluster
        .create(&kinds::SECRET, Some(&args.to_namespace), copy)
        .await?)
}

/// The copy: labels, annotations, type, immutability and data; nothing that belongs to the place it comes from.
fn secret_copy(source: &Value, name: &str, namespace: &str) -> Result<Value, CliError> {
    let kind = source.get("type").and_then(Value::as_str).unwrap_or("Opaque");
    if kind == "kubernetes.io/service-account-token" {
        return Err(CliError::new(
            Exit::Precondition,
            format!(
                "Secret {name} is the token of a ServiceAccount, which is of no use in another namespace"
            ),
        ));
    }
    let mut copy = json!({
        "apiVersion": "v1", "kind": "Secret", "type": kind,
        "metadata": metadata(source, name, namespace),
    });
    for field in ["data", "immutable"] {
        if let Some(value) = source.get(field) {
            copy[field] = value.clone();
        }
    }
    Ok(copy)
}

fn metadata(source: &Value, name: &str, namespace: &str) -> Value {
    let mut metadata = json!({"name": name});
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    if let Some(labels) = source.pointer("/metadata/labels") {
        metadata["labels"] = labels.clone();
    }
    if let Some(annotations) = source.pointer("/metadata/annotations").and_then(Value::as_object) {
        let kept: Map<String, Value> = annotations
            .iter()
            .filter(|(key, _)| *key != "kubectl.kubernetes.io/last-applied-configuration")
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !kept.is_empty() {
            metadata["annotations"] = Value::Object(kept);
        }
    }
    metadata
}

fn same_secret(there: &Value, copy: &Value) -> bool {
    ["type", "data", "immutable"]
        .iter()
        .all(|field| there.get(field) == copy.get(field))
}

/// A Secret for the screen: the keys without their values.
fn hidden(mut secret: Value) -> Value {
    if let Some(data) = secret.get_mut("data").and_then(Value::as_object_mut) {
        data.values_mut().for_each(|value| *value = json!("<hidden>"));
    }
    secret
}

async fn volume_snapshot(args: &SnapshotArgs, context: &Context) -> Result<Exit, CliError> {
    let from = context.namespace().await?;
    let cluster = context.cluster().await?;
    places(cluster, from, &args.to_namespace).await?;
    let source: Value = cluster
        .get(&VOLUME_SNAPSHOT, Some(from), &args.name)
        .await
        .map_err(no_snapshots)?;
    let content = source
        .pointer("/status/boundVolumeSnapshotContentName")
        .and_then(Value::as_str)
        .filter(|_| source.pointer("/status/readyToUse") == Some(&json!(true)))
        .ok_or_else(|| {
            CliError::new(
                Exit::Precondition,
                format!(
                    "VolumeSnapshot {} in namespace {from} is not ready to use",
                    args.name
                ),
            )
            .hint(format!(
                "`kubectl describe volumesnapshot {} -n {from}` shows what it waits for",
                args.name
            ))
        })?;
    let content: Value = cluster
        .get(&VOLUME_SNAPSHOT_CONTENT, None, content)
        .await
        .map_err(no_snapshots)?;
    let taken: Option<Value> = cluster
        .find(&VOLUME_SNAPSHOT, Some(&args.to_namespace), &args.name)
        .await?;
    if taken.is_some() {
        return Err(CliError::new(
            Exit::Precondition,
            format!(
                "VolumeSnapshot {} exists already in namespace {}",
                args.name, args.to_namespace
            ),
        ));
    }
    let (content, snapshot) = snapshot_copy(&source, &content, &args.name, &args.to_namespace)?;
    let made = cluster.create(&VOLUME_SNAPSHOT_CONTENT, None, &content).await?;
    let made_name = made
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let copied = match cluster
        .create(&VOLUME_SNAPSHOT, Some(&args.to_namespace), &snapshot)
        .await
    {
        Ok(copied) => copied,
        Err(error) => {
            // The content alone is of no use to anybody.
            let uid = made.pointer("/metadata/uid").and_then(Value::as_str);
            cluster
                .delete_object(&VOLUME_SNAPSHOT_CONTENT, None, made_name, uid)
                .await?;
            return Err(error.into());
        }
    };
    if args.output.is_table() {
        context.ui.line(&format!(
            "volumesnapshot.snapshot.storage.k8s.io/{} copied into namespace {}",
            args.name, args.to_namespace
        ))?;
    } else {
        args.output
            .print(&context.ui, &Shape::One(report::tidy(copied)))?;
    }
    Ok(Exit::Ok)
}

/// The VolumeSnapshotContent and the VolumeSnapshot of a copy.
fn snapshot_copy(
    source: &Value,
    content: &Value,
    name: &str,
    namespace: &str,
) -> Result<(Value, Value), CliError> {
    let text = |pointer: &str| {
        content
            .pointer(pointer)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let handle = text("/status/snapshotHandle")
        .or_else(|| text("/spec/source/snapshotHandle"))
        .ok_or_else(|| {
            CliError::new(
                Exit::Precondition,
                format!("VolumeSnapshot {name} has no handle of its storage yet"),
            )
        })?;
    let driver = text("/spec/driver").unwrap_or_default();
    let content_name = crate::decide::naming::bounded(&format!("copy-{namespace}-{name}"), 63);
    let mut spec = json!({
        "deletionPolicy": "Retain", "driver": driver, "source": {"snapshotHandle": handle},
        "volumeSnapshotRef": {"name": name, "namespace": namespace},
    });
    let mut wanted = json!({"source": {"volumeSnapshotContentName": content_name}});
    if let Some(class) = source.pointer("/spec/volumeSnapshotClassName") {
        spec["volumeSnapshotClassName"] = class.clone();
        wanted["volumeSnapshotClassName"] = class.clone();
    }
    if let Some(mode) = content.pointer("/spec/sourceVolumeMode") {
        spec["sourceVolumeMode"] = mode.clone();
    }
    let api = VOLUME_SNAPSHOT.api_version();
    Ok((
        json!({"apiVersion": api, "kind": "VolumeSnapshotContent", "metadata": {"name": content_name}, "spec": spec}),
        json!({"apiVersion": api, "kind": "VolumeSnapshot", "metadata": metadata(source, name, namespace), "spec": wanted}),
    ))
}

fn no_snapshots(error: Error) -> CliError {
    match error {
        Error::UnknownKind { .. } => CliError::new(
            Exit::Precondition,
            "this cluster has no VolumeSnapshots: the CSI snapshot definitions are not installed",
        ),
        other => other.into(),
    }
}

/// The two namespaces must differ, and the other one must exist.
pub(super) async fn places(cluster: &Cluster, from: &str, to: &str) -> Result<(), CliError> {
    if from == to {
        return Err(CliError::usage(format!(
            "it is in namespace {to} already; --to-namespace names another one"
        )));
    }
    let there: Result<Option<Value>, Error> = cluster.find(&kinds::NAMESPACE, None, to).await;
    match there {
        // Who may not look at namespaces is told by the API server when something is created.
        Ok(Some(_)) | Err(Error::Forbidden { .. }) => Ok(()),
        Ok(None) => Err(
            CliError::new(Exit::NothingMatched, format!("namespace {to} does not exist"))
                .hint(format!("`kubectl create namespace {to}` creates it")),
        ),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_keeps_what_makes_it_what_it_is() {
        let source = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "immutable": true, "data": {"tls.key": "YQ=="},
            "metadata": {"name": "s", "namespace": "a", "uid": "u", "resourceVersion": "1", "labels": {"l": "1"}, "ownerReferences": [{"uid": "o"}],
                "annotations": {"a": "1", "kubectl.kubernetes.io/last-applied-configuration": "{}"}}});
        assert_eq!(
            secret_copy(&source, "s", "b").unwrap(),
            json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "immutable": true, "data": {"tls.key": "YQ=="},
                "metadata": {"name": "s", "namespace": "b", "labels": {"l": "1"}, "annotations": {"a": "1"}}})
        );
        let token = json!({"type": "kubernetes.io/service-account-token"});
        assert_eq!(
            secret_copy(&token, "s", "b").unwrap_err().exit,
            Exit::Precondition
        );
        assert_eq!(hidden(source)["data"]["tls.key"], "<hidden>");
    }

    #[test]
    fn a_volume_snapshot_is_copied_over_a_content_of_its_own() {
        let source = json!({"metadata": {"name": "v"}, "spec": {"volumeSnapshotClassName": "c", "source": {"persistentVolumeClaimName": "data"}}});
        let content = json!({"spec": {"driver": "d", "deletionPolicy": "Delete", "sourceVolumeMode": "Filesystem"}, "status": {"snapshotHandle": "h"}});
        let (made, snapshot) = snapshot_copy(&source, &content, "v", "b").unwrap();
        assert_eq!(
            made["spec"]["deletionPolicy"], "Retain",
            "the original keeps its data"
        );
        assert_eq!(made["spec"]["source"]["snapshotHandle"], "h");
        assert_eq!(
            made["spec"]["volumeSnapshotRef"],
            json!({"name": "v", "namespace": "b"})
        );
        assert_eq!(
            snapshot["spec"]["source"]["volumeSnapshotContentName"],
            made["metadata"]["name"]
        );
        assert!(snapshot_copy(&source, &json!({}), "v", "b").is_err());
    }
}
