//! May the session run? Its preconditions, and its turn beside other sessions of its configuration.
//!
//! Sessions of one namespace take their turn one at a time: within the turn the others are read and our claim is
//! written, so of two that start together one sees the other. There is one leader, so a lock in the process is enough;
//! what it guards is in the status and survives the process.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tokio::sync::Mutex;

use super::{
    Run,
    fetch::{self, Needs},
};
use crate::{
    api::{
        conditions::backup_session::{self as types, reason},
        core::{BackupConfiguration, Session, SnapshotStatus},
        storage::SnapshotPhase,
    },
    decide::{backup, naming, target},
    operator::Error,
};

/// Whose turn it is.
static TURN: LazyLock<Mutex<()>> = LazyLock::new(|| Mutex::new(()));

/// Holds other sessions' claims off while it lives.
pub(super) async fn turn() -> tokio::sync::MutexGuard<'static, ()> {
    TURN.lock().await
}

/// Writes the claim, or why the session is skipped. True when it may go on.
pub(super) async fn claim(
    run: &mut Run,
    configuration: Option<&BackupConfiguration>,
    config: Option<&Session>,
    needs: Option<&Needs>,
) -> Result<bool, Error> {
    if run.claimed() {
        return Ok(true);
    }
    let turn = turn().await;
    let others = fetch::sessions(&run.ctx, &run.namespace()).await?;
    let verdict = backup::precondition(&run.session, configuration).and_then(|config| {
        let configuration = configuration.ok_or_else(String::new)?;
        backup::overlap(&run.session, config, configuration, &others)?;
        for repository in needs.iter().flat_map(|needs| &needs.repositories) {
            match repository {
                Ok(facts) => backup::repository_ready(facts)?,
                // What a Repository lacks besides itself is the executor's error, not a reason to skip.
                Err(missing) if missing.starts_with("Repository") && missing.ends_with("not found") => {
                    return Err(missing.clone());
                }
                Err(_) => {}
            }
        }
        Ok(())
    });
    if let Err(why) = verdict {
        run.set(
            types::BACKUP_SKIPPED,
            true,
            reason::PRE_REQUISITES_NOT_SATISFIED,
            &why,
        );
        run.save().await?;
        run.ctx
            .events
            .warning(&run.session, "Backup", types::BACKUP_SKIPPED, &why)
            .await;
        return Ok(false);
    }
    let (Some(configuration), Some(config)) = (configuration, config) else {
        return Ok(false);
    };
    if let Some(limit) = run.session.spec.backup_timeout {
        run.status.backup_deadline = run
            .now
            .checked_add(jiff::SignedDuration::from(limit))
            .ok()
            .map(Time);
    }
    let app = target::reference(configuration.spec.target.as_ref(), &run.namespace());
    run.status.total_snapshots = i32::try_from(config.repositories.len()).ok();
    run.status.snapshots = config
        .repositories
        .iter()
        .map(|repository| SnapshotStatus {
            name: naming::snapshot(&repository.name, &run.name()),
            phase: Some(SnapshotPhase::Pending),
            app_ref: Some(app.clone()),
            repository: repository.name.clone(),
        })
        .collect();
    run.save().await?;
    drop(turn);
    Ok(true)
}
