//! One reconcile of one session, of whatever kind: the object as last read or written, the status as it shall be, and the
//! one way in which it is written: conditions by the house's rules, the phase always computed.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use super::{Context, Error, applier::Kind};
use crate::{
    api::{
        conditions::{backup_session, restore_session},
        core::{BackupSession, BackupSessionStatus, RestoreSession, RestoreSessionStatus},
        shared::Condition,
    },
    decide::{conditions, phases},
};

/// A kind of session.
pub trait Session: Kind {
    /// Its status.
    type Status: Clone + Default + Serialize + Send + Sync;

    /// The condition that says that its Jobs were made.
    const EXECUTOR_ENSURED: &'static str;

    /// The status as stored.
    fn status(&self) -> Option<&Self::Status>;
    /// The conditions of a status.
    fn conditions(status: &Self::Status) -> &Vec<Condition>;
    /// The same, to change.
    fn conditions_mut(status: &mut Self::Status) -> &mut Vec<Condition>;
    /// Computes the phase from everything else.
    fn settle(status: &mut Self::Status);
    /// Takes over what others than the operator write, from the status as stored.
    fn adopt(status: &mut Self::Status, stored: &Self::Status);
    /// True once the session has taken its turn.
    fn claimed(status: &Self::Status) -> bool;
}

impl Session for BackupSession {
    type Status = BackupSessionStatus;

    const EXECUTOR_ENSURED: &'static str = backup_session::BACKUP_EXECUTOR_ENSURED;

    fn status(&self) -> Option<&Self::Status> {
        self.status.as_ref()
    }

    fn conditions(status: &Self::Status) -> &Vec<Condition> {
        &status.conditions
    }

    fn conditions_mut(status: &mut Self::Status) -> &mut Vec<Condition> {
        &mut status.conditions
    }

    fn settle(status: &mut Self::Status) {
        status.phase = Some(phases::backup_session(status));
    }

    fn adopt(_: &mut Self::Status, _: &Self::Status) {}

    fn claimed(status: &Self::Status) -> bool {
        status.total_snapshots.is_some()
    }
}

impl Session for RestoreSession {
    type Status = RestoreSessionStatus;

    const EXECUTOR_ENSURED: &'static str = restore_session::RESTORE_EXECUTOR_ENSURED;

    fn status(&self) -> Option<&Self::Status> {
        self.status.as_ref()
    }

    fn conditions(status: &Self::Status) -> &Vec<Condition> {
        &status.conditions
    }

    fn conditions_mut(status: &mut Self::Status) -> &mut Vec<Condition> {
        &mut status.conditions
    }

    fn settle(status: &mut Self::Status) {
        status.phase = Some(phases::restore_session(status));
    }

    // The Jobs write their components meanwhile; what they wrote is the truth.
    fn adopt(status: &mut Self::Status, stored: &Self::Status) {
        status.components.clone_from(&stored.components);
    }

    fn claimed(status: &Self::Status) -> bool {
        status.total_components.is_some()
    }
}

/// One reconcile of one session.
pub struct Run<S: Session> {
    /// What every reconcile is handed.
    pub ctx: Arc<Context>,
    /// The session as last read or written.
    pub session: S,
    /// Its status as it shall be.
    pub status: S::Status,
    /// The moment of the reconcile.
    pub now: Timestamp,
}

impl<S: Session> Run<S> {
    /// Begins with the status as read.
    pub fn new(ctx: Arc<Context>, session: S, now: Timestamp) -> Self {
        Self {
            status: session.status().cloned().unwrap_or_default(),
            ctx,
            session,
            now,
        }
    }

    /// Namespace of the session.
    pub fn namespace(&self) -> String {
        self.session.namespace().unwrap_or_default()
    }

    /// Name of the session.
    pub fn name(&self) -> String {
        self.session.name_any()
    }

    /// True once the session has taken its turn.
    pub fn claimed(&self) -> bool {
        S::claimed(&self.status)
    }

    /// True once its Jobs were made.
    pub fn executing(&self) -> bool {
        conditions::is_true(S::conditions(&self.status), S::EXECUTOR_ENSURED)
    }

    /// Sets a condition in the status to write.
    pub fn set(&mut self, type_: &str, holds: bool, reason: &str, message: impl Into<String>) {
        let condition = conditions::condition(type_, holds, reason, message, self.now);
        conditions::set(S::conditions_mut(&mut self.status), condition);
    }

    /// Writes the status if it differs from what was read.
    ///
    /// # Errors
    /// [`Error::Conflict`], or what the API server answered.
    pub async fn save(&mut self) -> Result<(), Error> {
        S::settle(&mut self.status);
        self.session = Box::pin(self.ctx.applier.write_status(&self.session, &self.status)).await?;
        if let Some(stored) = self.session.status() {
            S::adopt(&mut self.status, stored);
        }
        Ok(())
    }
}
