//! A namespace that does not exist holds nothing, and a list of it looks like that of an empty one. Whoever finds nothing
//! looks here whether that is why; who may not read namespaces is told what there was to tell without that.

use super::context::Context;
use super::error::{CliError, Exit};
use super::names::nearest;
use super::views::Meta;
use crate::cluster::{Cluster, ListOptions, kinds};

/// How many namespaces a hint names.
const NAMED: usize = 12;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Namespace {
    metadata: Meta,
}

/// To be asked by a command that found nothing, before it says so. With `-A` there is nothing to ask.
///
/// # Errors
/// `NothingMatched` when the namespace that the command works in does not exist, and the user may know that.
pub async fn exists(context: &Context) -> Result<(), CliError> {
    missing(context).await.map_or(Ok(()), Err)
}

/// What a command that failed should say: when it found nothing because its namespace does not exist, that.
pub async fn blamed(context: &Context, error: CliError) -> CliError {
    if error.exit != Exit::NothingMatched || error.silent {
        return error;
    }
    missing(context).await.unwrap_or(error)
}

/// The error, when the namespace is known not to exist.
async fn missing(context: &Context) -> Option<CliError> {
    // A command that has not spoken to a cluster so far did not fail for what is in it.
    let cluster = context.connected()?;
    let namespace = context.namespace().await.ok()?;
    match cluster
        .find::<Namespace>(&kinds::NAMESPACE, None, namespace)
        .await
    {
        Ok(None) => {}
        Ok(Some(_)) | Err(_) => return None,
    }
    let error = CliError::new(
        Exit::NothingMatched,
        format!("namespace {namespace} does not exist"),
    );
    let error = if context.flags.namespace.as_deref() == Some(namespace) {
        error
    } else {
        error.cause("it is the namespace of the kubeconfig's context, or of the manifest; `-n` names another")
    };
    Some(error.hint(others(cluster, namespace).await))
}

/// Where to look instead.
async fn others(cluster: &Cluster, namespace: &str) -> String {
    let all: Vec<Namespace> = cluster
        .list(&kinds::NAMESPACE, &ListOptions::default())
        .await
        .unwrap_or_default();
    let names: Vec<String> = all.into_iter().map(|n| n.metadata.name).collect();
    if let Some(similar) = nearest(namespace, names.iter()) {
        return format!("did you mean `-n {similar}`?");
    }
    let own: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|n| !n.starts_with("kube-"))
        .collect();
    match own.len() {
        1..=NAMED => format!("there are: {}", own.join(", ")),
        _ => "`kubectl get namespaces` lists them; `-A` looks in all of them".to_owned(),
    }
}
