//! The pod of a Job: Functions become containers, settings of three levels are merged, defaults are safe.
//!
//! Settings of a container, first given wins: `jobTemplate`, `containerRuntimeSettings` of the Addon reference,
//! `runtimeSettings` of the Function, and then ours: no privilege escalation, the runtime's seccomp profile, and for
//! users other than root no capabilities. All tasks of a Job run one after another, the earlier ones as init containers.
//! A failed Job is never repeated by Kubernetes (`backoffLimit: 0`, `restartPolicy: Never`): the session decides.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::{
            Affinity, Capabilities, Container, EnvVar, EnvVarSource, KeyToPath, NodeAffinity, NodeSelector,
            NodeSelectorRequirement, NodeSelectorTerm, ObjectFieldSelector, PodSecurityContext, PodSpec,
            PodTemplateSpec as KubePodTemplate, ResourceRequirements, SeccompProfile, SecretVolumeSource,
            SecurityContext, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::api::resource::Quantity,
};
use kube::api::ObjectMeta;

use super::{naming, volumes::Volumes};
use crate::api::{
    addons::FunctionSpec,
    config::job_plan::{COMPONENT_ENV, PLAN_DIR, PLAN_FILE, POD_NAME_ENV, POD_NAMESPACE_ENV, POD_UID_ENV},
    shared::{ContainerRuntimeSettings, PodTemplateSpec},
};

/// The user that backups and retention run as unless told otherwise.
pub const NOBODY: i64 = 65534;

/// One task of a Job, resolved.
#[derive(Debug, Clone, Default)]
pub struct TaskContainer {
    /// Name of the task.
    pub task: String,
    /// The component it writes.
    pub component: String,
    /// The Function, resolved.
    pub function: FunctionSpec,
    /// Its volumes and mounts.
    pub volumes: Volumes,
    /// The task's own environment.
    pub env: Vec<EnvVar>,
    /// Key of its plan in the plan Secret.
    pub plan_key: String,
}

/// Everything about a Job that is not a task.
#[derive(Debug, Clone, Default)]
pub struct JobFrame<'a> {
    /// Name of the Job and of its plan Secret.
    pub name: String,
    /// Where it runs.
    pub namespace: String,
    /// Labels of the Job and its pod.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Job and its pod.
    pub annotations: BTreeMap<String, String>,
    /// The ServiceAccount of its pod.
    pub service_account: String,
    /// The user's template.
    pub template: Option<&'a PodTemplateSpec>,
    /// The user's container settings.
    pub container_settings: Option<&'a ContainerRuntimeSettings>,
    /// User (and for root, group) of the pod when nobody says otherwise.
    pub user: Option<i64>,
    /// Groups of the pod beside those of the user's template.
    pub groups: Vec<i64>,
    /// The node it must run on.
    pub node: Option<String>,
    /// Image of Functions that name none.
    pub image: String,
    /// The operator's proxy variables.
    pub proxy: Vec<EnvVar>,
    /// Memory to ask for when nobody says otherwise.
    pub memory: &'a str,
    /// Entries of the plan Secret that every container sees beside its plan.
    pub secret_keys: Vec<String>,
    /// The Job needs no plan Secret.
    pub without_plan: bool,
}

/// The Job.
#[must_use]
pub fn job(frame: &JobFrame<'_>, tasks: &[TaskContainer]) -> Job {
    let template = frame.template.and_then(|t| t.spec.clone()).unwrap_or_default();
    let pod_metadata = frame
        .template
        .and_then(|t| t.metadata.clone())
        .unwrap_or_default();
    let controller = frame
        .template
        .and_then(|t| t.controller.clone())
        .unwrap_or_default();

    let mut all = Volumes::default();
    let mut containers: Vec<Container> = tasks
        .iter()
        .enumerate()
        .map(|(index, task)| container(frame, task, index))
        .collect();
    for task in tasks {
        task.volumes
            .volumes
            .iter()
            .cloned()
            .for_each(|volume| all.volume(volume));
    }
    template
        .volumes
        .iter()
        .cloned()
        .for_each(|volume| all.volume(volume));
    plan_volumes(frame, tasks)
        .into_iter()
        .for_each(|volume| all.volume(volume));
    let main = containers.pop();
    let mut init = template.init_containers.clone();
    init.append(&mut containers);

    let security = template
        .security_context
        .clone()
        .or_else(|| default_pod_security(frame.user));
    let security = in_groups(security, &frame.groups);
    let pod = PodSpec {
        containers: main.into_iter().collect(),
        init_containers: some(init),
        volumes: some(all.volumes),
        restart_policy: Some("Never".into()),
        service_account_name: Some(frame.service_account.clone()),
        security_context: security,
        affinity: pinned(template.affinity.clone(), frame.node.as_deref()),
        node_selector: some_map(template.node_selector.clone()),
        tolerations: some(template.tolerations.clone()),
        image_pull_secrets: some(template.image_pull_secrets.clone()),
        termination_grace_period_seconds: template.termination_grace_period_seconds,
        dns_policy: template.dns_policy.clone(),
        dns_config: template.dns_config.clone(),
        host_network: template.host_network.then_some(true),
        host_pid: template.host_pid.then_some(true),
        host_ipc: template.host_ipc.then_some(true),
        share_process_namespace: template.share_process_namespace,
        scheduler_name: template.scheduler_name.clone(),
        priority_class_name: template.priority_class_name.clone(),
        priority: template.priority,
        runtime_class_name: template.runtime_class_name.clone(),
        enable_service_links: template.enable_service_links,
        topology_spread_constraints: some(template.topology_spread_constraints.clone()),
        ..PodSpec::default()
    };
    Job {
        metadata: ObjectMeta {
            name: Some(frame.name.clone()),
            namespace: Some(frame.namespace.clone()),
            labels: Some(merged(&controller.labels, &frame.labels)),
            annotations: Some(merged(&controller.annotations, &frame.annotations)),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            template: KubePodTemplate {
                metadata: Some(ObjectMeta {
                    labels: Some(merged(&pod_metadata.labels, &frame.labels)),
                    annotations: Some(merged(&pod_metadata.annotations, &frame.annotations)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn container(frame: &JobFrame<'_>, task: &TaskContainer, index: usize) -> Container {
    let template = frame.template.and_then(|t| t.spec.clone()).unwrap_or_default();
    let given = frame.container_settings.cloned().unwrap_or_default();
    let own = task.function.runtime_settings.clone().unwrap_or_default();
    let user = template
        .security_context
        .as_ref()
        .and_then(|context| context.run_as_user)
        .or(frame.user);

    let mut mounts = task.volumes.clone();
    task.function
        .volume_mounts
        .iter()
        .cloned()
        .for_each(|mount| mounts.mount(mount));
    template
        .volume_mounts
        .iter()
        .cloned()
        .for_each(|mount| mounts.mount(mount));
    if !frame.without_plan {
        mounts.mount(VolumeMount {
            name: plan_volume_name(index),
            mount_path: PLAN_DIR.into(),
            read_only: Some(true),
            ..VolumeMount::default()
        });
    }
    let mut args = task.function.args.clone();
    args.extend(template.args.clone());
    let env_from: Vec<_> = own.env_from.iter().chain(&given.env_from).cloned().collect();
    Container {
        name: naming::container(&task.task, index),
        image: Some(
            task.function
                .image
                .clone()
                .filter(|i| !i.is_empty())
                .unwrap_or_else(|| frame.image.clone()),
        ),
        command: some(task.function.command.clone()),
        args: some(args),
        working_dir: task.function.working_dir.clone(),
        ports: some(task.function.ports.clone()),
        volume_devices: some(task.function.volume_devices.clone()),
        volume_mounts: some(mounts.mounts),
        env: some(environment(frame, task, &own, &given, &template.env)),
        env_from: some(env_from),
        resources: template
            .resources
            .clone()
            .or(given.resources)
            .or(own.resources)
            .or_else(|| Some(requests(frame.memory))),
        liveness_probe: template
            .liveness_probe
            .clone()
            .or(given.liveness_probe)
            .or(own.liveness_probe),
        readiness_probe: template
            .readiness_probe
            .clone()
            .or(given.readiness_probe)
            .or(own.readiness_probe),
        lifecycle: template.lifecycle.clone().or(given.lifecycle).or(own.lifecycle),
        security_context: template
            .container_security_context
            .clone()
            .or(given.security_context)
            .or(own.security_context)
            .or_else(|| Some(default_container_security(user))),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        ..Container::default()
    }
}

/// The container's environment; of equal names the last wins, and what the mover relies on cannot be overridden.
fn environment(
    frame: &JobFrame<'_>,
    task: &TaskContainer,
    own: &ContainerRuntimeSettings,
    given: &ContainerRuntimeSettings,
    template: &[EnvVar],
) -> Vec<EnvVar> {
    let mut all = frame.proxy.clone();
    for settings in [own, given] {
        all.extend(niceness(settings));
        all.extend(settings.env.iter().cloned());
    }
    all.extend(task.env.iter().cloned());
    all.extend(template.iter().cloned());
    all.push(EnvVar {
        name: COMPONENT_ENV.into(),
        value: Some(task.component.clone()),
        value_from: None,
    });
    for (name, path) in [
        (POD_NAME_ENV, "metadata.name"),
        (POD_NAMESPACE_ENV, "metadata.namespace"),
        (POD_UID_ENV, "metadata.uid"),
    ] {
        all.push(downward(name, path));
    }
    let mut unique: Vec<EnvVar> = Vec::new();
    for variable in all {
        unique.retain(|known| known.name != variable.name);
        unique.push(variable);
    }
    unique
}

fn downward(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.into(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: Some("v1".into()),
                field_path: path.into(),
            }),
            ..EnvVarSource::default()
        }),
    }
}

fn niceness(settings: &ContainerRuntimeSettings) -> Vec<EnvVar> {
    let number = |name: &str, value: Option<i32>| {
        value.map(|value| EnvVar {
            name: name.into(),
            value: Some(value.to_string()),
            value_from: None,
        })
    };
    let nice = settings.nice.as_ref();
    let ionice = settings.ionice.as_ref();
    [
        number("NICE_ADJUSTMENT", nice.and_then(|n| n.adjustment)),
        number("IONICE_CLASS", ionice.and_then(|n| n.class)),
        number("IONICE_CLASS_DATA", ionice.and_then(|n| n.class_data)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn plan_volume_name(index: usize) -> String {
    format!("kubestash-plan-{index}")
}

/// One volume per container over the same Secret: each sees its own plan under the one file name.
fn plan_volumes(frame: &JobFrame<'_>, tasks: &[TaskContainer]) -> Vec<Volume> {
    if frame.without_plan {
        return Vec::new();
    }
    tasks
        .iter()
        .enumerate()
        .map(|(index, task)| {
            let plan = KeyToPath {
                key: task.plan_key.clone(),
                path: PLAN_FILE.into(),
                ..KeyToPath::default()
            };
            let others = frame.secret_keys.iter().map(|key| KeyToPath {
                key: key.clone(),
                path: key.clone(),
                ..KeyToPath::default()
            });
            Volume {
                name: plan_volume_name(index),
                secret: Some(SecretVolumeSource {
                    secret_name: Some(frame.name.clone()),
                    items: Some([plan].into_iter().chain(others).collect()),
                    ..SecretVolumeSource::default()
                }),
                ..Volume::default()
            }
        })
        .collect()
}

/// Root restores owners; anybody else gets files of their own.
fn default_pod_security(user: Option<i64>) -> Option<PodSecurityContext> {
    let user = user?;
    Some(PodSecurityContext {
        run_as_user: Some(user),
        run_as_group: (user == 0).then_some(0),
        run_as_non_root: (user != 0).then_some(true),
        ..PodSecurityContext::default()
    })
}

/// The same, with these supplementary groups as well.
fn in_groups(security: Option<PodSecurityContext>, groups: &[i64]) -> Option<PodSecurityContext> {
    if groups.is_empty() {
        return security;
    }
    let mut security = security.unwrap_or_default();
    let known = security.supplemental_groups.get_or_insert_default();
    let new = groups.iter().filter(|group| !known.contains(group));
    let new: Vec<i64> = new.copied().collect();
    known.extend(new);
    Some(security)
}

fn default_container_security(user: Option<i64>) -> SecurityContext {
    let root = user == Some(0);
    SecurityContext {
        allow_privilege_escalation: Some(false),
        // Root needs its default capabilities to read and restore files of all owners.
        capabilities: (!root).then(|| Capabilities {
            drop: Some(vec!["ALL".into()]),
            add: None,
        }),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".into(),
            localhost_profile: None,
        }),
        ..SecurityContext::default()
    }
}

/// What restic was measured to need; no limits, since a killed backup is worse than a large one.
fn requests(memory: &str) -> ResourceRequirements {
    let requests = [("cpu", "100m"), ("memory", memory)]
        .into_iter()
        .map(|(name, quantity)| (name.to_owned(), Quantity(quantity.to_owned())))
        .collect();
    ResourceRequirements {
        requests: Some(requests),
        ..ResourceRequirements::default()
    }
}

/// The affinity with `node` as the only place: every term the user requires gets it, too.
fn pinned(affinity: Option<Affinity>, node: Option<&str>) -> Option<Affinity> {
    let Some(node) = node else { return affinity };
    let here = NodeSelectorRequirement {
        key: "metadata.name".into(),
        operator: "In".into(),
        values: Some(vec![node.to_owned()]),
    };
    let mut affinity = affinity.unwrap_or_default();
    let nodes = affinity.node_affinity.get_or_insert_with(NodeAffinity::default);
    let required = nodes
        .required_during_scheduling_ignored_during_execution
        .get_or_insert_with(NodeSelector::default);
    if required.node_selector_terms.is_empty() {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    for term in &mut required.node_selector_terms {
        term.match_fields.get_or_insert_default().push(here.clone());
    }
    Some(affinity)
}

fn merged(given: &BTreeMap<String, String>, ours: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = given.clone();
    all.extend(ours.clone());
    all
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn some_map(map: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then_some(map)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn frame<'a>(template: Option<&'a PodTemplateSpec>) -> JobFrame<'a> {
        JobFrame {
            name: "demo-s-1".into(),
            namespace: "demo".into(),
            labels: [(
                "app.kubernetes.io/managed-by".to_owned(),
                "kubestash.com".to_owned(),
            )]
            .into(),
            service_account: "s-1".into(),
            template,
            user: Some(NOBODY),
            groups: Vec::new(),
            image: "ours".into(),
            memory: "256Mi",
            secret_keys: vec!["backend-0.AWS_ACCESS_KEY_ID".into()],
            ..JobFrame::default()
        }
    }

    fn task(name: &str) -> TaskContainer {
        TaskContainer {
            task: name.into(),
            component: "dump".into(),
            function: serde_json::from_value(json!({"args": ["job", "workload-backup"],
                "runtimeSettings": {"env": [{"name": "A", "value": "function"}], "nice": {"adjustment": 5}}}))
            .unwrap(),
            env: vec![
                EnvVar {
                    name: "A".into(),
                    value: Some("task".into()),
                    value_from: None,
                },
                EnvVar {
                    name: COMPONENT_ENV.into(),
                    value: Some("forged".into()),
                    value_from: None,
                },
            ],
            plan_key: PLAN_FILE.into(),
            ..TaskContainer::default()
        }
    }

    fn pod(job: &Job) -> PodSpec {
        job.spec.clone().unwrap().template.spec.unwrap()
    }

    #[test]
    fn a_plain_job_is_hardened_and_never_repeated() {
        let job = job(&frame(None), &[task("logical-backup")]);
        assert_eq!(job.spec.as_ref().unwrap().backoff_limit, Some(0));
        let pod = pod(&job);
        assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
        assert_eq!(pod.security_context.unwrap().run_as_user, Some(NOBODY));
        let container = &pod.containers[0];
        assert_eq!(
            (container.name.as_str(), container.image.as_deref()),
            ("logical-backup-0", Some("ours"))
        );
        let security = container.security_context.clone().unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.capabilities.unwrap().drop.unwrap(), ["ALL"]);
        let env: BTreeMap<_, _> = container
            .env
            .iter()
            .flatten()
            .map(|e| (e.name.as_str(), e.value.as_deref()))
            .collect();
        assert_eq!(env["A"], Some("task"));
        assert_eq!(env["NICE_ADJUSTMENT"], Some("5"));
        assert_eq!(
            env[COMPONENT_ENV],
            Some("dump"),
            "what the mover relies on cannot be overridden"
        );
        let plan = pod
            .volumes
            .unwrap()
            .into_iter()
            .find(|v| v.name == "kubestash-plan-0")
            .unwrap()
            .secret
            .unwrap();
        assert_eq!(plan.secret_name.as_deref(), Some("demo-s-1"));
        assert_eq!(plan.items.unwrap()[0].path, PLAN_FILE);
    }

    #[test]
    fn groups_of_a_storage_come_beside_those_of_the_template() {
        let mut frame = frame(None);
        frame.groups = vec![7, 9];
        let security = pod(&job(&frame, &[task("logical-backup")]))
            .security_context
            .unwrap();
        assert_eq!(security.supplemental_groups.unwrap(), [7, 9]);
        assert_eq!((security.run_as_user, security.fs_group), (Some(NOBODY), None));
        let template: PodTemplateSpec =
            serde_json::from_value(json!({"spec": {"securityContext": {"supplementalGroups": [9, 1]}}}))
                .unwrap();
        frame.template = Some(&template);
        let security = pod(&job(&frame, &[task("logical-backup")]))
            .security_context
            .unwrap();
        assert_eq!(security.supplemental_groups.unwrap(), [9, 1, 7]);
    }

    #[test]
    fn the_users_template_wins() {
        let template: PodTemplateSpec = serde_json::from_value(json!({
            "metadata": {"labels": {"team": "a"}}, "controller": {"annotations": {"note": "x"}},
            "spec": {"securityContext": {"runAsUser": 0}, "resources": {"limits": {"memory": "1Gi"}},
                     "nodeSelector": {"disk": "fast"}, "args": ["--verbose"]}}))
        .unwrap();
        let job = job(&frame(Some(&template)), &[task("logical-backup")]);
        assert_eq!(job.metadata.annotations.as_ref().unwrap()["note"], "x");
        assert_eq!(
            job.spec
                .as_ref()
                .unwrap()
                .template
                .metadata
                .as_ref()
                .unwrap()
                .labels
                .as_ref()
                .unwrap()["team"],
            "a"
        );
        let pod = pod(&job);
        assert_eq!(pod.security_context.clone().unwrap().run_as_user, Some(0));
        assert_eq!(pod.node_selector.clone().unwrap()["disk"], "fast");
        let container = &pod.containers[0];
        assert_eq!(container.args.clone().unwrap().last().unwrap(), "--verbose");
        assert!(container.resources.clone().unwrap().limits.is_some());
        assert!(
            container.security_context.clone().unwrap().capabilities.is_none(),
            "root keeps what it needs to read all owners' files"
        );
    }

    #[test]
    fn earlier_tasks_are_init_containers() {
        let mut second = task("logical-backup");
        second.plan_key = "plan-1.json".into();
        let pod = pod(&job(&frame(None), &[task("manifest-backup"), second]));
        assert_eq!(pod.init_containers.unwrap()[0].name, "manifest-backup-0");
        assert_eq!(pod.containers[0].name, "logical-backup-1");
        let plan = pod
            .volumes
            .unwrap()
            .into_iter()
            .find(|v| v.name == "kubestash-plan-1")
            .unwrap()
            .secret
            .unwrap();
        assert_eq!(plan.items.unwrap()[0].key, "plan-1.json");
    }

    #[test]
    fn a_pinned_pod_keeps_the_users_other_wishes() {
        let affinity: Affinity = serde_json::from_value(
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}}),
        )
        .unwrap();
        let required = |affinity: Option<Affinity>| {
            affinity
                .unwrap()
                .node_affinity
                .unwrap()
                .required_during_scheduling_ignored_during_execution
                .unwrap()
                .node_selector_terms
        };
        let both = required(pinned(Some(affinity), Some("n1")));
        assert!(both[0].match_expressions.is_some());
        assert_eq!(
            both[0].match_fields.as_ref().unwrap()[0].values.as_ref().unwrap(),
            &["n1"]
        );
        assert_eq!(required(pinned(None, Some("n1"))).len(), 1);
        assert_eq!(pinned(None, None), None);
    }
}
