//! A volume as it is now: a pod that mounts it, read-only, asked as readers are.

use std::time::Duration;

use kube::ResourceExt;
use serde_json::json;
use tokio::time::Instant;

use super::pod::{self, ANSWER_WITHIN, EVERY, Place};
use super::talk::{Fault, Talk};
use super::{CliError, ReaderArgs, Sink, said};
use crate::api::config::reader::{
    LIVE_ANSWER_ANNOTATION, LIVE_REQUEST_ANNOTATION, LiveRequest, ReaderAnswer,
};
use crate::api::storage::Repository;
use crate::cli::context::Context;
use crate::cli::error::Exit;
use crate::cluster::{Error, kinds};
use crate::output::human;
use crate::reader::op::{Op, Request};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(10);

/// A pod that shows what one component of a Snapshot is of.
pub struct Live<'c> {
    context: &'c Context,
    place: Place,
}

impl<'c> Live<'c> {
    /// Asks the operator for the pod, and waits until it runs.
    ///
    /// # Errors
    /// When there is no volume to show, or the pod does not start in time.
    pub async fn open(
        context: &'c Context,
        args: &ReaderArgs,
        repository: &Repository,
        snapshot: &str,
        component: &str,
        seconds: u32,
    ) -> Result<Self, CliError> {
        let cluster = context.cluster().await?;
        let progress = context.ui.progress();
        progress.tick(&format!("asking for the volume of component {component}"));
        let asked = LiveRequest {
            request: pod::request(seconds),
            snapshot: snapshot.to_owned(),
            component: component.to_owned(),
        };
        let answer = ask(context, repository, &asked).await?;
        progress.tick(&format!(
            "waiting for the pod of {}/{} to start",
            answer.namespace, answer.job
        ));
        let place = pod::start(cluster, &answer, args.reader_timeout).await?;
        Ok(Live { context, place })
    }

    /// Asks, and hands the answer on.
    ///
    /// # Errors
    /// What the pod says; or that the answer did not arrive whole.
    pub async fn ask(&self, op: Op, sink: &mut (dyn Sink + Send)) -> Result<(), CliError> {
        let request = Request {
            component_path: String::new(),
            op,
        };
        let cluster = self.context.cluster().await?;
        let mut talk = Talk::over_exec(cluster, &self.place, &request).await.map_err(|e| match e {
            Error::Forbidden { .. } => CliError::from(e)
                .hint("looking at a volume takes the right to exec into pods: the ClusterRole kubestash-browse has it"),
            e => e.into(),
        })?;
        match talk.hear(false, sink).await {
            Ok(()) => Ok(()),
            Err(Fault::Said(trouble)) => Err(said(&trouble)),
            Err(Fault::Sink(error)) => Err(error),
            Err(Fault::Altered { .. }) => Err(CliError::new(
                Exit::Failed,
                "what arrived is not what the pod sent: the hashes differ",
            )),
            Err(Fault::Lost) => {
                let why = pod::fate(cluster, &self.place, jiff::Timestamp::now()).await;
                let what = "the pod that shows the volume went away before its answer was complete";
                Err(CliError::new(Exit::Failed, what).cause(why))
            }
        }
    }

    /// Sends the pod away; a pod that does not hear it ends by itself a little later.
    pub async fn close(self) {
        let mut nothing = Vec::new();
        let _ = tokio::time::timeout(GOODBYE, self.ask(Op::Leave, &mut nothing)).await;
    }
}

/// Writes the request and waits for the operator's answer to it.
async fn ask(
    context: &Context,
    repository: &Repository,
    asked: &LiveRequest,
) -> Result<ReaderAnswer, CliError> {
    let cluster = context.cluster().await?;
    let (name, namespace) = (repository.name_any(), repository.namespace().unwrap_or_default());
    let text = serde_json::to_string(asked).map_err(|e| CliError::new(Exit::Error, e.to_string()))?;
    let patch = json!({"metadata": {"annotations": {LIVE_REQUEST_ANNOTATION: text}}});
    let deadline = Instant::now() + ANSWER_WITHIN;
    let mut ours = false;
    loop {
        if !ours {
            let patched = cluster
                .merge(&kinds::REPOSITORY, Some(&namespace), &name, &patch)
                .await;
            patched.map_err(|error| match error {
                Error::Forbidden { .. } => CliError::from(error).hint(format!(
                    "looking at volumes takes the rights of the ClusterRole kubestash-browse in namespace {namespace}"
                )),
                error => error.into(),
            })?;
        }
        let now: Repository = cluster.get(&kinds::REPOSITORY, Some(&namespace), &name).await?;
        let read = |key: &str| now.annotations().get(key).cloned().unwrap_or_default();
        let answer: ReaderAnswer = serde_json::from_str(&read(LIVE_ANSWER_ANNOTATION)).unwrap_or_default();
        if answer.id == asked.request.id {
            if answer.error.is_empty() {
                return Ok(answer);
            }
            let what = format!(
                "component {} of Snapshot {} cannot be compared with its volume",
                asked.component, asked.snapshot
            );
            return Err(CliError::new(Exit::Precondition, what).cause(answer.error));
        }
        // Somebody else's request may take the place of ours, which then is made again once that is answered.
        let standing = read(LIVE_REQUEST_ANNOTATION);
        ours = !standing.is_empty();
        if Instant::now() > deadline {
            let within = human::go_duration(ANSWER_WITHIN);
            return Err(CliError::new(
                Exit::TimedOut,
                format!("the operator did not make a pod for the volume within {within}"),
            )
            .hint("`kubectl kubestash doctor` finds out whether the operator runs"));
        }
        tokio::time::sleep(EVERY).await;
    }
}
