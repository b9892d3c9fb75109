//! `version`: of this program, and of the operator where one runs.

use serde_json::{Value, json};

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cluster::{ListOptions, kinds};
use crate::output::format::{Format, Shape};

/// Print the version of this program and of the operator
///
/// Examples:
///   kubectl kubestash version
///   kubectl kubestash version --client
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct VersionArgs {
    /// Only of this program; no cluster is asked
    #[arg(long)]
    client: bool,
    /// Form of the output: table, json, yaml or jsonpath=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse, default_value = "table")]
    output: Format,
}

/// Prints the versions.
///
/// # Errors
/// When the cluster cannot be asked.
pub async fn run(args: &VersionArgs, context: &Context) -> Result<Exit, CliError> {
    let mut versions = json!({"client": env!("CARGO_PKG_VERSION")});
    if !args.client {
        versions["operator"] = operator(context).await?;
    }
    if !args.output.is_table() {
        args.output.print(&context.ui, &Shape::One(versions))?;
        return Ok(Exit::Ok);
    }
    context
        .ui
        .line(&format!("kubectl kubestash   {}", env!("CARGO_PKG_VERSION")))?;
    match versions.pointer("/operator/image").and_then(Value::as_str) {
        Some(image) => context.ui.line(&format!("operator            {image}"))?,
        None if !args.client => context.ui.line("operator            not installed")?,
        None => {}
    }
    Ok(Exit::Ok)
}

/// The image that the operator's Deployment names, wherever it is.
async fn operator(context: &Context) -> Result<Value, CliError> {
    let options = ListOptions::default().labelled("app.kubernetes.io/name=kubestash-operator");
    let found: Vec<Value> = context
        .cluster()
        .await?
        .list(&kinds::DEPLOYMENT, &options)
        .await?;
    Ok(found.first().map_or(Value::Null, |deployment| {
        json!({
            "namespace": deployment.pointer("/metadata/namespace"),
            "image": deployment.pointer("/spec/template/spec/containers/0/image"),
        })
    }))
}
