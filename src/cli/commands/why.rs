//! `why`: follows an object to what it depends on until the broken link, and says what to do. The reasoning is
//! [`crate::decide::explain`]; here it is fed and shown.

mod fetch;
mod references;

pub(super) use fetch::operator;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::IgnoredAny;

use self::fetch::Reader;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::schemas::{self, View};
use crate::cli::views::BackupConfiguration;
use crate::cli::{names, objects};
use crate::cluster::{Cluster, Error, Kind, ListOptions, kinds};
use crate::decide::explain::chain::{About, Answer, Health};
use crate::decide::explain::facts::Facts;
use crate::decide::explain::why;
use crate::output::format::Format;
use crate::output::style::Style;
use crate::output::table::printable;

/// The kinds that can be asked about, in the order in which a bare name is looked for.
const KINDS: &[&Kind] = &[
    &kinds::BACKUP_CONFIGURATION,
    &kinds::BACKUP_SESSION,
    &kinds::RESTORE_SESSION,
    &kinds::SNAPSHOT,
    &kinds::REPOSITORY,
    &kinds::BACKUP_STORAGE,
    &kinds::RETENTION_POLICY,
    &kinds::BACKUP_BATCH,
    &kinds::BACKUP_BLUEPRINT,
    &kinds::BACKUP_VERIFIER,
    &kinds::BACKUP_VERIFICATION_SESSION,
    &kinds::HOOK_TEMPLATE,
    &kinds::ADDON,
    &kinds::FUNCTION,
];

/// Applications: what explains them is the BackupConfiguration that backs them up.
const TARGETS: [&Kind; 4] = [
    &kinds::DEPLOYMENT,
    &kinds::STATEFUL_SET,
    &kinds::DAEMON_SET,
    &kinds::CLAIM,
];

/// Why is it so? Follow an object to the broken link, with cause and fix
///
/// Examples:
///   kubectl kubestash why bc/sample-backup
///   kubectl kubestash why backupsession sample-backup-daily-1700000000 -n demo
///   kubectl kubestash why sample-backup -o jsonpath='{.cause}'
///   kubectl kubestash why statefulset/app
///   kubectl kubestash why -f sample-backup.yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct WhyArgs {
    /// What to explain: NAME, KIND/NAME or KIND NAME, of any of KubeStash's kinds; of a workload or claim, its backup
    #[arg(value_name = "OBJECT", required_unless_present = "filename", num_args = 1..=2)]
    object: Vec<String>,
    #[command(flatten)]
    files: objects::Files,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// Why an object is as it is.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhyView {
    /// The object that was asked about.
    object: ObjectView,
    /// How it is on the whole.
    health: HealthView,
    /// What is to be said of the object itself.
    summary: String,
    /// What is wrong or awaited at the root; absent when all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    /// What to do about it, each a sentence with a command in backticks where there is one.
    fixes: Vec<String>,
    /// The objects on the way, the one that was asked about first.
    chain: Vec<LinkView>,
    /// What could not be looked at, and why.
    not_seen: Vec<String>,
}

impl View for WhyView {
    const COMMAND: &'static str = "why";
    const KIND: &'static str = "Explanation";
}

/// Which object.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ObjectView {
    /// Its kind.
    #[serde(rename = "kind")]
    of_kind: String,
    /// Its namespace; empty for cluster-scoped ones.
    namespace: String,
    /// Its name.
    name: String,
}

/// One object on the way.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LinkView {
    /// Which.
    object: ObjectView,
    /// How it is.
    health: HealthView,
    /// What is to be said of it.
    says: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum HealthView {
    /// As it should be.
    Healthy,
    /// It could not be looked at.
    Unknown,
    /// It waits for something, or rests because somebody wants it to.
    Waiting,
    /// Not as it should be.
    Broken,
}

impl From<Health> for HealthView {
    fn from(health: Health) -> Self {
        match health {
            Health::Good => HealthView::Healthy,
            Health::Unknown => HealthView::Unknown,
            Health::Waiting => HealthView::Waiting,
            Health::Bad => HealthView::Broken,
        }
    }
}

/// Explains it.
///
/// # Errors
/// When it does not exist or cannot be read.
pub async fn run(args: &WhyArgs, context: &Context) -> Result<Exit, CliError> {
    let asked: Vec<&'static Kind> = KINDS.iter().chain(&TARGETS).copied().collect();
    let typed = objects::one(context, &args.object, &args.files.filename, &asked)?;
    let namespace = context.namespace().await?;
    let cluster = context.cluster().await?;
    let named = typed.named();
    let (kind, namespace, name) = match named.kind {
        Some(kind) if TARGETS.contains(&kind) => {
            let (namespace, name) = backup_of(context, cluster, kind, namespace, named.name).await?;
            (&kinds::BACKUP_CONFIGURATION, namespace, name)
        }
        _ => {
            let (kind, name) = Box::pin(find(context, cluster, namespace, named)).await?;
            (kind, namespace.to_owned(), name)
        }
    };
    if args.output.is_table() {
        explain_in(context, kind, &namespace, &name).await?;
        return Ok(Exit::Ok);
    }
    let reader = Reader::new(cluster, context.now);
    let (about, facts) = Box::pin(reader.read(kind, &namespace, &name)).await?;
    let answer = why(&about, &facts);
    schemas::print(context, &args.output, &view(&about, answer, not_seen(&facts)))?;
    Ok(Exit::Ok)
}

/// Prints the explanation of an object of the context's namespace.
///
/// # Errors
/// As [`run`].
pub async fn explain(context: &Context, kind: &'static Kind, name: &str) -> Result<(), CliError> {
    explain_in(context, kind, context.namespace().await?, name).await
}

async fn explain_in(
    context: &Context,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
) -> Result<(), CliError> {
    let reader = Reader::new(context.cluster().await?, context.now);
    let (about, facts) = Box::pin(reader.read(kind, namespace, name)).await?;
    let page = page(&about, &why(&about, &facts), context.ui.data_style());
    context.ui.data(&page)?;
    for missing in not_seen(&facts) {
        context.ui.warn(&format!("not looked at: {missing}"));
    }
    Ok(())
}

/// The BackupConfiguration that backs up an application: its namespace and name.
async fn backup_of(
    context: &Context,
    cluster: &Cluster,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
) -> Result<(String, String), CliError> {
    // What does not exist is said to be missing, not to be in no backup.
    match cluster.get::<IgnoredAny>(kind, Some(namespace), name).await {
        Ok(_) | Err(Error::Forbidden { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let everywhere = cluster
        .list::<BackupConfiguration>(&kinds::BACKUP_CONFIGURATION, &ListOptions::default())
        .await;
    let all = match everywhere {
        Err(Error::Forbidden { .. }) => {
            cluster
                .list(&kinds::BACKUP_CONFIGURATION, &ListOptions::of(namespace))
                .await?
        }
        other => other?,
    };
    let mut of = all
        .into_iter()
        .filter(|c| {
            let target = &c.spec.target;
            let own = &c.metadata.namespace;
            let place = if target.namespace.is_empty() {
                own
            } else {
                &target.namespace
            };
            target.kind == kind.kind && target.name == name && place == namespace
        })
        .map(|c| (c.metadata.namespace, c.metadata.name));
    let Some(first) = of.next() else {
        return Err(CliError::new(
            Exit::NothingMatched,
            format!("{} {name} in namespace {namespace} is in no backup", kind.kind),
        )
        .hint(format!(
            "`kubectl kubestash create backup --target {}/{name} -n {namespace}` backs it up",
            kind.kind.to_lowercase()
        )));
    };
    for (namespace, name) in of {
        context.ui.say(&format!(
            "It is also backed up by bc/{name} of namespace {namespace}."
        ));
    }
    Ok(first)
}

fn not_seen(facts: &Facts) -> Vec<String> {
    let said = facts.unseen.iter().map(|(kind, why)| format!("{kind}: {why}"));
    said.collect()
}

/// The kind and the name of what is meant.
async fn find(
    context: &Context,
    cluster: &Cluster,
    namespace: &str,
    named: names::Named<'_>,
) -> Result<(&'static Kind, String), CliError> {
    if let Some(kind) = named.kind {
        return Ok((kind, named.name.to_owned()));
    }
    let looks = KINDS.iter().map(|kind| async move {
        let place = kind.namespaced.then_some(namespace);
        let found: Result<Option<serde_json::Value>, Error> = cluster.find(kind, place, named.name).await;
        (*kind, found)
    });
    let mut there = Vec::new();
    let mut trouble = None;
    for (kind, found) in futures::future::join_all(looks).await {
        match found {
            Ok(Some(_)) => there.push(kind),
            Ok(None) => {}
            Err(error) => {
                trouble.get_or_insert(error);
            }
        }
    }
    let Some(first) = there.first() else {
        return Err(match trouble {
            Some(error) => error.into(),
            None => CliError::from(Error::NotFound {
                what: format!(
                    "an object {} of KubeStash's kinds in namespace {namespace}",
                    named.name
                ),
            })
            .hint(format!(
                "`kubectl get kubestash -n {namespace}` lists what there is"
            )),
        });
    };
    if there.len() > 1 {
        let others: Vec<String> = there[1..]
            .iter()
            .map(|k| format!("{}/{}", k.kind.to_lowercase(), named.name))
            .collect();
        context
            .ui
            .say(&format!("There is also {}.", others.join(" and ")));
    }
    Ok((first, named.name.to_owned()))
}

fn object(about: &About) -> ObjectView {
    ObjectView {
        of_kind: about.kind.clone(),
        namespace: about.namespace.clone(),
        name: about.name.clone(),
    }
}

fn view(about: &About, answer: Answer, not_seen: Vec<String>) -> WhyView {
    WhyView {
        object: object(about),
        health: answer.health.into(),
        summary: answer.summary,
        cause: answer.cause,
        fixes: answer.fixes,
        chain: answer
            .links
            .iter()
            .map(|link| LinkView {
                object: object(&link.about),
                health: link.health.into(),
                says: link.says.clone(),
            })
            .collect(),
        not_seen,
    }
}

fn called(about: &About) -> String {
    if about.namespace.is_empty() {
        format!("{} {}", about.kind, about.name)
    } else {
        format!("{} {}/{}", about.kind, about.namespace, about.name)
    }
}

fn page(about: &About, answer: &Answer, style: Style) -> String {
    let (verdict, paint): (&str, fn(Style, &str) -> String) = match answer.health {
        Health::Good => ("is all right", Style::good),
        Health::Unknown => ("could not be looked at", Style::warn),
        Health::Waiting => ("is waiting", Style::warn),
        Health::Bad => ("is not all right", Style::bad),
    };
    let mut text = format!("{} {}\n\n", style.strong(&called(about)), paint(style, verdict));
    let width = answer
        .links
        .iter()
        .map(|l| called(&l.about).chars().count())
        .max()
        .unwrap_or(0);
    for link in &answer.links {
        let mark = match link.health {
            Health::Good => style.good("✓"),
            Health::Unknown => style.faint("?"),
            Health::Waiting => style.warn("…"),
            Health::Bad => style.bad("✗"),
        };
        let name = called(&link.about);
        let pad = " ".repeat(width.saturating_sub(name.chars().count()));
        text.push_str(&format!(
            "  {mark} {}{pad}   {}\n",
            printable(&name),
            printable(&link.says)
        ));
    }
    if let Some(cause) = &answer.cause {
        text.push('\n');
        labelled(&mut text, style, "Cause:", cause);
    }
    for (index, fix) in answer.fixes.iter().enumerate() {
        labelled(
            &mut text,
            style,
            if index == 0 { "Fix:  " } else { "   or:" },
            fix,
        );
    }
    text
}

fn labelled(text: &mut String, style: Style, label: &str, words: &str) {
    for (index, line) in words.trim_end().lines().enumerate() {
        let head = if index == 0 {
            style.strong(label)
        } else {
            " ".repeat(label.len())
        };
        text.push_str(&format!("{head} {}\n", printable(line)));
    }
}
