//! What every command is given: the streams, the time, and a cluster that is connected to when first needed.

use std::pin::Pin;
use std::sync::{Mutex, OnceLock, PoisonError};

use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::error::{CliError, Exit};
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
    settled: OnceLock<String>,
    parting: Mutex<Option<String>>,
    tidying: Mutex<Option<Tidying>>,
}

/// What is put in order after Ctrl-C. It must have a bound of its own.
pub type Tidying = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Context {
    /// Surroundings whose cluster the flags name.
    pub fn new(ui: Ui, flags: Flags, now: Timestamp) -> Self {
        Context {
            ui,
            now,
            flags,
            cluster: OnceCell::new(),
            settled: OnceLock::new(),
            parting: Mutex::new(None),
            tidying: Mutex::new(None),
        }
    }

    /// Surroundings with a given cluster.
    pub fn with_cluster(ui: Ui, flags: Flags, now: Timestamp, cluster: Cluster) -> Self {
        Context {
            ui,
            now,
            flags,
            cluster: OnceCell::new_with(Some(cluster)),
            settled: OnceLock::new(),
            parting: Mutex::new(None),
            tidying: Mutex::new(None),
        }
    }

    /// What to say when Ctrl-C ends the command from here on: what goes on without it, and how to come back to it.
    pub fn if_interrupted(&self, text: String) {
        *self.parting.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    /// What to put in order when Ctrl-C ends the command from here on.
    pub fn tidy_if_interrupted(&self, work: impl Future<Output = ()> + Send + 'static) {
        *self.tidying.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(work));
    }

    /// What a command wanted put in order when it is interrupted.
    pub fn tidying(&self) -> Option<Tidying> {
        self.tidying.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What a command wanted said when it is interrupted.
    pub fn parting(&self) -> Option<String> {
        self.parting.lock().unwrap_or_else(PoisonError::into_inner).take()
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

    /// The cluster, where the command has asked for it already.
    pub fn connected(&self) -> Option<&Cluster> {
        self.cluster.get()
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
        match self.settled.get() {
            Some(namespace) => Ok(namespace),
            None => Ok(self.cluster().await?.namespace()),
        }
    }

    /// Takes the namespace that a manifest says, where `-n` says none, as kubectl does.
    ///
    /// # Errors
    /// A usage error when `-n`, or another manifest, says another.
    pub fn settle(&self, namespace: &str) -> Result<(), CliError> {
        let said = match &self.flags.namespace {
            Some(said) => said,
            None => self.settled.get_or_init(|| namespace.to_owned()),
        };
        if said == namespace {
            return Ok(());
        }
        Err(CliError::new(
            Exit::Usage,
            format!("the manifest is of namespace {namespace}, and not of {said}"),
        ))
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
