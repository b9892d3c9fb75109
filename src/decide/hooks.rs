//! Hooks: what a session has done before and after its work, and by whom.
//!
//! Every try of every hook is a Job of its own with a name that follows from the session, so a hook runs once however
//! often the operator is interrupted, and its rights are its own and not the operator's. A HookTemplate that names a
//! Function becomes that Function's Job; any other action is carried out by our own program in a Job beside the target:
//! in the selected pods (`Pod`), or against the host that the action names (`Operator`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::EnvVar;

use super::{
    addon,
    backup::{self, OperatorFacts, PlannedJob, label},
    job::{JobFrame, NOBODY, TaskContainer},
    naming, plan, storage_job,
    variables::{self, Inputs},
    volumes::Volumes,
};
use crate::api::{
    addons::{Function, FunctionSpec},
    config::job_plan::{HookPlan, HookPods, HookSummary, JobPlan},
    core::{ExecutionStrategy, ExecutorType, HookExecutor, HookTemplate},
    labels,
    shared::{Handler, HookExecutionPolicy, HookInfo},
};

/// Memory that a hook's Job asks for.
const MEMORY: &str = "32Mi";
/// Limit of a try where the hook names none.
const TIMEOUT_SECONDS: u64 = 300;
/// What a pod may need to start, beyond the limit of the action itself.
const START_SECONDS: u64 = 60;

/// Before or after the session's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Before.
    Pre,
    /// After, whatever came of it.
    Post,
}

impl When {
    const fn word(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Post => "post",
        }
    }
}

/// The session that a hook belongs to.
#[derive(Debug, Clone, Default)]
pub struct HookSession {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Name of its hooks' Jobs, without what tells them apart.
    pub stem: String,
    /// Labels of what is made for it.
    pub labels: BTreeMap<String, String>,
    /// Where its target is and its Jobs run.
    pub target_namespace: String,
    /// Inputs for `${…}`.
    pub inputs: Inputs,
    /// Data for Go templates.
    pub summary: HookSummary,
}

/// Everything that one try of a hook depends on.
pub struct HookFacts<'a> {
    /// The session.
    pub session: &'a HookSession,
    /// Before or after.
    pub when: When,
    /// The hook's place in its list.
    pub index: usize,
    /// How many tries there were before.
    pub attempt: i32,
    /// The hook.
    pub info: &'a HookInfo,
    /// What it puts to use.
    pub template: &'a HookTemplate,
    /// The Function, where the template names one and it exists.
    pub function: Option<&'a Function>,
    /// What the operator adds to every Job.
    pub operator: &'a OperatorFacts,
}

/// Whether the hook runs at all: before the work always, after it as its policy says.
#[must_use]
pub fn due(info: &HookInfo, when: When, failed: bool) -> bool {
    match (when, info.execution_policy) {
        (When::Pre, _) | (_, HookExecutionPolicy::Always) => true,
        (When::Post, HookExecutionPolicy::OnSuccess) => !failed,
        (When::Post, HookExecutionPolicy::OnFailure) => failed,
    }
}

/// Name of the Job of one try.
#[must_use]
pub fn job_name(session: &HookSession, when: When, index: usize, attempt: i32) -> String {
    let name = format!("{}-{}-{index}-{attempt}", session.stem, when.word());
    naming::bounded(&name, naming::MAX_NAME)
}

/// Beginning of the names of a session's hook Jobs, and the name of their ServiceAccount. It carries the session's
/// namespace where the Jobs run in another one.
#[must_use]
pub fn stem(kind: &str, namespace: &str, session: &str, target_namespace: &str) -> String {
    if namespace == target_namespace {
        format!("hook-{kind}-{session}")
    } else {
        format!("hook-{kind}-{namespace}-{session}")
    }
}

/// The ServiceAccount of a session's hook Jobs and the RoleBinding beside it.
#[must_use]
pub fn account(session: &HookSession) -> String {
    label(&session.stem)
}

/// What a hook is called in statuses and messages.
#[must_use]
pub fn title(info: &HookInfo, index: usize) -> String {
    if info.name.is_empty() {
        format!("hook-{index}")
    } else {
        info.name.clone()
    }
}

/// Whether the template's action needs pods to be found or entered.
#[must_use]
pub fn enters_pods(template: &HookTemplate) -> bool {
    let type_ = template
        .spec
        .executor
        .as_ref()
        .and_then(|executor| executor.type_);
    type_ == Some(ExecutorType::Pod)
}

/// The ServiceAccount that the hook itself names.
#[must_use]
pub fn given_account(info: &HookInfo) -> Option<String> {
    let pod = info.runtime_settings.as_ref()?.pod.as_ref()?;
    pod.service_account_name.clone().filter(|name| !name.is_empty())
}

/// The Job of one try.
///
/// # Errors
/// What the hook or its template lacks, for the session's status.
pub fn job(facts: &HookFacts<'_>) -> Result<PlannedJob, String> {
    let inputs = inputs(facts)?;
    let executor = facts.template.spec.executor.clone().unwrap_or_default();
    let resolve = |action: &Handler| variables::resolve(action, &inputs).map_err(|e| e.to_string());
    let action = facts.template.spec.action.as_ref().map(resolve).transpose()?;
    let missing =
        || "its HookTemplate has no action: give one of exec, httpGet, httpPost, tcpSocket".to_owned();
    match executor.type_ {
        Some(ExecutorType::Function) => by_function(facts, &executor, &inputs),
        Some(ExecutorType::Pod) => {
            let pod = executor.pod.unwrap_or_default();
            let pods = HookPods {
                namespace: facts.session.target_namespace.clone(),
                selector: variables::substitute(&pod.selector, &inputs).map_err(|e| e.to_string())?,
                owner: pod.owner,
                all: pod.strategy == ExecutionStrategy::ExecuteOnAll,
            };
            if pods.selector.trim().is_empty() {
                return Err(
                    "spec.executor.pod.selector of its HookTemplate is empty: it selects the pods".to_owned(),
                );
            }
            by_ourselves(facts, action.ok_or_else(missing)?, Some(pods))
        }
        Some(ExecutorType::Operator) => {
            let action = action.ok_or_else(missing)?;
            hosted(&action)?;
            by_ourselves(facts, action, None)
        }
        None => Err(
            "spec.executor.type of its HookTemplate is missing: one of Function, Pod, Operator".to_owned(),
        ),
    }
}

/// Without pods there is no command to run and no address but the one that is given.
fn hosted(action: &Handler) -> Result<(), String> {
    if action.exec.is_some() {
        return Err("a command needs a pod to run in: use the executor type Pod".to_owned());
    }
    let hosts = [
        action.http_get.as_ref().map(|it| it.host.as_deref()),
        action.http_post.as_ref().map(|it| it.host.as_deref()),
        action.tcp_socket.as_ref().map(|it| it.host.as_deref()),
    ];
    if hosts
        .into_iter()
        .flatten()
        .any(|host| host.unwrap_or("").is_empty())
    {
        return Err(
            "the action names no host, and the executor type Operator has no pod whose address it could take"
                .to_owned(),
        );
    }
    Ok(())
}

/// The session's inputs, the template's defaults, the hook's values and plain variables, later ones winning.
fn inputs(facts: &HookFacts<'_>) -> Result<Inputs, String> {
    let mut all = facts.session.inputs.clone();
    let known = &facts.template.spec.params;
    for parameter in known {
        if let Some(default) = &parameter.default {
            all.insert(parameter.name.clone(), default.clone());
        }
    }
    all.extend(facts.info.params.as_ref().map(addon::scalars).unwrap_or_default());
    for variable in &facts.info.variables {
        if let Some(value) = &variable.value {
            all.insert(variable.name.clone(), value.clone());
        }
    }
    let lacking = known
        .iter()
        .find(|parameter| parameter.required && all.get(&parameter.name).is_none_or(String::is_empty));
    match lacking {
        Some(parameter) => Err(format!(
            "its HookTemplate requires the parameter \"{}\": set it in the hook's params{}",
            parameter.name,
            if parameter.usage.is_empty() {
                String::new()
            } else {
                format!(" ({})", parameter.usage)
            }
        )),
        None => Ok(all),
    }
}

fn by_function(
    facts: &HookFacts<'_>,
    executor: &HookExecutor,
    inputs: &Inputs,
) -> Result<PlannedJob, String> {
    let settings = executor.function.clone().unwrap_or_default();
    let function = facts.function.ok_or_else(|| {
        format!(
            "Function \"{}\" not found; `kubectl get functions` lists what is installed",
            settings.name
        )
    })?;
    let mut volumes = Volumes::default();
    let given = settings.volumes.iter().chain(&facts.info.volumes);
    for volume in given {
        volumes.volume(variables::resolve(volume, inputs).map_err(|e| e.to_string())?);
    }
    for mount in settings.volume_mounts.iter().chain(&facts.info.volume_mounts) {
        volumes.mount(variables::resolve(mount, inputs).map_err(|e| e.to_string())?);
    }
    let env: Vec<EnvVar> = settings
        .env
        .iter()
        .chain(&facts.info.variables)
        .cloned()
        .collect();
    let container = TaskContainer {
        task: "hook".to_owned(),
        function: variables::resolve(&function.spec, inputs).map_err(|e| e.to_string())?,
        volumes,
        env,
        plan_key: plan::key(0),
        ..TaskContainer::default()
    };
    planned(facts, container, HookPlan::default(), 0)
}

fn by_ourselves(
    facts: &HookFacts<'_>,
    action: Handler,
    pods: Option<HookPods>,
) -> Result<PlannedJob, String> {
    let container = TaskContainer {
        task: "hook".to_owned(),
        function: FunctionSpec {
            command: vec!["/kubestash".to_owned()],
            args: vec!["job".to_owned(), "hook".to_owned()],
            ..FunctionSpec::default()
        },
        plan_key: plan::key(0),
        ..TaskContainer::default()
    };
    let plan = HookPlan {
        hook: title(facts.info, facts.index),
        action,
        pods,
        timeout_seconds: timeout(facts.info),
        summary: facts.session.summary.clone(),
    };
    planned(facts, container, plan, START_SECONDS)
}

fn timeout(info: &HookInfo) -> u64 {
    info.timeout
        .map(jiff::SignedDuration::from)
        .and_then(|limit| u64::try_from(limit.as_secs()).ok())
        .map_or(TIMEOUT_SECONDS, |seconds| seconds.max(1))
}

fn planned(
    facts: &HookFacts<'_>,
    container: TaskContainer,
    plan: HookPlan,
    extra_seconds: u64,
) -> Result<PlannedJob, String> {
    let session = facts.session;
    let settings = facts.info.runtime_settings.clone().unwrap_or_default();
    let template = storage_job::template(&settings);
    let mut labels = session.labels.clone();
    labels.insert(labels::COMPONENT.to_owned(), labels::component::HOOK.to_owned());
    let frame = JobFrame {
        name: job_name(session, facts.when, facts.index, facts.attempt),
        namespace: session.target_namespace.clone(),
        labels,
        annotations: backup::invoker(&session.namespace, &session.name),
        service_account: given_account(facts.info).unwrap_or_else(|| account(session)),
        template: Some(&template),
        container_settings: settings.container.as_ref(),
        user: Some(NOBODY),
        groups: Vec::new(),
        image: facts.operator.image.clone(),
        proxy: facts.operator.proxy.clone(),
        memory: MEMORY,
        ..JobFrame::default()
    };
    let mut planned = backup::planned(
        &frame,
        &[container],
        &[JobPlan::Hook(plan)],
        BTreeMap::new(),
        Vec::new(),
    )
    .map_err(|e| e.to_string())?;
    if let Some(spec) = planned.job.spec.as_mut() {
        let seconds = timeout(facts.info) + extra_seconds;
        spec.active_deadline_seconds = i64::try_from(seconds).ok();
        if let Some(pod) = spec.template.spec.as_mut() {
            pod.node_name = settings.pod.and_then(|pod| pod.node_name);
        }
    }
    Ok(planned)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn template(spec: &Value) -> HookTemplate {
        serde_json::from_value(
            json!({"apiVersion": "core.kubestash.com/v1alpha1", "kind": "HookTemplate",
            "metadata": {"name": "t", "namespace": "demo"}, "spec": spec}),
        )
        .unwrap()
    }

    fn info(value: Value) -> HookInfo {
        serde_json::from_value(value).unwrap()
    }

    fn session() -> HookSession {
        HookSession {
            namespace: "demo".into(),
            name: "bc-daily-1".into(),
            stem: stem("backup", "demo", "bc-daily-1", "apps"),
            target_namespace: "apps".into(),
            inputs: [("namespace".to_owned(), "demo".to_owned())].into(),
            ..HookSession::default()
        }
    }

    fn planned_for(
        info: &HookInfo,
        template: &HookTemplate,
        function: Option<&Function>,
    ) -> Result<PlannedJob, String> {
        let operator = OperatorFacts {
            image: "ours:1".into(),
            ..OperatorFacts::default()
        };
        job(&HookFacts {
            session: &session(),
            when: When::Pre,
            index: 0,
            attempt: 2,
            info,
            template,
            function,
            operator: &operator,
        })
    }

    fn plan_of(planned: &PlannedJob) -> HookPlan {
        let data = planned.secret.data.as_ref().unwrap();
        match serde_json::from_slice(&data["plan.json"].0).unwrap() {
            JobPlan::Hook(plan) => plan,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn policies_say_when_a_hook_runs() {
        for (policy, failed, runs) in [
            ("Always", true, true),
            ("OnSuccess", true, false),
            ("OnSuccess", false, true),
            ("OnFailure", false, false),
            ("OnFailure", true, true),
        ] {
            let hook = info(json!({"executionPolicy": policy}));
            assert_eq!(due(&hook, When::Post, failed), runs, "{policy} {failed}");
            assert!(
                due(&hook, When::Pre, failed),
                "policies are for hooks after the work"
            );
        }
    }

    #[test]
    fn a_command_in_a_pod_is_planned_with_its_parameters_and_limits() {
        let template = template(
            &json!({"params": [{"name": "db", "required": true, "usage": "which one"}, {"name": "mode", "default": "fast"}],
            "action": {"exec": {"command": ["sh", "-c", "freeze ${db} ${mode} in ${namespace} {{ .Name }}"]}, "containerName": "app"},
            "executor": {"type": "Pod", "pod": {"selector": "app=${db}", "strategy": "ExecuteOnAll"}}}),
        );
        let missing = planned_for(&info(json!({"name": "freeze"})), &template, None).unwrap_err();
        assert!(
            missing.contains("\"db\"") && missing.contains("which one"),
            "{missing}"
        );
        let hook = info(
            json!({"name": "freeze", "params": {"db": "web"}, "timeout": "20s",
            "runtimeSettings": {"pod": {"nodeSelector": {"a": "b"}}}}),
        );
        let planned = planned_for(&hook, &template, None).unwrap();
        assert_eq!(
            planned.job.metadata.name.as_deref(),
            Some("hook-backup-demo-bc-daily-1-pre-0-2")
        );
        assert_eq!(planned.job.metadata.namespace.as_deref(), Some("apps"));
        let spec = planned.job.spec.clone().unwrap();
        assert_eq!(spec.active_deadline_seconds, Some(80));
        assert!(spec.template.spec.unwrap().node_selector.is_some());
        let plan = plan_of(&planned);
        assert_eq!(
            plan.action.exec.unwrap().command.unwrap()[2],
            "freeze web fast in demo {{ .Name }}"
        );
        assert_eq!(plan.timeout_seconds, 20);
        let pods = plan.pods.unwrap();
        assert_eq!(
            (pods.selector.as_str(), pods.namespace.as_str(), pods.all),
            ("app=web", "apps", true)
        );
    }

    #[test]
    fn a_function_becomes_its_own_job() {
        let template = template(
            &json!({"executor": {"type": "Function", "function": {"name": "notify", "env": [{"name": "A", "value": "1"}],
            "volumes": [{"name": "v", "emptyDir": {}}], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}}}),
        );
        let hook = info(
            json!({"name": "tell", "params": {"who": "team"}, "variables": [{"name": "B", "value": "2"}]}),
        );
        let gone = planned_for(&hook, &template, None).unwrap_err();
        assert!(gone.contains("Function \"notify\" not found"), "{gone}");
        let function: Function = serde_json::from_value(
            json!({"apiVersion": "addons.kubestash.com/v1alpha1", "kind": "Function",
            "metadata": {"name": "notify"}, "spec": {"image": "notify:1", "args": ["--to=${who}"]}}),
        )
        .unwrap();
        let planned = planned_for(&hook, &template, Some(&function)).unwrap();
        let pod = planned.job.spec.unwrap().template.spec.unwrap();
        let container = &pod.containers[0];
        assert_eq!(container.image.as_deref(), Some("notify:1"));
        assert_eq!(container.args.as_deref(), Some(&["--to=team".to_owned()][..]));
        let names: Vec<_> = container.env.iter().flatten().map(|e| e.name.as_str()).collect();
        assert!(names.contains(&"A") && names.contains(&"B"), "{names:?}");
        assert!(
            container
                .volume_mounts
                .iter()
                .flatten()
                .any(|m| m.mount_path == "/v")
        );
    }

    #[test]
    fn without_pods_the_action_must_name_its_host_and_be_no_command() {
        let said = |action: Value| {
            let template = template(&json!({"action": action, "executor": {"type": "Operator"}}));
            planned_for(&info(json!({"name": "h"})), &template, None)
        };
        assert!(
            said(json!({"exec": {"command": ["true"]}}))
                .unwrap_err()
                .contains("needs a pod")
        );
        assert!(
            said(json!({"httpGet": {"port": 80}}))
                .unwrap_err()
                .contains("names no host")
        );
        let plan = plan_of(&said(json!({"tcpSocket": {"port": 80, "host": "db"}})).unwrap());
        assert_eq!((plan.pods, plan.timeout_seconds), (None, 300));
    }

    #[test]
    fn hooks_without_a_name_are_numbered_and_long_names_stay_apart() {
        assert_eq!(title(&info(json!({})), 3), "hook-3");
        let mut long = session();
        long.stem = "hook-backup-".to_owned() + &"a".repeat(80);
        let names: Vec<_> = (0..3).map(|n| job_name(&long, When::Post, 0, n)).collect();
        assert!(
            names.iter().all(|name| name.len() <= 63) && names[0] != names[1],
            "{names:?}"
        );
    }
}
