//! Runs the hooks of a session, one after another, each try a Job; see [`crate::decide::hooks`].
//!
//! Nothing waits here: a Job that runs wakes its session when it ends. What has run is read from the session's status and
//! from the Jobs, whose names follow from the session, so an operator that was killed repeats nothing.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Namespace},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{Api, ResourceExt};

use super::{
    Context, Error,
    executor::{self, Access, JobPhase},
    lookup,
};
use crate::{
    api::{
        addons::Function,
        config::job_plan::{HookSummary, HookSummaryStatus},
        core::{self, HookTemplate},
        labels::component,
        shared::{self, HookExecution, HookExecutionPhase, HookInfo, TypedObjectReference},
    },
    decide::{
        backup,
        hooks::{self, HookFacts, HookSession, When},
        usage_policy,
    },
};

/// The role of Jobs that enter pods.
const ROLE: &str = "kubestash-hook-job";

/// How far the hooks of a list are.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// All that were due have succeeded.
    Done,
    /// A Job runs.
    Waiting,
    /// One failed, for this reason; those after it do not run.
    Failed(String),
}

/// What sets a backup's session and a restore's apart for their hooks.
pub struct Seen {
    /// `backup` or `restore`.
    pub word: &'static str,
    /// Namespace of the session.
    pub namespace: String,
    /// Name of the session.
    pub name: String,
    /// Kind and name of what asked for it.
    pub invoker: (&'static str, String),
    /// The application, with its namespace where that is another one.
    pub target: TypedObjectReference,
    /// Labels of the Jobs.
    pub labels: BTreeMap<String, String>,
    /// Why the session has failed; empty as long as it has not.
    pub error: String,
    /// When it was asked for.
    pub began: Timestamp,
}

/// A session as its hooks see it.
#[must_use]
pub fn session(seen: Seen) -> HookSession {
    let target_namespace = seen.target.namespace_or(&seen.namespace).to_owned();
    let took = shared::Duration::from(Timestamp::now().duration_since(seen.began)).rounded_to_seconds();
    let (kind, invoker) = seen.invoker;
    let own = format!("{}Session", seen.word);
    let inputs = [
        ("namespace", seen.namespace.as_str()),
        ("invokerKind", kind),
        ("invokerName", &invoker),
        (&own, &seen.name),
        ("targetKind", seen.target.kind()),
        ("targetName", &seen.target.name),
        ("targetNamespace", &target_namespace),
    ];
    HookSession {
        stem: hooks::stem(seen.word, &seen.namespace, &seen.name, &target_namespace),
        labels: seen.labels,
        inputs: inputs
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        summary: HookSummary {
            name: seen.name.clone(),
            namespace: seen.namespace.clone(),
            invoker: TypedObjectReference {
                api_group: Some(core::GROUP.to_owned()),
                kind: Some(kind.to_owned()),
                namespace: Some(seen.namespace.clone()),
                name: invoker,
            },
            target: seen.target,
            status: HookSummaryStatus {
                phase: if seen.error.is_empty() {
                    "Succeeded"
                } else {
                    "Failed"
                }
                .to_owned(),
                duration: took.to_string(),
                error: seen.error,
            },
        },
        target_namespace,
        namespace: seen.namespace,
        name: seen.name,
    }
}

/// Until the deadline, if there is one; never less than a second.
#[must_use]
pub fn left(deadline: Option<&Time>, now: Timestamp) -> Option<Duration> {
    let seconds = u64::try_from(deadline?.0.duration_since(now).as_secs()).unwrap_or(0);
    Some(Duration::from_secs(seconds.max(1)))
}

/// Where the ServiceAccount and RoleBinding of a session's hooks may be: beside each of its Jobs. `word` is `backup` or
/// `restore`.
#[must_use]
pub fn places(word: &str, namespace: &str, name: &str, job_namespaces: &[String]) -> Vec<(String, String)> {
    job_namespaces
        .iter()
        .map(|place| {
            let stem = hooks::stem(word, namespace, name, place);
            (place.clone(), backup::label(&stem))
        })
        .collect()
}

/// A list of hooks of a session.
pub struct List<'a> {
    /// The session.
    pub session: &'a HookSession,
    /// Before or after its work.
    pub when: When,
    /// The hooks, in the order in which they run.
    pub hooks: &'a [HookInfo],
    /// Whether the session has failed so far.
    pub failed: bool,
}

impl List<'_> {
    /// The hooks that run, by their place in the list.
    fn due(&self) -> impl Iterator<Item = (usize, &HookInfo)> {
        let all = self.hooks.iter().enumerate();
        all.filter(|(_, info)| hooks::due(info, self.when, self.failed))
    }
}

/// Takes the list as far as it gets; `entries` are its lines in the session's status.
///
/// # Errors
/// What the API server answered; what the user can mend is [`Progress::Failed`].
pub async fn run(
    ctx: &Context,
    list: &List<'_>,
    entries: &mut Vec<HookExecution>,
) -> Result<Progress, Error> {
    let before = std::mem::take(entries);
    let due: Vec<(usize, &HookInfo)> = list.due().collect();
    *entries = lines(&due, &before);
    if due.is_empty() {
        return Ok(Progress::Done);
    }
    let session = list.session;
    let jobs = executor::jobs(ctx, &session.namespace, &session.name, component::HOOK).await?;
    for ((index, info), entry) in due.into_iter().zip(entries.iter_mut()) {
        if entry.phase == Some(HookExecutionPhase::Succeeded) {
            continue;
        }
        match Box::pin(one(ctx, list, index, info, &jobs)).await? {
            Progress::Done => entry.phase = Some(HookExecutionPhase::Succeeded),
            Progress::Waiting => return Ok(Progress::Waiting),
            Progress::Failed(why) => {
                entry.phase = Some(HookExecutionPhase::Failed);
                return Ok(Progress::Failed(format!("hook \"{}\": {why}", entry.name)));
            }
        }
    }
    Ok(Progress::Done)
}

/// One line for each hook that is due, with what the status says of it already. Names need not differ: of two that are the
/// same the first line is the first hook's.
fn lines(due: &[(usize, &HookInfo)], before: &[HookExecution]) -> Vec<HookExecution> {
    let mut rest: Vec<&HookExecution> = before.iter().collect();
    let line = |(index, info): &(usize, &HookInfo)| {
        let name = hooks::title(info, *index);
        let known = rest.iter().position(|entry| entry.name == name);
        let phase = known.and_then(|at| rest.remove(at).phase);
        HookExecution {
            phase: phase.or(Some(HookExecutionPhase::Pending)),
            name,
        }
    };
    due.iter().map(line).collect()
}

/// One hook: its last try, or the next one.
async fn one(
    ctx: &Context,
    list: &List<'_>,
    index: usize,
    info: &HookInfo,
    jobs: &[Job],
) -> Result<Progress, Error> {
    let mut attempt = 0;
    loop {
        let name = hooks::job_name(list.session, list.when, index, attempt);
        let Some(job) = jobs.iter().find(|job| job.name_any() == name) else {
            return begin(ctx, list, index, info, attempt).await;
        };
        executor::own_secrets(ctx, std::slice::from_ref(job)).await?;
        match executor::phase(job) {
            JobPhase::Active => return Ok(Progress::Waiting),
            JobPhase::Succeeded => return Ok(Progress::Done),
            JobPhase::Failed if attempt < info.max_retry => attempt += 1,
            JobPhase::Failed => {
                let why = executor::told(ctx, job).await?;
                let tries = if attempt > 0 {
                    format!("failed {} times; at last ", attempt + 1)
                } else {
                    String::new()
                };
                return Ok(Progress::Failed(format!("{tries}{why}")));
            }
        }
    }
}

/// Makes the Job of a try, with what it may do.
async fn begin(
    ctx: &Context,
    list: &List<'_>,
    index: usize,
    info: &HookInfo,
    attempt: i32,
) -> Result<Progress, Error> {
    let session = list.session;
    let template = match template(ctx, session, info).await? {
        Ok(template) => template,
        Err(why) => return Ok(Progress::Failed(why)),
    };
    let wanted = template
        .spec
        .executor
        .as_ref()
        .and_then(|executor| executor.function.as_ref());
    let function = match wanted {
        Some(wanted) if !wanted.name.is_empty() => {
            Api::<Function>::all(ctx.client.clone())
                .get_opt(&wanted.name)
                .await?
        }
        _ => None,
    };
    let operator = executor::operator_facts(ctx);
    let planned = hooks::job(&HookFacts {
        session,
        when: list.when,
        index,
        attempt,
        info,
        template: &template,
        function: function.as_ref(),
        operator: &operator,
    });
    let planned = match planned {
        Ok(planned) => planned,
        Err(why) => return Ok(Progress::Failed(why)),
    };
    let made = Box::pin(async {
        access(ctx, session, info, hooks::enters_pods(&template)).await?;
        executor::ensure_job(ctx, &planned).await
    });
    match made.await {
        Ok(()) => Ok(Progress::Waiting),
        Err(error) if error.is_refusal() || error.is_not_found() => Ok(Progress::Failed(error.sentence())),
        Err(error) => Err(error),
    }
}

/// The HookTemplate, if it exists and may be used from the session's namespace. The inner error is for the user.
async fn template(
    ctx: &Context,
    session: &HookSession,
    info: &HookInfo,
) -> Result<Result<HookTemplate, String>, Error> {
    let Some(reference) = &info.hook_template else {
        return Ok(Err("it names no hookTemplate".to_owned()));
    };
    let place = reference.namespace_or(&session.namespace).to_owned();
    let name = &reference.name;
    let Some(found) = lookup::get::<HookTemplate>(&ctx.client, &place, name).await? else {
        return Ok(Err(format!("HookTemplate \"{place}/{name}\" not found")));
    };
    let policy = found.spec.usage_policy.as_ref();
    let own = Api::<Namespace>::all(ctx.client.clone())
        .get_opt(&session.namespace)
        .await?;
    let labels = own
        .map(|namespace| namespace.labels().clone())
        .unwrap_or_default();
    if !usage_policy::allows(policy, &place, &session.namespace, &labels) {
        return Ok(Err(format!(
            "HookTemplate \"{place}/{name}\" may be used by {}, not by namespace {}; see its usagePolicy",
            usage_policy::describe(policy, &place),
            session.namespace
        )));
    }
    Ok(Ok(found))
}

/// Who the Jobs are. Only those that enter pods get a right at all, and only where the pods are.
async fn access(ctx: &Context, session: &HookSession, info: &HookInfo, enters: bool) -> Result<(), Error> {
    let account = hooks::account(session);
    let annotations = backup::invoker(&session.namespace, &session.name);
    let given = hooks::given_account(info);
    let access = Access {
        namespace: &session.target_namespace,
        session: &account,
        job_namespace: &session.target_namespace,
        given: given.as_deref(),
        role: ROLE,
        labels: &session.labels,
        annotations: &annotations,
        identities: std::collections::BTreeMap::new(),
    };
    if enters {
        executor::ensure_access(ctx, &access).await
    } else {
        executor::ensure_account(ctx, &access).await
    }
}

/// Stops the hooks that still run.
///
/// # Errors
/// What the API server answered.
pub async fn stop(ctx: &Context, session: &HookSession) -> Result<(), Error> {
    let jobs = executor::jobs(ctx, &session.namespace, &session.name, component::HOOK).await?;
    for job in jobs.iter().filter(|job| executor::phase(job) == JobPhase::Active) {
        ctx.applier.delete_object(job).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hooks_of_the_same_name_have_lines_of_their_own() {
        let hook: HookInfo = serde_json::from_value(json!({"name": "sync"})).unwrap();
        let due = [(0, &hook), (1, &hook)];
        let before = lines(&due, &[]);
        let mut half = before.clone();
        half[0].phase = Some(HookExecutionPhase::Succeeded);
        let phases: Vec<_> = lines(&due, &half).iter().map(|line| line.phase).collect();
        assert_eq!(
            phases,
            [
                Some(HookExecutionPhase::Succeeded),
                Some(HookExecutionPhase::Pending)
            ],
            "the second has not run because the first has"
        );
    }
}
