//! `version`: of this program, of the operator and of the definitions in the cluster, and whether they belong together.

mod skew;

use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use self::skew::Skew;
use super::doctor::definitions;
use super::doctor::image::tag;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::manifests::{self, Manifests};
use crate::cli::report::text;
use crate::cli::schemas::{self, View};
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::output::format::Format;

/// This program's own.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// Print the versions of program, operator and definitions, and what does not fit together
///
/// What differs is told with the way to one state; the code is 0 all the same, as a version is an answer and not a check
/// (`doctor` is one).
///
/// Examples:
///   kubectl kubestash version
///   kubectl kubestash version --client --short
///   kubectl kubestash version --check '>=0.1'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct VersionArgs {
    /// Only of this program; no cluster is asked
    #[arg(long)]
    client: bool,
    /// Only the number of this program; no cluster is asked
    #[arg(long, conflicts_with = "output")]
    short: bool,
    /// Ends with 7 unless this program's version is in this range; no cluster is asked
    #[arg(long, value_name = "RANGE", value_parser = semver::VersionReq::from_str, conflicts_with = "output")]
    check: Option<semver::VersionReq>,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// What runs in which version.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct VersionView {
    /// The version of this program.
    client: String,
    /// The version of Kubernetes; absent with --client.
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<String>,
    /// The operator; absent where none is installed, and with --client.
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<OperatorVersion>,
    /// The definitions of our kinds in the cluster; absent with --client.
    #[serde(skip_serializing_if = "Option::is_none")]
    definitions: Option<DefinitionVersions>,
    /// What does not belong together, or could not be found out, with the way to put it right.
    skew: Vec<Skew>,
}

impl View for VersionView {
    const COMMAND: &'static str = "version";
    const KIND: &'static str = "Version";
}

/// The operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OperatorVersion {
    /// The namespace of its Deployment.
    namespace: String,
    /// The image that its Deployment names.
    image: String,
    /// The version that the image's name says.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Whether a pod of it is available.
    available: bool,
}

/// The definitions of our kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DefinitionVersions {
    /// How many this program has.
    wanted: usize,
    /// How many of them the cluster has.
    found: usize,
    /// Those that the cluster lacks.
    missing: Vec<String>,
    /// Those that are not as this program has them.
    differing: Vec<String>,
}

/// Prints the versions.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn run(args: &VersionArgs, context: &Context) -> Result<Exit, CliError> {
    if let Some(range) = &args.check {
        return checked(range, context);
    }
    if args.short {
        context.ui.line(OWN)?;
        return Ok(Exit::Ok);
    }
    let mut view = VersionView {
        client: OWN.to_owned(),
        ..VersionView::default()
    };
    if !args.client {
        look(&mut view, context).await?;
    }
    if !args.output.is_table() {
        schemas::print(context, &args.output, &view)?;
        return Ok(Exit::Ok);
    }
    for line in lines(&view, args.client) {
        context.ui.line(&line)?;
    }
    for skew in &view.skew {
        context.ui.warn(&skew.finding);
        context.ui.say(&format!("  fix: {}", skew.fix));
    }
    Ok(Exit::Ok)
}

fn checked(range: &semver::VersionReq, context: &Context) -> Result<Exit, CliError> {
    let own = semver::Version::parse(OWN).map_err(|e| {
        CliError::new(Exit::Error, "this program's version is no number").cause(e.to_string())
    })?;
    context.ui.line(OWN)?;
    if range.matches(&own) {
        return Ok(Exit::Ok);
    }
    Err(CliError::new(
        Exit::Precondition,
        format!("this program is {OWN}, which is not {range}"),
    ))
}

/// Asks the cluster, all at once.
async fn look(view: &mut VersionView, context: &Context) -> Result<(), CliError> {
    let cluster = context.cluster().await?;
    let shipped = Manifests::new(manifests::NAMESPACE, crate::IMAGE).map_err(|e| {
        CliError::new(Exit::Error, "the manifests of this program cannot be read").cause(e.to_string())
    })?;
    let (server, operators, looked) = tokio::join!(
        cluster.read("/version"),
        operators(cluster),
        definitions::look(cluster, &shipped)
    );
    if let Err(error @ (Error::Unreachable { .. } | Error::Unauthorized { .. })) = server {
        return Err(error.into());
    }
    view.kubernetes = server
        .ok()
        .map(|v| text(&v, "/gitVersion").trim_start_matches('v').to_owned());
    match operators {
        Ok(found) => {
            view.skew.extend(skew::operators(OWN, &found));
            view.operator = found.into_iter().next();
        }
        Err(error) => view.skew.push(skew::unread("the operator", &error)),
    }
    match looked {
        Ok(looked) => {
            let names: Vec<&str> = looked.found.iter().map(|d| text(d, "/metadata/name")).collect();
            let wanted = shipped.definitions.iter().map(|d| text(d, "/metadata/name"));
            let missing: Vec<String> = wanted.filter(|n| !names.contains(n)).map(str::to_owned).collect();
            let differing = looked.differing.unwrap_or_else(|error| {
                view.skew.push(skew::unread("the definitions", &error));
                Vec::new()
            });
            let definitions = DefinitionVersions {
                wanted: shipped.definitions.len(),
                found: names.len(),
                missing,
                differing,
            };
            view.skew
                .extend(skew::definitions(OWN, view.operator.as_ref(), &definitions));
            view.definitions = Some(definitions);
        }
        Err(error) => view.skew.push(skew::unread("the definitions", &error)),
    }
    Ok(())
}

/// The operators' Deployments, wherever they are.
async fn operators(cluster: &Cluster) -> Result<Vec<OperatorVersion>, Error> {
    let options = ListOptions::default().labelled("app.kubernetes.io/name=kubestash-operator");
    let found: Vec<Value> = cluster.list(&kinds::DEPLOYMENT, &options).await?;
    Ok(found
        .iter()
        .map(|deployment| {
            let image = text(deployment, "/spec/template/spec/containers/0/image");
            let available = deployment
                .pointer("/status/availableReplicas")
                .and_then(Value::as_i64);
            OperatorVersion {
                namespace: text(deployment, "/metadata/namespace").to_owned(),
                version: tag(image).map(|t| t.trim_start_matches('v').to_owned()),
                image: image.to_owned(),
                available: available.unwrap_or(0) > 0,
            }
        })
        .collect())
}

fn lines(view: &VersionView, client: bool) -> Vec<String> {
    let mut lines = vec![format!("kubectl kubestash   {}", view.client)];
    if client {
        return lines;
    }
    let unread = |what: &str| view.skew.iter().any(|s| s.what == what && s.unread);
    lines.push(match &view.operator {
        Some(operator) => format!(
            "operator            {} (namespace {}{})",
            operator.version.as_deref().unwrap_or(&operator.image),
            operator.namespace,
            if operator.available { "" } else { ", not available" }
        ),
        None if unread("the operator") => "operator            not known".to_owned(),
        None => "operator            not installed".to_owned(),
    });
    lines.push(match &view.definitions {
        None => "definitions         not known".to_owned(),
        Some(d) if d.found == 0 => "definitions         not installed".to_owned(),
        Some(d) if d.missing.is_empty() && d.differing.is_empty() && !unread("the definitions") => {
            format!(
                "definitions         {} (all {} as this program has them)",
                view.client, d.wanted
            )
        }
        Some(d) => format!(
            "definitions         {} of {}, {} of them different",
            d.found,
            d.wanted,
            d.differing.len()
        ),
    });
    if let Some(kubernetes) = &view.kubernetes {
        lines.push(format!("Kubernetes          {kubernetes}"));
    }
    lines
}
