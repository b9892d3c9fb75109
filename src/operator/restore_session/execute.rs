//! Validation, the target, the hold on its BackupConfigurations, identity, plan Secrets, Jobs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::future::{try_join, try_join_all};
use k8s_openapi::{api::core::v1::PersistentVolumeClaim, apimachinery::pkg::apis::meta::v1::Time};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

use super::{
    Run, Step,
    fetch::{self, Found, Resolved},
    hooks,
};
use crate::{
    api::{
        addons,
        conditions::restore_session::{self as types, reason},
        core::{BackupConfiguration, RestoreSession},
        shared::{ConditionStatus, DependencyReference, TypedObjectReference},
    },
    decide::{
        backup::{self, PlannedJob},
        conditions, restore,
        restore::RestoreFacts,
        target::{self, Target},
        volumes,
        words::counted,
    },
    operator::{
        Error,
        executor::{self, Access},
        lookup,
    },
};

/// How often a missing target is looked for.
const LOOK_FOR_TARGET: Duration = Duration::from_secs(5);

/// Takes the session to the point where its Jobs exist, or to the condition that says why they cannot.
pub(super) async fn execute(run: &mut Run) -> Result<Step, Error> {
    let found = fetch::addon(run).await?;
    run.status.dependencies = dependencies(run, &found);
    let resolved = match fetch::resolve(run, &found).await? {
        Ok(resolved) => resolved,
        Err(why) => {
            run.set(
                types::VALIDATION_PASSED,
                false,
                reason::RESOURCE_VALIDATION_FAILED,
                &why,
            );
            run.save().await?;
            let because = reason::RESOURCE_VALIDATION_FAILED;
            run.ctx
                .events
                .warning(&run.session, "Restore", because, &why)
                .await;
            return Ok(Step::Done);
        }
    };
    run.set(
        types::VALIDATION_PASSED,
        true,
        reason::RESOURCE_VALIDATION_PASSED,
        format!("restoring from Snapshot \"{}\"", resolved.snapshot.name_any()),
    );
    remember(run, &resolved).await?;
    if let Some(limit) = run.session.spec.restore_timeout
        && run.status.restore_deadline.is_none()
    {
        run.status.restore_deadline = run
            .now
            .checked_add(jiff::SignedDuration::from(limit))
            .ok()
            .map(Time);
    }
    if run
        .status
        .restore_deadline
        .as_ref()
        .is_some_and(|deadline| run.now >= deadline.0)
    {
        hooks::stop(run).await?;
        let missing = conditions::find(&run.status.conditions, types::RESTORE_TARGET_FOUND)
            .filter(|found| found.status == ConditionStatus::False)
            .map_or("raise its restoreTimeout", |found| found.message.as_str());
        let why = format!("deadline exceeded before the restore began: {missing}");
        return fail(run, &why).await;
    }
    let Some(target) = find_target(run, resolved.target.as_ref()).await? else {
        return missed(run).await;
    };
    hold(run, &resolved, &target).await?;
    if let Step::Wait(after) = Box::pin(hooks::pre(run, &target.reference)).await? {
        return Ok(Step::Wait(after));
    }
    if hooks::pre_failed(run) {
        return Ok(Step::Done);
    }
    make(run, &resolved, &target).await
}

fn dependencies(run: &Run, found: &Found) -> Vec<DependencyReference> {
    let Some(info) = &run.session.spec.addon else {
        return Vec::new();
    };
    vec![DependencyReference {
        api_group: Some(addons::GROUP.to_owned()),
        kind: Some("Addon".to_owned()),
        namespace: None,
        name: info.name.clone(),
        found: Some(found.addon.is_some()),
    }]
}

/// Writes down which Snapshot was chosen, before anything is done with it.
async fn remember(run: &mut Run, resolved: &Resolved) -> Result<(), Error> {
    let source = run.session.spec.data_source.clone().unwrap_or_default();
    let chosen = resolved.snapshot.name_any();
    if !restore::chooses(&source) || run.session.annotations().get(fetch::CHOSEN) == Some(&chosen) {
        return Ok(());
    }
    let patch = json!({ "metadata": { "annotations": { fetch::CHOSEN: chosen } } });
    run.session = run.ctx.applier.merge(&run.session, patch).await?;
    Ok(())
}

/// Waits on for a target that is not there, but not for ever.
async fn missed(run: &mut Run) -> Result<Step, Error> {
    let said = conditions::find(&run.status.conditions, types::RESTORE_TARGET_FOUND);
    let since = said.map_or(run.now, |condition| condition.last_transition_time.0);
    if restore::awaits_target(&run.session, since, run.now) {
        return Ok(Step::Wait(Some(LOOK_FOR_TARGET)));
    }
    let message = said
        .map(|condition| condition.message.clone())
        .unwrap_or_default();
    fail(
        run,
        &format!(
            "gave up after {} minutes: {message}",
            restore::TARGET_WITHIN.as_mins()
        ),
    )
    .await
}

/// The target; `None` while it does not exist, which the status says.
async fn find_target(
    run: &mut Run,
    reference: Option<&TypedObjectReference>,
) -> Result<Option<Target>, Error> {
    let own = run.namespace();
    match lookup::target(&run.ctx.client, reference, &own).await {
        Ok(Some(target)) => {
            run.status.target_found = Some(true);
            let message = format!("{} found", target.describe());
            run.set(
                types::RESTORE_TARGET_FOUND,
                true,
                reason::SUCCESSFULLY_FOUND_RESTORE_TARGET,
                message,
            );
            Ok(Some(target))
        }
        Ok(None) => {
            run.status.target_found = Some(false);
            let missing = target::describe(&target::reference(reference, &own));
            let limit = match run.session.spec.restore_timeout {
                Some(limit) => format!("its restoreTimeout of {limit}"),
                None => format!("{} minutes", restore::TARGET_WITHIN.as_mins()),
            };
            let message =
                format!("target {missing} not found; create it: the restore waits for it, at most {limit}");
            run.set(
                types::RESTORE_TARGET_FOUND,
                false,
                reason::UNABLE_TO_CHECK_TARGET_AVAILABILITY,
                message,
            );
            run.save().await?;
            Ok(None)
        }
        Err(error) if error.is_refusal() => {
            run.set(
                types::RESTORE_TARGET_FOUND,
                false,
                reason::UNABLE_TO_CHECK_TARGET_AVAILABILITY,
                error.sentence(),
            );
            run.save().await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Claims the components and pauses the target's BackupConfigurations. What is paused is written down first, so whoever
/// comes after an interruption knows what to resume.
async fn hold(run: &mut Run, resolved: &Resolved, target: &Target) -> Result<(), Error> {
    if !run.claimed() {
        let configurations: Api<BackupConfiguration> = Api::all(run.ctx.client.clone());
        let sessions: Api<RestoreSession> = Api::all(run.ctx.client.clone());
        let (configurations, others) = try_join(
            lookup::list(&configurations, ListParams::default()),
            lookup::list(&sessions, ListParams::default()),
        )
        .await?;
        run.status.paused_backups =
            restore::to_hold(&run.session, &target.reference, &configurations, &others);
        run.status.total_components = i32::try_from(resolved.parts.len()).ok();
        run.status.components = restore::pending(&resolved.parts);
        run.save().await?;
    }
    for reference in run.status.paused_backups.clone() {
        set_paused(run, &reference, true).await?;
    }
    Ok(())
}

/// Pauses or resumes a BackupConfiguration. One that is gone, or that the API server refuses to change, is left.
pub(super) async fn set_paused(
    run: &Run,
    reference: &TypedObjectReference,
    paused: bool,
) -> Result<(), Error> {
    let namespace = reference.namespace_or(&run.namespace()).to_owned();
    let found = lookup::get::<BackupConfiguration>(&run.ctx.client, &namespace, &reference.name).await?;
    let Some(configuration) = found.filter(|it| it.spec.paused != paused) else {
        return Ok(());
    };
    if configuration.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let patch = json!({ "spec": { "paused": paused } });
    match run.ctx.applier.merge(&configuration, patch).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_refusal() || error.is_not_found() => {
            let note = format!(
                "BackupConfiguration \"{namespace}/{}\": {}",
                reference.name,
                error.sentence()
            );
            run.ctx
                .events
                .warning(&run.session, "Pause", "CannotPauseOrResume", &note)
                .await;
            Ok(())
        }
        Err(error) => Err(error),
    }
}

async fn make(run: &mut Run, resolved: &Resolved, target: &Target) -> Result<Step, Error> {
    let planned = match Box::pin(plan(run, resolved, target)).await {
        Ok(Ok(planned)) => planned,
        Ok(Err(why)) => return fail(run, &why).await,
        Err(error) if error.is_refusal() => return fail(run, &error.sentence()).await,
        Err(error) => return Err(error),
    };
    let made = try_join_all(planned.iter().map(|job| executor::ensure_job(&run.ctx, job))).await;
    match made {
        Ok(_) => {}
        Err(error) if error.is_refusal() || error.is_not_found() => {
            return fail(run, &error.sentence()).await;
        }
        Err(error) => return Err(error),
    }
    run.set(
        types::RESTORE_EXECUTOR_ENSURED,
        true,
        reason::SUCCESSFULLY_ENSURED_RESTORE_EXECUTOR,
        format!("{} ensured", counted(planned.len(), "Job")),
    );
    run.save().await?;
    Ok(Step::Done)
}

/// Plans the Jobs and makes what they run as. The inner error is for the user.
async fn plan(
    run: &Run,
    resolved: &Resolved,
    target: &Target,
) -> Result<Result<Vec<PlannedJob>, String>, Error> {
    let (namespace, name) = (run.namespace(), run.name());
    let source = run.session.spec.data_source.clone().unwrap_or_default();
    let client = &run.ctx.client;
    let repository = &resolved.snapshot.spec.repository;
    let place = fetch::source_namespace(run);
    let facts = Box::pin(lookup::repository(
        client,
        &place,
        repository,
        source.encryption_secret.as_ref(),
        &namespace,
    ))
    .await?;
    let facts = match facts {
        Ok(facts) => facts,
        Err(why) => return Ok(Err(why)),
    };
    let (cluster, operator) = (
        lookup::cluster(&run.ctx).await?,
        executor::operator_facts(&run.ctx),
    );
    let plan = |claims: &BTreeMap<String, PersistentVolumeClaim>| {
        restore::jobs(&RestoreFacts {
            session: &run.session,
            tasks: &resolved.tasks,
            target,
            snapshot: &resolved.snapshot,
            repository: &facts,
            parts: &resolved.parts,
            claims,
            cluster: &cluster,
            operator: &operator,
            deadline: run.status.restore_deadline.as_ref().map(|time| time.0),
        })
        .map_err(|e| e.to_string())
    };
    let first = match plan(&BTreeMap::new()) {
        Ok(first) => first,
        Err(why) => return Ok(Err(why)),
    };
    let wanted: BTreeSet<String> = first.iter().flat_map(|job| job.claims.clone()).collect();
    let job_namespace = target.job_namespace(&namespace);
    let given = run
        .session
        .spec
        .addon
        .as_ref()
        .and_then(backup::given_service_account);
    let labels = restore::offshoot(&run.session);
    let annotations = backup::invoker(&namespace, &name);
    let access = Access {
        namespace: &namespace,
        session: &name,
        job_namespace: &job_namespace,
        given: given.as_deref(),
        role: "kubestash-restore-job",
        labels: &labels,
        annotations: &annotations,
        identities: executor::identities([&facts.storage]),
    };
    // What is to be restored into new claims is made before anything is looked for.
    for claim in first.iter().flat_map(|job| &job.new_claims) {
        run.ctx.applier.create(claim).await?;
    }
    let (claims, ()) = try_join(
        lookup::claims(client, &job_namespace, wanted.clone()),
        executor::ensure_access(&run.ctx, &access),
    )
    .await?;
    if let Some(missing) = wanted.iter().find(|name| !claims.contains_key(*name)) {
        return Ok(Err(volumes::missing_claim(
            missing,
            &job_namespace,
            &target.describe(),
            [&facts.storage],
        )));
    }
    Ok(plan(&claims))
}

async fn fail(run: &mut Run, why: &str) -> Result<Step, Error> {
    let because = reason::FAILED_TO_ENSURE_RESTORE_EXECUTOR;
    run.set(types::RESTORE_EXECUTOR_ENSURED, false, because, why);
    run.save().await?;
    run.ctx
        .events
        .warning(&run.session, "Restore", because, why)
        .await;
    Ok(Step::Done)
}
