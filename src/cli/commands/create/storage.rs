//! `create storage`.

use std::sync::Arc;
use std::time::Duration;

use clap::{Args, FromArgMatches};
use futures::future::LocalBoxFuture;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

use super::finish::{Wizard, Written, condition, of_kind, place, ready};
use super::prove::{Proof, prove};
use super::{Common, run_at, run_wizard};
use crate::api::storage::BackupStorage;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cluster::{Cluster, Error, kinds};
use crate::output::human;
use crate::wizard::asking::Asking as _;
use crate::wizard::credentials;
use crate::wizard::found::Found;
use crate::wizard::storage::{Outside, State, StorageAnswers};

/// Create a BackupStorage and the Secret with its credentials
///
/// Before anything is written a short Job proves in the cluster that the storage can be listed, written, read and deleted
/// from. Credentials come from --from-env, --from-file, a prompt without echo, or a Secret that exists; never from the
/// command line.
///
/// Examples:
///   kubectl kubestash create storage
///   kubectl kubestash create storage s3 --provider s3 --bucket backups --region eu-central-1 --from-env
///   kubectl kubestash create storage minio --endpoint http://minio.minio.svc:9000 --bucket backups --from-file keys.env --wait
///   kubectl kubestash create storage nas --nfs nas.example.com:/exports/backups --dry-run=client -o yaml
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct StorageArgs {
    #[command(flatten)]
    answers: StorageAnswers,
    #[command(flatten)]
    common: Common,
    /// Do not prove first that the storage can be used
    #[arg(long)]
    skip_check: bool,
    /// How long the proof may take
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "2m", hide_short_help = true)]
    check_timeout: Duration,
    /// Image of the proof's Job; the operator's by default
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "",
        hide_default_value = true,
        hide_short_help = true
    )]
    image: String,
}

/// Asks, proves and creates.
///
/// # Errors
/// What is missing, what cannot be used, what the API server refuses.
pub async fn run(args: &StorageArgs, context: &Context) -> Result<Exit, CliError> {
    Box::pin(run_wizard(
        &Making {
            args,
            on_the_way: false,
        },
        &args.answers,
        &args.common,
        context,
    ))
    .await
}

/// Asks for a storage on the way to something else, in its namespace. `None`: the person went back.
pub(super) fn on_the_way<'c>(
    context: &'c Context,
    namespace: &'c str,
) -> LocalBoxFuture<'c, Result<Option<Exit>, CliError>> {
    Box::pin(async move {
        let empty = StorageArgs::augment_args(clap::Command::new("storage").no_binary_name(true));
        let args = empty
            .try_get_matches_from(std::iter::empty::<&str>())
            .and_then(|matches| StorageArgs::from_arg_matches(&matches))
            .map_err(|e| {
                CliError::new(Exit::Error, "the storage cannot be asked for").cause(e.to_string())
            })?;
        let making = Making {
            args: &args,
            on_the_way: true,
        };
        Box::pin(run_at(
            &making,
            &args.answers,
            &args.common,
            context,
            Some(namespace),
        ))
        .await
    })
}

struct Making<'a> {
    args: &'a StorageArgs,
    /// Something else goes on after it, so that nothing needs to be said of what comes next.
    on_the_way: bool,
}

fn outside() -> Outside {
    let file = |path: &str| {
        let path = at_home(path, std::env::var("HOME").ok().as_deref());
        super::read(&path).map_err(|e| format!("{} {}", e.message, e.causes.join(" ")))
    };
    Outside {
        environment: Arc::new(move |provider| {
            let variable = |name: &str| std::env::var(name).ok();
            credentials::from_environment(provider, &variable, &|path| std::fs::read_to_string(path).ok())
        }),
        file: Arc::new(file),
    }
}

/// A path that was typed where no shell reads `~/`.
fn at_home(path: &str, home: Option<&str>) -> String {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => format!("{}/{rest}", home.trim_end_matches('/')),
        _ => path.to_owned(),
    }
}

impl Wizard for Making<'_> {
    type State = State;

    fn begin(&self, answers: StorageAnswers, found: Arc<Found>) -> State {
        State::new(answers, found, outside())
    }

    fn beware(&self, state: &State, objects: &[Value]) -> Vec<String> {
        of_kind(objects, &kinds::BACKUP_STORAGE)
            .filter_map(|storage| beside_an_application(storage, state.found()))
            .collect()
    }

    async fn prove(&self, objects: &[Value], context: &Context, cluster: &Cluster) -> Result<(), CliError> {
        if self.args.skip_check {
            return Ok(());
        }
        for storage in of_kind(objects, &kinds::BACKUP_STORAGE) {
            let secret = match credentials_of(storage, objects)? {
                Keys::None => None,
                Keys::New(secret) => Some(*secret),
                Keys::Existing { namespace, name } => Some(existing(cluster, &namespace, &name).await?),
            };
            let proof = Proof {
                storage,
                secret,
                image: &self.args.image,
                limit: self.args.check_timeout,
            };
            Box::pin(prove(context, cluster, &proof)).await?;
        }
        Ok(())
    }

    async fn after(
        &self,
        _: &State,
        written: &Written<'_>,
        context: &Context,
        cluster: &Cluster,
    ) -> Result<Exit, CliError> {
        let Some((namespace, name)) = written.of(&kinds::BACKUP_STORAGE).last().map(place) else {
            return Ok(Exit::Ok);
        };
        if let Some(limit) = written.wait {
            ready(
                context,
                cluster,
                &kinds::BACKUP_STORAGE,
                &(namespace, name),
                limit,
                condition,
            )
            .await?;
        }
        if !self.on_the_way {
            context.ui.say(&format!(
                "Next: `kubectl kubestash create backup --storage {name} -n {namespace}`"
            ));
        }
        Ok(Exit::Ok)
    }
}

/// Says so when the volume of a storage is an application's own.
fn beside_an_application(storage: &Value, found: &Found) -> Option<String> {
    let claim = storage
        .pointer("/spec/storage/local/persistentVolumeClaim/claimName")
        .and_then(Value::as_str)?;
    let (namespace, _) = place(storage);
    if namespace != found.namespace {
        return None;
    }
    let target = found
        .targets
        .iter()
        .find(|t| t.kind == &kinds::CLAIM && t.name == claim)?;
    let by = target.used_by.as_ref()?;
    Some(format!(
        "{by} uses PersistentVolumeClaim {claim}, too: what destroys its data destroys the backups beside it. A claim of its own, best on another disk, keeps them apart."
    ))
}

/// Where the credentials of a storage are.
#[derive(Debug)]
enum Keys {
    /// It names none.
    None,
    /// In a Secret that is written with it.
    New(Box<Secret>),
    /// In a Secret that exists.
    Existing { namespace: String, name: String },
}

/// The Secret that a storage names, among the objects written with it or in the cluster.
fn credentials_of(storage: &Value, objects: &[Value]) -> Result<Keys, CliError> {
    let unreadable = |e: serde_json::Error| {
        CliError::new(Exit::Error, "the storage cannot be proven").cause(e.to_string())
    };
    let (namespace, _) = place(storage);
    let typed: BackupStorage = serde_json::from_value(storage.clone()).map_err(unreadable)?;
    let Some(name) = typed.spec.storage.secret_name() else {
        return Ok(Keys::None);
    };
    match of_kind(objects, &kinds::SECRET).find(|secret| place(secret) == (namespace, name)) {
        Some(new) => Ok(Keys::New(
            serde_json::from_value(new.clone()).map_err(unreadable)?,
        )),
        None => Ok(Keys::Existing {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }),
    }
}

/// The Secret that exists: its values are copied into the proof's own Secret, which is gone afterwards.
async fn existing(cluster: &Cluster, namespace: &str, name: &str) -> Result<Secret, CliError> {
    match cluster.get(&kinds::SECRET, Some(namespace), name).await {
        Ok(secret) => Ok(secret),
        Err(error @ Error::NotFound { .. }) => Err(CliError {
            exit: Exit::Precondition,
            ..CliError::from(error)
        }
        .hint("give its values with --from-env or --from-file to have it made")),
        Err(error) => Err(CliError::from(error)
            .cause(format!("while Secret {name} was read for the proof"))
            .hint("`--skip-check` goes without the proof")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn made() -> Vec<Value> {
        vec![
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "demo"},
                "data": {"AWS_ACCESS_KEY_ID": "aWQ="}}),
            json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "BackupStorage",
                "metadata": {"name": "s3", "namespace": "demo"},
                "spec": {"storage": {"provider": "s3", "s3": {"bucket": "b", "secretName": "keys"}}}}),
        ]
    }

    #[test]
    fn a_tilde_is_the_home_as_in_a_shell() {
        assert_eq!(at_home("~/key.json", Some("/home/me/")), "/home/me/key.json");
        assert_eq!(at_home("~/key.json", None), "~/key.json");
        assert_eq!(at_home("a~/key.json", Some("/home/me")), "a~/key.json");
    }

    #[test]
    fn the_secret_of_the_proof_is_the_one_that_the_manifest_names() {
        let objects = made();
        assert!(matches!(
            credentials_of(&objects[1], &objects).unwrap(),
            Keys::New(_)
        ));
        let mut edited = made();
        edited[1]["spec"]["storage"]["s3"]["secretName"] = json!("older");
        let keys = credentials_of(&edited[1], &edited).unwrap();
        assert!(
            matches!(&keys, Keys::Existing { namespace, name } if namespace == "demo" && name == "older"),
            "{keys:?}"
        );
        edited[1]["spec"]["storage"]["s3"]["secretName"] = json!("keys");
        edited[1]["metadata"]["namespace"] = json!("other");
        let keys = credentials_of(&edited[1], &edited).unwrap();
        assert!(
            matches!(&keys, Keys::Existing { namespace, .. } if namespace == "other"),
            "{keys:?}"
        );
        edited[1]["spec"]["storage"] = json!({"provider": "local", "local": {"mountPath": "/m"}});
        assert!(matches!(credentials_of(&edited[1], &edited).unwrap(), Keys::None));
    }
}
