//! Looking into repositories: a reader in the cluster, or a restic of this machine, asked over one protocol.
//!
//! [`Session::open`] finds a reader of the Repository that lives, or asks the operator for one (see
//! [`crate::api::config::reader`]); [`Session::ask`] puts one question to it and hands the answer on as it comes. Every
//! byte that arrives goes into a hash that is compared with the one computed inside, at each checkpoint and at the end:
//! an answer that is cut short or altered on the way is an error, never a shorter answer.

pub mod dismiss;
pub mod entry;
pub mod live;
mod local;
pub mod pick;
mod pod;
mod talk;

use std::time::Duration;

use self::talk::Talk;
use super::context::Context;
use super::error::{CliError, Exit};
use crate::api::config::job_result::JobCause;
use crate::api::config::reader::LIVES;
use crate::api::storage::Repository;
use crate::cluster::kinds;
use crate::output::human;
use crate::reader::op::{Op, Request};
use crate::reader::{Source, Trouble};

/// How repositories are reached.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Reader options")]
pub struct ReaderArgs {
    /// Use a restic of this machine instead of a reader in the cluster: reads the Secrets with your rights
    #[arg(long)]
    pub local: bool,
    /// How long to wait for the reader to start
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "2m", hide_short_help = true)]
    pub reader_timeout: Duration,
}

impl Default for ReaderArgs {
    fn default() -> Self {
        ReaderArgs {
            local: false,
            reader_timeout: Duration::from_secs(120),
        }
    }
}

/// Which files, where a command takes several patterns at once, as KubeStash's do.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Patterns {
    /// Only files that match these patterns, separated by commas
    #[arg(
        long,
        value_name = "PATTERN",
        value_delimiter = ',',
        conflicts_with = "exclude"
    )]
    pub include: Vec<String>,
    /// Not files that match these patterns, separated by commas
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub exclude: Vec<String>,
}

/// Takes an answer as it comes.
pub trait Sink {
    /// What is about to come, where the question has such a beginning.
    ///
    /// # Errors
    /// What ends the answer.
    fn start(&mut self, entry: &str, resumed: bool, version: &str) -> Result<(), CliError> {
        let _ = (entry, resumed, version);
        Ok(())
    }

    /// Bytes.
    ///
    /// # Errors
    /// What ends the answer.
    fn data(&mut self, data: &[u8]) -> Result<(), CliError>;

    /// All bytes up to here are proven to be those that were sent.
    ///
    /// # Errors
    /// What ends the answer.
    fn proven(&mut self, bytes: u64) -> Result<(), CliError> {
        let _ = bytes;
        Ok(())
    }
}

impl Sink for Vec<u8> {
    fn data(&mut self, data: &[u8]) -> Result<(), CliError> {
        self.extend_from_slice(data);
        Ok(())
    }
}

/// A way into one Repository.
pub struct Session<'c> {
    context: &'c Context,
    args: ReaderArgs,
    repository: Repository,
    /// How long its readers live.
    seconds: u32,
    way: tokio::sync::Mutex<Way>,
}

#[derive(Clone)]
enum Way {
    Local(Box<Source>),
    Pod(pod::Place),
}

impl<'c> Session<'c> {
    /// A way into a Repository; a reader is asked for when none lives.
    ///
    /// # Errors
    /// When the Repository does not exist, or no reader starts in time.
    pub async fn open(
        context: &'c Context,
        args: &ReaderArgs,
        namespace: &str,
        repository: &str,
    ) -> Result<Self, CliError> {
        Session::open_for(context, args, namespace, repository, LIVES).await
    }

    /// As [`Session::open`], for work that may take so many seconds.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open_for(
        context: &'c Context,
        args: &ReaderArgs,
        namespace: &str,
        repository: &str,
        seconds: u32,
    ) -> Result<Self, CliError> {
        Session::begin(context, args, namespace, repository, seconds, false).await
    }

    /// As [`Session::open`], with a new reader: its Secrets are those of this moment.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open_anew(
        context: &'c Context,
        args: &ReaderArgs,
        namespace: &str,
        repository: &str,
    ) -> Result<Self, CliError> {
        Session::begin(context, args, namespace, repository, LIVES, true).await
    }

    async fn begin(
        context: &'c Context,
        args: &ReaderArgs,
        namespace: &str,
        repository: &str,
        seconds: u32,
        anew: bool,
    ) -> Result<Self, CliError> {
        let cluster = context.cluster().await?;
        let found: Repository = cluster
            .get(&kinds::REPOSITORY, Some(namespace), repository)
            .await?;
        let way = if args.local {
            Way::Local(Box::new(local::source(cluster, &found).await?))
        } else {
            Way::Pod(Box::pin(pod::find(context, args, &found, seconds, anew)).await?)
        };
        Ok(Session {
            context,
            args: args.clone(),
            repository: found,
            seconds,
            way: tokio::sync::Mutex::new(way),
        })
    }

    /// The Repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The restic repositories in it: directories below its path.
    pub fn component_paths(&self) -> Vec<String> {
        let status = self.repository.status.as_ref();
        status.map(|s| s.component_paths.clone()).unwrap_or_default()
    }

    /// Asks, and collects the whole answer.
    ///
    /// # Errors
    /// As [`Session::ask`].
    pub async fn answer(&self, component_path: &str, op: Op) -> Result<Vec<u8>, CliError> {
        let mut all = Vec::new();
        self.ask(component_path, op, &mut all).await?;
        Ok(all)
    }

    /// Asks, and hands the answer on. A reader that went away before it said anything is replaced once.
    ///
    /// # Errors
    /// What the reader says; or that the answer did not arrive whole.
    pub async fn ask(
        &self,
        component_path: &str,
        op: Op,
        sink: &mut (dyn Sink + Send),
    ) -> Result<(), CliError> {
        let request = Request {
            component_path: component_path.to_owned(),
            op,
        };
        match self.try_once(&request, sink).await {
            Err(Broken::BeforeAnything(cause)) => {
                self.renew(&cause).await?;
                self.try_once(&request, sink).await.map_err(Broken::error)
            }
            other => other.map_err(Broken::error),
        }
    }

    /// Whether a restic of this machine answers.
    pub fn is_local(&self) -> bool {
        self.args.local
    }

    /// Replaces a reader that does not answer, or whose Secrets are out of date.
    ///
    /// # Errors
    /// When no other reader starts; the cause itself where there is no reader to replace.
    pub async fn renew(&self, cause: &CliError) -> Result<(), CliError> {
        let mut way = self.way.lock().await;
        if matches!(*way, Way::Local(_)) {
            return Err(cause.clone());
        }
        self.context
            .ui
            .detail(&format!("the reader cannot be used any more: {}", cause.message));
        *way = Way::Pod(
            Box::pin(pod::find(
                self.context,
                &self.args,
                &self.repository,
                self.seconds,
                true,
            ))
            .await?,
        );
        Ok(())
    }

    async fn try_once(&self, request: &Request, sink: &mut (dyn Sink + Send)) -> Result<(), Broken> {
        let way = self.way.lock().await.clone();
        let mut talk = match &way {
            Way::Local(source) => Talk::local(request.clone(), (**source).clone()),
            Way::Pod(place) => {
                let cluster = self.context.cluster().await.map_err(Broken::After)?;
                Talk::over_exec(cluster, place, request)
                    .await
                    .map_err(|e| match e {
                        crate::cluster::Error::Forbidden { .. } => Broken::After(CliError::from(e).hint(
                            "looking into snapshots takes the right to exec into pods: the ClusterRole kubestash-browse has it",
                        )),
                        e => Broken::BeforeAnything(e.into()),
                    })?
            }
        };
        let begins = matches!(request.op, Op::Archive { .. } | Op::Cat { .. });
        let result = talk.hear(begins, sink).await;
        match result {
            Ok(()) => Ok(()),
            Err(talk::Fault::Said(trouble)) => {
                // Its Secrets may be older than the change of a password or of credentials.
                let stale = matches!(
                    trouble.cause,
                    JobCause::WrongPassword | JobCause::AccessDenied
                ) && matches!(&way, Way::Pod(place) if !place.fresh)
                    && !changes(&request.op);
                if stale && !talk.arrived() {
                    return Err(Broken::BeforeAnything(said(&trouble)));
                }
                Err(Broken::After(said(&trouble)))
            }
            Err(talk::Fault::Lost) => Err(self.lost(&way, &talk).await),
            Err(talk::Fault::Altered { at }) => Err(Broken::After(
                CliError::new(
                    Exit::Failed,
                    "what arrived is not what the reader sent: the hashes differ",
                )
                .cause(format!("within the {} before byte {at}", human::bytes(crate::reader::perform::CHECKPOINT)))
                .hint("run the command again; if it happens again, something between here and the cluster alters data"),
            )),
            Err(talk::Fault::Sink(error)) => Err(Broken::After(error)),
        }
    }

    /// The connection ended before the answer did.
    async fn lost(&self, way: &Way, talk: &Talk) -> Broken {
        let error = CliError::new(
            Exit::Failed,
            "the reader went away before its answer was complete",
        );
        let error = match way {
            Way::Local(_) => error,
            Way::Pod(place) => match self.context.cluster().await {
                Ok(cluster) => error.cause(pod::fate(cluster, place, jiff::Timestamp::now()).await),
                Err(_) => error,
            },
        };
        if talk.arrived() {
            Broken::After(error)
        } else {
            Broken::BeforeAnything(error)
        }
    }
}

/// Questions that change something are not repeated.
fn changes(op: &Op) -> bool {
    matches!(
        op,
        Op::KeyAdd { .. } | Op::KeyRemove { .. } | Op::LockRemove { .. } | Op::KeyProve { .. }
    )
}

enum Broken {
    BeforeAnything(CliError),
    After(CliError),
}

impl Broken {
    fn error(self) -> CliError {
        match self {
            Broken::BeforeAnything(error) | Broken::After(error) => error,
        }
    }
}

/// A reader's trouble as an error of ours.
fn said(trouble: &Trouble) -> CliError {
    let exit = match trouble.cause {
        JobCause::SourceMissing | JobCause::SnapshotMissing => Exit::NothingMatched,
        JobCause::WrongPassword
        | JobCause::RepositoryMissing
        | JobCause::BucketMissing
        | JobCause::AccessDenied
        | JobCause::Locked
        | JobCause::Misconfigured
        | JobCause::EngineMissing => Exit::Precondition,
        JobCause::Timeout => Exit::TimedOut,
        JobCause::Corrupt => Exit::Failed,
        _ => Exit::Error,
    };
    CliError::new(exit, trouble.message.clone())
}
