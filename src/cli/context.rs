//! What every command is given: the streams, the time, and a cluster that is connected to when first needed.

use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::error::CliError;
use crate::cluster::{Cluster, Flags};
use crate::output::ui::Ui;

/// The surroundings of one command.
pub struct Context {
    /// The streams.
    pub ui: Ui,
    /// The moment the command started.
    pub now: Timestamp,
    /// The user's choice of cluster, identity and namespace.
    pub flags: Flags,
    cluster: OnceCell<Cluster>,
}

impl Context {
    /// Surroundings whose cluster the flags name.
    pub fn new(ui: Ui, flags: Flags, now: Timestamp) -> Self {
        Context {
            ui,
            now,
            flags,
            cluster: OnceCell::new(),
        }
    }

    /// Surroundings with a given cluster.
    pub fn with_cluster(ui: Ui, flags: Flags, now: Timestamp, cluster: Cluster) -> Self {
        Context {
            ui,
            now,
            flags,
            cluster: OnceCell::new_with(Some(cluster)),
        }
    }

    /// The cluster; the kubeconfig is read at the first call.
    ///
    /// # Errors
    /// When there is no usable configuration.
    pub async fn cluster(&self) -> Result<&Cluster, CliError> {
        Ok(self
            .cluster
            .get_or_try_init(|| Cluster::connect(&self.flags))
            .await?)
    }

    /// The one namespace to work in, for commands about named objects.
    ///
    /// # Errors
    /// A usage error with `-A`, which has no meaning there; otherwise as [`Context::cluster`].
    pub async fn namespace(&self) -> Result<&str, CliError> {
        if self.flags.all_namespaces {
            return Err(CliError::usage(
                "this command works in one namespace; use -n instead of -A",
            ));
        }
        Ok(self.cluster().await?.namespace())
    }

    /// The namespace to list, or `None` for all of them.
    ///
    /// # Errors
    /// As [`Context::cluster`].
    pub async fn namespaces(&self) -> Result<Option<&str>, CliError> {
        Ok(if self.flags.all_namespaces {
            None
        } else {
            Some(self.cluster().await?.namespace())
        })
    }
}
