//! `install`: definitions, catalog and operator by server-side apply, then a wait until backups can be made.
//!
//! The order works on an empty cluster: definitions first and served, then the catalog (which no webhook guards), then
//! the operator with its webhooks. Running it again changes only what differs.

pub(in crate::cli) mod ready;

use std::time::Duration;

use clap::ValueEnum;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::manifests::{self, Manifests};
use crate::cluster::{ApplyOptions, Cluster, Error, kinds};
use crate::output::format::{self, Format, Shape};
use crate::output::human;
use crate::output::ui::Progress;

/// How many objects of one step are applied at a time.
const AT_ONCE: usize = 8;

/// Install the operator, its definitions and its catalog
///
/// Safe to run again: it changes only what differs. The namespace is `kubestash` unless -n names another.
///
/// Examples:
///   kubectl kubestash install
///   kubectl kubestash install --image registry.example.com/kubestash:0.1.0
///   kubectl kubestash install --dry-run=client -o yaml > kubestash.yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct InstallArgs {
    /// Image of the operator and of every Job
    #[arg(long, value_name = "IMAGE", default_value = crate::IMAGE)]
    image: String,
    /// With `client`, print what would be applied and change nothing
    #[arg(long, value_name = "none|client", default_value = "none")]
    dry_run: DryRun,
    /// How long to wait until everything is ready
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "5m")]
    timeout: Duration,
    /// Form of the output: table, json, yaml, name, jsonpath=… or custom-columns=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse)]
    output: Option<Format>,
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DryRun {
    /// Apply.
    None,
    /// Print only.
    Client,
}

/// Installs, or prints what it would install.
///
/// # Errors
/// When an object is refused, or something is not ready in time.
pub async fn run(args: &InstallArgs, context: &Context) -> Result<Exit, CliError> {
    if args.image.trim().is_empty() {
        return Err(CliError::usage("--image names no image"));
    }
    if context.flags.all_namespaces {
        return Err(CliError::usage(
            "the operator is installed in one namespace; use -n instead of -A",
        ));
    }
    let namespace = context.flags.namespace.as_deref().unwrap_or(manifests::NAMESPACE);
    let manifests = Manifests::new(namespace, &args.image).map_err(|e| {
        CliError::new(Exit::Error, "the manifests of this program cannot be read").cause(e.to_string())
    })?;
    if args.dry_run == DryRun::Client {
        let format = args.output.clone().unwrap_or(Format::Yaml);
        print(&format, context, manifests.all())?;
        return Ok(Exit::Ok);
    }
    let started = std::time::Instant::now();
    let format = args.output.clone().unwrap_or(Format::Table);
    let applied =
        match tokio::time::timeout(args.timeout, install(context, namespace, &manifests, &format)).await {
            Ok(applied) => applied?,
            Err(_) => return Err(ready::late(context, namespace, args.timeout).await),
        };
    if !format.is_table() {
        print(&format, context, applied)?;
    }
    let style = context.ui.style();
    let took = human::go_duration(started.elapsed());
    context.ui.say(&style.good(&format!(
        "KubeStash {} is ready in namespace {namespace} ({took}).",
        env!("CARGO_PKG_VERSION")
    )));
    context.ui.say(
        "Next: `kubectl kubestash create storage`, then `kubectl kubestash create backup`; `kubectl kubestash status` looks at it all.",
    );
    Ok(Exit::Ok)
}

fn print(format: &Format, context: &Context, objects: Vec<Value>) -> Result<(), CliError> {
    // A stream of documents can be applied by anything; a List cannot be edited as easily.
    if *format == Format::Yaml {
        let text = crate::yaml::to_string_multi(&objects).map_err(|e| {
            CliError::new(Exit::Error, "the manifests cannot be printed").cause(e.to_string())
        })?;
        context.ui.data(&text)?;
        return Ok(());
    }
    Ok(format.print(&context.ui, &Shape::List(objects))?)
}

async fn install(
    context: &Context,
    namespace: &str,
    manifests: &Manifests,
    format: &Format,
) -> Result<Vec<Value>, CliError> {
    let cluster = context.cluster().await?;
    let progress = context.ui.progress();
    let mut applied = Vec::new();
    progress.tick("applying the definitions");
    applied.extend(apply(cluster, &manifests.definitions, &progress, format).await?);
    progress.tick("waiting until the definitions are served");
    ready::definitions(cluster, &manifests.definitions).await?;
    // The namespace first, alone; everything else in it can then be applied at once.
    let (first, rest) = manifests.operator.split_at(1);
    applied.extend(apply(cluster, &manifests.catalog, &progress, format).await?);
    applied.extend(apply(cluster, first, &progress, format).await?);
    applied.extend(apply(cluster, rest, &progress, format).await?);
    ready::operator(cluster, namespace, &progress).await?;
    ready::webhooks(cluster, namespace, &progress).await?;
    Ok(applied)
}

/// Applies one step, several objects at a time, and says in order what became of each.
async fn apply(
    cluster: &Cluster,
    objects: &[Value],
    progress: &Progress<'_>,
    format: &Format,
) -> Result<Vec<Value>, CliError> {
    let mut results = stream::iter(objects)
        .map(|object| one(cluster, object))
        .buffered(AT_ONCE);
    let mut applied = Vec::new();
    while let Some((object, outcome)) = results.try_next().await? {
        let line = format!("{} {outcome}", format::name(&object));
        if format.is_table() {
            progress.line(&line)?;
        } else {
            progress.say(&line);
        }
        applied.push(object);
    }
    Ok(applied)
}

/// Applies one object and tells whether it was created, configured or left as it was.
async fn one(cluster: &Cluster, object: &Value) -> Result<(Value, &'static str), CliError> {
    let field = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let (version, kind_name, name) = (field("/apiVersion"), field("/kind"), field("/metadata/name"));
    let kind = kinds::of(version, kind_name).ok_or_else(|| {
        CliError::new(
            Exit::Error,
            format!("this program does not know {version} {kind_name}"),
        )
    })?;
    let namespace = Some(field("/metadata/namespace")).filter(|n| !n.is_empty());
    let explain = |error: Error| {
        let forbidden = matches!(error, Error::Forbidden { .. });
        let error = CliError::from(error).cause(format!("while {kind_name} {name} was applied"));
        if forbidden {
            CliError {
                hints: vec!["installing needs the rights of a cluster administrator".to_owned()],
                ..error
            }
        } else {
            error
        }
    };
    let before: Option<Value> = cluster.find(kind, namespace, name).await.map_err(explain)?;
    let after = cluster
        .apply(kind, namespace, name, object, ApplyOptions::default())
        .await
        .map_err(explain)?;
    let version_of = |object: &Value| object.pointer("/metadata/resourceVersion").cloned();
    let outcome = match before {
        None => "created",
        Some(before) if version_of(&before) == version_of(&after) => "unchanged",
        Some(_) => "configured",
    };
    let mut after = after;
    if let Some(metadata) = after.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Ok((after, outcome))
}
