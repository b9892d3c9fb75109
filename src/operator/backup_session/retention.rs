//! Letting old Snapshots go: never while another session uses the Repository, data first, objects after.

use std::{collections::BTreeMap, time::Duration};

use futures::future::{try_join, try_join_all};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

use super::{Run, Step, claim, fetch};
use crate::{
    api::{
        conditions::backup_session::{self as types, reason},
        config::job_result::JobOutcome,
        core::{
            BackupConfiguration, RestoreSession, RetentionPolicyApplyPhase, RetentionPolicyApplyStatus,
            Session,
        },
        labels::{self, component},
        shared::ObjectReference,
        storage::{DeletionPolicy, Repository, RetentionPolicy, Snapshot},
    },
    decide::{
        admission::backend_of,
        backup, conditions,
        plan::RepositoryFacts,
        retention::{self, Plan},
        retention_job::{self, Work},
        trigger,
    },
    operator::{
        Error,
        executor::{self, Access, JobPhase},
        lookup,
    },
};

/// How long a Repository in use is waited for before it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long it is waited for at all.
const WAIT_FOR_TURN: SignedDuration = SignedDuration::from_hours(24);
/// How long a retention Job may take.
const JOB_WITHIN: SignedDuration = SignedDuration::from_hours(6);

/// Applies the RetentionPolicies of the session's Repositories.
pub(super) async fn apply(run: &mut Run) -> Result<Step, Error> {
    if run.status.retention_policy.is_empty() {
        let configuration = fetch::configuration(&run.ctx, &run.session).await?;
        let Some((configuration, config)) = entry(run, configuration.as_ref()) else {
            return Ok(Step::Done);
        };
        run.status.retention_policy = pending(run, configuration, config).await?;
        if run.status.retention_policy.is_empty() {
            return Ok(Step::Done);
        }
        run.save().await?;
    }
    if !waiting(run) {
        return Ok(Step::Done);
    }
    let jobs = executor::jobs(
        &run.ctx,
        &run.namespace(),
        &run.name(),
        component::RETENTION_POLICY,
    )
    .await?;
    executor::own_secrets(&run.ctx, &jobs).await?;
    match jobs.first() {
        Some(job) if executor::phase(job) == JobPhase::Active => watch(run, job).await,
        Some(job) => conclude(run, job).await.map(|()| Step::Done),
        None => Box::pin(begin(run)).await,
    }
}

fn waiting(run: &Run) -> bool {
    run.status
        .retention_policy
        .iter()
        .any(|entry| entry.phase == Some(RetentionPolicyApplyPhase::Pending))
}

fn entry<'a>(
    run: &Run,
    configuration: Option<&'a BackupConfiguration>,
) -> Option<(&'a BackupConfiguration, &'a Session)> {
    let configuration = configuration?;
    let config = trigger::session(configuration, &run.session.spec.session)?;
    Some((configuration, config))
}

/// One Pending entry per Repository whose backend names a RetentionPolicy that exists.
async fn pending(
    run: &Run,
    configuration: &BackupConfiguration,
    config: &Session,
) -> Result<Vec<RetentionPolicyApplyStatus>, Error> {
    let namespace = run.namespace();
    let mut entries = Vec::new();
    for repository in &config.repositories {
        let backend = backend_of(repository, &configuration.spec.backends);
        let Some(policy) = backend.and_then(|backend| backend.retention_policy.clone()) else {
            continue;
        };
        let place = policy.namespace_or(&namespace).to_owned();
        if lookup::get::<RetentionPolicy>(&run.ctx.client, &place, &policy.name)
            .await?
            .is_none()
        {
            continue;
        }
        entries.push(RetentionPolicyApplyStatus {
            ref_: Some(ObjectReference::new(policy.name, place)),
            repository: repository.name.clone(),
            phase: Some(RetentionPolicyApplyPhase::Pending),
            error: None,
        });
    }
    Ok(entries)
}

/// Takes the session's turn, decides, and makes the Job if one is needed.
async fn begin(run: &mut Run) -> Result<Step, Error> {
    let turn = claim::turn().await;
    let others = fetch::sessions(&run.ctx, &run.namespace()).await?;
    if let Some(other) = retention_job::blocked_by(&run.session, &others) {
        let since = run.session.creation_timestamp().map_or(run.now, |time| time.0);
        if run.now.duration_since(since) < WAIT_FOR_TURN {
            return Ok(Step::Wait(Some(LOOK_AGAIN)));
        }
        let why = format!(
            "BackupSession \"{}\" has been using the Repository all the time",
            other.name_any()
        );
        return end_all(run, &why).await.map(|()| Step::Done);
    }
    let configuration = fetch::configuration(&run.ctx, &run.session).await?;
    let Some((_, config)) = entry(run, configuration.as_ref()) else {
        return end_all(run, "the BackupConfiguration is gone")
            .await
            .map(|()| Step::Done);
    };
    let mut planned = Vec::new();
    for entry in run.status.retention_policy.clone() {
        match Box::pin(plan(run, &entry)).await? {
            Ok(one) => planned.push(one),
            Err(why) => set(run, &entry.repository, Some(&why)),
        }
    }
    for (facts, plan) in planned.iter().filter(|(_, plan)| !retention_job::needs_job(plan)) {
        // What left no data behind goes with its document, which the Snapshot's own removal takes care of.
        let_go(run, &facts.repository, &retention_job::work(plan), false).await?;
        set(run, &facts.repository.name_any(), None);
    }
    if !planned.iter().any(|(_, plan)| retention_job::needs_job(plan)) {
        run.set(
            types::RETENTION_POLICY_EXECUTOR_ENSURED,
            true,
            reason::SUCCESSFULLY_ENSURED_RETENTION_POLICY_EXECUTOR,
            "there was no data to remove",
        );
        run.save().await?;
        return Ok(Step::Done);
    }
    let made = make_job(run, config, &planned).await;
    drop(turn);
    match made {
        Ok(Ok(())) => {
            run.set(
                types::RETENTION_POLICY_EXECUTOR_ENSURED,
                true,
                reason::SUCCESSFULLY_ENSURED_RETENTION_POLICY_EXECUTOR,
                "retention Job ensured",
            );
            run.save().await?;
            Ok(Step::Wait(None))
        }
        Ok(Err(why)) => refuse(run, &why).await,
        Err(error) if error.is_refusal() => refuse(run, &error.sentence()).await,
        Err(error) => Err(error),
    }
}

async fn refuse(run: &mut Run, why: &str) -> Result<Step, Error> {
    run.set(
        types::RETENTION_POLICY_EXECUTOR_ENSURED,
        false,
        reason::FAILED_TO_ENSURE_RETENTION_POLICY_EXECUTOR,
        why,
    );
    end_all(run, why).await?;
    Ok(Step::Done)
}

/// What is to be done to one Repository. The inner error is for the user.
async fn plan(
    run: &Run,
    entry: &RetentionPolicyApplyStatus,
) -> Result<Result<(RepositoryFacts, Plan), String>, Error> {
    let (client, namespace) = (&run.ctx.client, run.namespace());
    let policy_ref = entry.ref_.clone().unwrap_or_default();
    let place = policy_ref.namespace_or(&namespace).to_owned();
    let facts = Box::pin(lookup::repository(
        client,
        &namespace,
        &entry.repository,
        None,
        &namespace,
    ));
    let policy = lookup::get::<RetentionPolicy>(client, &place, &policy_ref.name);
    let (facts, policy) = try_join(facts, policy).await?;
    let facts = match facts {
        Ok(facts) => facts,
        Err(why) => return Ok(Err(why)),
    };
    let Some(policy) = policy else {
        return Ok(Err(format!(
            "RetentionPolicy \"{place}/{}\" not found",
            policy_ref.name
        )));
    };
    let label = format!("{}={}", labels::REPO_NAME, backup::label(&entry.repository));
    let snapshots: Api<Snapshot> = Api::namespaced(client.clone(), &namespace);
    let restores: Api<RestoreSession> = Api::all(client.clone());
    let (snapshots, restores) = try_join(
        lookup::list(&snapshots, ListParams::default().labels(&label)),
        lookup::list(&restores, ListParams::default()),
    )
    .await?;
    let used = retention::in_use(&facts.repository, &snapshots, &restores, &[]);
    Ok(retention::plan(
        &facts.repository,
        &snapshots,
        &policy.spec,
        &run.name(),
        &used,
        run.now,
    )
    .map(|plan| (facts, plan))
    .map_err(|e| e.to_string()))
}

async fn make_job(
    run: &Run,
    config: &Session,
    planned: &[(RepositoryFacts, Plan)],
) -> Result<Result<(), String>, Error> {
    let (namespace, cluster) = (run.namespace(), lookup::cluster(&run.ctx).await?);
    let operator = executor::operator_facts(&run.ctx);
    let deadline = run.now.checked_add(JOB_WITHIN).ok();
    let job = match retention_job::job(&run.session, config, planned, &cluster, &operator, deadline) {
        Ok(job) => job,
        Err(why) => return Ok(Err(why.to_string())),
    };
    let labels = backup::offshoot(&run.session, component::RETENTION_POLICY);
    let annotations = backup::invoker(&namespace, &run.name());
    let name = retention_job::name(&run.session);
    let access = Access {
        namespace: &namespace,
        session: &name,
        job_namespace: &namespace,
        given: None,
        role: "kubestash-retention-policy-job",
        labels: &labels,
        annotations: &annotations,
        identities: executor::identities(planned.iter().map(|(facts, _)| &facts.storage)),
    };
    executor::ensure_access(&run.ctx, &access).await?;
    executor::ensure_job(&run.ctx, &job).await?;
    Ok(Ok(()))
}

/// Waits for the Job, but not for ever.
async fn watch(run: &mut Run, job: &Job) -> Result<Step, Error> {
    let began = job.creation_timestamp().map_or(run.now, |time| time.0);
    let left = JOB_WITHIN
        .checked_sub(Timestamp::now().duration_since(began))
        .unwrap_or_default();
    if left.is_positive() {
        let seconds = u64::try_from(left.as_secs()).unwrap_or(0);
        return Ok(Step::Wait(Some(Duration::from_secs(seconds + 1))));
    }
    run.ctx
        .applier
        .delete::<Job>(&run.namespace(), &job.name_any())
        .await?;
    end_all(run, "the retention Job did not end in time and was stopped").await?;
    Ok(Step::Done)
}

/// Reads how the Job ended, lets go of what it removed, and says so.
async fn conclude(run: &mut Run, job: &Job) -> Result<(), Error> {
    let pods = executor::pods(&run.ctx, job).await?;
    let complete = executor::phase(job) == JobPhase::Succeeded;
    let results: BTreeMap<String, Option<String>> = executor::ends(&pods)
        .into_iter()
        .filter_map(|end| end.result)
        .flat_map(|result| result.repositories)
        .map(|one| {
            let error = (one.outcome == JobOutcome::Failed).then_some(one.message);
            (one.name, error)
        })
        .collect();
    let why = executor::why(job, &pods);
    for (repository, work) in retention_job::work_of(job) {
        let error = match results.get(&repository) {
            Some(error) => error.clone(),
            None if complete => None,
            None => Some(why.clone()),
        };
        if error.is_none()
            && let Some(object) =
                lookup::get::<Repository>(&run.ctx.client, &run.namespace(), &repository).await?
        {
            let_go(run, &object, &work, true).await?;
        }
        set(run, &repository, error.as_deref());
    }
    // Entries that no Job was for were settled when it was made.
    for entry in &mut run.status.retention_policy {
        if entry.phase == Some(RetentionPolicyApplyPhase::Pending) {
            entry.phase = Some(RetentionPolicyApplyPhase::Applied);
        }
    }
    run.save().await
}

/// Removes the stale Snapshots' objects. `forgotten` says that their data is gone already; otherwise each removes what it
/// may have left.
async fn let_go(run: &Run, repository: &Repository, work: &Work, forgotten: bool) -> Result<(), Error> {
    let namespace = run.namespace();
    let each = work.stale.iter().map(|name| {
        let namespace = &namespace;
        async move {
            let Some(snapshot) = lookup::get::<Snapshot>(&run.ctx.client, namespace, name).await? else {
                return Ok(());
            };
            if snapshot.metadata.deletion_timestamp.is_some() {
                return Ok(());
            }
            let mut patch = json!({ "spec": { "deletionPolicy": DeletionPolicy::WipeOut } });
            if forgotten {
                patch["metadata"] =
                    json!({ "annotations": { retention::FORGOTTEN_ANNOTATION: run.now.to_string() } });
            }
            let marked = run.ctx.applier.merge(&snapshot, patch).await?;
            run.ctx.applier.delete_object(&marked).await
        }
    });
    try_join_all(each).await?;
    let known = repository.annotations();
    if work
        .annotations
        .iter()
        .any(|(key, value)| known.get(key) != Some(value))
    {
        let patch = json!({ "metadata": { "annotations": work.annotations } });
        run.ctx.applier.merge(repository, patch).await?;
    }
    Ok(())
}

/// Settles one Repository's entry.
fn set(run: &mut Run, repository: &str, error: Option<&str>) {
    for entry in run
        .status
        .retention_policy
        .iter_mut()
        .filter(|e| e.repository == repository)
    {
        entry.phase = Some(match error {
            Some(_) => RetentionPolicyApplyPhase::FailedToApply,
            None => RetentionPolicyApplyPhase::Applied,
        });
        entry.error = error.map(str::to_owned);
    }
}

/// Settles every entry that is still Pending as failed.
async fn end_all(run: &mut Run, why: &str) -> Result<(), Error> {
    for entry in &mut run.status.retention_policy {
        if entry.phase == Some(RetentionPolicyApplyPhase::Pending) {
            entry.phase = Some(RetentionPolicyApplyPhase::FailedToApply);
            entry.error = Some(why.to_owned());
        }
    }
    if !conditions::has(&run.status.conditions, types::RETENTION_POLICY_EXECUTOR_ENSURED) {
        run.set(
            types::RETENTION_POLICY_EXECUTOR_ENSURED,
            false,
            reason::FAILED_TO_ENSURE_RETENTION_POLICY_EXECUTOR,
            why,
        );
    }
    run.save().await
}
