//! Pods that show a volume as it is now, for `snapshot diff A live` (see [`crate::decide::live`]).
//!
//! Asked for and answered as readers are, in annotations of their own. Who may ask can have any reader's answer to the same
//! Snapshot, and nothing else: the volume is the one that the Snapshot is of.

use jiff::{SignedDuration, Timestamp};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

use super::reader::bounded;
use crate::api::config::reader::{
    LIVE_ANSWER_ANNOTATION, LIVE_REQUEST_ANNOTATION, LiveRequest, ReaderAnswer,
};
use crate::api::core::BackupConfiguration;
use crate::api::shared::AddonInfo;
use crate::api::storage::{Repository, Snapshot};
use crate::decide::live::{self, LiveFacts};
use crate::decide::{naming, volumes};
use crate::operator::executor::operator_facts;
use crate::operator::{Context, Error, lookup};

/// Answers the request that stands in the Repository's annotations, if there is one. Returns the Repository as it is then.
///
/// # Errors
/// What the API server answered.
pub(super) async fn answer(
    repository: &Repository,
    ctx: &Context,
    now: Timestamp,
) -> Result<Repository, Error> {
    let Some(text) = repository.annotations().get(LIVE_REQUEST_ANNOTATION) else {
        return Ok(repository.clone());
    };
    let mut annotations = json!({ LIVE_REQUEST_ANNOTATION: null });
    let asked = serde_json::from_str::<LiveRequest>(text).ok();
    if let Some(mut asked) = asked
        && let Some(request) = bounded(asked.request.clone(), now)
    {
        asked.request = request;
        let answer = Box::pin(make(repository, ctx, &asked, now)).await?;
        let text = serde_json::to_string(&answer).map_err(|error| Error::Step(error.to_string()))?;
        annotations[LIVE_ANSWER_ANNOTATION] = json!(text);
    }
    ctx.applier
        .merge(repository, json!({"metadata": {"annotations": annotations}}))
        .await
}

async fn make(
    repository: &Repository,
    ctx: &Context,
    asked: &LiveRequest,
    now: Timestamp,
) -> Result<ReaderAnswer, Error> {
    let refused = |error: String| {
        Ok(ReaderAnswer {
            id: asked.request.id.clone(),
            error,
            ..ReaderAnswer::default()
        })
    };
    let (namespace, name) = (repository.namespace().unwrap_or_default(), repository.name_any());
    let snapshot = lookup::get::<Snapshot>(&ctx.client, &namespace, &asked.snapshot).await?;
    let Some(snapshot) = snapshot.filter(|s| s.spec.repository == name) else {
        return refused(format!("Snapshot {} is not of Repository {name}", asked.snapshot));
    };
    let Some(reference) = &snapshot.spec.app_ref else {
        return refused(format!("Snapshot {} does not say what it is of", asked.snapshot));
    };
    let Some(target) = lookup::target(&ctx.client, Some(reference), &namespace).await? else {
        return refused(format!(
            "{} does not exist any more",
            crate::decide::target::describe(reference)
        ));
    };
    let mounted = match live::data(&snapshot, &asked.component, &target) {
        Ok(mounted) => mounted,
        Err(why) => return refused(why),
    };
    let place = target.job_namespace(&namespace);
    let claims = lookup::claims(&ctx.client, &place, volumes::claims(&mounted.volumes)).await?;
    let job = naming::suffix(&format!("live-{name}"), &asked.request.id);
    let addon = addon(ctx, &namespace, &name, &snapshot.spec.session).await?;
    let made = live::job(&LiveFacts {
        name: &job,
        deadline: i64::from(asked.request.seconds),
        snapshot: &snapshot,
        component: &asked.component,
        target: &target,
        claims: &claims,
        addon: &addon,
        operator: &operator_facts(ctx),
        namespace: &namespace,
        repository: &name,
    });
    match made {
        Ok(job) => ctx.applier.create_if_absent(&job).await?,
        Err(why) => return refused(why),
    };
    Ok(ReaderAnswer {
        id: asked.request.id.clone(),
        namespace: place,
        job,
        until: now
            .checked_add(SignedDuration::from_secs(i64::from(asked.request.seconds)))
            .ok(),
        error: String::new(),
    })
}

/// How backups into this Repository run: of the session of that name, or of any other.
async fn addon(ctx: &Context, namespace: &str, repository: &str, session: &str) -> Result<AddonInfo, Error> {
    let api: Api<BackupConfiguration> = Api::namespaced(ctx.client.clone(), namespace);
    let all = lookup::list(&api, ListParams::default()).await?;
    let mut into: Vec<_> = all
        .into_iter()
        .flat_map(|configuration| configuration.spec.sessions)
        .filter(|s| s.repositories.iter().any(|r| r.name == repository))
        .collect();
    into.sort_by_key(|s| s.name != session);
    Ok(into.into_iter().next().and_then(|s| s.addon).unwrap_or_default())
}
