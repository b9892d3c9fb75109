//! `uninstall`: takes the operator out of a cluster. Backups are never touched: it begins by saying what stays in the
//! backends. Webhooks go first, so that nothing is refused for want of an operator; what waits for a finalizer of ours
//! is let go, because nobody is left to do what it waits for.

mod inventory;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use self::inventory::{Inventory, Stays};
use crate::api::labels;
use crate::cli::confirm::Confirmation;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::manifests::{self, Manifests};
use crate::cli::report::text;
use crate::cli::schemas::{self, View};
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds};
use crate::output::format::{self, Format};
use crate::output::human;
use crate::output::ui::Progress;

/// How often the cluster is looked at while something ends.
const EVERY: Duration = Duration::from_millis(300);

/// Remove the operator; backups stay where they are
///
/// First shows what stays in the backends and what will be removed. The definitions and your objects stay too, so
/// that installing again goes on where it was; `--all` removes them as well. Data in backends is never wiped, whatever
/// deletionPolicy or wipeOut say.
///
/// Examples:
///   kubectl kubestash uninstall --dry-run=client
///   kubectl kubestash uninstall --all --yes
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct UninstallArgs {
    /// Also remove the definitions, and with them all BackupStorages, BackupConfigurations, Snapshots …
    #[arg(long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Also while backups or restores run
    #[arg(long)]
    force: bool,
    /// With `client`, show what would be removed and change nothing
    #[arg(long, value_name = "none|client", default_value = "none")]
    dry_run: DryRun,
    /// How long to wait until everything is gone
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "3m")]
    timeout: Duration,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum DryRun {
    /// Remove.
    None,
    /// Show only.
    Client,
}

/// What stays and what was removed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UninstallView {
    /// What stays in the backends.
    stays: Vec<Stays>,
    /// What was removed (with `--dry-run`, would be), as `kind.group/name`, with `-n namespace` where it has one.
    removed: Vec<String>,
    /// Whether nothing was changed.
    dry_run: bool,
}

impl View for UninstallView {
    const COMMAND: &'static str = "uninstall";
    const KIND: &'static str = "Uninstall";
}

/// Removes the installation.
///
/// # Errors
/// When something runs, nobody confirms, or the cluster refuses.
pub async fn run(args: &UninstallArgs, context: &Context) -> Result<Exit, CliError> {
    let cluster = context.cluster().await?;
    let inventory = Inventory::read(cluster).await?;
    let namespace = match (&context.flags.namespace, inventory.operators.as_slice()) {
        (Some(namespace), _) => namespace.clone(),
        (None, [one]) => text(one, "/metadata/namespace").to_owned(),
        (None, []) => manifests::NAMESPACE.to_owned(),
        (None, several) => {
            let places: Vec<&str> = several.iter().map(|d| text(d, "/metadata/namespace")).collect();
            return Err(CliError::usage(format!(
                "there are operators in the namespaces {}; choose one with -n",
                places.join(", ")
            )));
        }
    };
    let objects = inventory.to_remove(cluster, &namespace, args.all).await?;
    let stays = inventory.stays();
    if objects.is_empty() {
        context
            .ui
            .say("KubeStash is not installed: there is nothing to remove.");
    }
    let dry_run = args.dry_run == DryRun::Client;
    if args.output.is_table() {
        show(context, &stays, &objects, args.all)?;
    }
    if !dry_run && !objects.is_empty() {
        inventory.refuse_while_running(args.force)?;
        Confirmation {
            word: "yes",
            verb: "remove it",
            otherwise: "nothing was removed",
        }
        .ask(args.yes, context)?;
        let work = remove(context, cluster, &objects, args.all);
        tokio::time::timeout(args.timeout, work)
            .await
            .map_err(|_| late(args))??;
        context.ui.say(&format!(
            "KubeStash is removed. The namespace {namespace} stays, as it may hold what is yours; `kubectl delete namespace {namespace}` removes it."
        ));
    }
    if !args.output.is_table() {
        let removed = objects.iter().map(called).collect();
        let view = UninstallView {
            stays,
            removed,
            dry_run,
        };
        schemas::print(context, &args.output, &view)?;
    }
    Ok(Exit::Ok)
}

fn late(args: &UninstallArgs) -> CliError {
    CliError::new(
        Exit::TimedOut,
        format!(
            "not everything is gone within {}",
            human::go_duration(args.timeout)
        ),
    )
    .hint("run the same command again: it goes on where it was")
}

/// `kind.group/name`, with the namespace.
fn called(object: &Value) -> String {
    match text(object, "/metadata/namespace") {
        "" => format::name(object),
        namespace => format!("{} -n {namespace}", format::name(object)),
    }
}

fn show(context: &Context, stays: &[Stays], objects: &[Value], all: bool) -> Result<(), CliError> {
    let style = context.ui.style();
    if stays.is_empty() {
        context
            .ui
            .say("No BackupStorage is defined, so nothing is known to stay in a backend.");
    } else {
        context
            .ui
            .say(&style.strong("What stays in the backends, untouched:"));
        for stay in stays {
            context.ui.say(&format!("  {}", stay.sentence()));
        }
        if all {
            context.ui.say(
                "  A new BackupStorage of the same place finds its Snapshots again; keep the encryption Secrets: without their passwords the data cannot be read.",
            );
        }
    }
    if !objects.is_empty() {
        context.ui.say(&style.strong("What is removed from the cluster:"));
    }
    for object in objects {
        context.ui.line(&called(object))?;
    }
    Ok(())
}

/// Removes everything in its order.
async fn remove(context: &Context, cluster: &Cluster, objects: &[Value], all: bool) -> Result<(), CliError> {
    let progress = context.ui.progress();
    for object in objects {
        let (kind, namespace, name) = place(object)?;
        progress.tick(&format!("removing {}", format::name(object)));
        if all && *kind == kinds::CRD {
            release(cluster, name, &progress).await?;
        }
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
        cluster.delete_object(kind, namespace, name, uid).await?;
        if matches!(kind.kind, "Deployment" | "CustomResourceDefinition") {
            gone(cluster, kind, namespace, name, &progress).await?;
        }
    }
    Ok(())
}

fn place(object: &Value) -> Result<(&'static Kind, Option<&str>, &str), CliError> {
    let (version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    let kind = kinds::of(version, kind).ok_or_else(|| {
        CliError::new(
            Exit::Error,
            format!("this program does not know {version} {kind}"),
        )
    })?;
    let namespace = Some(text(object, "/metadata/namespace")).filter(|n| !n.is_empty());
    Ok((kind, namespace, text(object, "/metadata/name")))
}

/// Lets the objects of a definition go: their finalizers wait for an operator that is gone, and what they would do
/// (wiping data, above all) must not be done.
async fn release(cluster: &Cluster, definition: &str, progress: &Progress<'_>) -> Result<(), CliError> {
    let Some(kind) = kinds::ALL
        .iter()
        .find(|k| format!("{}.{}", k.plural, k.group) == definition)
    else {
        return Ok(());
    };
    let objects: Vec<Value> = match cluster.list(kind, &ListOptions::default()).await {
        Ok(objects) => objects,
        Err(Error::UnknownKind { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for object in objects {
        let finalizers: Vec<&str> = object
            .pointer("/metadata/finalizers")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let others: Vec<&&str> = finalizers.iter().filter(|f| !is_ours(f)).collect();
        if others.len() == finalizers.len() {
            continue;
        }
        let namespace = Some(text(&object, "/metadata/namespace")).filter(|n| !n.is_empty());
        let name = text(&object, "/metadata/name");
        progress.tick(&format!("releasing {} {name}", kind.kind));
        let patch = json!({"metadata": {"finalizers": others}});
        match cluster.merge(kind, namespace, name, &patch).await {
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_ours(finalizer: &str) -> bool {
    finalizer == labels::FINALIZER
        || finalizer
            .split('/')
            .next()
            .is_some_and(|d| d.ends_with("kubestash.com"))
}

/// Waits until an object is gone, and with a Deployment its pods, so that no operator acts any more.
async fn gone(
    cluster: &Cluster,
    kind: &Kind,
    namespace: Option<&str>,
    name: &str,
    progress: &Progress<'_>,
) -> Result<(), CliError> {
    loop {
        let object: Option<Value> = cluster.find(kind, namespace, name).await?;
        let pods: Vec<Value> = if *kind == kinds::DEPLOYMENT {
            let options = ListOptions::of(namespace.unwrap_or_default())
                .labelled("app.kubernetes.io/name=kubestash-operator");
            cluster.list(&kinds::POD, &options).await?
        } else {
            Vec::new()
        };
        if object.is_none() && pods.is_empty() {
            return Ok(());
        }
        progress.tick(&format!("waiting until {} {name} is gone", kind.kind));
        tokio::time::sleep(EVERY).await;
    }
}

/// The objects of the installation as they are applied, in the order of their removal: webhooks first, the operator,
/// and then in the reverse order of their installation what it needed.
fn order(shipped: &Manifests, all: bool) -> Vec<&Value> {
    let webhook = |o: &&Value| text(o, "/kind").ends_with("WebhookConfiguration");
    let deployment = |o: &&Value| text(o, "/kind") == "Deployment";
    let operator = || shipped.operator.iter();
    let mut objects: Vec<&Value> = operator().filter(webhook).collect();
    objects.extend(operator().filter(deployment));
    if all {
        objects.extend(&shipped.definitions);
    } else {
        objects.extend(&shipped.catalog);
    }
    objects.extend(
        operator()
            .rev()
            .filter(|o| !webhook(o) && !deployment(o) && text(o, "/kind") != "Namespace"),
    );
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_go_first_and_the_namespace_stays() {
        let shipped = Manifests::new("kubestash", crate::IMAGE).unwrap();
        for all in [false, true] {
            let kinds: Vec<&str> = order(&shipped, all).iter().map(|o| text(o, "/kind")).collect();
            assert!(
                kinds[..2].iter().all(|k| k.ends_with("WebhookConfiguration")),
                "{kinds:?}"
            );
            assert_eq!(kinds[2], "Deployment");
            assert!(!kinds.contains(&"Namespace"));
            assert_eq!(kinds.contains(&"CustomResourceDefinition"), all);
            assert!(kinds.contains(&"ServiceAccount") && kinds.contains(&"ClusterRole"));
        }
    }

    #[test]
    fn only_finalizers_of_ours_are_taken_away() {
        assert!(is_ours("kubestash.com/cleanup") && is_ours("core.kubestash.com/x"));
        assert!(!is_ours("example.com/hold") && !is_ours("kubernetes.io/pvc-protection"));
    }
}
