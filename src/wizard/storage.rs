//! The wizard for a BackupStorage and the Secret with its credentials.
//!
//! Values of Secrets are never answers: they come from the environment, a file, standard input or a prompt without echo,
//! and live beside the answers, so that neither the command line that is printed nor an answers file can hold one.

mod place;
mod secret;

use std::fmt;
use std::sync::Arc;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::asking::Asking;
use super::credentials::{AUTHORITY, SUFFIX, Values};
use super::found::Found;
use super::names;
use super::prompter::{Choice, Prompter, Question, Reply, choose, fail, fail_with};
use super::retention::admitted;
use super::usage;
use super::walk::Step;
use crate::api::storage::Provider;
use crate::cluster::{Kind, kinds};

/// The answers for a BackupStorage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[command(next_help_heading = "Answers")]
pub struct StorageAnswers {
    /// Name of the BackupStorage; after its provider by default
    #[arg(value_name = "NAME", help_heading = None)]
    pub name: Option<String>,
    /// What kind of storage: s3 (also MinIO, Ceph and the like), gcs, azure or local
    #[arg(long, value_name = "s3|gcs|azure|local")]
    pub provider: Option<String>,
    /// Bucket, for s3 and gcs
    #[arg(long, value_name = "BUCKET")]
    pub bucket: Option<String>,
    /// Address of the S3 server; Amazon's by default
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Region of the bucket, for s3
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Directory in the bucket or container
    #[arg(long, value_name = "PATH")]
    pub prefix: Option<String>,
    /// Do not check the S3 server's certificate
    #[arg(long, conflicts_with = "ca_file")]
    pub insecure_tls: bool,
    /// File with the certificate of the S3 server's authority; it goes into the Secret
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// Storage account, for azure
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Container, for azure
    #[arg(long, value_name = "CONTAINER")]
    pub container: Option<String>,
    /// Suffix of the storage's addresses in another cloud of Azure, such as core.chinacloudapi.cn; it goes into the Secret
    #[arg(long, value_name = "SUFFIX")]
    pub endpoint_suffix: Option<String>,
    /// PersistentVolumeClaim that holds the backups, for local
    #[arg(long, value_name = "NAME")]
    pub pvc: Option<String>,
    /// NFS export that holds the backups, for local
    #[arg(long, value_name = "SERVER:/PATH", conflicts_with = "pvc")]
    pub nfs: Option<String>,
    /// Directory of the node that holds the backups, for local; for trying only
    #[arg(long, value_name = "PATH", conflicts_with_all = ["pvc", "nfs"])]
    pub host_path: Option<String>,
    /// Where the Jobs mount a local storage
    #[arg(long, value_name = "PATH")]
    pub mount_path: Option<String>,
    /// Directory in the volume, for local
    #[arg(long, value_name = "PATH")]
    pub sub_path: Option<String>,
    /// User that the Jobs of a local storage run as; 0 by default
    #[arg(long, value_name = "UID", value_parser = clap::value_parser!(i64).range(0..))]
    pub run_as_user: Option<i64>,
    /// How many connections a Job may have to the storage at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub max_connections: Option<i64>,
    /// Secret with the credentials; made when --from-env or --from-file is given
    #[arg(long, value_name = "NAME")]
    pub secret: Option<String>,
    /// Take the credentials from this process's environment (AWS_ACCESS_KEY_ID, …)
    #[arg(long, conflicts_with = "from_file")]
    pub from_env: bool,
    /// Take the credentials from a file: KEY=VALUE lines, an AWS credentials file, a Google JSON key; - is standard input
    #[arg(long, value_name = "FILE|-")]
    pub from_file: Option<String>,
    /// Use no Secret: the identity of the cloud's pods or nodes counts
    #[arg(long, conflicts_with_all = ["secret", "from_env", "from_file"])]
    pub no_secret: bool,
    /// Who may use it: same, all, or labels of namespaces such as team=a
    #[arg(long, value_name = "same|all|LABELS")]
    pub allow: Option<String>,
    /// Use it where a BackupConfiguration names no storage
    #[arg(long)]
    pub default: bool,
    /// What happens to the data when the BackupStorage is deleted: Delete keeps it, WipeOut removes it
    #[arg(long, value_name = "Delete|WipeOut")]
    pub deletion_policy: Option<String>,
}

/// Reads the credentials of a provider from the environment.
pub type ReadEnvironment = Arc<dyn Fn(Provider) -> Result<Values, String>>;
/// Reads a text file by its path.
pub type ReadFile = Arc<dyn Fn(&str) -> Result<String, String>>;

/// What the wizard reads outside the cluster.
#[derive(Clone)]
pub struct Outside {
    /// Credentials in the environment.
    pub environment: ReadEnvironment,
    /// A text file.
    pub file: ReadFile,
}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outside")
    }
}

/// A wizard on its way.
#[derive(Debug, Clone)]
pub struct State {
    /// The answers.
    pub answers: StorageAnswers,
    /// What the cluster has.
    pub found: Arc<Found>,
    /// The credentials that were given; empty where a Secret exists or none is needed.
    pub values: Values,
    outside: Outside,
    server_asked: bool,
    tls_asked: bool,
    cloud_asked: bool,
    typing: bool,
    default_asked: bool,
}

impl State {
    /// A wizard with the answers that are there already.
    pub fn new(answers: StorageAnswers, found: Arc<Found>, outside: Outside) -> Self {
        State {
            answers,
            found,
            values: Values::default(),
            outside,
            server_asked: false,
            tls_asked: false,
            cloud_asked: false,
            typing: false,
            default_asked: false,
        }
    }

    /// The provider, where it is known.
    pub fn provider(&self) -> Option<Provider> {
        let word = self.answers.provider.as_deref()?;
        Provider::ALL.into_iter().find(|p| p.as_str() == word)
    }

    /// The Secret that holds, or will hold, the credentials.
    pub fn secret(&self) -> Option<String> {
        if self.answers.no_secret || matches!(self.provider(), None | Some(Provider::Local)) {
            return None;
        }
        let name = self.answers.name.as_deref().unwrap_or_default();
        Some(
            self.answers
                .secret
                .clone()
                .unwrap_or_else(|| format!("{name}-credentials")),
        )
    }
}

impl Asking for State {
    type Answers = StorageAnswers;

    const COMMAND: &'static str = "storage";
    const OURS: &'static [&'static Kind] = &[&kinds::BACKUP_STORAGE];
    const BUILTIN: &'static [&'static Kind] = &[
        &kinds::SECRET,
        &kinds::CLAIM,
        // Workloads tell which claims are applications' own.
        &kinds::DEPLOYMENT,
        &kinds::STATEFUL_SET,
        &kinds::DAEMON_SET,
        &kinds::CRON_JOB,
        &kinds::JOB,
        &kinds::POD,
        &kinds::SERVICE,
        &kinds::NAMESPACE,
    ];
    const STEPS: &'static [Step<Self>] = STEPS;

    fn answers(&self) -> &StorageAnswers {
        &self.answers
    }

    fn found(&self) -> &Found {
        &self.found
    }

    fn look_again(&mut self, found: Arc<Found>) {
        self.found = found;
    }

    fn manifests(&self) -> Option<Vec<Value>> {
        manifests(self)
    }

    fn retold(&self, _: &StorageAnswers) -> StorageAnswers {
        let mut answers = self.answers.clone();
        // What was typed is in no command line.
        if !self.values.is_empty() && answers.from_file.is_none() {
            answers.from_env = true;
        }
        answers
    }
}

/// The steps in order.
pub const STEPS: &[Step<State>] = &[
    provider,
    place::server,
    place::bucket,
    place::account,
    place::cloud,
    place::container,
    place::region,
    place::prefix,
    place::tls,
    place::volume,
    secret::credentials_step,
    name,
    allow,
    default,
    check,
];

fn provider(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let answers = &mut state.answers;
    if let Some(word) = &answers.provider {
        if Provider::ALL.iter().any(|p| p.as_str() == word) {
            return Ok(());
        }
        return fail(format!("--provider {word} is none of s3, gcs, azure, local"));
    }
    // Flags that only one provider has say which it is.
    let local = answers.pvc.is_some() || answers.nfs.is_some() || answers.host_path.is_some();
    let azure = [&answers.account, &answers.container, &answers.endpoint_suffix]
        .iter()
        .any(|a| a.is_some());
    let s3 = answers.endpoint.is_some() || answers.region.is_some();
    let inferred = [(local, "local"), (azure, "azure"), (s3, "s3")];
    if let Some((_, word)) = inferred.into_iter().find(|(is, _)| *is) {
        answers.provider = Some(word.to_owned());
        return Ok(());
    }
    let choices = [
        Choice::new(
            "s3",
            "Amazon S3, MinIO, Ceph, Wasabi, R2 and everything else that speaks S3",
        ),
        Choice::new("gcs", "Google Cloud Storage"),
        Choice::new("azure", "Azure Blob Storage"),
        Choice::new("local", "a volume: a claim, NFS, or a directory of a node"),
    ];
    let question = Question::new(
        "--provider",
        "Where shall the backups be kept",
        "Everything is encrypted before it leaves the cluster.",
    )
    .must()
    .need("s3, gcs, azure or local; each has flags of its own");
    answers.provider = Some(choose(prompter, &question, &choices, Some("s3"))?);
    Ok(())
}

fn name(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if let Some(name) = &state.answers.name {
        return names::check(name).or_else(fail);
    }
    let Some(provider) = state.provider() else {
        return Ok(());
    };
    let found = state.found.clone();
    let taken = |name: &str| {
        found.storages.iter().any(|s| {
            s.metadata.name.as_deref() == Some(name)
                && s.metadata.namespace.as_deref() == Some(found.namespace.as_str())
        })
    };
    let default = names::free(&format!("{provider}-storage"), taken);
    let question = Question::new("NAME", "Name of the BackupStorage", "");
    let name = prompter.text(&question, Some(&default), &|text| {
        names::check(text)?;
        Ok(if taken(text) {
            "It exists already and will be changed.".to_owned()
        } else {
            String::new()
        })
    })?;
    state.answers.name = Some(name);
    Ok(())
}

fn allow(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    usage::allow(
        "storage",
        &state.found.namespace,
        &mut state.answers.allow,
        prompter,
    )
}

fn default(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let namespace = state.found.namespace.as_str();
    let mut others = state.found.storages.iter();
    let taken = others.any(|o| o.spec.default && o.metadata.namespace.as_deref() == Some(namespace));
    if taken {
        return Ok(());
    }
    usage::default(
        "storage",
        &mut state.answers.default,
        &mut state.default_asked,
        prompter,
    )
}

/// What belongs into the Secret beside the keys needs one that is being made.
fn beside_the_keys(state: &mut State) -> Reply<()> {
    if let Some(suffix) = state.answers.endpoint_suffix.clone() {
        if state.provider() != Some(Provider::Azure) {
            return fail("--endpoint-suffix is for azure; S3 servers are named by --endpoint");
        }
        if state.values.is_empty() {
            return fail_with(
                "--endpoint-suffix goes into a new Secret, and this storage has none",
                format!("put it into your Secret as {SUFFIX}, or give --from-env or --from-file"),
            );
        }
        state.values.put(SUFFIX, suffix);
    }
    Ok(())
}

fn check(state: &mut State, _: &mut dyn Prompter) -> Reply<()> {
    beside_the_keys(state)?;
    if let Some(policy) = state.answers.deletion_policy.as_deref()
        && !["Delete", "WipeOut"].contains(&policy)
    {
        return fail(format!(
            "--deletion-policy {policy} is neither Delete nor WipeOut"
        ));
    }
    if let Some(path) = state.answers.ca_file.clone() {
        let text = (state.outside.file)(&path).or_else(fail)?;
        if !text.contains("-----BEGIN CERTIFICATE-----") {
            return fail(format!("{path} holds no PEM certificate"));
        }
        if state.values.is_empty() && state.provider().is_some() {
            return fail_with(
                "--ca-file goes into a new Secret, and this storage has none",
                format!(
                    "put the certificate into your Secret as {AUTHORITY}, or give --from-env or --from-file"
                ),
            );
        }
        state.values.put(AUTHORITY, text);
    }
    match manifests(state) {
        Some(objects) => admitted(&state.found, &objects),
        None => Ok(()),
    }
}

/// The Secret (where values were given) and the BackupStorage; `None` while essential answers are missing.
pub fn manifests(state: &State) -> Option<Vec<Value>> {
    let namespace = &state.found.namespace;
    let name = state.answers.name.as_deref()?;
    let secret = state.secret();
    let mut objects = Vec::new();
    if let (Some(secret), false) = (&secret, state.values.is_empty()) {
        objects.push(json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": secret, "namespace": namespace},
            "type": "Opaque",
            "data": state.values.data(),
        }));
    }
    let mut spec = json!({"storage": place::backend(state, secret.as_deref())?});
    let allow = state.answers.allow.as_deref().unwrap_or("same");
    spec["usagePolicy"] = usage::policy(allow).ok()?;
    if state.answers.default {
        spec["default"] = json!(true);
    }
    spec["deletionPolicy"] = json!(state.answers.deletion_policy.as_deref().unwrap_or("Delete"));
    if state.provider() == Some(Provider::Local) {
        let user = state.answers.run_as_user.unwrap_or(0);
        spec["runtimeSettings"] = json!({"pod": {"securityContext": {"runAsUser": user}}});
    }
    objects.push(json!({
        "apiVersion": kinds::BACKUP_STORAGE.api_version(),
        "kind": kinds::BACKUP_STORAGE.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }));
    Some(objects)
}

#[cfg(test)]
mod tests;
