//! The status of a BackupConfiguration and, once it is Ready, its first backups.

use jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    api::{
        conditions::backup_configuration::{INITIAL_BACKUP_TRIGGERED, reason},
        core::{BackupConfiguration, BackupConfigurationPhase},
    },
    decide::{
        backup_configuration::{self as decide, Facts},
        conditions, trigger,
    },
    operator::{Context, Error},
};

/// Writes the status that follows from the facts, then triggers the first backups that are due.
pub(super) async fn write(
    ctx: &Context,
    configuration: BackupConfiguration,
    facts: &Facts,
) -> Result<(), Error> {
    let now = Timestamp::now();
    let mut status = decide::status(&configuration, facts, now);
    let stored = ctx.applier.write_status(&configuration, &status).await?;
    if status.phase != Some(BackupConfigurationPhase::Ready) {
        return Ok(());
    }
    // A session would be skipped while its Repositories are not Ready; their events bring us back.
    let ready = |name: &str| {
        let repository = status.repositories.iter().find(|known| known.name == name);
        repository.is_some_and(|known| known.reason.is_none())
    };
    let due: Vec<_> = decide::initial(&configuration, &status)
        .into_iter()
        .filter(|session| {
            session
                .repositories
                .iter()
                .all(|repository| ready(&repository.name))
        })
        .collect();
    if due.is_empty() {
        return Ok(());
    }
    // The number is the configuration's own age, so the first backup is made once however often this is interrupted.
    let born = configuration
        .creation_timestamp()
        .map_or(now, |time| time.0)
        .as_second();
    for session in due {
        let first = trigger::backup_session(&configuration, session, born, trigger::retries(session));
        let triggered = match ctx.applier.create(&first).await {
            Ok(_) => conditions::condition(
                INITIAL_BACKUP_TRIGGERED,
                true,
                reason::SUCCESSFULLY_TRIGGERED_INITIAL_BACKUP,
                format!("BackupSession \"{}\" created", first.name_any()),
                now,
            ),
            Err(error) if error.is_refusal() => conditions::condition(
                INITIAL_BACKUP_TRIGGERED,
                false,
                reason::FAILED_TO_TRIGGER_INITIAL_BACKUP,
                error.sentence(),
                now,
            ),
            Err(error) => return Err(error),
        };
        if let Some(entry) = status
            .sessions
            .iter_mut()
            .find(|known| known.name == session.name)
        {
            conditions::set(&mut entry.conditions, triggered);
        }
    }
    ctx.applier.patch_status(&stored, &status).await?;
    Ok(())
}
