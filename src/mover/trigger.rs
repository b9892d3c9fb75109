//! `kubestash trigger-backup`: what the CronJob of a session runs. It reads the BackupConfiguration and creates a
//! BackupSession; the operator does the rest.

use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use crate::api::core::{BackupConfiguration, BackupSession};
use crate::decide::trigger;

/// How long the whole trigger may take.
const WITHIN: Duration = Duration::from_secs(60);
/// How many names are tried when sessions of the same second exist already.
const NAMES: i64 = 10;

/// Which session of which configuration to trigger.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Name of the BackupConfiguration
    #[arg(long)]
    pub invoker_name: String,
    /// Kind of the invoker; only BackupConfiguration can be triggered
    #[arg(long, default_value = "BackupConfiguration")]
    pub invoker_kind: String,
    /// Name of the session in it
    #[arg(long)]
    pub session_name: String,
    /// Namespace of the BackupConfiguration; the pod's own by default
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: Option<String>,
}

/// Creates the BackupSession with the pod's own rights. A paused configuration is not triggered, which is no error.
///
/// # Errors
/// When the configuration or its session does not exist, or the API server refuses.
pub async fn run(options: Options) -> anyhow::Result<()> {
    crate::telemetry::start();
    let config = kube::Config::infer()
        .await
        .context("no Kubernetes configuration was found")?;
    let client = Client::try_from(config.clone()).context("the Kubernetes configuration cannot be used")?;
    let namespace = options.namespace.clone().unwrap_or(config.default_namespace);
    tokio::time::timeout(WITHIN, create(client, &namespace, &options, Timestamp::now()))
        .await
        .with_context(|| format!("no BackupSession could be created within {} s", WITHIN.as_secs()))?
}

async fn create(client: Client, namespace: &str, options: &Options, now: Timestamp) -> anyhow::Result<()> {
    if options.invoker_kind != "BackupConfiguration" {
        bail!(
            "{} {} cannot be triggered: only a BackupConfiguration can",
            options.invoker_kind,
            options.invoker_name
        );
    }
    let name = &options.invoker_name;
    let configurations: Api<BackupConfiguration> = Api::namespaced(client.clone(), namespace);
    let configuration = configurations
        .get(name)
        .await
        .with_context(|| format!("BackupConfiguration {namespace}/{name} cannot be read"))?;
    if configuration.spec.paused {
        tracing::info!(
            namespace,
            name,
            "the BackupConfiguration is paused: nothing is triggered"
        );
        return Ok(());
    }
    let Some(session) = trigger::session(&configuration, &options.session_name) else {
        bail!(
            "BackupConfiguration {namespace}/{name} has no session {:?}",
            options.session_name
        );
    };
    let sessions: Api<BackupSession> = Api::namespaced(client, namespace);
    for unix in now.as_second()..now.as_second() + NAMES {
        let made = trigger::backup_session(&configuration, session, unix, trigger::retries(session));
        match sessions.create(&PostParams::default(), &made).await {
            Ok(made) => {
                tracing::info!(namespace, name = made.name_any(), "BackupSession created");
                return Ok(());
            }
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("BackupSession {} cannot be created", made.name_any()));
            }
        }
    }
    bail!("{NAMES} BackupSessions of this very moment exist already")
}
