//! Settings of the pods that do the work: `runtimeSettings`, `tempDir`, `interimVolumeTemplate`.

use k8s_openapi::api::core::v1::EmptyDirVolumeSource;
use serde_json::{Map, Value};

use super::section::Section;
use crate::api::shared::{
    AddonVolume, ContainerRuntimeSettings, ObjectMetadata, PodTemplateSpec, PodTemplateSpecSpec,
    VolumeClaimTemplate, VolumeSource,
};

/// The volume that the Addons have for temporary files and the cache.
const TEMPORARY: &str = "kubestash-tmp-volume";

/// The volume that the Addons of databases have for what they dump before it is backed up.
const INTERIM: &str = "kubestash-interim-volume";

/// What goes into `addon` of a session.
#[derive(Debug, Clone, Default)]
pub(super) struct Runtime {
    pub(super) container: Option<ContainerRuntimeSettings>,
    pub(super) job: Option<PodTemplateSpec>,
    pub(super) volumes: Vec<AddonVolume>,
    /// Further parameters of the task.
    pub(super) params: Map<String, Value>,
}

/// Reads the settings; `to` is the path of the `addon` they belong to.
pub(super) fn read(spec: &mut Section<'_>, to: &str, is_database: bool) -> Runtime {
    let mut runtime = Runtime::default();
    if let Some(mut settings) = spec.section("runtimeSettings") {
        runtime.container = settings.typed("container", &format!("{to}.containerRuntimeSettings"));
        if let Some(pod) = settings.section("pod") {
            runtime.job = Some(pod_template(pod, &format!("{to}.jobTemplate")));
        }
    }
    if let Some(directory) = spec.section("tempDir") {
        temporary(directory, to, &mut runtime);
    }
    if is_database {
        let to = format!("{to}.tasks[0].addonVolumes");
        if let Some(template) = spec.typed::<VolumeClaimTemplate>("interimVolumeTemplate", &to) {
            runtime.volumes.push(AddonVolume {
                name: INTERIM.to_owned(),
                source: Some(VolumeSource {
                    volume_claim_template: Some(template),
                    ..VolumeSource::default()
                }),
            });
        }
    } else {
        spec.replace(
            "interimVolumeTemplate",
            "",
            "volumes are backed up in place; nothing is kept in between",
        );
    }
    runtime
}

fn temporary(mut directory: Section<'_>, to: &str, runtime: &mut Runtime) {
    let at = format!("{to}.tasks[0].addonVolumes");
    let medium = directory.text("medium", &at);
    let size_limit = directory.typed("sizeLimit", &at);
    if medium.is_some() || size_limit.is_some() {
        runtime.volumes.push(AddonVolume {
            name: TEMPORARY.to_owned(),
            source: Some(VolumeSource {
                empty_dir: Some(EmptyDirVolumeSource {
                    medium,
                    size_limit,
                    ..EmptyDirVolumeSource::default()
                }),
                ..VolumeSource::default()
            }),
        });
    }
    let to = format!("{to}.tasks[0].params.enableCache");
    if directory.flag("disableCaching", &to) == Some(true) {
        runtime
            .params
            .insert("enableCache".to_owned(), Value::String("false".to_owned()));
    }
}

fn pod_template(mut pod: Section<'_>, to: &str) -> PodTemplateSpec {
    let at = |field: &str| format!("{to}.spec.{field}");
    let metadata = ObjectMetadata {
        labels: pod
            .typed("podLabels", &format!("{to}.metadata.labels"))
            .unwrap_or_default(),
        annotations: pod
            .typed("podAnnotations", &format!("{to}.metadata.annotations"))
            .unwrap_or_default(),
    };
    let mut spec = PodTemplateSpecSpec {
        node_selector: pod.typed("nodeSelector", &at("nodeSelector")).unwrap_or_default(),
        service_account_name: pod.text("serviceAccountName", &at("serviceAccountName")),
        security_context: pod.typed("securityContext", &at("securityContext")),
        image_pull_secrets: pod
            .typed("imagePullSecrets", &at("imagePullSecrets"))
            .unwrap_or_default(),
        affinity: pod.typed("affinity", &at("affinity")),
        scheduler_name: pod.text("schedulerName", &at("schedulerName")),
        tolerations: pod.typed("tolerations", &at("tolerations")).unwrap_or_default(),
        priority_class_name: pod.text("priorityClassName", &at("priorityClassName")),
        priority: pod
            .number("priority", &at("priority"))
            .and_then(|priority| i32::try_from(priority).ok()),
        runtime_class_name: pod.text("runtimeClassName", &at("runtimeClassName")),
        enable_service_links: pod.flag("enableServiceLinks", &at("enableServiceLinks")),
        topology_spread_constraints: pod
            .typed("topologySpreadConstraints", &at("topologySpreadConstraints"))
            .unwrap_or_default(),
        ..PodTemplateSpecSpec::default()
    };
    let node = pod.at("nodeName");
    if let Some(name) = pod.text("nodeName", "") {
        pod.scope().changed(
            &node,
            &at("nodeSelector"),
            "a Job cannot be bound to a node by name; the node's hostname label selects it",
        );
        spec.node_selector
            .insert("kubernetes.io/hostname".to_owned(), name);
    }
    without_place(&mut pod);
    PodTemplateSpec {
        metadata: (metadata != ObjectMetadata::default()).then_some(metadata),
        controller: None,
        spec: Some(spec),
    }
}

fn without_place(pod: &mut Section<'_>) {
    pod.refuse(
        "serviceAccountAnnotations",
        "KubeStash annotates no ServiceAccount of a backup Job",
        "make a ServiceAccount with these annotations and name it in jobTemplate.spec.serviceAccountName",
    );
    let token = pod.at("automountServiceAccountToken");
    if pod.flag("automountServiceAccountToken", "").is_some() {
        let how = "the Jobs always have the token; they report with it what they have done";
        pod.scope().changed(&token, "", how);
    }
    pod.refuse("readinessGates", "nothing waits for a Job's pod to be ready", "");
}
