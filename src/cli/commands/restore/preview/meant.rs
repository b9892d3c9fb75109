//! The guards against the wrong source, for a RestoreSession that was written elsewhere: by a wizard, or by hand.

use kube::ResourceExt;
use serde_json::Value;

use super::{before, bytes_in, guards, named};
use crate::api::core::RestoreSession;
use crate::api::storage::Snapshot;
use crate::cli::commands::restore::plan::target;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::pick;
use crate::cli::views::Reference;
use crate::cluster::Cluster;

/// Refuses a restore that is probably not meant, unless its Snapshot is named as `meant`. What may not be looked at speaks
/// against nothing.
///
/// # Errors
/// A precondition with every guard, a target of another kind, and what the API server answers.
pub(in crate::cli::commands) async fn check(
    session: &Value,
    meant: Option<&str>,
    context: &Context,
    cluster: &Cluster,
) -> Result<(), CliError> {
    let session: RestoreSession = serde_json::from_value(session.clone())
        .map_err(|e| CliError::new(Exit::Error, "the RestoreSession cannot be read").cause(e.to_string()))?;
    let own = session.namespace().unwrap_or_default();
    let Some(source) = &session.spec.data_source else {
        return Ok(());
    };
    let place = source.namespace.as_deref().unwrap_or(&own);
    let all = match pick::of_repository(cluster, place, &source.repository).await {
        Ok(all) => all,
        Err(error) if error.exit == Exit::Forbidden => {
            context
                .ui
                .warn("the Snapshots may not be looked at, so nothing guards against restoring a wrong one");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let Some(this) = chosen(&all, &source.snapshot) else {
        return Ok(());
    };
    let (name, components) = (this.name_any(), &source.components);
    let mut against: Vec<String> =
        guards::size(&name, bytes_in(this, components), &before(&all, this, components))
            .into_iter()
            .collect();
    if let (Some(from), Some(into)) = (&this.spec.app_ref, &session.spec.target) {
        let (from, into) = (Reference::from(from), Reference::from(into));
        let volumes_named = session
            .spec
            .addon
            .iter()
            .flat_map(|a| &a.tasks)
            .any(|t| t.target_volumes.is_some());
        if !volumes_named {
            target::alike(&name, &from, &into)?;
        }
        let there = into.namespace_or(&own);
        if named(&from, place) != named(&into, &own) {
            against.extend(guards::of_another(cluster, &name, &named(&from, place), &into, there).await);
        }
    }
    guards::check(&name, &against, meant)
}

/// The Snapshot that a RestoreSession means now.
fn chosen<'s>(all: &'s [Snapshot], wanted: &str) -> Option<&'s Snapshot> {
    if wanted != super::super::plan::LATEST {
        return all.iter().find(|s| s.name_any() == wanted);
    }
    all.iter().rev().find(|s| pick::succeeded(s))
}
