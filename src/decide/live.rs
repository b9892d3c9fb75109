//! The Job that shows a volume as it is now, to be compared with a Snapshot of it.
//!
//! It mounts what the Snapshot's backup mounted, read-only, on the node where the volume is, as the user that backs it up;
//! it has no credentials, no token and no plan. Called by the Repository controller when somebody asks.

use std::collections::BTreeMap;

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{EmptyDirVolumeSource, EnvVar, PersistentVolumeClaim, Volume, VolumeMount},
};

use crate::api::{
    addons::FunctionSpec,
    labels,
    shared::{AddonInfo, PodTemplateSpec, PodTemplateSpecSpec},
    storage::Snapshot,
};
use crate::decide::{
    backup::{OperatorFacts, given_service_account, invoker, label},
    components::Instance,
    job::{self, JobFrame, NOBODY, TaskContainer},
    target::{Object, Target},
    volumes::{self, Volumes},
};

/// Listings and hashes need little.
const MEMORY: &str = "64Mi";
const TMP_VOLUME: &str = "kubestash-tmp-volume";
const TMP_PATH: &str = "/kubestash-tmp";
const DATA_VOLUME: &str = "kubestash-live";
/// Nothing is read from it when it is over.
const GONE_AFTER: i32 = 30;
/// A volume that one pod alone may use.
const ONE_POD: &str = "ReadWriteOncePod";

/// What the Job is made from.
#[derive(Debug, Clone)]
pub struct LiveFacts<'a> {
    /// Name of the Job.
    pub name: &'a str,
    /// The longest it lives, in seconds.
    pub deadline: i64,
    /// The Snapshot that is compared.
    pub snapshot: &'a Snapshot,
    /// Its component.
    pub component: &'a str,
    /// What was backed up, as it is now.
    pub target: &'a Target,
    /// The claims around it, by name.
    pub claims: &'a BTreeMap<String, PersistentVolumeClaim>,
    /// How its backups run, where that is still known.
    pub addon: &'a AddonInfo,
    /// The operator's own image and settings.
    pub operator: &'a OperatorFacts,
    /// Namespace of the Snapshot.
    pub namespace: &'a str,
    /// Name of the Repository.
    pub repository: &'a str,
}

/// The volumes that hold what a component of a Snapshot was made of.
///
/// # Errors
/// A sentence: why there are none.
pub fn data(snapshot: &Snapshot, component: &str, target: &Target) -> Result<Volumes, String> {
    let state = snapshot.status.as_ref().and_then(|s| s.components.get(component));
    let paths: Vec<String> = state
        .into_iter()
        .flat_map(|state| &state.restic_stats)
        .filter_map(|stats| stats.summary.as_ref()?.host_path.clone())
        .collect();
    let mut all = Volumes::default();
    match (&target.object, target.pod(&instance(component))) {
        (Object::Claim(claim), _) => {
            let name = claim.metadata.name.clone().unwrap_or_default();
            all.volume(volumes::claim(DATA_VOLUME, &name));
            for path in &paths {
                all.mount(VolumeMount {
                    name: DATA_VOLUME.to_owned(),
                    mount_path: format!("/{}", path.trim_matches('/')),
                    read_only: Some(true),
                    ..VolumeMount::default()
                });
            }
        }
        (_, Some(pod)) if !paths.is_empty() => all = volumes::of_pod(&pod, &paths),
        _ => {}
    }
    if all.mounts.is_empty() {
        return Err(format!(
            "component {component} was not read from a volume that another pod can mount now"
        ));
    }
    Ok(all)
}

fn instance(component: &str) -> Instance {
    let bases = ["dump", "physical", "manifest", "dashboard"];
    let found = bases
        .iter()
        .find_map(|base| Instance::of_component(component, base));
    found.unwrap_or(Instance::Whole)
}

/// The Job.
///
/// # Errors
/// A sentence: why it cannot be.
pub fn job(facts: &LiveFacts<'_>) -> Result<Job, String> {
    let mut mounted = data(facts.snapshot, facts.component, facts.target)?;
    let held = volumes::claims(&mounted.volumes);
    alone(&held, facts)?;
    mounted.volume(Volume {
        name: TMP_VOLUME.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    mounted.mount(VolumeMount {
        name: TMP_VOLUME.to_owned(),
        mount_path: TMP_PATH.to_owned(),
        ..VolumeMount::default()
    });
    let task = TaskContainer {
        task: "reader".to_owned(),
        function: FunctionSpec {
            command: vec!["/kubestash".to_owned()],
            args: vec!["reader".to_owned(), "serve".to_owned()],
            ..FunctionSpec::default()
        },
        volumes: mounted,
        env: vec![EnvVar {
            name: "TMPDIR".to_owned(),
            value: Some(TMP_PATH.to_owned()),
            value_from: None,
        }],
        ..TaskContainer::default()
    };
    let template = template(facts.addon);
    let frame = JobFrame {
        name: facts.name.to_owned(),
        namespace: facts.target.job_namespace(facts.namespace),
        labels: names(facts),
        annotations: invoker(facts.namespace, facts.repository),
        service_account: given_service_account(facts.addon).unwrap_or_default(),
        template: Some(&template),
        container_settings: None,
        user: Some(NOBODY),
        groups: Vec::new(),
        node: facts.target.node(&instance(facts.component), &held, facts.claims),
        image: facts.operator.image.clone(),
        proxy: Vec::new(),
        memory: MEMORY,
        secret_keys: Vec::new(),
        without_plan: true,
    };
    Ok(closed(job::job(&frame, &[task]), facts.deadline))
}

/// A claim for one pod alone cannot be mounted while its pod runs.
fn alone(held: &[String], facts: &LiveFacts<'_>) -> Result<(), String> {
    let for_one = |name: &&String| {
        let spec = facts.claims.get(*name).and_then(|claim| claim.spec.as_ref());
        let modes = spec.and_then(|spec| spec.access_modes.as_ref());
        modes.is_some_and(|modes| modes.iter().any(|mode| mode == ONE_POD))
    };
    match held.iter().find(for_one) {
        Some(claim) if !facts.target.pods.is_empty() => Err(format!(
            "PersistentVolumeClaim {claim} is {ONE_POD}: while a pod uses it no other can look at it"
        )),
        _ => Ok(()),
    }
}

fn names(facts: &LiveFacts<'_>) -> BTreeMap<String, String> {
    [
        (labels::MANAGED_BY, labels::MANAGED_BY_KUBESTASH.to_owned()),
        (labels::COMPONENT, labels::component::LIVE.to_owned()),
        (labels::INVOKER_KIND, "Repository".to_owned()),
        (labels::INVOKER_NAMESPACE, label(facts.namespace)),
        (labels::INVOKER_NAME, label(facts.repository)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Of how backups run, what decides where and as whom.
fn template(addon: &AddonInfo) -> PodTemplateSpec {
    let given = addon
        .job_template
        .as_ref()
        .and_then(|t| t.spec.clone())
        .unwrap_or_default();
    PodTemplateSpec {
        spec: Some(PodTemplateSpecSpec {
            node_selector: given.node_selector,
            security_context: given.security_context,
            image_pull_secrets: given.image_pull_secrets,
            affinity: given.affinity,
            scheduler_name: given.scheduler_name,
            tolerations: given.tolerations,
            priority_class_name: given.priority_class_name,
            priority: given.priority,
            runtime_class_name: given.runtime_class_name,
            resources: given.resources,
            container_security_context: given.container_security_context,
            ..PodTemplateSpecSpec::default()
        }),
        ..PodTemplateSpec::default()
    }
}

/// Nobody may do more in it than look, and it goes by itself.
fn closed(mut job: Job, deadline: i64) -> Job {
    let Some(spec) = job.spec.as_mut() else { return job };
    spec.active_deadline_seconds = Some(deadline);
    spec.ttl_seconds_after_finished = Some(GONE_AFTER);
    let Some(pod) = spec.template.spec.as_mut() else {
        return job;
    };
    pod.automount_service_account_token = Some(false);
    pod.enable_service_links = Some(false);
    pod.termination_grace_period_seconds = Some(5);
    if pod.service_account_name.as_deref() == Some("") {
        pod.service_account_name = None;
    }
    for container in &mut pod.containers {
        let security = container.security_context.get_or_insert_default();
        security.read_only_root_filesystem = Some(true);
    }
    job
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::shared::TypedObjectReference;
    use crate::decide::target::tests::{claim, stateful_set};

    fn snapshot(component: &str, path: &str) -> Snapshot {
        serde_json::from_value(
            json!({"apiVersion": "storage.kubestash.com/v1alpha1", "kind": "Snapshot",
            "metadata": {"name": "s", "namespace": "demo"}, "spec": {"repository": "r"},
            "status": {"components": {component: {"path": "repository/v1/daily/dump",
                "resticStats": [{"hostPath": path, "summary": {"id": "ab", "hostPath": path}}]}}}}),
        )
        .unwrap()
    }

    fn made(snapshot: &Snapshot, component: &str, target: &Target, mode: &str) -> Result<Job, String> {
        let claims: BTreeMap<_, _> = [("data-db-1", mode), ("data", mode)]
            .map(|(name, mode)| (name.to_owned(), claim(name, mode)))
            .into();
        let addon: AddonInfo = serde_json::from_value(json!({"name": "a",
            "jobTemplate": {"spec": {"securityContext": {"runAsUser": 0}, "args": ["--more"]}}}))
        .unwrap();
        job(&LiveFacts {
            name: "live-x",
            deadline: 900,
            snapshot,
            component,
            target,
            claims: &claims,
            addon: &addon,
            operator: &OperatorFacts {
                image: "ours".into(),
                proxy: Vec::new(),
            },
            namespace: "demo",
            repository: "r",
        })
    }

    #[test]
    fn a_claim_is_mounted_read_only_where_it_was_backed_up_and_nothing_else() {
        let target = Target {
            reference: TypedObjectReference {
                kind: Some("PersistentVolumeClaim".into()),
                name: "data".into(),
                ..TypedObjectReference::default()
            },
            object: Object::Claim(Box::new(claim("data", "ReadWriteOnce"))),
            pods: Vec::new(),
        };
        let job = made(
            &snapshot("dump", "/kubestash-data"),
            "dump",
            &target,
            "ReadWriteOnce",
        )
        .unwrap();
        let pod = job.spec.unwrap().template.spec.unwrap();
        let container = &pod.containers[0];
        assert_eq!(container.name, crate::api::config::reader::CONTAINER);
        assert_eq!(container.args.as_ref().unwrap(), &["reader", "serve"]);
        let mounts = container.volume_mounts.as_ref().unwrap();
        assert_eq!(
            (mounts[0].mount_path.as_str(), mounts[0].read_only),
            ("/kubestash-data", Some(true))
        );
        let volumes: Vec<_> = pod.volumes.unwrap().into_iter().map(|v| v.name).collect();
        assert_eq!(volumes, [DATA_VOLUME, TMP_VOLUME], "no plan and no credentials");
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert_eq!(
            pod.security_context.unwrap().run_as_user,
            Some(0),
            "as its backups"
        );
        let refused = made(&snapshot("manifest", "/m"), "dump", &target, "ReadWriteOnce");
        assert!(
            refused.unwrap_err().contains("component dump was not read"),
            "no path is known"
        );
    }

    #[test]
    fn a_workloads_own_claim_is_looked_at_on_its_node_unless_it_is_for_one_pod() {
        let target = stateful_set(3);
        let path = "/source/data";
        let job = made(
            &snapshot("dump-pod-1", path),
            "dump-pod-1",
            &target,
            "ReadWriteOnce",
        );
        let pod = job.unwrap().spec.unwrap().template.spec.unwrap();
        let claims = volumes::claims(pod.volumes.as_ref().unwrap());
        assert_eq!(claims, ["data-db-1"]);
        let mount = &pod.containers[0].volume_mounts.as_ref().unwrap()[0];
        assert_eq!(mount.read_only, Some(true));
        let refused = made(&snapshot("dump-pod-1", path), "dump-pod-1", &target, ONE_POD);
        assert!(refused.unwrap_err().contains(ONE_POD));
    }
}
