//! Claim, Snapshots, identity, plan Secrets, Jobs. A failure that only the user can mend ends the session with the
//! condition that names it; anything else is retried.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{try_join, try_join_all};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;

use super::{
    Run, Step, claim,
    fetch::{self, Needs},
    hooks,
};
use crate::{
    api::{
        conditions::backup_session::{self as types, reason},
        core::{BackupConfiguration, Session},
        labels,
        storage::Snapshot,
    },
    decide::{
        addon::SessionTask,
        backup::{self, BackupFacts, PlannedJob},
        plan::RepositoryFacts,
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

/// What a session is made of, all of it there.
struct Parts {
    config: Session,
    target: Target,
    tasks: Vec<SessionTask>,
    repositories: Vec<RepositoryFacts>,
}

/// Takes the session to the point where its Jobs exist, or to the condition that says why they cannot.
pub(super) async fn execute(run: &mut Run) -> Result<Step, Error> {
    let namespace = run.namespace();
    let configuration = fetch::configuration(&run.ctx, &run.session).await?;
    let config = configuration
        .as_ref()
        .and_then(|it| {
            it.spec
                .sessions
                .iter()
                .find(|s| s.name == run.session.spec.session)
        })
        .cloned();
    let needs = match (&configuration, &config) {
        (Some(configuration), Some(config)) => {
            Some(fetch::needs(&run.ctx, &namespace, configuration, config).await?)
        }
        _ => None,
    };
    if !claim::claim(run, configuration.as_ref(), config.as_ref(), needs.as_ref()).await? {
        return Ok(Step::Done);
    }
    if run
        .status
        .backup_deadline
        .as_ref()
        .is_some_and(|deadline| run.now >= deadline.0)
    {
        hooks::stop(run, configuration.as_ref()).await?;
        return fail(
            run,
            "deadline exceeded before the backup began; raise the session's backupTimeout",
        )
        .await;
    }
    let (Some(configuration), Some(config), Some(needs)) = (configuration, config, needs) else {
        return fail(run, "its BackupConfiguration or session was removed while it ran").await;
    };
    let parts = match parts(&configuration, config, needs, &namespace) {
        Ok(parts) => parts,
        Err(why) => return fail(run, &why).await,
    };
    // What can be seen to fail has failed by now: an application is not disturbed for nothing.
    if let Step::Wait(after) = Box::pin(hooks::pre(run, &configuration, &parts.config)).await? {
        return Ok(Step::Wait(after));
    }
    if hooks::pre_failed(run) {
        return Ok(Step::Done);
    }
    let ensured = try_join(snapshots(run, &parts), jobs(run, &parts)).await;
    let planned = match ensured {
        Ok(((), Ok(planned))) => planned,
        Ok(((), Err(why))) => return fail(run, &why).await,
        Err(error) if error.is_refusal() => return fail(run, &error.sentence()).await,
        Err(error) => return Err(error),
    };
    let ensured = try_join_all(planned.iter().map(|job| executor::ensure_job(&run.ctx, job))).await;
    match ensured {
        Ok(_) => {}
        Err(error) if error.is_refusal() || error.is_not_found() => {
            return fail(run, &error.sentence()).await;
        }
        Err(error) => return Err(error),
    }
    let count = run.status.snapshots.len();
    run.set(
        types::SNAPSHOTS_ENSURED,
        true,
        reason::SUCCESSFULLY_ENSURED_SNAPSHOTS,
        format!("{} ensured", counted(count, "Snapshot")),
    );
    run.set(
        types::BACKUP_EXECUTOR_ENSURED,
        true,
        reason::SUCCESSFULLY_ENSURED_BACKUP_EXECUTOR,
        format!("{} ensured", counted(planned.len(), "Job")),
    );
    run.save().await?;
    Ok(Step::Done)
}

/// Everything there, or the first thing that is not.
fn parts(
    configuration: &BackupConfiguration,
    config: Session,
    needs: Needs,
    namespace: &str,
) -> Result<Parts, String> {
    let Some(target) = needs.target else {
        let reference = target::reference(configuration.spec.target.as_ref(), namespace);
        return Err(format!("target {} not found", target::describe(&reference)));
    };
    let tasks = needs.tasks?;
    let repositories = needs.repositories.into_iter().collect::<Result<Vec<_>, _>>()?;
    if backup::components(&tasks, &target).is_empty() {
        return Err(format!(
            "{} has no pods to back up: it is scaled to zero",
            target.describe()
        ));
    }
    Ok(Parts {
        config,
        target,
        tasks,
        repositories,
    })
}

/// Ends the session's work before it began.
async fn fail(run: &mut Run, why: &str) -> Result<Step, Error> {
    run.set(
        types::BACKUP_EXECUTOR_ENSURED,
        false,
        reason::FAILED_TO_ENSURE_BACKUP_EXECUTOR,
        why,
    );
    run.save().await?;
    let because = reason::FAILED_TO_ENSURE_BACKUP_EXECUTOR;
    run.ctx.events.warning(&run.session, "Backup", because, why).await;
    Ok(Step::Done)
}

/// Makes the Snapshots with their first status.
async fn snapshots(run: &Run, parts: &Parts) -> Result<(), Error> {
    let status = backup::snapshot_status(&run.session, &parts.tasks, &parts.target, run.now);
    let each = parts.repositories.iter().map(|repository| {
        let status = &status;
        async move {
            let id = ulid::Ulid::generate().to_string();
            let wanted = backup::snapshot(&run.session, repository, &parts.target, &id);
            let (stored, _): (Snapshot, bool) = run.ctx.applier.create_if_absent(&wanted).await?;
            if stored
                .status
                .as_ref()
                .is_none_or(|status| status.components.is_empty())
            {
                // Other writers may have begun a status of their own; ours fills in what is missing.
                let mut first = stored.status.clone().unwrap_or_default();
                first.components.clone_from(&status.components);
                first.total_components = status.total_components;
                first.snapshot_time = first.snapshot_time.or_else(|| status.snapshot_time.clone());
                first.verification_status = first.verification_status.or(status.verification_status);
                first.phase = first.phase.or(status.phase);
                run.ctx.applier.patch_status(&stored, &first).await?;
            }
            Ok::<_, Error>(())
        }
    });
    try_join_all(each).await.map(|_| ())
}

/// Plans the Jobs and makes what they run as. The inner error is for the user.
async fn jobs(run: &Run, parts: &Parts) -> Result<Result<Vec<PlannedJob>, String>, Error> {
    let namespace = run.namespace();
    let name = run.name();
    let job_namespace = parts.target.job_namespace(&namespace);
    let cluster = lookup::cluster(&run.ctx).await?;
    let operator = executor::operator_facts(&run.ctx);
    let plan = |claims: &BTreeMap<String, PersistentVolumeClaim>| {
        backup::jobs(&BackupFacts {
            session: &run.session,
            config: &parts.config,
            tasks: &parts.tasks,
            target: &parts.target,
            repositories: &parts.repositories,
            claims,
            cluster: &cluster,
            operator: &operator,
            deadline: run.status.backup_deadline.as_ref().map(|time| time.0),
        })
        .map_err(|e| e.to_string())
    };
    // Planned twice: the first plan says which claims to read, the second knows where they are mounted.
    let first = match plan(&BTreeMap::new()) {
        Ok(first) => first,
        Err(why) => return Ok(Err(why)),
    };
    let wanted: BTreeSet<String> = first.iter().flat_map(|job| job.claims.clone()).collect();
    let given = backup::given_service_account(&parts.config.addon.clone().unwrap_or_default());
    let labels = backup::offshoot(&run.session, labels::component::BACKUP);
    let annotations = backup::invoker(&namespace, &name);
    let access = Access {
        namespace: &namespace,
        session: &name,
        job_namespace: &job_namespace,
        given: given.as_deref(),
        role: "kubestash-backup-job",
        labels: &labels,
        annotations: &annotations,
        identities: executor::identities(parts.repositories.iter().map(|r| &r.storage)),
    };
    let (claims, ()) = try_join(
        lookup::claims(&run.ctx.client, &job_namespace, wanted.clone()),
        executor::ensure_access(&run.ctx, &access),
    )
    .await?;
    if let Some(missing) = wanted.iter().find(|name| !claims.contains_key(*name)) {
        return Ok(Err(volumes::missing_claim(
            missing,
            &job_namespace,
            &parts.target.describe(),
            parts.repositories.iter().map(|r| &r.storage),
        )));
    }
    Ok(plan(&claims))
}

/// Namespaces in which Jobs of these Snapshots run.
pub(super) fn job_namespaces(snapshots: &[Option<Snapshot>]) -> Vec<String> {
    let mut all: Vec<String> = snapshots
        .iter()
        .flatten()
        .filter_map(|snapshot| {
            let own = snapshot.namespace().unwrap_or_default();
            Some(snapshot.spec.app_ref.as_ref()?.namespace_or(&own).to_owned())
        })
        .collect();
    all.sort();
    all.dedup();
    all
}
