//! The one place that writes a BackupSession's status: conditions by the house's rules, the phase always computed.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    api::{
        conditions::backup_session as types,
        core::{BackupSession, BackupSessionStatus},
    },
    decide::{conditions, phases},
    operator::{Context, Error},
};

/// One reconcile of one session: the object as last read or written, and the status as it shall be.
pub(super) struct Run {
    pub(super) ctx: Arc<Context>,
    pub(super) session: BackupSession,
    pub(super) status: BackupSessionStatus,
    pub(super) now: Timestamp,
}

impl Run {
    pub(super) fn new(ctx: Arc<Context>, session: BackupSession, now: Timestamp) -> Self {
        Self {
            status: session.status.clone().unwrap_or_default(),
            ctx,
            session,
            now,
        }
    }

    pub(super) fn namespace(&self) -> String {
        self.session.namespace().unwrap_or_default()
    }

    pub(super) fn name(&self) -> String {
        self.session.name_any()
    }

    /// True once the session has taken its turn.
    pub(super) fn claimed(&self) -> bool {
        self.status.total_snapshots.is_some()
    }

    /// True once its Jobs were made.
    pub(super) fn executing(&self) -> bool {
        conditions::is_true(&self.status.conditions, types::BACKUP_EXECUTOR_ENSURED)
    }

    /// Sets a condition in the status to write.
    pub(super) fn set(&mut self, type_: &str, holds: bool, reason: &str, message: impl Into<String>) {
        let condition = conditions::condition(type_, holds, reason, message, self.now);
        conditions::set(&mut self.status.conditions, condition);
    }

    /// Writes the status if it differs from what was read.
    pub(super) async fn save(&mut self) -> Result<(), Error> {
        self.status.phase = Some(phases::backup_session(&self.status));
        self.session = self.ctx.applier.write_status(&self.session, &self.status).await?;
        Ok(())
    }
}

/// Namespace and name.
pub(super) fn key(session: &BackupSession) -> (String, String) {
    (session.namespace().unwrap_or_default(), session.name_any())
}
