//! The one place that writes a RestoreSession's status: conditions by the house's rules, the phase always computed.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    api::{
        conditions::restore_session as types,
        core::{RestoreSession, RestoreSessionStatus},
    },
    decide::{conditions, phases},
    operator::{Context, Error},
};

/// One reconcile of one session: the object as last read or written, and the status as it shall be.
pub(super) struct Run {
    pub(super) ctx: Arc<Context>,
    pub(super) session: RestoreSession,
    pub(super) status: RestoreSessionStatus,
    pub(super) now: Timestamp,
}

impl Run {
    pub(super) fn new(ctx: Arc<Context>, session: RestoreSession, now: Timestamp) -> Self {
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

    /// True once the session has taken hold of its target.
    pub(super) fn claimed(&self) -> bool {
        self.status.total_components.is_some()
    }

    /// True once its Jobs were made.
    pub(super) fn executing(&self) -> bool {
        conditions::is_true(&self.status.conditions, types::RESTORE_EXECUTOR_ENSURED)
    }

    /// Sets a condition in the status to write.
    pub(super) fn set(&mut self, type_: &str, holds: bool, reason: &str, message: impl Into<String>) {
        let condition = conditions::condition(type_, holds, reason, message, self.now);
        conditions::set(&mut self.status.conditions, condition);
    }

    /// Writes the status if it differs from what was read.
    pub(super) async fn save(&mut self) -> Result<(), Error> {
        self.status.phase = Some(phases::restore_session(&self.status));
        self.session = Box::pin(self.ctx.applier.write_status(&self.session, &self.status)).await?;
        // The Jobs write their components meanwhile; what they wrote is the truth.
        if let Some(stored) = &self.session.status {
            self.status.components.clone_from(&stored.components);
        }
        Ok(())
    }
}
