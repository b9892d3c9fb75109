//! Readers: short-lived Jobs in which a person's plugin runs restic over exec (see [`crate::api::config::reader`]).
//!
//! A request is taken once: the Job is made, then the request leaves the Repository in the same write that brings the
//! answer. Killed in between, the next reconcile finds the Job of that request and answers. Kubernetes ends and removes
//! the Job with its plan Secret and ServiceAccount, so nothing is left to do here, whatever becomes of the operator.

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde_json::json;

use crate::api::config::job_plan::{JobPlan, ReaderPlan};
use crate::api::config::reader::{
    ANSWER_ANNOTATION, LIVES, LIVES_AT_MOST, REQUEST_ANNOTATION, ReaderAnswer, ReaderRequest, STALE,
};
use crate::api::labels::component;
use crate::api::storage::Repository;
use crate::decide::storage_job::Wanted;
use crate::decide::{naming, plan};
use crate::operator::storage_access::is_local;
use crate::operator::{Context, Error, lookup, storage_jobs};

/// Answers the request that stands in the Repository's annotations, if there is one. Returns the Repository as it is then.
///
/// # Errors
/// What the API server answered.
pub(super) async fn answer(
    repository: &Repository,
    ctx: &Context,
    now: Timestamp,
) -> Result<Repository, Error> {
    let Some(text) = repository.annotations().get(REQUEST_ANNOTATION) else {
        return Ok(repository.clone());
    };
    let answer = match wanted(text, now) {
        Some(request) => Some(Box::pin(make(repository, ctx, request, now)).await?),
        None => None,
    };
    let mut annotations = json!({ REQUEST_ANNOTATION: null });
    if let Some(answer) = answer {
        let text = serde_json::to_string(&answer).map_err(|error| Error::Step(error.to_string()))?;
        annotations[ANSWER_ANNOTATION] = json!(text);
    }
    ctx.applier
        .merge(repository, json!({"metadata": {"annotations": annotations}}))
        .await
}

/// The request, unless it makes no sense or whoever asked has given up.
fn wanted(text: &str, now: Timestamp) -> Option<ReaderRequest> {
    bounded(serde_json::from_str(text).ok()?, now)
}

/// As [`wanted`], for a request that has been read.
pub(super) fn bounded(mut request: ReaderRequest, now: Timestamp) -> Option<ReaderRequest> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if request.id.is_empty() || request.id.len() > 16 || !request.id.chars().all(plain) {
        return None;
    }
    if request
        .at
        .is_some_and(|at| now.duration_since(at).as_secs() > STALE)
    {
        return None;
    }
    if request.seconds == 0 {
        request.seconds = LIVES;
    }
    request.seconds = request.seconds.min(LIVES_AT_MOST);
    Some(request)
}

async fn make(
    repository: &Repository,
    ctx: &Context,
    request: ReaderRequest,
    now: Timestamp,
) -> Result<ReaderAnswer, Error> {
    let namespace = repository.namespace().unwrap_or_default();
    let found = Box::pin(lookup::repository(
        &ctx.client,
        &namespace,
        &repository.name_any(),
        None,
        &namespace,
    ))
    .await?;
    let facts = match found {
        Ok(facts) => facts,
        Err(error) => {
            return Ok(ReaderAnswer {
                id: request.id,
                error,
                ..ReaderAnswer::default()
            });
        }
    };
    let (planned, data) = plan::repository(&facts, 0, false);
    let plan = JobPlan::Reader(ReaderPlan {
        repository: planned,
        cluster: lookup::cluster(ctx).await?,
    });
    let name = naming::suffix(&format!("reader-{}", repository.name_any()), &request.id);
    let mut wanted = Wanted::new(
        name,
        component::READER,
        "Repository",
        repository,
        &facts.storage,
        plan,
        data,
    );
    wanted.identity.clone_from(&request.id);
    wanted.deadline = i64::from(request.seconds);
    wanted.service_account.clone_from(&wanted.name);
    if !is_local(&facts.storage) {
        // Beside the Repository, where those who may use it work; only volumes force the Job to the storage.
        wanted.namespace = namespace;
    }
    storage_jobs::run(ctx, &wanted).await?;
    Ok(ReaderAnswer {
        id: request.id,
        namespace: wanted.namespace.clone(),
        job: wanted.name.clone(),
        until: now
            .checked_add(SignedDuration::from_secs(i64::from(request.seconds)))
            .ok(),
        error: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_bounded_and_old_ones_are_not_answered() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let asked = |text: &str| wanted(text, now);
        let plain = asked(r#"{"id":"a1","at":"2026-11-21T11:59:58Z","seconds":0}"#).unwrap();
        assert_eq!(plain.seconds, LIVES);
        let long = asked(r#"{"id":"a1","at":"2026-11-21T12:10:00Z","seconds":999999}"#).unwrap();
        assert_eq!(long.seconds, LIVES_AT_MOST, "a clock that is ahead is no fault");
        for bad in [
            r#"{"id":"a1","at":"2026-11-21T11:00:00Z","seconds":60}"#,
            r#"{"id":"../x","seconds":60}"#,
            r#"{"id":"","seconds":60}"#,
            "nonsense",
        ] {
            assert_eq!(asked(bad), None, "{bad}");
        }
    }
}
