//! Removes what was made for a clone, and nothing else.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;

use super::Made;
use crate::cli::error::{CliError, Exit};
use crate::cluster::{Cluster, Kind, kinds, watch};
use crate::output::human;

/// How long it is waited for the Repository's data to be wiped at the end.
const WIPED_WITHIN: Duration = Duration::from_secs(120);

/// Removes what was made, the last first; answers with what could not be removed.
pub(super) async fn clean(
    cluster: &Cluster,
    made: &Mutex<Vec<Made>>,
    succeeded: bool,
) -> Vec<(Made, CliError)> {
    let mut left = Vec::new();
    let all: Vec<Made> = made.lock().await.drain(..).collect();
    for object in all
        .into_iter()
        .rev()
        .filter(|object| !(succeeded && object.result))
    {
        let place = Some(object.namespace.as_str());
        let removed: Result<(), CliError> = async {
            let Some(uid) = ours(cluster, &object).await? else {
                return Ok(());
            };
            cluster
                .delete_object(object.kind, place, &object.name, Some(&uid))
                .await?;
            if object.kind == &kinds::BACKUP_CONFIGURATION {
                // Its Repository goes with it and wipes its data, for which the storage must still be there.
                gone(cluster, &kinds::REPOSITORY, &object.namespace, &object.name).await?;
            }
            Ok(())
        }
        .await;
        if let Err(error) = removed {
            left.push((object, error));
        }
    }
    left
}

/// The UID of an object that the clone made; nothing when there is none, or it is somebody else's.
async fn ours(cluster: &Cluster, object: &Made) -> Result<Option<String>, CliError> {
    if object.uid.is_some() {
        return Ok(object.uid.clone());
    }
    let found: Option<Value> = cluster
        .find(object.kind, Some(&object.namespace), &object.name)
        .await?;
    let text = |pointer: &str| {
        let found = found.as_ref()?.pointer(pointer)?;
        found.as_str().map(str::to_owned)
    };
    let labelled = text("/metadata/labels/kubestash.com~1clone").is_some_and(|l| l == object.clone);
    Ok(text("/metadata/uid").filter(|_| labelled))
}

/// Waits until an object is gone.
async fn gone(cluster: &Cluster, kind: &'static Kind, namespace: &str, name: &str) -> Result<(), CliError> {
    let mut states = watch::object(cluster, kind, namespace, name);
    let wait = async {
        while let Some(state) = states.recv().await {
            if state?.is_none() {
                break;
            }
        }
        Ok::<(), CliError>(())
    };
    let late = || {
        let limit = human::go_duration(WIPED_WITHIN);
        CliError::new(
            Exit::TimedOut,
            format!("{} {name} was not gone within {limit}", kind.kind),
        )
    };
    tokio::time::timeout(WIPED_WITHIN, wait)
        .await
        .unwrap_or_else(|_| Err(late()))
}
